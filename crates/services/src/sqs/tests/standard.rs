use super::*;
use std::time::Duration;

#[test]
fn a_message_comes_back_until_it_is_deleted() {
    let bench = Bench::seed(1);
    let url = create(&bench, "jobs", json!({}));
    let sent = send(&bench, &url, "hello");
    assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(counts(&bench, &url), (1, 0, 0));
    let first = receive(&bench, &url, 10);
    assert_eq!(bodies(&first), ["hello"]);
    assert_eq!(first[0]["MessageId"], sent["MessageId"]);
    assert_eq!(counts(&bench, &url), (0, 1, 0));
    assert!(receive(&bench, &url, 10).is_empty(), "in flight");
    bench.advance(Duration::from_secs(30));
    assert_eq!(counts(&bench, &url), (1, 0, 0));
    let second = receive(&bench, &url, 10);
    assert_eq!(second[0]["Attributes"]["ApproximateReceiveCount"], "2");
    delete(&bench, &url, &first[0]);
    assert_eq!(counts(&bench, &url), (0, 1, 0), "an old receipt deletes nothing");
    delete(&bench, &url, &second[0]);
    delete(&bench, &url, &second[0]);
    bench.advance(Duration::from_secs(30));
    assert!(receive(&bench, &url, 10).is_empty());
    assert_eq!(counts(&bench, &url), (0, 0, 0));
}

#[test]
fn delays_and_visibility_pass_without_anyone_moving_a_message() {
    let bench = Bench::seed(2);
    let url = create(&bench, "late", json!({ "DelaySeconds": "60", "VisibilityTimeout": "10" }));
    send(&bench, &url, "queue's delay");
    call(&bench, "SendMessage", json!({ "QueueUrl": url, "MessageBody": "own", "DelaySeconds": 5 }));
    call(&bench, "SendMessage", json!({ "QueueUrl": url, "MessageBody": "none", "DelaySeconds": 0 }));
    assert_eq!(counts(&bench, &url), (1, 0, 2));
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["none"]);
    bench.advance(Duration::from_secs(5));
    assert_eq!(counts(&bench, &url), (1, 1, 1));
    let own = receive(&bench, &url, 10);
    assert_eq!(bodies(&own), ["own"]);
    hide(&bench, &url, &own[0], 100);
    bench.advance(Duration::from_secs(55));
    let both = receive(&bench, &url, 10);
    assert_eq!(bodies(&both), ["none", "queue's delay"]);
    hide(&bench, &url, &own[0], 0);
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["own"], "visible at once");
    assert_eq!(counts(&bench, &url), (0, 3, 0));
}

#[test]
fn attributes_and_their_md5_are_those_that_sdks_check() {
    let bench = Bench::seed(3);
    let url = create(&bench, "marked", json!({}));
    let sent = call(
        &bench,
        "SendMessage",
        json!({
            "QueueUrl": url, "MessageBody": "x",
            "MessageAttributes": {
                "order.id": { "DataType": "Number", "StringValue": "7" },
                "order.raw": { "DataType": "Binary.png", "BinaryValue": "AAEC" },
                "kind": { "DataType": "String", "StringValue": "new" },
            },
            "MessageSystemAttributes": {
                "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793" },
            },
        }),
    );
    // Computed apart, by the guide's recipe.
    assert_eq!(sent["MD5OfMessageAttributes"], "8bc1ff6688cba2329cf65caf24263674");
    assert_eq!(sent["MD5OfMessageSystemAttributes"], "62a56dd927315f2b2e12832b84617ea5");
    let got = receive(&bench, &url, 1).remove(0);
    assert_eq!(got["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"]);
    assert_eq!(got["MessageAttributes"]["order.raw"]["BinaryValue"], "AAEC");
    assert_eq!(got["Attributes"]["AWSTraceHeader"], "Root=1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!(got["Attributes"]["SenderId"], "AKIATEST");
    assert_eq!(got["Attributes"]["SentTimestamp"], "1767225600000");
    hide(&bench, &url, &got, 0);
    let some =
        call(&bench, "ReceiveMessage", json!({ "QueueUrl": url, "MessageAttributeNames": ["order.*"] }));
    let names: Vec<&String> = some["Messages"][0]["MessageAttributes"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["order.id", "order.raw"]);
    assert_eq!(some["Messages"][0].get("Attributes"), None);
}

