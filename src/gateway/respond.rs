//! From replies and faults to HTTP responses.

use super::{Response, bodies};
use crate::cloud::Cloud;
use http::{HeaderName, HeaderValue, StatusCode};
use mayfly_kernel::Fault;
use mayfly_runtime::body;
use mayfly_services::{Content, Reply};
use mayfly_wire::{Protocol, render_fault};
use std::sync::Arc;
use tracing::{error, warn};

/// A reply as it goes out. `head` leaves the body away but keeps its length.
pub(super) fn reply(
    cloud: &Arc<Cloud>,
    protocol: Protocol,
    reply: Reply,
    request_id: &str,
    head: bool,
) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fixed = reply.headers.iter().map(|(name, value)| (*name, value));
    let chosen = reply.user_headers.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in fixed.chain(chosen) {
        set(&mut response, name, value);
    }
    set(&mut response, mayfly_wire::request_id_header(protocol), request_id);
    *response.body_mut() = match reply.content {
        Content::Empty | Content::Invoke(_) => body::empty(),
        _ if head => body::empty(),
        Content::Bytes(bytes) => body::full(bytes),
        Content::Pieces(pieces) => bodies::send(cloud, pieces),
    };
    response
}

/// A fault in the dialect of the protocol. What is ours to mend goes to the log with its detail.
pub(super) fn fault(protocol: Protocol, fault: &Fault, request_id: &str, resource: &str) -> Response {
    match (&fault.detail, fault.is_server()) {
        (_, true) => error!(%fault, request_id, "a call failed"),
        (Some(_), false) => warn!(%fault, request_id, "a call was refused"),
        (None, false) => {}
    }
    let (status, headers, text) = render_fault(protocol, fault, request_id, resource);
    let mut response = http::Response::new(body::full(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        set(&mut response, name, &value);
    }
    if is_refused_upload(fault) {
        set(&mut response, "connection", "close");
    }
    response
}

/// After these the rest of the request's body is not worth reading.
fn is_refused_upload(fault: &Fault) -> bool {
    matches!(fault.status, 413 | 507) || fault.code == "EntityTooLarge" || fault.code == "IncompleteBody"
}

/// Sets a header; a value that HTTP cannot carry is left away rather than spoiling the answer.
pub(super) fn set(response: &mut Response, name: &str, value: &str) {
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes())) {
        (Ok(name), Ok(value)) => {
            response.headers_mut().append(name, value);
        }
        _ => warn!(name, "an answer's header cannot be written"),
    }
}
