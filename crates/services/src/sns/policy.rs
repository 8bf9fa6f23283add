//! AddPermission and RemovePermission: statements of the topic's policy document.
//!
//! Nothing asks the document yet: access is the account's wall.

use super::faults;
use super::keys::TOPICS;
use super::topics::{default_policy, open};
use crate::Cx;
use crate::statements::Document;
use mayfly_kernel::Fault;
use serde::Deserialize;

const ACTIONS: [&str; 8] = [
    "Publish",
    "RemovePermission",
    "SetTopicAttributes",
    "DeleteTopic",
    "ListSubscriptionsByTopic",
    "GetTopicAttributes",
    "AddPermission",
    "Subscribe",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    topic_arn: String,
    label: String,
    #[serde(rename = "AWSAccountId")]
    accounts: Vec<String>,
    #[serde(rename = "ActionName")]
    actions: Vec<String>,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<(), Fault> {
    let mut topic = open(cx, &input.topic_arn)?;
    if let Some(bad) = input.actions.iter().find(|action| !ACTIONS.contains(&action.as_str())) {
        return Err(faults::invalid(format_args!("Policy statement action out of service scope! ({bad})")));
    }
    let account = |id: &String| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    if !input.accounts.iter().all(account) {
        return Err(faults::invalid("AWSAccountId"));
    }
    let arn = topic.arn();
    let policy = if topic.record.policy.is_empty() { default_policy(&topic) } else { topic.record.policy };
    let mut document = Document::read(&policy).unwrap_or_else(|| Document::new("__default_policy_ID".into()));
    if document.has(&input.label) {
        return Err(faults::invalid("Statement already exists"));
    }
    let actions: Vec<String> = input.actions.iter().map(|action| format!("SNS:{action}")).collect();
    document.allow(&input.label, &input.accounts, actions, &arn);
    topic.record.policy = document.write();
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    topic_arn: String,
    label: String,
}

/// A label that is not there is as good as removed.
pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<(), Fault> {
    let mut topic = open(cx, &input.topic_arn)?;
    let Some(mut document) = Document::read(&topic.record.policy) else { return Ok(()) };
    document.remove(&input.label);
    topic.record.policy = document.write();
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(())
}
