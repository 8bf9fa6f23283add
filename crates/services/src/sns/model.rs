//! Stored records of SNS. Tags are for ever.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a deduplication id is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Topic {
    /// What its order and its deduplication ids are kept under; another one if a topic is made again.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(bool, tag = "2")]
    pub(super) fifo: bool,
    #[prost(bool, tag = "3")]
    pub(super) content_dedup: bool,
    /// Deduplication ids are unique in a group, not in the whole topic.
    #[prost(bool, tag = "4")]
    pub(super) dedup_per_group: bool,
    #[prost(string, tag = "5")]
    pub(super) display_name: String,
    /// The document as it was set.
    #[prost(string, tag = "6")]
    pub(super) policy: String,
    /// The document as it was set.
    #[prost(string, tag = "7")]
    pub(super) delivery_policy: String,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) tags: BTreeMap<String, String>,
    #[prost(uint64, tag = "9")]
    pub(super) confirmed: u64,
    #[prost(uint64, tag = "10")]
    pub(super) pending: u64,
    #[prost(uint64, tag = "11")]
    pub(super) deleted: u64,
    #[prost(string, tag = "12")]
    pub(super) signature_version: String,
    #[prost(string, tag = "13")]
    pub(super) tracing: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Subscription {
    #[prost(enumeration = "Protocol", tag = "1")]
    pub(super) protocol: i32,
    #[prost(string, tag = "2")]
    pub(super) endpoint: String,
    #[prost(bool, tag = "3")]
    pub(super) confirmed: bool,
    #[prost(bool, tag = "4")]
    pub(super) raw: bool,
    /// The document as it was set.
    #[prost(string, tag = "5")]
    pub(super) filter_policy: String,
    #[prost(bool, tag = "6")]
    pub(super) filters_body: bool,
    /// The ARN of the queue for what cannot be delivered.
    #[prost(string, tag = "7")]
    pub(super) dead_letters: String,
    /// The document as it was set.
    #[prost(string, tag = "8")]
    pub(super) delivery_policy: String,
    /// Whose it is, by ARN.
    #[prost(string, tag = "9")]
    pub(super) principal: String,
    /// What confirms it.
    #[prost(string, tag = "10")]
    pub(super) token: String,
    #[prost(uint64, tag = "11")]
    pub(super) created_ms: u64,
    #[prost(bool, tag = "12")]
    pub(super) authenticated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Protocol {
    Unspecified = 0,
    Queue = 1,
    Function = 2,
    Http = 3,
    Https = 4,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::Unspecified => "",
            Protocol::Queue => "sqs",
            Protocol::Function => "lambda",
            Protocol::Http => "http",
            Protocol::Https => "https",
        }
    }
}

/// The number of the newest message of a FIFO topic.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Tail {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
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

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}
