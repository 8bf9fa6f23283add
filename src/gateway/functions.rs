//! HTTP for functions: function URLs and HTTP APIs, by host name or by path.
//!
//! A function behind the Runtime API gets the request as an event; one that speaks HTTP gets the request itself,
//! and both bodies stream through.

use super::{Request, Response, bodies, boxed, respond};
use crate::cloud::Cloud;
use http::request::Parts;
use hyper::body::Incoming;
use mayfly_kernel::function::{Invocation, Refusal, Version};
use mayfly_kernel::{Arn, Caller, Fault};
use mayfly_runtime::{FetchError, body};
use mayfly_services::apigateway::{self, Cors, cors_headers, payload};
use mayfly_services::lambda;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Which API or function URL is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    kind: Kind,
    id: String,
    /// What comes before the API's own path in a path-form URL.
    prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Api,
    Url,
}

/// `ID.execute-api.…` and `ID.lambda-url.…`, or `/_api/ID/…` and `/_url/ID/…`.
pub(super) fn address(host: &str, path: &str) -> Option<Address> {
    let mut labels = host.splitn(3, '.');
    if let (Some(id), Some(kind), Some(_)) = (labels.next(), labels.next(), labels.next()) {
        let kind = match kind {
            "execute-api" => Some(Kind::Api),
            "lambda-url" => Some(Kind::Url),
            _ => None,
        };
        if let Some(kind) = kind {
            return Some(Address { kind, id: id.into(), prefix: String::new() });
        }
    }
    let (kind, rest) = match path.strip_prefix("/_api/") {
        Some(rest) => (Kind::Api, rest),
        None => (Kind::Url, path.strip_prefix("/_url/")?),
    };
    let id = rest.split('/').next()?.to_owned();
    let prefix = path[..path.len() - rest.len() + id.len()].to_owned();
    Some(Address { kind, id, prefix })
}

/// A request whose function has been found.
struct Route {
    version: Version,
    invoked_arn: String,
    format: String,
    timeout: Duration,
    cors: Option<Cors>,
    account: String,
    route_key: String,
    stage: String,
    path_parameters: BTreeMap<String, String>,
    stage_variables: HashMap<String, String>,
}

enum Found {
    Route(Box<Route>),
    /// The gateway answers by itself.
    Plain(u16, &'static str, Option<Cors>),
}

pub(super) async fn answer(cloud: &Arc<Cloud>, address: Address, request: Request) -> Response {
    let request_id = cloud.runner.request_id();
    let (parts, incoming) = request.into_parts();
    let path = &parts.uri.path()[address.prefix.len()..];
    let path = if path.is_empty() { "/" } else { path };
    let origin = header(&parts, "origin");
    let found = match address.kind {
        Kind::Api => api(cloud, &address.id, parts.method.as_str(), path, &request_id),
        Kind::Url => url(cloud, &address.id, &request_id),
    };
    let (mut response, cors) = match found {
        Err(fault) => {
            tracing::error!(%fault, request_id, "a request could not be routed");
            (plain(500, "Internal Server Error"), None)
        }
        Ok(found) => {
            let cors = match &found {
                Found::Route(route) => route.cors.clone(),
                Found::Plain(_, _, cors) => cors.clone(),
            };
            if let Some(cors) = cors.as_ref().filter(|_| is_preflight(&parts)) {
                return preflight(cors, origin);
            }
            let response = match found {
                Found::Plain(status, text, _) => plain(status, text),
                Found::Route(route) => {
                    call(cloud, &address, *route, &parts, path, incoming, &request_id).await
                }
            };
            (response, cors)
        }
    };
    if let Some(cors) = cors {
        for (name, value) in cors_headers(&cors, origin, false).unwrap_or_default() {
            response.headers_mut().remove(name);
            respond::set(&mut response, name, &value);
        }
    }
    let id_header = if address.kind == Kind::Api { "apigw-requestid" } else { "x-amzn-requestid" };
    respond::set(&mut response, id_header, &request_id);
    response
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == http::Method::OPTIONS
        && parts.headers.contains_key("origin")
        && parts.headers.contains_key("access-control-request-method")
}

fn preflight(cors: &Cors, origin: &str) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    for (name, value) in cors_headers(cors, origin, true).unwrap_or_default() {
        respond::set(&mut response, name, &value);
    }
    response
}

