//! HTTP for functions: function URLs and HTTP APIs, by host name or by path.
//!
//! A function behind the Runtime API gets the request as an event; one that speaks HTTP gets the request
//! itself, and both bodies stream through.

use super::directory::Endpoint;
use super::{Connected, Request, Response, auth, bodies, boxed, idle, respond, source, streams};
use crate::cloud::Cloud;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, ORIGIN, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper::body::Incoming;
use mayfly_kernel::function::{Invocation, Refusal, Version};
use mayfly_kernel::{Caller, Fault, Limits};
use mayfly_runtime::{Body, FetchError, body};
use mayfly_services::apigateway::{Cors, cors_headers, payload};
use mayfly_services::lambda::{self, UrlAuth};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{error, warn};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");
const URL_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What is between two neighbours only (RFC 9110, 7.6.1), besides what `Connection` names.
static HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, EXPECT, KEEP_ALIVE, PROXY_CONNECTION];

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

impl Address {
    /// The API's own part of a request's path.
    fn path<'a>(&self, parts: &'a Parts) -> &'a str {
        match &parts.uri.path()[self.prefix.len()..] {
            "" => "/",
            path => path,
        }
    }
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

/// A request on its way to a function.
struct Exchange<'a> {
    cloud: &'a Arc<Cloud>,
    address: &'a Address,
    from: &'a Connected,
    request_id: &'a str,
    endpoint: &'a Endpoint,
    path_parameters: BTreeMap<String, String>,
    /// Of a call that had to be signed.
    caller: Option<Caller>,
}

/// What the directory says of a request.
enum Found {
    Route(Arc<Endpoint>, BTreeMap<String, String>, UrlAuth),
    /// The gateway answers by itself.
    Plain(u16, &'static str),
}

pub(super) async fn answer(
    cloud: &Arc<Cloud>,
    from: &Connected,
    address: Address,
    request: Request,
) -> Response {
    let request_id = cloud.runner.request_id();
    let (parts, incoming) = request.into_parts();
    let origin = parts.headers.get(ORIGIN).cloned();
    let found = match address.kind {
        Kind::Api => api(cloud, &address.id, parts.method.as_str(), address.path(&parts), &request_id),
        Kind::Url => url(cloud, &address.id, &request_id),
    };
    let (mut response, cors) = match found {
        Err(fault) => {
            error!(%fault, request_id, "a request could not be routed");
            (plain(500, "Internal Server Error"), None)
        }
        Ok((_, Some(cors))) if is_preflight(&parts) => {
            return preflight(&cors, origin.as_ref());
        }
        Ok((Found::Plain(status, text), cors)) => (plain(status, text), cors),
        Ok((Found::Route(endpoint, path_parameters, auth), cors)) => {
            let exchange = Exchange {
                cloud,
                address: &address,
                from,
                request_id: &request_id,
                endpoint: &endpoint,
                path_parameters,
                caller: None,
            };
            (admit(exchange, auth, parts, incoming).await, cors)
        }
    };
    if let Some(cors) = cors {
        for (name, value) in cors_headers(&cors, text(origin.as_ref()), false).unwrap_or_default() {
            response.headers_mut().remove(name);
            respond::set(&mut response, name, &value);
        }
    }
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response
            .headers_mut()
            .insert(if address.kind == Kind::Api { API_REQUEST_ID } else { URL_REQUEST_ID }, id);
    }
    response
}

fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_preflight(parts: &Parts) -> bool {
    parts.method == http::Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(cors: &Cors, origin: Option<&HeaderValue>) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    for (name, value) in cors_headers(cors, text(origin), true).unwrap_or_default() {
        respond::set(&mut response, name, &value);
    }
    response
}

