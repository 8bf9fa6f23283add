//! A command's standard input and output as HTTP bodies: streamed both ways, with nothing gathered.

use crate::body::{Body, BoxError};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// How much waits for the reader before the guest has to.
const PIPE_BYTES: usize = 64 * 1024;

/// Room for what most guests write at first, so that they do not make it grow piece by piece.
const FIRST_BYTES: usize = 512;

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

    /// Up to `size` bytes, as soon as there are any; nothing at the end.
    pub(super) async fn next(&self, size: usize) -> Result<Bytes, BoxError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
        self.0.lock().take(size)
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.lock().poll_fill(cx)
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

    /// What there is, up to `size` bytes; nothing at the end.
    fn take(&mut self, size: usize) -> Result<Bytes, BoxError> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self.read_ahead.split_to(size.min(self.read_ahead.len()))),
        }
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Ok(Bytes::new());
        }
        match self.take(size) {
            Err(error) => Err(StreamError::LastOperationFailed(wasmtime::Error::msg(error.to_string()))),
            Ok(bytes) if bytes.is_empty() => Err(StreamError::Closed),
            Ok(bytes) => Ok(bytes),
        }
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

/// Standard output, and the body that reads it. The body ends when the last handle is dropped. What is written
/// in pieces before anyone reads is read in one.
pub(super) fn stdout() -> (Stdout, Output) {
    let pipe = Pipe { bytes: BytesMut::with_capacity(FIRST_BYTES), ..Pipe::default() };
    let pipe = Arc::new(Mutex::new(pipe));
    (Stdout(Arc::new(Writer(pipe.clone()))), Output { read_back: BytesMut::new(), pipe })
}

#[derive(Default)]
struct Pipe {
    bytes: BytesMut,
    /// Nothing more will be written.
    ended: bool,
    /// Nobody will read any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Writer(Arc<Mutex<Pipe>>);

impl Drop for Writer {
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        pipe.ended = true;
        wake(&mut pipe.reader);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[derive(Clone)]
pub(super) struct Stdout(Arc<Writer>);

impl Stdout {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.0.lock()
    }

    /// How much may be written now. `None`: nobody reads any more.
    pub(super) fn room(&self) -> Option<usize> {
        let pipe = self.pipe();
        (!pipe.abandoned).then(|| PIPE_BYTES.saturating_sub(pipe.bytes.len()))
    }

    /// Ready when there is room, and when nobody reads any more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = self.pipe();
        if pipe.abandoned || pipe.bytes.len() < PIPE_BYTES {
            return Poll::Ready(());
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes all of it: who writes has asked for room.
    pub(super) fn put(&self, bytes: &[u8]) {
        let mut pipe = self.pipe();
        pipe.bytes.extend_from_slice(bytes);
        wake(&mut pipe.reader);
    }
}

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
        match self.room() {
            None => Err(StreamError::Closed),
            Some(room) if room < bytes.len() => Err(StreamError::trap("written without asking for room")),
            Some(_) => {
                self.put(&bytes);
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check_write().map(drop)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.room().ok_or(StreamError::Closed)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdout {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

/// What a command prints, as a body.
pub(super) struct Output {
    read_back: BytesMut,
    pipe: Arc<Mutex<Pipe>>,
}

impl Output {
    pub(super) async fn next(&mut self) -> Option<BytesMut> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Gives `bytes` to the next reader, before all that follows.
    pub(super) fn put_back(&mut self, bytes: BytesMut) {
        self.read_back = bytes;
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
        if !self.read_back.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut self.read_back)));
        }
        let mut pipe = self.pipe.lock();
        if !pipe.bytes.is_empty() {
            wake(&mut pipe.writer);
            return Poll::Ready(Some(std::mem::take(&mut pipe.bytes)));
        }
        if pipe.ended {
            return Poll::Ready(None);
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How much is left to read, once all has been written.
    fn left(&self) -> Option<usize> {
        let pipe = self.pipe.lock();
        pipe.ended.then(|| self.read_back.len() + pipe.bytes.len())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut pipe = self.pipe.lock();
        pipe.abandoned = true;
        wake(&mut pipe.writer);
    }
}

impl http_body::Body for Output {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_next(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, |left| SizeHint::with_exact(left as u64))
    }
}
