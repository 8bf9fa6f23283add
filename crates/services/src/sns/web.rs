//! Requests to web endpoints, as "HTTP/HTTPS headers" and the pages about their documents describe them.

use super::delivery;
use super::outside::{CONFIRMATION, FAREWELL, RAW};
use super::subscriptions::Found;
use super::topics::Opened;
use crate::fabric::Record;

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub pace: Option<Pace>,
}

/// How many requests a second somebody takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    pub subscription: String,
    pub per_second: u32,
}

pub(super) fn request(topic: &Opened, found: &Found, record: &Record) -> Webhook {
    let policy = delivery::policy(&topic.record.delivery_policy, &found.record.delivery_policy);
    let subscription = found.arn().to_string();
    let kind = match record.event_type.as_str() {
        CONFIRMATION => "SubscriptionConfirmation",
        FAREWELL => "UnsubscribeConfirmation",
        _ => "Notification",
    };
    let mut headers = vec![
        ("content-type", policy.content_type),
        ("user-agent", "Amazon Simple Notification Service Agent".to_owned()),
        ("x-amz-sns-message-type", kind.to_owned()),
        ("x-amz-sns-message-id", record.id.clone()),
        ("x-amz-sns-topic-arn", topic.arn().to_string()),
    ];
    if record.event_type != CONFIRMATION {
        headers.push(("x-amz-sns-subscription-arn", subscription.clone()));
    }
    if record.event_type == RAW {
        headers.push(("x-amz-sns-rawdelivery", "true".to_owned()));
    }
    let pace = policy.per_second.map(|per_second| Pace { subscription, per_second });
    Webhook { url: found.record.endpoint.clone(), headers, body: record.payload.clone(), pace }
}
