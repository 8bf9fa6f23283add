//! EventBridge Scheduler: something is sent to a target once, or again and again, by the clocks of a place.
//!
//! A schedule waits as one delivery of the fabric, whose time is the schedule's next: one row, whether it falls due
//! in a minute or in 2031. When it does, the target gets its input and the next time is written down in one commit,
//! so a kill at any moment neither loses a run nor has it twice. Runs that were missed while nothing ran are one:
//! the schedule runs once, late, unless that is later than its retry policy lets an event grow old.
//!
//! Targets live in the store, so handing over does not fail for a while and then succeed; what cannot be handed over
//! goes to the dead-letter queue at once, and the retry policy's attempts have nothing to count.
//!
//! Deliberately absent: universal targets (any operation of AWS), KMS.
//!
//! Keys: `GROUPS(account, region, group)`, `SCHEDULES(account, region, group, name)`; `SWEEPS(account, region, group)`
//! names the groups whose schedules are being deleted.

mod faults;
mod groups;
mod keys;
mod model;
mod reactions;
mod schedules;
mod tags;
mod target;
#[cfg(test)]
mod tests;

pub use reactions::{fire, sweep};

use crate::Service;

pub fn service() -> Service {
    Service::rest_json("scheduler")
        .rest("CreateSchedule", "POST /schedules/{Name}", schedules::create)
        .rest("GetSchedule", "GET /schedules/{Name}", schedules::get)
        .rest("UpdateSchedule", "PUT /schedules/{Name}", schedules::update)
        .rest("DeleteSchedule", "DELETE /schedules/{Name}", schedules::delete)
        .rest("ListSchedules", "GET /schedules", schedules::list)
        .rest("CreateScheduleGroup", "POST /schedule-groups/{Name}", groups::create)
        .rest("GetScheduleGroup", "GET /schedule-groups/{Name}", groups::get)
        .rest("DeleteScheduleGroup", "DELETE /schedule-groups/{Name}", groups::delete)
        .rest("ListScheduleGroups", "GET /schedule-groups", groups::list)
        .rest("TagResource", "POST /tags/{ResourceArn}", crate::tags::tag::<tags::Row>)
        .rest("UntagResource", "DELETE /tags/{ResourceArn}", crate::tags::untag::<tags::Row>)
        .rest("ListTagsForResource", "GET /tags/{ResourceArn}", crate::tags::list::<tags::Row>)
}
