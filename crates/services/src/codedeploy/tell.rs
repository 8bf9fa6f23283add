//! Who is told of a deployment: the default event bus, and the topics of its group's triggers.
//!
//! The contracts are "CodeDeploy events" of EventBridge and "JSON data formats for CodeDeploy triggers", user
//! guide.

use super::keys::{GROUPS, NamedKey, application_arn, group_arn};
use super::model::{Deployment, Status};
use super::show::Overview;
use crate::access::Agent;
use crate::sns::Announcement;
use crate::{Cx, events, sns};
use mayfly_kernel::{Arn, Fault, Time};
use serde_json::json;

/// The service as which deployment groups speak.
pub(super) const PRINCIPAL: &str = "codedeploy.amazonaws.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Start,
    Success,
    Failure,
    Stop,
    Rollback,
}

impl Event {
    fn trigger(self) -> &'static str {
        match self {
            Event::Start => "DeploymentStart",
            Event::Success => "DeploymentSuccess",
            Event::Failure => "DeploymentFailure",
            Event::Stop => "DeploymentStop",
            Event::Rollback => "DeploymentRollback",
        }
    }

    /// Of the event on the bus, which has none for a roll-back.
    fn state(self) -> Option<&'static str> {
        match self {
            Event::Start => Some("START"),
            Event::Success => Some("SUCCESS"),
            Event::Failure => Some("FAILURE"),
            Event::Stop => Some("STOP"),
            Event::Rollback => None,
        }
    }
}

/// Whether a trigger may name it. Those of instances do not happen to functions.
pub(super) fn is_event(name: &str) -> bool {
    let of_instances = ["InstanceStart", "InstanceSuccess", "InstanceFailure", "InstanceReady"];
    let of_deployments = [
        "DeploymentStart",
        "DeploymentSuccess",
        "DeploymentFailure",
        "DeploymentStop",
        "DeploymentRollback",
        "DeploymentReady",
    ];
    of_deployments.contains(&name) || of_instances.contains(&name)
}

pub(super) fn change(
    cx: &mut Cx<'_>,
    key: &NamedKey,
    deployment: &Deployment,
    event: Event,
) -> Result<(), Fault> {
    let application = (key.0.clone(), key.1.clone(), deployment.application.clone());
    let group = (key.0.clone(), key.1.clone(), deployment.application.clone(), deployment.group.clone());
    let row = GROUPS.get(cx.tx, &group)?.unwrap_or_default();
    if let Some(state) = event.state() {
        let detail = json!({
            "instanceGroupId": row.id,
            "region": key.1,
            "application": deployment.application,
            "deploymentId": key.2,
            "state": state,
            "deploymentGroup": deployment.group,
        });
        let resources = json!([group_arn(&group).to_string(), application_arn(&application).to_string()]);
        let kind = ("aws.codedeploy", "CodeDeploy Deployment State-change Notification");
        events::emit(cx, (&key.0, &key.1), kind, resources, detail)?;
    }
    let (wanted, subject) = (event.trigger(), subject(key, deployment));
    let source = group_arn(&group).to_string();
    for trigger in row.triggers.iter().filter(|trigger| trigger.events.iter().any(|name| name == wanted)) {
        let Ok(topic) = trigger.topic.parse::<Arn>() else { continue };
        let text = message(key, deployment, &trigger.name).to_string();
        // A topic that is gone, or lets nobody in, is told nothing, and holds nothing up.
        let (body, depth) = (text.into_bytes(), cx.caller.depth + 1);
        let said = Announcement { subject: &subject, body, attributes: &[], depth };
        let _ = sns::announce(cx, &topic, &Agent::new(PRINCIPAL, &source, ""), said)?;
    }
    Ok(())
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Created | Status::InProgress => "CREATED",
        Status::Succeeded => "SUCCEEDED",
        Status::Failed => "FAILED",
        Status::Stopped => "STOPPED",
    }
}

fn subject(key: &NamedKey, deployment: &Deployment) -> String {
    let text = format!(
        "{}: AWS CodeDeploy {} in {} to {}",
        status(deployment.status()),
        key.2,
        key.1,
        deployment.application
    );
    text.chars().take(100).collect()
}

fn message(key: &NamedKey, deployment: &Deployment, trigger: &str) -> serde_json::Value {
    let time = |ms: u64| mayfly_wire::time::http_date(Time::from_ms(ms));
    let mut message = json!({
        "region": key.1,
        "accountId": key.0,
        "eventTriggerName": trigger,
        "applicationName": deployment.application,
        "deploymentId": key.2,
        "deploymentGroupName": deployment.group,
        "createTime": time(deployment.created_ms),
        "deploymentOverview": serde_json::to_string(&Overview::of(deployment.status())).unwrap_or_default(),
        "status": status(deployment.status()),
    });
    if deployment.completed_ms > 0 {
        message["completeTime"] = json!(time(deployment.completed_ms));
    }
    if !deployment.error_code.is_empty() {
        let error = json!({ "ErrorCode": deployment.error_code, "ErrorMessage": deployment.error });
        message["errorInformation"] = json!(error.to_string());
    }
    if !deployment.other.is_empty() {
        let rollback = json!({ "RollbackDeploymentId": deployment.other });
        message["rollbackInformation"] = json!(rollback.to_string());
    }
    message
}
