use super::*;

#[test]
fn bad_calls_get_the_documented_faults() {
    let bench = Bench::seed(1);
    let url = create(&bench, "q", json!({}));
    let fifo = create(&bench, "q.fifo", json!({ "FifoQueue": "true" }));
    let own = |name: &str| format!("AWS.SimpleQueueService.{name}");
    let send = |input: Value| {
        let mut all = json!({ "QueueUrl": url, "MessageBody": "x" });
        all.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        code(&bench, "SendMessage", all)
    };
    let batch =
        |entries: Value| code(&bench, "SendMessageBatch", json!({ "QueueUrl": url, "Entries": entries }));
    let entry = |id: &str| json!({ "Id": id, "MessageBody": "x" });
    assert_eq!(batch(json!([])), own("EmptyBatchRequest"));
    assert_eq!(batch((0..11).map(|n| entry(&n.to_string())).collect()), own("TooManyEntriesInBatchRequest"));
    assert_eq!(batch(json!([entry("a"), entry("a")])), own("BatchEntryIdsNotDistinct"));
    assert_eq!(batch(json!([entry("a b")])), own("InvalidBatchEntryId"));
    let big = "x".repeat(600_000);
    let big = |id: &str| json!({ "Id": id, "MessageBody": big });
    assert_eq!(batch(json!([big("a"), big("b")])), own("BatchRequestTooLong"));
    assert_eq!(send(json!({ "MessageBody": "" })), "MissingParameter");
    assert_eq!(send(json!({ "MessageBody": "\u{1}" })), "InvalidMessageContents");
    assert_eq!(send(json!({ "MessageBody": "x".repeat(1024 * 1024 + 1) })), "InvalidParameterValue");
    assert_eq!(send(json!({ "DelaySeconds": 901 })), "InvalidParameterValue");
    assert_eq!(send(json!({ "MessageDeduplicationId": "x" })), "InvalidParameterValue");
    let attribute = |value: Value| send(json!({ "MessageAttributes": { "n": value } }));
    assert_eq!(attribute(json!({ "DataType": "Number", "StringValue": "abc" })), "InvalidParameterValue");
    assert_eq!(attribute(json!({ "DataType": "Text", "StringValue": "abc" })), "InvalidParameterValue");
    assert_eq!(send(json!({ "QueueUrl": fifo })), "MissingParameter", "a group is needed");
    assert_eq!(send(json!({ "QueueUrl": fifo, "MessageGroupId": "g" })), "InvalidParameterValue");
    let unknown = json!({ "QueueUrl": url, "AttributeNames": ["Colour"] });
    assert_eq!(code(&bench, "GetQueueAttributes", unknown), "InvalidAttributeName");
    let create = |name: &str, attributes: Value| {
        code(&bench, "CreateQueue", json!({ "QueueName": name, "Attributes": attributes }))
    };
    assert_eq!(create("q", json!({ "VisibilityTimeout": "31" })), "QueueAlreadyExists");
    assert_eq!(create("r", json!({ "VisibilityTimeout": "43201" })), "InvalidAttributeValue");
    assert_eq!(create("r.fifo", json!({})), "InvalidParameterValue");
    assert_eq!(create("r", json!({ "FifoQueue": "true" })), "InvalidParameterValue");
    assert_eq!(create("r", json!({ "ContentBasedDeduplication": "true" })), "InvalidAttributeName");
    assert_eq!(create("r", json!({ "KmsMasterKeyId": "alias/x" })), "NotImplemented");
    let receive =
        |member: &str, value: u32| code(&bench, "ReceiveMessage", json!({ "QueueUrl": url, member: value }));
    assert_eq!(receive("MaxNumberOfMessages", 11), "InvalidParameterValue");
    assert_eq!(receive("WaitTimeSeconds", 21), "InvalidParameterValue");
    assert_eq!(code(&bench, "ReceiveMessage", json!({})), "MissingParameter");
    let delete = json!({ "QueueUrl": url, "ReceiptHandle": "?" });
    assert_eq!(code(&bench, "DeleteMessage", delete), "ReceiptHandleIsInvalid");
    let move_task = json!({ "SourceArn": "arn:aws:sqs:us-east-1:000000000000:none" });
    assert_eq!(code(&bench, "StartMessageMoveTask", move_task), "ResourceNotFoundException");
}

#[test]
fn receipts_hold_for_their_message_and_queue_alone() {
    let bench = Bench::seed(2);
    let (url, other) = (create(&bench, "q", json!({})), create(&bench, "other", json!({})));
    send(&bench, &url, "x");
    let got = receive(&bench, &url, 1).remove(0);
    let at = |url: &str, seconds: u32| json!({ "QueueUrl": url, "ReceiptHandle": handle(&got), "VisibilityTimeout": seconds });
    let elsewhere = json!({ "QueueUrl": other, "ReceiptHandle": handle(&got) });
    assert_eq!(code(&bench, "DeleteMessage", elsewhere), "ReceiptHandleIsInvalid");
    assert_eq!(code(&bench, "ChangeMessageVisibility", at(&url, 43_201)), "InvalidParameterValue");
    bench.advance(std::time::Duration::from_secs(10));
    assert_eq!(
        code(&bench, "ChangeMessageVisibility", at(&url, 43_200)),
        "InvalidParameterValue",
        "twelve hours from its receive"
    );
    hide(&bench, &url, &got, 0);
    let gone = code(&bench, "ChangeMessageVisibility", at(&url, 5));
    assert_eq!(gone, "AWS.SimpleQueueService.MessageNotInflight");
    delete(&bench, &url, &got);
    assert_eq!(code(&bench, "ChangeMessageVisibility", at(&url, 5)), "InvalidParameterValue");
}
