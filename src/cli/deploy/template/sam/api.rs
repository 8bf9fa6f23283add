//! `AWS::Serverless::HttpApi`, `AWS::Serverless::Api`, and the two APIs that SAM makes up when an event names
//! none.

use super::super::Resource;
use super::super::node::{Node, Problem, Value};
use super::super::schema::{
    Schema,
    Shape::{Any, Flag, Map, Text},
};
use super::{Expansion, copied};

pub(crate) const HTTP_TYPE: &str = "AWS::Serverless::HttpApi";
pub(crate) const REST_TYPE: &str = "AWS::Serverless::Api";

/// How the two kinds of HTTP events differ.
pub(super) struct EventStyle {
    pub(super) implicit_api: &'static str,
    pub(super) api_type: &'static str,
    /// The stage of the implicit API.
    stage: &'static str,
    /// The event's property that names an API.
    pub(super) api_property: &'static str,
    pub(super) payload: &'static str,
    pub(super) properties: &'static [&'static str],
}

pub(super) static HTTP_EVENT: EventStyle = EventStyle {
    implicit_api: "ServerlessHttpApi",
    api_type: HTTP_TYPE,
    stage: "$default",
    api_property: "ApiId",
    payload: "2.0",
    properties: &["ApiId", "Auth", "Method", "Path", "PayloadFormatVersion", "TimeoutInMillis"],
};

pub(super) static REST_EVENT: EventStyle = EventStyle {
    implicit_api: "ServerlessRestApi",
    api_type: REST_TYPE,
    stage: "Prod",
    api_property: "RestApiId",
    payload: "1.0",
    properties: &["Auth", "Method", "Path", "RestApiId", "TimeoutInMillis"],
};

static HTTP: Schema = Schema {
    name: HTTP_TYPE,
    required: &[],
    applied: &[
        ("Name", Text),
        ("Description", Text),
        ("StageName", Text),
        ("CorsConfiguration", Any),
        ("StageVariables", Map),
        ("DefaultRouteSettings", Map),
        ("RouteSettings", Map),
        ("DisableExecuteApiEndpoint", Flag),
        ("Tags", Map),
    ],
    ignored: &["AccessLogSettings", "FailOnWarnings", "PropagateTags"],
};

static REST: Schema = Schema {
    name: REST_TYPE,
    required: &["StageName"],
    applied: &[
        ("Name", Text),
        ("Description", Text),
        ("StageName", Text),
        ("Cors", Any),
        ("Variables", Map),
        ("DisableExecuteApiEndpoint", Flag),
        ("Tags", Map),
    ],
    ignored: &[
        "AccessLogSetting",
        "AlwaysDeploy",
        "BinaryMediaTypes",
        "CacheClusterEnabled",
        "CacheClusterSize",
        "EndpointConfiguration",
        "FailOnWarnings",
        "MergeDefinitions",
        "MethodSettings",
        "MinimumCompressionSize",
        "OpenApiVersion",
        "PropagateTags",
        "TracingEnabled",
    ],
};

pub(super) fn expand_http(to: &mut Expansion<'_>, api: &Resource) -> Result<(), Problem> {
    if !to.check(&HTTP, api) {
        return Ok(());
    }
    let from = &api.properties;
    let mut plain = Node::new(from.line, Value::Map(copied(from, &SAME)));
    if let Some(cors) = from.get("CorsConfiguration") {
        plain.set("CorsConfiguration", http_cors(cors)?);
    }
    let mut stage = Node::new(
        from.line,
        Value::Map(copied(from, &["StageVariables", "DefaultRouteSettings", "RouteSettings", "Tags"])),
    );
    let name = from.get("StageName").and_then(Node::scalar).unwrap_or_else(|| "$default".to_owned());
    stage.set("StageName", Node::text(from.line_of(&["StageName"]), name));
    add(to, api, plain, stage);
    Ok(())
}

pub(super) fn expand_rest(to: &mut Expansion<'_>, api: &Resource) -> Result<(), Problem> {
    if !to.check(&REST, api) {
        return Ok(());
    }
    let from = &api.properties;
    to.warnings.push(Problem::new(api.line, "the REST API is deployed as an HTTP API").of(&api.id));
    let mut plain = Node::new(from.line, Value::Map(copied(from, &SAME)));
    if let Some(cors) = from.get("Cors") {
        plain.set("CorsConfiguration", rest_cors(cors)?);
    }
    let mut stage = Node::new(from.line, Value::Map(copied(from, &["StageName", "Tags"])));
    if let Some(variables) = from.get("Variables") {
        stage.set("StageVariables", variables.clone());
    }
    add(to, api, plain, stage);
    Ok(())
}

