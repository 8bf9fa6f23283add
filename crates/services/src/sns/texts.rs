//! Text messages: to one phone or to subscribers, their settings, and who wants none.
//!
//! They go to the operator's gateway as documents of our own (docs/services/sns.md). A gateway that answers
//! 410 says that the number has opted out; it gets nothing more until it is opted in again.
//!
//! Deliberately absent: sandboxes, origination numbers, spending, delivery reports.

use super::faults;
use super::keys::{OPTED_IN, OPTED_OUT, TEXT_SETTINGS};
use super::message::{Message, Notification};
use super::model::{Marked, TextSettings};
use super::outside::{Errand, NOTIFICATION, Outgoing, Refused};
use super::publish::Published;
use crate::fabric::{Delivery, Record, Target};
use crate::tags::Done;
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Of a message to one phone; a longer one would be more than ten texts.
const BYTES_MAX: usize = 1600;
const PAGE: usize = 100;
/// How long after it was opted in a number can be so again.
const OPT_IN_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);

const SENDER_ID: &str = "AWS.SNS.SMS.SenderID";
const MESSAGE_TYPE: &str = "AWS.SNS.SMS.SMSType";
const MAX_PRICE: &str = "AWS.SNS.SMS.MaxPrice";
const ORIGINATION_NUMBER: &str = "AWS.MM.SMS.OriginationNumber";

/// E.164: a plus sign and up to fifteen digits.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (2..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_sender_id(text: &str) -> bool {
    (1..=11).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_message_type(text: &str) -> bool {
    matches!(text, "Promotional" | "Transactional")
}

fn open(cx: &Cx<'_>, member: &str) -> Result<(), Fault> {
    match cx.site.outlets.texts {
        true => Ok(()),
        false => Err(faults::no_outlet(member, "text messages", "[sms]")),
    }
}

pub(super) fn check_subscriber(cx: &Cx<'_>, number: &str) -> Result<(), Fault> {
    open(cx, "Protocol")?;
    match is_number(number) {
        true => Ok(()),
        false => Err(faults::invalid(format_args!("Invalid SMS endpoint: {number}"))),
    }
}

/// What the gateway is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    r#type: &'static str,
    message_id: &'a str,
    phone_number: &'a str,
    message: &'a str,
    message_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_price: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origination_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_arn: Option<String>,
    timestamp: String,
}

fn document(
    cx: &Cx<'_>,
    number: &str,
    message: &Message,
    (topic_arn, subscription_arn): (Option<String>, Option<String>),
) -> Result<Vec<u8>, Fault> {
    let settings = settings(cx)?;
    let kept = |text: &String| (!text.is_empty()).then(|| text.clone());
    let (usual_sender, usual_type) = (kept(&settings.sender_id), kept(&settings.message_type));
    let document = Document {
        r#type: "sms",
        message_id: &message.id,
        phone_number: number,
        message: message.text_named("sms"),
        message_type: message.attribute(MESSAGE_TYPE).or(usual_type.as_deref()).unwrap_or("Promotional"),
        sender_id: message.attribute(SENDER_ID).or(usual_sender.as_deref()),
        max_price: message.attribute(MAX_PRICE),
        origination_number: message.attribute(ORIGINATION_NUMBER),
        topic_arn,
        subscription_arn,
        timestamp: mayfly_wire::time::iso8601(cx.now),
    };
    serde_json::to_vec(&document).map_err(|e| Fault::internal("write a text message", e))
}

/// A topic's message for one of its subscribers.
pub(super) fn notification(
    cx: &Cx<'_>,
    number: &str,
    notification: &Notification<'_>,
) -> Result<Vec<u8>, Fault> {
    let from = (Some(notification.topic.to_string()), Some(notification.subscription.to_string()));
    document(cx, number, notification.message, from)
}

/// Publishes to one phone.
pub(super) fn publish(cx: &mut Cx<'_>, number: &str, mut message: Message) -> Result<Published, Fault> {
    let account = cx.arn("sns", "sms");
    cx.allow(&account)?;
    open(cx, "PhoneNumber")?;
    if !is_number(number) {
        let reason = format!("PhoneNumber Reason: {number} is not valid to publish to");
        return Err(faults::invalid(reason));
    }
    if message.text_named("sms").len() > BYTES_MAX {
        return Err(faults::invalid("Message too long"));
    }
    if message.attribute(MESSAGE_TYPE).is_some_and(|value| !is_message_type(value)) {
        return Err(faults::invalid("SMSType"));
    }
    if message.attribute(SENDER_ID).is_some_and(|value| !is_sender_id(value)) {
        return Err(faults::invalid("SenderID"));
    }
    message.id = cx.ids.uuid();
    let payload = document(cx, number, &message, (None, None))?;
    cx.deliver(Delivery {
        source: account.to_string(),
        target: Target::Text { sender: account, number: number.to_owned() },
        event_type: NOTIFICATION.into(),
        payload,
        id: Some(message.id.clone()),
        due: None,
        depth: cx.caller.depth,
        tenant: None,
    })?;
    Ok(Published::new(message.id))
}

/// What there is to do for a text message.
pub(super) fn errand(cx: &Cx<'_>, record: &Record, number: &str) -> Result<Errand, Fault> {
    let out = OPTED_OUT.contains(cx.tx, &key(cx, number))?;
    Ok(match out {
        true => Errand::Refuse(Refused::ForGood("the phone number has opted out".into())),
        false => Errand::Send(Outgoing::Text(record.payload.clone())),
    })
}

