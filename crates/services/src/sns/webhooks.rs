//! Messages to web endpoints: how they are asked whether they want them, what they get, and what follows.
//!
//! A message on its way is a delivery of the fabric in a lane of its endpoint's own, so a slow endpoint makes no other
//! wait. Nobody gets a message who has not confirmed that he wants it.
//!
//! Not here: sending (the binary's driver does).

use super::message::Notification;
use super::retry;
use super::subscriptions::{self, Found};
use super::topics::{Opened, find};
use crate::Cx;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::sqs::{self, Attribute, Post};
use mayfly_kernel::{Arn, Fault};
use serde_json::json;

const NOTIFICATION: &str = "aws.sns.Notification";
const CONFIRMATION: &str = "aws.sns.SubscriptionConfirmation";
const RAW: &str = "aws.sns.RawNotification";

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Why an endpoint did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Asking again is no use.
    pub for_good: bool,
    pub why: String,
}

/// Asks an endpoint whether it wants a topic's messages.
pub(super) fn ask(cx: &mut Cx<'_>, topic: &Arn, found: &Found) -> Result<(), Fault> {
    let (id, token) = (cx.ids.uuid(), &found.record.token);
    let subscribe_url = format!(
        "{}://{}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}",
        cx.site.scheme(),
        cx.site.authority
    );
    let body = json!({
        "Type": "SubscriptionConfirmation",
        "MessageId": id,
        "Token": token,
        "TopicArn": topic.to_string(),
        "Message": format!(
            "You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, visit the SubscribeURL \
             included in this message."
        ),
        "SubscribeURL": subscribe_url,
        "Timestamp": mayfly_wire::time::iso8601(cx.now),
    });
    let payload = serde_json::to_vec(&body).map_err(|e| Fault::internal("write a confirmation", e))?;
    deliver(cx, topic, found, CONFIRMATION, (id, payload), 0)
}

/// Writes a notification down for an endpoint.
pub(super) fn notify(
    cx: &mut Cx<'_>,
    found: &Found,
    notification: &Notification<'_>,
    depth: u32,
) -> Result<(), Fault> {
    let (event_type, payload) = match found.record.raw {
        true => (RAW, notification.message.text(notification.protocol).as_bytes().to_vec()),
        false => (NOTIFICATION, notification.envelope()?),
    };
    deliver(cx, notification.topic, found, event_type, (notification.message.id.clone(), payload), depth)
}

fn deliver(
    cx: &mut Cx<'_>,
    topic: &Arn,
    found: &Found,
    event_type: &str,
    (id, payload): (String, Vec<u8>),
    depth: u32,
) -> Result<(), Fault> {
    cx.deliver(Delivery {
        target: Target::Webhook { subscription: found.arn(), url: found.record.endpoint.clone() },
        event_type: event_type.into(),
        payload,
        source: topic.to_string(),
        id: Some(id),
        due: None,
        depth,
        tenant: None,
    })
}

/// The subscription of a delivery, if it is still one that wants it.
fn subscription(cx: &Cx<'_>, record: &Record) -> Result<Option<(Opened, Found)>, Fault> {
    let Target::Webhook { subscription, .. } = record.target()? else {
        return Err(Fault::internal("send to a web endpoint", "the delivery goes elsewhere"));
    };
    let Some(found) = subscriptions::find(cx, &subscription)? else { return Ok(None) };
    let wants = found.record.confirmed != (record.event_type == CONFIRMATION);
    let Some(topic) = find(cx, &found.topic_arn())?.filter(|_| wants) else { return Ok(None) };
    Ok(Some((topic, found)))
}

/// The request of a delivery; `None` if nobody wants it any more.
pub fn webhook(cx: &mut Cx<'_>, record: &Record) -> Result<Option<Webhook>, Fault> {
    cx.allowed_by_policy();
    let Some((topic, found)) = subscription(cx, record)? else { return Ok(None) };
    let kind = if record.event_type == CONFIRMATION { "SubscriptionConfirmation" } else { "Notification" };
    let mut headers = vec![
        ("content-type", "text/plain; charset=UTF-8".to_owned()),
        ("user-agent", "Amazon Simple Notification Service Agent".to_owned()),
        ("x-amz-sns-message-type", kind.to_owned()),
        ("x-amz-sns-message-id", record.id.clone()),
        ("x-amz-sns-topic-arn", topic.arn().to_string()),
    ];
    if record.event_type != CONFIRMATION {
        headers.push(("x-amz-sns-subscription-arn", found.arn().to_string()));
    }
    if record.event_type == RAW {
        headers.push(("x-amz-sns-rawdelivery", "true".to_owned()));
    }
    Ok(Some(Webhook { url: found.record.endpoint, headers, body: record.payload.clone() }))
}

/// Ends a flight to an endpoint: done, tried again as the delivery policy says, or given up.
pub fn settled(cx: &mut Cx<'_>, record: &Record, sent: Result<&(), &Refused>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let verdict = match (sent, subscription(cx, record)?) {
        (Ok(&()), _) | (Err(_), None) => Verdict::Done,
        (Err(refused), Some((topic, found))) => failed(cx, record, refused, &topic, &found)?,
    };
    fabric::settle(cx, record.clone(), verdict)
}

fn failed(
    cx: &mut Cx<'_>,
    record: &Record,
    refused: &Refused,
    topic: &Opened,
    found: &Found,
) -> Result<Verdict, Fault> {
    let policy = retry::policy(&topic.record.delivery_policy, &found.record.delivery_policy);
    if let Some(pause) = policy.pause(record.attempt).filter(|_| !refused.for_good) {
        return Ok(Verdict::Retry { at: cx.now + pause });
    }
    let reason = refused.why.clone();
    if found.record.dead_letters.is_empty() || record.event_type == CONFIRMATION {
        return Ok(Verdict::Dead { reason });
    }
    let arn: Arn = found.record.dead_letters.parse().map_err(|e| Fault::internal("read dead letters", e))?;
    let attributes = vec![
        Attribute::of_text("ErrorMessage", "String", &reason),
        Attribute::of_text("RequestID", "String", &record.id),
    ];
    let letter = Post { attributes, ..Post::new(record.payload.clone(), record.depth) };
    Ok(match sqs::post(cx, &arn, letter)? {
        Ok(()) => Verdict::Done,
        Err(unreached) => {
            Verdict::Dead { reason: format!("{reason}; for the dead letters {arn}: {unreached}") }
        }
    })
}
