//! One request through one guest: from the program to the response's head, and on to the guest's end.
//!
//! The guest is a future. It is polled by the request's own task until it has given the response's head,
//! because a short answer is then whole without a task or a thread changed hands; what is left of a longer
//! one goes on in a task of its own.

use super::epoch::Ticker;
use super::guest::Guest;
use super::log::LogStream;
use super::pipe::{self, Stdin};
use super::program::Program;
use super::{Call, Error, Finished, Reply, cgi};
use crate::body::{Body, BoxError};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use mayfly_kernel::function::Version;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime::component::Resource;
use wasmtime::{PoolConcurrencyLimitError, Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

/// How a guest ended, if badly. Set before the guest's streams are closed, so that who sees the end of its
/// response knows whether it is whole.
type Fate = Arc<OnceLock<Error>>;

pub(super) async fn fetch(
    engine: &wasmtime::Engine,
    ticker: &Ticker,
    program: Arc<Program>,
    version: &Version,
    request: Request<Body>,
    call: Call,
) -> Result<Reply, Error> {
    let fate = Fate::default();
    let (finish, finished) = oneshot::channel();
    let run = |store, entry| {
        let running = Running { program: Arc::clone(&program), store, entry };
        ticker.watch(running.run_out(call.timeout, Arc::clone(&fate), finish, call.request_id.clone()))
    };
    let response = match &*program {
        Program::Handler(_) => {
            let mut store = Guest::store(engine, version, call.log.clone(), |wasi| {
                wasi.stdout(LogStream::new(call.log.clone()));
            });
            let (entry, head) = handler_entry(&mut store, request).map_err(internal)?;
            let head = async { handler_head(head.await) };
            until_head(run(store, entry), head, &fate).await?
        }
        Program::Command(_) => {
            let (parts, body) = request.into_parts();
            let (stdout, output) = pipe::stdout();
            let store = Guest::store(engine, version, call.log.clone(), |wasi| {
                wasi.envs(&cgi::environment(&parts)).stdin(Stdin::new(body)).stdout(stdout);
            });
            let head = async {
                let response = cgi::response(output).await.map_err(Error::BadResponse)?;
                Ok(response.map(|response| response.map(|body| body.boxed_unsync())))
            };
            until_head(run(store, Entry::Start), head, &fate).await?
        }
    };
    let response = response.map(|body| Answer { body, fate }.boxed_unsync());
    Ok(Reply { response, finished })
}

/// Polls the guest until the head is there. If the guest ends first, the head follows from its end.
async fn until_head(
    guest: impl Future<Output = ()> + Send + Unpin + 'static,
    head: impl Future<Output = Result<Option<Response<Body>>, Error>>,
    fate: &Fate,
) -> Result<Response<Body>, Error> {
    let mut guest = guest;
    let mut head = std::pin::pin!(head);
    let mut ended = false;
    let head = loop {
        tokio::select! {
            biased;
            () = &mut guest, if !ended => ended = true,
            head = &mut head => break head,
        }
    };
    if !ended {
        tokio::spawn(guest);
    }
    match head? {
        Some(response) => Ok(response),
        None => Err(fate.get().cloned().unwrap_or(Error::NoResponse)),
    }
}

/// How to call the program.
enum Entry {
    Handle(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>),
    Start,
}

type HandlerHead = Result<Response<HyperOutgoingBody>, ErrorCode>;

fn handler_entry(
    store: &mut Store<Guest>,
    mut request: Request<Body>,
) -> wasmtime::Result<(Entry, oneshot::Receiver<HandlerHead>)> {
    if request.uri().authority().is_none() {
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    }
    let request = request
        .map(|body| body.map_err(|error| wasmtime_wasi_http::Error::InternalError(Some(error.to_string()))));
    let (answer, head) = oneshot::channel();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let outparam = http.new_response_outparam(answer)?;
    Ok((Entry::Handle(request, outparam), head))
}

fn handler_head(
    head: Result<HandlerHead, oneshot::error::RecvError>,
) -> Result<Option<Response<Body>>, Error> {
    match head {
        Ok(Ok(response)) => Ok(Some(
            response.map(|body| body.map_err(|error| -> BoxError { Box::new(error) }).boxed_unsync()),
        )),
        Ok(Err(code)) => Err(Error::BadResponse(format!("the function answered with an error: {code:?}"))),
        Err(_) => Ok(None),
    }
}

struct Running {
    program: Arc<Program>,
    store: Store<Guest>,
    entry: Entry,
}

impl Running {
    async fn run_out(
        mut self,
        timeout: Duration,
        fate: Fate,
        finish: oneshot::Sender<Finished>,
        request_id: String,
    ) {
        let ended = tokio::time::timeout(timeout, call(&self.program, &mut self.store, self.entry)).await;
        let limits = &self.store.data().limits;
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => failure(&error, limits.refused),
            Err(_) => Some(Error::Timeout),
        };
        let finished =
            Finished { memory_bytes: limits.memory as u64, trap: failure.as_ref().map(Error::to_string) };
        if let Some(failure) = failure {
            tracing::debug!(request_id, error = %failure, "guest failed");
            let _ = fate.set(failure);
        }
        drop(self.store);
        let _ = finish.send(finished);
    }
}

async fn call(program: &Program, store: &mut Store<Guest>, entry: Entry) -> wasmtime::Result<()> {
    match (program, entry) {
        (Program::Handler(handler), Entry::Handle(request, outparam)) => {
            let instance = handler.instantiate_async(&mut *store).await?;
            instance.wasi_http_incoming_handler().call_handle(store, request, outparam).await
        }
        (Program::Command(command), Entry::Start) => {
            let instance = command.instantiate_async(&mut *store).await?;
            let status = instance.wasi_cli_run().call_run(store).await?;
            status.map_err(|()| I32Exit(1).into())
        }
        (Program::Handler(_), Entry::Start) | (Program::Command(_), Entry::Handle(..)) => {
            unreachable!("the entry is made for the program")
        }
    }
}

fn failure(error: &wasmtime::Error, memory_refused: bool) -> Option<Error> {
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (exit.0 != 0).then(|| Error::Trap(format!("exit status {}", exit.0)));
    }
    if memory_refused {
        return Some(Error::OutOfMemory);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Some(Error::Busy);
    }
    let mut text = error.root_cause().to_string();
    if let Some(stack) = error.downcast_ref::<WasmBacktrace>() {
        text = format!("{text}\n{stack}");
    }
    Some(Error::Trap(text.trim_end().to_owned()))
}

fn internal(error: wasmtime::Error) -> Error {
    Error::BadResponse(format!("{error:#}"))
}

/// A response's body that does not pass for whole when its guest has failed.
struct Answer {
    body: Body,
    fate: Fate,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Ready(self.fate.get().map(|failure| Err(failure.clone().into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.fate.get().is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
