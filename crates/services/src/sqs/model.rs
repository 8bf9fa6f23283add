//! Stored records of SQS, and the rules of its names. Tags are for ever.

use super::faults;
use bytes::Bytes;
use mayfly_kernel::{Fault, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a deduplication id, or the id of an attempt to receive, is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);
/// The longest time that a message may stay in flight from one receive on.
pub(super) const VISIBILITY_MAX_S: u32 = 12 * 3600;
pub(super) const DELAY_MAX_S: u32 = 900;
pub(super) const WAIT_MAX_S: u32 = 20;
/// The most that one call sends, takes or changes.
pub(super) const BATCH: usize = 10;
pub(super) const ATTRIBUTES_PER_MESSAGE: usize = 10;
/// What an event's record has beside its message, at most.
const RECORD_BYTES: u64 = 1024;
/// What the record says of an attribute beside its name and value.
const RECORD_ATTRIBUTE_BYTES: u64 = 128;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Queue {
    /// Under which its rows are; another one after a purge.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    /// The first `id`: what receipt handles name.
    #[prost(uint64, tag = "2")]
    pub(super) birth: u64,
    #[prost(uint64, tag = "3")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(super) modified_ms: u64,
    #[prost(bool, tag = "5")]
    pub(super) fifo: bool,
    #[prost(uint32, tag = "6")]
    pub(super) visibility_s: u32,
    #[prost(uint64, tag = "7")]
    pub(super) message_bytes: u64,
    #[prost(uint32, tag = "8")]
    pub(super) retention_s: u32,
    #[prost(uint32, tag = "9")]
    pub(super) delay_s: u32,
    #[prost(uint32, tag = "10")]
    pub(super) wait_s: u32,
    #[prost(message, optional, tag = "11")]
    pub(super) redrive: Option<Redrive>,
    /// The document as it was set.
    #[prost(string, tag = "12")]
    pub(super) redrive_allow: String,
    /// The document as it was set.
    #[prost(string, tag = "13")]
    pub(super) policy: String,
    #[prost(bool, tag = "14")]
    pub(super) content_dedup: bool,
    /// Deduplication ids are unique in a group, not in the whole queue.
    #[prost(bool, tag = "15")]
    pub(super) dedup_per_group: bool,
    /// Shown again; a group is the only thing that bounds throughput here.
    #[prost(bool, tag = "16")]
    pub(super) limit_per_group: bool,
    #[prost(btree_map = "string, string", tag = "17")]
    pub(super) tags: BTreeMap<String, String>,
}

/// After how many receives a message goes where.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Redrive {
    #[prost(string, tag = "1")]
    pub(super) target_arn: String,
    #[prost(uint32, tag = "2")]
    pub(super) max_receives: u32,
}

/// The queue whose rows are under an id.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct QueueName {
    #[prost(string, tag = "1")]
    pub(super) account: String,
    #[prost(string, tag = "2")]
    pub(super) region: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}

/// What was sent. Never changes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Message {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) body: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(super) attributes: Vec<Attribute>,
    #[prost(string, tag = "4")]
    pub(super) trace: String,
    #[prost(string, tag = "5")]
    pub(super) sender: String,
    #[prost(string, tag = "6")]
    pub(super) group: String,
    #[prost(string, tag = "7")]
    pub(super) dedup: String,
    /// Of a FIFO queue; zero otherwise.
    #[prost(uint64, tag = "8")]
    pub(super) seq: u64,
    /// When it came into this queue; a standard message keeps the time it was sent when it goes to a
    /// dead-letter queue.
    #[prost(uint64, tag = "9")]
    pub(super) arrived_ms: u64,
    #[prost(uint32, tag = "10")]
    pub(super) delay_s: u32,
    /// Of a message in a dead-letter queue: where it died.
    #[prost(string, tag = "11")]
    pub(super) dead_letter_source: String,
    /// How often it was received before it came into this queue.
    #[prost(uint32, tag = "12")]
    pub(super) receives_before: u32,
    #[prost(uint64, tag = "13")]
    pub(super) first_received_ms: u64,
    /// How many deliveries and messages led to this one.
    #[prost(uint32, tag = "14")]
    pub(super) depth: u32,
}

impl Message {
    /// When it may first be received.
    pub(super) fn ready(&self) -> Time {
        Time::from_ms(self.arrived_ms) + Duration::from_secs(self.delay_s.into())
    }

    /// What it adds to an event at most, its text written as JSON.
    pub(super) fn record_bytes(&self) -> u64 {
        let attribute = |one: &Attribute| {
            // Base64 of bytes is shorter than twice as many.
            let value =
                one.text.as_ref().map_or(one.value().len() as u64 * 2, |text| escaped(text.as_bytes()));
            one.name.len() as u64 + one.data_type.len() as u64 + value + RECORD_ATTRIBUTE_BYTES
        };
        RECORD_BYTES + escaped(&self.body) + self.attributes.iter().map(attribute).sum::<u64>()
    }
}

