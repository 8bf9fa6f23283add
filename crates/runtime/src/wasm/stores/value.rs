//! The values of `wasi:blobstore`: bytes on their way into an object and out of one, streamed.

use super::super::pipe::{self, Output, Stdout};
use crate::body::{Body, BoxError};
use crate::stores::Unstored;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

/// Why an object that was written comes to nothing, in the words of its body.
const UNFINISHED: &str = "the value was not finished";
/// What is in the way of a guest that writes much before it says where to.
const NOWHERE: &str = "the value is full: pass it to write-data before you write more";

/// What a guest writes. It has a place once the guest has named one, and counts only once it is finished.
pub struct OutgoingValue {
    /// Until the guest takes it.
    stdout: Option<Stdout>,
    /// Until there is a place for it.
    output: Option<Output>,
    has_place: Arc<AtomicBool>,
    finish: oneshot::Sender<()>,
    finished: Option<oneshot::Receiver<()>>,
    upload: Option<AbortOnDropJoinHandle<Result<(), Unstored>>>,
}

impl OutgoingValue {
    pub(super) fn new() -> OutgoingValue {
        let (stdout, output) = pipe::stdout();
        let (finish, finished) = oneshot::channel();
        let has_place = Arc::default();
        let (stdout, output, finished) = (Some(stdout), Some(output), Some(finished));
        OutgoingValue { stdout, output, has_place, finish, finished, upload: None }
    }

    /// The stream into it; there is only one.
    pub(super) fn writer(&mut self) -> Option<Box<dyn OutputStream>> {
        let stdout = self.stdout.take()?;
        Some(Box::new(Writer { stdout, has_place: self.has_place.clone() }))
    }

    /// Begins to send it to its place; a value has one place.
    pub(super) fn send(&mut self, put: impl FnOnce(Body) -> crate::stores::Stored<()>) -> Result<(), String> {
        let (Some(output), Some(finished)) = (self.output.take(), self.finished.take()) else {
            return Err("the value has been written already".into());
        };
        self.has_place.store(true, Ordering::Release);
        self.upload = Some(spawn(put(Contents { output, finished: Some(finished) }.boxed_unsync())));
        Ok(())
    }

    /// It is whole: comes back when it is stored.
    pub(super) async fn finish(self) -> Result<(), Unstored> {
        drop(self.stdout);
        let _ = self.finish.send(());
        match self.upload {
            Some(upload) => upload.await,
            None => Ok(()),
        }
    }
}

struct Writer {
    stdout: Stdout,
    has_place: Arc<AtomicBool>,
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        OutputStream::write(&mut self.stdout, bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        OutputStream::flush(&mut self.stdout)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.stdout.check_write()? {
            0 if !self.has_place.load(Ordering::Acquire) => {
                Err(StreamError::LastOperationFailed(wasmtime::Error::msg(NOWHERE)))
            }
            room => Ok(room),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        // Nobody would ever make room; that it is full is said by the next check.
        if self.has_place.load(Ordering::Acquire) {
            self.stdout.ready().await;
        }
    }
}

/// What was written, as a body that is whole only if the guest says so.
struct Contents {
    output: Output,
    finished: Option<oneshot::Receiver<()>>,
}

impl http_body::Body for Contents {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = ready!(Pin::new(&mut self.output).poll_frame(cx)) {
            return Poll::Ready(Some(frame));
        }
        let Some(finished) = &mut self.finished else { return Poll::Ready(None) };
        let whole = ready!(Pin::new(finished).poll(cx)).is_ok();
        self.finished = None;
        Poll::Ready((!whole).then(|| Err(UNFINISHED.into())))
    }
}

/// What a guest reads of an object.
pub struct IncomingValue {
    pub(super) size: u64,
    pub(super) body: Body,
}

impl IncomingValue {
    /// All of it, if it is not more than a guest of this size could hold.
    pub(super) async fn gather(self, limit: u64) -> Result<Vec<u8>, String> {
        if self.size > limit {
            return Err(format!(
                "{} bytes are more than the function has memory for: read the stream",
                self.size
            ));
        }
        let gathered = self.body.collect().await.map_err(|error| error.to_string())?;
        Ok(gathered.to_bytes().to_vec())
    }
}
