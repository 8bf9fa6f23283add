//! Letters to mailboxes: what a delivery looks like as mail.
//!
//! What waits is the document that other subscribers get; `email-json` sends it as it is, `email` what people
//! read of it.

use super::model::Protocol;
use super::outside::{CONFIRMATION, Errand, FAREWELL, Outgoing};
use super::subscriptions::Found;
use super::topics::Opened;
use crate::fabric::Record;
use mayfly_kernel::Fault;
use serde::Deserialize;

/// A mail to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Of the message, so that all who get it may know it for the same.
    pub id: String,
    pub to: String,
    /// Who shows as its sender; empty if the topic has no such name.
    pub from_name: String,
    pub subject: String,
    pub text: String,
    /// A link that ends the subscription.
    pub unsubscribe: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    message_id: String,
    message: String,
    subject: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    #[serde(rename = "UnsubscribeURL")]
    unsubscribe_url: Option<String>,
}

pub(super) fn errand(topic: &Opened, found: &Found, record: &Record) -> Result<Errand, Fault> {
    let document: Document =
        serde_json::from_slice(&record.payload).map_err(|e| Fault::internal("read a notification", e))?;
    let subject = match (record.event_type.as_str(), &document.subject) {
        (CONFIRMATION, _) => "AWS Notification - Subscription Confirmation",
        (FAREWELL, _) => "AWS Notification - Unsubscribe Confirmation",
        (_, Some(subject)) => subject,
        (_, None) => "AWS Notification Message",
    };
    let text = match found.record.protocol() {
        Protocol::EmailJson => String::from_utf8_lossy(&record.payload).into_owned(),
        _ => for_people(topic, found, &document, &record.event_type),
    };
    Ok(Errand::Send(Outgoing::Mail(Letter {
        id: document.message_id,
        to: found.record.endpoint.clone(),
        from_name: topic.record.display_name.chars().filter(|c| !c.is_control()).collect(),
        subject: subject.to_owned(),
        text,
        unsubscribe: document.unsubscribe_url,
    })))
}

fn for_people(topic: &Opened, found: &Found, document: &Document, event_type: &str) -> String {
    let arn = topic.arn();
    let link = document.subscribe_url.as_deref().unwrap_or_default();
    match event_type {
        CONFIRMATION => format!(
            "Somebody wants messages of the topic\n{arn}\nto be sent to this address.\n\n\
             If you want them, open this link:\n{link}\n\n\
             If you do not, there is nothing to do: without your confirmation nothing is sent, \
             and the link expires after two days.\n"
        ),
        FAREWELL => format!(
            "Your subscription\n{}\nto the topic\n{arn}\nhas ended.\n\n\
             If that was a mistake, open this link within two days to have it back:\n{link}\n",
            found.arn()
        ),
        _ => {
            let end = document.unsubscribe_url.as_deref().unwrap_or_default();
            let text = &document.message;
            format!("{text}\n\n--\nTo get no more messages of this topic, open this link:\n{end}\n")
        }
    }
}
