//! What a request to an API means: its stage, its route, and the function behind it.

use super::keys::{APIS, DEPLOYMENTS, STAGES};
use super::model::{Api, Cors, Integration, Route, STAGES_PER_API, Stage};
use super::{integrations, routes};
use crate::{Cx, spaces};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::{Scan, Space};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// The maps that [`compile`] reads.
pub const READ_FROM: [Space; 5] = [
    spaces::APIGATEWAY_APIS,
    spaces::APIGATEWAY_ROUTES,
    spaces::APIGATEWAY_INTEGRATIONS,
    spaces::APIGATEWAY_STAGES,
    spaces::APIGATEWAY_DEPLOYMENTS,
];

/// An API as the gateway serves it, to be kept for as long as none of [`READ_FROM`] changes.
#[derive(Debug)]
pub struct Compiled {
    pub cors: Option<Cors>,
    /// The account that owns the API.
    pub account: String,
    pub region: String,
    stages: Vec<CompiledStage>,
}

#[derive(Debug)]
pub struct CompiledStage {
    pub name: String,
    pub variables: HashMap<String, String>,
    /// The best fit comes first.
    routes: Vec<Target>,
}

/// A route and what answers it.
#[derive(Debug)]
pub struct Target {
    /// Tells the targets of an API apart: they are numbered from 0 on.
    pub number: usize,
    pub route_key: String,
    /// The function's ARN.
    pub function: String,
    pub payload_format_version: String,
    pub timeout_ms: u64,
    /// As the permissions of SAM templates name the route: `arn:…:API/STAGE/METHOD/path`, `*` for any method.
    pub source_arn: String,
    pattern: Pattern,
}

/// A request's place in an API. A stage without a target: no route fits.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    pub stage: &'a CompiledStage,
    pub target: Option<&'a Target>,
    /// What is left of the path after the stage.
    rest: &'a str,
}

impl Hit<'_> {
    pub fn path_parameters(&self) -> BTreeMap<String, String> {
        self.target.map(|target| target.pattern.parameters(self.rest)).unwrap_or_default()
    }
}

/// Reads an API whole; `None` if there is none, or it has no endpoint.
pub fn compile(cx: &mut Cx<'_>, api: &str) -> Result<Option<Compiled>, Fault> {
    // Who may call a function is decided by the function's own policy, before it is invoked.
    cx.allowed_by_policy();
    let Some(record) = APIS.get(cx.tx, &(api.to_owned(),))? else { return Ok(None) };
    if record.endpoint_disabled {
        return Ok(None);
    }
    let stages = STAGES.scan(cx.tx, Scan::prefix(&(api.to_owned(),), STAGES_PER_API))?;
    let mut stages = stages
        .into_iter()
        .map(|(_, stage)| compile_stage(cx, &record, stage))
        .collect::<Result<Vec<_>, _>>()?;
    let targets = stages.iter_mut().flat_map(|stage| &mut stage.routes);
    targets.enumerate().for_each(|(number, target)| target.number = number);
    Ok(Some(Compiled { stages, cors: record.cors, account: record.account, region: record.region }))
}

fn compile_stage(cx: &Cx<'_>, api: &Api, stage: Stage) -> Result<CompiledStage, Fault> {
    let (routes, integrations) = serving(cx, &api.id, &stage)?;
    let target = |route: Route| {
        let id = route.target.as_deref()?.strip_prefix("integrations/")?;
        let integration = integrations.iter().find(|integration| integration.id == id)?;
        let named = route.key.replacen(' ', "", 1).replacen("ANY/", "*/", 1);
        let resource = format!("{}/{}/{named}", api.id, stage.name);
        Some(Target {
            number: 0,
            pattern: Pattern::of(&route.key)?,
            route_key: route.key,
            function: integration.uri.clone(),
            payload_format_version: integration.payload_format_version.clone(),
            timeout_ms: integration.timeout_ms,
            source_arn: Arn::new("execute-api", &api.region, &api.account, resource).to_string(),
        })
    };
    let mut routes: Vec<Target> = routes.into_iter().filter_map(target).collect();
    routes.sort_by_key(|target| Reverse(target.pattern.fit()));
    Ok(CompiledStage { name: stage.name, variables: stage.variables, routes })
}

fn serving(cx: &Cx<'_>, api: &str, stage: &Stage) -> Result<(Vec<Route>, Vec<Integration>), Fault> {
    if stage.auto_deploy {
        return Ok((routes::all(cx, api)?, integrations::all(cx, api)?));
    }
    let Some(id) = &stage.deployment else { return Ok((Vec::new(), Vec::new())) };
    let deployment = DEPLOYMENTS.get(cx.tx, &(api.to_owned(), id.clone()))?.unwrap_or_default();
    Ok((deployment.routes, deployment.integrations))
}

impl Compiled {
    /// How many targets there are, over all stages.
    pub fn targets(&self) -> usize {
        self.stages.iter().map(|stage| stage.routes.len()).sum()
    }