/// The gateway's own answers are JSON with a message.
fn plain(status: u16, message: &str) -> Response {
    let text = serde_json::json!({ "message": message }).to_string();
    let mut response = http::Response::new(body::full(text));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

type Directed = Result<(Found, Option<Cors>), Fault>;

fn api(cloud: &Cloud, id: &str, method: &str, path: &str, request_id: &str) -> Directed {
    let missing = Found::Plain(404, "Not Found");
    let Some(api) = cloud.directory.api(cloud, id, request_id)? else { return Ok((missing, None)) };
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let Some(hit) = api.route(method, &decoded) else { return Ok((missing, None)) };
    let cors = api.cors().cloned();
    if hit.target.is_none() {
        return Ok((missing, cors));
    }
    Ok(match api.endpoint(cloud, &hit, request_id)? {
        None => (Found::Plain(500, "Internal Server Error"), cors),
        Some(endpoint) => (Found::Route(endpoint, hit.path_parameters(), UrlAuth::Anyone), cors),
    })
}

fn url(cloud: &Cloud, id: &str, request_id: &str) -> Directed {
    let forbidden = Found::Plain(403, "Forbidden");
    let Some(url) = cloud.directory.url(cloud, id, request_id)? else { return Ok((forbidden, None)) };
    let found = match url.auth {
        UrlAuth::Nobody => forbidden,
        UrlAuth::Anyone | UrlAuth::Iam => Found::Route(url.endpoint.clone(), BTreeMap::new(), url.auth),
    };
    Ok((found, url.cors.clone()))
}

/// A body that is still on the wire, or was read to check its signature.
enum Taken {
    Incoming(Incoming),
    Whole(Bytes),
}

impl Taken {
    async fn gather(self, limits: &Limits, limit: u64) -> Result<Bytes, Response> {
        let incoming = match self {
            Taken::Incoming(incoming) => incoming,
            Taken::Whole(bytes) => return Ok(bytes),
        };
        bodies::gather(limits, incoming, limit, "http_request_bytes").await.map_err(|fault| {
            match (fault.status, &*fault.code) {
                (413, _) => plain(413, "Request Entity Too Large"),
                (_, "RequestTimeout") => plain(408, "Request Timeout"),
                _ => plain(400, "Bad Request"),
            }
        })
    }

    fn stream(self) -> Body {
        match self {
            Taken::Incoming(incoming) => boxed(incoming),
            Taken::Whole(bytes) => body::full(bytes),
        }
    }
}

/// Whether the function's policy, or its own account's wall, lets a caller in.
fn may_call(exchange: &Exchange<'_>, caller: &Caller) -> bool {
    let runner = &exchange.cloud.runner;
    let asked = runner
        .view(caller, &runner.request_id(), |cx| lambda::admits_to_url(cx, &exchange.endpoint.invoked_arn));
    asked.unwrap_or_else(|fault| {
        warn!(%fault, "cannot read a function's policy");
        false
    })
}

/// Lets in whom the address lets in, and calls the function.
async fn admit(mut exchange: Exchange<'_>, auth: UrlAuth, parts: Parts, incoming: Incoming) -> Response {
    let mut taken = Taken::Incoming(incoming);
    if auth == UrlAuth::Iam {
        let limits = exchange.cloud.runner.limits();
        let bytes = match taken.gather(limits, limits.invoke_request_bytes).await {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal,
        };
        match auth::signer(exchange.cloud, &parts, "lambda", &bytes) {
            Ok(caller) if may_call(&exchange, &caller) => exchange.caller = Some(caller),
            Ok(_) => return plain(403, "Forbidden"),
            Err(fault) => return plain(403, &fault.message),
        }
        taken = Taken::Whole(bytes);
    }
    let version = exchange.endpoint.choice.draw(exchange.cloud.runner.ids());
    match version.runtime.speaks_http() {
        true => pass(&exchange, version, parts, taken).await,
        false => call(&exchange, version, &parts, taken).await,
    }
}

/// A function behind the Runtime API: the request becomes an event, the result an answer.
async fn call(exchange: &Exchange<'_>, version: Arc<Version>, parts: &Parts, taken: Taken) -> Response {
    let (cloud, kind) = (exchange.cloud, exchange.address.kind);
    let limits = cloud.runner.limits();
    let limit = match kind {
        Kind::Api => limits.http_request_bytes,
        Kind::Url => limits.invoke_request_bytes,
    };
    let gathered = match taken.gather(limits, limit).await {
        Ok(gathered) => gathered,
        Err(refusal) => return refusal,
    };
    let event = event(exchange, parts, &gathered);
    if event.len() as u64 > limits.invoke_request_bytes {
        return plain(413, "Request Entity Too Large");
    }
    let invocation = Invocation {
        request_id: exchange.request_id.into(),
        event,
        event_type: "mayfly.http".into(),
        invoked_arn: exchange.endpoint.invoked_arn.clone(),
        client_context: None,
        trace_id: None,
        tenant: None,
        depth: 0,
    };
    if exchange.endpoint.streams {
        return match cloud.host().invoke_streaming(version, invocation).await {
            Err(refusal) => refused(&refusal),
            Ok(answer) => match streams::http(answer).await {
                Some((head, body)) => write(head).map(|_| body),
                None => plain(502, "Internal Server Error"),
            },
        };
    }
    let invoked = cloud.host().invoke(version, invocation);
    let invoked = match exchange.endpoint.timeout {
        // The function's own timeout counts from when it has been initialised.
        None => invoked.await,
        Some(limit) => match tokio::time::timeout(limit, invoked).await {
            Err(_) => return plain(503, "Service Unavailable"),
            Ok(invoked) => invoked,
        },
    };
    let outcome = match invoked {
        Err(refusal) => return refused(&refusal),
        Ok(outcome) => outcome,
    };
    let answer = outcome.result.ok().and_then(|bytes| payload::answer(&exchange.endpoint.format, &bytes));
    match (answer, kind) {
        (Some(answer), _) => write(answer),
        (None, Kind::Api) => plain(500, "Internal Server Error"),
        (None, Kind::Url) => plain(502, "Internal Server Error"),
    }
}

fn event(exchange: &Exchange<'_>, parts: &Parts, body: &[u8]) -> Vec<u8> {
    let (cloud, endpoint) = (exchange.cloud, exchange.endpoint);
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let forwarded = parts.headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let anonymous = exchange.address.kind == Kind::Url && exchange.caller.is_none();
    let request = payload::Request {
        method: parts.method.as_str(),
        raw_path: exchange.address.path(parts),
        raw_query: parts.uri.query().unwrap_or_default(),
        headers: headers.collect(),
        body,
        source_ip: source::client(exchange.from.peer.address(), forwarded, &cloud.trusted_proxies)
            .to_string(),
        request_id: exchange.request_id,
        at: cloud.runner.clock().now(),
        account: if anonymous { "anonymous" } else { &endpoint.account },
        api_id: &exchange.address.id,
        domain: text(parts.headers.get(HOST)),
        route_key: &endpoint.route_key,
        stage: &endpoint.stage,
        path_parameters: &exchange.path_parameters,
        stage_variables: &endpoint.stage_variables,
        caller: exchange.caller.as_ref(),
    };
    let event = match endpoint.format.as_str() {
        "1.0" => payload::event_v1(&request),
        _ => payload::event_v2(&request),
    };
    event.to_string().into_bytes()
}

fn write(answer: payload::Answer) -> Response {
    let mut response = http::Response::new(body::full(answer.body));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in answer.headers {
        respond::set(&mut response, &name, &value);
    }
    // The length is ours to say.
    response.headers_mut().remove(CONTENT_LENGTH);
    hop_by_hop(response.headers_mut());
    response
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull => {
            let mut response = plain(429, "Too Many Requests");
            respond::set(&mut response, "retry-after", super::aws::RETRY_AFTER_SECONDS);
            response
        }
        Refusal::Unrunnable(_) | Refusal::RestoreFailed | Refusal::RestoreTimeout => {
            plain(502, "Bad Gateway")
        }
        Refusal::Draining => plain(503, "Service Unavailable"),
    }
}

