//! A command's standard input and output as HTTP bodies: streamed both ways, with nothing gathered.

use crate::body::{Body, BoxError};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// How much a guest may write at once, and how many such writes wait for the reader before the guest has to.
const WRITE_BYTES: usize = 64 * 1024;
const WAITING_WRITES: usize = 2;

/// A request's body as standard input. Programs may open the stream several times; all handles read on from
/// where the last one stopped.
#[derive(Clone)]
pub(super) struct Stdin(Arc<Mutex<Input>>);

struct Input {
    /// `None` once it has been read to its end.
    body: Option<Body>,
    read_ahead: Bytes,
    error: Option<BoxError>,
}

impl Stdin {
    pub(super) fn new(body: Body) -> Stdin {
        Stdin(Arc::new(Mutex::new(Input { body: Some(body), read_ahead: Bytes::new(), error: None })))
    }
}

impl Input {
    /// Ready when a read has something to say: bytes, the end, or an error.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.read_ahead.is_empty() && self.error.is_none() {
            let Some(body) = &mut self.body else { return Poll::Ready(()) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                // Trailers have no place in a byte stream.
                Poll::Ready(Some(Ok(frame))) => self.read_ahead = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    self.body = None;
                }
                Poll::Ready(None) => self.body = None,
            }
        }
        Poll::Ready(())
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Ok(Bytes::new());
        }
        if let Some(error) = self.error.take() {
            return Err(StreamError::LastOperationFailed(wasmtime::Error::msg(error.to_string())));
        }
        if self.read_ahead.is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.read_ahead.split_to(size.min(self.read_ahead.len())))
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    // Asked for by WASI 0.3 alone, which the linker does not offer.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }
}

impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.lock().read(size)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.0.lock().poll_fill(cx)).await;
    }
}

/// Standard output, and the body that reads it. The body ends when the last handle is dropped.
pub(super) fn stdout() -> (Stdout, Output) {
    let (writes, reads) = mpsc::channel(WAITING_WRITES);
    (Stdout(writes), Output { read_back: Bytes::new(), reads })
}

#[derive(Clone)]
pub(super) struct Stdout(mpsc::Sender<Bytes>);

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdout {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    // Asked for by WASI 0.3 alone, which the linker does not offer.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Stdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => StreamError::Closed,
            mpsc::error::TrySendError::Full(_) => StreamError::trap("written without asking for room"),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        if self.0.is_closed() { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match (self.0.is_closed(), self.0.capacity()) {
            (true, _) => Err(StreamError::Closed),
            (false, 0) => Ok(0),
            (false, _) => Ok(WRITE_BYTES),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        // A closed channel is ready too: the next call says so.
        let _ = self.0.reserve().await;
    }
}

/// What a command prints, as a body.
pub(super) struct Output {
    read_back: Bytes,
    reads: mpsc::Receiver<Bytes>,
}

impl Output {
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Gives `bytes` to the next reader, before all that follows.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.read_back = bytes;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.read_back.is_empty() {
            return self.reads.poll_recv(cx);
        }
        Poll::Ready(Some(std::mem::take(&mut self.read_back)))
    }
}

impl http_body::Body for Output {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
