//! A body that may rest only so long: a function that stops in the middle of its answer does not hold a client for ever.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use mayfly_runtime::{Body, BoxError};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Ends `body` in an error once it has given nothing for `limit`.
pub(super) fn limited(body: Body, limit: Duration) -> Body {
    // What is whole already cannot rest.
    if body.is_end_stream() || body.size_hint().exact() == Some(0) {
        return body;
    }
    Idle { body, limit, rest: None, resting: false }.boxed_unsync()
}

struct Idle {
    body: Body,
    limit: Duration,
    /// Set up at the first rest: most bodies never have one.
    rest: Option<Pin<Box<Sleep>>>,
    resting: bool,
}

impl hyper::body::Body for Idle {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.resting = false;
            return Poll::Ready(frame);
        }
        let rest = this.rest.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.limit)));
        // A client that is slow to ask is not the function's rest: time runs from the first question.
        if !std::mem::replace(&mut this.resting, true) {
            rest.as_mut().reset(Instant::now() + this.limit);
        }
        rest.as_mut().poll(cx).map(|()| Some(Err("the function gave nothing for too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
