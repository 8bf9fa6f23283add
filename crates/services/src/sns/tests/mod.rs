//! What is on disks, and what one commit holds.

use super::keys::{APPLICATIONS, ASKED, DEVICE_TOKENS, DEVICES, ENDED, FORGET, SEEN, SUBSCRIPTIONS, TOPICS};
use super::model::{
    Application, Device, DeviceToken, Marked, Protocol, Seen, SigningKey, Subscription, TextSettings, Topic,
};
use super::{Errand, Outgoing, Refused};
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
        locked: true,
        authenticated: true,
        asked_ms: 6,
        ..Subscription::default()
    };
    subscription.set_protocol(Protocol::Https);
    assert_eq!(
        bytes(&subscription),
        "0804120165180120012a016630013a016c4201644a0170520174580560016801700 6".replace(' ', "")
    );
    let key = SigningKey { id: "i".into(), pkcs8: vec![1], certificate: "c".into(), made_ms: 2 };
    assert_eq!(bytes(&key), "0a01691201011a01632002");
    assert_eq!(bytes(&TextSettings { sender_id: "s".into(), message_type: "m".into() }), "0a017312016d");
    let attributes = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    assert_eq!(bytes(&Application { id: 1, attributes }), "080112060a016b120176");
    let device = Device { token: "t".into(), user_data: "u".into(), disabled: true };
    assert_eq!(bytes(&device), "0a01741201751801");
    assert_eq!(bytes(&DeviceToken { id: "i".into() }), "0a0169");
    assert_eq!(bytes(&Marked { at_ms: 1 }), "0801");
    assert_eq!(bytes(&Seen { at_ms: 1, message: "m".into(), seq: 2 }), "080112016d1802");
    let key = ("a".to_owned(), "r".to_owned(), "t".to_owned());
    assert_eq!(hex::encode(TOPICS.key(&key)), "008c610000720000740000");
    let key = ("a".to_owned(), "r".to_owned(), "t".to_owned(), "i".to_owned());
    assert_eq!(hex::encode(SUBSCRIPTIONS.key(&key)), "008d610000720000740000690000");
    assert_eq!(hex::encode(APPLICATIONS.key(&key)), "012f610000720000740000690000");
    assert_eq!(hex::encode(DEVICES.key(&(1, "i".to_owned()))), "01300000000000000001690000");
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

/// The deliveries of a lane that are due, taken.
fn claimed(bench: &Bench, lane: &str) -> Vec<crate::fabric::Record> {
    bench.run(|cx| crate::fabric::claim(cx, bench.store(), lane, 16))
}

fn element<'a>(answer: &'a str, name: &str) -> &'a str {
    answer.split(name).nth(1).unwrap().trim_matches(['<', '>', '/'])
}

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:t";

#[test]
fn what_nobody_confirms_in_time_is_gone() {
    let bench = Bench::seed(5);
    bench.form("sns", "/", "CreateTopic", "Name=t").unwrap();
    let subscribe = || {
        let form = format!("TopicArn={TOPIC}&Protocol=https&Endpoint=https://a/&ReturnSubscriptionArn=true");
        element(bench.form("sns", "/", "Subscribe", &form).unwrap().text(), "SubscriptionArn").to_owned()
    };
    let token = || {
        let asked = claimed(&bench, "webhook https://a/").pop().unwrap();
        let asked: serde_json::Value = serde_json::from_slice(&asked.payload).unwrap();
        asked["Token"].as_str().unwrap().to_owned()
    };
    let confirm = |token: &str| {
        bench.form("sns", "/", "ConfirmSubscription", &format!("TopicArn={TOPIC}&Token={token}"))
    };
    let day = Duration::from_secs(24 * 3600);
    let first = (subscribe(), token());
    bench.advance(day);
    assert_eq!((subscribe(), token()), first, "asked again, which gives it two days more");
    bench.advance(day + day / 2);
    while bench.run(|cx| super::expire(cx, 10)) > 0 {}
    confirm(&first.1).unwrap();
    bench.form("sns", "/", "Unsubscribe", &format!("SubscriptionArn={}", first.0)).unwrap();

    let (second, late) = (subscribe(), token());
    bench.advance(2 * day);
    assert_eq!(confirm(&late).unwrap_err().message, "Invalid parameter: Token");
    bench.advance(Duration::from_secs(1));
    while bench.run(|cx| super::expire(cx, 10)) > 0 {}
    let shown = bench.form("sns", "/", "GetSubscriptionAttributes", &format!("SubscriptionArn={second}"));
    assert_eq!(shown.unwrap_err().code, "NotFound");
    let topic = TOPICS.scan(&bench.store().view(), mayfly_store::Scan::all(1)).unwrap().pop().unwrap().1;
    assert_eq!((topic.confirmed, topic.pending), (0, 0));
    let view = bench.store().view();
    assert!(ASKED.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
    assert!(ENDED.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
}

#[test]
fn one_message_reaches_everyone_who_shares_a_lane() {
    let bench = Bench::seed(6);
    bench.form("sns", "/", "CreateTopic", "Name=t").unwrap();
    for number in ["+4930901820", "+4930901821"] {
        let number = number.replace('+', "%2B");
        bench
            .form("sns", "/", "Subscribe", &format!("TopicArn={TOPIC}&Protocol=sms&Endpoint={number}"))
            .unwrap();
    }
    bench.form("sns", "/", "Publish", &format!("TopicArn={TOPIC}&Message=hello")).unwrap();
    let records = claimed(&bench, "texts");
    assert_eq!(records.len(), 2);
    // A number that is gone gets nothing more, not even what waits already.
    let gone = Refused::Gone("410 Gone".into());
    bench.run(|cx| super::settled(cx, &records[0], Err(&gone)));
    bench.form("sns", "/", "Publish", &format!("TopicArn={TOPIC}&Message=hello")).unwrap();
    let errands: Vec<_> =
        claimed(&bench, "texts").iter().map(|one| bench.run(|cx| super::errand(cx, one))).collect();
    let sent = errands.iter().filter(|errand| matches!(errand, Errand::Send(Outgoing::Text(_)))).count();
    let refused = errands.iter().filter(|errand| matches!(errand, Errand::Refuse(_))).count();
    assert_eq!((sent, refused), (1, 1));
}

#[test]
fn endpoints_go_with_their_application() {
    let bench = Bench::seed(7);
    let setup = "Attributes.entry.1.key=PlatformCredential&Attributes.entry.1.value=k";
    bench.form("sns", "/", "CreatePlatformApplication", &format!("Name=a&Platform=GCM&{setup}")).unwrap();
    let application = "PlatformApplicationArn=arn:aws:sns:us-east-1:000000000000:app/GCM/a";
    for token in 0..5 {
        bench.form("sns", "/", "CreatePlatformEndpoint", &format!("{application}&Token={token}")).unwrap();
    }
    bench.form("sns", "/", "DeletePlatformApplication", application).unwrap();
    while bench.run(|cx| super::expire(cx, 2)) > 0 {}
    let view = bench.store().view();
    assert!(DEVICES.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
    assert!(DEVICE_TOKENS.scan(&view, mayfly_store::Scan::all(1)).unwrap().is_empty());
}
