//! What a request to an API means: its stage, its route, and the function behind it.

use super::keys::{APIS, DEPLOYMENTS, STAGES};
use super::model::{Cors, Integration, Route, Stage};
use super::{integrations, routes};
use crate::Cx;
use mayfly_kernel::Fault;
use std::collections::{BTreeMap, HashMap};

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub stage: String,
    pub variables: HashMap<String, String>,
    pub cors: Option<Cors>,
    /// `None`: no route fits.
    pub target: Option<Target>,
    /// The account that owns the API.
    pub account: String,
    pub region: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub route_key: String,
    /// The function's ARN.
    pub function: String,
    pub payload_format_version: String,
    pub timeout_ms: u64,
    pub path_parameters: BTreeMap<String, String>,
}

/// Finds the route of an API for a decoded path; `None` if there is no such API or stage.
///
/// A first segment that names a stage chooses it and still belongs to the path; otherwise `$default` serves.
pub fn route(cx: &mut Cx<'_>, api: &str, method: &str, path: &str) -> Result<Option<Hit>, Fault> {
    // Who may call a function is decided by the function's own policy, before it is invoked.
    cx.allowed_by_policy();
    let Some(record) = APIS.get(cx.tx, &(api.to_owned(),))? else { return Ok(None) };
    if record.endpoint_disabled {
        return Ok(None);
    }
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let mut stage = None;
    if !first.is_empty() {
        stage = STAGES.get(cx.tx, &(api.to_owned(), first.to_owned()))?;
    }
    let named = stage.is_some();
    if stage.is_none() {
        stage = STAGES.get(cx.tx, &(api.to_owned(), "$default".to_owned()))?;
    }
    let Some(stage) = stage else { return Ok(None) };
    let rest = if named { &path[1 + first.len()..] } else { path };
    let rest = if rest.is_empty() { "/" } else { rest };
    let (routes, integrations) = serving(cx, api, &stage)?;
    let target = best(&routes, method, rest).and_then(|(route, path_parameters)| {
        let id = route.target.as_deref()?.strip_prefix("integrations/")?;
        let integration = integrations.iter().find(|integration| integration.id == id)?;
        Some(Target {
            route_key: route.key.clone(),
            function: integration.uri.clone(),
            payload_format_version: integration.payload_format_version.clone(),
            timeout_ms: integration.timeout_ms,
            path_parameters,
        })
    });
    Ok(Some(Hit {
        stage: stage.name,
        variables: stage.variables,
        cors: record.cors,
        target,
        account: record.account,
        region: record.region,
    }))
}

fn serving(cx: &Cx<'_>, api: &str, stage: &Stage) -> Result<(Vec<Route>, Vec<Integration>), Fault> {
    if stage.auto_deploy {
        return Ok((routes::all(cx, api)?, integrations::all(cx, api)?));
    }
    let Some(id) = &stage.deployment else { return Ok((Vec::new(), Vec::new())) };
    let deployment = DEPLOYMENTS.get(cx.tx, &(api.to_owned(), id.clone()))?.unwrap_or_default();
    Ok((deployment.routes, deployment.integrations))
}

/// How well a route fits; the greatest wins. Literal segments beat variables, variables beat a greedy one, anything
/// beats `$default`, and a method beats `ANY`.
type Fit = (u8, Vec<u8>, bool);

fn best<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<(&'a Route, BTreeMap<String, String>)> {
    let fitting = routes.iter().filter_map(|route| {
        let (fit, parameters) = fit(&route.key, method, path)?;
        Some((fit, route, parameters))
    });
    let (_, route, parameters) = fitting.max_by(|(a, ..), (b, ..)| a.cmp(b))?;
    Some((route, parameters))
}

fn fit(key: &str, method: &str, path: &str) -> Option<(Fit, BTreeMap<String, String>)> {
    let mut parameters = BTreeMap::new();
    if key == "$default" {
        return Some(((0, Vec::new(), false), parameters));
    }
    let (wanted, pattern) = key.split_once(' ')?;
    if wanted != "ANY" && wanted != method {
        return None;
    }
    let mut kinds = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut segments = pattern.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        let label = segment.strip_prefix('{').and_then(|label| label.strip_suffix('}'));
        if let Some(greedy) = label.and_then(|label| label.strip_suffix('+')) {
            if rest.is_empty() {
                return None;
            }
            parameters.insert(greedy.to_owned(), rest.to_owned());
            kinds.push(1);
            return Some(((1, kinds, wanted != "ANY"), parameters));
        }
        let (here, after) = rest.split_once('/').map_or((rest, None), |(here, after)| (here, Some(after)));
        match label {
            Some(label) if !here.is_empty() => {
                parameters.insert(label.to_owned(), here.to_owned());
                kinds.push(2);
            }
            None if segment == here => kinds.push(3),
            Some(_) | None => return None,
        }
        match (after, segments.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(((2, kinds, wanted != "ANY"), parameters)),
            // A trailing slash is not another segment.
            (Some(""), None) => return Some(((2, kinds, wanted != "ANY"), parameters)),
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
    None
}

/// What a browser is told about a request from this origin; `None` if the origin is not let in.
pub fn cors_headers(cors: &Cors, origin: &str, preflight: bool) -> Option<Vec<(&'static str, String)>> {
    let any = cors.allow_origins.iter().any(|allowed| allowed == "*");
    if !any && !cors.allow_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
        return None;
    }
    let allowed = if any && !cors.allow_credentials { "*".to_owned() } else { origin.to_owned() };
    let mut headers = vec![("access-control-allow-origin", allowed)];
    if !any || cors.allow_credentials {
        headers.push(("vary", "Origin".into()));
    }
    if cors.allow_credentials {
        headers.push(("access-control-allow-credentials", "true".into()));
    }
    let mut list = |name: &'static str, values: &[String]| {
        if !values.is_empty() {
            headers.push((name, values.join(",")));
        }
    };
    list("access-control-expose-headers", &cors.expose_headers);
    if preflight {
        list("access-control-allow-methods", &cors.allow_methods);
        list("access-control-allow-headers", &cors.allow_headers);
        if let Some(seconds) = cors.max_age {
            headers.push(("access-control-max-age", seconds.to_string()));
        }
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(keys: &[&str]) -> Vec<Route> {
        keys.iter().map(|key| Route { key: (*key).into(), ..Route::default() }).collect()
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table =
            routes(&["$default", "ANY /{proxy+}", "GET /pets/{id}", "GET /pets/best", "ANY /pets/best"]);
        let hit = |method: &str, path: &str| {
            best(&table, method, path).map(|(route, _)| route.key.clone()).unwrap()
        };
        assert_eq!(hit("GET", "/pets/best"), "GET /pets/best");
        assert_eq!(hit("POST", "/pets/best"), "ANY /pets/best");
        assert_eq!(hit("GET", "/pets/7"), "GET /pets/{id}");
        assert_eq!(hit("POST", "/pets/7"), "ANY /{proxy+}");
        assert_eq!(hit("GET", "/"), "$default");
        assert_eq!(best(&routes(&["GET /pets"]), "GET", "/pet"), None);
    }

    #[test]
    fn labels_take_segments_and_greedy_ones_the_rest() {
        let table = routes(&["GET /a/{one}/b/{rest+}"]);
        let (_, parameters) = best(&table, "GET", "/a/x/b/y/z").unwrap();
        assert_eq!(parameters["one"], "x");
        assert_eq!(parameters["rest"], "y/z");
        assert!(best(&table, "GET", "/a//b/y").is_none(), "a label is never empty");
    }
}
