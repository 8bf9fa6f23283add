//! The server side of the Lambda Runtime API, version 2018-06-01, for one instance.
//!
//! The contract is AWS's page "Using the Lambda runtime API". The instance's driver sees it as a stream of
//! [`Call`]s; who may speak, and when, is the driver's to say. A response that the runtime streams goes on as
//! it comes if the invocation's caller takes it so, and is gathered like any other if not.
//!
//! An addition of our own: a result that comes with the header `mayfly-next: wait` is answered with the
//! next event, as if it had been asked for. That is one exchange for an invocation where the API has two.
//! Another is `snapshot`, by which a process says that it is ready to be forked. Not here: what extensions
//! say, which comes to the same address (see `extensions::api`).

use crate::body::{Body, full};
use crate::extensions::{self, Extensions};
use crate::instance::{error, too_large};
use crate::prompt::promptly;
use crate::sandbox::Sandbox;
use crate::stream::Sink;
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mayfly_kernel::Limits;
use mayfly_kernel::function::FunctionError;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// One event for the runtime, as headers and body of an answer to `next`.
pub(crate) struct Work {
    pub request_id: String,
    pub deadline_ms: u64,
    pub invoked_arn: String,
    pub trace_id: Option<String>,
    pub client_context: Option<String>,
    pub tenant: Option<String>,
    pub event: Bytes,
    pub depth: u32,
}

/// What the runtime does.
pub(crate) enum Call {
    /// It wants an event, and so has initialised.
    Next(oneshot::Sender<Work>),
    /// Empty if it went to the invocation's sink.
    Response(Bytes),
    Error(FunctionError),
    InitError(FunctionError),
    /// It has initialised as a template, or says why it is not fit to be one.
    Snapshot(Option<String>),
    /// What the function does after a restore has failed.
    RestoreError(FunctionError),
}

/// The API of one instance. Its connections end when the future of [`Api::serve`] is dropped.
#[derive(Clone)]
pub(crate) struct Api {
    calls: mpsc::Sender<Call>,
    /// The invocation that may be answered now.
    current: Arc<Mutex<Option<Expected>>>,
    limits: ResponseLimits,
    /// The environment, as JSON, for a runtime that started without one.
    assignment: Option<Bytes>,
    extensions: Arc<Extensions>,
    sandbox: Weak<Sandbox>,
}

#[derive(Clone, Copy)]
struct ResponseLimits {
    whole: u64,
    streamed: u64,
}

struct Expected {
    request_id: String,
    /// Where the answer goes as it comes, if its caller reads it so.
    sink: Option<Sink>,
}

/// What a response that streams may take of memory while it passes through: the most that is read at once.
const READ_BYTES: usize = 64 * 1024;
/// In so many words is said why a process is not fit to be a template.
const REASON_BYTES: u64 = 2048;
/// A runtime needs one connection, an odd one a few more.
const CONNECTIONS: usize = 32;

impl Api {
    pub(crate) fn new(
        limits: &Limits,
        assignment: Option<Bytes>,
        extensions: Arc<Extensions>,
        sandbox: Weak<Sandbox>,
    ) -> (Api, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(4);
        let limits =
            ResponseLimits { whole: limits.invoke_response_bytes, streamed: limits.stream_response_bytes };
        (Api { calls, current: Arc::default(), limits, assignment, extensions, sandbox }, receiver)
    }

    /// From now on the answer to this invocation is taken, once.
    pub(crate) fn expect(&self, request_id: &str, sink: Option<Sink>) {
        *self.current.lock() = Some(Expected { request_id: request_id.to_owned(), sink });
    }

    /// Takes back what nobody is going to answer.
    pub(crate) fn expects_no_more(&self) -> Option<Sink> {
        self.current.lock().take().and_then(|expected| expected.sink)
    }

