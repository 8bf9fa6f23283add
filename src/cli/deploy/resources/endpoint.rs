//! `AWS::Events::Connection` and `AWS::Events::ApiDestination`.

use super::bus::{events, members};
use super::{Context, Made, Wanted};
use crate::cli::deploy::stack::Deployed;
use anyhow::bail;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A token may take the five seconds of its request.
const LOOKS_MAX: u32 = 600;

fn made(name: &str, answer: &Json, member: &str) -> Made {
    let arn = answer[member].as_str().unwrap_or_default().to_owned();
    // Policies name what they allow without the id at its end.
    let for_policy = arn.rsplit_once('/').map_or_else(|| arn.clone(), |(arn, _)| arn.to_owned());
    Made::new(name, [("Arn", arn), ("ArnForPolicy", for_policy)])
}

fn connection(name: &str, wanted: &Wanted<'_>) -> Map<String, Json> {
    let mut request = members(wanted.properties(), &["AuthorizationType", "AuthParameters", "Description"]);
    request.insert("Name".into(), json!(name));
    request
}

/// A connection of OAuth is made once it has its first token.
async fn authorized(cx: &Context<'_>, name: &str) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        let shown = events(cx, "DescribeConnection", &json!({ "Name": name })).await?;
        match shown["ConnectionState"].as_str() {
            Some("AUTHORIZED") => return Ok(()),
            Some("DEAUTHORIZED") => {
                let reason = shown["StateReason"].as_str().unwrap_or_default();
                bail!("the connection {name} is not authorized: {reason}");
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    bail!("the connection {name} does not come to rest")
}

pub(super) async fn create_connection(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let answer = events(cx, "CreateConnection", &Json::Object(connection(&name, wanted))).await?;
    authorized(cx, &name).await?;
    Ok(made(&name, &answer, "ConnectionArn"))
}

pub(super) async fn update_connection(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let name = &was.physical;
    let answer = events(cx, "UpdateConnection", &Json::Object(connection(name, wanted))).await?;
    authorized(cx, name).await?;
    Ok(made(name, &answer, "ConnectionArn"))
}

pub(super) async fn delete_connection(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    events(cx, "DeleteConnection", &json!({ "Name": gone.physical })).await.map(drop)
}

fn destination(name: &str, wanted: &Wanted<'_>) -> Json {
    let properties = wanted.properties();
    let mut request =
        members(properties, &["ConnectionArn", "Description", "HttpMethod", "InvocationEndpoint"]);
    request.insert("Name".into(), json!(name));
    let rate = properties.integer("InvocationRateLimitPerSecond").unwrap_or(300);
    request.insert("InvocationRateLimitPerSecond".into(), json!(rate));
    Json::Object(request)
}

pub(super) async fn create_destination(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let answer = events(cx, "CreateApiDestination", &destination(&name, wanted)).await?;
    Ok(made(&name, &answer, "ApiDestinationArn"))
}

pub(super) async fn update_destination(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let answer = events(cx, "UpdateApiDestination", &destination(&was.physical, wanted)).await?;
    Ok(made(&was.physical, &answer, "ApiDestinationArn"))
}

pub(super) async fn delete_destination(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    events(cx, "DeleteApiDestination", &json!({ "Name": gone.physical })).await.map(drop)
}
