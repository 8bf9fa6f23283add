//! Messages to those outside: web endpoints, mailboxes, phones and apps; how they are asked whether they want
//! them, what they get, and what follows.
//!
//! A message on its way is a delivery of the fabric: in a lane of its endpoint's own to the web, so a slow
//! endpoint makes no other wait; in one lane each through the operator's mail server and gateways of text and
//! push messages. Web endpoints and mailboxes get nothing before they have confirmed that they want it.
//!
//! Not here: sending (the binary's driver does), and how it looks ([`super::web`], [`super::mail`],
//! [`super::texts`], [`super::push`]).

use super::message::Notification;
use super::model::Protocol;
use super::retry::Retries;
use super::signature::{self, Stamp};
use super::subscriptions::{self, Found};
use super::topics::{Opened, find};
use super::{delivery, fanout, mail, push, texts, web};
use crate::Cx;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::sqs::{self, Attribute, Place, Post};
use mayfly_kernel::{Arn, Fault};
use serde::Serialize;
use tracing::warn;

pub(super) const NOTIFICATION: &str = "aws.sns.Notification";
pub(super) const CONFIRMATION: &str = "aws.sns.SubscriptionConfirmation";
pub(super) const FAREWELL: &str = "aws.sns.UnsubscribeConfirmation";
pub(super) const RAW: &str = "aws.sns.RawNotification";

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Web(web::Webhook),
    Mail(mail::Letter),
    /// A document for the operator's gateway of text messages.
    Text(Vec<u8>),
    /// A document for the operator's gateway of push messages.
    Push(Vec<u8>),
}

/// What there is to do for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    Send(Outgoing),
    /// It is refused without being sent.
    Refuse(Refused),
    /// Nobody wants it any more.
    Forget,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It may be taken later.
    Later(String),
    /// Asking again is no use.
    ForGood(String),
    /// There is nobody there any more, and there will not be.
    Gone(String),
}

impl Refused {
    fn why(&self) -> &str {
        match self {
            Refused::Later(why) | Refused::ForGood(why) | Refused::Gone(why) => why,
        }
    }
}

/// Asks an endpoint whether it wants a topic's messages.
pub(super) fn ask(cx: &mut Cx<'_>, topic: &Opened, found: &Found) -> Result<(), Fault> {
    let arn = topic.arn();
    let text = format!(
        "You have chosen to subscribe to the topic {arn}.\nTo confirm the subscription, visit the SubscribeURL included \
         in this message."
    );
    question(cx, topic, found, (CONFIRMATION, "SubscriptionConfirmation"), &text)
}

/// Tells an endpoint that somebody without a signature has ended its subscription, and how to take that back.
pub(super) fn farewell(cx: &mut Cx<'_>, topic: &Opened, found: &Found) -> Result<(), Fault> {
    let text = format!(
        "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the subscription, visit \
         the SubscribeURL included in this message.",
        found.arn()
    );
    question(cx, topic, found, (FAREWELL, "UnsubscribeConfirmation"), &text)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    r#type: &'a str,
    message_id: &'a str,
    token: &'a str,
    topic_arn: &'a str,
    message: &'a str,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: &'a str,
    timestamp: &'a str,
    #[serde(flatten)]
    stamp: Stamp,
}

