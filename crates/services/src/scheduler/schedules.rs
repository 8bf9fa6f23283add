//! Schedules: their life and their listing.

use super::faults;
use super::groups::{self, Done};
use super::keys::{SCHEDULES, ScheduleKey, schedule_arn};
use super::model::{DEFAULT_GROUP, Schedule};
use super::reactions;
use super::target::{self, Wanted};
use crate::schedule::Expression;
use crate::{Cx, paging};
use jiff::tz::TimeZone;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a start may lie back when a schedule is made.
const START_LATE_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Enabled,
    Disabled,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum After {
    None,
    Delete,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Off,
    Flexible,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Window {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_window_in_minutes: Option<u32>,
}

impl Window {
    fn checked(&self) -> Result<u32, Fault> {
        match (self.mode, self.maximum_window_in_minutes) {
            (Mode::Off, None) => Ok(0),
            (Mode::Flexible, Some(minutes @ 1..=1440)) => Ok(minutes),
            (Mode::Off, Some(_)) => {
                Err(faults::validation("MaximumWindowInMinutes is for flexible time windows alone."))
            }
            (Mode::Flexible, _) => {
                let text = "A flexible time window needs MaximumWindowInMinutes between 1 and 1440.";
                Err(faults::validation(text))
            }
        }
    }
}

/// A schedule as it is asked for: to be made, or to be another.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    name: String,
    group_name: Option<String>,
    schedule_expression: String,
    schedule_expression_timezone: Option<String>,
    #[serde(default, with = "epoch_seconds::option")]
    start_date: Option<Time>,
    #[serde(default, with = "epoch_seconds::option")]
    end_date: Option<Time>,
    description: Option<String>,
    state: Option<State>,
    target: Wanted,
    flexible_time_window: Window,
    action_after_completion: Option<After>,
    client_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    schedule_arn: String,
}

fn key(cx: &Cx<'_>, group: Option<&str>, name: &str) -> ScheduleKey {
    let group = group.unwrap_or(DEFAULT_GROUP).to_owned();
    (cx.caller.account.clone(), cx.caller.region.clone(), group, name.to_owned())
}

