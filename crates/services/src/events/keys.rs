//! The maps of EventBridge.

use super::model::{Alarm, Archive, Archived, Bus, Mark, Replay, Rule, Target, Timer};
use crate::{Cx, spaces};
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Map, Space, Tally};

/// Account, region and name.
pub(crate) type BusKey = (String, String, String);
/// Account, region, bus and name.
pub(super) type RuleKey = (String, String, String, String);
/// A rule's, and the target's id.
pub(super) type TargetKey = (String, String, String, String, String);

/// Where the versions of compiled buses are.
pub(crate) const READ_FROM: [Space; 1] = [spaces::EVENTS_VERSIONS];
/// Grows with every change of what a compiled bus is made from: the bus, its rules, their targets, its
/// archives.
const VERSIONS: Tally<BusKey> = Tally::new(spaces::EVENTS_VERSIONS);

pub(super) fn version(cx: &Cx<'_>, bus: &BusKey) -> Result<i64, Fault> {
    Ok(VERSIONS.look(cx.tx, bus)?)
}

/// Says that what a bus is compiled from changes in this transaction.
pub(super) fn changed(cx: &mut Cx<'_>, bus: (&str, &str, &str)) {
    VERSIONS.add(cx.tx, &(bus.0.to_owned(), bus.1.to_owned(), bus.2.to_owned()), 1);
}

pub(super) fn put_rule(cx: &mut Cx<'_>, key: &RuleKey, rule: &Rule) {
    RULES.put(cx.tx, key, rule);
    changed(cx, (&key.0, &key.1, &key.2));
}

pub(super) const BUSES: Map<BusKey, Bus> = Map::new(spaces::EVENTS_BUSES);
pub(super) const RULES: Map<RuleKey, Rule> = Map::new(spaces::EVENTS_RULES);
pub(super) const TARGETS: Map<TargetKey, Target> = Map::new(spaces::EVENTS_TARGETS);
/// Account, region, bus, the target's ARN, rule, and the target's id.
pub(super) const BY_TARGET: Map<(String, String, String, String, String, String), Mark> =
    Map::new(spaces::EVENTS_RULES_BY_TARGET);
pub(super) const TIMERS: Map<RuleKey, Timer> = Map::new(spaces::EVENTS_TIMERS);
pub(super) const ARCHIVES: Map<BusKey, Archive> = Map::new(spaces::EVENTS_ARCHIVES);
/// The archive's id, when the event was put, and a number of its own.
pub(super) const ARCHIVED: Map<(u64, Time, u64), Archived> = Map::new(spaces::EVENTS_ARCHIVED);
/// The archive's id. Kind 0: how many events; kind 1: how many bytes.
pub(super) const ARCHIVE_COUNTS: Tally<(u64, u8)> = Tally::new(spaces::EVENTS_ARCHIVE_COUNTS);
pub(super) const REPLAYS: Map<BusKey, Replay> = Map::new(spaces::EVENTS_REPLAYS);
/// When a resource was last told of as one before which a chain was cut, by its ARN.
pub(super) const ALARMS: Map<(String,), Alarm> = Map::new(spaces::EVENTS_ALARMS);
/// The ids of archives that were deleted and whose events wait to be.
pub(super) const SWEEPS: Map<(u64,), Mark> = Map::new(spaces::EVENTS_SWEEPS);
