//! The topic's policy: whom it lets in, AddPermission and RemovePermission, and which documents are one.
//!
//! A topic without a policy of its own shows one that lets in its own account, which needs none.

use super::faults;
use super::keys::TOPICS;
use super::topics::{Opened, default_policy, open};
use crate::Cx;
use crate::access::{self, Agent, Document, Gate};
use crate::statements;
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault, Policy};
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
/// Named by older documents; it is no operation.
const RECEIVE: &str = "Receive";
/// By which an account gets back into a topic that it has locked.
const OF_POLICY: [&str; 4] =
    ["GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission"];

/// Asks whether the caller may do this operation on a topic, which may not exist. `facts` are what it says of
/// a subscription.
pub(super) fn admit(cx: &mut Cx<'_>, arn: &Arn, topic: Option<&Opened>, facts: Facts) -> Result<(), Fault> {
    let operation = match cx.operation {
        "PublishBatch" => "Publish",
        other => other,
    };
    let own = arn.account == cx.caller.account;
    let policy = topic.filter(|_| own || ACTIONS.contains(&operation));
    let policy = policy.map_or("", |topic| topic.record.policy.as_str());
    if access::is_free(cx, arn, policy) {
        return Ok(());
    }
    let action = format!("SNS:{operation}");
    let keeps_root_in = OF_POLICY.contains(&operation);
    let policy = Document::Text(policy);
    let gate = Gate { resource: arn, owner: &arn.account, action: &action, policy, facts, keeps_root_in };
    gate.caller(cx).map_err(faults::denied)
}

/// Whether a service that acts for a resource may publish to a topic.
pub(super) fn admits(cx: &Cx<'_>, topic: &Opened, agent: &Agent<'_>) -> Result<(), String> {
    if topic.record.policy.is_empty() && agent.account == topic.key.0 {
        return Ok(());
    }
    let gate = Gate {
        resource: &topic.arn(),
        owner: &topic.key.0,
        action: "SNS:Publish",
        policy: Document::Text(&topic.record.policy),
        facts: Facts::default(),
        keeps_root_in: false,
    };
    gate.agent(cx, agent)
}

/// Checks a document that is to be a topic's policy.
pub(super) fn check(document: &str) -> Result<(), Fault> {
    let policy: Policy = serde_json::from_str(document).map_err(|_| faults::invalid("Policy Error: null"))?;
    let known = |action: String| {
        let name = action.split_once(':').filter(|(service, _)| service.eq_ignore_ascii_case("sns"));
        name.is_some_and(|(_, name)| {
            ACTIONS.iter().chain([&RECEIVE]).any(|known| known.eq_ignore_ascii_case(name))
        })
    };
    match policy.actions().all(known) {
        true => Ok(()),
        false => Err(faults::invalid("Policy statement action out of service scope!")),
    }
}

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
    let mut document = statements::Document::read(&policy)
        .unwrap_or_else(|| statements::Document::new("__default_policy_ID".into()));
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
    let Some(mut document) = statements::Document::read(&topic.record.policy) else { return Ok(()) };
    document.remove(&input.label);
    topic.record.policy = document.write();
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(())
}