    /// `first` is a connection that came before it was known whose it would be.
    pub(crate) async fn serve(self, listener: TcpListener, first: Option<TcpStream>) {
        let mut connections = JoinSet::new();
        if let Some(first) = first {
            let _ = first.set_nodelay(true);
            connections.spawn(self.clone().connection(first));
        }
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            while connections.try_join_next().is_some() {}
            if connections.len() < CONNECTIONS {
                connections.spawn(self.clone().connection(stream));
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let api = self.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        // A connection that breaks is the runtime's affair: it connects again or exits.
        let mut server = http1::Builder::new();
        server.max_buf_size(READ_BYTES);
        let _ = promptly(server.serve_connection(TokioIo::new(stream), service)).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix("/2018-06-01/runtime/") else {
            let answered = extensions::api::answer(&self.extensions, &self.sandbox, request).await;
            return answered.unwrap_or_else(|| {
                refuse(StatusCode::NOT_FOUND, "NotFound", "No such operation of the Runtime API")
            });
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::GET, ["assignment"]) => match &self.assignment {
                Some(variables) => Response::new(full(variables.clone())),
                None => refuse(StatusCode::NOT_FOUND, "NotFound", "This instance has its environment"),
            },
            (&Method::POST, ["init", "error"]) => {
                let error = self.function_error(request).await;
                self.tell(Call::InitError(error)).await
            }
            (&Method::POST, ["restore", "error"]) => {
                let error = self.function_error(request).await;
                self.tell(Call::RestoreError(error)).await
            }
            (&Method::POST, ["snapshot"]) => {
                let unfit = match take_in(request.into_body(), REASON_BYTES, None).await {
                    Taken::All(text) if text.is_empty() => None,
                    Taken::All(text) => Some(String::from_utf8_lossy(&text).into_owned()),
                    Taken::TooLarge(_) | Taken::Failed(_) | Taken::Broken => {
                        Some("it does not say why".into())
                    }
                };
                self.tell(Call::Snapshot(unfit)).await
            }
            (&Method::POST, ["invocation", id, what @ ("response" | "error")]) => {
                match (self.take_current(id), *what) {
                    (None, _) => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
                    (Some(_), "error") => {
                        let error = self.function_error(request).await;
                        self.tell(Call::Error(error)).await
                    }
                    (Some(expected), _) => {
                        let waits = request.headers().contains_key("mayfly-next");
                        match self.response(expected, request).await {
                            taken if waits && taken.status() == StatusCode::ACCEPTED => self.next().await,
                            told => told,
                        }
                    }
                }
            }
            _ => refuse(StatusCode::NOT_FOUND, "NotFound", "No such operation of the Runtime API"),
        }
    }

