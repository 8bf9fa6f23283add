//! Alarms: their life, their listing, and setting them by hand.

use super::alarm_forms::{Put, Shown, check_name, shown};
use super::keys::{ALARMS, AlarmKey, alarm_arn};
use super::metrics::{Dimension, check_name as check_metric, check_unit, checked_dimensions};
use super::model::{Alarm, State};
use super::query::STATISTICS;
use super::{evaluation, faults, tags};
use crate::{Cx, paging};
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

const PAGE: usize = 100;
const NAMES_MAX: usize = 100;
/// More than an account has: listings by a metric look at all of them.
const ALARMS_MAX: usize = 5000;

pub(super) fn key(cx: &Cx<'_>, name: &str) -> AlarmKey {
    (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
}

/// Makes an alarm, or makes it another: then its tags stay, and its state until it is looked at, which is
/// at once.
pub(super) fn put(cx: &mut Cx<'_>, mut input: Put) -> Result<(), Fault> {
    check_name(&input.alarm_name)?;
    let key = key(cx, &input.alarm_name);
    cx.allow(&alarm_arn(&key))?;
    let tags = crate::tags::checked::<tags::Row>(cx, std::mem::take(&mut input.tags))?;
    let mut alarm = input.checked()?;
    let before = ALARMS.get(cx.tx, &key)?;
    let is_new = before.is_none();
    match before {
        Some(before) => {
            alarm.state = before.state;
            (alarm.reason, alarm.reason_data) = (before.reason, before.reason_data);
            (alarm.state_ms, alarm.tags) = (before.state_ms, before.tags);
        }
        None => {
            let place = (key.0.clone(), key.1.clone());
            if ALARMS.peek_scan(cx.tx, Scan::prefix(&place, ALARMS_MAX))?.len() == ALARMS_MAX {
                return Err(faults::too_many(format!("An account has at most {ALARMS_MAX} alarms.")));
            }
            alarm.tags = tags;
            alarm.reason = "Unchecked: Initial alarm creation".to_owned();
            alarm.state_ms = cx.now.ms();
        }
    }
    alarm.configured_ms = cx.now.ms();
    alarm.look = cx.ids.uuid();
    ALARMS.put(cx.tx, &key, &alarm);
    if !is_new {
        evaluation::look(cx, &key, &mut alarm)?;
    }
    evaluation::wait(cx, &key, &alarm)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    #[serde(default)]
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    #[serde(default)]
    alarm_types: Vec<String>,
    state_value: Option<String>,
    action_prefix: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    composite_alarms: Vec<()>,
    metric_alarms: Vec<Shown>,
    next_token: Option<String>,
}

/// By name. A page is what is asked for of those that lie in it, so it may be short and go on.
pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let resource = cx.arn("cloudwatch", "alarm:*");
    cx.allow(&resource)?;
    let limit = match input.max_records.unwrap_or(PAGE) {
        limit @ 1..=PAGE => limit,
        _ => return Err(faults::validation(format!("MaxRecords lies between 1 and {PAGE}."))),
    };
    if let Some(other) =
        input.alarm_types.iter().find(|kind| !["MetricAlarm", "CompositeAlarm"].contains(&kind.as_str()))
    {
        return Err(faults::validation(format!("Unknown type of alarm: {other}")));
    }
    let state = input.state_value.as_deref().map(parse_state).transpose()?;
    for (text, most) in [(&input.alarm_name_prefix, 255), (&input.action_prefix, 1024)] {
        if text.as_ref().is_some_and(|text| !(1..=most).contains(&text.chars().count())) {
            return Err(faults::validation(format!("A prefix has 1 to {most} characters.")));
        }
    }
    let empty = Described { composite_alarms: Vec::new(), metric_alarms: Vec::new(), next_token: None };
    if !input.alarm_types.is_empty() && !input.alarm_types.iter().any(|kind| kind == "MetricAlarm") {
        return Ok(empty);
    }
    let (mut rows, next_token) = match input.alarm_names.is_empty() {
        true => listed(cx, &input, limit)?,
        false if input.alarm_name_prefix.is_some() => {
            return Err(faults::bad_combination("Give AlarmNames or AlarmNamePrefix, not both."));
        }
        false => (named(cx, &input.alarm_names)?, None),
    };
    let has_action = |alarm: &Alarm| {
        let all = [&alarm.ok_actions, &alarm.alarm_actions, &alarm.insufficient_actions];
        let prefix = input.action_prefix.as_deref();
        prefix.is_none_or(|prefix| all.iter().any(|list| list.iter().any(|arn| arn.starts_with(prefix))))
    };
    rows.retain(|(_, alarm)| state.is_none_or(|state| state == alarm.state()) && has_action(alarm));
    let metric_alarms = rows.into_iter().map(|(key, alarm)| shown(key, alarm)).collect();
    Ok(Described { metric_alarms, next_token, ..empty })
}

type Rows = Vec<(AlarmKey, Alarm)>;

