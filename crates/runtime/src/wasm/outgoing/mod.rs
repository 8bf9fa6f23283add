//! Outgoing HTTP of guests (`wasi:http/outgoing-handler`), through two lists of hosts.
//!
//! A function names the hosts that it calls in its variable [`VARIABLE`]; without it, it calls none. The
//! operator's list is the most that any function reaches. Beyond that, an address that is not public
//! (loopback, private, link-local with its metadata service …) or this machine's own is reached only if the
//! operator names that address ([`dial`]). The word `platform` stands for the AWS APIs of Mayfly itself
//! ([`platform`]).
//!
//! A request is bounded by the guest's deadline, which ends everything that the guest had under way, by the
//! connections of one guest and of all, and by the bytes of a body. Redirects are the guest's to follow, and
//! so meet the same lists. Not here: HTTP/2, connections kept for the next guest, proxies.

mod body;
mod dial;
mod hosts;
mod platform;

pub use hosts::HostList;
pub(super) use platform::Link;

use super::log::LogSink;
use crate::platform::Wire;
use body::Bounded;
use dial::{Dialler, Undialled};
use hosts::Target;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use mayfly_kernel::Limits;
use mayfly_kernel::function::Version;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::ClientConfig;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The function's variable with the hosts that it calls.
pub(super) const VARIABLE: &str = "MAYFLY_OUTGOING_HTTP";
/// The word in it for the AWS APIs of Mayfly.
const PLATFORM: &str = "platform";
/// Requests of one guest under way at once.
const REQUESTS_OF_A_GUEST: usize = 64;

/// The way out of this node, which all guests share.
pub struct Outgoing {
    dialler: Dialler,
    places: Arc<Semaphore>,
    body_bytes: u64,
}

impl Outgoing {
    /// `ceiling` is the most that functions may reach; `tls` says whom to trust.
    pub fn new(ceiling: HostList, tls: Arc<ClientConfig>, limits: &Limits) -> Outgoing {
        Outgoing {
            dialler: Dialler::new(ceiling, tls),
            places: Arc::new(Semaphore::new(limits.outgoing_connections)),
            body_bytes: limits.outgoing_body_bytes,
        }
    }
}

/// What a function says of the hosts that it calls.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) platform: bool,
    hosts: HostList,
}

impl Listed {
    pub(super) fn of(version: &Version) -> Result<Listed, String> {
        let Some(text) = version.environment.get(VARIABLE) else { return Ok(Listed::default()) };
        let mut entries: Vec<&str> = text.split([',', ' ', '\n', '\t']).collect();
        let all = entries.len();
        entries.retain(|entry| *entry != PLATFORM);
        let platform = entries.len() < all;
        let hosts = entries.join(",").parse().map_err(|error| format!("{VARIABLE}: {error}"))?;
        Ok(Listed { platform, hosts })
    }
}

/// One guest's way out.
pub(in crate::wasm) struct Egress {
    outgoing: Arc<Outgoing>,
    version: Arc<Version>,
    log: LogSink,
    platform: Option<Link>,
    /// Made at the first request: most guests make none.
    own: Option<Arc<Semaphore>>,
}

type Exchange = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl Egress {
    pub(super) fn new(
        outgoing: Arc<Outgoing>,
        version: Arc<Version>,
        log: LogSink,
        platform: Option<Link>,
    ) -> Egress {
        Egress { outgoing, version, log, platform, own: None }
    }

    /// A place for one more request of this guest.
    fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        let own = self.own.get_or_insert_with(|| Arc::new(Semaphore::new(REQUESTS_OF_A_GUEST)));
        own.clone().try_acquire_owned().ok()
    }
}

impl WasiHttpHooks for Egress {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Exchange, Error>> + Send> {
        let place = self.place();
        let (outgoing, version, log) = (self.outgoing.clone(), self.version.clone(), self.log.clone());
        let platform = self.platform.clone();
        Box::new(async move {
            let place = place.ok_or(Error::ConnectionLimitReached)?;
            let options = options.unwrap_or_default();
            let target = Target::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
            let (wire, shared) = match platform {
                Some(link) if link.is_for(&target) => (link.dial(), None),
                Some(_) | None => {
                    let shared = outgoing.places.clone().try_acquire_owned();
                    let shared = shared.map_err(|_| Error::ConnectionLimitReached)?;
                    let wire = dial(&outgoing, &version, &log, &target, options).await?;
                    (wire, Some(shared))
                }
            };
            exchange(wire, request, options, outgoing.body_bytes, (place, shared)).await
        })
    }

