//! Scenarios through the operation table.

mod contention;
mod faults;
mod fifo;
mod forms;
mod golden;
mod model;
mod redrive;
mod standard;

use crate::testing::Bench;
use serde_json::{Value, json};

fn call(bench: &Bench, operation: &str, input: Value) -> Value {
    bench.call("sqs", operation, &input).unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
}

fn code(bench: &Bench, operation: &str, input: Value) -> String {
    let fault = bench.call("sqs", operation, &input).expect_err(operation);
    fault.query_code.map_or_else(|| fault.code.to_string(), str::to_owned)
}

fn create(bench: &Bench, name: &str, attributes: Value) -> String {
    let made = call(bench, "CreateQueue", json!({ "QueueName": name, "Attributes": attributes }));
    made["QueueUrl"].as_str().unwrap().to_owned()
}

fn send(bench: &Bench, url: &str, body: &str) -> Value {
    call(bench, "SendMessage", json!({ "QueueUrl": url, "MessageBody": body }))
}

/// Sends to a group of a FIFO queue, under a deduplication id.
fn send_to(bench: &Bench, url: &str, group: &str, id: &str) -> Value {
    let message = json!({
        "QueueUrl": url, "MessageBody": id, "MessageGroupId": group, "MessageDeduplicationId": id,
    });
    call(bench, "SendMessage", message)
}

fn receive(bench: &Bench, url: &str, most: usize) -> Vec<Value> {
    let input = json!({ "QueueUrl": url, "MaxNumberOfMessages": most, "AttributeNames": ["All"],
        "MessageAttributeNames": ["All"] });
    match call(bench, "ReceiveMessage", input)["Messages"].take() {
        Value::Array(messages) => messages,
        _ => Vec::new(),
    }
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().unwrap()).collect()
}

fn handle(message: &Value) -> &str {
    message["ReceiptHandle"].as_str().unwrap()
}

fn delete(bench: &Bench, url: &str, message: &Value) {
    call(bench, "DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle(message) }));
}

fn hide(bench: &Bench, url: &str, message: &Value, seconds: u32) {
    let input = json!({ "QueueUrl": url, "ReceiptHandle": handle(message), "VisibilityTimeout": seconds });
    call(bench, "ChangeMessageVisibility", input);
}

/// Visible, in flight, delayed.
fn counts(bench: &Bench, url: &str) -> (u64, u64, u64) {
    let shown = call(bench, "GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] }));
    let number = |name: &str| shown["Attributes"][name].as_str().unwrap().parse().unwrap();
    (
        number("ApproximateNumberOfMessages"),
        number("ApproximateNumberOfMessagesNotVisible"),
        number("ApproximateNumberOfMessagesDelayed"),
    )
}

/// Lets the collector do all that it has to do.
fn expire(bench: &Bench) -> usize {
    let mut all = 0;
    loop {
        match bench.run(|cx| super::expire(cx, 100)) {
            0 => return all,
            some => all += some,
        }
    }
}
