//! APIs.

use super::keys::{APIS, DEPLOYMENTS, INTEGRATIONS, OWNED, ROUTES, STAGES};
use super::model::{Api, Cors, DEPLOYMENTS_PER_API, INTEGRATIONS_PER_API, ROUTES_PER_API, STAGES_PER_API};
use super::paging::{self, Page};
use super::{faults, integrations, routes, stages};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Raw, Scan};
use mayfly_wire::time::iso8601;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const ROUTE_SELECTION: &str = "$request.method $request.path";
const API_KEY_SELECTION: &str = "$request.header.x-api-key";

/// The API of this id, if the caller may use it.
pub(super) fn find(cx: &mut Cx<'_>, id: &str) -> Result<Api, Fault> {
    let resource = cx.arn("apigateway", format!("/apis/{id}"));
    cx.allow(&resource)?;
    let api = APIS.get(cx.tx, &(id.to_owned(),))?;
    api.filter(|api| api.account == cx.caller.account).ok_or_else(|| faults::not_found("API", id))
}

fn owned(api: &Api) -> (String, String, String) {
    (api.account.clone(), api.region.clone(), api.id.clone())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiView {
    api_id: String,
    name: String,
    protocol_type: &'static str,
    api_endpoint: String,
    created_date: String,
    route_selection_expression: &'static str,
    api_key_selection_expression: &'static str,
    ip_address_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors_configuration: Option<Cors>,
    disable_execute_api_endpoint: bool,
    tags: BTreeMap<String, String>,
}

fn view(cx: &Cx<'_>, api: Api) -> ApiView {
    let (scheme, port) = (cx.site.scheme(), cx.site.port_suffix());
    ApiView {
        api_endpoint: format!("{scheme}://{}.execute-api.localhost{port}", api.id),
        api_id: api.id,
        name: api.name,
        protocol_type: "HTTP",
        created_date: iso8601(Time::from_ms(api.created_ms)),
        route_selection_expression: ROUTE_SELECTION,
        api_key_selection_expression: API_KEY_SELECTION,
        ip_address_type: "ipv4",
        description: api.description,
        version: api.version,
        cors_configuration: api.cors,
        disable_execute_api_endpoint: api.endpoint_disabled,
        tags: api.tags.into_iter().collect(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    name: String,
    protocol_type: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    cors_configuration: Option<Cors>,
    #[serde(default)]
    tags: HashMap<String, String>,
    #[serde(default)]
    disable_execute_api_endpoint: bool,
    /// Quick create: one function behind everything.
    target: Option<String>,
    route_key: Option<String>,
    route_selection_expression: Option<String>,
    api_key_selection_expression: Option<String>,
    ip_address_type: Option<String>,
}

/// HTTP APIs choose a route in one way only, and are reached by one kind of address.
fn check_fixed(
    selection: Option<&String>,
    api_key: Option<&String>,
    address: Option<&String>,
) -> Result<(), Fault> {
    if selection.is_some_and(|expression| expression.trim() != ROUTE_SELECTION) {
        return Err(faults::bad(format!(
            "RouteSelectionExpression is fixed for HTTP APIs; must be {ROUTE_SELECTION}"
        )));
    }
    if api_key.is_some_and(|expression| expression != API_KEY_SELECTION) {
        return Err(Fault::not_implemented("other values of the member ApiKeySelectionExpression"));
    }
    match address.map(String::as_str) {
        None | Some("ipv4") => Ok(()),
        Some(_) => Err(Fault::not_implemented("other values of the member IpAddressType than ipv4")),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<ApiView, Fault> {
    let resource = cx.arn("apigateway", "/apis");
    cx.allow(&resource)?;
    match input.protocol_type.as_str() {
        "HTTP" => {}
        "WEBSOCKET" => return Err(Fault::not_implemented("WebSocket APIs")),
        _ => return Err(faults::bad("Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]")),
    }
    check_name(&input.name)?;
    check_fixed(
        input.route_selection_expression.as_ref(),
        input.api_key_selection_expression.as_ref(),
        input.ip_address_type.as_ref(),
    )?;
    check_tags(cx, &input.tags)?;
    let api = Api {
        id: cx.ids.lower(10),
        account: cx.caller.account.clone(),
        region: cx.caller.region.clone(),
        name: input.name,
        description: input.description,
        version: input.version,
        created_ms: cx.now.ms(),
        cors: input.cors_configuration,
        tags: input.tags,
        endpoint_disabled: input.disable_execute_api_endpoint,
    };
    APIS.put(cx.tx, &(api.id.clone(),), &api);
    OWNED.put(cx.tx, &owned(&api), &Raw::default());
    if let Some(target) = input.target {
        let integration = integrations::add(cx, &api.id, &target)?;
        routes::add(cx, &api.id, input.route_key.as_deref().unwrap_or("$default"), &integration)?;
        stages::add_default(cx, &api.id);
    }
    Ok(view(cx, api))
}

fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=128).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(faults::bad("Name must be between 1 and 128 characters")),
    }
}

pub(super) fn check_tags(cx: &Cx<'_>, tags: &HashMap<String, String>) -> Result<(), Fault> {
    match tags.len() <= cx.limits.tags_per_resource {
        true => Ok(()),
        false => {
            Err(faults::bad(format!("A resource may have at most {} tags", cx.limits.tags_per_resource)))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    #[serde(rename = "maxResults")]
    max_results: Option<String>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Page<ApiView>, Fault> {
    let resource = cx.arn("apigateway", "/apis");
    cx.allow(&resource)?;
    let limit = paging::size(input.max_results.as_ref())?.unwrap_or(100).min(500);
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some(token) = &input.next_token {
        scan = scan.after(&(account, region, token.as_str()));
    }
    let (rows, next_token) = crate::paging::cut(OWNED.scan(cx.tx, scan)?, limit, |((.., id), _)| id.clone());
    let mut items = Vec::with_capacity(rows.len());
    for ((.., id), _) in rows {
        if let Some(api) = APIS.get(cx.tx, &(id,))? {
            items.push(view(cx, api));
        }
    }
    Ok(Page { items, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    api_id: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<ApiView, Fault> {
    let api = find(cx, &input.api_id)?;
    Ok(view(cx, api))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    api_id: String,
    name: Option<String>,
    description: Option<String>,
    version: Option<String>,
    cors_configuration: Option<Cors>,
    disable_execute_api_endpoint: Option<bool>,
    route_selection_expression: Option<String>,
    api_key_selection_expression: Option<String>,
    ip_address_type: Option<String>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<ApiView, Fault> {
    let mut api = find(cx, &input.api_id)?;
    check_fixed(
        input.route_selection_expression.as_ref(),
        input.api_key_selection_expression.as_ref(),
        input.ip_address_type.as_ref(),
    )?;
    if let Some(name) = input.name {
        check_name(&name)?;
        api.name = name;
    }
    api.description = input.description.unwrap_or(api.description);
    api.version = input.version.unwrap_or(api.version);
    api.cors = input.cors_configuration.or(api.cors);
    api.endpoint_disabled = input.disable_execute_api_endpoint.unwrap_or(api.endpoint_disabled);
    save(cx, &api);
    Ok(view(cx, api))
}

pub(super) fn save(cx: &mut Cx<'_>, api: &Api) {
    APIS.put(cx.tx, &(api.id.clone(),), api);
}

pub(super) fn delete_cors(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let mut api = find(cx, &input.api_id)?;
    api.cors = None;
    save(cx, &api);
    Ok(())
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let api = find(cx, &input.api_id)?;
    OWNED.delete(cx.tx, &owned(&api));
    let id = api.id;
    for (key, _) in ROUTES.scan(cx.tx, Scan::prefix(&(id.clone(),), ROUTES_PER_API))? {
        ROUTES.delete(cx.tx, &key);
    }
    for (key, _) in INTEGRATIONS.scan(cx.tx, Scan::prefix(&(id.clone(),), INTEGRATIONS_PER_API))? {
        INTEGRATIONS.delete(cx.tx, &key);
    }
    for (key, _) in STAGES.scan(cx.tx, Scan::prefix(&(id.clone(),), STAGES_PER_API))? {
        STAGES.delete(cx.tx, &key);
    }
    for (key, _) in DEPLOYMENTS.scan(cx.tx, Scan::prefix(&(id.clone(),), DEPLOYMENTS_PER_API))? {
        DEPLOYMENTS.delete(cx.tx, &key);
    }
    APIS.delete(cx.tx, &(id,));
    Ok(())
}
