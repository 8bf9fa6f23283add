//! Deployment groups: how deployments of an application go, what stops them, and who is told.

use super::applications::{self, PAGE};
use super::configs::{self, AT_ONCE};
use super::keys::{GROUPS, GroupKey, RUNNING, group_arn};
use super::model::{Alarms, End, Group, Rollback, Trigger};
use super::{deployments, faults, tags, tell};
use crate::access::Agent;
use crate::tags::Tag;
use crate::{Cx, paging, sns};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

const TRIGGERS_MAX: usize = 10;
const ALARMS_MAX: usize = 10;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlarmsForm {
    enabled: Option<bool>,
    ignore_poll_alarm_failure: Option<bool>,
    #[serde(default)]
    alarms: Vec<AlarmForm>,
}

#[derive(Clone, Deserialize, Serialize)]
struct AlarmForm {
    name: Option<String>,
}

impl AlarmsForm {
    pub(super) fn checked(self) -> Result<Alarms, Fault> {
        let names: Option<Vec<String>> = self.alarms.into_iter().map(|alarm| alarm.name).collect();
        let names = names.filter(|names| names.iter().all(|name| (1..=255).contains(&name.chars().count())));
        let names =
            names.ok_or_else(|| faults::bad_alarms("Each alarm has a name of 1 to 255 characters."))?;
        if names.len() > ALARMS_MAX {
            let text = format!("A deployment group has at most {ALARMS_MAX} alarms.");
            return Err(Fault::new(400, "AlarmsLimitExceededException", text));
        }
        let enabled = self.enabled.unwrap_or(false);
        if enabled && names.is_empty() {
            return Err(faults::bad_alarms("An alarm configuration that is enabled names an alarm."));
        }
        let ignore_poll_failure = self.ignore_poll_alarm_failure.unwrap_or(false);
        Ok(Alarms { enabled, names, ignore_poll_failure })
    }

    pub(super) fn shown(alarms: &Alarms) -> AlarmsForm {
        AlarmsForm {
            enabled: Some(alarms.enabled),
            ignore_poll_alarm_failure: Some(alarms.ignore_poll_failure),
            alarms: alarms.names.iter().map(|name| AlarmForm { name: Some(name.clone()) }).collect(),
        }
    }
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct RollbackForm {
    enabled: Option<bool>,
    #[serde(default)]
    events: Vec<String>,
}

impl RollbackForm {
    pub(super) fn checked(self) -> Result<Rollback, Fault> {
        let known = |event: &String| End::ALL.iter().any(|end| end.event() == event);
        if let Some(other) = self.events.iter().find(|event| !known(event)) {
            return Err(faults::bad_rollback(format!("Unknown auto rollback event: {other}")));
        }
        let enabled = self.enabled.unwrap_or(false);
        if enabled && self.events.is_empty() {
            return Err(faults::bad_rollback(
                "An auto rollback configuration that is enabled names an event.",
            ));
        }
        Ok(Rollback { enabled, events: self.events })
    }

