//! Deployments: snapshots of an API for stages that do not deploy by themselves.

use super::keys::{DEPLOYMENTS, STAGES};
use super::model::{DEPLOYMENTS_PER_API, Deployment, STAGES_PER_API};
use super::paging::{List, Page};
use super::{apis, faults, integrations, routes};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::time::iso8601;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentView {
    deployment_id: String,
    deployment_status: &'static str,
    auto_deployed: bool,
    created_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

fn view(deployment: Deployment) -> DeploymentView {
    DeploymentView {
        deployment_id: deployment.id,
        deployment_status: "DEPLOYED",
        auto_deployed: false,
        created_date: iso8601(Time::from_ms(deployment.created_ms)),
        description: deployment.description,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    api_id: String,
    description: Option<String>,
    stage_name: Option<String>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<DeploymentView, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    let (routes, integrations) = (routes::all(cx, &api)?, integrations::all(cx, &api)?);
    if routes.is_empty() {
        return Err(faults::bad("At least one route is required before deploying the Api."));
    }
    let count = DEPLOYMENTS.scan(cx.tx, Scan::prefix(&(api.clone(),), DEPLOYMENTS_PER_API))?.len();
    if count >= DEPLOYMENTS_PER_API {
        return Err(faults::too_many("deployments", DEPLOYMENTS_PER_API));
    }
    let deployment = Deployment {
        id: cx.ids.lower(6),
        created_ms: cx.now.ms(),
        description: input.description,
        routes,
        integrations,
    };
    if let Some(name) = input.stage_name {
        let key = (api.clone(), name.clone());
        let mut stage = STAGES.get(cx.tx, &key)?.ok_or_else(|| faults::not_found("Stage", &name))?;
        if stage.auto_deploy {
            return Err(faults::bad("Deployments cannot be created for a stage with auto-deploy"));
        }
        stage.deployment = Some(deployment.id.clone());
        stage.updated_ms = cx.now.ms();
        STAGES.put(cx.tx, &key, &stage);
    }
    DEPLOYMENTS.put(cx.tx, &(api, deployment.id.clone()), &deployment);
    Ok(view(deployment))
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Page<DeploymentView>, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    let rows = DEPLOYMENTS.scan(cx.tx, Scan::prefix(&(api,), DEPLOYMENTS_PER_API))?;
    input.page(
        rows.into_iter().map(|(_, deployment)| deployment).collect(),
        |deployment| &deployment.id,
        view,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    api_id: String,
    deployment_id: String,
}

fn find(cx: &mut Cx<'_>, input: &Named) -> Result<Deployment, Fault> {
    apis::find(cx, &input.api_id)?;
    let deployment = DEPLOYMENTS.get(cx.tx, &(input.api_id.clone(), input.deployment_id.clone()))?;
    deployment.ok_or_else(|| faults::not_found("Deployment", &input.deployment_id))
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<DeploymentView, Fault> {
    find(cx, &input).map(view)
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let deployment = find(cx, &input)?;
    let stages = STAGES.scan(cx.tx, Scan::prefix(&(input.api_id.clone(),), STAGES_PER_API))?;
    let serves = |stage: &super::model::Stage| stage.deployment.as_ref() == Some(&deployment.id);
    if stages.iter().any(|(_, stage)| serves(stage)) {
        return Err(faults::bad("Active stages pointing to this deployment must be moved or deleted"));
    }
    DEPLOYMENTS.delete(cx.tx, &(input.api_id, deployment.id));
    Ok(())
}
