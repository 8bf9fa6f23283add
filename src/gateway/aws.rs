//! The AWS APIs: from a request to an operation of the table, and back.
//!
//! The order is always the same: which service and operation, who signed it, the body, the handler. Nothing
//! of a body is read before its length is known to be acceptable, and nothing of an upload before the caller
//! is known.

use super::auth::{self, Credential, Payload};
use super::bodies::{self, Intake, Source};
use super::{Peer, Request, Response, forms, respond, source, stage, streams};
use crate::cloud::Cloud;
use base64::Engine as _;
use bytes::Bytes;
use http::request::Parts;
use hyper::body::Incoming;
use mayfly_kernel::function::{RESTORE_FAILED, RESTORE_TIMEOUT, Refusal};
use mayfly_kernel::{Caller, Fault};
use mayfly_runtime::{Body, body};
use mayfly_services::operation::{self, Handler, Invoke, ServiceRef};
use mayfly_services::{Content, Operation, Reply, s3};
use mayfly_wire::checksum::Algorithm;
use mayfly_wire::sigv4::AuthError;
use mayfly_wire::{Call, Found, Protocol, SMITHY_PROTOCOL, parse_query};
use std::sync::Arc;

/// The variable parts of a path, by their names in the route.
pub(super) type Labels = Vec<(String, String)>;

/// A request on its way: what the parts below need of it.
pub(super) struct Exchange<'a> {
    pub(super) cloud: &'a Arc<Cloud>,
    pub(super) peer: &'a Peer,
    pub(super) parts: &'a Parts,
    /// The path that is routed: with the bucket in it, wherever the client wrote the bucket.
    pub(super) path: String,
    pub(super) service: ServiceRef<'a>,
    pub(super) protocol: Protocol,
    credential: Option<Credential>,
    pub(super) request_id: String,
}

/// A reply, and what follows it if that comes only as it is made.
struct Answer {
    reply: Reply,
    stream: Option<Body>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Answer {
        Answer { reply, stream: None }
    }
}

pub(super) async fn answer(
    cloud: &Arc<Cloud>,
    peer: &Peer,
    bucket: Option<String>,
    request: Request,
) -> Response {
    let request_id = cloud.runner.request_id();
    let (parts, incoming) = request.into_parts();
    let path = match &bucket {
        Some(bucket) => format!("/{bucket}{}", parts.uri.path()),
        None => parts.uri.path().to_owned(),
    };
    let dialect = dialect(&parts);
    let found = auth::credential(&parts, &path, dialect).and_then(|credential| {
        let service = service(cloud, &parts, credential.as_ref(), bucket.is_some())?;
        Ok((service, credential))
    });
    let (service, credential) = match found {
        Ok(found) => found,
        Err(fault) => return respond::fault(dialect, &fault, &request_id, &path),
    };
    let protocol = service.service.spoken(dialect);
    let origin = parts.headers.get(http::header::ORIGIN).cloned();
    if protocol == Protocol::RestXml && parts.method == http::Method::OPTIONS {
        return preflight(cloud, &parts, &path, &request_id);
    }
    if let Some(fault) = credential.as_ref().and_then(|signed| wrong_scope(signed, service)) {
        return respond::fault(protocol, &fault, &request_id, &path);
    }
    let exchange = Exchange { cloud, peer, parts: &parts, path, service, protocol, credential, request_id };
    let head = parts.method == http::Method::HEAD;
    let mut response = match perform(&exchange, incoming).await {
        Ok(Answer { reply, stream }) => {
            let response = respond::reply(cloud, protocol, reply, &exchange.request_id, head);
            match stream {
                Some(stream) => response.map(|_| stream),
                None => response,
            }
        }
        Err(fault) => {
            let mut response = respond::fault(protocol, &fault, &exchange.request_id, &exchange.path);
            if head {
                *response.body_mut() = body::empty();
            }
            // A body that waits for leave and gets none is never sent, so what comes next would be taken for it.
            // Without this word a client would use the connection again while it is closed.
            if parts.headers.contains_key(http::header::EXPECT) {
                let close = http::HeaderValue::from_static("close");
                response.headers_mut().insert(http::header::CONNECTION, close);
            }
            response
        }
    };
    if let (Protocol::RestXml, Some(origin)) = (protocol, origin) {
        allow_origin(cloud, &exchange, origin.to_str().unwrap_or_default(), &mut response);
    }
    response
}

