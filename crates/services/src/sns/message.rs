//! A message: what may be published, and the forms in which subscribers get it.

use super::faults;
use super::model::Protocol;
use super::signature::Stamp;
use crate::sqs;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mayfly_kernel::{Arn, Fault, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SUBJECT_MAX: usize = 100;

/// An attribute on the wire.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sent {
    #[serde(default)]
    data_type: String,
    string_value: Option<String>,
    #[serde(default, with = "mayfly_wire::with::base64::option")]
    binary_value: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) data_type: String,
    pub(super) text: Option<String>,
    binary: Option<Bytes>,
}

/// A message whose parts are checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
    /// With `MessageStructure` json, what each protocol gets instead.
    variants: BTreeMap<String, String>,
    pub(super) subject: Option<String>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) group: String,
    pub(super) dedup: String,
    /// Of a FIFO topic.
    pub(super) seq: Option<u64>,
}

/// What a publisher says: by itself it names its topic, in a batch it has an id.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Draft {
    #[serde(default)]
    pub(super) id: String,
    pub(super) topic_arn: Option<String>,
    pub(super) target_arn: Option<String>,
    pub(super) phone_number: Option<String>,
    message: String,
    subject: Option<String>,
    message_structure: Option<String>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Sent>,
    pub(super) message_deduplication_id: Option<String>,
    pub(super) message_group_id: Option<String>,
}

impl Draft {
    /// What counts against the limit of a message.
    pub(super) fn size(&self) -> u64 {
        let attribute = |(name, sent): (&String, &Sent)| {
            name.len()
                + sent.data_type.len()
                + sent.string_value.as_ref().map_or(0, String::len)
                + sent.binary_value.as_ref().map_or(0, Vec::len)
        };
        (self.message.len() + self.message_attributes.iter().map(attribute).sum::<usize>()) as u64
    }

    /// Checks what does not depend on the topic.
    pub(super) fn read(self, bytes_max: u64) -> Result<Message, Fault> {
        if self.message.is_empty() {
            return Err(faults::invalid("Empty message"));
        }
        if self.size() > bytes_max {
            return Err(faults::invalid("Message too long"));
        }
        if let Some(subject) = &self.subject {
            check_subject(subject)?;
        }
        let variants = match self.message_structure.as_deref() {
            None | Some("") => BTreeMap::new(),
            Some("json") => variants(&self.message)?,
            Some(_) => return Err(faults::invalid("MessageStructure")),
        };
        let attributes = self.message_attributes.into_iter().map(|(name, sent)| attribute(name, sent));
        Ok(Message {
            body: variants.get("default").cloned().unwrap_or(self.message),
            variants,
            subject: self.subject,
            attributes: attributes.collect::<Result<_, Fault>>()?,
            ..Message::default()
        })
    }
}

fn check_subject(subject: &str) -> Result<(), Fault> {
    let plain = subject.chars().all(|c| !c.is_control());
    match !subject.is_empty() && subject.chars().count() <= SUBJECT_MAX && plain {
        true => Ok(()),
        false => Err(faults::invalid("Subject")),
    }
}

/// The messages of a `MessageStructure` json.
fn variants(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    let unread = || faults::invalid("Message Structure - JSON message body failed to parse");
    let all: Map<String, Value> = serde_json::from_str(text).map_err(|_| unread())?;
    let texts = all.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    });
    let texts: BTreeMap<String, String> = texts.collect();
    match texts.contains_key("default") {
        true => Ok(texts),
        false => Err(faults::invalid("Message Structure - No default entry in JSON message body")),
    }
}

fn attribute(name: String, sent: Sent) -> Result<Attribute, Fault> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    if name.is_empty() || name.len() > 256 || !name.bytes().all(word) || dots {
        return Err(faults::message_attribute(format!(
            "Invalid parameter: The message attribute name '{name}' is not valid."
        )));
    }
    let kind = sent.data_type.split('.').next().unwrap_or_default();
    let no_value = || {
        faults::message_attribute(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute type \
             '{}'.",
            sent.data_type
        ))
    };
    match (kind, &sent.string_value, &sent.binary_value) {
        ("String" | "Number", Some(text), None) if !text.is_empty() => {
            if kind == "Number" && text.trim().parse::<f64>().is_err() {
                return Err(faults::message_attribute(format!(
                    "Could not cast message attribute '{name}' value to number."
                )));
            }
        }
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => {}
        ("String" | "Number" | "Binary", ..) => return Err(no_value()),
        _ => {
            return Err(faults::message_attribute(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
                 prefixes is Binary, Number, and String."
            )));
        }
    }
    Ok(Attribute {
        name,
        data_type: sent.data_type,
        text: sent.string_value,
        binary: sent.binary_value.map(Bytes::from),
    })
}