const SAME: [&str; 4] = ["Name", "Description", "DisableExecuteApiEndpoint", "Tags"];

fn add(to: &mut Expansion<'_>, api: &Resource, mut plain: Node, mut stage: Node) {
    let line = api.line;
    plain.set("ProtocolType", Node::text(line, "HTTP"));
    to.resources.push(api.with(&api.id, "AWS::ApiGatewayV2::Api", line, plain));
    stage.set("ApiId", Node::reference(line, &api.id));
    stage.set("AutoDeploy", Node::new(line, Value::Flag(true)));
    let name = stage.get("StageName").and_then(Node::scalar).unwrap_or_default();
    let id = match name.as_str() {
        "$default" => format!("{}ApiGatewayDefaultStage", api.id),
        name => format!("{}{}Stage", api.id, name.replace(|c: char| !c.is_ascii_alphanumeric(), "")),
    };
    to.renames.insert(format!("{}.Stage", api.id), id.clone());
    to.resources.push(api.with(&id, "AWS::ApiGatewayV2::Stage", line, stage));
}

/// Notes that an event needs the implicit API; it is added once all events are known.
pub(super) fn want_implicit(to: &mut Expansion<'_>, function: &Resource, style: &EventStyle, line: usize) {
    if to.resources.iter().any(|made| made.id == style.implicit_api) {
        return;
    }
    let own = Node::map(
        line,
        [
            ("Name", Node::text(line, format!("{}-{}", to.place.stack, style.implicit_api))),
            ("StageName", Node::text(line, style.stage)),
        ],
    );
    let api = function.with(style.implicit_api, style.api_type, line, own);
    to.resources.push(Resource { retain: false, ..api });
}

/// Expands the implicit APIs in their place, with what `Globals` says of their kind.
pub(super) fn add_implicit(to: &mut Expansion<'_>) {
    for made in std::mem::take(&mut to.resources) {
        let done = match made.kind.as_str() {
            HTTP_TYPE => expand_http(to, &implicit(to, &made)),
            REST_TYPE => expand_rest(to, &implicit(to, &made)),
            _ => {
                to.resources.push(made);
                continue;
            }
        };
        if let Err(problem) = done {
            to.problems.push(problem.of(&made.id));
        }
    }
}

fn implicit(to: &Expansion<'_>, api: &Resource) -> Resource {
    let properties = to.globals.merged(&api.kind, api.properties.clone());
    Resource { properties, ..api.clone() }
}

fn http_cors(cors: &Node) -> Result<Node, Problem> {
    match (&cors.value, cors.as_flag()) {
        (Value::Map(_), _) => Ok(cors.clone()),
        (_, Some(true)) => Ok(open(cors.line)),
        _ => Err(Problem::new(cors.line, format!("CorsConfiguration is a map or true, not {}", cors.kind()))),
    }
}

/// REST APIs write CORS as headers: quoted, with commas.
fn rest_cors(cors: &Node) -> Result<Node, Problem> {
    if let Some(origin) = cors.as_text() {
        let mut open = open(cors.line);
        open.set("AllowOrigins", header(cors.line, origin));
        return Ok(open);
    }
    if !matches!(cors.value, Value::Map(_)) {
        return Err(Problem::new(cors.line, format!("Cors is a map or a string, not {}", cors.kind())));
    }
    let mut plain = Node::new(cors.line, Value::Map(Vec::new()));
    for (from, to) in
        [("AllowOrigin", "AllowOrigins"), ("AllowMethods", "AllowMethods"), ("AllowHeaders", "AllowHeaders")]
    {
        if let Some(text) = cors.get(from).and_then(Node::as_text) {
            plain.set(to, header(cors.line, text));
        }
    }
    if let Some(age) = cors.get("MaxAge").and_then(Node::scalar) {
        plain.set("MaxAge", Node::text(cors.line, age.trim_matches('\'')));
    }
    if let Some(credentials) = cors.get("AllowCredentials") {
        plain.set("AllowCredentials", credentials.clone());
    }
    Ok(plain)
}

fn header(line: usize, quoted: &str) -> Node {
    let values = quoted.trim_matches('\'').split(',').map(|value| Node::text(line, value.trim()));
    Node::list(line, values.collect())
}

fn open(line: usize) -> Node {
    Node::map(
        line,
        [
            ("AllowOrigins", header(line, "*")),
            ("AllowMethods", header(line, "*")),
            ("AllowHeaders", header(line, "*")),
        ],
    )
}
