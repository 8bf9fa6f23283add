//! Rules: which events of a bus, or which times, have their targets told.

use super::keys::{self, RULES, RuleKey, TARGETS};
use super::model::{DEFAULT_BUS, Rule};
use super::names::{self, open_bus, open_rule, rule_arn};
use super::tags;
use super::{buses, faults, timers};
use crate::pattern::Pattern;
use crate::schedule::Expression;
use crate::tags::Tag;
use crate::{Cx, paging};
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// How long a pattern may be.
const PATTERN_CHARS: usize = 4096;

#[derive(Clone, Copy, Deserialize, PartialEq)]
enum State {
    #[serde(rename = "ENABLED")]
    Enabled,
    #[serde(rename = "DISABLED")]
    Disabled,
    #[serde(rename = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")]
    EnabledWithManagementEvents,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    name: String,
    schedule_expression: Option<String>,
    event_pattern: Option<String>,
    state: Option<State>,
    description: Option<String>,
    role_arn: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    event_bus_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    rule_arn: String,
}

/// Makes a rule, or makes one that is there into this one; its targets and tags stay.
pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Made, Fault> {
    names::check("name", &input.name, 64, false)?;
    let (bus, _) = open_bus(cx, input.event_bus_name.as_deref())?;
    let pattern = input.event_pattern.unwrap_or_default();
    let schedule = input.schedule_expression.unwrap_or_default();
    if pattern.is_empty() && schedule.is_empty() {
        return Err(faults::validation("Parameter(s) EventPattern or ScheduleExpression must be specified."));
    }
    if !pattern.is_empty() {
        if pattern.chars().count() > PATTERN_CHARS {
            let rule = "Member must have length less than or equal to 4096";
            return Err(faults::constraint("eventPattern", &pattern, rule));
        }
        Pattern::compile(&pattern).map_err(|reason| faults::invalid_pattern(&reason))?;
    }
    if !schedule.is_empty() {
        if bus.2 != DEFAULT_BUS {
            let text = "ScheduleExpression is supported only on the default event bus.";
            return Err(faults::validation(text));
        }
        if !Expression::parse(&schedule).is_some_and(|expression| expression.recurs()) {
            return Err(faults::validation("Parameter ScheduleExpression is not valid."));
        }
    }
    let key: RuleKey = (bus.0, bus.1, bus.2, input.name);
    let before = RULES.get(cx.tx, &key)?;
    let tags = match (&before, input.tags.is_empty()) {
        (Some(before), _) => before.tags.clone(),
        (None, true) => Default::default(),
        (None, false) => crate::tags::checked::<tags::Row>(cx, input.tags)?,
    };
    let state = match input.state {
        Some(State::EnabledWithManagementEvents) => {
            "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS".to_owned()
        }
        Some(State::Enabled | State::Disabled) | None => String::new(),
    };
    let rule = Rule {
        pattern,
        schedule,
        state,
        disabled: input.state == Some(State::Disabled),
        description: input.description.unwrap_or_default(),
        role: input.role_arn.unwrap_or_default(),
        tags,
    };
    keys::put_rule(cx, &key, &rule);
    timers::set(cx, &key, &rule)?;
    Ok(Made { rule_arn: rule_arn(&key).to_string() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
    event_bus_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    name: String,
    arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    event_pattern: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    schedule_expression: String,
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    role_arn: String,
    event_bus_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
}

fn shown(key: RuleKey, rule: Rule) -> Shown {
    Shown {
        arn: rule_arn(&key).to_string(),
        name: key.3,
        state: rule.state().to_owned(),
        event_pattern: rule.pattern,
        schedule_expression: rule.schedule,
        description: rule.description,
        role_arn: rule.role,
        event_bus_name: key.2,
        created_by: None,
    }
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, rule) = open_rule(cx, input.event_bus_name.as_deref(), &input.name)?;
    let created_by = Some(key.0.clone());
    Ok(Shown { created_by, ..shown(key, rule) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    event_bus_name: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    rules: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let (bus, _) = open_bus(cx, input.event_bus_name.as_deref())?;
    names::check_listing(input.name_prefix.as_deref(), (64, false), input.next_token.as_deref())?;
    let limit = buses::limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let key = |name: &str| (bus.0.clone(), bus.1.clone(), bus.2.clone(), name.to_owned());
    let mut scan = Scan::prefix(&bus, limit + 1).from(&key(&prefix));
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(token));
    }
    let rows = RULES.scan(cx.tx, scan)?.into_iter().take_while(|(key, _)| key.3.starts_with(&prefix));
    let (rows, next_token) = paging::cut(rows.collect(), limit, |(key, _)| key.3.clone());
    Ok(Listed { rules: rows.into_iter().map(|(key, rule)| shown(key, rule)).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    name: String,
    event_bus_name: Option<String>,
    /// No rule is managed by a service.
    #[serde(rename = "Force", default)]
    _force: IgnoredAny,
}

/// Deleting what is not there is done.
pub(super) fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<(), Fault> {
    names::check("name", &input.name, 64, false)?;
    let (bus, _) = open_bus(cx, input.event_bus_name.as_deref())?;
    let key: RuleKey = (bus.0, bus.1, bus.2, input.name);
    if !TARGETS.scan(cx.tx, Scan::prefix(&key, 1))?.is_empty() {
        return Err(faults::validation("Rule can't be deleted since it has targets."));
    }
    RULES.delete(cx.tx, &key);
    keys::changed(cx, (&key.0, &key.1, &key.2));
    timers::clear(cx, &key)
}

pub(super) fn enable(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    switch(cx, &input, false)
}

pub(super) fn disable(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    switch(cx, &input, true)
}

fn switch(cx: &mut Cx<'_>, input: &Named, disabled: bool) -> Result<(), Fault> {
    let (key, mut rule) = open_rule(cx, input.event_bus_name.as_deref(), &input.name)?;
    rule.disabled = disabled;
    keys::put_rule(cx, &key, &rule);
    timers::set(cx, &key, &rule)
}
