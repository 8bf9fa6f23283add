//! `AWS::Logs::LogGroup`.

use super::properties::document;
use super::tags::{self, Tagger};
use super::{Context, Made, Wanted};
use crate::cli::deploy::stack::Deployed;
use serde_json::{Value as Json, json};

pub(super) fn made(cx: &Context<'_>, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("logs", format!("log-group:{name}:*")))])
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name("LogGroupName", cx.place);
    let request = document([("logGroupName", Some(json!(name))), ("tags", wanted.properties().tags())]);
    call(cx, "CreateLogGroup", &request).await?;
    if let Err(error) = retain(cx, &name, wanted, false).await {
        let _ = call(cx, "DeleteLogGroup", &json!({ "logGroupName": name })).await;
        return Err(error);
    }
    Ok(made(cx, &name))
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    retain(cx, &was.physical, wanted, was.properties.get("RetentionInDays").is_some()).await?;
    let arn = cx.arn("logs", format!("log-group:{}", was.physical));
    tags::change(cx, Tagger::Logs, &arn, was, wanted.properties()).await?;
    Ok(made(cx, &was.physical))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteLogGroup", &json!({ "logGroupName": gone.physical })).await
}

async fn retain(cx: &Context<'_>, name: &str, wanted: &Wanted<'_>, had: bool) -> anyhow::Result<()> {
    match wanted.properties().integer("RetentionInDays") {
        Some(days) => {
            let request = json!({ "logGroupName": name, "retentionInDays": days });
            call(cx, "PutRetentionPolicy", &request).await
        }
        None if had => call(cx, "DeleteRetentionPolicy", &json!({ "logGroupName": name })).await,
        None => Ok(()),
    }
}

async fn call(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<()> {
    cx.client.json("logs", &format!("Logs_20140328.{operation}"), request).await.map(drop)
}
