//! `AWS::Lambda::EventSourceMapping`.
//!
//! A mapping takes the next order only once it has followed the last one, so each step here waits for that.

use super::properties::{Properties, document, flag};
use super::tags::{self, Tagger};
use super::{Context, Made, Wanted};
use crate::cli::deploy::plan::MAPPING_SOURCE;
use crate::cli::deploy::stack::Deployed;
use anyhow::bail;
use http::Method;
use serde_json::{Value as Json, json};
use std::time::Duration;

const PATH: &str = "/2015-03-31/event-source-mappings";
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A mapping first finishes the batches that it has, and a function may take a quarter of an hour.
const LOOKS_MAX: u32 = 20 * 60 * 16;

fn path(id: &str) -> String {
    format!("{PATH}/{id}")
}

/// What may change of a mapping of an external source, beside what may of any.
fn external(from: Properties<'_>) -> Json {
    let number = |name: &str| from.integer(name).map(Into::into);
    document([
        (
            "BisectBatchOnFunctionError",
            Some(json!(from.get("BisectBatchOnFunctionError").and_then(flag) == Some(true))),
        ),
        ("DestinationConfig", from.get("DestinationConfig").cloned().or(Some(json!({})))),
        ("MaximumRecordAgeInSeconds", number("MaximumRecordAgeInSeconds").or(Some(json!(-1)))),
        ("MaximumRetryAttempts", number("MaximumRetryAttempts").or(Some(json!(-1)))),
        ("SourceAccessConfigurations", from.get("SourceAccessConfigurations").cloned().or(Some(json!([])))),
    ])
}

fn is_external(from: Properties<'_>) -> bool {
    from.get("SelfManagedEventSource").is_some()
}

/// What may change. Everything is said, so that what a template stops naming goes back to what it is by
/// itself.
fn settings(from: Properties<'_>) -> Json {
    let number = |name: &str| from.integer(name).map(Into::into);
    let scaling = from.get("ScalingConfig").map(|scaling| {
        document([("MaximumConcurrency", Properties(scaling).integer("MaximumConcurrency").map(Into::into))])
    });
    let batch_size = if is_external(from) { 100 } else { 10 };
    let mut settings = document([
        ("FunctionName", from.text("FunctionName").map(Into::into)),
        ("BatchSize", number("BatchSize").or(Some(json!(batch_size)))),
        ("MaximumBatchingWindowInSeconds", number("MaximumBatchingWindowInSeconds").or(Some(json!(0)))),
        ("Enabled", Some(json!(from.get("Enabled").and_then(flag).unwrap_or(true)))),
        ("FunctionResponseTypes", from.get("FunctionResponseTypes").cloned().or(Some(json!([])))),
        ("ScalingConfig", scaling.or(Some(json!({})))),
        ("FilterCriteria", from.get("FilterCriteria").cloned().or(Some(json!({})))),
    ]);
    if let (true, Json::Object(all), Json::Object(more)) = (is_external(from), &mut settings, external(from))
    {
        all.extend(more);
    }
    settings
}

fn made(mapping: &Json) -> Made {
    let text = |name: &str| mapping[name].as_str().unwrap_or_default().to_owned();
    let id = text("UUID");
    Made::new(id.clone(), [("Id", id), ("EventSourceMappingArn", text("EventSourceMappingArn"))])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut request = settings(wanted.properties());
    if is_external(wanted.properties()) {
        for name in MAPPING_SOURCE {
            if let Some(value) = wanted.properties().get(name) {
                request[name] = value.clone();
            }
        }
    } else {
        request["EventSourceArn"] = json!(wanted.properties().required("EventSourceArn")?);
    }
    if let Some(tags) = wanted.properties().tags() {
        request["Tags"] = tags;
    }
    let mapping = cx.client.rest("lambda", Method::POST, PATH.to_owned(), Some(request)).await?;
    let made = made(&mapping);
    settled(cx, &made.physical).await?;
    Ok(made)
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    settled(cx, &was.physical).await?;
    let request = settings(wanted.properties());
    let mapping = cx.client.rest("lambda", Method::PUT, path(&was.physical), Some(request)).await?;
    let made = made(&mapping);
    settled(cx, &made.physical).await?;
    let arn = &made.attributes["EventSourceMappingArn"];
    tags::change(cx, Tagger::Lambda, arn, was, wanted.properties()).await?;
    Ok(made)
}

/// Done when the mapping is gone: what it reads and what it calls may go next.
pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("lambda", Method::DELETE, path(&gone.physical), None).await?;
    settled(cx, &gone.physical).await
}

/// Waits until the mapping does as it was told; one that is gone is an absence for the caller.
async fn settled(cx: &Context<'_>, id: &str) -> anyhow::Result<()> {
    for _ in 0..LOOKS_MAX {
        let mapping = cx.client.rest("lambda", Method::GET, path(id), None).await?;
        if matches!(mapping["State"].as_str(), Some("Enabled" | "Disabled")) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the event source mapping {id} does not come to rest")
}
