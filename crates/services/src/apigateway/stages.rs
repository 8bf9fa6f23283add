//! Stages: under which name which state of an API is served.

use super::keys::{DEPLOYMENTS, STAGES};
use super::model::{STAGES_PER_API, Stage};
use super::paging::{List, Page};
use super::{apis, faults};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::time::iso8601;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageView {
    stage_name: String,
    auto_deploy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    created_date: String,
    last_updated_date: String,
    stage_variables: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
}

fn view(stage: Stage) -> StageView {
    StageView {
        stage_name: stage.name,
        auto_deploy: stage.auto_deploy,
        deployment_id: stage.deployment,
        description: stage.description,
        created_date: iso8601(Time::from_ms(stage.created_ms)),
        last_updated_date: iso8601(Time::from_ms(stage.updated_ms)),
        stage_variables: stage.variables.into_iter().collect(),
        tags: stage.tags.into_iter().collect(),
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let good = name == "$default" || (1..=128).contains(&name.len()) && name.chars().all(fits);
    match good {
        true => Ok(()),
        false => Err(faults::bad("Stage name only allows a-zA-Z0-9_- characters, or $default")),
    }
}

fn check_deployment(cx: &Cx<'_>, api: &str, deployment: Option<&String>) -> Result<(), Fault> {
    let Some(id) = deployment else { return Ok(()) };
    match DEPLOYMENTS.contains(cx.tx, &(api.to_owned(), id.clone()))? {
        true => Ok(()),
        false => Err(faults::not_found("Deployment", id)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    api_id: String,
    stage_name: String,
    #[serde(default)]
    auto_deploy: bool,
    deployment_id: Option<String>,
    description: Option<String>,
    #[serde(default)]
    stage_variables: HashMap<String, String>,
    #[serde(default)]
    tags: HashMap<String, String>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<StageView, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    check_name(&input.stage_name)?;
    apis::check_tags(cx, &input.tags)?;
    check_deployment(cx, &api, input.deployment_id.as_ref())?;
    let key = (api.clone(), input.stage_name.clone());
    if STAGES.contains(cx.tx, &key)? {
        return Err(faults::conflict("Stage already exists"));
    }
    if STAGES.scan(cx.tx, Scan::prefix(&(api,), STAGES_PER_API))?.len() >= STAGES_PER_API {
        return Err(faults::too_many("stages", STAGES_PER_API));
    }
    let stage = Stage {
        name: input.stage_name,
        auto_deploy: input.auto_deploy,
        deployment: input.deployment_id,
        description: input.description,
        created_ms: cx.now.ms(),
        updated_ms: cx.now.ms(),
        variables: input.stage_variables,
        tags: input.tags,
    };
    STAGES.put(cx.tx, &key, &stage);
    Ok(view(stage))
}

/// The stage of quick create.
pub(super) fn add_default(cx: &mut Cx<'_>, api: &str) {
    let now = cx.now.ms();
    let stage = Stage {
        name: "$default".into(),
        auto_deploy: true,
        created_ms: now,
        updated_ms: now,
        ..Stage::default()
    };
    STAGES.put(cx.tx, &(api.to_owned(), stage.name.clone()), &stage);
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Page<StageView>, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    let rows = STAGES.scan(cx.tx, Scan::prefix(&(api,), STAGES_PER_API))?;
    input.page(rows.into_iter().map(|(_, stage)| stage).collect(), |stage| &stage.name, view)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    api_id: String,
    stage_name: String,
}

fn find(cx: &mut Cx<'_>, api: &str, name: &str) -> Result<Stage, Fault> {
    apis::find(cx, api)?;
    let stage = STAGES.get(cx.tx, &(api.to_owned(), name.to_owned()))?;
    stage.ok_or_else(|| faults::not_found("Stage", name))
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<StageView, Fault> {
    find(cx, &input.api_id, &input.stage_name).map(view)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    api_id: String,
    stage_name: String,
    auto_deploy: Option<bool>,
    deployment_id: Option<String>,
    description: Option<String>,
    stage_variables: Option<HashMap<String, String>>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<StageView, Fault> {
    let mut stage = find(cx, &input.api_id, &input.stage_name)?;
    check_deployment(cx, &input.api_id, input.deployment_id.as_ref())?;
    stage.auto_deploy = input.auto_deploy.unwrap_or(stage.auto_deploy);
    if stage.auto_deploy && input.deployment_id.is_some() {
        return Err(faults::bad("Deployment ID cannot be set on a stage with auto-deploy"));
    }
    stage.deployment = input.deployment_id.or(stage.deployment);
    stage.description = input.description.or(stage.description);
    stage.variables = input.stage_variables.unwrap_or(stage.variables);
    stage.updated_ms = cx.now.ms();
    STAGES.put(cx.tx, &(input.api_id, stage.name.clone()), &stage);
    Ok(view(stage))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let stage = find(cx, &input.api_id, &input.stage_name)?;
    STAGES.delete(cx.tx, &(input.api_id, stage.name));
    Ok(())
}