#[test]
fn batches_answer_entry_by_entry() {
    let bench = Bench::seed(4);
    let url = create(&bench, "batch", json!({}));
    let sent = call(
        &bench,
        "SendMessageBatch",
        json!({ "QueueUrl": url, "Entries": [
            { "Id": "a", "MessageBody": "1" },
            { "Id": "b", "MessageBody": "2", "DelaySeconds": 1000 },
            { "Id": "c", "MessageBody": "3" },
        ] }),
    );
    assert_eq!(sent["Successful"].as_array().unwrap().len(), 2);
    assert_eq!((&sent["Failed"][0]["Id"], &sent["Failed"][0]["SenderFault"]), (&json!("b"), &json!(true)));
    let got = receive(&bench, &url, 10);
    assert_eq!(bodies(&got), ["1", "3"]);
    let changed = call(
        &bench,
        "ChangeMessageVisibilityBatch",
        json!({ "QueueUrl": url, "Entries": [
            { "Id": "a", "ReceiptHandle": handle(&got[0]), "VisibilityTimeout": 0 },
            { "Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 0 },
        ] }),
    );
    assert_eq!(changed["Successful"], json!([{ "Id": "a" }]));
    assert_eq!(changed["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    let deleted = call(
        &bench,
        "DeleteMessageBatch",
        json!({ "QueueUrl": url, "Entries": [
            { "Id": "a", "ReceiptHandle": handle(&got[0]) },
            { "Id": "b", "ReceiptHandle": handle(&got[1]) },
        ] }),
    );
    assert_eq!(deleted["Successful"].as_array().unwrap().len(), 2);
    assert_eq!(counts(&bench, &url), (0, 0, 0));
}

#[test]
fn retention_purges_and_deletions_leave_nothing() {
    let bench = Bench::seed(5);
    let url = create(&bench, "short", json!({ "MessageRetentionPeriod": "60" }));
    send(&bench, &url, "old");
    send(&bench, &url, "old and seen");
    receive(&bench, &url, 1);
    bench.advance(Duration::from_secs(61));
    send(&bench, &url, "new");
    assert_eq!(bodies(&receive(&bench, &url, 1)), ["new"], "what is too old is not handed out");
    assert_eq!(counts(&bench, &url), (0, 1, 0));
    bench.advance(Duration::from_secs(61));
    assert_eq!(expire(&bench), 1);
    assert_eq!(counts(&bench, &url), (0, 0, 0));

    for number in 0..5 {
        send(&bench, &url, &number.to_string());
    }
    let held = receive(&bench, &url, 1);
    call(&bench, "PurgeQueue", json!({ "QueueUrl": url }));
    assert_eq!(counts(&bench, &url), (0, 0, 0));
    delete(&bench, &url, &held[0]);
    send(&bench, &url, "after");
    assert_eq!(bodies(&receive(&bench, &url, 10)), ["after"]);
    call(&bench, "DeleteQueue", json!({ "QueueUrl": url }));
    assert_eq!(
        code(&bench, "SendMessage", json!({ "QueueUrl": url, "MessageBody": "x" })),
        "AWS.SimpleQueueService.NonExistentQueue"
    );
    expire(&bench);
    let left = bench.store().view().range(
        std::ops::Bound::Included(&[0, 120]),
        std::ops::Bound::Excluded(&[0, 136]),
        mayfly_store::Order::Forward,
        10,
    );
    assert_eq!(left.unwrap(), []);
}

#[test]
fn queues_are_listed_tagged_and_described() {
    let bench = Bench::seed(6);
    for name in ["a1", "a2", "b1"] {
        create(&bench, name, json!({}));
    }
    let page = call(&bench, "ListQueues", json!({ "QueueNamePrefix": "a", "MaxResults": 1 }));
    assert_eq!(page["QueueUrls"], json!(["http://127.0.0.1:4566/000000000000/a1"]));
    let input = json!({ "QueueNamePrefix": "a", "MaxResults": 1, "NextToken": page["NextToken"] });
    let page = call(&bench, "ListQueues", input);
    assert_eq!(
        (page["QueueUrls"][0].as_str().unwrap().ends_with("a2"), &page["NextToken"]),
        (true, &Value::Null)
    );

    let url = call(&bench, "GetQueueUrl", json!({ "QueueName": "b1" }))["QueueUrl"].take();
    call(&bench, "TagQueue", json!({ "QueueUrl": url, "Tags": { "team": "x", "env": "y" } }));
    call(&bench, "UntagQueue", json!({ "QueueUrl": url, "TagKeys": ["env"] }));
    assert_eq!(call(&bench, "ListQueueTags", json!({ "QueueUrl": url }))["Tags"], json!({ "team": "x" }));

    let add = json!({ "QueueUrl": url, "Label": "l", "AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"] });
    call(&bench, "AddPermission", add);
    let names = json!({ "QueueUrl": url, "AttributeNames": ["Policy", "QueueArn"] });
    let shown = call(&bench, "GetQueueAttributes", names);
    let policy: Value = serde_json::from_str(shown["Attributes"]["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["Statement"][0]["Action"], "SQS:SendMessage");
    assert_eq!(shown["Attributes"]["QueueArn"], "arn:aws:sqs:us-east-1:000000000000:b1");
    call(&bench, "RemovePermission", json!({ "QueueUrl": url, "Label": "l" }));
    let shown = call(&bench, "GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] }));
    assert_eq!(
        (shown["Attributes"].get("Policy"), &shown["Attributes"]["VisibilityTimeout"]),
        (None, &json!("30"))
    );
}