    // The defaults of these write a line into the server's own log for every failure that a guest meets.

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        match error {
            error if error.is_timeout() => ErrorCode::HttpResponseTimeout,
            error if error.is_incomplete_message() => ErrorCode::HttpResponseIncomplete,
            error if error.is_closed() || error.is_canceled() => ErrorCode::ConnectionTerminated,
            _ => ErrorCode::HttpProtocolError,
        }
    }

    fn p2_error_from_connect(&mut self, error: &std::io::Error) -> ErrorCode {
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
            std::io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
            _ => ErrorCode::DestinationUnavailable,
        }
    }

    fn p2_error_from_tls(&mut self, error: &std::io::Error) -> ErrorCode {
        match dial::is_about_certificate(error) {
            true => ErrorCode::TlsCertificateError,
            false => ErrorCode::TlsProtocolError,
        }
    }
}

/// Connects, or says in the function's log why not.
async fn dial(
    outgoing: &Outgoing,
    version: &Version,
    log: &LogSink,
    target: &Target,
    options: RequestOptions,
) -> Result<Box<dyn Wire>, Error> {
    let dialled = match Listed::of(version) {
        Ok(listed) => outgoing.dialler.dial(target, &listed.hosts, options.connect_timeout).await,
        Err(text) => {
            log(text.as_bytes());
            return Err(Error::ConfigurationError);
        }
    };
    let (host, port) = (&target.host, target.port);
    let (text, error) = match dialled {
        Ok(wire) => return Ok(wire),
        Err(Undialled::NotListed) => (
            format!("was denied: the function's variable {VARIABLE} does not name it"),
            Error::HttpRequestDenied,
        ),
        Err(Undialled::NotAllowed) => {
            ("was denied: this server's outgoing_http does not allow it".into(), Error::HttpRequestDenied)
        }
        Err(Undialled::Inside(address)) => (
            format!("was denied: {address} is not public, and this server's outgoing_http does not name it"),
            Error::DestinationIpProhibited,
        ),
        Err(Undialled::Unknown(error)) => (
            format!("failed: the name leads nowhere: {error}"),
            Error::DnsError { rcode: Some(error.to_string()), info_code: None },
        ),
        Err(Undialled::TimedOut) => ("failed: no connection in time".into(), Error::ConnectionTimeout),
        Err(Undialled::Unreached(error)) => (format!("failed: {error}"), Error::Connect(error)),
        Err(Undialled::Tls(error)) => (format!("failed: {error}"), Error::Tls(error)),
    };
    log(format!("outgoing HTTP to {host}:{port} {text}").as_bytes());
    Err(error)
}

/// What a request holds for as long as its connection lives.
type Places = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

async fn exchange(
    wire: Box<dyn Wire>,
    request: Request<WasiBody>,
    options: RequestOptions,
    body_bytes: u64,
    places: Places,
) -> Result<Exchange, Error> {
    // It would make a tunnel of the connection, past every bound.
    if request.method() == Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire)).await?;
    // Ends with the guest, which holds what `spawn` gives, first here and then beside the answer's body.
    let connection = spawn(async move {
        let _ = connection.await;
        drop(places);
    });
    let request = origin_form(request).map(|body| Bounded::request(body, body_bytes).boxed_unsync());
    let answer = sender.send_request(request);
    let answer = match options.first_byte_timeout {
        Some(within) => {
            tokio::time::timeout(within, answer).await.map_err(|_| Error::ConnectionReadTimeout)?
        }
        None => answer.await,
    };
    let rest = options.between_bytes_timeout;
    let answer = answer?.map(|body| Bounded::response(body, body_bytes, rest).boxed_unsync());
    let ended = async move {
        connection.await;
        Ok(())
    };
    Ok((answer, Box::new(ended)))
}

/// Only proxies are told the host in the request's first line.
fn origin_form(mut request: Request<WasiBody>) -> Request<WasiBody> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    request
}
