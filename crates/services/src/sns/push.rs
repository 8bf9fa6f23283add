//! Push messages: to one endpoint or to subscribers.
//!
//! They go to the operator's gateway as documents of our own (docs/services/sns.md), with the device's token
//! and what the application is set up with, as both are when the message is sent. A gateway that answers 410
//! says that nobody has this token any more; its endpoint is disabled.

use super::applications;
use super::devices;
use super::faults;
use super::message::{Message, Notification};
use super::outside::{Errand, NOTIFICATION, Outgoing, Refused};
use super::publish::Published;
use super::topics::read_arn;
use crate::Cx;
use crate::fabric::{Delivery, Record, Target};
use mayfly_kernel::{Arn, Fault, Time};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What attributes that are about push messages begin with.
const ATTRIBUTES: &str = "AWS.SNS.MOBILE.";

pub(super) fn check_subscriber(cx: &Cx<'_>, endpoint: &str) -> Result<(), Fault> {
    applications::open_outlet(cx, "Protocol")?;
    let arn: Option<Arn> = endpoint.parse().ok();
    let found = match arn.filter(|arn| arn.service == "sns") {
        Some(arn) => devices::find(cx, &arn)?,
        None => None,
    };
    match found {
        Some(_) => Ok(()),
        None => Err(faults::invalid("Endpoint Reason: Endpoint does not exist")),
    }
}

/// What the gateway is told, but for what is looked up when it is sent.
fn document(now: Time, platform: &str, message: &Message, from: Option<(&Arn, &Arn)>) -> Vec<u8> {
    let attributes = message.attributes.iter().filter(|one| one.name.starts_with(ATTRIBUTES));
    let attributes: BTreeMap<&str, Option<&str>> =
        attributes.map(|one| (one.name.as_str(), one.text.as_deref())).collect();
    let mut document = json!({
        "type": "push",
        "messageId": message.id,
        "platform": platform,
        "message": message.text_named(platform),
        "attributes": attributes,
        "timestamp": mayfly_wire::time::iso8601(now),
    });
    if let Some(subject) = &message.subject {
        document["subject"] = json!(subject);
    }
    if let Some((topic, subscription)) = from {
        document["topicArn"] = json!(topic.to_string());
        document["subscriptionArn"] = json!(subscription.to_string());
    }
    document.to_string().into_bytes()
}

/// A topic's message for one of its subscribers.
pub(super) fn notification(endpoint: &str, notification: &Notification<'_>) -> Result<Vec<u8>, Fault> {
    let arn: Arn = endpoint.parse().map_err(|e| Fault::internal("read an endpoint", e))?;
    let platform = arn.resource.split('/').nth(1).unwrap_or_default();
    let from = Some((notification.topic, notification.subscription));
    Ok(document(notification.now, platform, notification.message, from))
}

/// Whether this is the ARN of an endpoint, and not of a topic.
pub(super) fn is_endpoint(arn: &str) -> bool {
    arn.rsplit(':').next().is_some_and(|resource| resource.starts_with("endpoint/"))
}

/// Publishes to one endpoint.
pub(super) fn publish(cx: &mut Cx<'_>, endpoint: &str, mut message: Message) -> Result<Published, Fault> {
    let arn = read_arn(endpoint, "TargetArn")?;
    cx.allow(&arn)?;
    applications::open_outlet(cx, "TargetArn")?;
    let missing = || faults::invalid("TargetArn Reason: No endpoint found for the target arn specified");
    let found = devices::find(cx, &arn)?.ok_or_else(missing)?;
    if found.record.disabled {
        return Err(faults::endpoint_disabled());
    }
    message.id = cx.ids.uuid();
    cx.deliver(Delivery {
        target: Target::Push { sender: arn.clone(), endpoint: endpoint.to_owned() },
        event_type: NOTIFICATION.into(),
        payload: document(cx.now, found.platform(), &message, None),
        source: arn.to_string(),
        id: Some(message.id.clone()),
        due: None,
        depth: cx.caller.depth,
        tenant: None,
    })?;
    Ok(Published::new(message.id))
}

fn found(cx: &Cx<'_>, endpoint: &str) -> Result<Option<devices::Found>, Fault> {
    let arn: Arn = endpoint.parse().map_err(|e| Fault::internal("read an endpoint", e))?;
    devices::find(cx, &arn)
}

/// What there is to do for a push message.
pub(super) fn errand(cx: &Cx<'_>, record: &Record, endpoint: &str) -> Result<Errand, Fault> {
    let Some(found) = found(cx, endpoint)? else {
        return Ok(Errand::Refuse(Refused::ForGood("the endpoint does not exist".into())));
    };
    if found.record.disabled {
        return Ok(Errand::Refuse(Refused::ForGood("the endpoint is disabled".into())));
    }
    let mut document: Value =
        serde_json::from_slice(&record.payload).map_err(|e| Fault::internal("read a push message", e))?;
    document["endpointArn"] = json!(endpoint);
    document["token"] = json!(found.record.token);
    document["customUserData"] = json!(found.record.user_data);
    document["application"] = found.application.for_gateway();
    Ok(Errand::Send(Outgoing::Push(document.to_string().into_bytes())))
}

/// A message was not taken, and will not be offered again; `gone` if nobody has the token any more.
pub(super) fn given_up(
    cx: &mut Cx<'_>,
    record: &Record,
    endpoint: &str,
    why: &str,
    gone: bool,
) -> Result<(), Fault> {
    let Some(mut found) = found(cx, endpoint)? else { return Ok(()) };
    if gone {
        found.record.disabled = true;
        found.put(cx);
    }
    let document: Value = serde_json::from_slice(&record.payload).unwrap_or_default();
    let failure = json!({
        "DeliveryAttempts": record.attempt,
        "FailureType": if gone { "InvalidPlatformToken" } else { "DeliveryFailed" },
        "FailureMessage": why,
        "MessageId": document["messageId"],
    });
    found.application.announce(cx, "DeliveryFailure", &found.arn(), failure)
}
