//! `AWS::Lambda::Version` and `AWS::Lambda::Alias`.

use super::function::path;
use super::gradual::{self, Move};
use super::properties::{Properties, document, integer, text};
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use crate::cli::deploy::template::catalog::DEPLOYMENT;
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
    let made = alias_made(cx, &from);
    provision(cx, &made.physical, None, from).await?;
    Ok(made)
}

pub(super) async fn update_alias(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let from = wanted.properties();
    if let Some(moved) = gradual_move(cx, was, wanted) {
        gradual::deploy(cx, &moved).await?;
    }
    let mut request = alias(from)?;
    for (member, none) in [("Description", json!("")), ("RoutingConfig", json!({}))] {
        if request.get(member).is_none() {
            request[member] = none;
        }
    }
    cx.client.rest("lambda", Method::PUT, alias_path(&was.physical), Some(request)).await?;
    provision(cx, &was.physical, provisioned(Properties(&was.properties)), from).await?;
    Ok(alias_made(cx, &from))
}

fn provisioned(properties: Properties<'_>) -> Option<i64> {
    integer(properties.get("ProvisionedConcurrencyConfig")?.get("ProvisionedConcurrentExecutions")?)
}

/// Provisions what the template says of an alias. What it says no differently than before is left as it is: whoever
/// scales the alias may have changed it.
async fn provision(
    cx: &Context<'_>,
    alias: &str,
    before: Option<i64>,
    from: Properties<'_>,
) -> anyhow::Result<()> {
    let wanted = provisioned(from);
    if wanted == before {
        return Ok(());
    }
    let (function, name) = split(alias);
    let name = encode(&name.unwrap_or_default());
    let place =
        format!("/2019-09-30/functions/{}/provisioned-concurrency?Qualifier={name}", encode(&function));
    let (method, request) = match wanted {
        Some(count) => (Method::PUT, Some(json!({ "ProvisionedConcurrentExecutions": count }))),
        None => (Method::DELETE, None),
    };
    cx.client.rest("lambda", method, place, request).await.map(drop)
}

/// The move of an alias that goes by steps, if there is one to make.
fn gradual_move<'a>(cx: &Context<'_>, was: &'a Deployed, wanted: &'a Wanted<'_>) -> Option<Move<'a>> {
    let by = wanted.properties().get(DEPLOYMENT).filter(|_| !cx.at_once.get())?;
    let version = |properties: &'a Json| properties.get("FunctionVersion").and_then(Json::as_str);
    let (from, to) = (version(&was.properties)?, version(wanted.properties)?);
    (from != to).then_some(Move { id: wanted.id, alias: &was.physical, from, to, by })
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
