//! Stored records of EventBridge Scheduler. Tags are for ever.

use std::collections::BTreeMap;

pub(super) const DEFAULT_GROUP: &str = "default";

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Group {
    #[prost(uint64, tag = "1")]
    pub(super) created_ms: u64,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) tags: BTreeMap<String, String>,
    /// Its schedules are being deleted, and then it is.
    #[prost(bool, tag = "3")]
    pub(super) deleting: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Schedule {
    #[prost(string, tag = "1")]
    pub(super) expression: String,
    #[prost(string, tag = "2")]
    pub(super) zone: String,
    /// Zero: from the beginning.
    #[prost(uint64, tag = "3")]
    pub(super) start_ms: u64,
    /// Zero: for ever.
    #[prost(uint64, tag = "4")]
    pub(super) end_ms: u64,
    #[prost(bool, tag = "5")]
    pub(super) disabled: bool,
    #[prost(string, tag = "6")]
    pub(super) description: String,
    #[prost(message, optional, tag = "7")]
    pub(super) target: Option<Target>,
    /// Minutes of a flexible window; zero if it is off.
    #[prost(uint32, tag = "8")]
    pub(super) window_min: u32,
    #[prost(bool, tag = "9")]
    pub(super) delete_after: bool,
    #[prost(uint64, tag = "10")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "11")]
    pub(super) modified_ms: u64,
    /// What waits for its next run; none if it never runs again or is disabled.
    #[prost(message, optional, tag = "12")]
    pub(super) waiting: Option<Waiting>,
}

/// The delivery that waits for a schedule's next run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Waiting {
    #[prost(string, tag = "1")]
    pub(super) delivery: String,
    /// The time that the expression names.
    #[prost(uint64, tag = "2")]
    pub(super) at_ms: u64,
    /// The time in the window at which it runs.
    #[prost(uint64, tag = "3")]
    pub(super) due_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Target {
    #[prost(string, tag = "1")]
    pub(super) arn: String,
    #[prost(string, tag = "2")]
    pub(super) role: String,
    #[prost(string, optional, tag = "3")]
    pub(super) input: Option<String>,
    #[prost(string, tag = "4")]
    pub(super) dead_letters: String,
    #[prost(uint32, optional, tag = "5")]
    pub(super) retries: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub(super) max_age_s: Option<u32>,
    /// Of a FIFO queue.
    #[prost(string, tag = "7")]
    pub(super) group: String,
    /// Of a bus: the event's type and source.
    #[prost(string, tag = "8")]
    pub(super) detail_type: String,
    #[prost(string, tag = "9")]
    pub(super) source: String,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}