/// The gateway's own answers are JSON with a message.
fn plain(status: u16, message: &str) -> Response {
    let text = serde_json::json!({ "message": message }).to_string();
    let mut response = http::Response::new(body::full(text));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    respond::set(&mut response, "content-type", "application/json");
    response
}

fn api(cloud: &Cloud, id: &str, method: &str, path: &str, request_id: &str) -> Result<Found, Fault> {
    let site = cloud.runner.site();
    let caller = Caller::service("apigateway.amazonaws.com", &site.account, &site.region);
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    cloud.runner.view(&caller, request_id, |cx| {
        let Some(hit) = apigateway::route(cx, id, method, &decoded)? else {
            return Ok(Found::Plain(404, "Not Found", None));
        };
        let Some(target) = hit.target else { return Ok(Found::Plain(404, "Not Found", hit.cors)) };
        let function: Arn = target.function.parse().map_err(|e| Fault::internal("read an integration", e))?;
        // As the permissions of SAM templates name it: `API/STAGE/METHOD/path`, and `*` for any method.
        let route = target.route_key.replacen(' ', "", 1).replacen("ANY/", "*/", 1);
        let resource = format!("{id}/{}/{route}", hit.stage);
        let source = Arn::new("execute-api", &hit.region, &hit.account, resource).to_string();
        if !lambda::permits(cx, &function, "apigateway.amazonaws.com", &source)? {
            return Ok(Found::Plain(500, "Internal Server Error", hit.cors));
        }
        let version = match lambda::resolve(cx, &target.function, None) {
            Ok(version) => version,
            Err(fault) if !fault.is_server() => {
                return Ok(Found::Plain(500, "Internal Server Error", hit.cors));
            }
            Err(fault) => return Err(fault),
        };
        Ok(Found::Route(Box::new(Route {
            version,
            invoked_arn: target.function,
            format: target.payload_format_version,
            timeout: Duration::from_millis(target.timeout_ms),
            cors: hit.cors,
            account: hit.account,
            route_key: target.route_key,
            stage: hit.stage,
            path_parameters: target.path_parameters,
            stage_variables: hit.variables,
        })))
    })
}

fn url(cloud: &Cloud, id: &str, request_id: &str) -> Result<Found, Fault> {
    let site = cloud.runner.site();
    let caller = Caller::service("lambda.amazonaws.com", &site.account, &site.region);
    cloud.runner.view(&caller, request_id, |cx| {
        let Some(target) = lambda::url_target(cx, id)? else {
            return Ok(Found::Plain(403, "Forbidden", None));
        };
        let cors = target.cors.map(cors_of);
        if target.auth != lambda::UrlAuth::Anyone {
            return Ok(Found::Plain(403, "Forbidden", cors));
        }
        Ok(Found::Route(Box::new(Route {
            timeout: Duration::from_millis(target.version.timeout_ms),
            account: target.version.function.account.clone(),
            version: target.version,
            invoked_arn: target.invoked_arn,
            format: "2.0".into(),
            cors,
            route_key: "$default".into(),
            stage: "$default".into(),
            path_parameters: BTreeMap::new(),
            stage_variables: HashMap::new(),
        })))
    })
}

/// A function URL's rules as the gateway applies them.
fn cors_of(cors: lambda::Cors) -> Cors {
    Cors {
        allow_origins: cors.allow_origins.unwrap_or_default(),
        allow_methods: cors.allow_methods.unwrap_or_default(),
        allow_headers: cors.allow_headers.unwrap_or_default(),
        expose_headers: cors.expose_headers.unwrap_or_default(),
        max_age: cors.max_age,
        allow_credentials: cors.allow_credentials.unwrap_or(false),
    }
}

