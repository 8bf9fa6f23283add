//! `AWS::ApplicationAutoScaling::ScalableTarget` and `AWS::ApplicationAutoScaling::ScalingPolicy`.

use super::properties::{Properties, flag, integer};
use super::{Context, Made, Wanted};
use crate::cli::client::code;
use crate::cli::deploy::stack::Deployed;
use serde_json::{Map, Value as Json, json};

const PLACE: [&str; 3] = ["ServiceNamespace", "ResourceId", "ScalableDimension"];
/// Members that are not texts, wherever they stand.
const NUMBERS: [&str; 5] =
    ["MinCapacity", "MaxCapacity", "TargetValue", "ScaleInCooldown", "ScaleOutCooldown"];

async fn call(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<Json> {
    let target = format!("AnyScaleFrontendService.{operation}");
    cx.client.json("application-autoscaling", &target, request).await
}

/// The same with numbers and flags in the form that the API wants.
fn typed(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(typed).collect()),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                let known = match name.as_str() {
                    name if NUMBERS.contains(&name) => number(value),
                    "DisableScaleIn" => flag(value).map(Json::from),
                    name if name.ends_with("Suspended") => flag(value).map(Json::from),
                    _ => None,
                };
                (name.clone(), known.unwrap_or_else(|| typed(value)))
            };
            Json::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn number(value: &Json) -> Option<Json> {
    let decimal = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    integer(value).map(Json::from).or_else(|| decimal().map(Json::from))
}

/// Of a target's properties, those that say which it is. Its id in a template is all three.
fn place(properties: Properties<'_>) -> anyhow::Result<(Map<String, Json>, String)> {
    let mut place = Map::new();
    for name in PLACE {
        place.insert(name.to_owned(), json!(properties.required(name)?));
    }
    let text = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
    let id = format!("{}|{}|{}", text("ResourceId"), text("ScalableDimension"), text("ServiceNamespace"));
    Ok((place, id))
}

/// The same from a target's id.
fn place_of(id: &str) -> Map<String, Json> {
    let mut parts = id.split('|');
    let order = ["ResourceId", "ScalableDimension", "ServiceNamespace"];
    order.into_iter().map(|name| (name.to_owned(), json!(parts.next().unwrap_or_default()))).collect()
}

fn name(action: &Json) -> Option<&str> {
    action.get("ScheduledActionName").and_then(Json::as_str)
}

fn actions(properties: &Json) -> &[Json] {
    properties.get("ScheduledActions").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Makes or changes a target and its scheduled actions.
pub(super) async fn put_target(
    cx: &Context<'_>,
    was: Option<&Deployed>,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let (place, id) = place(wanted.properties())?;
    let mut request = typed(wanted.properties);
    let members = request.as_object_mut().into_iter();
    members.for_each(|members| drop(members.remove("ScheduledActions")));
    call(cx, "RegisterScalableTarget", &request).await?;
    let now = actions(wanted.properties);
    for gone in was.map(|was| actions(&was.properties)).unwrap_or_default() {
        if !now.iter().any(|action| name(action) == name(gone)) {
            let mut request = place.clone();
            request.insert("ScheduledActionName".into(), json!(name(gone)));
            call(cx, "DeleteScheduledAction", &Json::Object(request)).await?;
        }
    }
    for action in now {
        let mut request = typed(action).as_object().cloned().unwrap_or_default();
        request.extend(place.clone());
        call(cx, "PutScheduledAction", &Json::Object(request)).await?;
    }
    Ok(Made::new(&id, [("Id", id.clone())]))
}

pub(super) async fn delete_target(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    absent(call(cx, "DeregisterScalableTarget", &Json::Object(place_of(&gone.physical))).await)
}

/// What is gone already has been deleted, with the target that it belonged to.
fn absent(done: anyhow::Result<Json>) -> anyhow::Result<()> {
    match done {
        Err(error) if code(&error) == Some("ObjectNotFoundException") => Ok(()),
        done => done.map(drop),
    }
}

/// A policy names its target by the target's id, or by the three parts of it.
fn policy_place(properties: Properties<'_>) -> anyhow::Result<Map<String, Json>> {
    match properties.text("ScalingTargetId") {
        Some(id) => Ok(place_of(&id)),
        None => place(properties).map(|(place, _)| place),
    }
}

pub(super) async fn put_policy(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut request = policy_place(wanted.properties())?;
    let name = wanted.properties().required("PolicyName")?;
    let tracking = wanted.properties().get("TargetTrackingScalingPolicyConfiguration");
    request.insert("PolicyName".into(), json!(name));
    request.insert("PolicyType".into(), json!(wanted.properties().text("PolicyType")));
    request.extend(tracking.map(|form| ("TargetTrackingScalingPolicyConfiguration".into(), typed(form))));
    let made = call(cx, "PutScalingPolicy", &Json::Object(request)).await?;
    let arn = made["PolicyARN"].as_str().unwrap_or_default().to_owned();
    Ok(Made::new(&arn, [("Arn", arn.clone()), ("PolicyName", name)]))
}

pub(super) async fn delete_policy(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let properties = Properties(&gone.properties);
    let mut request = policy_place(properties)?;
    request.insert("PolicyName".into(), json!(properties.text("PolicyName")));
    absent(call(cx, "DeleteScalingPolicy", &Json::Object(request)).await)
}