fn listed(cx: &Cx<'_>, input: &Describe, limit: usize) -> Result<(Rows, Option<String>), Fault> {
    let prefix = input.alarm_name_prefix.clone().unwrap_or_default();
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, limit + 1).from(&key(cx, &prefix));
    if let Some(token) = &input.next_token {
        scan = Scan::prefix(&place, limit + 1).after(&key(cx, token));
    }
    let rows = ALARMS.scan(cx.tx, scan)?.into_iter().take_while(|(key, _)| key.2.starts_with(&prefix));
    Ok(paging::cut(rows.collect(), limit, |(key, _)| key.2.clone()))
}

fn named(cx: &Cx<'_>, names: &[String]) -> Result<Rows, Fault> {
    if names.len() > NAMES_MAX {
        return Err(faults::validation(format!("At most {NAMES_MAX} alarms are named at once.")));
    }
    let mut rows = Vec::new();
    for name in names {
        let key = key(cx, name);
        if let Some(alarm) = ALARMS.get(cx.tx, &key)? {
            rows.push((key, alarm));
        }
    }
    Ok(rows)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ForMetric {
    metric_name: String,
    namespace: String,
    statistic: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    period: Option<u32>,
    unit: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfMetric {
    metric_alarms: Vec<Shown>,
}

pub(super) fn describe_for_metric(cx: &mut Cx<'_>, input: ForMetric) -> Result<OfMetric, Fault> {
    let resource = cx.arn("cloudwatch", "alarm:*");
    cx.allow(&resource)?;
    check_metric(&input.metric_name, "MetricName")?;
    check_metric(&input.namespace, "Namespace")?;
    check_unit(input.unit.as_ref())?;
    if input.statistic.as_ref().is_some_and(|name| !STATISTICS.contains(&name.as_str())) {
        return Err(faults::bad_value("Unknown statistic."));
    }
    if input.period == Some(0) {
        return Err(faults::bad_value("A period is at least 1 second."));
    }
    let dimensions = checked_dimensions(input.dimensions)?;
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut rows = ALARMS.scan(cx.tx, Scan::prefix(&place, ALARMS_MAX))?;
    rows.retain(|(_, alarm)| {
        alarm.of_one_metric
            && alarm.queries.iter().filter_map(|query| query.stat.as_ref()).any(|stat| {
                stat.metric == input.metric_name
                    && stat.namespace == input.namespace
                    && stat.dimensions == dimensions
                    && input.statistic.as_ref().is_none_or(|wanted| *wanted == stat.statistic)
                    && input.period.is_none_or(|wanted| wanted == stat.period_s)
                    && input.unit.as_ref().is_none_or(|wanted| *wanted == stat.unit)
            })
    });
    Ok(OfMetric { metric_alarms: rows.into_iter().map(|(key, alarm)| shown(key, alarm)).collect() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Names {
    alarm_names: Vec<String>,
}

/// Calls `each` for those of the named alarms that there are.
fn for_each(
    cx: &mut Cx<'_>,
    names: &[String],
    mut each: impl FnMut(&mut Cx<'_>, &AlarmKey, Alarm),
) -> Result<(), Fault> {
    let resource = cx.arn("cloudwatch", "alarm:*");
    cx.allow(&resource)?;
    for (key, alarm) in named(cx, names)? {
        each(cx, &key, alarm);
    }
    Ok(())
}

/// Names without an alarm are passed over. What waits to look at one finds it gone.
pub(super) fn delete(cx: &mut Cx<'_>, input: Names) -> Result<(), Fault> {
    for_each(cx, &input.alarm_names, |cx, key, _| ALARMS.delete(cx.tx, key))
}

pub(super) fn enable_actions(cx: &mut Cx<'_>, input: Names) -> Result<(), Fault> {
    silence(cx, &input.alarm_names, false)
}

pub(super) fn disable_actions(cx: &mut Cx<'_>, input: Names) -> Result<(), Fault> {
    silence(cx, &input.alarm_names, true)
}

fn silence(cx: &mut Cx<'_>, names: &[String], silent: bool) -> Result<(), Fault> {
    for_each(cx, names, |cx, key, alarm| {
        if alarm.silent != silent {
            ALARMS.put(cx.tx, key, &Alarm { silent, ..alarm });
        }
    })
}

fn parse_state(name: &str) -> Result<State, Fault> {
    State::parse(name).ok_or_else(|| faults::validation(format!("Unknown state: {name}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetState {
    alarm_name: String,
    state_value: String,
    state_reason: String,
    state_reason_data: Option<String>,
}

/// For a while: the next look at the figures says what the state is.
pub(super) fn set_state(cx: &mut Cx<'_>, input: SetState) -> Result<(), Fault> {
    check_name(&input.alarm_name)?;
    let key = key(cx, &input.alarm_name);
    cx.allow(&alarm_arn(&key))?;
    let state = parse_state(&input.state_value)?;
    let data = input.state_reason_data.unwrap_or_default();
    if input.state_reason.chars().count() > 1023 || data.chars().count() > 4000 {
        return Err(faults::validation("A reason has at most 1023 characters, its data 4000."));
    }
    if !data.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(&data).is_err() {
        let text = "StateReasonData was not syntactically valid JSON";
        return Err(Fault::new(400, "InvalidFormatFault", text).with_query_code("InvalidFormat"));
    }
    let mut alarm = ALARMS.get(cx.tx, &key)?.ok_or_else(|| faults::no_alarm(&key.2))?;
    evaluation::set(cx, &key, &mut alarm, state, (input.state_reason, data))
}