/// In which protocol to complain before the service is known.
fn dialect(parts: &Parts) -> Protocol {
    let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match content_type.unwrap_or_default() {
        _ if parts.headers.contains_key("x-amz-target") => Protocol::Json11,
        _ if parts.headers.contains_key(SMITHY_PROTOCOL.0) => Protocol::Cbor,
        // `curl --data-binary @file -X PUT` says so of an object too, and queries are posted.
        text if text.starts_with("application/x-www-form-urlencoded")
            && parts.method == http::Method::POST =>
        {
            Protocol::Query
        }
        text if text.starts_with("application/json") => Protocol::RestJson,
        _ => Protocol::RestXml,
    }
}

/// The service by the target header, else by the signature's scope, else by the look of the request.
fn service<'a>(
    cloud: &'a Cloud,
    parts: &Parts,
    credential: Option<&Credential>,
    virtual_host: bool,
) -> Result<ServiceRef<'a>, Fault> {
    let catalogue = &cloud.catalogue;
    if let Some(target) = header(parts, "x-amz-target") {
        let prefix = target.rsplit_once('.').map_or(target, |(prefix, _)| prefix);
        return catalogue
            .target(prefix)
            .ok_or_else(|| Fault::not_implemented(&format!("the service {prefix}")));
    }
    if virtual_host {
        return catalogue.scope("s3").ok_or_else(|| Fault::not_implemented("the service s3"));
    }
    if credential.is_none() && is_open_link(parts) {
        return catalogue.scope("sns").ok_or_else(|| Fault::not_implemented("the service sns"));
    }
    let scope = match credential {
        Some(credential) => credential.service(),
        None if dialect(parts) == Protocol::RestXml => "s3",
        None => return Err(AuthError::MissingToken.to_fault(dialect(parts))),
    };
    catalogue.scope(scope).ok_or_else(|| Fault::not_implemented(&format!("the service {scope}")))
}

/// A link that SNS has sent to a web endpoint, and that is opened without a signature.
fn is_open_link(parts: &Parts) -> bool {
    let query = parse_query(parts.uri.query().unwrap_or_default());
    let action = query.iter().find(|(name, _)| name == "Action").map(|(_, value)| value.as_str());
    parts.method == http::Method::GET && matches!(action, Some("ConfirmSubscription" | "Unsubscribe"))
}

/// A signature holds for one service: under another's name, what it says of the body would mean something
/// else.
fn wrong_scope(credential: &Credential, service: ServiceRef<'_>) -> Option<Fault> {
    let expected = service.service.scope;
    let wrong = AuthError::WrongService { expected: expected.into(), claimed: credential.service().into() };
    (credential.service() != expected).then(|| wrong.to_fault(service.service.protocol))
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

async fn perform(exchange: &Exchange<'_>, incoming: Incoming) -> Result<Answer, Fault> {
    let service = exchange.service;
    match exchange.protocol {
        Protocol::Json10 | Protocol::Json11 => {
            let name = header(exchange.parts, "x-amz-target").and_then(|target| target.rsplit('.').next());
            let operation = named(service, name.unwrap_or_default())?;
            document(exchange, operation, Vec::new(), incoming).await
        }
        // `/service/NAME/operation/OPERATION`; the signature has said which service.
        Protocol::Cbor => {
            let (_, name) = exchange.path.rsplit_once("/operation/").unwrap_or_default();
            document(exchange, named(service, name)?, Vec::new(), incoming).await
        }
        Protocol::Query => query(exchange, incoming).await,
        Protocol::RestXml if forms::is_upload(exchange) => {
            forms::upload(exchange, incoming).await.map(Answer::from)
        }
        Protocol::RestJson | Protocol::RestXml => {
            let (operation, labels) = routed(exchange)?;
            match &operation.handler {
                Handler::Upload { .. } => {
                    upload(exchange, operation, labels, incoming).await.map(Answer::from)
                }
                Handler::View(_) | Handler::Write(_) | Handler::Poll(_) | Handler::Staged { .. } => {
                    document(exchange, operation, labels, incoming).await
                }
            }
        }
    }
}

pub(super) fn named<'a>(service: ServiceRef<'a>, name: &str) -> Result<&'a Operation, Fault> {
    let missing = || Fault::not_implemented(&format!("{} of the service {}", name, service.service.name));
    service.named(name).ok_or_else(missing)
}