    pub(super) fn shown(rollback: &Rollback) -> RollbackForm {
        RollbackForm { enabled: Some(rollback.enabled), events: rollback.events.clone() }
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TriggerForm {
    trigger_name: Option<String>,
    trigger_target_arn: Option<String>,
    #[serde(default)]
    trigger_events: Vec<String>,
}

fn triggers(cx: &Cx<'_>, forms: Vec<TriggerForm>) -> Result<Vec<Trigger>, Fault> {
    if forms.len() > TRIGGERS_MAX {
        let text = format!("A deployment group has at most {TRIGGERS_MAX} triggers.");
        return Err(Fault::new(400, "TriggerTargetsLimitExceededException", text));
    }
    let source = cx.arn("codedeploy", "deploymentgroup:*").to_string();
    let checked = |form: TriggerForm| {
        let (Some(name), Some(topic)) = (form.trigger_name, form.trigger_target_arn) else {
            return Err(faults::bad_trigger("A trigger has a name and a target."));
        };
        let arn = topic.parse::<Arn>().ok();
        let agent = Agent::new(tell::PRINCIPAL, &source, "");
        if !arn.is_some_and(|arn| sns::is_target(cx, &arn, &agent).unwrap_or(false)) {
            return Err(faults::bad_trigger(format!("The target of a trigger is a topic: {topic}")));
        }
        if let Some(other) = form.trigger_events.iter().find(|event| !tell::is_event(event)) {
            return Err(faults::bad_trigger(format!("Unknown trigger event: {other}")));
        }
        Ok(Trigger { name, topic, events: form.trigger_events })
    };
    forms.into_iter().map(checked).collect()
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Style {
    deployment_type: Option<String>,
    deployment_option: Option<String>,
}

impl Style {
    /// The only one that functions have.
    pub(super) fn of_functions() -> Style {
        Style {
            deployment_type: Some("BLUE_GREEN".into()),
            deployment_option: Some("WITH_TRAFFIC_CONTROL".into()),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let kind = self.deployment_type.as_deref().unwrap_or("BLUE_GREEN");
        let option = self.deployment_option.as_deref().unwrap_or("WITH_TRAFFIC_CONTROL");
        match (kind, option) {
            ("BLUE_GREEN", "WITH_TRAFFIC_CONTROL") => Ok(()),
            _ => {
                let text = "Functions are deployed BLUE_GREEN, WITH_TRAFFIC_CONTROL.";
                Err(Fault::new(400, "InvalidDeploymentStyleException", text))
            }
        }
    }
}

pub(super) fn key(cx: &Cx<'_>, application: &str, name: &str) -> GroupKey {
    (cx.caller.account.clone(), cx.caller.region.clone(), application.to_owned(), name.to_owned())
}

pub(super) fn open(cx: &mut Cx<'_>, application: &str, name: &str) -> Result<(GroupKey, Group), Fault> {
    applications::open(cx, application)?;
    check_name(name)?;
    let key = key(cx, application, name);
    cx.allow(&group_arn(&key))?;
    let group = GROUPS.get(cx.tx, &key)?.ok_or_else(|| faults::no_group(name))?;
    Ok((key, group))
}

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=100).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(faults::bad_group_name(name)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    application_name: String,
    deployment_group_name: String,
    deployment_config_name: Option<String>,
    service_role_arn: String,
    #[serde(default)]
    trigger_configurations: Vec<TriggerForm>,
    alarm_configuration: Option<AlarmsForm>,
    auto_rollback_configuration: Option<RollbackForm>,
    deployment_style: Option<Style>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    deployment_group_id: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    applications::open(cx, &input.application_name)?;
    check_name(&input.deployment_group_name)?;
    let key = key(cx, &input.application_name, &input.deployment_group_name);
    cx.allow(&group_arn(&key))?;
    if GROUPS.contains(cx.tx, &key)? {
        return Err(faults::group_exists(&key.3));
    }
    if let Some(style) = &input.deployment_style {
        style.check()?;
    }
    let config = input.deployment_config_name.unwrap_or_else(|| AT_ONCE.to_owned());
    configs::find(cx, &config)?;
    let group = Group {
        id: cx.ids.uuid(),
        config,
        role: input.service_role_arn,
        triggers: triggers(cx, input.trigger_configurations)?,
        alarms: input.alarm_configuration.map(AlarmsForm::checked).transpose()?,
        rollback: input.auto_rollback_configuration.map(RollbackForm::checked).transpose()?,
        tags: crate::tags::checked::<tags::Row>(cx, input.tags)?,
        ..Group::default()
    };
    GROUPS.put(cx.tx, &key, &group);
    Ok(Created { deployment_group_id: group.id })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    application_name: String,
    current_deployment_group_name: String,
    new_deployment_group_name: Option<String>,
    deployment_config_name: Option<String>,
    service_role_arn: Option<String>,
    trigger_configurations: Option<Vec<TriggerForm>>,
    alarm_configuration: Option<AlarmsForm>,
    auto_rollback_configuration: Option<RollbackForm>,
    deployment_style: Option<Style>,
}

/// A group that has no deployments of its own place any more, as AWS's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    hooks_not_cleaned_up: Vec<()>,
}

/// What is not named stays as it is. A deployment that is under way goes on as it began.
pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Changed, Fault> {
    let (key, mut group) = open(cx, &input.application_name, &input.current_deployment_group_name)?;
    if input.new_deployment_group_name.is_some_and(|name| name != key.3) {
        return Err(Fault::not_implemented("the member newDeploymentGroupName"));
    }
    if let Some(style) = &input.deployment_style {
        style.check()?;
    }
    if let Some(config) = input.deployment_config_name {
        configs::find(cx, &config)?;
        group.config = config;
    }
    if let Some(role) = input.service_role_arn {
        group.role = role;
    }
    if let Some(forms) = input.trigger_configurations {
        group.triggers = triggers(cx, forms)?;
    }
    if let Some(form) = input.alarm_configuration {
        group.alarms = Some(form.checked()?);
    }
    if let Some(form) = input.auto_rollback_configuration {
        group.rollback = Some(form.checked()?);
    }
    GROUPS.put(cx.tx, &key, &group);
    Ok(Changed { hooks_not_cleaned_up: Vec::new() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    application_name: String,
    deployment_group_name: String,
}

/// Deleting a group that is not there succeeds; one that deploys must be let finish, or be stopped.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Changed, Fault> {
    applications::check_name(&input.application_name)?;
    check_name(&input.deployment_group_name)?;
    let key = key(cx, &input.application_name, &input.deployment_group_name);
    cx.allow(&group_arn(&key))?;
    remove(cx, &key)?;
    Ok(Changed { hooks_not_cleaned_up: Vec::new() })
}

pub(super) fn remove(cx: &mut Cx<'_>, key: &GroupKey) -> Result<(), Fault> {
    if let Some(running) = RUNNING.get(cx.tx, key)? {
        return Err(faults::is_active(&key.3, &running.deployment));
    }
    GROUPS.delete(cx.tx, key);
    deployments::forget_history(cx, key, 0)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Got {
    deployment_group_info: Shown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    application_name: String,
    deployment_group_id: String,
    deployment_group_name: String,
    deployment_config_name: String,
    service_role_arn: String,
    trigger_configurations: Vec<TriggerForm>,
    alarm_configuration: Option<AlarmsForm>,
    auto_rollback_configuration: Option<RollbackForm>,
    deployment_style: Style,
    last_successful_deployment: Option<super::show::Last>,
    last_attempted_deployment: Option<super::show::Last>,
    compute_platform: &'static str,
}

fn shown(cx: &Cx<'_>, key: GroupKey, group: Group) -> Result<Shown, Fault> {
    let trigger = |trigger: Trigger| TriggerForm {
        trigger_name: Some(trigger.name),
        trigger_target_arn: Some(trigger.topic),
        trigger_events: trigger.events,
    };
    Ok(Shown {
        last_successful_deployment: super::show::last(cx, &group.succeeded)?,
        last_attempted_deployment: super::show::last(cx, &group.attempted)?,
        application_name: key.2,
        deployment_group_id: group.id,
        deployment_group_name: key.3,
        deployment_config_name: group.config,
        service_role_arn: group.role,
        trigger_configurations: group.triggers.into_iter().map(trigger).collect(),
        alarm_configuration: group.alarms.as_ref().map(AlarmsForm::shown),
        auto_rollback_configuration: group.rollback.as_ref().map(RollbackForm::shown),
        deployment_style: Style::of_functions(),
        compute_platform: "Lambda",
    })
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Got, Fault> {
    let (key, group) = open(cx, &input.application_name, &input.deployment_group_name)?;
    Ok(Got { deployment_group_info: shown(cx, key, group)? })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    application_name: String,
    deployment_group_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    deployment_groups_info: Vec<Shown>,
}

pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Found, Fault> {
    if input.deployment_group_names.len() > PAGE {
        return Err(faults::batch_too_long(PAGE));
    }
    applications::open(cx, &input.application_name)?;
    let mut deployment_groups_info = Vec::new();
    for name in input.deployment_group_names {
        let (key, group) = open(cx, &input.application_name, &name)?;
        deployment_groups_info.push(shown(cx, key, group)?);
    }
    Ok(Found { deployment_groups_info })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    application_name: String,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    application_name: String,
    deployment_groups: Vec<String>,
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let (application, _) = applications::open(cx, &input.application_name)?;
    let mut scan = Scan::prefix(&application, PAGE + 1);
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(cx, &application.2, token));
    }
    let names = GROUPS.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key.3).collect();
    let (deployment_groups, next_token) = paging::cut(names, PAGE, String::clone);
    Ok(Listed { application_name: application.2, deployment_groups, next_token })
}
