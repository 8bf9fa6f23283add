//! The queue's policy: whom it lets in, AddPermission and RemovePermission, and which documents are one.
//!
//! What another account may be let do is told in "Amazon SQS API permissions": the rest is for the queue's
//! own.

use super::faults;
use super::keys::QUEUES;
use super::queues::{Opened, open};
use crate::Cx;
use crate::access::{self, Agent, Document, Gate};
use crate::statements;
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault, Policy};
use serde::Deserialize;

const STATEMENTS_MAX: usize = 20;

/// What only the queue's own account may do, whatever its policy says.
const OWN: [&str; 11] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
    // The platform's own work has no operation.
    "",
];
/// By which an account gets back into a queue that it has locked.
const OF_POLICY: [&str; 4] =
    ["GetQueueAttributes", "SetQueueAttributes", "AddPermission", "RemovePermission"];

/// Asks whether the caller may do this operation on a queue, which may not exist.
pub(super) fn admit(cx: &mut Cx<'_>, arn: &Arn, queue: Option<&Opened>) -> Result<(), Fault> {
    let operation = cx.operation;
    let own = arn.account == cx.caller.account;
    let policy = queue.filter(|_| own || !OWN.contains(&operation));
    let policy = policy.map_or("", |queue| queue.record.policy.as_str());
    if access::is_free(cx, arn, policy) {
        return Ok(());
    }
    let action = format!("sqs:{}", operation.trim_end_matches("Batch").to_ascii_lowercase());
    let gate = Gate {
        resource: arn,
        owner: &arn.account,
        action: &action,
        policy: Document::Text(policy),
        facts: Facts::default(),
        keeps_root_in: OF_POLICY.contains(&operation),
    };
    gate.caller(cx).map_err(faults::denied)
}

/// Whether a service that acts for a resource may send to a queue.
pub(super) fn admits(cx: &Cx<'_>, queue: &Opened, agent: &Agent<'_>) -> Result<(), String> {
    if queue.record.policy.is_empty() && agent.account == queue.key.0 {
        return Ok(());
    }
    let gate = Gate {
        resource: &queue.arn(),
        owner: &queue.key.0,
        action: "sqs:sendmessage",
        policy: Document::Text(&queue.record.policy),
        facts: Facts::default(),
        keeps_root_in: false,
    };
    gate.agent(cx, agent)
}

/// Whether a document is a policy of queues.
pub(super) fn is_policy(document: &str) -> bool {
    let of_queues = |action: String| action == "*" || action.to_ascii_lowercase().starts_with("sqs:");
    serde_json::from_str::<Policy>(document).is_ok_and(|policy| policy.actions().all(of_queues))
}

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

fn read(queue: &Opened) -> statements::Document {
    let fresh = || statements::Document::new(format!("{}/SQSDefaultPolicy", queue.arn()));
    statements::Document::read(&queue.record.policy).unwrap_or_else(fresh)
}

fn write(cx: &mut Cx<'_>, mut queue: Opened, policy: statements::Document) {
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