fn routed<'a>(exchange: &Exchange<'a>) -> Result<(&'a Operation, Labels), Fault> {
    let (service, parts) = (exchange.service, exchange.parts);
    let query = parts.uri.query().unwrap_or_default();
    match service.router.find(parts.method.as_str(), &exchange.path, query, &parts.headers) {
        Found::Match { value, labels } => Ok((&service.service.operations[*value], labels)),
        Found::MethodNotAllowed if service.service.protocol == Protocol::RestXml => {
            let text = "The specified method is not allowed against this resource.";
            Err(Fault::new(405, "MethodNotAllowed", text))
        }
        Found::MethodNotAllowed | Found::NotFound => {
            let what = format!("{} {} of the service {}", parts.method, exchange.path, service.service.name);
            Err(Fault::not_implemented(&what))
        }
    }
}

/// An operation whose body is a document, read whole before the handler runs.
async fn document(
    exchange: &Exchange<'_>,
    operation: &Operation,
    labels: Labels,
    incoming: Incoming,
) -> Result<Answer, Fault> {
    let body = gather(exchange, incoming).await?;
    let (caller, body) = authenticate(exchange, body)?;
    let call = call(exchange, operation, labels, inflated(exchange, body)?);
    run(exchange, operation, &caller, &call).await
}

/// SDKs compress what the models say may be, which are figures of metrics.
fn inflated(exchange: &Exchange<'_>, body: Bytes) -> Result<Bytes, Fault> {
    let compressed = header(exchange.parts, "content-encoding").is_some_and(|coding| coding == "gzip");
    match compressed && exchange.service.service.protocol == Protocol::Cbor {
        true => bodies::inflate(&body, exchange.cloud.runner.limits().api_request_bytes),
        false => Ok(body),
    }
}

async fn gather(exchange: &Exchange<'_>, incoming: Incoming) -> Result<Bytes, Fault> {
    let limits = exchange.cloud.runner.limits();
    bodies::gather(limits, incoming, limits.api_request_bytes, "api_request_bytes").await
}

