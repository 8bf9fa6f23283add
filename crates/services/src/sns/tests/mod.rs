//! What is on disks, and what one commit holds.

use super::keys::{FORGET, SEEN, SUBSCRIPTIONS, TOPICS};
use super::model::{Protocol, Seen, Subscription, Topic};
use crate::testing::Bench;
use prost::Message;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Writes a record, checks that it reads back the same, and shows its bytes.
fn bytes<M: Message + Default + PartialEq + std::fmt::Debug>(record: &M) -> String {
    let bytes = record.encode_to_vec();
    assert_eq!(&M::decode(&bytes[..]).unwrap(), record);
    hex::encode(bytes)
}

#[test]
fn records_and_keys_keep_their_bytes() {
    let topic = Topic {
        id: 1,
        fifo: true,
        content_dedup: true,
        dedup_per_group: true,
        display_name: "n".into(),
        policy: "p".into(),
        delivery_policy: "d".into(),
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        confirmed: 2,
        pending: 3,
        deleted: 4,
        signature_version: "s".into(),
        tracing: "t".into(),
    };
    assert_eq!(
        bytes(&topic),
        "08011001180120012a016e3201703a016442060a016b12017648025003580462017 36a0174".replace(' ', "")
    );
    let mut subscription = Subscription {
        endpoint: "e".into(),
        confirmed: true,
        raw: true,
        filter_policy: "f".into(),
        filters_body: true,
        dead_letters: "l".into(),
        delivery_policy: "d".into(),
        principal: "p".into(),
        token: "t".into(),
        created_ms: 5,
        authenticated: true,
        ..Subscription::default()
    };
    subscription.set_protocol(Protocol::Https);
    assert_eq!(
        bytes(&subscription),
        "0804120165180120012a016630013a016c4201644a01705201745805600 1".replace(' ', "")
    );
    assert_eq!(bytes(&Seen { at_ms: 1, message: "m".into(), seq: 2 }), "080112016d1802");
    let key = ("a".to_owned(), "r".to_owned(), "t".to_owned());
    assert_eq!(hex::encode(TOPICS.key(&key)), "008c610000720000740000");
    let key = ("a".to_owned(), "r".to_owned(), "t".to_owned(), "i".to_owned());
    assert_eq!(hex::encode(SUBSCRIPTIONS.key(&key)), "008d610000720000740000690000");
}

#[test]
fn a_deduplication_id_is_forgotten_in_time() {
    let bench = Bench::seed(3);
    let form = |operation: &str, form: &str| bench.form("sns", "/", operation, form).unwrap();
    let attributes = "Attributes.entry.1.key=FifoTopic&Attributes.entry.1.value=true";
    form("CreateTopic", &format!("Name=t.fifo&{attributes}"));
    let publish = || {
        let members = "TopicArn=arn:aws:sns:us-east-1:000000000000:t.fifo&Message=m&MessageGroupId=g";
        form("Publish", &format!("{members}&MessageDeduplicationId=d")).text().to_owned()
    };
    let id = |answer: &str| answer.split("MessageId>").nth(1).unwrap().to_owned();
    let first = id(&publish());
    bench.advance(Duration::from_secs(299));
    assert_eq!(id(&publish()), first);
    bench.advance(Duration::from_secs(1));
    assert_ne!(id(&publish()), first);
    bench.advance(Duration::from_secs(301));
    while bench.run(|cx| super::expire(cx, 10)) > 0 {}
    let view = bench.store().view();
    assert!(SEEN.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
    assert!(FORGET.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
}

#[test]
fn a_publish_and_its_messages_are_one_commit() {
    let bench = Bench::seed(4);
    let url =
        bench.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap().json()["QueueUrl"].take();
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    bench.form("sns", "/", "CreateTopic", "Name=t").unwrap();
    let subscribe = |endpoint: &str| {
        let form =
            format!("TopicArn={topic}&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:{endpoint}");
        bench.form("sns", "/", "Subscribe", &form)
    };
    subscribe("q").unwrap();
    assert_eq!(subscribe("none").unwrap_err().code, "InvalidParameter");
    bench.form("sns", "/", "Publish", &format!("TopicArn={topic}&Message=hello")).unwrap();
    let got = bench.call("sqs", "ReceiveMessage", &json!({ "QueueUrl": url })).unwrap().json();
    let body = got["Messages"][0]["Body"].as_str().unwrap();
    let envelope: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&envelope["Type"], &envelope["Message"]), (&json!("Notification"), &json!("hello")));
    assert_eq!(envelope["Timestamp"], "2026-01-01T00:00:00.000Z");
}
