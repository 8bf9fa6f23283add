//! Stored records of Application Auto Scaling. Tags are for ever.

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Target {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint32, tag = "2")]
    pub(super) min: u32,
    #[prost(uint32, tag = "3")]
    pub(super) max: u32,
    #[prost(string, tag = "4")]
    pub(super) role: String,
    #[prost(uint64, tag = "5")]
    pub(super) created_ms: u64,
    #[prost(bool, tag = "6")]
    pub(super) no_scaling_in: bool,
    #[prost(bool, tag = "7")]
    pub(super) no_scaling_out: bool,
    #[prost(bool, tag = "8")]
    pub(super) no_schedules: bool,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(super) tags: BTreeMap<String, String>,
    /// The id of the deliveries that look at it; empty while it has no policy.
    #[prost(string, tag = "10")]
    pub(super) look: String,
    /// When policies scaled it last.
    #[prost(uint64, tag = "11")]
    pub(super) out_ms: u64,
    #[prost(uint64, tag = "12")]
    pub(super) in_ms: u64,
}

/// Target tracking.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Policy {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// The share of what is provisioned that is to be in use.
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(uint32, optional, tag = "3")]
    pub(super) out_cooldown_s: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) in_cooldown_s: Option<u32>,
    #[prost(bool, tag = "5")]
    pub(super) never_in: bool,
    #[prost(uint64, tag = "6")]
    pub(super) created_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Action {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) schedule: String,
    #[prost(string, tag = "3")]
    pub(super) zone: String,
    /// Zero: from the beginning, for ever.
    #[prost(uint64, tag = "4")]
    pub(super) start_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(super) end_ms: u64,
    #[prost(uint32, optional, tag = "6")]
    pub(super) min: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub(super) max: Option<u32>,
    #[prost(uint64, tag = "8")]
    pub(super) created_ms: u64,
    /// What waits for its next time; none if there is none.
    #[prost(message, optional, tag = "9")]
    pub(super) waiting: Option<Waiting>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Waiting {
    #[prost(string, tag = "1")]
    pub(super) delivery: String,
    #[prost(uint64, tag = "2")]
    pub(super) due_ms: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Activity {
    #[prost(string, tag = "1")]
    pub(super) description: String,
    #[prost(string, tag = "2")]
    pub(super) cause: String,
    /// Why it failed; empty if it did not.
    #[prost(string, tag = "3")]
    pub(super) failure: String,
}