fn question(
    cx: &mut Cx<'_>,
    topic: &Opened,
    found: &Found,
    (event_type, kind): (&str, &str),
    message: &str,
) -> Result<(), Fault> {
    let (id, token, arn) = (cx.ids.uuid(), found.record.token.as_str(), topic.arn());
    let (scheme, authority) = (cx.site.scheme(), &cx.site.authority);
    let subscribe_url =
        format!("{scheme}://{authority}/?Action=ConfirmSubscription&TopicArn={arn}&Token={token}");
    let (topic_arn, timestamp) = (arn.to_string(), mayfly_wire::time::iso8601(cx.now));
    let signed = [
        ("Message", message),
        ("MessageId", &id),
        ("SubscribeURL", &subscribe_url),
        ("Timestamp", &timestamp),
        ("Token", token),
        ("TopicArn", &topic_arn),
        ("Type", kind),
    ];
    let question = Question {
        r#type: kind,
        message_id: &id,
        token,
        topic_arn: &topic_arn,
        message,
        subscribe_url: &subscribe_url,
        timestamp: &timestamp,
        stamp: signature::stamp(cx, topic, &signed)?,
    };
    let payload = serde_json::to_vec(&question).map_err(|e| Fault::internal("write a question", e))?;
    if found.record.protocol() == Protocol::Queue {
        let queue: Arn = found.record.endpoint.parse().map_err(|e| Fault::internal("read an endpoint", e))?;
        let place = topic.record.fifo.then(|| Place { group: topic_arn.clone(), dedup: id });
        let post = Post { place, ..Post::new(payload, 0) };
        let asked = sqs::post(cx, &queue, &fanout::agent(&topic_arn), post)?;
        return asked.or_else(|why| {
            warn!(subscription = %found.arn(), %queue, %why, "a queue cannot be asked");
            Ok(())
        });
    }
    deliver(cx, found, event_type, (id, payload), 0)
}

/// Writes a notification down for somebody outside.
pub(super) fn notify(
    cx: &mut Cx<'_>,
    found: &Found,
    notification: &Notification<'_>,
    depth: u32,
) -> Result<(), Fault> {
    let (event_type, payload) = match found.record.protocol() {
        Protocol::Text => (NOTIFICATION, texts::notification(cx, &found.record.endpoint, notification)?),
        Protocol::Push => (NOTIFICATION, push::notification(&found.record.endpoint, notification)?),
        _ if found.record.raw => (RAW, notification.message.text(notification.protocol).as_bytes().to_vec()),
        _ => (NOTIFICATION, notification.envelope()?),
    };
    deliver(cx, found, event_type, (notification.message.id.clone(), payload), depth)
}

fn deliver(
    cx: &mut Cx<'_>,
    found: &Found,
    event_type: &str,
    (id, payload): (String, Vec<u8>),
    depth: u32,
) -> Result<(), Fault> {
    let (subscription, endpoint) = (found.arn(), found.record.endpoint.clone());
    // One message goes to many in a lane that they share, so it cannot be what tells deliveries apart there.
    let id = found.record.protocol().is_web().then_some(id);
    let target = match found.record.protocol() {
        Protocol::Email | Protocol::EmailJson => Target::Mail { subscription, address: endpoint },
        Protocol::Text => Target::Text { sender: subscription, number: endpoint },
        Protocol::Push => Target::Push { sender: subscription, endpoint },
        _ => Target::Webhook { subscription, url: endpoint },
    };
    cx.deliver(Delivery {
        target,
        event_type: event_type.into(),
        payload,
        source: found.topic_arn().to_string(),
        id,
        due: None,
        depth,
        tenant: None,
    })
}

/// Who sent something: a subscription, or somebody who published to one phone or app alone.
enum Sender {
    Subscription(Box<(Opened, Found)>),
    Direct,
}

/// The sender of a delivery; `None` if it is a subscription that is gone, or does not want this any more.
fn sender(cx: &Cx<'_>, record: &Record) -> Result<Option<Sender>, Fault> {
    let arn = match record.target()? {
        Target::Webhook { subscription, .. } | Target::Mail { subscription, .. } => subscription,
        Target::Text { sender, .. } | Target::Push { sender, .. } if sender.resource.contains(':') => sender,
        Target::Text { .. } | Target::Push { .. } => return Ok(Some(Sender::Direct)),
        _ => return Err(Fault::internal("send to the outside", "the delivery goes elsewhere")),
    };
    let found = match record.event_type.as_str() {
        FAREWELL => subscriptions::find_ended(cx, &arn)?,
        CONFIRMATION => subscriptions::find(cx, &arn)?.filter(|found| !found.record.confirmed),
        _ => subscriptions::find(cx, &arn)?.filter(|found| found.record.confirmed),
    };
    let Some(found) = found else { return Ok(None) };
    let Some(topic) = find(cx, &found.topic_arn())? else { return Ok(None) };
    Ok(Some(Sender::Subscription(Box::new((topic, found)))))
}

