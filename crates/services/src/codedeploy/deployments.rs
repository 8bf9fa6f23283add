//! Deployments as callers begin and end them.

use super::applications;
use super::groups::{self, AlarmsForm, RollbackForm};
use super::keys::{DEPLOYMENTS, GROUPS, GroupKey, HISTORY, HistoryKey, NamedKey, RUNNING, application_arn};
use super::model::{Course, Deployment, End, Mark, Moment, Plan, Running, Stage};
use super::{appspec, configs, faults, machine};
use crate::operation::Piece;
use crate::{Cx, s3};
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Desc, Scan};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How many deployments of a group are remembered.
const REMEMBERED: usize = 100;
const SWEEP: usize = 500;
const ID_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Revision {
    revision_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s3_location: Option<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_spec_content: Option<Content>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    bucket: Option<String>,
    key: Option<String>,
    bundle_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Content {
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl Revision {
    /// The same with an AppSpec as its whole content: what a roll-back deploys.
    pub(super) fn of_text(content: String) -> Revision {
        Revision {
            revision_type: Some("AppSpecContent".into()),
            s3_location: None,
            string: None,
            app_spec_content: Some(Content { content: Some(content), sha256: None }),
        }
    }

    fn text(&self, cx: &mut Cx<'_>) -> Result<String, Fault> {
        match (self.revision_type.as_deref(), &self.s3_location, &self.string, &self.app_spec_content) {
            (Some("String"), None, Some(content), None) => content.text(),
            (Some("AppSpecContent"), None, None, Some(content)) => content.text(),
            (Some("S3"), Some(location), None, None) => location.text(cx),
            (Some("GitHub"), ..) => Err(Fault::not_implemented("revisions on GitHub")),
            _ => Err(faults::bad_revision("its type and what is given do not fit each other")),
        }
    }
}

impl Content {
    fn text(&self) -> Result<String, Fault> {
        let text = self.content.clone().ok_or_else(faults::revision_required)?;
        let sum = hex::encode(Sha256::digest(&text));
        match &self.sha256 {
            Some(told) if !told.eq_ignore_ascii_case(&sum) => {
                Err(faults::bad_revision("its content is not what its sha256 says"))
            }
            Some(_) | None => Ok(text),
        }
    }
}

impl Location {
    /// An AppSpec is small, so that its object lies in the store.
    fn text(&self, cx: &mut Cx<'_>) -> Result<String, Fault> {
        let (Some(bucket), Some(key)) = (&self.bucket, &self.key) else {
            return Err(faults::bad_revision("an object is named by its bucket and key"));
        };
        match self.bundle_type.as_deref() {
            Some("YAML" | "JSON") => {}
            _ => return Err(faults::bad_revision("the AppSpec of a function is YAML or JSON")),
        }
        let (pieces, size) = s3::package(cx, bucket, key, self.version.as_deref())
            .map_err(|fault| faults::no_revision(fault.message))?;
        if size > appspec::BYTES_MAX as u64 {
            return Err(faults::bad_revision(format!("it has more than {} bytes", appspec::BYTES_MAX)));
        }
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Inline(part) => bytes.extend_from_slice(&part),
                Piece::Blob { .. } => {
                    return Err(Fault::not_implemented(
                        "an AppSpec in an object that does not lie in the store",
                    ));
                }
            }
        }
        String::from_utf8(bytes).map_err(faults::bad_revision)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    application_name: String,
    deployment_group_name: Option<String>,
    revision: Option<Revision>,
    deployment_config_name: Option<String>,
    description: Option<String>,
    auto_rollback_configuration: Option<RollbackForm>,
    override_alarm_configuration: Option<AlarmsForm>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    deployment_id: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    applications::open(cx, &input.application_name)?;
    let group_name = input.deployment_group_name.ok_or_else(faults::group_name_required)?;
    let (group_key, group) = groups::open(cx, &input.application_name, &group_name)?;
    if input.description.as_ref().is_some_and(|text| text.chars().count() > 256) {
        return Err(faults::too_long());
    }
    let config = input.deployment_config_name.unwrap_or_else(|| group.config.clone());
    let routing = configs::find(cx, &config)?;
    let revision = input.revision.ok_or_else(faults::revision_required)?;
    let plan = appspec::read(&revision.text(cx)?).map_err(faults::bad_revision)?;
    if plan.current == plan.target {
        return Err(faults::bad_revision("CurrentVersion and TargetVersion are the same"));
    }
    if let Some(running) = RUNNING.get(cx.tx, &group_key)? {
        return Err(faults::is_active(&group_key.3, &running.deployment));
    }
    let own = input.override_alarm_configuration.map(AlarmsForm::checked).transpose()?;
    let rollback = input.auto_rollback_configuration.map(RollbackForm::checked).transpose()?;
    let mut deployment = Deployment {
        application: group_key.2.clone(),
        group: group_key.3.clone(),
        config,
        routing: Some(routing),
        revision: serde_json::to_string(&revision).map_err(|e| Fault::internal("keep a revision", e))?,
        stages: stages(&plan),
        plan: Some(plan),
        created_ms: cx.now.ms(),
        description: input.description.unwrap_or_default(),
        own_alarms: own.is_some(),
        alarms: own.or(group.alarms),
        rollback: rollback.or(group.rollback),
        ..Deployment::default()
    };
    let key = new_key(cx);
    RUNNING.put(cx.tx, &group_key, &Running { deployment: key.2.clone() });
    machine::begin(cx, &key, &mut deployment)?;
    remember(cx, &group_key, &key, &deployment)?;
    Ok(Created { deployment_id: key.2 })
}

fn stages(plan: &Plan) -> Vec<Stage> {
    let of = |moment: Moment| Stage { moment: moment.into(), ..Stage::default() };
    let before = (!plan.before.is_empty()).then(|| of(Moment::Before));
    let after = (!plan.after.is_empty()).then(|| of(Moment::After));
    before.into_iter().chain([of(Moment::Traffic)]).chain(after).collect()
}

pub(super) fn new_key(cx: &Cx<'_>) -> NamedKey {
    let id = format!("d-{}", cx.ids.pick(9, ID_LETTERS));
    (cx.caller.account.clone(), cx.caller.region.clone(), id)
}

/// Writes a new deployment down in its group's history, which forgets the oldest.
pub(super) fn remember(
    cx: &mut Cx<'_>,
    group_key: &GroupKey,
    key: &NamedKey,
    deployment: &Deployment,
) -> Result<(), Fault> {
    DEPLOYMENTS.put(cx.tx, key, deployment);
    HISTORY.put(cx.tx, &history_key(group_key, key, deployment), &Mark {});
    if let Some(mut group) = GROUPS.get(cx.tx, group_key)? {
        group.attempted.clone_from(&key.2);
        GROUPS.put(cx.tx, group_key, &group);
    }
    forget_history(cx, group_key, REMEMBERED)
}

fn history_key(group: &GroupKey, key: &NamedKey, deployment: &Deployment) -> HistoryKey {
    let (account, region, application, name) = group.clone();
    (account, region, application, name, Desc(Time::from_ms(deployment.created_ms)), key.2.clone())
}

/// Forgets all but the newest deployments of a group.
pub(super) fn forget_history(cx: &mut Cx<'_>, group: &GroupKey, keep: usize) -> Result<(), Fault> {
    let rows = HISTORY.scan(cx.tx, Scan::prefix(group, keep + SWEEP))?;
    for (row, _) in rows.into_iter().skip(keep) {
        DEPLOYMENTS.delete(cx.tx, &(row.0.clone(), row.1.clone(), row.5.clone()));
        HISTORY.delete(cx.tx, &row);
    }
    Ok(())
}

/// A deployment that the caller may see.
pub(super) fn open(cx: &mut Cx<'_>, id: &str) -> Result<(NamedKey, Deployment), Fault> {
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), id.to_owned());
    let everything = cx.arn("codedeploy", "application:*");
    cx.allow(&everything)?;
    let fits = id.strip_prefix("d-").is_some_and(|rest| rest.bytes().all(|b| ID_LETTERS.contains(&b)));
    if !fits {
        return Err(faults::bad_deployment_id(id));
    }
    let deployment = DEPLOYMENTS.get(cx.tx, &key)?.ok_or_else(|| faults::no_deployment(id))?;
    let application = (key.0.clone(), key.1.clone(), deployment.application.clone());
    cx.allow(&application_arn(&application))?;
    Ok((key, deployment))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stop {
    deployment_id: String,
    auto_rollback_enabled: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stopped {
    status: &'static str,
    status_message: &'static str,
}

/// Stops at once. Whether the alias goes back is what the call says, or else what the group does.
pub(super) fn stop(cx: &mut Cx<'_>, input: Stop) -> Result<Stopped, Fault> {
    let (key, mut deployment) = open(cx, &input.deployment_id)?;
    if deployment.status().is_over() {
        return Err(faults::is_over(&key.2));
    }
    let back = input.auto_rollback_enabled;
    let back =
        back.unwrap_or_else(|| deployment.rollback.as_ref().is_some_and(|rule| rule.wants(End::Request)));
    machine::end(
        cx,
        &key,
        &mut deployment,
        End::Request,
        ("MANUAL_STOP", "The deployment was stopped."),
        back,
    )?;
    DEPLOYMENTS.put(cx.tx, &key, &deployment);
    Ok(Stopped { status: "Succeeded", status_message: "No more traffic will be shifted." })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookStatus {
    deployment_id: Option<String>,
    lifecycle_event_hook_execution_id: Option<String>,
    status: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookDone {
    lifecycle_event_hook_execution_id: String,
}

pub(super) fn hook_status(cx: &mut Cx<'_>, input: HookStatus) -> Result<HookDone, Fault> {
    let id = input.deployment_id.ok_or_else(faults::deployment_id_required)?;
    let execution = input.lifecycle_event_hook_execution_id.unwrap_or_default();
    let (key, mut deployment) = open(cx, &id)?;
    let good = match input.status.as_deref() {
        Some("Succeeded") => true,
        Some("Failed") => false,
        Some(_) | None => return Err(faults::bad_hook_status()),
    };
    let place =
        deployment.stages.iter().position(|stage| !execution.is_empty() && stage.execution == execution);
    let place = place.ok_or_else(|| faults::bad_execution(&execution))?;
    if deployment.status().is_over() || deployment.stages[place].course() != Course::InProgress {
        return Err(faults::hook_is_over());
    }
    machine::hooked(cx, &key, &mut deployment, place, good)?;
    DEPLOYMENTS.put(cx.tx, &key, &deployment);
    Ok(HookDone { lifecycle_event_hook_execution_id: execution })
}
