//! The maps of EventBridge.

use super::model::{Archive, Archived, Bus, Mark, Replay, Rule, Target, Timer};
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::{Map, Space, Tally};

/// Account, region and name.
pub(crate) type BusKey = (String, String, String);
/// Account, region, bus and name.
pub(super) type RuleKey = (String, String, String, String);
/// A rule's, and the target's id.
pub(super) type TargetKey = (String, String, String, String, String);

/// The maps that a compiled bus is made from.
pub(crate) const READ_FROM: [Space; 4] =
    [spaces::EVENTS_BUSES, spaces::EVENTS_RULES, spaces::EVENTS_TARGETS, spaces::EVENTS_ARCHIVES];

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
/// The ids of archives that were deleted and whose events wait to be.
pub(super) const SWEEPS: Map<(u64,), Mark> = Map::new(spaces::EVENTS_SWEEPS);
