//! Scheduled actions.

use super::faults;
use super::keys::{ACTIONS, NamedKey, action_arn, action_timer};
use super::model::{Action, Waiting};
use super::policies::page;
use super::scope::{self, DIMENSION, NAMESPACE, check_name, named};
use super::targets::{self, Done, PARTS_MAX};
use crate::Cx;
use crate::fabric::{self, Delivery, Target as Goal};
use crate::schedule::Expression;
use jiff::tz::TimeZone;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    service_namespace: String,
    schedule: Option<String>,
    timezone: Option<String>,
    scheduled_action_name: String,
    resource_id: String,
    scalable_dimension: String,
    #[serde(default, with = "epoch_seconds::option")]
    start_time: Option<Time>,
    #[serde(default, with = "epoch_seconds::option")]
    end_time: Option<Time>,
    scalable_target_action: Option<Range>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    min_capacity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_capacity: Option<u32>,
}

/// Makes an action, or changes what is named of one.
pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Done, Fault> {
    let place = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let target = scope::target(cx, place)?;
    check_name(&input.scheduled_action_name)?;
    targets::find(cx, &target)?;
    let key = named(&target, &input.scheduled_action_name);
    let before = ACTIONS.get(cx.tx, &key)?;
    if before.is_none() && ACTIONS.scan(cx.tx, Scan::prefix(&target, PARTS_MAX))?.len() == PARTS_MAX {
        return Err(faults::too_many(format!(
            "A scalable target has at most {PARTS_MAX} scheduled actions."
        )));
    }
    let mut action = match &before {
        Some(before) => before.clone(),
        None => Action { id: cx.ids.uuid(), created_ms: cx.now.ms(), ..Action::default() },
    };
    if let Some(schedule) = input.schedule {
        action.schedule = schedule;
    }
    if Expression::parse(&action.schedule).is_none() {
        return Err(faults::validation("The schedule is at(…), rate(…) or cron(…)."));
    }
    if let Some(zone) = input.timezone {
        if TimeZone::get(&zone).is_err() {
            return Err(faults::validation(format!("Unknown time zone: {zone}")));
        }
        action.zone = zone;
    }
    action.start_ms = input.start_time.map_or(action.start_ms, Time::ms);
    action.end_ms = input.end_time.map_or(action.end_ms, Time::ms);
    if action.end_ms > 0 && action.start_ms >= action.end_ms {
        return Err(faults::validation("The start time must be before the end time."));
    }
    if let Some(range) = input.scalable_target_action {
        (action.min, action.max) = (range.min_capacity, range.max_capacity);
    }
    match (action.min, action.max) {
        (None, None) => return Err(faults::validation("An action sets MinCapacity, MaxCapacity, or both.")),
        (Some(min), Some(max)) if min > max => {
            return Err(faults::validation("Maximum capacity cannot be less than minimum capacity"));
        }
        _ => {}
    }
    if let Some(before) = &before {
        cancel(cx, &key, before);
    }
    let first = match Expression::parse(&action.schedule) {
        Some(Expression::Rate(_)) => Some(Time::from_ms(action.start_ms).max(cx.now)),
        _ => next(&action, cx.now),
    };
    wait(cx, &key, &mut action, first)?;
    ACTIONS.put(cx.tx, &key, &action);
    Ok(Done {})
}

/// The first time after `after` that lies after the action's start.
pub(super) fn next(action: &Action, after: Time) -> Option<Time> {
    let zone = if action.zone.is_empty() { "UTC" } else { &action.zone };
    let zone = TimeZone::get(zone).ok()?;
    let before_start = Time::from_ms(action.start_ms.saturating_sub(1));
    Expression::parse(&action.schedule)?.next(after.max(before_start), &zone)
}

/// Writes down that the action waits for this time; or for none, if its end comes before.
pub(super) fn wait(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    action: &mut Action,
    due: Option<Time>,
) -> Result<(), Fault> {
    action.waiting = None;
    let Some(due) = due.filter(|due| action.end_ms == 0 || due.ms() <= action.end_ms) else { return Ok(()) };
    let delivery = cx.ids.uuid();
    action.waiting = Some(Waiting { delivery: delivery.clone(), due_ms: due.ms() });
    let arn = action_timer(key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Goal::Timer(arn),
        event_type: "aws.application-autoscaling.ScheduledAction".into(),
        payload: Vec::new(),
        id: Some(delivery),
        due: Some(due),
        depth: 0,
        tenant: None,
    })
}

/// Takes back what waits for an action's next time.
pub(super) fn cancel(cx: &mut Cx<'_>, key: &NamedKey, action: &Action) {
    if let Some(waiting) = &action.waiting {
        let due = Time::from_ms(waiting.due_ms);
        fabric::cancel(cx, &Goal::Timer(action_timer(key)), due, &waiting.delivery);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    service_namespace: String,
    scheduled_action_name: String,
    resource_id: String,
    scalable_dimension: String,
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<Done, Fault> {
    let place = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let target = scope::target(cx, place)?;
    let key = named(&target, &input.scheduled_action_name);
    let action = ACTIONS.get(cx.tx, &key)?.ok_or_else(|| faults::no_action(&key.3))?;
    cancel(cx, &key, &action);
    ACTIONS.delete(cx.tx, &key);
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    #[serde(default)]
    scheduled_action_names: Vec<String>,
    service_namespace: String,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    scheduled_actions: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    scheduled_action_name: String,
    #[serde(rename = "ScheduledActionARN")]
    arn: String,
    service_namespace: &'static str,
    schedule: String,
    timezone: Option<String>,
    resource_id: String,
    scalable_dimension: &'static str,
    #[serde(with = "epoch_seconds::option")]
    start_time: Option<Time>,
    #[serde(with = "epoch_seconds::option")]
    end_time: Option<Time>,
    scalable_target_action: Range,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
}

fn shown(key: NamedKey, action: Action) -> Shown {
    let time = |ms: u64| (ms > 0).then(|| Time::from_ms(ms));
    Shown {
        arn: action_arn(&key, &action.id).to_string(),
        scheduled_action_name: key.3,
        resource_id: key.2,
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        schedule: action.schedule,
        timezone: Some(action.zone).filter(|zone| !zone.is_empty()),
        start_time: time(action.start_ms),
        end_time: time(action.end_ms),
        scalable_target_action: Range { min_capacity: action.min, max_capacity: action.max },
        creation_time: Time::from_ms(action.created_ms),
    }
}

/// By resource and name. A page is what is asked for of those that lie in it, so it may be short and go on.
pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let place = (input.resource_id, input.scalable_dimension.as_deref());
    let listing = scope::listing(cx, &input.service_namespace, place, input.max_results)?;
    let (mut rows, next_token) = page(cx, &listing, input.next_token.as_deref(), &ACTIONS)?;
    let names = &input.scheduled_action_names;
    rows.retain(|(key, _)| names.is_empty() || names.contains(&key.3));
    Ok(Described {
        scheduled_actions: rows.into_iter().map(|(key, row)| shown(key, row)).collect(),
        next_token,
    })
}
