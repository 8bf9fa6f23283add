//! `AWS::ApiGatewayV2::*`: HTTP APIs, their integrations, routes and stages.
//!
//! The API's members are those of the properties with a small first letter; only what a user names (tags,
//! stage variables, the routes of settings) keeps its spelling.

use super::properties::{Properties, flag, integer};
use super::tags::{self, Tagger};
use super::{Context, Made, Wanted};
use crate::cli::client::{code, encode};
use crate::cli::deploy::stack::Deployed;
use anyhow::Context as _;
use http::Method;
use serde_json::{Map, Value as Json, json};

/// Members that are numbers or flags wherever they stand.
const INTEGERS: [&str; 4] = ["TimeoutInMillis", "MaxAge", "ThrottlingBurstLimit", "ThrottlingRateLimit"];
const FLAGS: [&str; 5] = [
    "AllowCredentials",
    "AutoDeploy",
    "DetailedMetricsEnabled",
    "DisableExecuteApiEndpoint",
    "DataTraceEnabled",
];
/// Maps whose keys are the user's.
const OWN_KEYS: [&str; 3] = ["Tags", "StageVariables", "RouteSettings"];

pub(super) async fn create_api(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let mut request = members(wanted.properties, &["ApiId"]);
    request["name"] = json!(wanted.name("Name", cx.place));
    if request.get("protocolType").is_none() {
        request["protocolType"] = json!("HTTP");
    }
    let api = cx.client.rest("apigateway", Method::POST, "/v2/apis", Some(request)).await?;
    api_made(&api)
}

pub(super) async fn update_api(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let mut request = members(wanted.properties, &["ProtocolType", "RouteKey", "Target", "Tags"]);
    request["name"] = json!(wanted.name("Name", cx.place));
    let path = format!("/v2/apis/{}", encode(&was.physical));
    let had_cors = was.properties.get("CorsConfiguration").is_some();
    if had_cors && request.get("corsConfiguration").is_none() {
        cx.client.rest("apigateway", Method::DELETE, format!("{path}/cors"), None).await?;
    }
    let api = cx.client.rest("apigateway", Method::PATCH, path, Some(request)).await?;
    let arn = format!("arn:aws:apigateway:{}::/apis/{}", cx.place.region, was.physical);
    tags::change(cx, Tagger::Gateway, &arn, was, wanted.properties()).await?;
    api_made(&api)
}

fn api_made(api: &Json) -> anyhow::Result<Made> {
    let id = api["apiId"].as_str().context("the server did not name the API")?;
    let endpoint = api["apiEndpoint"].as_str().unwrap_or_default().to_owned();
    Ok(Made::new(id, [("ApiEndpoint", endpoint), ("ApiId", id.to_owned())]))
}

pub(super) async fn delete_api(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let path = format!("/v2/apis/{}", encode(&gone.physical));
    cx.client.rest("apigateway", Method::DELETE, path, None).await.map(drop)
}

pub(super) async fn create_integration(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let made = create_part(cx, wanted, "integrations").await?;
    part_made(&made, "integrationId", "IntegrationId")
}

pub(super) async fn update_integration(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let made = update_part(cx, was, wanted, "integrations").await?;
    part_made(&made, "integrationId", "IntegrationId")
}

pub(super) async fn create_route(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let made = create_part(cx, wanted, "routes").await?;
    part_made(&made, "routeId", "RouteId")
}

pub(super) async fn update_route(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    let made = update_part(cx, was, wanted, "routes").await?;
    part_made(&made, "routeId", "RouteId")
}

pub(super) async fn create_stage(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.properties().required("StageName")?;
    match create_part(cx, wanted, "stages").await {
        // An API that was made with a target has its default stage already.
        Err(error) if code(&error) == Some("ConflictException") && name == "$default" => {
            patch(cx, wanted, "stages", &name).await?;
        }
        made => drop(made?),
    }
    Ok(Made::new(name, []))
}