fn key(cx: &Cx<'_>, number: &str) -> (String, String, String) {
    (cx.caller.account.clone(), cx.caller.region.clone(), number.to_owned())
}

/// Whoever has this number wants no more messages.
pub(super) fn opt_out(cx: &mut Cx<'_>, number: &str) {
    OPTED_OUT.put(cx.tx, &key(cx, number), &Marked { at_ms: cx.now.ms() });
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbered {
    phone_number: String,
}

impl Numbered {
    /// The number's key, if the caller may ask about it.
    fn key(self, cx: &mut Cx<'_>) -> Result<(String, String, String), Fault> {
        let resource = cx.arn("sns", "*");
        cx.allow(&resource)?;
        match is_number(&self.phone_number) {
            true => Ok(key(cx, &self.phone_number)),
            false => Err(faults::invalid("PhoneNumber Reason: it is not in the E.164 format")),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    is_opted_out: bool,
}

pub(super) fn is_opted_out(cx: &mut Cx<'_>, input: Numbered) -> Result<Checked, Fault> {
    let key = input.key(cx)?;
    Ok(Checked { is_opted_out: OPTED_OUT.contains(cx.tx, &key)? })
}

/// A number that has not opted out stays as it is.
pub(super) fn opt_in(cx: &mut Cx<'_>, input: Numbered) -> Result<Done, Fault> {
    let key = input.key(cx)?;
    if !OPTED_OUT.contains(cx.tx, &key)? {
        return Ok(Done {});
    }
    let before = OPTED_IN.get(cx.tx, &key)?;
    if before.is_some_and(|before| cx.now < Time::from_ms(before.at_ms) + OPT_IN_EVERY) {
        let reason = "PhoneNumber Reason: it can be opted in only once every 30 days";
        return Err(faults::invalid(reason));
    }
    OPTED_IN.put(cx.tx, &key, &Marked { at_ms: cx.now.ms() });
    OPTED_OUT.delete(cx.tx, &key);
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    phone_numbers: Vec<String>,
    next_token: Option<String>,
}

/// A token is the last number shown.
pub(super) fn list_opted_out(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let prefix = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&prefix, PAGE + 1);
    if let Some(token) = input.next_token {
        scan = scan.after(&(prefix.0.clone(), prefix.1.clone(), token));
    }
    let numbers = OPTED_OUT.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key.2).collect();
    let (phone_numbers, next_token) = paging::cut(numbers, PAGE, String::clone);
    Ok(Listed { phone_numbers, next_token })
}

fn settings(cx: &Cx<'_>) -> Result<TextSettings, Fault> {
    let key = (cx.caller.account.clone(), cx.caller.region.clone());
    Ok(TEXT_SETTINGS.get(cx.tx, &key)?.unwrap_or_default())
}

#[derive(Deserialize, Serialize)]
pub(super) struct Attributes {
    attributes: BTreeMap<String, String>,
}

pub(super) fn set_attributes(cx: &mut Cx<'_>, input: Attributes) -> Result<Done, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let mut settings = settings(cx)?;
    for (name, value) in input.attributes {
        let bad = || faults::attribute_value(&name, "Invalid value");
        match name.as_str() {
            "DefaultSenderID" if value.is_empty() || is_sender_id(&value) => settings.sender_id = value,
            "DefaultSMSType" if value.is_empty() || is_message_type(&value) => settings.message_type = value,
            "DefaultSenderID" | "DefaultSMSType" => return Err(bad()),
            "MonthlySpendLimit"
            | "DeliveryStatusIAMRole"
            | "DeliveryStatusSuccessSamplingRate"
            | "UsageReportS3Bucket" => {
                return Err(Fault::not_implemented(&format!("the attribute {name} of text messages")));
            }
            _ => return Err(faults::attribute_name()),
        }
    }
    let key = (cx.caller.account.clone(), cx.caller.region.clone());
    TEXT_SETTINGS.put(cx.tx, &key, &settings);
    Ok(Done {})
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    attributes: Vec<String>,
}

/// Those that are asked for, or all, of those that are set.
pub(super) fn get_attributes(cx: &mut Cx<'_>, input: Wanted) -> Result<Attributes, Fault> {
    let resource = cx.arn("sns", "*");
    cx.allow(&resource)?;
    let settings = settings(cx)?;
    let all = [("DefaultSenderID", settings.sender_id), ("DefaultSMSType", settings.message_type)];
    let wanted = |name: &str| input.attributes.is_empty() || input.attributes.iter().any(|one| one == name);
    let shown = all.into_iter().filter(|(name, value)| !value.is_empty() && wanted(name));
    Ok(Attributes { attributes: shown.map(|(name, value)| (name.to_owned(), value)).collect() })
}

#[cfg(test)]
mod tests {
    use super::{is_number, is_sender_id};

    #[test]
    fn numbers_are_those_of_the_standard() {
        assert!(is_number("+4930901820") && is_number("+15551234567"));
        for bad in ["", "+", "+0301234", "4930901820", "+49 30 901820", "+1234567890123456"] {
            assert!(!is_number(bad), "{bad}");
        }
        assert!(is_sender_id("Mayfly1") && !is_sender_id("1234") && !is_sender_id("way too long"));
    }
}
