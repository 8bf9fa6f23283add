//! From a topic to its subscribers, in the commit of the publish.
//!
//! A queue gets the message itself, a function and whoever is outside a delivery of the fabric. Who cannot be
//! reached by its own fault (it is gone, or does not let the topic in) gets nothing: the message goes to the
//! subscription's dead letters, and without any it is dropped with a word in the log, as SNS does.

use super::filter::Filtered;
use super::message::{Message, Notification};
use super::model::Protocol;
use super::outside;
use super::signature::{Stamp, Stamps};
use super::subscriptions::{self, Found};
use super::topics::Opened;
use crate::access::Agent;
use crate::fabric::{Delivery, Target};
use crate::sqs::{self, Attribute, Place, Post};
use crate::{Cx, lambda};
use mayfly_kernel::{Arn, Fault};
use tracing::warn;

/// The service as which topics send and call functions.
const PRINCIPAL: &str = "sns.amazonaws.com";

/// Whom a topic has to tell.
pub(super) struct Audience(Vec<Found>);

impl Audience {
    pub(super) fn of(cx: &Cx<'_>, topic: &Opened) -> Result<Audience, Fault> {
        let mut all = subscriptions::of_topic(cx, topic)?;
        all.retain(|found| found.record.confirmed);
        Ok(Audience(all))
    }
}

pub(super) fn fan_out(
    cx: &mut Cx<'_>,
    topic: &Opened,
    audience: &Audience,
    message: &Message,
    depth: u32,
) -> Result<(), Fault> {
    let filtered = Filtered::new(message);
    let mut stamps = Stamps::new(topic, message);
    let arn = topic.arn();
    for found in &audience.0 {
        if !filtered.wanted_by(&found.record)? {
            continue;
        }
        let stamp = match is_stamped(found) {
            true => stamps.of(cx, message.text(found.record.protocol()))?,
            false => None,
        };
        send(cx, &arn, found, (message, stamp), depth)?;
    }
    Ok(())
}

/// Whether a subscriber gets the document with the signature in it.
fn is_stamped(found: &Found) -> bool {
    match found.record.protocol() {
        Protocol::Queue | Protocol::Http | Protocol::Https => !found.record.raw,
        Protocol::Function | Protocol::EmailJson => true,
        Protocol::Email | Protocol::Text | Protocol::Push | Protocol::Unspecified => false,
    }
}

fn send(
    cx: &mut Cx<'_>,
    topic: &Arn,
    found: &Found,
    (message, stamp): (&Message, Option<&Stamp>),
    depth: u32,
) -> Result<(), Fault> {
    let subscription = found.arn();
    let unsubscribe_url = format!(
        "{}://{}/?Action=Unsubscribe&SubscriptionArn={subscription}",
        cx.site.scheme(),
        cx.site.authority
    );
    let notification = Notification {
        message,
        topic,
        subscription: &subscription,
        protocol: found.record.protocol(),
        now: cx.now,
        unsubscribe_url: &unsubscribe_url,
        stamp,
    };
    let unreached = match found.record.protocol() {
        Protocol::Queue => to_queue(cx, found, &notification, depth)?,
        Protocol::Function => to_function(cx, found, &notification, depth)?,
        Protocol::Http
        | Protocol::Https
        | Protocol::Email
        | Protocol::EmailJson
        | Protocol::Text
        | Protocol::Push => {
            outside::notify(cx, found, &notification, depth)?;
            None
        }
        Protocol::Unspecified => Some("it has no place here".to_owned()),
    };
    match unreached {
        None => Ok(()),
        Some(why) => bury(cx, found, &notification, &why, depth),
    }
}

/// SNS, as it sends for a topic.
pub(super) fn agent(topic: &str) -> Agent<'_> {
    Agent::new(PRINCIPAL, topic, "")
}

/// Why the queue was not reached, if so.
fn to_queue(
    cx: &mut Cx<'_>,
    found: &Found,
    notification: &Notification<'_>,
    depth: u32,
) -> Result<Option<String>, Fault> {
    let post = post(found, notification, depth)?;
    let arn: Arn = found.record.endpoint.parse().map_err(|e| Fault::internal("read an endpoint", e))?;
    let topic = notification.topic.to_string();
    Ok(sqs::post(cx, &arn, &agent(&topic), post)?.err().map(|why| why.to_string()))
}

/// The message as a queue gets it.
fn post(found: &Found, notification: &Notification<'_>, depth: u32) -> Result<Post, Fault> {
    let message = notification.message;
    let (body, attributes) = match found.record.raw {
        true => (message.text(notification.protocol).as_bytes().to_vec(), message.of_queue()),
        false => (notification.envelope()?, Vec::new()),
    };
    let place = message.seq.map(|_| Place { group: message.group.clone(), dedup: message.dedup.clone() });
    Ok(Post { body, attributes, depth, place })
}

/// Why the function was not reached, if so.
fn to_function(
    cx: &mut Cx<'_>,
    found: &Found,
    notification: &Notification<'_>,
    depth: u32,
) -> Result<Option<String>, Fault> {
    let arn: Arn = found.record.endpoint.parse().map_err(|e| Fault::internal("read an endpoint", e))?;
    let topic = notification.topic.to_string();
    if !lambda::exists(cx, &arn)? {
        return Ok(Some("the function does not exist".into()));
    }
    if let Err(why) = lambda::permits(cx, &arn, PRINCIPAL, &topic)? {
        return Ok(Some(why));
    }
    cx.deliver(Delivery {
        target: Target::Function(arn),
        event_type: "aws.sns.Notification".into(),
        payload: notification.event(),
        source: topic,
        id: None,
        due: None,
        depth,
        tenant: None,
    })?;
    Ok(None)
}

/// Sends what cannot be delivered to the subscription's dead letters.
fn bury(
    cx: &mut Cx<'_>,
    found: &Found,
    notification: &Notification<'_>,
    why: &str,
    depth: u32,
) -> Result<(), Fault> {
    let (subscription, endpoint) = (notification.subscription, &found.record.endpoint);
    if found.record.dead_letters.is_empty() {
        warn!(%subscription, endpoint, why, "a message has nowhere to go");
        return Ok(());
    }
    let arn: Arn = found.record.dead_letters.parse().map_err(|e| Fault::internal("read dead letters", e))?;
    let mut letter = post(found, notification, depth)?;
    if !found.record.raw {
        letter.attributes = vec![
            Attribute::of_text("ErrorMessage", "String", why),
            Attribute::of_text("RequestID", "String", &notification.message.id),
        ];
    }
    let topic = notification.topic.to_string();
    if let Err(unreached) = sqs::post(cx, &arn, &agent(&topic), letter)? {
        warn!(%subscription, endpoint, why, %unreached, "a message cannot go to its dead letters");
    }
    Ok(())
}