    async fn next(&self) -> Response<Body> {
        let (sender, work) = oneshot::channel();
        if self.calls.send(Call::Next(sender)).await.is_err() {
            return refuse(StatusCode::GONE, "Shutdown", "The instance is stopping");
        }
        let Ok(work) = work.await else {
            return refuse(StatusCode::GONE, "Shutdown", "The instance is stopping");
        };
        let mut response = Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &work.request_id)
            .header("lambda-runtime-deadline-ms", work.deadline_ms)
            .header("lambda-runtime-invoked-function-arn", &work.invoked_arn);
        if let Some(trace) = &work.trace_id {
            response = response.header("lambda-runtime-trace-id", trace);
        }
        if let Some(context) = &work.client_context {
            response = response.header("lambda-runtime-client-context", context);
        }
        if let Some(tenant) = &work.tenant {
            response = response.header("lambda-runtime-aws-tenant-id", tenant);
        }
        // Only a caller's odd trace or context can fail this, and then it is refused rather than passed on.
        response
            .body(full(work.event))
            .unwrap_or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "InvalidHeader", "Invalid header"))
    }

    fn take_current(&self, id: &str) -> Option<Expected> {
        self.current.lock().take_if(|expected| expected.request_id == id)
    }

    async fn response(&self, expected: Expected, request: Request<Incoming>) -> Response<Body> {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = header("content-type").unwrap_or("application/octet-stream").to_owned();
        let streams = match header("lambda-runtime-function-response-mode") {
            None => false,
            Some(mode) if mode.eq_ignore_ascii_case("streaming") => true,
            Some(mode) => {
                let (kind, text) = ("Runtime.InvalidResponseModeHeader", format!("Invalid mode: {mode}"));
                let _ = self.calls.send(Call::Error(error(kind, &text))).await;
                return refuse(StatusCode::BAD_REQUEST, kind, &text);
            }
        };
        let sink = expected.sink;
        let relay = sink.as_ref().filter(|_| streams);
        let limit = if relay.is_some() { self.limits.streamed } else { self.limits.whole };
        if let Some(relay) = relay {
            relay.begin(&content_type);
        }
        let call = match take_in(request.into_body(), limit, relay).await {
            Taken::All(body) => match &sink {
                Some(sink) if !streams => {
                    sink.begin(&content_type);
                    sink.send(body).await;
                    Call::Response(Bytes::new())
                }
                Some(_) | None => Call::Response(body),
            },
            Taken::TooLarge(length) => Call::Error(too_large(length, limit)),
            Taken::Failed(error) => Call::Error(error),
            Taken::Broken if streams => {
                Call::Error(error("Runtime.TruncatedResponse", "The response ended before it was whole"))
            }
            Taken::Broken => return refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "Broken body"),
        };
        self.tell(call).await
    }

    async fn tell(&self, call: Call) -> Response<Body> {
        let _ = self.calls.send(call).await;
        let mut response = Response::new(full(r#"{"status":"OK"}"#));
        *response.status_mut() = StatusCode::ACCEPTED;
        response
    }

    async fn function_error(&self, request: Request<Incoming>) -> FunctionError {
        let header = request.headers().get("lambda-runtime-function-error-type");
        let header = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let payload = match take_in(request.into_body(), self.limits.whole, None).await {
            Taken::All(body) => body.to_vec(),
            Taken::TooLarge(_) | Taken::Failed(_) | Taken::Broken => Vec::new(),
        };
        failure(header, payload)
    }
}

/// A function's error from its document, and from the header that names its type if that does not. Whoever sends no
/// document has none but its type.
pub(crate) fn failure(header: Option<String>, payload: Vec<u8>) -> FunctionError {
    if payload.is_empty() {
        return error(header.as_deref().unwrap_or("Unknown"), "");
    }
    let document: Option<serde_json::Value> = serde_json::from_slice(&payload).ok();
    let named = document.as_ref().and_then(|document| document["errorType"].as_str()).map(str::to_owned);
    FunctionError { error_type: named.or(header).unwrap_or_else(|| "Unknown".into()), payload }
}

/// The error that the trailers of a response tell of, its document in base64.
fn failure_in(trailers: &HeaderMap) -> Option<FunctionError> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let kind = text("lambda-runtime-function-error-type");
    let body = text("lambda-runtime-function-error-body");
    if kind.is_none() && body.is_none() {
        return None;
    }
    let decoded = body.and_then(|body| base64::engine::general_purpose::STANDARD.decode(body).ok());
    Some(failure(kind.map(str::to_owned), decoded.unwrap_or_default()))
}

pub(crate) enum Taken {
    /// Empty if there was a sink.
    All(Bytes),
    TooLarge(u64),
    /// The trailers say that the function failed.
    Failed(FunctionError),
    Broken,
}

/// Reads a body to its end, into the sink or memory, but keeps or passes on no more than `limit` bytes of it.
pub(crate) async fn take_in(mut body: Incoming, limit: u64, sink: Option<&Sink>) -> Taken {
    let (mut kept, mut length, mut failure) = (BytesMut::new(), 0_u64, None);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Taken::Broken };
        match frame.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                match sink {
                    _ if length > limit => kept = BytesMut::new(),
                    Some(sink) => sink.send(data).await,
                    None => kept.extend_from_slice(&data),
                }
            }
            Err(frame) => failure = frame.trailers_ref().and_then(failure_in),
        }
    }
    match failure {
        Some(error) => Taken::Failed(error),
        None if length > limit => Taken::TooLarge(length),
        None => Taken::All(kept.freeze()),
    }
}

pub(crate) fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let document = serde_json::json!({ "errorType": kind, "errorMessage": message });
    let mut response = Response::new(full(document.to_string()));
    *response.status_mut() = status;
    response
}
