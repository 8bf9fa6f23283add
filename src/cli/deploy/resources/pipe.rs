//! `AWS::Pipes::Pipe`.
//!
//! A pipe takes the next order only once it has followed the last one, so each step here waits for that.

use super::bus::members;
use super::tags::{self, Tagger};
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use anyhow::bail;
use http::Method;
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A pipe first finishes the batches that it has, and a function may take a quarter of an hour.
const LOOKS_MAX: u32 = 20 * 60 * 16;
/// What may change.
const SETTINGS: [&str; 8] = [
    "Description",
    "DesiredState",
    "Enrichment",
    "EnrichmentParameters",
    "RoleArn",
    "SourceParameters",
    "Target",
    "TargetParameters",
];

fn path(name: &str) -> String {
    format!("/v1/pipes/{}", encode(name))
}

fn made(cx: &Context<'_>, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("pipes", format!("pipe/{name}")))])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("Name", cx.place);
    let mut request = members(wanted.properties(), &SETTINGS);
    request.insert("Source".into(), json!(wanted.properties().required("Source")?));
    if let Some(tags) = wanted.properties().tags() {
        request.insert("Tags".into(), tags);
    }
    cx.client.rest("pipes", Method::POST, path(&name), Some(Json::Object(request))).await?;
    settled(cx, &name).await?;
    Ok(made(cx, &name))
}

/// What a template does not name any more goes back to what it is by itself.
fn update_request(wanted: &Wanted<'_>) -> Json {
    let mut request: Map<String, Json> = Map::new();
    let unfiltered = json!({ "Filters": [] });
    let source = wanted.properties().get("Source").and_then(Json::as_str).unwrap_or_default();
    // A source that is no queue has parameters that it needs, so the template names them.
    let read_by_itself = match source.contains("://") {
        true => json!({ "FilterCriteria": unfiltered }),
        false => json!({ "FilterCriteria": unfiltered, "SqsQueueParameters": {} }),
    };
    for (name, by_itself) in [
        ("Description", json!("")),
        ("DesiredState", json!("RUNNING")),
        ("Enrichment", json!("")),
        ("EnrichmentParameters", json!({})),
        ("SourceParameters", read_by_itself),
        ("TargetParameters", json!({})),
    ] {
        request.insert(name.into(), by_itself);
    }
    for (name, value) in members(wanted.properties(), &SETTINGS) {
        match (request.get_mut(&name).and_then(Json::as_object_mut), value) {
            (Some(all), Json::Object(given)) => all.extend(given),
            (_, value) => _ = request.insert(name, value),
        }
    }
    Json::Object(request)
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = &was.physical;
    settled(cx, name).await?;
    cx.client.rest("pipes", Method::PUT, path(name), Some(update_request(wanted))).await?;
    settled(cx, name).await?;
    let made = made(cx, name);
    tags::change(cx, Tagger::Pipes, &made.attributes["Arn"], was, wanted.properties()).await?;
    Ok(made)
}

/// Done when the pipe is gone: what it reads and what it calls may go next.
pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("pipes", Method::DELETE, path(&gone.physical), None).await?;
    settled(cx, &gone.physical).await
}

/// Waits until the pipe does as it was told; one that is gone is an absence for the caller.
async fn settled(cx: &Context<'_>, name: &str) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        let pipe = cx.client.rest("pipes", Method::GET, path(name), None).await?;
        if matches!(pipe["CurrentState"].as_str(), Some("RUNNING" | "STOPPED")) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the pipe {name} does not come to rest")
}
