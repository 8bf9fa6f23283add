//! Deployments as callers see them.

use super::applications::PAGE;
use super::groups::{AlarmsForm, RollbackForm, Style};
use super::keys::{DEPLOYMENTS, HISTORY, NamedKey, RUNNING};
use super::model::{Course, Deployment, Stage, Status, WHOLE};
use super::{deployments, faults, groups};
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::{Desc, Scan};
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const BATCH_MAX: usize = 25;

fn time(ms: u64) -> Option<Time> {
    (ms > 0).then(|| Time::from_ms(ms))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Get {
    deployment_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Got {
    deployment_info: Info,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    application_name: String,
    deployment_group_name: String,
    deployment_config_name: String,
    deployment_id: String,
    revision: Value,
    status: &'static str,
    error_information: Option<ErrorInformation>,
    #[serde(with = "epoch_seconds")]
    create_time: Time,
    #[serde(with = "epoch_seconds::option")]
    start_time: Option<Time>,
    #[serde(with = "epoch_seconds::option")]
    complete_time: Option<Time>,
    deployment_overview: Overview,
    description: Option<String>,
    creator: &'static str,
    auto_rollback_configuration: Option<RollbackForm>,
    rollback_info: Option<RollbackInfo>,
    deployment_style: Style,
    compute_platform: &'static str,
    override_alarm_configuration: Option<AlarmsForm>,
}

#[derive(Serialize)]
struct ErrorInformation {
    code: String,
    message: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Overview {
    pending: u8,
    in_progress: u8,
    succeeded: u8,
    failed: u8,
    skipped: u8,
    ready: u8,
}

impl Overview {
    pub(super) fn of(status: Status) -> Overview {
        let mut overview = Overview::default();
        let count = match status {
            Status::Created => &mut overview.pending,
            Status::InProgress => &mut overview.in_progress,
            Status::Succeeded => &mut overview.succeeded,
            Status::Failed => &mut overview.failed,
            Status::Stopped => &mut overview.skipped,
        };
        *count = 1;
        overview
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RollbackInfo {
    rollback_deployment_id: Option<String>,
    rollback_triggering_deployment_id: Option<String>,
    rollback_message: String,
}

fn info(id: String, deployment: Deployment) -> Info {
    let failed = !deployment.error_code.is_empty();
    let other = Some(deployment.other.clone()).filter(|other| !other.is_empty());
    let rollback_info = other.map(|other| match deployment.of_rollback {
        true => RollbackInfo {
            rollback_deployment_id: None,
            rollback_message: format!("The deployment rolled {other} back."),
            rollback_triggering_deployment_id: Some(other),
        },
        false => RollbackInfo {
            rollback_message: format!(
                "The deployment was rolled back by {other}: the alias leads to its old version."
            ),
            rollback_deployment_id: Some(other),
            rollback_triggering_deployment_id: None,
        },
    });
    Info {
        status: deployment.status().name(),
        deployment_overview: Overview::of(deployment.status()),
        revision: serde_json::from_str(&deployment.revision).unwrap_or_default(),
        error_information: failed
            .then_some(ErrorInformation { code: deployment.error_code, message: deployment.error }),
        create_time: Time::from_ms(deployment.created_ms),
        start_time: time(deployment.started_ms),
        complete_time: time(deployment.completed_ms),
        description: Some(deployment.description).filter(|text| !text.is_empty()),
        creator: if deployment.of_rollback { "codeDeployRollback" } else { "user" },
        auto_rollback_configuration: deployment.rollback.as_ref().map(RollbackForm::shown),
        rollback_info,
        deployment_style: Style::of_functions(),
        compute_platform: "Lambda",
        override_alarm_configuration: deployment
            .alarms
            .as_ref()
            .filter(|_| deployment.own_alarms)
            .map(AlarmsForm::shown),
        application_name: deployment.application,
        deployment_group_name: deployment.group,
        deployment_config_name: deployment.config,
        deployment_id: id,
    }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Got, Fault> {
    let (key, deployment) = deployments::open(cx, &input.deployment_id)?;
    Ok(Got { deployment_info: info(key.2, deployment) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    deployment_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    deployments_info: Vec<Info>,
}

/// Those that there are.
pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Found, Fault> {
    if input.deployment_ids.is_empty() {
        return Err(faults::deployment_id_required());
    }
    if input.deployment_ids.len() > BATCH_MAX {
        return Err(faults::batch_too_long(BATCH_MAX));
    }
    let mut deployments_info = Vec::new();
    for id in input.deployment_ids {
        match deployments::open(cx, &id) {
            Ok((key, deployment)) => deployments_info.push(info(key.2, deployment)),
            Err(fault) if fault.code == "DeploymentDoesNotExistException" => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(Found { deployments_info })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    application_name: Option<String>,
    deployment_group_name: Option<String>,
    #[serde(default)]
    include_only_statuses: Vec<String>,
    create_time_range: Option<Range>,
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Range {
    #[serde(default, with = "epoch_seconds::option")]
    start: Option<Time>,
    #[serde(default, with = "epoch_seconds::option")]
    end: Option<Time>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    deployments: Vec<String>,
    next_token: Option<String>,
}

/// The deployments of a group, newest first. A page is what is asked for of those that lie in it.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let known = |name: &String| {
        Status::ALL.iter().any(|status| status.name() == name) || AWS_S.contains(&name.as_str())
    };
    if let Some(other) = input.include_only_statuses.iter().find(|name| !known(name)) {
        return Err(faults::bad_status(other));
    }
    let (application, group) = match (input.application_name, input.deployment_group_name) {
        (Some(application), Some(group)) => (application, group),
        (Some(_), None) => return Err(faults::group_name_required()),
        (None, Some(group)) => {
            groups::check_name(&group)?;
            return Err(faults::application_name_required());
        }
        (None, None) => return running(cx),
    };
    let (group, _) = groups::open(cx, &application, &group)?;
    let mut scan = Scan::prefix(&group, PAGE + 1);
    if let Some(token) = &input.next_token {
        let id = (group.0.clone(), group.1.clone(), token.clone());
        let last = DEPLOYMENTS.get(cx.tx, &id)?.ok_or_else(faults::bad_token)?;
        let (account, region, application, name) = group.clone();
        let at = Desc(Time::from_ms(last.created_ms));
        scan = scan.after(&(account, region, application, name, at, token.clone()));
    }
    let (rows, next_token) = paging::cut(HISTORY.scan(cx.tx, scan)?, PAGE, |(key, _)| key.5.clone());
    let range = input.create_time_range.unwrap_or_default();
    let mut deployments = Vec::new();
    for (key, _) in rows {
        let Desc(at) = key.4;
        if range.start.is_some_and(|start| at < start) || range.end.is_some_and(|end| at > end) {
            continue;
        }
        let row = DEPLOYMENTS.get(cx.tx, &(key.0, key.1, key.5.clone()))?;
        let status = row.map(|row| row.status().name());
        let wanted = &input.include_only_statuses;
        if status.is_some_and(|status| wanted.is_empty() || wanted.iter().any(|name| name == status)) {
            deployments.push(key.5);
        }
    }
    Ok(Listed { deployments, next_token })
}

/// Statuses that no deployment of a function has.
const AWS_S: [&str; 3] = ["Queued", "Baking", "Ready"];

/// Without a group, those that are under way.
fn running(cx: &mut Cx<'_>) -> Result<Listed, Fault> {
    let resource = cx.arn("codedeploy", "application:*");
    cx.allow(&resource)?;
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let rows = RUNNING.scan(cx.tx, Scan::prefix(&place, PAGE))?;
    Ok(Listed { deployments: rows.into_iter().map(|(_, row)| row.deployment).collect(), next_token: None })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Last {
    deployment_id: String,
    status: &'static str,
    #[serde(with = "epoch_seconds")]
    create_time: Time,
    #[serde(with = "epoch_seconds::option")]
    end_time: Option<Time>,
}

/// A deployment that a group remembers, if there still is its row.
pub(super) fn last(cx: &Cx<'_>, id: &str) -> Result<Option<Last>, Fault> {
    let key: NamedKey = (cx.caller.account.clone(), cx.caller.region.clone(), id.to_owned());
    Ok(DEPLOYMENTS.get(cx.tx, &key)?.map(|row| Last {
        deployment_id: id.to_owned(),
        status: row.status().name(),
        create_time: Time::from_ms(row.created_ms),
        end_time: time(row.completed_ms),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetTarget {
    deployment_id: String,
    target_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GotTarget {
    deployment_target: Target,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    deployment_target_type: &'static str,
    lambda_target: LambdaTarget,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LambdaTarget {
    deployment_id: String,
    target_id: String,
    target_arn: String,
    status: &'static str,
    #[serde(with = "epoch_seconds")]
    last_updated_at: Time,
    lifecycle_events: Vec<Lifecycle>,
    lambda_function_info: FunctionInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    lifecycle_event_name: &'static str,
    #[serde(with = "epoch_seconds::option")]
    start_time: Option<Time>,
    #[serde(with = "epoch_seconds::option")]
    end_time: Option<Time>,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionInfo {
    function_name: String,
    function_alias: String,
    current_version: String,
    target_version: String,
    target_version_weight: f64,
}

/// The name of the one target that a deployment has: its function and alias.
fn target_id(deployment: &Deployment) -> String {
    deployment.plan.as_ref().map(|plan| format!("{}:{}", plan.function, plan.alias)).unwrap_or_default()
}

fn shown_target(key: &NamedKey, deployment: &Deployment) -> Target {
    let plan = deployment.plan.clone().unwrap_or_default();
    let updated = deployment.stages.iter().map(|stage| stage.started_ms.max(stage.ended_ms)).max();
    let lifecycle = |stage: &Stage| Lifecycle {
        lifecycle_event_name: stage.moment().name(),
        start_time: time(stage.started_ms),
        end_time: time(stage.ended_ms),
        status: stage.course().name(),
    };
    let status = match deployment.status() {
        Status::Created => Course::Pending,
        Status::InProgress => Course::InProgress,
        Status::Succeeded => Course::Succeeded,
        Status::Failed => Course::Failed,
        Status::Stopped => Course::Skipped,
    };
    let arn = Arn::new("lambda", &key.1, &key.0, format!("function:{}", target_id(deployment)));
    let rolled_back = !deployment.of_rollback && !deployment.other.is_empty();
    let share = if rolled_back { 0 } else { deployment.share };
    Target {
        deployment_target_type: "LambdaTarget",
        lambda_target: LambdaTarget {
            deployment_id: key.2.clone(),
            target_id: target_id(deployment),
            target_arn: arn.to_string(),
            status: status.name(),
            last_updated_at: Time::from_ms(updated.unwrap_or_default().max(deployment.created_ms)),
            lifecycle_events: deployment.stages.iter().map(lifecycle).collect(),
            lambda_function_info: FunctionInfo {
                function_name: plan.function,
                function_alias: plan.alias,
                current_version: plan.current.to_string(),
                target_version: plan.target.to_string(),
                target_version_weight: f64::from(share) / f64::from(WHOLE),
            },
        },
    }
}

pub(super) fn target(cx: &mut Cx<'_>, input: GetTarget) -> Result<GotTarget, Fault> {
    let (key, deployment) = deployments::open(cx, &input.deployment_id)?;
    match input.target_id == target_id(&deployment) {
        true => Ok(GotTarget { deployment_target: shown_target(&key, &deployment) }),
        false => Err(faults::no_target(&input.target_id)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetTargets {
    deployment_id: String,
    target_ids: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GotTargets {
    deployment_targets: Vec<Target>,
}

pub(super) fn targets(cx: &mut Cx<'_>, input: GetTargets) -> Result<GotTargets, Fault> {
    let (key, deployment) = deployments::open(cx, &input.deployment_id)?;
    let own = target_id(&deployment);
    if let Some(other) = input.target_ids.iter().find(|id| **id != own) {
        return Err(faults::no_target(other));
    }
    let wanted = input.target_ids.first();
    Ok(GotTargets {
        deployment_targets: wanted.map(|_| shown_target(&key, &deployment)).into_iter().collect(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTargets {
    deployment_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedTargets {
    target_ids: Vec<String>,
}

pub(super) fn list_targets(cx: &mut Cx<'_>, input: ListTargets) -> Result<ListedTargets, Fault> {
    let (_, deployment) = deployments::open(cx, &input.deployment_id)?;
    Ok(ListedTargets { target_ids: vec![target_id(&deployment)] })
}
