//! SendMessage and SendMessageBatch.

use super::batch::{self, Answers};
use super::body::{self, Value};
use super::model::{Attribute, DELAY_MAX_S, Message, check_token, size};
use super::queues::{Opened, open};
use super::{faults, fifo, standard};
use crate::Cx;
use bytes::Bytes;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Caller, Fault};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A message to send: by itself it names its queue, in a batch it has an id.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    id: String,
    message_body: String,
    delay_seconds: Option<u32>,
    #[serde(default)]
    message_attributes: BTreeMap<String, Value>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, Value>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

/// A message that is not in a queue yet, its parts checked.
pub(super) struct Draft {
    pub(super) body: Bytes,
    pub(super) attributes: Vec<Attribute>,
    pub(super) trace: String,
    pub(super) group: String,
    /// Empty in a standard queue.
    pub(super) dedup: String,
    pub(super) delay_s: u32,
    pub(super) depth: u32,
}

impl Draft {
    /// What counts against the queue's limit.
    pub(super) fn size(&self) -> u64 {
        size(&self.body, &self.attributes)
    }
}

/// A message that is: its id, and its number in a FIFO queue.
pub(super) struct Put {
    pub(super) message: String,
    pub(super) seq: u64,
}

pub(super) fn one(cx: &mut Cx<'_>, input: Entry) -> Result<Sent, Fault> {
    if input.queue_url.is_empty() {
        return Err(faults::missing("QueueUrl"));
    }
    let queue = open(cx, &input.queue_url)?;
    let uid = cx.ids.number();
    send(cx, &queue, input, None, uid)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Entry>,
}

pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Answers<Sent>, Fault> {
    let queue = open(cx, &input.queue_url)?;
    batch::check(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let bytes: u64 = input.entries.iter().map(Entry::size).sum();
    if bytes > cx.limits.sqs_message_bytes {
        return Err(faults::batch_too_long(cx.limits.sqs_message_bytes, bytes));
    }
    let mut answers = Answers::new();
    // What a batch sends stays in its order, also in a standard queue where nothing else happens.
    let uids = cx.ids.number() & !0xF;
    for (uid, entry) in (uids..).zip(input.entries) {
        let id = entry.id.clone();
        let sent = send(cx, &queue, entry, Some(id.clone()), uid);
        answers.note(id, sent)?;
    }
    Ok(answers)
}

impl Entry {
    fn size(&self) -> u64 {
        let attributes = self.message_attributes.iter();
        self.message_body.len() as u64
            + attributes.map(|(name, value)| name.len() as u64 + value.size()).sum::<u64>()
    }
}

/// `uid` tells it from others that are sent in the same millisecond.
fn send(cx: &mut Cx<'_>, queue: &Opened, entry: Entry, id: Option<String>, uid: u64) -> Result<Sent, Fault> {
    let (draft, system) = draft(queue, entry)?;
    let md5_of_body = body::md5(&draft.body);
    let md5_of_attributes = body::md5_of_attributes(draft.attributes.iter());
    let put = put(cx, queue, draft, uid)?;
    Ok(Sent {
        id,
        message_id: put.message,
        md5_of_body,
        md5_of_attributes,
        md5_of_system: body::md5_of_attributes(system.iter()),
        sequence_number: queue.record.fifo.then(|| sequence(put.seq)),
    })
}

/// Checks a message against its queue's rules; its system attributes are handed back for their MD5.
fn draft(queue: &Opened, entry: Entry) -> Result<(Draft, Vec<Attribute>), Fault> {
    let record = &queue.record;
    if entry.message_body.is_empty() {
        return Err(faults::missing("MessageBody"));
    }
    body::check_text(&entry.message_body)?;
    let system = system_attributes(entry.message_system_attributes)?;
    let attributes = body::attributes(entry.message_attributes)?;
    let delay_s = delay(record.fifo, record.delay_s, entry.delay_seconds)?;
    let (group, dedup) = (entry.message_group_id, entry.message_deduplication_id);
    let body = Bytes::from(entry.message_body);
    if size(&body, &attributes) > record.message_bytes {
        return Err(faults::too_long(record.message_bytes));
    }
    let (group, dedup) = match record.fifo {
        true => fifo_ids(queue, group, dedup, &body)?,
        false => standard_ids(group, dedup)?,
    };
    let trace = system.first().and_then(|trace| trace.text.clone()).unwrap_or_default();
    Ok((Draft { body, attributes, trace, group, dedup, delay_s, depth: 0 }, system))
}

fn delay(fifo: bool, of_queue: u32, of_message: Option<u32>) -> Result<u32, Fault> {
    match of_message {
        None => Ok(of_queue),
        Some(0) if fifo => Ok(of_queue),
        Some(seconds) if fifo => {
            let reason = "The request include parameter that is not valid for this queue type.";
            Err(faults::parameter("DelaySeconds", seconds, reason))
        }
        Some(seconds @ 0..=DELAY_MAX_S) => Ok(seconds),
        Some(seconds) => {
            let reason = "DelaySeconds must be >= 0 and <= 900.";
            Err(faults::parameter("DelaySeconds", seconds, reason))
        }
    }
}

fn system_attributes(values: BTreeMap<String, Value>) -> Result<Vec<Attribute>, Fault> {
    if let Some(name) = values.keys().find(|name| *name != "AWSTraceHeader") {
        return Err(faults::invalid(format!("Message system attribute name '{name}' is invalid.")));
    }
    body::system_attributes(values)
}

/// Of a FIFO message: its group, and the id by which a second one is known for the same.
fn fifo_ids(
    queue: &Opened,
    group: Option<String>,
    dedup: Option<String>,
    body: &[u8],
) -> Result<(String, String), Fault> {
    let group = group.ok_or_else(|| faults::missing("MessageGroupId"))?;
    check_token("MessageGroupId", &group)?;
    let dedup = match dedup {
        Some(dedup) => dedup,
        None if queue.record.content_dedup => hex::encode(Sha256::digest(body)),
        None => {
            return Err(faults::invalid(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            ));
        }
    };
    check_token("MessageDeduplicationId", &dedup)?;
    Ok((group, dedup))
}

/// A standard queue takes a group, of which it keeps no order, but no deduplication id.
fn standard_ids(group: Option<String>, dedup: Option<String>) -> Result<(String, String), Fault> {
    if let Some(dedup) = dedup {
        let reason = "The request includes a parameter that is not valid for this queue type.";
        return Err(faults::parameter("MessageDeduplicationId", dedup, reason));
    }
    let group = group.unwrap_or_default();
    if !group.is_empty() {
        check_token("MessageGroupId", &group)?;
    }
    Ok((group, String::new()))
}

/// Writes a message into its queue. Nothing is written if it fails.
pub(super) fn put(cx: &mut Cx<'_>, queue: &Opened, draft: Draft, uid: u64) -> Result<Put, Fault> {
    let message = message(cx, draft);
    if queue.record.fifo {
        return fifo::send(cx, queue, message, uid);
    }
    let id = message.id.clone();
    standard::insert(cx, queue.record.id, cx.now, uid, &message);
    Ok(Put { message: id, seq: 0 })
}

/// Writes a message that was in another queue before: a new one, but whether it was sent before is not asked.
pub(super) fn put_again(cx: &mut Cx<'_>, queue: &Opened, draft: Draft) -> Result<(), Fault> {
    let uid = cx.ids.number();
    let mut message = message(cx, draft);
    let id = queue.record.id;
    if queue.record.fifo {
        message.seq = fifo::next_seq(cx, id, &message.group)?;
        fifo::append(cx, id, cx.now, uid, &message);
    } else {
        standard::insert(cx, id, cx.now, uid, &message);
    }
    Ok(())
}

fn message(cx: &Cx<'_>, draft: Draft) -> Message {
    Message {
        id: cx.ids.uuid(),
        body: draft.body,
        attributes: draft.attributes,
        trace: draft.trace,
        sender: sender(cx.caller),
        group: draft.group,
        dedup: draft.dedup,
        arrived_ms: cx.now.ms(),
        delay_s: draft.delay_s,
        depth: draft.depth.max(cx.caller.depth),
        ..Message::default()
    }
}

fn sender(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Service(name) => (*name).to_owned(),
        Principal::Function(arn) => arn.to_string(),
        Principal::Root | Principal::Anonymous if caller.access_key.is_empty() => caller.account.clone(),
        Principal::Root | Principal::Anonymous => caller.access_key.clone(),
    }
}

/// A sequence number as it is written: twenty digits.
pub(super) fn sequence(seq: u64) -> String {
    format!("{seq:020}")
}