impl Put {
    /// The schedule that is asked for, in the place of one that there was.
    fn checked(self, before: Option<&Schedule>, now: Time) -> Result<Schedule, Fault> {
        groups::check_token(self.client_token.as_deref())?;
        let expression = Expression::parse(&self.schedule_expression);
        let Some(expression) = expression.filter(|_| self.schedule_expression.len() <= 256) else {
            return Err(faults::bad_expression(&self.schedule_expression));
        };
        let zone = self.schedule_expression_timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        let Ok(place) = TimeZone::get(&zone) else {
            return Err(faults::validation(format!("Invalid Schedule Expression Timezone {zone}.")));
        };
        // What lies behind is refused when it is new; what stands may be kept by whoever changes something
        // else.
        let kept =
            |same: fn(&Schedule, &Put, &str) -> bool| before.is_some_and(|old| same(old, &self, &zone));
        match expression.recurs() {
            false if expression.next(now, &place).is_none() => {
                if !kept(|old, new, zone| old.expression == new.schedule_expression && old.zone == zone) {
                    return Err(faults::bad_expression(&self.schedule_expression));
                }
            }
            true if self.start_date.is_some_and(|start| start + START_LATE_MAX < now) => {
                if !kept(|old, new, _| Some(Time::from_ms(old.start_ms)) == new.start_date) {
                    let text = "The StartDate you specify cannot be earlier than 5 minutes ago.";
                    return Err(faults::validation(text));
                }
            }
            true | false => {}
        }
        if let (Some(start), Some(end)) = (self.start_date, self.end_date)
            && start >= end
        {
            return Err(faults::validation("The StartDate must be before the EndDate."));
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 512) {
            let rule = "Member must have length less than or equal to 512";
            return Err(faults::constraint("description", "...", rule));
        }
        let ms = |time: Option<Time>| time.map_or(0, Time::ms);
        Ok(Schedule {
            expression: self.schedule_expression,
            zone,
            start_ms: ms(self.start_date),
            end_ms: ms(self.end_date),
            disabled: self.state == Some(State::Disabled),
            description: self.description.unwrap_or_default(),
            target: Some(self.target.checked()?),
            window_min: self.flexible_time_window.checked()?,
            delete_after: self.action_after_completion == Some(After::Delete),
            created_ms: before.map_or(now, |before| Time::from_ms(before.created_ms)).ms(),
            modified_ms: now.ms(),
            waiting: None,
        })
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Put) -> Result<Made, Fault> {
    groups::check_name("name", &input.name)?;
    let key = key(cx, input.group_name.as_deref(), &input.name);
    let arn = schedule_arn(&key);
    cx.allow(&arn)?;
    let group = groups::find(cx, &groups::key(cx, &key.2))?;
    if group.deleting {
        return Err(faults::group_is_going(&key.2));
    }
    if SCHEDULES.contains(cx.tx, &key)? {
        return Err(faults::schedule_exists(&key.3));
    }
    let mut schedule = input.checked(None, cx.now)?;
    reactions::begin(cx, &key, &mut schedule)?;
    SCHEDULES.put(cx.tx, &key, &schedule);
    Ok(Made { schedule_arn: arn.to_string() })
}

fn open(cx: &mut Cx<'_>, key: &ScheduleKey) -> Result<Schedule, Fault> {
    cx.allow(&schedule_arn(key))?;
    SCHEDULES.get(cx.tx, key)?.ok_or_else(|| faults::no_schedule(&key.3))
}

/// A schedule is replaced whole: what is not named is as if it had never been.
pub(super) fn update(cx: &mut Cx<'_>, input: Put) -> Result<Made, Fault> {
    let key = key(cx, input.group_name.as_deref(), &input.name);
    let before = open(cx, &key)?;
    let mut schedule = input.checked(Some(&before), cx.now)?;
    reactions::cancel(cx, &key, &before);
    reactions::begin(cx, &key, &mut schedule)?;
    SCHEDULES.put(cx.tx, &key, &schedule);
    Ok(Made { schedule_arn: schedule_arn(&key).to_string() })
}

#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "groupName")]
    group: Option<String>,
    #[serde(rename = "clientToken")]
    token: Option<String>,
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Done, Fault> {
    groups::check_token(input.token.as_deref())?;
    let key = key(cx, input.group.as_deref(), &input.name);
    let schedule = open(cx, &key)?;
    reactions::cancel(cx, &key, &schedule);
    SCHEDULES.delete(cx.tx, &key);
    Ok(Done {})
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    arn: String,
    name: String,
    group_name: String,
    schedule_expression: String,
    schedule_expression_timezone: String,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    start_date: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    end_date: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    state: State,
    target: Option<target::Shown>,
    flexible_time_window: Window,
    action_after_completion: After,
    #[serde(with = "epoch_seconds")]
    creation_date: Time,
    #[serde(with = "epoch_seconds")]
    last_modification_date: Time,
}

fn state(schedule: &Schedule) -> State {
    if schedule.disabled { State::Disabled } else { State::Enabled }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let key = key(cx, input.group.as_deref(), &input.name);
    let schedule = open(cx, &key)?;
    let time = |ms: u64| (ms > 0).then(|| Time::from_ms(ms));
    let minutes = Some(schedule.window_min).filter(|minutes| *minutes > 0);
    Ok(Shown {
        arn: schedule_arn(&key).to_string(),
        state: state(&schedule),
        name: key.3,
        group_name: key.2,
        schedule_expression: schedule.expression,
        schedule_expression_timezone: schedule.zone,
        start_date: time(schedule.start_ms),
        end_date: time(schedule.end_ms),
        description: schedule.description,
        target: schedule.target.map(target::shown),
        flexible_time_window: Window {
            mode: if minutes.is_some() { Mode::Flexible } else { Mode::Off },
            maximum_window_in_minutes: minutes,
        },
        action_after_completion: if schedule.delete_after { After::Delete } else { After::None },
        creation_date: Time::from_ms(schedule.created_ms),
        last_modification_date: Time::from_ms(schedule.modified_ms),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    schedule_group: Option<String>,
    name_prefix: Option<String>,
    state: Option<State>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    arn: String,
    name: String,
    group_name: String,
    state: State,
    target: Goal,
    #[serde(with = "epoch_seconds")]
    creation_date: Time,
    #[serde(with = "epoch_seconds")]
    last_modification_date: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Goal {
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    schedules: Vec<Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// By group and name. A page is what lies in it of what is asked for, so it may be short or empty and go on.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("scheduler", "schedule/*");
    cx.allow(&resource)?;
    groups::check_listing(input.name_prefix.as_deref(), input.next_token.as_deref())?;
    if let Some(group) = &input.schedule_group {
        groups::check_name("groupName", group)?;
    }
    let limit = groups::page(input.max_results)?;
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let prefix = input.name_prefix.unwrap_or_default();
    let mut scan =
        match &input.schedule_group {
            Some(group) => Scan::prefix(&(account.clone(), region.clone(), group.clone()), limit + 1)
                .from(&key(cx, Some(group), &prefix)),
            None => Scan::prefix(&(account.clone(), region.clone()), limit + 1),
        };
    if let Some(token) = &input.next_token {
        let (group, name) = token.split_once('/').ok_or_else(|| faults::validation("Invalid NextToken."))?;
        scan = scan.after(&key(cx, Some(group), name));
    }
    let (mut rows, next_token) =
        paging::cut(SCHEDULES.scan(cx.tx, scan)?, limit, |(key, _)| format!("{}/{}", key.2, key.3));
    rows.retain(|(key, schedule)| {
        key.3.starts_with(&prefix) && input.state.is_none_or(|wanted| wanted == state(schedule))
    });
    let summary = |(key, schedule): (ScheduleKey, Schedule)| Summary {
        arn: schedule_arn(&key).to_string(),
        name: key.3,
        group_name: key.2,
        state: state(&schedule),
        target: Goal { arn: schedule.target.map(|target| target.arn).unwrap_or_default() },
        creation_date: Time::from_ms(schedule.created_ms),
        last_modification_date: Time::from_ms(schedule.modified_ms),
    };
    Ok(Listed { schedules: rows.into_iter().map(summary).collect(), next_token })
}