/// In the query protocol the operation's name is in the body.
async fn query(exchange: &Exchange<'_>, incoming: Incoming) -> Result<Answer, Fault> {
    let body = gather(exchange, incoming).await?;
    let (caller, body) = authenticate(exchange, body)?;
    let mut pairs = parse_query(exchange.parts.uri.query().unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(&body) {
        pairs.extend(parse_query(text));
    }
    let action = pairs.iter().find(|(name, _)| name == "Action").map(|(_, value)| value.as_str());
    let operation = match action {
        Some(action) => named(exchange.service, action)?,
        None => {
            return Err(Fault::new(400, "MissingAction", "The request must contain the parameter Action"));
        }
    };
    let call = call(exchange, operation, Vec::new(), body);
    run(exchange, operation, &caller, &call).await
}

fn call(exchange: &Exchange<'_>, operation: &Operation, labels: Labels, body: Bytes) -> Call {
    Call {
        operation: operation.name.into(),
        labels,
        query: operation.query(exchange.parts.uri.query().unwrap_or_default()),
        headers: match &exchange.credential {
            Some(credential) => credential.headers(exchange.parts),
            None => exchange.parts.headers.clone(),
        },
        body,
        form_path: (exchange.protocol != exchange.service.service.protocol).then(|| exchange.path.clone()),
        spoken: Some(exchange.protocol),
    }
}

/// The caller of a request whose body is at hand, and the body without its transfer form.
fn authenticate(exchange: &Exchange<'_>, body: Bytes) -> Result<(Caller, Bytes), Fault> {
    let protocol = exchange.protocol;
    let Some(credential) = &exchange.credential else {
        return match protocol {
            Protocol::RestXml => Ok((anonymous(exchange, protocol)?, body)),
            Protocol::Query if is_open_link(exchange.parts) => Ok((anonymous(exchange, protocol)?, body)),
            Protocol::Json10 | Protocol::Json11 | Protocol::Query | Protocol::RestJson | Protocol::Cbor => {
                Err(AuthError::MissingToken.to_fault(protocol))
            }
        };
    };
    let hash = auth::sha256_hex(&body);
    let (caller, payload) = auth::verify(exchange.cloud, exchange.parts, credential, protocol, Some(&hash))?;
    let caller = admit_peer(exchange, caller, protocol)?;
    let body = match payload {
        Payload::Chunked(mut decoder) => {
            let pieces = decoder.push(body).map_err(|error| error.to_fault())?;
            decoder.finish().map_err(|error| error.to_fault())?;
            pieces.concat().into()
        }
        Payload::Sha256(declared) if declared != hash => {
            let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
            return Err(Fault::new(400, "XAmzContentSHA256Mismatch", text));
        }
        Payload::Sha256(_) | Payload::Unsigned => body,
    };
    Ok((caller, body))
}

/// The caller on this connection, if the two agree; what a function causes is as deep as its connection says.
pub(super) fn admit_peer(
    exchange: &Exchange<'_>,
    caller: Caller,
    protocol: Protocol,
) -> Result<Caller, Fault> {
    let peer = exchange.peer;
    let address = match peer {
        Peer::Client(address) => {
            let forwarded = exchange.parts.headers.get_all("x-forwarded-for").iter();
            let forwarded = forwarded.filter_map(|value| value.to_str().ok());
            Some(source::client(*address, forwarded, &exchange.cloud.trusted_proxies))
        }
        Peer::Function { .. } => None,
    };
    match auth::agrees(peer, &caller) {
        true => Ok(Caller { depth: peer.depth(), address, ..caller }),
        false => Err(AuthError::InvalidToken.to_fault(protocol)),
    }
}

/// The caller of a request that nobody has signed, which still comes from somewhere.
pub(super) fn anonymous(exchange: &Exchange<'_>, protocol: Protocol) -> Result<Caller, Fault> {
    admit_peer(exchange, auth::anonymous(exchange.cloud), protocol)
}

async fn run(
    exchange: &Exchange<'_>,
    operation: &Operation,
    caller: &Caller,
    call: &Call,
) -> Result<Answer, Fault> {
    let (cloud, id) = (exchange.cloud, exchange.request_id.as_str());
    let reply = match &operation.handler {
        Handler::View(run) => cloud.runner.view(caller, id, |cx| run(cx, call))?,
        Handler::Write(run) => cloud.transact(caller, id, |cx| run(cx, call)).await?,
        Handler::Poll(run) => cloud.poll(caller, id, |cx| run(cx, call)).await?,
        Handler::Staged { source, install } => {
            let source = cloud.runner.view(caller, id, |cx| source(cx, call))?;
            let staged = stage::stage(cloud, source).await?;
            cloud.transact(caller, id, |cx| install(cx, call, staged.package.as_ref())).await?
        }
        Handler::Upload { .. } => return Err(Fault::internal("dispatch", "an upload is not a document")),
    };
    match reply.content {
        Content::Invoke(invoke) => invoked(cloud, *invoke).await,
        Content::Empty | Content::Bytes(_) | Content::Pieces(_) => Ok(reply.into()),
    }
}

/// Runs a function for a caller who waits, and tells the outcome as the Invoke API does.
async fn invoked(cloud: &Cloud, invoke: Invoke) -> Result<Answer, Fault> {
    let label = invoke.version.label.clone();
    let version = Arc::new(invoke.version);
    match invoke.answer {
        operation::Answer::Whole => {}
        operation::Answer::Stream => {
            let answer = cloud.host().invoke_streaming(version, invoke.invocation).await;
            let answer = answer.map_err(|refusal| refused(&refusal))?;
            let reply = Reply::status(200)
                .header("x-amz-executed-version", label)
                .header("content-type", streams::CONTENT_TYPE);
            return Ok(Answer { reply, stream: Some(streams::events(answer, invoke.log_tail)) });
        }
    }
    let outcome =
        cloud.host().invoke(version, invoke.invocation).await.map_err(|refusal| refused(&refusal))?;
    let tail = invoke.log_tail.then(|| base64::engine::general_purpose::STANDARD.encode(&outcome.log_tail));
    let reply =
        Reply::status(200).header("x-amz-executed-version", label).header_opt("x-amz-log-result", tail);
    let reply = match outcome.result {
        Ok(payload) => reply.body("application/json", payload),
        Err(error) => {
            reply.header("x-amz-function-error", "Unhandled").body("application/json", error.payload)
        }
    };
    Ok(reply.into())
}

/// A limit on what runs at once is likely to be one for a while, and so is a node that was full for as long
/// as an event may wait.
pub(super) const RETRY_AFTER_SECONDS: &str = "1";

/// A refusal in the words of the Invoke API.
pub(super) fn refused(refusal: &Refusal) -> Fault {
    let throttled = |reason: &str| {
        Fault::new(429, "TooManyRequestsException", "Rate Exceeded.")
            .with_field("Reason", reason)
            .with_field("Type", "User")
            .with_field("retryAfterSeconds", RETRY_AFTER_SECONDS)
    };
    match refusal {
        Refusal::ReservedConcurrency => throttled("ReservedFunctionConcurrentInvocationLimitExceeded"),
        Refusal::AccountConcurrency => throttled("ConcurrentInvocationLimitExceeded"),
        Refusal::NodeFull => throttled("CallerRateLimitExceeded"),
        Refusal::Unrunnable(why) => Fault::new(502, "InvalidRuntimeException", why.clone()),
        Refusal::RestoreFailed => {
            Fault::new(400, "SnapStartException", RESTORE_FAILED).with_field("Type", "User")
        }
        Refusal::RestoreTimeout => {
            Fault::new(408, "SnapStartTimeoutException", RESTORE_TIMEOUT).with_field("Type", "User")
        }
        Refusal::Draining => {
            Fault::new(503, "ServiceException", "The server is shutting down. Please try again.")
        }
    }
}

/// An operation whose body streams: admitted on its head, received, and then named by a transaction.
async fn upload(
    exchange: &Exchange<'_>,
    operation: &Operation,
    labels: Labels,
    incoming: Incoming,
) -> Result<Reply, Fault> {
    let Handler::Upload { admit, finish } = &operation.handler else {
        return Err(Fault::internal("dispatch", "a document is not an upload"));
    };
    let (cloud, id) = (exchange.cloud, exchange.request_id.as_str());
    let protocol = exchange.protocol;
    let (caller, payload) = match &exchange.credential {
        None => (anonymous(exchange, protocol)?, Payload::Unsigned),
        Some(credential) => {
            let (caller, payload) = auth::verify(cloud, exchange.parts, credential, protocol, None)?;
            let caller = admit_peer(exchange, caller, protocol)?;
            (caller, payload)
        }
    };
    let mut call = call(exchange, operation, labels, Bytes::new());
    cloud.runner.view(&caller, id, |cx| admit(cx, &call))?;
    let intake = Intake {
        payload,
        algorithms: wanted_checksums(&call),
        limit: cloud.runner.limits().object_bytes,
        announced: call.header("content-length").and_then(|length| length.parse().ok()),
    };
    let received = bodies::receive(cloud, Source::Body(incoming), intake).await?;
    for (name, value) in received.trailers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
        {
            call.headers.insert(name, value);
        }
    }
    let finished = cloud.transact(&caller, id, |cx| finish(cx, &call, &received.upload)).await;
    if finished.is_err() {
        bodies::discard(cloud, &received.upload).await;
    }
    finished
}

