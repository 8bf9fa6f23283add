//! CloudEvents over HTTP: `POST /_mayfly/events/BUS`.
//!
//! Whoever sends them shows the access key's id and secret as user name and password (RFC 7617), which every
//! HTTP client can. An event is on its bus, and its deliveries are written down, before the 202. What the
//! events mean is `mayfly_services::events`.

use super::{Peer, Request, Response, auth, bodies, respond};
use crate::cloud::Cloud;
use base64::Engine as _;
use http::request::Parts;
use mayfly_kernel::{Caller, Fault};
use mayfly_services::{Reply, events};
use mayfly_wire::Protocol;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

const ROOT: &str = "/_mayfly/events/";
/// A request with all its events.
const BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn is_events(path: &str) -> bool {
    path.starts_with(ROOT)
}

pub(super) async fn answer(cloud: &Arc<Cloud>, peer: &Peer, request: Request) -> Response {
    let request_id = cloud.runner.request_id();
    let path = request.uri().path().to_owned();
    match take(cloud, peer, request, &request_id).await {
        Ok(()) => respond::reply(cloud, Protocol::RestJson, Reply::status(202), &request_id, false),
        Err(fault) => {
            let mut response = respond::fault(Protocol::RestJson, &fault, &request_id, &path);
            if fault.status == 401 {
                respond::set(&mut response, "www-authenticate", "Basic realm=\"mayfly\"");
            }
            response
        }
    }
}

async fn take(cloud: &Arc<Cloud>, peer: &Peer, request: Request, request_id: &str) -> Result<(), Fault> {
    let (parts, incoming) = request.into_parts();
    let denied =
        || Fault::new(401, "UnrecognizedClientException", "An access key and its secret are required");
    let caller = caller(cloud, peer, &parts).ok_or_else(denied)?;
    if parts.method != http::Method::POST {
        return Err(Fault::new(405, "MethodNotAllowedException", "Events are sent by POST"));
    }
    let bus = parts.uri.path().strip_prefix(ROOT).unwrap_or_default().to_owned();
    let body = bodies::gather(cloud.runner.limits(), incoming, BYTES_MAX, "of a CloudEvents request").await?;
    let receive = |cx: &mut mayfly_services::Cx<'_>| events::receive(cx, &bus, &parts.headers, &body);
    cloud.transact(&caller, request_id, receive).await.map(drop)
}

/// Whose key and secret the client shows.
fn caller(cloud: &Cloud, peer: &Peer, parts: &Parts) -> Option<Caller> {
    let header = parts.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, pair) = header.split_once(' ')?;
    let pair = base64::engine::general_purpose::STANDARD.decode(pair.trim()).ok()?;
    let (key, secret) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let (known, caller) = cloud.keyring.find(key, None, cloud.runner.clock().now())?;
    let same: bool = known.as_bytes().ct_eq(secret.as_bytes()).into();
    (same && auth::agrees(peer, &caller)).then(|| Caller { depth: peer.depth(), ..caller })
}
