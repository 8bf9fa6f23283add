//! Stored records of the logs service, and the rules of its names. Tags are for ever.

use super::faults;
use mayfly_kernel::Fault;
use std::collections::HashMap;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Group {
    /// Under which its rows are; never shared by another group.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    /// Zero: kept for ever.
    #[prost(uint32, tag = "3")]
    pub(super) retention_days: u32,
    #[prost(map = "string, string", tag = "4")]
    pub(super) tags: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Stream {
    #[prost(uint64, tag = "1")]
    pub(super) created_ms: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(super) first_event_ms: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) last_event_ms: Option<u64>,
    #[prost(uint64, tag = "4")]
    pub(super) last_ingestion_ms: u64,
    /// The number of the next event, which keeps events of one millisecond in order.
    #[prost(uint64, tag = "5")]
    pub(super) next_seq: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub(super) message: String,
    #[prost(uint64, tag = "2")]
    pub(super) ingested_ms: u64,
    /// The events that follow it in the same row.
    #[prost(message, repeated, tag = "3")]
    pub(super) later: Vec<Later>,
}

/// An event of a row that another one began.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Later {
    /// Since the row's first event.
    #[prost(uint64, tag = "1")]
    pub(super) after_ms: u64,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// A group, or one stream of it, whose events nobody can name any more.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Sweep {
    /// The group itself is gone.
    #[prost(bool, tag = "1")]
    pub(super) whole: bool,
}

/// A group that keeps its events for so long. The row is of no use any more if the group is gone or says
/// otherwise.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Retained {
    #[prost(string, tag = "1")]
    pub(super) account: String,
    #[prost(string, tag = "2")]
    pub(super) region: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(uint32, tag = "4")]
    pub(super) days: u32,
}

/// The retention periods that the API takes, in days.
pub(super) const RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// The most events that one PutLogEvents takes.
pub(super) const EVENTS_PER_PUT: usize = 10_000;
/// The most bytes, each event counted with 26 bytes of its own.
pub(super) const BYTES_PER_PUT: usize = 1_048_576;
pub(super) const BYTES_PER_EVENT: usize = 26;

pub(super) fn check_group_name(name: &str) -> Result<(), Fault> {
    check_name_part("logGroupName", name)
}

/// The name of a group, or a part of one.
pub(super) fn check_name_part(member: &str, text: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
    if text.len() > 512 {
        return Err(faults::constraint(member, text, "Member must have length less than or equal to 512"));
    }
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(()),
        false => Err(faults::constraint(
            member,
            text,
            "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
        )),
    }
}

pub(super) fn check_stream_name(name: &str) -> Result<(), Fault> {
    match (1..=512).contains(&name.len()) && !name.contains([':', '*']) {
        true => Ok(()),
        false => Err(faults::constraint(
            "logStreamName",
            name,
            "Member must satisfy regular expression pattern: [^:*]*",
        )),
    }
}
