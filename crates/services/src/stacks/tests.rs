//! Stacks through their operations.

use crate::testing::Bench;
use serde_json::{Value, json};

#[test]
fn what_happens_to_a_stack_is_told_in_the_commit_that_records_it() {
    let t = Bench::seed(1);
    let call = |service: &str, operation: &str, input: Value| t.call(service, operation, &input);
    let attributes = json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" });
    call("sqs", "CreateQueue", json!({ "QueueName": "q.fifo", "Attributes": attributes })).unwrap();
    let rule = json!({ "Name": "r", "EventPattern": r#"{"source":["aws.cloudformation"]}"# });
    call("events", "PutRule", rule).unwrap();
    let target = json!({ "Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:q.fifo",
        "SqsParameters": { "MessageGroupId": "g" } });
    call("events", "PutTargets", json!({ "Rule": "r", "Targets": [target] })).unwrap();
    let told = || -> Vec<Value> {
        let input = json!({ "QueueUrl": "http://x/000000000000/q.fifo", "MaxNumberOfMessages": 10 });
        let answer = call("sqs", "ReceiveMessage", input).unwrap().json();
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        for message in &messages {
            let handle = &message["ReceiptHandle"];
            let gone = json!({ "QueueUrl": "http://x/000000000000/q.fifo", "ReceiptHandle": handle });
            call("sqs", "DeleteMessage", gone).unwrap();
        }
        messages.iter().map(|m| serde_json::from_str(m["Body"].as_str().unwrap()).unwrap()).collect()
    };
    let put = |revision: Option<u64>, status: Value| {
        let change = json!({ "LogicalResourceId": "Orders", "PhysicalResourceId": "url",
            "ResourceType": "AWS::SQS::Queue", "Status": "CREATE_IN_PROGRESS" });
        let mut input = json!({ "StackName": "shop", "Document": "{}", "Changes": [change] });
        if let Some(revision) = revision {
            input["Revision"] = json!(revision);
        }
        input["Status"] = status;
        call("mayfly", "PutStack", input)
    };
    put(None, json!({ "Status": "CREATE_IN_PROGRESS", "Reason": "User Initiated" })).unwrap();
    let events = told();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["detail-type"]).collect();
    assert_eq!(kinds, ["CloudFormation Stack Status Change", "CloudFormation Resource Status Change"]);
    let stack = events[0]["detail"]["stack-id"].as_str().unwrap();
    assert!(stack.starts_with("arn:aws:cloudformation:us-east-1:000000000000:stack/shop/"), "{stack}");
    assert_eq!(events[0]["resources"], json!([stack]));
    let details = json!({ "status": "CREATE_IN_PROGRESS", "status-reason": "User Initiated" });
    assert_eq!(events[0]["detail"]["status-details"], details);
    let resource = &events[1]["detail"];
    assert_eq!(
        (&resource["logical-resource-id"], &resource["physical-resource-id"]),
        (&json!("Orders"), &json!("url"))
    );
    assert_eq!(
        (&resource["stack-id"], &resource["resource-type"]),
        (&json!(stack), &json!("AWS::SQS::Queue"))
    );

    assert_eq!(put(None, Value::Null).unwrap_err().code, "StackConflictException");
    assert!(told().is_empty(), "nothing is told of what was not written");
    put(Some(1), json!({ "Status": "CREATE_COMPLETE" })).unwrap();
    let events = told();
    assert_eq!(events[1]["detail"]["status-details"]["status"], "CREATE_COMPLETE", "the stack comes last");
    assert_eq!(events[1]["detail"]["stack-id"], stack);
    let gone = json!({ "StackName": "shop", "Status": { "Status": "DELETE_COMPLETE" } });
    call("mayfly", "DeleteStack", gone).unwrap();
    assert_eq!(told()[0]["detail"]["status-details"]["status"], "DELETE_COMPLETE");
}