/// What there is to do for a delivery to the outside.
pub fn errand(cx: &mut Cx<'_>, record: &Record) -> Result<Errand, Fault> {
    cx.allowed_by_policy();
    let Some(sender) = sender(cx, record)? else { return Ok(Errand::Forget) };
    match (record.target()?, sender) {
        (Target::Text { number, .. }, _) => texts::errand(cx, record, &number),
        (Target::Push { endpoint, .. }, _) => push::errand(cx, record, &endpoint),
        (Target::Mail { .. }, Sender::Subscription(of)) => mail::errand(&of.0, &of.1, record),
        (_, Sender::Subscription(of)) => Ok(Errand::Send(Outgoing::Web(web::request(&of.0, &of.1, record)))),
        (_, Sender::Direct) => Ok(Errand::Forget),
    }
}

/// Ends a flight to the outside: done, tried again, or given up.
pub fn settled(cx: &mut Cx<'_>, record: &Record, sent: Result<&(), &Refused>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let verdict = match (sent, sender(cx, record)?) {
        (Ok(&()), _) | (Err(_), None) => Verdict::Done,
        (Err(refused), Some(sender)) => failed(cx, record, refused, &sender)?,
    };
    fabric::settle(cx, record.clone(), verdict)
}

fn failed(cx: &mut Cx<'_>, record: &Record, refused: &Refused, sender: &Sender) -> Result<Verdict, Fault> {
    let target = record.target()?;
    match refused {
        Refused::Later(_) => {
            if let Some(pause) = retries(cx, &target, sender).pause(record.attempt) {
                return Ok(Verdict::Retry { at: cx.now + pause });
            }
        }
        Refused::ForGood(_) => {}
        Refused::Gone(_) => {
            if let Target::Text { number, .. } = &target {
                texts::opt_out(cx, number);
            }
        }
    }
    let reason = refused.why().to_owned();
    if let Target::Push { endpoint, .. } = &target {
        push::given_up(cx, record, endpoint, &reason, matches!(refused, Refused::Gone(_)))?;
    }
    let dead_letters = match sender {
        Sender::Subscription(of) if record.event_type != CONFIRMATION && record.event_type != FAREWELL => {
            of.1.record.dead_letters.as_str()
        }
        Sender::Subscription(_) | Sender::Direct => "",
    };
    if dead_letters.is_empty() {
        return Ok(Verdict::Dead { reason });
    }
    let arn: Arn = dead_letters.parse().map_err(|e| Fault::internal("read dead letters", e))?;
    let attributes = vec![
        Attribute::of_text("ErrorMessage", "String", &reason),
        Attribute::of_text("RequestID", "String", &record.id),
    ];
    let letter = Post { attributes, ..Post::new(record.payload.clone(), record.depth) };
    Ok(match sqs::post(cx, &arn, &fanout::agent(&record.source), letter)? {
        Ok(()) => Verdict::Done,
        Err(unreached) => {
            Verdict::Dead { reason: format!("{reason}; for the dead letters {arn}: {unreached}") }
        }
    })
}

fn retries(cx: &Cx<'_>, target: &Target, sender: &Sender) -> Retries {
    match (target, sender) {
        (Target::Webhook { .. }, Sender::Subscription(of)) => {
            delivery::policy(&of.0.record.delivery_policy, &of.1.record.delivery_policy).retries
        }
        _ => Retries::of_operators(cx.limits.sns_retry_seconds),
    }
}
