//! AddPermission and RemovePermission: statements of the queue's policy document.
//!
//! Nothing asks the document yet: access is the account's wall.

use super::faults;
use super::keys::QUEUES;
use super::queues::{Opened, open};
use crate::Cx;
use crate::statements::Document;
use mayfly_kernel::Fault;
use serde::Deserialize;

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
    let mut document = read(&queue);
    if document.has(&input.label) {
        return Err(faults::parameter("Label", &input.label, "Already exists."));
    }
    if document.len() >= STATEMENTS_MAX {
        return Err(faults::over_limit("Statements of a queue's policy", "statements", STATEMENTS_MAX));
    }
    let actions: Vec<String> = input.actions.iter().map(|action| format!("SQS:{action}")).collect();
    document.allow(&input.label, &input.accounts, actions, &queue.arn());
    write(cx, queue, document);
    Ok(())
}

fn read(queue: &Opened) -> Document {
    let fresh = || Document::new(format!("{}/SQSDefaultPolicy", queue.arn()));
    Document::read(&queue.record.policy).unwrap_or_else(fresh)
}

fn write(cx: &mut Cx<'_>, mut queue: Opened, policy: Document) {
    queue.record.policy = policy.write();
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
    let mut document = read(&queue);
    if !document.remove(&input.label) {
        return Err(faults::parameter("Label", &input.label, "can't find label on existing policy."));
    }
    write(cx, queue, document);
    Ok(())
}
