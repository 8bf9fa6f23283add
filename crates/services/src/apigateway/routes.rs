//! Routes: which integration answers which method and path.

use super::keys::{INTEGRATIONS, ROUTES};
use super::model::{ROUTES_PER_API, Route};
use super::paging::{List, Page};
use super::{apis, faults};
use crate::Cx;
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::Deserialize;

const METHODS: [&str; 8] = ["ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

fn check_key(key: &str) -> Result<(), Fault> {
    if key == "$default" {
        return Ok(());
    }
    let bad = || {
        let text = format!(
            "The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\": {key}"
        );
        faults::bad(text)
    };
    let (method, path) = key.split_once(' ').ok_or_else(bad)?;
    if !METHODS.contains(&method) || !path.starts_with('/') {
        return Err(bad());
    }
    let segments: Vec<&str> = path.split('/').collect();
    let greedy = segments.iter().position(|segment| segment.ends_with("+}"));
    match greedy {
        Some(at) if at + 1 != segments.len() => {
            Err(faults::bad("A greedy path variable must be the last segment of a route"))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_target(cx: &Cx<'_>, api: &str, target: Option<&String>) -> Result<(), Fault> {
    let Some(target) = target else { return Ok(()) };
    let id = target.strip_prefix("integrations/").ok_or_else(|| faults::bad("Invalid target specified"))?;
    match INTEGRATIONS.contains(cx.tx, &(api.to_owned(), id.to_owned()))? {
        true => Ok(()),
        false => Err(faults::not_found("Integration", id)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    api_id: String,
    route_key: String,
    target: Option<String>,
    operation_name: Option<String>,
    authorization_type: Option<String>,
}

fn check_authorization(kind: Option<&str>) -> Result<(), Fault> {
    match kind {
        None | Some("NONE") => Ok(()),
        Some(other) => Err(Fault::not_implemented(&format!("routes with authorization type {other}"))),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Route, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    check_key(&input.route_key)?;
    check_authorization(input.authorization_type.as_deref())?;
    check_target(cx, &api, input.target.as_ref())?;
    let route = Route {
        id: cx.ids.lower(7),
        key: input.route_key,
        target: input.target,
        operation_name: input.operation_name,
    };
    insert(cx, &api, route)
}

/// A route of quick create.
pub(super) fn add(cx: &mut Cx<'_>, api: &str, key: &str, integration: &str) -> Result<Route, Fault> {
    check_key(key)?;
    let target = Some(format!("integrations/{integration}"));
    let route = Route { id: cx.ids.lower(7), key: key.into(), target, operation_name: None };
    insert(cx, api, route)
}

fn insert(cx: &mut Cx<'_>, api: &str, route: Route) -> Result<Route, Fault> {
    let rows = all(cx, api)?;
    if rows.iter().any(|other| other.key == route.key && other.id != route.id) {
        return Err(faults::conflict(format!("Route with key {} already exists for this API", route.key)));
    }
    if rows.len() >= ROUTES_PER_API {
        return Err(faults::too_many("routes", ROUTES_PER_API));
    }
    ROUTES.put(cx.tx, &(api.to_owned(), route.id.clone()), &route);
    Ok(route)
}

/// All routes of an API.
pub(super) fn all(cx: &Cx<'_>, api: &str) -> Result<Vec<Route>, Fault> {
    let rows = ROUTES.scan(cx.tx, Scan::prefix(&(api.to_owned(),), ROUTES_PER_API))?;
    Ok(rows.into_iter().map(|(_, route)| route).collect())
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Page<Route>, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    input.page(all(cx, &api)?, |route| &route.id, |route| route)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    api_id: String,
    route_id: String,
}

fn find(cx: &mut Cx<'_>, api: &str, id: &str) -> Result<Route, Fault> {
    apis::find(cx, api)?;
    let route = ROUTES.get(cx.tx, &(api.to_owned(), id.to_owned()))?;
    route.ok_or_else(|| faults::not_found("Route", id))
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Route, Fault> {
    find(cx, &input.api_id, &input.route_id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    api_id: String,
    route_id: String,
    route_key: Option<String>,
    target: Option<String>,
    operation_name: Option<String>,
    authorization_type: Option<String>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Route, Fault> {
    let mut route = find(cx, &input.api_id, &input.route_id)?;
    check_authorization(input.authorization_type.as_deref())?;
    check_target(cx, &input.api_id, input.target.as_ref())?;
    if let Some(key) = input.route_key {
        check_key(&key)?;
        route.key = key;
    }
    route.target = input.target.or(route.target);
    route.operation_name = input.operation_name.or(route.operation_name);
    insert(cx, &input.api_id, route)
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let route = find(cx, &input.api_id, &input.route_id)?;
    ROUTES.delete(cx.tx, &(input.api_id, route.id));
    Ok(())
}
