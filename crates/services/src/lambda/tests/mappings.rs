//! What a mapping takes, and what becomes of it.

use super::{ARN, Cloud};
use crate::access::Agent;
use crate::readers::{self, Batch, Errand, Reader};
use crate::sqs::{self, Post};
use mayfly_kernel::Arn;
use serde_json::{Value, json};
use std::time::Duration;

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:q";

/// `f`, mapped to the queue `q`, and the mapping's key.
fn with_mapping(settings: Value) -> (Cloud, Reader) {
    let cloud = Cloud::with_function();
    cloud.0.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap();
    let input = super::with(json!({ "FunctionName": "f", "EventSourceArn": QUEUE }), settings);
    let made = cloud.ok("POST /2015-03-31/event-source-mappings", &input);
    let id = made["UUID"].as_str().unwrap().to_owned();
    let mapping = Reader::Mapping(("000000000000".to_owned(), "us-east-1".to_owned(), id));
    let plan = cloud.0.run(|cx| mapping.plan(cx)).unwrap();
    cloud.0.run(|cx| mapping.adopted(cx, plan.unsettled.unwrap()));
    (cloud, mapping)
}

fn post(cloud: &Cloud, body: &str, depth: u32) {
    let arn: Arn = QUEUE.parse().unwrap();
    let message = || Post::new(body.into(), depth);
    let agent = Agent::new("test.mayfly", "arn:aws:test:::t", &arn.account);
    cloud.0.run(|cx| sqs::post(cx, &arn, &agent, message())).unwrap();
}

fn take(cloud: &Cloud, mapping: &Reader, most: usize, bytes: u64) -> Option<Batch> {
    let step = cloud.0.run(|cx| mapping.take(cx, most, bytes));
    let lease = step.lease.filter(|_| !step.messages.is_empty())?;
    cloud.0.run(|cx| mapping.batch(cx, step.messages.clone(), lease))
}

/// The event that the function is called with.
fn event(batch: &mut Batch) -> Vec<u8> {
    match batch.errand().unwrap() {
        Errand::Invoke { event, .. } => event,
        other => panic!("a mapping calls its function, and does not {other:?}"),
    }
}

/// Ends a batch with this answer of its function; how many messages are left.
fn settle(cloud: &Cloud, batch: &mut Batch, answer: &str) -> usize {
    assert!(matches!(batch.go_on(answer.into()).unwrap(), Errand::Settle));
    cloud.0.run(|cx| batch.settle(cx))
}

fn left(cloud: &Cloud) -> usize {
    cloud.0.advance(Duration::from_secs(31));
    let input = json!({ "QueueUrl": "/000000000000/q", "MaxNumberOfMessages": 10, "VisibilityTimeout": 0 });
    let got = cloud.0.call("sqs", "ReceiveMessage", &input).unwrap().json();
    got["Messages"].as_array().map_or(0, Vec::len)
}

#[test]
fn what_the_function_has_done_is_deleted_and_the_rest_comes_back() {
    let (cloud, key) = with_mapping(json!({ "FunctionResponseTypes": ["ReportBatchItemFailures"] }));
    for body in ["a", "b", "c"] {
        post(&cloud, body, 0);
    }
    let mut batch = take(&cloud, &key, 10, u64::MAX).unwrap();
    let event: Value = serde_json::from_slice(&event(&mut batch)).unwrap();
    assert_eq!(event["Records"].as_array().unwrap().len(), 3);
    assert!(take(&cloud, &key, 10, u64::MAX).is_none(), "they are hidden");
    let mut settle = |answer: &str| settle(&cloud, &mut batch, answer);
    let stranger = r#"{"batchItemFailures":[{"itemIdentifier":"nobody"}]}"#;
    assert_eq!(settle(stranger), 3, "an unknown id is a failure of all");
    let failed = event["Records"][1]["messageId"].as_str().unwrap();
    assert_eq!(settle(&json!({ "batchItemFailures": [{ "itemIdentifier": failed }] }).to_string()), 1);
    assert_eq!(left(&cloud), 1);
    assert_eq!(settle(""), 0, "a message in other hands is left alone");
    assert_eq!(left(&cloud), 1);
}

