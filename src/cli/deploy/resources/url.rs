//! `AWS::Lambda::Url` and `AWS::Lambda::EventInvokeConfig`: what hangs on a function by its name and
//! qualifier.

use super::permission::query;
use super::properties::{document, flag, integer};
use super::version::split;
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use http::Method;
use serde_json::{Value as Json, json};

fn url_path(properties: &Json) -> String {
    let text = |name: &str| properties[name].as_str().unwrap_or_default();
    let (function, own) = split(text("TargetFunctionArn"));
    let qualifier = properties["Qualifier"].as_str().map(str::to_owned).or(own);
    format!("/2021-10-31/functions/{}/url{}", encode(&function), query(qualifier.as_deref()))
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let path = url_path(wanted.properties);
    let url = cx.client.rest("lambda", Method::POST, path, Some(url_config(wanted))).await?;
    Ok(url_made(&url))
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut config = url_config(wanted);
    if config.get("Cors").is_none() {
        config["Cors"] = json!({});
    }
    let url = cx.client.rest("lambda", Method::PUT, url_path(&was.properties), Some(config)).await?;
    Ok(url_made(&url))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("lambda", Method::DELETE, url_path(&gone.properties), None).await.map(drop)
}

fn url_config(wanted: &Wanted<'_>) -> Json {
    let from = wanted.properties();
    let mut cors = from.get("Cors").cloned();
    if let Some(cors) = &mut cors {
        if let Some(age) = cors.get("MaxAge").and_then(integer) {
            cors["MaxAge"] = age.into();
        }
        if let Some(allowed) = cors.get("AllowCredentials").and_then(flag) {
            cors["AllowCredentials"] = allowed.into();
        }
    }
    document([
        ("AuthType", from.text("AuthType").map(Into::into)),
        ("InvokeMode", from.text("InvokeMode").map(Into::into)),
        ("Cors", cors),
    ])
}

fn url_made(url: &Json) -> Made {
    let text = |name: &str| url[name].as_str().unwrap_or_default().to_owned();
    Made::new(
        text("FunctionArn"),
        [("FunctionUrl", text("FunctionUrl")), ("FunctionArn", text("FunctionArn"))],
    )
}

fn event_invoke_path(properties: &Json) -> String {
    let text = |name: &str| properties[name].as_str().unwrap_or_default();
    let (function, _) = split(text("FunctionName"));
    let qualifier = Some(text("Qualifier"));
    format!("/2019-09-25/functions/{}/event-invoke-config{}", encode(&function), query(qualifier))
}

/// PutFunctionEventInvokeConfig replaces the whole, so it makes and updates alike.
pub(super) async fn put_event_invoke(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let request = document([
        ("MaximumEventAgeInSeconds", from.integer("MaximumEventAgeInSeconds").map(Into::into)),
        ("MaximumRetryAttempts", from.integer("MaximumRetryAttempts").map(Into::into)),
        ("DestinationConfig", from.get("DestinationConfig").map(destinations)),
    ]);
    let path = event_invoke_path(wanted.properties);
    cx.client.rest("lambda", Method::PUT, path, Some(request)).await?;
    Ok(Made::new(wanted.generated_name(cx.place), []))
}

/// SAM says of which type a destination is; the API finds it in the ARN and does not want to be told.
fn destinations(config: &Json) -> Json {
    let end = |name: &str| {
        let target = config.get(name)?.get("Destination")?;
        Some(json!({ "Destination": target }))
    };
    document([("OnSuccess", end("OnSuccess")), ("OnFailure", end("OnFailure"))])
}

pub(super) async fn delete_event_invoke(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("lambda", Method::DELETE, event_invoke_path(&gone.properties), None).await.map(drop)
}
