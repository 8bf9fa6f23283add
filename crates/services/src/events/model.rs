//! Stored records of EventBridge, and the rules of its names. Tags are for ever.

use super::endpoints::HttpParameters;
use std::collections::BTreeMap;

pub(super) const DEFAULT_BUS: &str = "default";

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Bus {
    #[prost(uint64, tag = "1")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "2")]
    pub(super) modified_ms: u64,
    #[prost(string, tag = "3")]
    pub(super) description: String,
    /// The policy document; empty if there is none.
    #[prost(string, tag = "4")]
    pub(super) policy: String,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Rule {
    /// As it was given; empty if the rule only has a schedule.
    #[prost(string, tag = "1")]
    pub(super) pattern: String,
    #[prost(string, tag = "2")]
    pub(super) schedule: String,
    #[prost(bool, tag = "3")]
    pub(super) disabled: bool,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    #[prost(string, tag = "5")]
    pub(super) role: String,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(super) tags: BTreeMap<String, String>,
    /// The state as it was given; empty for that of `disabled`.
    #[prost(string, tag = "7")]
    pub(super) state: String,
}

impl Rule {
    pub(super) fn state(&self) -> &str {
        match (self.disabled, self.state.is_empty()) {
            (true, _) => "DISABLED",
            (false, true) => "ENABLED",
            (false, false) => &self.state,
        }
    }
}

/// Where a rule sends its events, and in what form.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Target {
    #[prost(string, tag = "1")]
    pub(super) arn: String,
    #[prost(string, tag = "2")]
    pub(super) role: String,
    #[prost(string, optional, tag = "3")]
    pub(super) input: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) input_path: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) transformer: Option<Transformer>,
    /// Of a FIFO queue.
    #[prost(string, tag = "6")]
    pub(super) group: String,
    #[prost(string, tag = "7")]
    pub(super) dead_letters: String,
    #[prost(uint32, optional, tag = "8")]
    pub(super) retries: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub(super) max_age_s: Option<u32>,
    /// Beside its key, so that a target by itself says whose it is.
    #[prost(string, tag = "10")]
    pub(super) id: String,
    /// Of an API destination.
    #[prost(message, optional, tag = "11")]
    pub(super) http: Option<HttpParameters>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Transformer {
    #[prost(btree_map = "string, string", tag = "1")]
    pub(super) paths: BTreeMap<String, String>,
    #[prost(string, tag = "2")]
    pub(super) template: String,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}

/// When a rule's schedule falls due next.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Timer {
    #[prost(uint64, tag = "1")]
    pub(super) due_ms: u64,
    /// The id of the delivery that waits for it.
    #[prost(string, tag = "2")]
    pub(super) delivery: String,
    /// Which expression it was computed from.
    #[prost(string, tag = "3")]
    pub(super) schedule: String,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Alarm {
    #[prost(uint64, tag = "1")]
    pub(super) at_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Archive {
    /// Under which its events are.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(string, tag = "2")]
    pub(super) bus: String,
    #[prost(string, tag = "3")]
    pub(super) pattern: String,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    /// Zero: for ever.
    #[prost(uint32, tag = "5")]
    pub(super) retention_days: u32,
    #[prost(uint64, tag = "6")]
    pub(super) created_ms: u64,
}

/// An event as it was put on its bus.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Archived {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) event: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Replay {
    #[prost(string, tag = "1")]
    pub(super) archive: String,
    #[prost(string, tag = "2")]
    pub(super) bus: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) rules: Vec<String>,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    #[prost(uint64, tag = "5")]
    pub(super) from_ms: u64,
    #[prost(uint64, tag = "6")]
    pub(super) to_ms: u64,
    #[prost(enumeration = "ReplayState", tag = "7")]
    pub(super) state: i32,
    #[prost(uint64, tag = "8")]
    pub(super) started_ms: u64,
    #[prost(uint64, tag = "9")]
    pub(super) ended_ms: u64,
    /// The place of the event that was replayed last.
    #[prost(uint64, tag = "10")]
    pub(super) last_ms: u64,
    #[prost(fixed64, tag = "11")]
    pub(super) last_uid: u64,
    #[prost(string, tag = "12")]
    pub(super) reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ReplayState {
    Unspecified = 0,
    Starting = 1,
    Running = 2,
    Completed = 3,
    Cancelling = 4,
    Cancelled = 5,
    Failed = 6,
}
