//! Bodies with bounds: no more bytes than there may be, and no longer a rest between them than the guest
//! waits.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

pub(super) struct Bounded<B> {
    body: B,
    limit: u64,
    left: u64,
    too_large: fn(u64) -> Error,
    rest: Option<Duration>,
    /// Runs while nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded<WasiBody> {
    pub(super) fn request(body: WasiBody, limit: u64) -> Bounded<WasiBody> {
        let too_large = |limit| Error::HttpRequestBodySize(Some(limit));
        Bounded { body, limit, left: limit, too_large, rest: None, timer: None }
    }
}

impl Bounded<Incoming> {
    pub(super) fn response(body: Incoming, limit: u64, rest: Option<Duration>) -> Bounded<Incoming> {
        let too_large = |limit| Error::HttpResponseBodySize(Some(limit));
        Bounded { body, limit, left: limit, too_large, rest, timer: None }
    }
}

impl<B: Body<Data = Bytes, Error: Into<Error>> + Unpin> Body for Bounded<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let Some(rest) = this.rest else { return Poll::Pending };
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(rest)));
            return timer.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)));
        };
        this.timer = None;
        let frame = frame.map(|frame| frame.map_err(Into::into));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            match this.left.checked_sub(length) {
                Some(left) => this.left = left,
                None => return Poll::Ready(Some(Err((this.too_large)(this.limit)))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