    /// Finds what a decoded path means; `None` if it names no stage and there is no default one.
    ///
    /// A first segment that names a stage chooses it and still belongs to the path; otherwise `$default` serves.
    pub fn route<'a>(&'a self, method: &str, path: &'a str) -> Option<Hit<'a>> {
        let first = path.strip_prefix('/').unwrap_or_default().split('/').next().unwrap_or_default();
        let named = |name: &str| self.stages.iter().find(|stage| stage.name == name);
        let (stage, rest) = match named(first).filter(|_| !first.is_empty()) {
            Some(stage) => (stage, &path[1 + first.len()..]),
            None => (named("$default")?, path),
        };
        let rest = if rest.is_empty() { "/" } else { rest };
        let target = stage.routes.iter().find(|route| route.pattern.fits(method, rest));
        Some(Hit { stage, target, rest })
    }
}

/// A route key, taken apart once.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    /// `$default`.
    Anything,
    Path {
        /// `None`: any method.
        method: Option<String>,
        segments: Vec<Segment>,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Label(String),
    /// The last of its pattern.
    Greedy(String),
}

/// How specific a pattern is; the greatest wins. Literal segments beat variables, variables beat a greedy one, anything
/// beats `$default`, and a method beats `ANY`.
type Fit = (u8, Vec<u8>, bool);

impl Pattern {
    fn of(key: &str) -> Option<Pattern> {
        if key == "$default" {
            return Some(Pattern::Anything);
        }
        let (method, pattern) = key.split_once(' ')?;
        let segment = |text: &str| match text.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
            None => Segment::Literal(text.to_owned()),
            Some(label) => match label.strip_suffix('+') {
                Some(greedy) => Segment::Greedy(greedy.to_owned()),
                None => Segment::Label(label.to_owned()),
            },
        };
        let segments = pattern.strip_prefix('/')?.split('/').map(segment).collect();
        Some(Pattern::Path { method: (method != "ANY").then(|| method.to_owned()), segments })
    }

    fn fit(&self) -> Fit {
        let Pattern::Path { method, segments } = self else { return (0, Vec::new(), false) };
        let kind = |segment: &Segment| match segment {
            Segment::Greedy(_) => 1,
            Segment::Label(_) => 2,
            Segment::Literal(_) => 3,
        };
        let class = if matches!(segments.last(), Some(Segment::Greedy(_))) { 1 } else { 2 };
        (class, segments.iter().map(kind).collect(), method.is_some())
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        let Pattern::Path { method: wanted, segments } = self else { return true };
        wanted.as_ref().is_none_or(|wanted| wanted == method) && matched(segments, path, |_, _| {})
    }

    fn parameters(&self, path: &str) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        if let Pattern::Path { segments, .. } = self {
            matched(segments, path, |label, value| {
                parameters.insert(label.to_owned(), value.to_owned());
            });
        }
        parameters
    }
}

fn matched(segments: &[Segment], path: &str, mut take: impl FnMut(&str, &str)) -> bool {
    let Some(mut rest) = path.strip_prefix('/') else { return false };
    for (at, segment) in segments.iter().enumerate() {
        let (here, after) = rest.split_once('/').map_or((rest, None), |(here, after)| (here, Some(after)));
        match segment {
            Segment::Greedy(label) => {
                take(label, rest);
                return !rest.is_empty();
            }
            Segment::Label(label) if !here.is_empty() => take(label, here),
            Segment::Literal(text) if text == here => {}
            Segment::Label(_) | Segment::Literal(_) => return false,
        }
        let last = at + 1 == segments.len();
        match after {
            Some(after) if !last => rest = after,
            // A trailing slash is not another segment.
            None | Some("") => return last,
            Some(_) => return false,
        }
    }
    false
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

    fn best<'a>(keys: &[&'a str], method: &str, path: &str) -> Option<(&'a str, BTreeMap<String, String>)> {
        let mut patterns: Vec<_> = keys.iter().map(|key| (Pattern::of(key).unwrap(), *key)).collect();
        patterns.sort_by_key(|(pattern, _)| Reverse(pattern.fit()));
        let (pattern, key) = patterns.into_iter().find(|(pattern, _)| pattern.fits(method, path))?;
        Some((key, pattern.parameters(path)))
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = ["$default", "ANY /{proxy+}", "GET /pets/{id}", "GET /pets/best", "ANY /pets/best"];
        let hit = |method: &str, path: &str| best(&table, method, path).unwrap().0;
        assert_eq!(hit("GET", "/pets/best"), "GET /pets/best");
        assert_eq!(hit("GET", "/pets/best/"), "GET /pets/best");
        assert_eq!(hit("POST", "/pets/best"), "ANY /pets/best");
        assert_eq!(hit("GET", "/pets/7"), "GET /pets/{id}");
        assert_eq!(hit("POST", "/pets/7"), "ANY /{proxy+}");
        assert_eq!(hit("GET", "/pets/7/tail"), "ANY /{proxy+}");
        assert_eq!(hit("GET", "/"), "$default");
        assert_eq!(best(&["GET /pets"], "GET", "/pet"), None);
        assert_eq!(best(&["GET /pets/{id}"], "GET", "/pets"), None);
        assert_eq!(best(&["GET /"], "GET", "/").unwrap().0, "GET /");
    }

    #[test]
    fn labels_take_segments_and_greedy_ones_the_rest() {
        let table = ["GET /a/{one}/b/{rest+}"];
        let (_, parameters) = best(&table, "GET", "/a/x/b/y/z").unwrap();
        assert_eq!(parameters["one"], "x");
        assert_eq!(parameters["rest"], "y/z");
        assert!(best(&table, "GET", "/a//b/y").is_none(), "a label is never empty");
    }
}