impl Message {
    /// One that the platform publishes.
    pub(super) fn of_platform(subject: &str, body: String, attributes: &[sqs::Attribute]) -> Message {
        let attribute = |one: &sqs::Attribute| Attribute {
            name: one.name.clone(),
            data_type: one.data_type.clone(),
            text: one.text.clone(),
            binary: one.binary.clone(),
        };
        Message {
            body,
            subject: Some(subject.to_owned()).filter(|subject| !subject.is_empty()),
            attributes: attributes.iter().map(attribute).collect(),
            ..Message::default()
        }
    }

    /// What subscribers of a protocol read.
    pub(super) fn text(&self, protocol: Protocol) -> &str {
        self.text_named(protocol.name())
    }

    /// What those of this name read: a protocol, or a platform of push messages.
    pub(super) fn text_named(&self, name: &str) -> &str {
        self.variants.get(name).unwrap_or(&self.body)
    }

    /// The text of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|one| one.name == name)?.text.as_deref()
    }

    /// The attributes as a queue has them.
    pub(super) fn of_queue(&self) -> Vec<sqs::Attribute> {
        let attribute = |one: &Attribute| match (&one.text, &one.binary) {
            (_, Some(bytes)) => sqs::Attribute::of_bytes(&one.name, &one.data_type, bytes.clone()),
            (text, None) => {
                sqs::Attribute::of_text(&one.name, &one.data_type, text.as_deref().unwrap_or_default())
            }
        };
        self.attributes.iter().map(attribute).collect()
    }

    fn shown_attributes(&self) -> Map<String, Value> {
        let value = |one: &Attribute| match (&one.text, &one.binary) {
            (_, Some(bytes)) => STANDARD.encode(bytes),
            (text, None) => text.clone().unwrap_or_default(),
        };
        let shown =
            |one: &Attribute| (one.name.clone(), json!({ "Type": one.data_type, "Value": value(one) }));
        self.attributes.iter().map(shown).collect()
    }
}

/// A notification on its way to one subscriber.
pub(super) struct Notification<'a> {
    pub(super) message: &'a Message,
    pub(super) topic: &'a Arn,
    pub(super) subscription: &'a Arn,
    pub(super) protocol: Protocol,
    pub(super) now: Time,
    pub(super) unsubscribe_url: &'a str,
    /// `None` if it is delivered without one.
    pub(super) stamp: Option<&'a Stamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    r#type: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
    topic_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    message: &'a str,
    timestamp: String,
    #[serde(flatten)]
    stamp: Option<&'a Stamp>,
    #[serde(rename = "UnsubscribeURL")]
    unsubscribe_url: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    message_attributes: Map<String, Value>,
}

/// A sequence number as it is written: twenty digits.
pub(super) fn sequence(seq: u64) -> String {
    format!("{seq:020}")
}

impl Notification<'_> {
    /// The document for queues, web endpoints and mail programs.
    pub(super) fn envelope(&self) -> Result<Vec<u8>, Fault> {
        let envelope = Envelope {
            r#type: "Notification",
            message_id: &self.message.id,
            sequence_number: self.message.seq.map(sequence),
            topic_arn: self.topic.to_string(),
            subject: self.message.subject.as_deref(),
            message: self.message.text(self.protocol),
            timestamp: mayfly_wire::time::iso8601(self.now),
            stamp: self.stamp,
            unsubscribe_url: self.unsubscribe_url,
            message_attributes: self.message.shown_attributes(),
        };
        serde_json::to_vec(&envelope).map_err(|e| Fault::internal("write a notification", e))
    }

    /// The event for functions, as "Invoking Lambda functions with Amazon SNS notifications" describes it.
    pub(super) fn event(&self) -> Vec<u8> {
        let event = json!({ "Records": [{
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": self.subscription.to_string(),
            "Sns": {
                "Type": "Notification",
                "MessageId": self.message.id,
                "TopicArn": self.topic.to_string(),
                "Subject": self.message.subject,
                "Message": self.message.text(self.protocol),
                "Timestamp": mayfly_wire::time::iso8601(self.now),
                "SignatureVersion": self.stamp.map(|stamp| stamp.signature_version),
                "Signature": self.stamp.map(|stamp| &stamp.signature),
                "SigningCertUrl": self.stamp.map(|stamp| &stamp.certificate_url),
                "UnsubscribeUrl": self.unsubscribe_url,
                "MessageAttributes": self.message.shown_attributes(),
            },
        }]});
        event.to_string().into_bytes()
    }
}