/// How long a text is in JSON, without its quotes. A queue takes no other control characters than these.
fn escaped(text: &[u8]) -> u64 {
    let more = text.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count();
    (text.len() + more) as u64
}

/// What of a message counts against its queue's limit.
pub(crate) fn size(body: &[u8], attributes: &[Attribute]) -> u64 {
    let attribute =
        |attribute: &Attribute| attribute.name.len() + attribute.data_type.len() + attribute.value().len();
    (body.len() + attributes.iter().map(attribute).sum::<usize>()) as u64
}

/// A message attribute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Attribute {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) data_type: String,
    #[prost(string, optional, tag = "3")]
    pub(crate) text: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) binary: Option<Bytes>,
}

impl Attribute {
    pub(crate) fn of_text(name: &str, data_type: &str, value: impl Into<String>) -> Attribute {
        let (name, data_type) = (name.to_owned(), data_type.to_owned());
        Attribute { name, data_type, text: Some(value.into()), binary: None }
    }

    pub(crate) fn of_bytes(name: &str, data_type: &str, value: Bytes) -> Attribute {
        let (name, data_type) = (name.to_owned(), data_type.to_owned());
        Attribute { name, data_type, text: None, binary: Some(value) }
    }

    pub(super) fn value(&self) -> &[u8] {
        match (&self.text, &self.binary) {
            (Some(text), _) => text.as_bytes(),
            (None, Some(binary)) => binary,
            (None, None) => &[],
        }
    }
}

/// What has become of a message since it was first received.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct State {
    /// From when on it may be received again.
    #[prost(uint64, tag = "1")]
    pub(super) due_ms: u64,
    #[prost(uint32, tag = "2")]
    pub(super) receives: u32,
    #[prost(uint64, tag = "3")]
    pub(super) first_received_ms: u64,
    /// What the latest receipt handle knows.
    #[prost(fixed64, tag = "4")]
    pub(super) nonce: u64,
    /// The second until which it is counted as in flight.
    #[prost(uint64, tag = "5")]
    pub(super) counted_s: u64,
    #[prost(uint64, tag = "6")]
    pub(super) received_ms: u64,
}

impl State {
    pub(super) fn due(&self) -> Time {
        Time::from_ms(self.due_ms)
    }
}

/// The newest message of a FIFO group.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Tail {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
}

/// Where the turn of a FIFO group stands in `TURNS`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Head {
    #[prost(uint64, tag = "1")]
    pub(super) due_ms: u64,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
}

/// A message's place in its FIFO group.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) sent_ms: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) uid: u64,
    #[prost(uint64, tag = "3")]
    pub(super) ready_ms: u64,
    /// Once it has been received.
    #[prost(message, optional, tag = "4")]
    pub(super) state: Option<State>,
}

/// A deduplication id that was used.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Seen {
    #[prost(uint64, tag = "1")]
    pub(super) at_ms: u64,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(uint64, tag = "3")]
    pub(super) seq: u64,
}

/// What an attempt to receive was given.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Attempt {
    #[prost(uint64, tag = "1")]
    pub(super) at_ms: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) given: Vec<Given>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Given {
    #[prost(string, tag = "1")]
    pub(super) group: String,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) nonce: u64,
}

/// A task that moves the messages of a dead-letter queue.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Move {
    #[prost(string, tag = "1")]
    pub(super) source_arn: String,
    /// Empty: each goes back to where it died.
    #[prost(string, tag = "2")]
    pub(super) destination_arn: String,
    /// Zero: as fast as it goes.
    #[prost(uint32, tag = "3")]
    pub(super) per_second: u32,
    #[prost(enumeration = "MoveStatus", tag = "4")]
    pub(super) status: i32,
    #[prost(uint64, tag = "5")]
    pub(super) moved: u64,
    #[prost(uint64, tag = "6")]
    pub(super) to_move: u64,
    #[prost(uint64, tag = "7")]
    pub(super) started_ms: u64,
    #[prost(string, tag = "8")]
    pub(super) failure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MoveStatus {
    Unspecified = 0,
    Running = 1,
    Completed = 2,
    Cancelling = 3,
    Cancelled = 4,
    Failed = 5,
}

/// Letters, digits, hyphens and underscores, up to 80, a FIFO queue's with its suffix.
pub(super) fn check_name(name: &str, fifo: bool) -> Result<(), Fault> {
    let stem = match (name.strip_suffix(".fifo"), fifo) {
        (Some(stem), true) => stem,
        (None, false) => name,
        (None, true) => return Err(faults::fifo_name()),
        (Some(_), false) => return Err(faults::bad_queue_name()),
    };
    match !stem.is_empty() && name.len() <= 80 && is_word(stem) {
        true => Ok(()),
        false => Err(faults::bad_queue_name()),
    }
}

pub(super) fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Ids of deduplication, groups and attempts: up to 128 printable characters.
pub(super) fn check_token(name: &str, text: &str) -> Result<(), Fault> {
    match (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => {
            let reason = format!(
                "{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
            );
            Err(faults::parameter(name, text, &reason))
        }
    }
}
