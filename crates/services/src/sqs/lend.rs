//! Messages in the hands of the platform, for consumers that it runs itself: event source mappings.
//!
//! To the queue this is a receive like any other. The message is hidden for the queue's visibility timeout,
//! counts as received, and comes back by itself if nobody consumes it: so whatever dies, nothing has to be
//! put back.

use super::body;
use super::keys::{MESSAGES, QUEUES, STATES};
use super::model::{Attribute, Queue};
use super::queues::{Opened, find};
use super::standard::{Taken, Wish};
use super::{fifo, receive, redrive, standard};
use crate::Cx;
use crate::operation::Pause;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Arn, Fault, Time};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A consumer needs some time even if the queue hides nothing.
const VISIBILITY_MIN: Duration = Duration::from_secs(1);

/// A message that a consumer holds.
#[derive(Clone, Debug)]
pub struct Lent {
    taken: Taken,
    handle: String,
    fifo: bool,
}

/// Until when messages that were lent together are hidden.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub until: Time,
    pub length: Duration,
}

/// What a queue had to lend.
pub(crate) struct Loan {
    pub(crate) messages: Vec<Lent>,
    pub(crate) lease: Lease,
    /// When it is worth asking again, if there was nothing.
    pub(crate) pause: Pause,
}

/// What others must know of a queue before they read it or send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) fifo: bool,
    pub(crate) visibility_s: u32,
    pub(crate) message_bytes: u64,
}

pub(crate) fn exists(cx: &Cx<'_>, arn: &Arn) -> Result<Option<Facts>, Fault> {
    let facts = |Queue { fifo, visibility_s, message_bytes, .. }| Facts { fifo, visibility_s, message_bytes };
    Ok(find(cx, arn)?.map(|queue| facts(queue.record)))
}

/// Lends up to `most` messages of about `bytes` together; or says what to watch if the queue does not exist.
pub(crate) fn lend(
    cx: &mut Cx<'_>,
    arn: &Arn,
    most: usize,
    bytes: u64,
) -> Result<Result<Loan, Pause>, Fault> {
    let Some(queue) = find(cx, arn)? else {
        let key = (arn.account.clone(), arn.region.clone(), arn.resource.clone());
        return Ok(Err(Pause { watch: vec![QUEUES.key(&key)], due: None, wait: Duration::MAX }));
    };
    let length = Duration::from_secs(queue.record.visibility_s.into()).max(VISIBILITY_MIN);
    let lease = Lease { until: cx.now + length, length };
    let caught = match receive::has_room(cx, &queue)? {
        true => receive::take(cx, &queue, &Wish { most, bytes, visibility: length })?,
        false => standard::Catch::default(),
    };
    let pause = receive::pause(cx, &queue, Duration::MAX, caught.passed_over)?;
    let messages = caught.taken.into_iter().map(|taken| Lent::new(&queue, taken)).collect();
    Ok(Ok(Loan { messages, lease, pause }))
}

/// Deletes a message, if it is still in these hands.
pub(crate) fn consume(cx: &mut Cx<'_>, lent: &Lent) -> Result<(), Fault> {
    let Taken { key, message, state } = &lent.taken;
    if lent.fifo {
        let held = fifo::state_of(cx, key.0, message)?;
        if held.is_some_and(|held| held.nonce == state.nonce) {
            fifo::erase(cx, *key, message, held)?;
        }
        return Ok(());
    }
    let held = STATES.get(cx.tx, key)?;
    if held.is_some_and(|held| held.nonce == state.nonce) {
        standard::erase(cx, *key, message, held);
    }
    Ok(())
}

/// Moves a message to its queue's dead letters before its time; false if there are none.
pub(crate) fn bury(cx: &mut Cx<'_>, arn: &Arn, lent: &Lent) -> Result<bool, Fault> {
    let Taken { key, message, state } = &lent.taken;
    let Some(queue) = find(cx, arn)? else { return Ok(false) };
    let sent = if lent.fifo { cx.now } else { key.1 };
    let buried = redrive::bury(cx, &queue, (sent, key.2), message, Some(*state))?;
    if buried {
        consume(cx, lent)?;
    }
    Ok(buried)
}

/// Hides messages for longer, if they are still in these hands.
pub(crate) fn extend(cx: &mut Cx<'_>, lent: &[Lent], until: Time) -> Result<(), Fault> {
    for Lent { taken: Taken { key, message, state }, fifo, .. } in lent {
        if !MESSAGES.contains(cx.tx, key)? {
            continue;
        }
        let held = if *fifo { fifo::state_of(cx, key.0, message)? } else { STATES.get(cx.tx, key)? };
        let Some(held) = held.filter(|held| held.nonce == state.nonce) else { continue };
        if *fifo {
            fifo::postpone(cx, key.0, message, held, until)?;
        } else {
            standard::postpone(cx, *key, message, held, until);
        }
    }
    Ok(())
}

/// Makes messages visible at once.
pub(crate) fn give_back(cx: &mut Cx<'_>, lent: &[Lent]) -> Result<(), Fault> {
    extend(cx, lent, cx.now)
}

impl Lent {
    fn new(queue: &Opened, taken: Taken) -> Lent {
        let handle = receive::handle(queue, &taken);
        Lent { handle, fifo: queue.record.fifo, taken }
    }

    pub fn id(&self) -> &str {
        &self.taken.message.id
    }

    /// What it adds to an event at most, its text written as JSON.
    pub fn bytes(&self) -> u64 {
        self.taken.message.record_bytes()
    }

    /// How many invocations and messages led to this one.
    pub fn depth(&self) -> u32 {
        self.taken.message.depth
    }

    /// The record as a document that filters and templates look into.
    pub(crate) fn record_value(&self, arn: &Arn) -> Result<serde_json::Value, Fault> {
        serde_json::to_value(self.record(arn)).map_err(|e| Fault::internal("write a message's record", e))
    }

    /// The record of an event, as "Using Lambda with Amazon SQS" describes it.
    pub(crate) fn record<'a>(&'a self, arn: &'a Arn) -> EventRecord<'a> {
        let message = &self.taken.message;
        let attributes = receive::system_attributes(self.fifo, &self.taken).into_iter().collect();
        EventRecord {
            message_id: &message.id,
            receipt_handle: &self.handle,
            body: String::from_utf8_lossy(&message.body),
            attributes,
            message_attributes: message.attributes.iter().map(|one| (&*one.name, Value::of(one))).collect(),
            md5_of_message_attributes: body::md5_of_attributes(message.attributes.iter()),
            md5_of_body: body::md5(&message.body),
            event_source: "aws:sqs",
            event_source_arn: arn.to_string(),
            aws_region: &arn.region,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventRecord<'a> {
    message_id: &'a str,
    receipt_handle: &'a str,
    body: std::borrow::Cow<'a, str>,
    attributes: BTreeMap<&'static str, String>,
    message_attributes: BTreeMap<&'a str, Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<String>,
    md5_of_body: String,
    event_source: &'static str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
    aws_region: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Value<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
    string_list_values: [&'static str; 0],
    binary_list_values: [&'static str; 0],
    data_type: &'a str,
}

impl<'a> Value<'a> {
    fn of(attribute: &'a Attribute) -> Value<'a> {
        Value {
            string_value: attribute.text.as_deref(),
            binary_value: attribute.binary.as_ref().map(|bytes| STANDARD.encode(bytes)),
            string_list_values: [],
            binary_list_values: [],
            data_type: &attribute.data_type,
        }
    }
}