/// The checksums that the client names, in a header, a trailer or as its choice; and CRC-64/NVME, which an
/// upload in parts that chose none keeps of each part, whatever the part itself names.
pub(super) fn wanted_checksums(call: &Call) -> Vec<Algorithm> {
    let named =
        |name: &str| Algorithm::ALL.iter().copied().find(|algorithm| algorithm.header() == Some(name));
    let mut wanted: Vec<Algorithm> = call.headers.keys().filter_map(|name| named(name.as_str())).collect();
    if let Some(trailer) = call.header("x-amz-trailer") {
        wanted.extend(trailer.split(',').filter_map(|name| named(&name.trim().to_ascii_lowercase())));
    }
    for header in ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"] {
        wanted.extend(call.header(header).and_then(Algorithm::parse));
    }
    wanted.push(Algorithm::Crc64Nvme);
    wanted
}

/// What the bucket's rules say to a browser that asks first.
fn preflight(cloud: &Arc<Cloud>, parts: &Parts, path: &str, request_id: &str) -> Response {
    let denied = || Fault::new(403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.");
    let origin = header(parts, "origin").unwrap_or_default();
    let method = header(parts, "access-control-request-method").unwrap_or_default();
    let asked = header(parts, "access-control-request-headers").unwrap_or_default();
    match cors(cloud, path, request_id, origin, method, asked) {
        Some(headers) => {
            let reply = headers
                .into_iter()
                .fold(Reply::status(200), |reply, (name, value)| reply.header(name, value));
            respond::reply(cloud, Protocol::RestXml, reply, request_id, false)
        }
        None => respond::fault(Protocol::RestXml, &denied(), request_id, path),
    }
}

fn cors(
    cloud: &Cloud,
    path: &str,
    request_id: &str,
    origin: &str,
    method: &str,
    asked: &str,
) -> Option<Vec<(&'static str, String)>> {
    let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let rules = cloud.runner.view(&auth::anonymous(cloud), request_id, |cx| s3::cors_for(cx, bucket)).ok()?;
    let asked: Vec<&str> = asked.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    s3::cors::respond(&rules, origin, method, &asked)
}

fn allow_origin(cloud: &Arc<Cloud>, exchange: &Exchange<'_>, origin: &str, response: &mut Response) {
    let method = exchange.parts.method.as_str();
    let headers = cors(cloud, &exchange.path, &exchange.request_id, origin, method, "");
    for (name, value) in headers.unwrap_or_default() {
        respond::set(response, name, &value);
    }
}
