//! EventBridge: events go to a bus, rules choose among them, and targets get what was chosen.
//!
//! An event, what its archives keep of it, and what the targets of its rules get are one commit: there is no
//! moment at which one rule's target has it and another's has not. The language of patterns is
//! `crate::pattern`, bringing something to a target is `crate::targets`, and the times of schedules are
//! `crate::schedule`.
//!
//! The rules of a bus are compiled once and remembered until one changes (`index.rs`, `crate::memo`); rules
//! that name the sources and types they want are found by them.
//!
//! Deliberately absent: partner event sources, global endpoints, schema discovery, KMS, and rules on buses of
//! other accounts, which may put events there and no more.
//!
//! Keys: `BUSES(account, region, bus)`, `RULES(bus, rule)`, `TARGETS(rule, id)`, `BY_TARGET(bus, ARN, rule,
//! id)`, `TIMERS(rule)`; `ARCHIVES(account, region, archive)`, `ARCHIVED(archive id, time, number)`,
//! `REPLAYS(…)`.

mod alarms;
mod archives;
mod buses;
mod cloudevents;
pub(crate) mod endpoints;
mod faults;
mod index;
pub(crate) mod input;
mod keys;
mod model;
mod names;
mod patterns;
mod put;
mod replays;
mod route;
mod rule_targets;
mod rules;
mod tags;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use alarms::chain_cut;
pub use archives::expire;
pub use cloudevents::receive;
pub use endpoints::{Request, TokenRequest, authorized, token_of};
pub(crate) use index::Compiled;
pub(crate) use keys::{BusKey, READ_FROM};
pub use replays::replay_step;
pub(crate) use route::{Unplaced, emit, event_at, pass_on, put_on};
pub use timers::fire;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    endpoints::with_endpoints(with_buses(Service::json("events", Protocol::Json11, "AWSEvents")))
}

fn with_buses(service: Service) -> Service {
    service
        .op("CreateEventBus", buses::create)
        .op("UpdateEventBus", buses::update)
        .view("DescribeEventBus", buses::describe)
        .view("ListEventBuses", buses::list)
        .op("DeleteEventBus", buses::delete)
        .op("PutPermission", buses::put_permission)
        .op("RemovePermission", buses::remove_permission)
        .op("PutRule", rules::put)
        .view("DescribeRule", rules::describe)
        .view("ListRules", rules::list)
        .op("DeleteRule", rules::delete)
        .op("EnableRule", rules::enable)
        .op("DisableRule", rules::disable)
        .op("PutTargets", rule_targets::put)
        .op("RemoveTargets", rule_targets::remove)
        .view("ListTargetsByRule", rule_targets::list)
        .view("ListRuleNamesByTarget", rule_targets::list_rules)
        .op("PutEvents", put::put)
        .view("TestEventPattern", patterns::test)
        .op("CreateArchive", archives::create)
        .op("UpdateArchive", archives::update)
        .view("DescribeArchive", archives::describe)
        .view("ListArchives", archives::list)
        .op("DeleteArchive", archives::delete)
        .op("StartReplay", replays::start)
        .op("CancelReplay", replays::cancel)
        .view("DescribeReplay", replays::describe)
        .view("ListReplays", replays::list)
        .op("TagResource", crate::tags::tag::<tags::Row>)
        .op("UntagResource", crate::tags::untag::<tags::Row>)
        .view("ListTagsForResource", crate::tags::list::<tags::Row>)
}
