//! `AWS::Lambda::Version` and `AWS::Lambda::Alias`.

use super::function::path;
use super::properties::{Properties, document, text};
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use anyhow::Context as _;
use http::Method;
use serde_json::{Value as Json, json};

/// A function's name, whether it is given by name or ARN, and its qualifier if there is one.
pub(super) fn split(function: &str) -> (String, Option<String>) {
    let rest = match function.split_once(":function:") {
        Some((_, rest)) => rest,
        None => function,
    };
    match rest.split_once(':') {
        Some((name, qualifier)) => (name.to_owned(), Some(qualifier.to_owned())),
        None => (rest.to_owned(), None),
    }
}

pub(super) async fn publish(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let (function, _) = split(&from.required("FunctionName")?);
    let request = document([
        ("Description", from.text("Description").map(Into::into)),
        ("CodeSha256", from.text("CodeSha256").map(Into::into)),
    ]);
    let path = format!("{}/versions", path(&function));
    let version = cx.client.rest("lambda", Method::POST, path, Some(request)).await?;
    let number = version["Version"].as_str().context("the server did not number the version")?;
    let arn = cx.arn("lambda", format!("function:{function}:{number}"));
    Ok(Made::new(&arn, [("Version", number.to_owned()), ("FunctionArn", arn.clone())]))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let (function, number) = split(&gone.physical);
    let number = number.context("the version has no number")?;
    let path = format!("{}?Qualifier={}", path(&function), encode(&number));
    cx.client.rest("lambda", Method::DELETE, path, None).await.map(drop)
}

pub(super) fn alias_made(cx: &Context<'_>, from: &Properties<'_>) -> Made {
    let (function, _) = split(&from.text("FunctionName").unwrap_or_default());
    let name = from.text("Name").unwrap_or_default();
    let arn = cx.arn("lambda", format!("function:{function}:{name}"));
    Made::new(&arn, [("AliasArn", arn.clone())])
}

pub(super) async fn create_alias(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let (function, _) = split(&from.required("FunctionName")?);
    let mut request = alias(from)?;
    request["Name"] = json!(from.required("Name")?);
    cx.client.rest("lambda", Method::POST, format!("{}/aliases", path(&function)), Some(request)).await?;
    Ok(alias_made(cx, &from))
}

pub(super) async fn update_alias(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let from = wanted.properties();
    let mut request = alias(from)?;
    for (member, none) in [("Description", json!("")), ("RoutingConfig", json!({}))] {
        if request.get(member).is_none() {
            request[member] = none;
        }
    }
    cx.client.rest("lambda", Method::PUT, alias_path(&was.physical), Some(request)).await?;
    Ok(alias_made(cx, &from))
}

pub(super) async fn delete_alias(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    cx.client.rest("lambda", Method::DELETE, alias_path(&gone.physical), None).await.map(drop)
}

fn alias_path(arn: &str) -> String {
    let (function, name) = split(arn);
    format!("{}/aliases/{}", path(&function), encode(&name.unwrap_or_default()))
}

fn alias(from: Properties<'_>) -> anyhow::Result<Json> {
    let weights = from.get("RoutingConfig").and_then(|routing| routing.get("AdditionalVersionWeights"));
    let weights = weights.and_then(Json::as_array).map(|weights| {
        let pair = |weight: &Json| {
            Some((text(weight.get("FunctionVersion")?)?, weight.get("FunctionWeight")?.clone()))
        };
        let weights: serde_json::Map<_, _> = weights.iter().filter_map(pair).collect();
        json!({ "AdditionalVersionWeights": weights })
    });
    Ok(document([
        ("FunctionVersion", Some(from.required("FunctionVersion")?.into())),
        ("Description", from.text("Description").map(Into::into)),
        ("RoutingConfig", weights),
    ]))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn functions_are_named_in_many_ways() {
        let pair = |name: &str, qualifier: Option<&str>| (name.to_owned(), qualifier.map(str::to_owned));
        assert_eq!(split("thumb"), pair("thumb", None));
        assert_eq!(split("thumb:live"), pair("thumb", Some("live")));
        assert_eq!(split("arn:aws:lambda:us-east-1:000000000000:function:thumb"), pair("thumb", None));
        assert_eq!(split("arn:aws:lambda:us-east-1:000000000000:function:thumb:7"), pair("thumb", Some("7")));
    }
}
