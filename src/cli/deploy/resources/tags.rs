//! Changing the tags of what is there: a few services, one rule. Tags that are dropped are taken off, and all
//! that are wanted are put on.

use super::Context;
use super::properties::Properties;
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use http::Method;
use serde_json::{Value as Json, json};

/// Whose API takes the tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tagger {
    Lambda,
    Gateway,
    Logs,
    Pipes,
}

/// Brings the tags of the resource with that ARN from its former properties to the wanted ones.
pub(super) async fn change(
    cx: &Context<'_>,
    tagger: Tagger,
    arn: &str,
    was: &Deployed,
    wanted: Properties<'_>,
) -> anyhow::Result<()> {
    let (old, new) = (Properties(&was.properties).tags(), wanted.tags());
    if old == new {
        return Ok(());
    }
    let kept = keys(new.as_ref());
    let dropped: Vec<String> = keys(old.as_ref()).into_iter().filter(|key| !kept.contains(key)).collect();
    if !dropped.is_empty() {
        take_off(cx, tagger, arn, &dropped).await?;
    }
    match new.filter(|_| !kept.is_empty()) {
        Some(tags) => put_on(cx, tagger, arn, &tags).await,
        None => Ok(()),
    }
}

fn keys(tags: Option<&Json>) -> Vec<String> {
    tags.and_then(Json::as_object).into_iter().flat_map(|map| map.keys().cloned()).collect()
}

async fn take_off(cx: &Context<'_>, tagger: Tagger, arn: &str, keys: &[String]) -> anyhow::Result<()> {
    if tagger == Tagger::Logs {
        let request = json!({ "resourceArn": arn, "tagKeys": keys });
        return cx.client.json("logs", "Logs_20140328.UntagResource", &request).await.map(drop);
    }
    let query = keys.iter().map(|key| format!("tagKeys={}", encode(key))).collect::<Vec<_>>().join("&");
    let (service, path, _) = rest(tagger, arn);
    cx.client.rest(service, Method::DELETE, format!("{path}?{query}"), None).await.map(drop)
}

async fn put_on(cx: &Context<'_>, tagger: Tagger, arn: &str, tags: &Json) -> anyhow::Result<()> {
    if tagger == Tagger::Logs {
        let request = json!({ "resourceArn": arn, "tags": tags });
        return cx.client.json("logs", "Logs_20140328.TagResource", &request).await.map(drop);
    }
    let (service, path, member) = rest(tagger, arn);
    cx.client.rest(service, Method::POST, path, Some(json!({ member: tags }))).await.map(drop)
}

/// Of the REST services, the name, the path of a resource's tags, and the member that holds them.
fn rest(tagger: Tagger, arn: &str) -> (&'static str, String, &'static str) {
    match tagger {
        Tagger::Pipes => ("pipes", format!("/tags/{}", encode(arn)), "tags"),
        Tagger::Gateway => ("apigateway", format!("/v2/tags/{}", encode(arn)), "tags"),
        Tagger::Lambda | Tagger::Logs => ("lambda", format!("/2017-03-31/tags/{}", encode(arn)), "Tags"),
    }
}
