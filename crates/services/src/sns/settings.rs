//! A subscription's attributes.

use super::model::Subscription;
use super::topics::Opened;
use super::{delivery, faults, filter};
use crate::{Cx, sqs};
use mayfly_kernel::{Arn, Fault};
use serde::Deserialize;
use std::collections::BTreeMap;

type Attributes = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
}

/// Changes the record by attributes as a caller writes them.
pub(super) fn apply(
    cx: &Cx<'_>,
    topic: &Opened,
    record: &mut Subscription,
    attributes: &Attributes,
) -> Result<(), Fault> {
    for (name, value) in attributes {
        set(cx, topic, record, name, value)?;
    }
    delivery::check(&record.delivery_policy, record.raw)?;
    filter::check(&record.filter_policy, record.filters_body)
}

fn set(cx: &Cx<'_>, topic: &Opened, record: &mut Subscription, name: &str, value: &str) -> Result<(), Fault> {
    let bad = |reason: &str| faults::attribute_value(name, reason);
    match name {
        "RawMessageDelivery" if !record.protocol().knows_raw() => {
            return Err(faults::invalid(format_args!(
                "Delivery protocol [{}] does not support raw message delivery.",
                record.protocol().name()
            )));
        }
        "RawMessageDelivery" => {
            let invalid = |_| bad(&format!("Invalid value [{value}]. Must be true or false."));
            record.raw = value.to_ascii_lowercase().parse().map_err(invalid)?;
        }
        "FilterPolicy" => record.filter_policy = if value == "{}" { String::new() } else { value.to_owned() },
        "FilterPolicyScope" => {
            record.filters_body = match value {
                "MessageAttributes" => false,
                "MessageBody" => true,
                _ => {
                    return Err(bad(&format!(
                        "Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
                    )));
                }
            }
        }
        "RedrivePolicy" => record.dead_letters = dead_letters(cx, topic, value)?,
        "DeliveryPolicy" if value.is_empty() => record.delivery_policy.clear(),
        "DeliveryPolicy" if record.protocol().is_web() => record.delivery_policy = value.to_owned(),
        "DeliveryPolicy" => {
            return Err(faults::invalid("DeliveryPolicy: only web endpoints have one."));
        }
        "SubscriptionRoleArn" | "ReplayPolicy" => {
            return Err(Fault::not_implemented(&format!("the attribute {name} of subscriptions")));
        }
        _ => return Err(faults::attribute_name()),
    }
    Ok(())
}

/// The queue of a redrive policy: of the topic's kind, or for a FIFO topic a FIFO queue.
fn dead_letters(cx: &Cx<'_>, topic: &Opened, value: &str) -> Result<String, Fault> {
    if value.is_empty() || value == "{}" {
        return Ok(String::new());
    }
    let bad = |reason: &str| faults::invalid(format_args!("RedrivePolicy: {reason}"));
    let policy: Redrive = serde_json::from_str(value).map_err(|_| bad("failed to parse JSON."))?;
    let arn: Option<Arn> = policy.dead_letter_target_arn.parse().ok();
    let Some(arn) = arn.filter(|arn| arn.service == "sqs") else {
        return Err(bad("deadLetterTargetArn is an invalid arn"));
    };
    match sqs::exists(cx, &arn)? {
        None => Err(bad("the dead-letter queue does not exist")),
        Some(facts) if facts.fifo != topic.record.fifo => {
            Err(bad("must use a FIFO queue as DLQ for a FIFO topic, and a standard one for a standard topic"))
        }
        Some(_) => Ok(arn.to_string()),
    }
}

/// Whether an existing subscription has what is asked for.
pub(super) fn agree(existing: &Subscription, asked: &Subscription, attributes: &Attributes) -> bool {
    let (existing, asked) = (show(existing), show(asked));
    attributes.keys().all(|name| existing.get(name) == asked.get(name))
}

/// The attributes that the record says.
pub(super) fn show(record: &Subscription) -> Attributes {
    let mut shown = vec![
        ("Protocol", record.protocol().name().to_owned()),
        ("Endpoint", record.endpoint.clone()),
        ("ConfirmationWasAuthenticated", (record.authenticated || record.locked).to_string()),
        ("PendingConfirmation", (!record.confirmed).to_string()),
        ("RawMessageDelivery", record.raw.to_string()),
        ("SubscriptionPrincipal", record.principal.clone()),
    ];
    if !record.filter_policy.is_empty() {
        let scope = if record.filters_body { "MessageBody" } else { "MessageAttributes" };
        shown.push(("FilterPolicy", record.filter_policy.clone()));
        shown.push(("FilterPolicyScope", scope.to_owned()));
    }
    if !record.dead_letters.is_empty() {
        let policy = serde_json::json!({ "deadLetterTargetArn": record.dead_letters });
        shown.push(("RedrivePolicy", policy.to_string()));
    }
    if !record.delivery_policy.is_empty() {
        shown.push(("DeliveryPolicy", record.delivery_policy.clone()));
    }
    shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
