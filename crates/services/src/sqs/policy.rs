//! AddPermission and RemovePermission: statements of the queue's policy document.
//!
//! Nothing asks the document yet: access is the account's wall.

use super::faults;
use super::keys::QUEUES;
use super::queues::{Opened, open};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

const STATEMENTS_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    queue_url: String,
    label: String,
    #[serde(rename = "AWSAccountIds")]
    accounts: Vec<String>,
    actions: Vec<String>,
}

const ACTIONS: [&str; 8] = [
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
];

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<(), Fault> {
    let queue = open(cx, &input.queue_url)?;
    if let Some(bad) = input.actions.iter().find(|action| !ACTIONS.contains(&action.as_str())) {
        let reason = "Only the queue owner is allowed to invoke this action, or it is unknown.";
        return Err(faults::parameter("ActionName", bad, reason));
    }
    if let Some(bad) =
        input.accounts.iter().find(|id| id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(faults::parameter("PrincipalId", bad, "Unable to verify."));
    }
    let (mut document, mut statements) = read(&queue);
    if statements.iter().any(|statement| statement["Sid"] == input.label) {
        return Err(faults::parameter("Label", &input.label, "Already exists."));
    }
    if statements.len() >= STATEMENTS_MAX {
        return Err(faults::over_limit("Statements of a queue's policy", "statements", STATEMENTS_MAX));
    }
    let principals: Vec<String> = input.accounts.iter().map(|id| format!("arn:aws:iam::{id}:root")).collect();
    let actions: Vec<String> = input.actions.iter().map(|action| format!("SQS:{action}")).collect();
    statements.push(json!({
        "Sid": input.label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_all(principals) },
        "Action": one_or_all(actions),
        "Resource": queue.arn().to_string(),
    }));
    document["Statement"] = Value::Array(statements);
    write(cx, queue, document.to_string());
    Ok(())
}

fn one_or_all(mut texts: Vec<String>) -> Value {
    match texts.len() {
        1 => json!(texts.remove(0)),
        _ => json!(texts),
    }
}

/// The document, and its statements apart.
fn read(queue: &Opened) -> (Value, Vec<Value>) {
    let fresh = || json!({ "Version": "2012-10-17", "Id": format!("{}/SQSDefaultPolicy", queue.arn()) });
    let mut document: Value = serde_json::from_str(&queue.record.policy).unwrap_or_else(|_| fresh());
    let statements = match document["Statement"].take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    };
    (document, statements)
}

fn write(cx: &mut Cx<'_>, mut queue: Opened, policy: String) {
    queue.record.policy = policy;
    queue.record.modified_ms = cx.now.ms();
    QUEUES.put(cx.tx, &queue.key, &queue.record);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    queue_url: String,
    label: String,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<(), Fault> {
    let queue = open(cx, &input.queue_url)?;
    let (mut document, mut statements) = read(&queue);
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != input.label);
    if statements.len() == before {
        return Err(faults::parameter("Label", &input.label, "can't find label on existing policy."));
    }
    let policy = if statements.is_empty() {
        String::new()
    } else {
        document["Statement"] = Value::Array(statements);
        document.to_string()
    };
    write(cx, queue, policy);
    Ok(())
}
