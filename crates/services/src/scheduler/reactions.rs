//! What time does: a schedule runs, waits for its next run, or has come to its end; a deleted group goes.

use super::keys::{GROUPS, SCHEDULES, SWEEPS, ScheduleKey, schedule_arn, schedule_of};
use super::model::{Schedule, Waiting};
use crate::fabric::{self, Delivery, Record, Verdict};
use crate::schedule::Expression;
use crate::targets::{self, Parcel, Sender};
use crate::{Cx, events, fabric::Target};
use jiff::tz::TimeZone;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use serde_json::{Value, json};
use std::time::Duration;

const MAX_AGE_S: u32 = 86_400;
const MINUTE: Duration = Duration::from_secs(60);

/// A new or changed schedule waits for its first run. A rate begins at once, or at its start.
pub(super) fn begin(cx: &mut Cx<'_>, key: &ScheduleKey, schedule: &mut Schedule) -> Result<(), Fault> {
    let start = start_of(schedule);
    let first = match Expression::parse(&schedule.expression) {
        Some(Expression::Rate(_)) => Some(start.max(cx.now)),
        Some(expression) => next(schedule, &expression, cx.now),
        None => None,
    };
    wait(cx, key, schedule, first)
}

/// The first time after `after` that lies after the schedule's start.
fn next(schedule: &Schedule, expression: &Expression, after: Time) -> Option<Time> {
    let zone = TimeZone::get(&schedule.zone).ok()?;
    // A start is itself a time at which it may run.
    let before_start = Time::from_ms(start_of(schedule).ms().saturating_sub(1));
    expression.next(after.max(before_start), &zone)
}

/// Bounds are of what recurs: a single time has none, as AWS has it.
fn start_of(schedule: &Schedule) -> Time {
    if recurs(schedule) { Time::from_ms(schedule.start_ms) } else { Time::EPOCH }
}

fn recurs(schedule: &Schedule) -> bool {
    Expression::parse(&schedule.expression).is_some_and(|expression| expression.recurs())
}

/// Writes down that the schedule waits for this time; or for none, if it is disabled or its end comes before.
fn wait(cx: &mut Cx<'_>, key: &ScheduleKey, schedule: &mut Schedule, at: Option<Time>) -> Result<(), Fault> {
    schedule.waiting = None;
    let bounded = schedule.end_ms > 0 && recurs(schedule);
    let ended = |at: &Time| bounded && at.ms() > schedule.end_ms;
    let Some(at) = at.filter(|at| !schedule.disabled && !ended(at)) else { return Ok(()) };
    let window = (MINUTE * schedule.window_min).as_millis();
    let jitter = match u64::try_from(window) {
        Ok(window @ 1..) => Duration::from_millis(cx.ids.number() % window),
        Ok(0) | Err(_) => Duration::ZERO,
    };
    let (due, delivery) = (at + jitter, cx.ids.uuid());
    schedule.waiting = Some(Waiting { delivery: delivery.clone(), at_ms: at.ms(), due_ms: due.ms() });
    let arn = schedule_arn(key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Target::Timer(arn),
        event_type: "aws.scheduler.Schedule".into(),
        payload: Vec::new(),
        id: Some(delivery),
        due: Some(due),
        depth: 0,
        tenant: None,
    })
}

/// Takes back what waits for a schedule's next run.
pub(super) fn cancel(cx: &mut Cx<'_>, key: &ScheduleKey, schedule: &Schedule) {
    if let Some(waiting) = &schedule.waiting {
        let due = Time::from_ms(waiting.due_ms);
        fabric::cancel(cx, &Target::Timer(schedule_arn(key)), due, &waiting.delivery);
    }
}

