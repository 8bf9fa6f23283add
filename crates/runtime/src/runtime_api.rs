//! The server side of the Lambda Runtime API, version 2018-06-01, for one instance.
//!
//! The contract is AWS's page "Using the Lambda runtime API". The instance's driver sees it as a stream of
//! [`Call`]s; who may speak, and when, is the driver's to say.
//! Not here: the extensions API, and streamed responses, which are gathered like any other.

use crate::body::{Body, full};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mayfly_kernel::function::FunctionError;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
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
    pub event: Bytes,
    pub depth: u32,
}

/// What the runtime does.
pub(crate) enum Call {
    /// It wants an event, and so has initialised.
    Next(oneshot::Sender<Work>),
    Response(Bytes),
    /// The response was longer than may be; its length.
    TooLarge(u64),
    Error(FunctionError),
    InitError(FunctionError),
}

/// The API of one instance. Its connections end when the future of [`Api::serve`] is dropped.
#[derive(Clone)]
pub(crate) struct Api {
    calls: mpsc::Sender<Call>,
    /// The invocation that may be answered now.
    current: Arc<Mutex<Option<String>>>,
    response_limit: u64,
    /// The environment, as JSON, for a runtime that started without one.
    assignment: Option<Bytes>,
}

/// A runtime needs one connection, an odd one a few more.
const CONNECTIONS: usize = 32;

impl Api {
    pub(crate) fn new(response_limit: u64, assignment: Option<Bytes>) -> (Api, mpsc::Receiver<Call>) {
        let (calls, receiver) = mpsc::channel(4);
        (Api { calls, current: Arc::default(), response_limit, assignment }, receiver)
    }

    /// From now on the answer to this invocation is taken, once.
    pub(crate) fn expect(&self, request_id: &str) {
        *self.current.lock() = Some(request_id.to_owned());
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
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default().to_owned();
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
            (&Method::POST, ["invocation", id, what @ ("response" | "error")]) => {
                if !self.take_current(id) {
                    return refuse(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
                }
                let call = if *what == "error" {
                    Call::Error(self.function_error(request).await)
                } else {
                    match gather(request.into_body(), self.response_limit).await {
                        Gathered::All(body) => Call::Response(body),
                        Gathered::TooLarge(length) => Call::TooLarge(length),
                        Gathered::Broken => {
                            return refuse(StatusCode::BAD_REQUEST, "InvalidRequest", "Broken body");
                        }
                    }
                };
                self.tell(call).await
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
        // Only a caller's odd trace or context can fail this, and then it is refused rather than passed on.
        response
            .body(full(work.event))
            .unwrap_or_else(|_| refuse(StatusCode::INTERNAL_SERVER_ERROR, "InvalidHeader", "Invalid header"))
    }

    fn take_current(&self, id: &str) -> bool {
        let mut current = self.current.lock();
        let fits = current.as_deref() == Some(id);
        if fits {
            *current = None;
        }
        fits
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
        let payload = match gather(request.into_body(), self.response_limit).await {
            Gathered::All(body) => body.to_vec(),
            Gathered::TooLarge(_) | Gathered::Broken => b"{}".to_vec(),
        };
        let document: Option<serde_json::Value> = serde_json::from_slice(&payload).ok();
        let named = document.as_ref().and_then(|document| document["errorType"].as_str()).map(str::to_owned);
        FunctionError { error_type: named.or(header).unwrap_or_else(|| "Unknown".into()), payload }
    }
}

enum Gathered {
    All(Bytes),
    TooLarge(u64),
    Broken,
}

/// Reads a body to its end, but keeps no more than `limit` bytes of it.
async fn gather(mut body: Incoming, limit: u64) -> Gathered {
    let mut kept = BytesMut::new();
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Gathered::Broken };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len() as u64;
        if length <= limit {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
        }
    }
    if length <= limit { Gathered::All(kept.freeze()) } else { Gathered::TooLarge(length) }
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let document = serde_json::json!({ "errorType": kind, "errorMessage": message });
    let mut response = Response::new(full(document.to_string()));
    *response.status_mut() = status;
    response
}
