//! CloudWatch Logs: groups of streams of lines with times.
//!
//! The platform writes what functions print, callers may write too. Events are stored once, under their
//! stream, those that come together in one row ([`packed`]); a second row without a value orders a whole
//! group by time, for FilterLogEvents. A group's rows are under a number that a re-created group of the same
//! name does not share, so deleting a group costs nothing however much it holds: its events are swept
//! afterwards.
//!
//! Deliberately absent: metric filters, subscriptions, Insights, exports, KMS.
//!
//! Keys: `GROUPS(account, region, group)`, `STREAMS(group id, stream)`, `EVENTS(group id, stream, time,
//! seq)`, `BY_TIME(group id, time, seq, stream)`; `SWEEPS(group id)` names the groups whose events wait to be
//! swept, and `RETAINED(time, group id)` says when which group's oldest events may have outlived their
//! retention.

mod events;
mod faults;
mod filter;
mod groups;
mod keys;
mod model;
mod packed;
mod pattern;
mod reactions;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use events::append_to_existing;
pub use events::{Line, append};
pub use reactions::expire;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("logs", Protocol::Json11, "Logs_20140328")
        .op("CreateLogGroup", groups::create)
        .op("DeleteLogGroup", groups::delete)
        .view("DescribeLogGroups", groups::describe)
        .op("PutRetentionPolicy", groups::put_retention)
        .op("DeleteRetentionPolicy", groups::delete_retention)
        .op("TagResource", groups::tag)
        .op("UntagResource", groups::untag)
        .view("ListTagsForResource", groups::list_tags)
        .op("CreateLogStream", streams::create)
        .op("DeleteLogStream", streams::delete)
        .view("DescribeLogStreams", streams::describe)
        .op("PutLogEvents", events::put)
        .view("GetLogEvents", events::get)
        .view("FilterLogEvents", filter::filter)
        .view("TestMetricFilter", filter::test)
}
