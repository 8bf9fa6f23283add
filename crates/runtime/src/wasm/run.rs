//! One request through one guest: from the program to the response's head, and on to the guest's end.
//!
//! The guest is a future. It is polled by the request's own task until it has given the response's head,
//! because a short answer is then whole without a task or a thread changed hands; what is left of a longer
//! one goes on in a task of its own.

use super::epoch::Ticker;
use super::guest::{self, Bounded, Guest, GuestLimits, Surroundings};
use super::log::LogStream;
use super::pipe::{self, Output, Stdin};
use super::preview1::{Environment, Process};
use super::program::Program;
use super::{Call, Error, Finished, Reply, World, cgi};
use crate::body::{Body, BoxError, Cut};
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
use wasmtime::error::Context as _;
use wasmtime::{Extern, PoolConcurrencyLimitError, Store, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

/// How a guest ended, if badly. Set before the guest's streams are closed, so that who sees the end of its
/// response knows whether it is whole.
type Fate = Arc<OnceLock<Error>>;

/// What runs guests.
pub(super) struct Machine<'a> {
    pub(super) engine: &'a wasmtime::Engine,
    pub(super) ticker: &'a Ticker,
    pub(super) world: &'a World,
}

pub(super) async fn fetch(
    Machine { engine, ticker, world }: Machine<'_>,
    program: Arc<Program>,
    version: &Arc<Version>,
    request: Request<Body>,
    call: Call,
) -> Result<Reply, Error> {
    let fate = Fate::default();
    let (finish, finished) = oneshot::channel();
    let end = End { timeout: call.timeout, fate: Arc::clone(&fate), finish };
    let surroundings = Surroundings::of(world, version, call.depth);
    let response = match &*program {
        Program::Handler(handler) => {
            let guest = Guest::new(&surroundings, call.log.clone(), |wasi| {
                wasi.stdout(LogStream::new(call.log));
                surroundings.environment(|name, value| {
                    wasi.env(name, value);
                });
            });
            let mut store = guest::store(engine, guest);
            let (request, outparam, head) = handler_entry(&mut store, request).map_err(internal)?;
            let handler = handler.clone();
            let run = async move |store: &mut Store<Guest>| {
                let instance = handler.instantiate_async(&mut *store).await?;
                instance.wasi_http_incoming_handler().call_handle(store, request, outparam).await
            };
            let head = async { handler_head(head.await) };
            until_head(ticker.watch(run_out(store, run, end)), head, fate).await?
        }
        Program::Command(command) => {
            let (parts, body) = request.into_parts();
            let (stdout, output) = pipe::stdout();
            let guest = Guest::new(&surroundings, call.log, |wasi| {
                wasi.stdin(Stdin::new(body)).stdout(stdout);
                surroundings.cgi(&parts, |name, value| {
                    wasi.env(name, value);
                });
            });
            let command = command.clone();
            let run = async move |store: &mut Store<Guest>| {
                let instance = command.instantiate_async(&mut *store).await?;
                let status = instance.wasi_cli_run().call_run(store).await?;
                status.map_err(|()| I32Exit(1).into())
            };
            let running = run_out(guest::store(engine, guest), run, end);
            until_head(ticker.watch(running), command_head(output), fate).await?
        }
        Program::Module(module) => {
            let (parts, body) = request.into_parts();
            let (stdout, output) = pipe::stdout();
            let mut environment = Environment::new();
            surroundings.cgi(&parts, |name, value| environment.set(name, value));
            let (limits, stderr) = (GuestLimits::of(version), LogStream::new(call.log));
            let process = Process::new(limits, environment, Stdin::new(body), stdout, stderr);
            let module = module.clone();
            let run = async move |store: &mut Store<Process>| {
                let instance = module.linked.instantiate_async(&mut *store).await?;
                let start = instance.get_module_export(&mut *store, &module.export);
                let start = start.and_then(Extern::into_func).context("`_start` is no function")?;
                start.typed::<(), ()>(&mut *store)?.call_async(store, ()).await
            };
            let running = run_out(guest::store(engine, process), run, end);
            until_head(ticker.watch(running), command_head(output), fate).await?
        }
    };
    Ok(Reply { response, finished })
}

async fn command_head(output: Output) -> Result<Option<Response<Output>>, Error> {
    cgi::response(output).await.map_err(Error::BadResponse)
}

/// Polls the guest until the head is there. If the guest ends first, the head follows from its end.
async fn until_head<B: http_body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static>(
    guest: impl Future<Output = ()> + Send + Unpin + 'static,
    head: impl Future<Output = Result<Option<Response<B>>, Error>>,
    fate: Fate,
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
        Some(response) => Ok(response.map(|body| Answer { body, fate }.boxed_unsync())),
        None => Err(fate.get().cloned().unwrap_or(Error::NoResponse)),
    }
}

type HandlerHead = Result<Response<HyperOutgoingBody>, ErrorCode>;

type HandlerEntry =
    (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>, oneshot::Receiver<HandlerHead>);

fn handler_entry(store: &mut Store<Guest>, mut request: Request<Body>) -> wasmtime::Result<HandlerEntry> {
    if request.uri().authority().is_none() {
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    }
    let request = request
        .map(|body| body.map_err(|error| wasmtime_wasi_http::Error::InternalError(Some(error.to_string()))));
    let (answer, head) = oneshot::channel();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let outparam = http.new_response_outparam(answer)?;
    Ok((request, outparam, head))
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

/// How long a guest may take, and who is told of its end.
struct End {
    timeout: Duration,
    fate: Fate,
    finish: oneshot::Sender<Finished>,
}

async fn run_out<T: Bounded>(
    mut store: Store<T>,
    run: impl AsyncFnOnce(&mut Store<T>) -> wasmtime::Result<()>,
    end: End,
) {
    let ended = tokio::time::timeout(end.timeout, run(&mut store)).await;
    let limits = store.data_mut().limits();
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => failure(&error, limits.refused),
        Err(_) => Some(Error::Timeout),
    };
    let finished =
        Finished { memory_bytes: limits.memory as u64, trap: failure.as_ref().map(Error::to_string) };
    if let Some(failure) = failure {
        let _ = end.fate.set(failure);
    }
    drop(store);
    let _ = end.finish.send(finished);
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
struct Answer<B> {
    body: B,
    fate: Fate,
}

impl<B: http_body::Body<Data = Bytes, Error = BoxError> + Unpin> http_body::Body for Answer<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Poll::Ready(self.fate.get().map(|failure| match failure {
                Error::Timeout => Err(Cut::Timeout.into()),
                failure => Err(failure.clone().into()),
            })),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.fate.get().is_none()
    }

    /// A body that is cut short has no length that would make it pass for whole.
    fn size_hint(&self) -> http_body::SizeHint {
        match self.fate.get() {
            None => self.body.size_hint(),
            Some(_) => http_body::SizeHint::default(),
        }
    }
}