/// A schedule's time has come. A delivery that the schedule does not wait for any more ends here.
pub fn fire(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    fabric::settle(cx, record.clone(), Verdict::Done)?;
    let Target::Timer(arn) = record.target()? else {
        return Err(Fault::internal("run a schedule", "the delivery is not a timer's"));
    };
    let Some(key) = schedule_of(&arn) else { return Ok(()) };
    let Some(mut schedule) = SCHEDULES.get(cx.tx, &key)? else { return Ok(()) };
    let Some(waiting) = schedule.waiting.take().filter(|waiting| waiting.delivery == record.id) else {
        return Ok(());
    };
    let group = GROUPS.get(cx.tx, &(key.0.clone(), key.1.clone(), key.2.clone()))?;
    if group.is_some_and(|group| group.deleting) {
        return Ok(());
    }
    let (at, due) = (Time::from_ms(waiting.at_ms), Time::from_ms(waiting.due_ms));
    run(cx, &key, &schedule, at, due, &record.id)?;
    let expression = Expression::parse(&schedule.expression);
    let next_after = |after| expression.as_ref().and_then(|expression| next(&schedule, expression, after));
    // A rate goes on from its own time, unless that is over already.
    let following = match next_after(at) {
        Some(time) if time <= cx.now => next_after(cx.now),
        following => following,
    };
    wait(cx, &key, &mut schedule, following)?;
    match schedule.waiting.is_none() && schedule.delete_after && !schedule.disabled {
        true => SCHEDULES.delete(cx.tx, &key),
        false => SCHEDULES.put(cx.tx, &key, &schedule),
    }
    Ok(())
}

fn run(
    cx: &mut Cx<'_>,
    key: &ScheduleKey,
    schedule: &Schedule,
    at: Time,
    due: Time,
    execution: &str,
) -> Result<(), Fault> {
    let Some(target) = &schedule.target else { return Ok(()) };
    let arn = schedule_arn(key).to_string();
    let scheduled = mayfly_wire::time::iso8601(at).replace(".000Z", "Z");
    let context = [
        ("<aws.scheduler.schedule-arn>", arn.as_str()),
        ("<aws.scheduler.scheduled-time>", &scheduled),
        ("<aws.scheduler.execution-id>", execution),
        ("<aws.scheduler.attempt-number>", "1"),
    ];
    let given = target.input.as_deref().unwrap_or("{}");
    let input = context.iter().fold(given.to_owned(), |text, (name, value)| text.replace(name, value));
    let input = match target.source.is_empty() {
        true => input.into_bytes(),
        false => {
            let detail: Value = serde_json::from_str(&input).unwrap_or_else(|_| json!({}));
            let kind = (target.source.as_str(), target.detail_type.as_str());
            let event = events::event_at(cx, kind, None, json!([arn]), detail);
            event.to_string().into_bytes()
        }
    };
    let parcel = Parcel {
        target: target.arn.clone(),
        input,
        group: target.group.clone(),
        dead_letters: target.dead_letters.clone(),
        source: arn,
        sender: Sender::Schedule.into(),
        event_type: "aws.scheduler.Schedule".into(),
        retries: target.retries,
        max_age_s: target.max_age_s,
        execution: execution.to_owned(),
        scheduled: scheduled.clone(),
        ..Parcel::default()
    };
    let max_age = Duration::from_secs(target.max_age_s.unwrap_or(MAX_AGE_S).into());
    match cx.now.since(due) > max_age {
        true => targets::too_old(cx, parcel),
        false => targets::deliver(cx, parcel),
    }
}

/// Deletes up to `limit` schedules of groups that are being deleted, and the groups without any; how many.
pub fn sweep(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let Some((group, _)) = SWEEPS.scan(cx.tx, Scan::all(1))?.pop() else { return Ok(0) };
    let rows = SCHEDULES.scan(cx.tx, Scan::prefix(&group, limit))?;
    if rows.is_empty() {
        SWEEPS.delete(cx.tx, &group);
        GROUPS.delete(cx.tx, &group);
        return Ok(1);
    }
    let swept = rows.len();
    for (key, schedule) in rows {
        cancel(cx, &key, &schedule);
        SCHEDULES.delete(cx.tx, &key);
    }
    Ok(swept)
}