async fn call(
    cloud: &Arc<Cloud>,
    address: &Address,
    route: Route,
    parts: &Parts,
    path: &str,
    incoming: Incoming,
    request_id: &str,
) -> Response {
    if route.version.runtime.speaks_http() {
        return pass(cloud, route, parts, path, incoming, request_id).await;
    }
    let limits = cloud.runner.limits();
    let limit = match address.kind {
        Kind::Api => limits.http_request_bytes,
        Kind::Url => limits.invoke_request_bytes,
    };
    let Ok(gathered) = bodies::gather(incoming, limit, "http_request_bytes").await else {
        return plain(413, "Request Entity Too Large");
    };
    let event = event(cloud, address, &route, parts, path, &gathered, request_id);
    if event.len() as u64 > limits.invoke_request_bytes {
        return plain(413, "Request Entity Too Large");
    }
    let invocation = Invocation {
        request_id: request_id.into(),
        event,
        event_type: "mayfly.http".into(),
        invoked_arn: route.invoked_arn,
        client_context: None,
        trace_id: None,
    };
    let invoked = cloud.host().invoke(Arc::new(route.version), invocation);
    let outcome = match tokio::time::timeout(route.timeout, invoked).await {
        Err(_) if address.kind == Kind::Api => return plain(503, "Service Unavailable"),
        Err(_) => return plain(502, "Internal Server Error"),
        Ok(Err(refusal)) => return refused(&refusal),
        Ok(Ok(outcome)) => outcome,
    };
    let answer = outcome.result.ok().and_then(|bytes| payload::answer(&route.format, &bytes));
    match (answer, address.kind) {
        (Some(answer), _) => write(answer),
        (None, Kind::Api) => plain(500, "Internal Server Error"),
        (None, Kind::Url) => plain(502, "Internal Server Error"),
    }
}

fn event(
    cloud: &Cloud,
    address: &Address,
    route: &Route,
    parts: &Parts,
    path: &str,
    body: &[u8],
    request_id: &str,
) -> Vec<u8> {
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let request = payload::Request {
        method: parts.method.as_str(),
        raw_path: path,
        raw_query: parts.uri.query().unwrap_or_default(),
        headers: headers.collect(),
        body,
        source_ip: "127.0.0.1".into(),
        request_id,
        at: cloud.runner.clock().now(),
        account: &route.account,
        api_id: &address.id,
        domain: header(parts, "host"),
        route_key: &route.route_key,
        stage: &route.stage,
        path_parameters: &route.path_parameters,
        stage_variables: &route.stage_variables,
    };
    let event = match route.format.as_str() {
        "1.0" => payload::event_v1(&request),
        _ => payload::event_v2(&request),
    };
    event.to_string().into_bytes()
}

fn write(answer: payload::Answer) -> Response {
    let mut response = http::Response::new(body::full(answer.body));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in answer.headers {
        // The length is ours to say; hop-by-hop headers are not the function's.
        if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            respond::set(&mut response, &name, &value);
        }
    }
    response
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull => {
            plain(429, "Too Many Requests")
        }
        Refusal::Unrunnable(_) => plain(502, "Bad Gateway"),
        Refusal::Draining => plain(503, "Service Unavailable"),
    }
}

/// Hands the request itself to a function that speaks HTTP.
async fn pass(
    cloud: &Arc<Cloud>,
    route: Route,
    parts: &Parts,
    path: &str,
    incoming: Incoming,
    request_id: &str,
) -> Response {
    let mut builder = http::Request::builder().method(parts.method.clone());
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    builder = builder.uri(format!("{path}{query}"));
    for (name, value) in &parts.headers {
        if !matches!(name.as_str(), "connection" | "keep-alive" | "upgrade" | "te" | "proxy-connection") {
            builder = builder.header(name, value);
        }
    }
    let Ok(request) = builder.header("x-request-id", request_id).body(boxed(incoming)) else {
        return plain(400, "Bad Request");
    };
    match cloud.host().fetch(Arc::new(route.version), request, request_id.into()).await {
        Ok(response) => response,
        Err(FetchError::Refused(refusal)) => refused(&refusal),
        Err(FetchError::Timeout) => plain(504, "Gateway Timeout"),
        Err(FetchError::Crashed(_) | FetchError::BadGateway(_)) => plain(502, "Bad Gateway"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, address};

    #[test]
    fn functions_are_found_by_host_and_by_path() {
        let by_host = address("abc.execute-api.us-east-1.localhost", "/pets").unwrap();
        assert_eq!((by_host.kind, by_host.id.as_str(), by_host.prefix.as_str()), (Kind::Api, "abc", ""));
        let by_path = address("127.0.0.1", "/_url/xyz/a/b").unwrap();
        assert_eq!(
            (by_path.kind, by_path.id.as_str(), by_path.prefix.as_str()),
            (Kind::Url, "xyz", "/_url/xyz")
        );
        assert!(address("127.0.0.1", "/bucket/key").is_none());
    }
}
