//! Filter policies: which messages a subscription wants, by their attributes or by their bodies.

use super::faults;
use super::message::{Attribute, Message};
use super::model::Subscription;
use crate::pattern::Pattern;
use mayfly_kernel::Fault;
use serde_json::{Map, Value};

/// Of one policy, the alternatives of its keys multiplied.
const COMBINATIONS_MAX: usize = 150;
const KEYS_MAX: usize = 5;

/// Checks a document that a caller sets; an empty one wants everything.
pub(super) fn check(policy: &str, on_body: bool) -> Result<(), Fault> {
    if policy.is_empty() {
        return Ok(());
    }
    let bad = |reason: &dyn std::fmt::Display| faults::invalid(format_args!("FilterPolicy: {reason}"));
    let document: Map<String, Value> =
        serde_json::from_str(policy).map_err(|_| bad(&"failed to parse JSON."))?;
    if !on_body && document.iter().any(|(name, value)| name != "$or" && value.is_object()) {
        return Err(bad(&"Filter policy scope MessageAttributes does not support nested filter policy"));
    }
    let (keys, combinations) = size(&Value::Object(document), 1);
    if keys > KEYS_MAX {
        return Err(bad(&"Filter policy can not have more than 5 keys"));
    }
    if combinations > COMBINATIONS_MAX {
        return Err(bad(&"Filter policy is too complex"));
    }
    Pattern::compile(policy).map(drop).map_err(|reason| bad(&reason))
}

/// How many keys a policy has at its leaves, and how many combinations of their alternatives; on a deeper
/// level, an alternative counts as often as the level says.
fn size(policy: &Value, level: usize) -> (usize, usize) {
    match policy {
        Value::Object(members) => members.values().fold((0, 1), |(keys, combinations), member| {
            let (more, times) = size(member, level + 1);
            (keys + more, combinations.saturating_mul(times.max(1)))
        }),
        Value::Array(alternatives) => (1, alternatives.len().saturating_mul(level.saturating_sub(1).max(1))),
        _ => (1, 1),
    }
}

/// What subscriptions ask of a message, worked out once for all of them.
pub(super) struct Filtered {
    attributes: Value,
    /// `None` if the body is no JSON object, which no policy on bodies wants.
    body: Option<Value>,
}

impl Filtered {
    pub(super) fn new(message: &Message) -> Filtered {
        let attributes = message.attributes.iter().map(|one| (one.name.clone(), comparable(one)));
        let body = serde_json::from_str(&message.body).ok().filter(Value::is_object);
        Filtered { attributes: Value::Object(attributes.collect()), body }
    }

    pub(super) fn wanted_by(&self, subscription: &Subscription) -> Result<bool, Fault> {
        if subscription.filter_policy.is_empty() {
            return Ok(true);
        }
        let pattern = Pattern::compile(&subscription.filter_policy)
            .map_err(|reason| Fault::internal("read a filter policy", reason))?;
        let document = if subscription.filters_body { self.body.as_ref() } else { Some(&self.attributes) };
        Ok(document.is_some_and(|document| pattern.matches(document)))
    }
}

/// An attribute as policies compare it: numbers as numbers, arrays by their elements; bytes are not compared.
fn comparable(attribute: &Attribute) -> Value {
    let text = attribute.text.as_deref().unwrap_or_default();
    let parsed = || serde_json::from_str::<Value>(text).ok();
    match attribute.data_type.as_str() {
        "Number" => parsed().filter(Value::is_number).unwrap_or(Value::Null),
        "String.Array" => parsed().unwrap_or(Value::Null),
        _ => Value::String(text.to_owned()),
    }
}