pub(super) async fn update_stage(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
) -> anyhow::Result<Made> {
    update_part(cx, was, wanted, "stages").await?;
    let api = wanted.properties().required("ApiId")?;
    let arn = format!("arn:aws:apigateway:{}::/apis/{api}/stages/{}", cx.place.region, was.physical);
    tags::change(cx, Tagger::Gateway, &arn, was, wanted.properties()).await?;
    Ok(Made::new(&was.physical, []))
}

/// Removes an integration, route or stage.
pub(super) async fn delete_part(cx: &Context<'_>, gone: &Deployed, parts: &str) -> anyhow::Result<()> {
    let api = Properties(&gone.properties).required("ApiId")?;
    let path = format!("/v2/apis/{}/{parts}/{}", encode(&api), encode(&gone.physical));
    cx.client.rest("apigateway", Method::DELETE, path, None).await.map(drop)
}

async fn create_part(cx: &Context<'_>, wanted: &Wanted<'_>, parts: &str) -> anyhow::Result<Json> {
    let api = wanted.properties().required("ApiId")?;
    let request = members(wanted.properties, &["ApiId"]);
    cx.client
        .rest("apigateway", Method::POST, format!("/v2/apis/{}/{parts}", encode(&api)), Some(request))
        .await
}

async fn update_part(
    cx: &Context<'_>,
    was: &Deployed,
    wanted: &Wanted<'_>,
    parts: &str,
) -> anyhow::Result<Json> {
    patch(cx, wanted, parts, &was.physical).await
}

async fn patch(cx: &Context<'_>, wanted: &Wanted<'_>, parts: &str, id: &str) -> anyhow::Result<Json> {
    let api = wanted.properties().required("ApiId")?;
    let request = members(wanted.properties, &["ApiId", "StageName", "Tags"]);
    let path = format!("/v2/apis/{}/{parts}/{}", encode(&api), encode(id));
    cx.client.rest("apigateway", Method::PATCH, path, Some(request)).await
}

fn part_made(part: &Json, member: &str, attribute: &str) -> anyhow::Result<Made> {
    let id = part[member].as_str().with_context(|| format!("the server gave no {member}"))?;
    Ok(Made::new(id, [(attribute, id.to_owned())]))
}

/// The properties as the API's members, without those that stand in the path.
fn members(properties: &Json, without: &[&str]) -> Json {
    let pairs = properties.as_object().into_iter().flatten();
    let pairs = pairs.filter(|(name, _)| !without.contains(&name.as_str()));
    Json::Object(pairs.map(|(name, value)| (small(name), member(name, value))).collect())
}

fn member(name: &str, value: &Json) -> Json {
    if INTEGERS.contains(&name) {
        return integer(value).map_or_else(|| value.clone(), Into::into);
    }
    if FLAGS.contains(&name) {
        return flag(value).map_or_else(|| value.clone(), Into::into);
    }
    match value {
        Json::Object(map) if OWN_KEYS.contains(&name) => {
            let own = |(key, value): (&String, &Json)| (key.clone(), member("", value));
            Json::Object(map.iter().map(own).collect::<Map<_, _>>())
        }
        Json::Object(_) => members(value, &[]),
        other => other.clone(),
    }
}

fn small(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_small_and_users_keys_are_not() {
        let properties = json!({"ApiId": "a", "Name": "x", "Tags": {"Team": "T"},
            "DisableExecuteApiEndpoint": "true",
            "CorsConfiguration": {"AllowOrigins": ["*"], "MaxAge": "60"}, "StageVariables": {"Key": "v"}});
        let expected = json!({"name": "x", "tags": {"Team": "T"}, "disableExecuteApiEndpoint": true,
            "corsConfiguration": {"allowOrigins": ["*"], "maxAge": 60}, "stageVariables": {"Key": "v"}});
        assert_eq!(members(&properties, &["ApiId"]), expected);
    }
}
