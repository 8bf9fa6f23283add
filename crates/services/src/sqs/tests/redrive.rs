use super::*;
use crate::fabric;
use std::time::Duration;

fn policy(name: &str, max: u32) -> Value {
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    json!(json!({ "deadLetterTargetArn": arn, "maxReceiveCount": max }).to_string())
}

/// Performs what the fabric would, until nothing is due.
fn run_tasks(bench: &Bench) {
    while let Some((lane, due)) = fabric::lanes(bench.store()).unwrap().pop() {
        if due > bench.now() {
            return;
        }
        for record in bench.run(|cx| fabric::claim(cx, bench.store(), &lane, 16)) {
            bench.run(|cx| crate::sqs::redrive_step(cx, &record));
        }
    }
}

#[test]
fn a_poison_message_dies_and_is_brought_back() {
    let bench = Bench::seed(1);
    let dead = create(&bench, "dead", json!({}));
    let url = create(&bench, "work", json!({ "RedrivePolicy": policy("dead", 2), "VisibilityTimeout": "1" }));
    let sent = send(&bench, &url, "poison");
    for _ in 0..2 {
        assert_eq!(receive(&bench, &url, 1).len(), 1);
        bench.advance(Duration::from_secs(1));
    }
    assert!(receive(&bench, &url, 1).is_empty(), "the third time it goes");
    assert_eq!((counts(&bench, &url), counts(&bench, &dead)), ((0, 0, 0), (1, 0, 0)));
    let letter = receive(&bench, &dead, 1).remove(0);
    assert_eq!(letter["MessageId"], sent["MessageId"]);
    assert_eq!(letter["Attributes"]["DeadLetterQueueSourceArn"], "arn:aws:sqs:us-east-1:000000000000:work");
    assert_eq!(letter["Attributes"]["ApproximateReceiveCount"], "3");
    assert_eq!(letter["Attributes"]["SentTimestamp"], "1767225600000", "its age goes on");
    hide(&bench, &dead, &letter, 0);

    let sources = call(&bench, "ListDeadLetterSourceQueues", json!({ "QueueUrl": dead }));
    assert_eq!(sources["queueUrls"], json!([url]));
    let arn = "arn:aws:sqs:us-east-1:000000000000:dead";
    let started = call(&bench, "StartMessageMoveTask", json!({ "SourceArn": arn }));
    let listed = call(&bench, "ListMessageMoveTasks", json!({ "SourceArn": arn }));
    assert_eq!(listed["Results"][0]["TaskHandle"], started["TaskHandle"]);
    assert_eq!(
        code(&bench, "StartMessageMoveTask", json!({ "SourceArn": arn })),
        "AWS.SimpleQueueService.UnsupportedOperation"
    );
    run_tasks(&bench);
    let listed = call(&bench, "ListMessageMoveTasks", json!({ "SourceArn": arn }));
    let task = &listed["Results"][0];
    assert_eq!(
        (&task["Status"], &task["ApproximateNumberOfMessagesMoved"]),
        (&json!("COMPLETED"), &json!(1))
    );
    assert_eq!((counts(&bench, &url), counts(&bench, &dead)), ((1, 0, 0), (0, 0, 0)));
    let again = receive(&bench, &url, 1);
    assert_eq!(again[0]["Attributes"]["ApproximateReceiveCount"], "1");
    assert_ne!(again[0]["MessageId"], sent["MessageId"], "a new message");
}

#[test]
fn a_task_keeps_its_pace_and_can_be_cancelled() {
    let bench = Bench::seed(2);
    let dead = create(&bench, "dead", json!({}));
    create(&bench, "work", json!({ "RedrivePolicy": policy("dead", 1) }));
    let other = create(&bench, "other", json!({}));
    for number in 0..30 {
        send(&bench, &dead, &number.to_string());
    }
    let arn = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    let input = json!({ "SourceArn": arn("dead"), "DestinationArn": arn("other"), "MaxNumberOfMessagesPerSecond": 10 });
    let task = call(&bench, "StartMessageMoveTask", input)["TaskHandle"].take();
    run_tasks(&bench);
    assert_eq!(counts(&bench, &other).0, 10);
    bench.advance(Duration::from_secs(1));
    run_tasks(&bench);
    assert_eq!(counts(&bench, &other).0, 20);
    let cancelled = call(&bench, "CancelMessageMoveTask", json!({ "TaskHandle": task }));
    assert_eq!(cancelled["ApproximateNumberOfMessagesMoved"], 20);
    bench.advance(Duration::from_secs(1));
    run_tasks(&bench);
    assert_eq!((counts(&bench, &dead).0, counts(&bench, &other).0), (10, 20));
    let listed = call(&bench, "ListMessageMoveTasks", json!({ "SourceArn": arn("dead") }));
    assert_eq!(listed["Results"][0]["Status"], "CANCELLED");
}

#[test]
fn a_fifo_group_goes_on_behind_its_poison() {
    let bench = Bench::seed(3);
    let fifo = |more: Value| {
        let mut all = json!({ "FifoQueue": "true", "VisibilityTimeout": "1" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let dead = create(&bench, "dead.fifo", fifo(json!({})));
    let url = create(&bench, "work.fifo", fifo(json!({ "RedrivePolicy": policy("dead.fifo", 1) })));
    send_to(&bench, &url, "g", "1");
    send_to(&bench, &url, "g", "2");
    assert_eq!(bodies(&receive(&bench, &url, 1)), ["1"]);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bodies(&receive(&bench, &url, 1)), ["2"]);
    assert_eq!(bodies(&receive(&bench, &dead, 1)), ["1"]);
}

#[test]
fn dead_letter_queues_say_whose_letters_they_take() {
    let bench = Bench::seed(4);
    let redrive = |attributes: Value| json!({ "QueueName": "q", "Attributes": attributes });
    let missing = redrive(json!({ "RedrivePolicy": policy("none", 1) }));
    assert_eq!(code(&bench, "CreateQueue", missing), "InvalidParameterValue");
    let allow = json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:r"] });
    create(&bench, "dead", json!({ "RedriveAllowPolicy": allow.to_string() }));
    let refused = redrive(json!({ "RedrivePolicy": policy("dead", 1) }));
    assert_eq!(code(&bench, "CreateQueue", refused), "InvalidParameterValue");
    create(&bench, "r", json!({ "RedrivePolicy": policy("dead", 1) }));
    let bad = redrive(json!({ "RedrivePolicy": policy("dead", 1001) }));
    assert_eq!(code(&bench, "CreateQueue", bad), "InvalidParameterValue");
}
