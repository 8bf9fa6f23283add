//! `AWS::Events::EventBus`, `AWS::Events::EventBusPolicy`, `AWS::Events::Rule`, `AWS::Scheduler::Schedule`
//! and `AWS::Scheduler::ScheduleGroup`.

use super::properties::{Properties, text};
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use http::Method;
use serde_json::{Map, Value as Json, json};

pub(super) async fn events(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<Json> {
    cx.client.json("events", &format!("AWSEvents.{operation}"), request).await
}

/// Of the properties, those that are members of a request under the same name.
pub(super) fn members(properties: Properties<'_>, names: &[&str]) -> Map<String, Json> {
    let member = |name: &&str| Some(((*name).to_owned(), properties.get(name)?.clone()));
    names.iter().filter_map(member).collect()
}

/// Tags as a list of keys and values.
fn tag_list(properties: Properties<'_>) -> Json {
    let tags = properties.tags().unwrap_or_default();
    let pairs = tags.as_object().into_iter().flatten();
    Json::Array(pairs.map(|(key, value)| json!({ "Key": key, "Value": value })).collect())
}

/// Brings tags from the former properties to the wanted ones.
async fn change_tags(
    cx: &Context<'_>,
    arn: &str,
    was: &Deployed,
    wanted: Properties<'_>,
) -> anyhow::Result<()> {
    let (old, new) = (Properties(&was.properties).tags(), wanted.tags());
    let keys = |tags: &Option<Json>| -> Vec<String> {
        tags.as_ref().and_then(Json::as_object).into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    let kept = keys(&new);
    let dropped: Vec<String> = keys(&old).into_iter().filter(|key| !kept.contains(key)).collect();
    if !dropped.is_empty() {
        events(cx, "UntagResource", &json!({ "ResourceARN": arn, "TagKeys": dropped })).await?;
    }
    if !kept.is_empty() {
        events(cx, "TagResource", &json!({ "ResourceARN": arn, "Tags": tag_list(wanted) })).await?;
    }
    Ok(())
}

fn bus_made(cx: &Context<'_>, name: &str) -> Made {
    let arn = cx.arn("events", format!("event-bus/{name}"));
    Made::new(name, [("Arn", arn), ("Name", name.to_owned())])
}

async fn put_policy(cx: &Context<'_>, name: &str, properties: Properties<'_>) -> anyhow::Result<()> {
    let Some(policy) = properties.get("Policy") else { return Ok(()) };
    let policy = text(policy).unwrap_or_else(|| policy.to_string());
    events(cx, "PutPermission", &json!({ "EventBusName": name, "Policy": policy })).await.map(drop)
}

pub(super) async fn create_bus(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let mut request = members(wanted.properties(), &["Description"]);
    request.insert("Name".into(), json!(name));
    request.insert("Tags".into(), tag_list(wanted.properties()));
    events(cx, "CreateEventBus", &Json::Object(request)).await?;
    put_policy(cx, &name, wanted.properties()).await?;
    Ok(bus_made(cx, &name))
}

pub(super) async fn update_bus(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let name = &was.physical;
    let description = wanted.properties().text("Description").unwrap_or_default();
    events(cx, "UpdateEventBus", &json!({ "Name": name, "Description": description })).await?;
    let had = was.properties.get("Policy").is_some();
    if had && wanted.properties().get("Policy").is_none() {
        let all = json!({ "EventBusName": name, "RemoveAllPermissions": true });
        events(cx, "RemovePermission", &all).await?;
    }
    put_policy(cx, name, wanted.properties()).await?;
    let made = bus_made(cx, name);
    change_tags(cx, &made.attributes["Arn"], was, wanted.properties()).await?;
    Ok(made)
}

pub(super) async fn delete_bus(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    events(cx, "DeleteEventBus", &json!({ "Name": gone.physical })).await.map(drop)
}

/// Puts one statement into the policy of a bus, in the place of the one with its id.
pub(super) async fn put_statement(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let properties = wanted.properties();
    let (id, bus) = (properties.required("StatementId")?, bus_of(properties));
    let Some(statement) = properties.get("Statement").filter(|statement| !statement.is_null()) else {
        let mut request = members(properties, &["Action", "Principal", "Condition"]);
        request.insert("StatementId".into(), json!(id));
        request.insert("EventBusName".into(), json!(bus));
        events(cx, "PutPermission", &Json::Object(request)).await?;
        return Ok(Made::new(format!("{bus}|{id}"), []));
    };
    let mut statement = match text(statement) {
        Some(document) => serde_json::from_str(&document)?,
        None => statement.clone(),
    };
    statement["Sid"] = json!(id);
    let shown = events(cx, "DescribeEventBus", &json!({ "Name": bus })).await?;
    let policy: Json = serde_json::from_str(shown["Policy"].as_str().unwrap_or("{}"))?;
    let others = policy["Statement"].as_array().into_iter().flatten();
    let mut statements: Vec<Json> = others.filter(|other| other["Sid"] != id.as_str()).cloned().collect();
    statements.push(statement);
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    events(cx, "PutPermission", &json!({ "EventBusName": bus, "Policy": policy })).await?;
    Ok(Made::new(format!("{bus}|{id}"), []))
}

fn bus_of(properties: Properties<'_>) -> String {
    properties.text("EventBusName").unwrap_or_else(|| "default".to_owned())
}

pub(super) async fn delete_statement(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let properties = Properties(&gone.properties);
    let request =
        json!({ "EventBusName": bus_of(properties), "StatementId": properties.required("StatementId")? });
    events(cx, "RemovePermission", &request).await.map(drop)
}

/// A rule of another bus than the default one is named by both.
fn rule_place(physical: &str) -> (&str, &str) {
    physical.split_once('|').unwrap_or(("default", physical))
}

fn rule_made(cx: &Context<'_>, bus: &str, name: &str) -> Made {
    let bus = bus.rsplit('/').next().unwrap_or(bus);
    match bus {
        "default" => Made::new(name, [("Arn", cx.arn("events", format!("rule/{name}")))]),
        bus => Made::new(format!("{bus}|{name}"), [("Arn", cx.arn("events", format!("rule/{bus}/{name}")))]),
    }
}

async fn put_rule(cx: &Context<'_>, bus: &str, name: &str, wanted: &Wanted<'_>) -> anyhow::Result<()> {
    let properties = wanted.properties();
    let mut request = members(properties, &["Description", "RoleArn", "ScheduleExpression", "State"]);
    request.insert("Name".into(), json!(name));
    request.insert("EventBusName".into(), json!(bus));
    if let Some(pattern) = properties.get("EventPattern") {
        let pattern = text(pattern).unwrap_or_else(|| pattern.to_string());
        request.insert("EventPattern".into(), json!(pattern));
    }
    request.insert("Tags".into(), tag_list(properties));
    events(cx, "PutRule", &Json::Object(request)).await?;
    let targets = targets(properties.0);
    if !targets.is_empty() {
        let request = json!({ "Rule": name, "EventBusName": bus, "Targets": targets });
        events(cx, "PutTargets", &request).await?;
    }
    Ok(())
}

fn targets(properties: &Json) -> Vec<Json> {
    properties["Targets"].as_array().cloned().unwrap_or_default()
}

pub(super) async fn create_rule(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let bus = wanted.properties().text("EventBusName").unwrap_or_else(|| "default".into());
    put_rule(cx, &bus, &name, wanted).await?;
    Ok(rule_made(cx, &bus, &name))
}

pub(super) async fn update_rule(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let (bus, name) = rule_place(&was.physical);
    let kept: Vec<Json> = targets(wanted.properties).iter().map(|target| target["Id"].clone()).collect();
    let dropped: Vec<Json> = targets(&was.properties)
        .iter()
        .map(|target| target["Id"].clone())
        .filter(|id| !kept.contains(id))
        .collect();
    if !dropped.is_empty() {
        let request = json!({ "Rule": name, "EventBusName": bus, "Ids": dropped });
        events(cx, "RemoveTargets", &request).await?;
    }
    put_rule(cx, bus, name, wanted).await?;
    let made = rule_made(cx, bus, name);
    change_tags(cx, &made.attributes["Arn"], was, wanted.properties()).await?;
    Ok(made)
}

pub(super) async fn delete_rule(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let (bus, name) = rule_place(&gone.physical);
    let rule = json!({ "Rule": name, "EventBusName": bus });
    let listed = events(cx, "ListTargetsByRule", &rule).await?;
    let ids: Vec<&Json> =
        listed["Targets"].as_array().into_iter().flatten().map(|target| &target["Id"]).collect();
    if !ids.is_empty() {
        events(cx, "RemoveTargets", &json!({ "Rule": name, "EventBusName": bus, "Ids": ids })).await?;
    }
    events(cx, "DeleteRule", &json!({ "Name": name, "EventBusName": bus })).await.map(drop)
}

fn schedule_made(cx: &Context<'_>, group: &str, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("scheduler", format!("schedule/{group}/{name}")))])
}

async fn put_schedule(
    cx: &Context<'_>,
    method: Method,
    name: &str,
    properties: Properties<'_>,
) -> anyhow::Result<Made> {
    const MEMBERS: [&str; 8] = [
        "ActionAfterCompletion",
        "Description",
        "FlexibleTimeWindow",
        "GroupName",
        "ScheduleExpression",
        "ScheduleExpressionTimezone",
        "State",
        "Target",
    ];
    let mut request = members(properties, &MEMBERS);
    for date in ["StartDate", "EndDate"] {
        let Some(value) = properties.text(date) else { continue };
        let time = mayfly_wire::time::parse_iso8601(&value);
        let time = time.ok_or_else(|| anyhow::anyhow!("{date} is no time: {value}"))?;
        request.insert(date.into(), json!(time.epoch_seconds()));
    }
    let group = properties.text("GroupName").unwrap_or_else(|| "default".into());
    let path = format!("/schedules/{}", encode(name));
    cx.client.rest("scheduler", method, path, Some(Json::Object(request))).await?;
    Ok(schedule_made(cx, &group, name))
}

pub(super) async fn create_schedule(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    put_schedule(cx, Method::POST, &wanted.name("Name", cx.place), wanted.properties()).await
}

pub(super) async fn update_schedule(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    put_schedule(cx, Method::PUT, &was.physical, wanted.properties()).await
}

pub(super) async fn delete_schedule(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let group = Properties(&gone.properties).text("GroupName").unwrap_or_else(|| "default".into());
    let path = format!("/schedules/{}?groupName={}", encode(&gone.physical), encode(&group));
    cx.client.rest("scheduler", Method::DELETE, path, None).await.map(drop)
}

pub(super) async fn create_group(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let body = json!({ "Tags": tag_list(wanted.properties()) });
    let path = format!("/schedule-groups/{}", encode(&name));
    cx.client.rest("scheduler", Method::POST, path, Some(body)).await?;
    Ok(group_made(cx, &name))
}

fn group_made(cx: &Context<'_>, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("scheduler", format!("schedule-group/{name}")))])
}

/// Of a group nothing changes but its tags.
pub(super) async fn update_group(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let made = group_made(cx, &was.physical);
    let path = format!("/tags/{}", encode(&made.attributes["Arn"]));
    let wanted = tag_list(wanted.properties());
    let kept = |key: &str| wanted.as_array().into_iter().flatten().any(|tag| tag["Key"] == key);
    let old = Properties(&was.properties).tags().unwrap_or_default();
    let dropped = old.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| !kept(key));
    let query: Vec<String> = dropped.map(|key| format!("TagKeys={}", encode(key))).collect();
    if !query.is_empty() {
        let path = format!("{path}?{}", query.join("&"));
        cx.client.rest("scheduler", Method::DELETE, path, None).await?;
    }
    if wanted.as_array().is_some_and(|tags| !tags.is_empty()) {
        let body = json!({ "Tags": wanted });
        cx.client.rest("scheduler", Method::POST, path, Some(body)).await?;
    }
    Ok(made)
}

pub(super) async fn delete_group(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let path = format!("/schedule-groups/{}", encode(&gone.physical));
    cx.client.rest("scheduler", Method::DELETE, path, None).await.map(drop)
}