/// Takes away what is between two neighbours only.
fn hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have nothing of it, and to look at their few names costs less than to look for each of ours.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let named = headers.remove(CONNECTION);
    for name in text(named.as_ref()).split(',').map(str::trim).filter(|name| !name.is_empty()) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Hands the request itself to a function that speaks HTTP.
async fn pass(exchange: &Exchange<'_>, version: Arc<Version>, mut parts: Parts, taken: Taken) -> Response {
    if !exchange.address.prefix.is_empty() {
        let query = parts.uri.query().map_or_else(String::new, |query| ["?", query].concat());
        let Ok(uri) = Uri::try_from([exchange.address.path(&parts), &query].concat()) else {
            return plain(400, "Bad Request");
        };
        parts.uri = uri;
    }
    hop_by_hop(&mut parts.headers);
    let id = HeaderValue::from_str(exchange.request_id).ok();
    for (name, value) in [(FORWARDED_FOR, exchange.from.address.clone()), (REQUEST_ID, id)] {
        if let Some(value) = value {
            parts.headers.append(name, value);
        }
    }
    let request = http::Request::from_parts(parts, taken.stream());
    let fetched = exchange.cloud.host().fetch(
        version,
        request,
        (exchange.request_id.into(), &exchange.endpoint.invoked_arn),
    );
    let fetched = match exchange.endpoint.timeout {
        None => fetched.await,
        Some(limit) => match tokio::time::timeout(limit, fetched).await {
            Err(_) => return plain(504, "Gateway Timeout"),
            Ok(fetched) => fetched.map(|response| response.map(|body| idle::limited(body, limit))),
        },
    };
    match fetched {
        Ok(mut response) => {
            hop_by_hop(response.headers_mut());
            response
        }
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
