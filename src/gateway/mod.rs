//! The front door: one port for every AWS API, for functions' HTTP, and for health and metrics.
//!
//! A connection is served on the worker that accepted it. Which door a request takes is decided from its head
//! alone: by host name (function URLs, APIs, virtual-hosted buckets), by a reserved path (`/_mayfly`,
//! `/_api`, `/_url`, `/v2` of the image registry), otherwise it is a call of an AWS API.
//!
//! Not here: TLS, and anything that knows what an operation does.

mod auth;
mod aws;
mod bodies;
mod certificates;
mod directory;
mod events;
mod forms;
mod functions;
mod idle;
pub(crate) mod local;
mod metrics;
mod packages;
mod registry;
mod respond;
mod source;
mod stage;
mod streams;

use crate::cloud::Cloud;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mayfly_kernel::Arn;
use mayfly_runtime::{Body, Wire, body, promptly};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

pub(crate) use directory::Directory;
pub(crate) use stage::blob_id;

pub(crate) type Request = http::Request<Incoming>;
pub(crate) type Response = http::Response<Body>;

/// Whose connection it is.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// Anyone who can reach the listening address, from there.
    Client(IpAddr),
    /// The instance of a function, through the socket inside its sandbox.
    Function {
        arn: Arn,
        /// How many invocations led to what it calls now.
        depth: Arc<AtomicU32>,
    },
}

impl Peer {
    fn depth(&self) -> u32 {
        match self {
            Peer::Client(_) => 0,
            Peer::Function { depth, .. } => depth.load(Ordering::Relaxed),
        }
    }

    fn address(&self) -> IpAddr {
        match self {
            Peer::Client(address) => *address,
            Peer::Function { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// Where requests come from: what is known of a connection before its first.
struct Connected {
    peer: Peer,
    /// Its address, as it stands in a header.
    address: Option<http::HeaderValue>,
}

/// Takes the port. As many clients as may be connected may come at the same moment: one that finds no place
/// in the kernel's queue tries again only after a second.
pub(crate) fn listen(address: SocketAddr, connections: usize) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(connections).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs()))
}

/// Accepts connections until told to stop.
pub(crate) async fn serve(cloud: Arc<Cloud>, listener: TcpListener, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(cloud.runner.limits().connections));
    let mut stopping = stop.clone();
    loop {
        // A place first: beyond the limit, clients wait in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Ok((stream, from)) => {
                let _ = stream.set_nodelay(true);
                let (cloud, stop) = (cloud.clone(), stop.clone());
                tokio::spawn(async move {
                    connection(cloud, stream, Peer::Client(from.ip()), stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give those that are open a moment to end.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Resolves when the process is to stop; also when nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Serves one connection to its end. On a stop, the request under way is finished first.
pub(crate) async fn connection(
    cloud: Arc<Cloud>,
    stream: impl Wire,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
) {
    let head_timeout = Duration::from_secs(cloud.runner.limits().request_head_seconds);
    let address = http::HeaderValue::try_from(peer.address().to_string()).ok();
    let from = Arc::new(Connected { peer, address });
    let service = service_fn(move |request| {
        let (cloud, from) = (cloud.clone(), from.clone());
        async move { Ok::<_, Infallible>(answer(&cloud, &from, request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head_timeout).keep_alive(true);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    let ended = promptly(async {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    if let Err(error) = ended.await {
        debug!(%error, "a connection ended early");
    }
}

/// Where a request goes.
enum Door {
    Health,
    /// Figures of this node, for those who may ask for them.
    Metrics,
    /// A deployment package, by a link that Mayfly made.
    Package,
    /// A certificate by which messages are verified.
    Certificate,
    /// The registry of container images.
    Registry,
    /// CloudEvents for a bus.
    Events,
    /// A function's or an API's HTTP, by its id and the path that is left.
    Functions(functions::Address),
    /// An AWS API; with the bucket if the host name carries one.
    Aws {
        bucket: Option<String>,
    },
}

async fn answer(cloud: &Arc<Cloud>, from: &Connected, request: Request) -> Response {
    let peer = &from.peer;
    match door(&request) {
        Door::Health => health(),
        Door::Metrics => metrics::answer(cloud, peer),
        Door::Package => packages::answer(cloud, request).await,
        Door::Certificate => certificates::answer(cloud, &request),
        Door::Registry => registry::answer(cloud, peer, request).await,
        Door::Events => events::answer(cloud, peer, request).await,
        Door::Functions(address) => functions::answer(cloud, from, address, request).await,
        Door::Aws { bucket } => aws::answer(cloud, peer, bucket, request).await,
    }
}

fn door(request: &Request) -> Door {
    let path = request.uri().path();
    if path == "/_mayfly/health" {
        return Door::Health;
    }
    if path == "/_mayfly/metrics" {
        return Door::Metrics;
    }
    if events::is_events(path) {
        return Door::Events;
    }
    if packages::is_package(path) {
        return Door::Package;
    }
    if certificates::is_certificate(path) {
        return Door::Certificate;
    }
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(request.uri().host()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if let Some(address) = functions::address(name, path) {
        return Door::Functions(address);
    }
    match virtual_bucket(name) {
        None if registry::is_registry(request) => Door::Registry,
        bucket => Door::Aws { bucket },
    }
}

/// The bucket of `BUCKET.s3.localhost`, `BUCKET.s3.REGION.localhost` and their `amazonaws.com` forms.
fn virtual_bucket(host: &str) -> Option<String> {
    let stem = host.strip_suffix(".localhost").or_else(|| host.strip_suffix(".amazonaws.com"))?;
    let at =
        stem.rfind(".s3").filter(|at| matches!(stem.as_bytes().get(at + 3), None | Some(b'.' | b'-')))?;
    (at > 0).then(|| stem[..at].to_owned())
}

fn health() -> Response {
    let mut response = http::Response::new(body::full(r#"{"status":"ok"}"#));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// An incoming body as the runtime wants it.
fn boxed(incoming: Incoming) -> Body {
    incoming.map_err(Into::into).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::virtual_bucket;

    #[test]
    fn a_bucket_may_stand_in_the_host_name() {
        assert_eq!(virtual_bucket("photos.s3.localhost").as_deref(), Some("photos"));
        assert_eq!(virtual_bucket("my.photos.s3.us-east-1.localhost").as_deref(), Some("my.photos"));
        assert_eq!(virtual_bucket("photos.s3-us-west-2.amazonaws.com").as_deref(), Some("photos"));
        assert_eq!(virtual_bucket("s3.localhost"), None);
        assert_eq!(virtual_bucket("localhost"), None);
        assert_eq!(virtual_bucket("127.0.0.1"), None);
    }
}
