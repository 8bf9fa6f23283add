//! The maps of EventBridge Scheduler.

use super::model::{Group, Mark, Schedule};
use crate::spaces;
use mayfly_kernel::Arn;
use mayfly_store::Map;

/// Account, region and name.
pub(super) type GroupKey = (String, String, String);
/// Account, region, group and name.
pub(super) type ScheduleKey = (String, String, String, String);

pub(super) const GROUPS: Map<GroupKey, Group> = Map::new(spaces::SCHEDULER_GROUPS);
pub(super) const SCHEDULES: Map<ScheduleKey, Schedule> = Map::new(spaces::SCHEDULER_SCHEDULES);
pub(super) const SWEEPS: Map<GroupKey, Mark> = Map::new(spaces::SCHEDULER_SWEEPS);

pub(super) fn schedule_arn(key: &ScheduleKey) -> Arn {
    Arn::new("scheduler", &key.1, &key.0, format!("schedule/{}/{}", key.2, key.3))
}

pub(super) fn group_arn(key: &GroupKey) -> Arn {
    Arn::new("scheduler", &key.1, &key.0, format!("schedule-group/{}", key.2))
}

/// The schedule that an ARN names.
pub(super) fn schedule_of(arn: &Arn) -> Option<ScheduleKey> {
    let (group, name) = arn.resource.strip_prefix("schedule/")?.split_once('/')?;
    Some((arn.account.clone(), arn.region.clone(), group.to_owned(), name.to_owned()))
}
