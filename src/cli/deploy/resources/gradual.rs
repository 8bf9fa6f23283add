//! `AWS::CodeDeploy::*`, and the deployments by which an alias moves step by step.

use super::properties::{Properties, flag, integer, text};
use super::version::split;
use super::{Context, Made, Wanted};
use crate::cli::client::code;
use crate::cli::deploy::stack::Deployed;
use crate::cli::output;
use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use std::time::Duration;

const POLL_MIN: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(2);

async fn call(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<Json> {
    cx.client.json("codedeploy", &format!("CodeDeploy_20141006.{operation}"), request).await
}

/// The same document with the names of members as CodeDeploy's API spells them.
fn lowered(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let lower = |name: &String| {
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                first.into_iter().chain(letters).collect::<String>()
            };
            Json::Object(members.iter().map(|(name, value)| (lower(name), lowered(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(lowered).collect()),
        other => other.clone(),
    }
}

fn tags(properties: Properties<'_>) -> Json {
    let tags = properties.tags().unwrap_or_default();
    let pairs = tags.as_object().into_iter().flatten();
    Json::Array(pairs.map(|(key, value)| json!({ "Key": key, "Value": value })).collect())
}

pub(super) async fn create_application(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("ApplicationName", cx.place);
    let platform = wanted.properties().text("ComputePlatform").unwrap_or_else(|| "Server".to_owned());
    let request =
        json!({ "applicationName": name, "computePlatform": platform, "tags": tags(wanted.properties()) });
    call(cx, "CreateApplication", &request).await?;
    Ok(Made::new(name, []))
}

pub(super) async fn delete_application(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteApplication", &json!({ "applicationName": gone.physical })).await.map(drop)
}

fn routing(properties: Properties<'_>) -> Option<Json> {
    let mut routing = lowered(properties.get("TrafficRoutingConfig")?);
    for form in ["timeBasedCanary", "timeBasedLinear"] {
        let members = routing.get_mut(form).and_then(Json::as_object_mut);
        for value in members.into_iter().flat_map(serde_json::Map::values_mut) {
            if let Some(number) = integer(value) {
                *value = json!(number);
            }
        }
    }
    Some(routing)
}

pub(super) async fn create_config(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("DeploymentConfigName", cx.place);
    let platform = wanted.properties().text("ComputePlatform").unwrap_or_else(|| "Server".to_owned());
    let mut request = json!({ "deploymentConfigName": name, "computePlatform": platform });
    if let Some(routing) = routing(wanted.properties()) {
        request["trafficRoutingConfig"] = routing;
    }
    call(cx, "CreateDeploymentConfig", &request).await?;
    Ok(Made::new(name, []))
}

pub(super) async fn delete_config(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteDeploymentConfig", &json!({ "deploymentConfigName": gone.physical })).await.map(drop)
}

/// What a group is asked to be; what the template leaves out is as if it had never been.
fn group(properties: Properties<'_>) -> Json {
    let mut group = json!({
        "serviceRoleArn": properties.text("ServiceRoleArn"),
        "deploymentConfigName": properties.text("DeploymentConfigName"),
        "triggerConfigurations": properties.get("TriggerConfigurations").map_or_else(|| json!([]), lowered),
        "alarmConfiguration": { "enabled": false },
        "autoRollbackConfiguration": { "enabled": false },
    });
    for (from, to) in [
        ("AlarmConfiguration", "alarmConfiguration"),
        ("AutoRollbackConfiguration", "autoRollbackConfiguration"),
        ("DeploymentStyle", "deploymentStyle"),
    ] {
        if let Some(value) = properties.get(from) {
            group[to] = lowered(value);
            if let Some(enabled) = group[to].get("enabled").and_then(flag) {
                group[to]["enabled"] = json!(enabled);
            }
        }
    }
    group
}

pub(super) async fn create_group(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("DeploymentGroupName", cx.place);
    let mut request = group(wanted.properties());
    request["applicationName"] = json!(wanted.properties().required("ApplicationName")?);
    request["deploymentGroupName"] = json!(name);
    request["tags"] = tags(wanted.properties());
    call(cx, "CreateDeploymentGroup", &request).await?;
    Ok(Made::new(name, []))
}

pub(super) async fn update_group(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let mut request = group(wanted.properties());
    request["applicationName"] = json!(wanted.properties().required("ApplicationName")?);
    request["currentDeploymentGroupName"] = json!(was.physical);
    call(cx, "UpdateDeploymentGroup", &request).await?;
    Ok(Made::new(&was.physical, []))
}

pub(super) async fn delete_group(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let request = json!({
        "applicationName": Properties(&gone.properties).text("ApplicationName"),
        "deploymentGroupName": gone.physical,
    });
    call(cx, "DeleteDeploymentGroup", &request).await.map(drop)
}

/// An alias on its way from one version to another.
pub(super) struct Move<'a> {
    /// The logical id.
    pub(super) id: &'a str,
    /// The alias's ARN.
    pub(super) alias: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// Application, group and hooks.
    pub(super) by: &'a Json,
}

/// Moves an alias by a deployment, tells how far it is, and comes back when it is over.
pub(super) async fn deploy(cx: &Context<'_>, moved: &Move<'_>) -> anyhow::Result<()> {
    let (function, alias) = split(moved.alias);
    let alias = alias.context("the alias has no name")?;
    let by = |name: &str| moved.by.get(name).and_then(text).filter(|text| !text.is_empty());
    let properties = json!({
        "Name": function, "Alias": alias, "CurrentVersion": moved.from, "TargetVersion": moved.to,
    });
    let mut hooks = Vec::new();
    for (property, hook) in
        [("BeforeAllowTrafficHook", "BeforeAllowTraffic"), ("AfterAllowTrafficHook", "AfterAllowTraffic")]
    {
        if let Some(function) = by(property) {
            hooks.push(json!({ hook: function }));
        }
    }
    let resource = json!({ moved.id: { "Type": "AWS::Lambda::Function", "Properties": properties } });
    let spec = json!({ "version": 0.0, "Resources": [resource], "Hooks": hooks });
    let request = json!({
        "applicationName": by("ApplicationName"),
        "deploymentGroupName": by("DeploymentGroupName"),
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
    });
    let made = match call(cx, "CreateDeployment", &request).await {
        Err(error) if code(&error) == Some("DeploymentLimitExceededException") => {
            return Err(error.context(
                "another deployment of this alias is under way: let it finish, or stop it with \
                 `aws deploy stop-deployment`",
            ));
        }
        made => made?,
    };
    let id = made["deploymentId"].as_str().context("the server did not name the deployment")?;
    follow(cx, id, &format!("{function}:{alias}")).await
}

async fn follow(cx: &Context<'_>, id: &str, target: &str) -> anyhow::Result<()> {
    let mut told = String::new();
    let mut pause = POLL_MIN;
    loop {
        let info = call(cx, "GetDeployment", &json!({ "deploymentId": id })).await?["deploymentInfo"].clone();
        let request = json!({ "deploymentId": id, "targetId": target });
        let found = call(cx, "GetDeploymentTarget", &request).await?;
        let news = news(&found["deploymentTarget"]["lambdaTarget"], target);
        if news != told {
            output::note(format!("    {id}: {news}"));
            told = news;
            pause = POLL_MIN;
        }
        match info["status"].as_str() {
            Some("Created" | "InProgress") => {}
            Some("Succeeded") => return Ok(()),
            _ => bail!("{}", ended(id, &info)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

/// What there is to say of a deployment under way.
fn news(target: &Json, name: &str) -> String {
    let under_way = |event: &&Json| event["status"] == "InProgress";
    let event = target["lifecycleEvents"].as_array().and_then(|events| events.iter().find(under_way));
    let version = target["lambdaFunctionInfo"]["targetVersion"].as_str().unwrap_or_default();
    let share = target["lambdaFunctionInfo"]["targetVersionWeight"].as_f64().unwrap_or_default() * 100.0;
    let hook = match event.and_then(|event| event["lifecycleEventName"].as_str()) {
        Some("AllowTraffic") | None => String::new(),
        Some(hook) => format!(", waiting for {hook}"),
    };
    format!("version {version} has {share:.0}% of {name}{hook}")
}

/// Why a deployment did not come to its end.
fn ended(id: &str, info: &Json) -> String {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let error = &info["errorInformation"];
    let why = format!("{}: {}", text(&error["code"]), text(&error["message"]));
    match info["rollbackInfo"]["rollbackDeploymentId"].as_str() {
        Some(_) => format!("the deployment {id} was rolled back: {why}"),
        None => format!("the deployment {id} did not succeed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_happened() {
        let target = json!({
            "lifecycleEvents": [{ "lifecycleEventName": "BeforeAllowTraffic", "status": "InProgress" }],
            "lambdaFunctionInfo": { "targetVersion": "2", "targetVersionWeight": 0.1 },
        });
        assert_eq!(news(&target, "f:live"), "version 2 has 10% of f:live, waiting for BeforeAllowTraffic");
        let info = json!({ "errorInformation": { "code": "ALARM_ACTIVE", "message": "it fired" },
            "rollbackInfo": { "rollbackDeploymentId": "d-2" } });
        assert_eq!(ended("d-1", &info), "the deployment d-1 was rolled back: ALARM_ACTIVE: it fired");
    }

    #[test]
    fn members_get_the_names_of_the_api() {
        let from = json!({ "Enabled": true, "Alarms": [{ "Name": "a" }] });
        assert_eq!(lowered(&from), json!({ "enabled": true, "alarms": [{ "name": "a" }] }));
    }
}
