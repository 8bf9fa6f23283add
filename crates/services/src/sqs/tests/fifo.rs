use super::*;
use std::time::Duration;

fn queue(bench: &Bench, more: Value) -> String {
    let mut attributes = json!({ "FifoQueue": "true" });
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    create(bench, "orders.fifo", attributes)
}

#[test]
fn a_group_keeps_its_order_and_waits_for_what_is_in_flight() {
    let bench = Bench::seed(1);
    let url = queue(&bench, json!({}));
    let mut last = String::new();
    for id in ["a1", "a2", "a3"] {
        let sent = send_to(&bench, &url, "a", id);
        let number = sent["SequenceNumber"].as_str().unwrap().to_owned();
        assert!(number > last && number.len() == 20);
        last = number;
    }
    send_to(&bench, &url, "b", "b1");
    let first = receive(&bench, &url, 2);
    assert_eq!(bodies(&first), ["a1", "a2"]);
    assert_eq!(first[0]["Attributes"]["MessageGroupId"], "a");
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["b1"], "group a waits");
    delete(&bench, &url, &first[0]);
    assert!(receive(&bench, &url, 10).is_empty(), "a2 is still in flight");
    hide(&bench, &url, &first[1], 0);
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["a2", "a3"]);
    bench.advance(Duration::from_secs(30));
    let again = receive(&bench, &url, 10);
    assert_eq!(bodies(&again), ["b1", "a2", "a3"]);
    assert_eq!(counts(&bench, &url), (0, 3, 0));
    again.iter().for_each(|message| delete(&bench, &url, message));
    assert_eq!(counts(&bench, &url), (0, 0, 0));
    let sent = send_to(&bench, &url, "a", "a4");
    assert!(sent["SequenceNumber"].as_str().unwrap() > last.as_str(), "an emptied group counts on");
}

#[test]
fn a_receipt_ends_with_its_visibility() {
    let bench = Bench::seed(2);
    let url = queue(&bench, json!({ "VisibilityTimeout": "5" }));
    send_to(&bench, &url, "a", "1");
    let first = receive(&bench, &url, 1);
    bench.advance(Duration::from_secs(5));
    let input = json!({ "QueueUrl": url, "ReceiptHandle": handle(&first[0]) });
    assert_eq!(code(&bench, "DeleteMessage", input), "InvalidParameterValue");
    assert_eq!(bodies(&receive(&bench, &url, 1)), ["1"]);
}

#[test]
fn what_is_sent_twice_is_there_once() {
    let bench = Bench::seed(3);
    let url = queue(&bench, json!({ "ContentBasedDeduplication": "true" }));
    let first = send_to(&bench, &url, "a", "x");
    let second = send_to(&bench, &url, "b", "x");
    assert_eq!(
        (&first["MessageId"], &first["SequenceNumber"]),
        (&second["MessageId"], &second["SequenceNumber"])
    );
    let got = receive(&bench, &url, 10);
    assert_eq!(got.len(), 1);
    delete(&bench, &url, &got[0]);
    bench.advance(Duration::from_secs(299));
    send_to(&bench, &url, "a", "x");
    assert!(receive(&bench, &url, 10).is_empty(), "remembered though it is deleted");
    bench.advance(Duration::from_secs(1));
    send_to(&bench, &url, "a", "x");
    assert_eq!(receive(&bench, &url, 10).len(), 1);
    for _ in 0..2 {
        let input = json!({ "QueueUrl": url, "MessageBody": "same", "MessageGroupId": "c" });
        call(&bench, "SendMessage", input);
    }
    assert_eq!(receive(&bench, &url, 10).len(), 1, "the same content");
    assert_eq!(expire(&bench), 0);
    bench.advance(Duration::from_secs(301));
    assert!(expire(&bench) >= 3, "ids are forgotten");

    let throughput = json!({ "QueueUrl": url, "Attributes": {
        "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId" } });
    call(&bench, "SetQueueAttributes", throughput);
    let (one, other) = (send_to(&bench, &url, "d", "y"), send_to(&bench, &url, "e", "y"));
    assert_ne!(one["MessageId"], other["MessageId"], "ids are unique in a group");
}

#[test]
fn an_attempt_gets_again_what_it_was_given() {
    let bench = Bench::seed(4);
    let url = queue(&bench, json!({}));
    for id in ["1", "2", "3"] {
        send_to(&bench, &url, "a", id);
    }
    let attempt = || {
        let input = json!({ "QueueUrl": url, "MaxNumberOfMessages": 2, "ReceiveRequestAttemptId": "try" });
        call(&bench, "ReceiveMessage", input)["Messages"].take().as_array().cloned().unwrap_or_default()
    };
    let first = attempt();
    bench.advance(Duration::from_secs(20));
    let second = attempt();
    assert_eq!(first, second, "the same messages and receipts");
    bench.advance(Duration::from_secs(20));
    assert!(receive(&bench, &url, 1).is_empty(), "hidden anew by the second attempt");
    delete(&bench, &url, &second[0]);
    assert!(attempt().is_empty(), "something has changed, so it is an attempt like any other");
}

#[test]
fn a_delayed_group_waits_whole() {
    let bench = Bench::seed(5);
    let url = queue(&bench, json!({ "DelaySeconds": "10" }));
    send_to(&bench, &url, "a", "1");
    bench.advance(Duration::from_secs(5));
    send_to(&bench, &url, "a", "2");
    assert_eq!(counts(&bench, &url), (0, 0, 2));
    bench.advance(Duration::from_secs(5));
    let first = receive(&bench, &url, 10);
    assert_eq!(bodies(&first), ["1"], "the second is not ready");
    delete(&bench, &url, &first[0]);
    assert!(receive(&bench, &url, 10).is_empty());
    bench.advance(Duration::from_secs(5));
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["2"]);
}