#[test]
fn a_batch_ends_at_its_bytes_and_a_held_one_stays_hidden() {
    let (cloud, key) = with_mapping(json!({}));
    for _ in 0..3 {
        post(&cloud, &"x".repeat(600), 0);
    }
    let batch = take(&cloud, &key, 10, 2000).unwrap();
    assert_eq!(batch.messages.len(), 2);
    cloud.0.advance(Duration::from_secs(20));
    cloud.0.run(|cx| batch.hold_on(cx));
    cloud.0.advance(Duration::from_secs(20));
    assert_eq!(take(&cloud, &key, 10, u64::MAX).unwrap().messages.len(), 1, "the other one");
    assert!(take(&cloud, &key, 10, u64::MAX).is_none());
    cloud.0.run(|cx| readers::give_back(cx, &batch.messages));
    assert_eq!(take(&cloud, &key, 10, u64::MAX).unwrap().messages.len(), 2, "back at once");
}

#[test]
fn a_loop_through_a_queue_is_cut_and_kept() {
    let (cloud, key) = with_mapping(json!({}));
    post(&cloud, "too deep", 16);
    post(&cloud, "fine", 15);
    let mut batch = take(&cloud, &key, 10, u64::MAX).unwrap();
    assert_eq!((batch.messages.len(), batch.depth()), (1, 15));
    let dead = crate::fabric::dead(cloud.0.store(), 10).unwrap();
    assert!(dead[0].last_error.starts_with("Recursive loop"), "{}", dead[0].last_error);
    assert_eq!(dead[0].arn, ARN);
    let event: Value = serde_json::from_slice(&dead[0].payload).unwrap();
    assert_eq!(event["Records"][0]["body"], "too deep");
    settle(&cloud, &mut batch, "null");
    assert_eq!(left(&cloud), 0);
}

#[test]
fn a_mapping_without_its_function_takes_nothing_and_one_that_is_deleted_leaves_nothing() {
    let (cloud, key) = with_mapping(json!({}));
    post(&cloud, "a", 0);
    cloud.ok("DELETE /2015-03-31/functions/f", &Value::Null);
    let step = cloud.0.run(|cx| key.take(cx, 10, u64::MAX));
    assert!(step.messages.is_empty() && !step.pause.watch.is_empty(), "it waits for the function");
    let Reader::Mapping((_, _, id)) = &key else { panic!("a mapping") };
    let path = format!("/2015-03-31/event-source-mappings/{id}");
    assert_eq!(cloud.ok(&format!("DELETE {path}"), &Value::Null)["State"], "Deleting");
    let refused = cloud.refusal(&format!("PUT {path}"), &json!({ "BatchSize": 1 }));
    assert_eq!(refused.0, "ResourceInUseException");
    let plan = cloud.0.run(|cx| key.plan(cx)).unwrap();
    assert!(!plan.runs);
    cloud.0.run(|cx| key.adopted(cx, plan.unsettled.unwrap()));
    assert_eq!(cloud.refusal(&format!("GET {path}"), &Value::Null).0, "ResourceNotFoundException");
    assert!(Reader::unfinished(cloud.0.store()).unwrap().is_empty());
    let listed = cloud.get(&format!("/2015-03-31/event-source-mappings?EventSourceArn={QUEUE}"));
    assert_eq!(listed["EventSourceMappings"], json!([]));
}

/// Of text that grows in JSON, so that a batch of it would be larger than an invocation may be.
#[test]
fn an_event_is_never_larger_than_an_invocation_may_be() {
    let (cloud, key) = with_mapping(json!({ "BatchSize": 100, "MaximumBatchingWindowInSeconds": 1 }));
    let body = "\"".repeat(1024 * 1024);
    for _ in 0..8 {
        post(&cloud, &body, 0);
    }
    let limits = mayfly_kernel::Limits::default();
    let room = limits.invoke_request_bytes - readers::message_bytes(&limits);
    let mut batch = take(&cloud, &key, 100, room).unwrap();
    let event = event(&mut batch);
    assert!(event.len() as u64 <= limits.invoke_request_bytes, "{} bytes", event.len());
    let said: u64 = batch.messages.iter().map(sqs::Lent::bytes).sum();
    assert!(event.len() as u64 <= said && batch.messages.len() == 2, "{said} bytes were said");
}
