//! Functions that serve HTTP on `$PORT`: a request passes into the sandbox, its answer streams out.

use crate::body::{Body, BoxError, Cut};
use crate::instance::{Broken, Instance, WEB_PORT};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::sync::mpsc;

/// Frames that wait for a slow client before the function is made to wait.
const FRAMES: usize = 16;

/// Why there is no answer.
pub(crate) enum NoAnswer {
    Broken(Broken),
    NotHttp(String),
}

/// A connection into the function on which nothing has been asked yet.
pub(crate) struct Reached(http1::SendRequest<Body>);

pub(crate) async fn reach(instance: &Instance) -> Result<Reached, NoAnswer> {
    let not_http = |error: &dyn std::fmt::Display| NoAnswer::NotHttp(error.to_string());
    let stream = instance.sandbox.connect(WEB_PORT).await.map_err(|error| not_http(&error))?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_http(&error))?;
    tokio::spawn(connection);
    Ok(Reached(sender))
}

/// Sends a request and waits for the answer's head.
pub(crate) async fn send(
    instance: &mut Instance,
    Reached(mut sender): Reached,
    mut request: Request<Body>,
    within: Duration,
) -> Result<Response<Incoming>, NoAnswer> {
    if !request.headers().contains_key(http::header::HOST) {
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    }
    tokio::select! {
        // An answer that has come counts, however late it is looked at.
        biased;
        answer = sender.send_request(request) => answer.map_err(|error| NoAnswer::NotHttp(error.to_string())),
        end = instance.sandbox.ended() => Err(NoAnswer::Broken(Broken::Ended(end))),
        () = tokio::time::sleep(within) => Err(NoAnswer::Broken(Broken::Timeout)),
    }
}

/// Splits an answer into what the client gets now and the work of feeding it the rest.
pub(crate) fn relay(answer: Response<Incoming>) -> (Response<Body>, Feed) {
    let (parts, incoming) = answer.into_parts();
    let (frames, receiver) = mpsc::channel(FRAMES);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    let left = incoming.size_hint().exact();
    let body = StreamBody::new(stream).boxed_unsync();
    (Response::from_parts(parts, body), Feed { incoming, frames, left, last: None })
}

pub(crate) struct Feed {
    incoming: Incoming,
    frames: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
    /// What is still to come of a body whose length was announced.
    left: Option<u64>,
    /// The end of the body, kept back until the instance is free: a client that has it may call again at once.
    last: Option<Frame<Bytes>>,
}

/// How a body that did not fail ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    Whole,
    /// The client went away, and the function may still be at it: the instance is not used again.
    Abandoned,
}

impl Feed {
    /// Passes the body on, up to what tells the client that it is whole.
    pub(crate) async fn run(&mut self, instance: &mut Instance, within: Duration) -> Result<Fed, Broken> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let frame = tokio::select! {
                biased;
                frame = self.incoming.frame() => frame,
                end = instance.sandbox.ended() => return Err(Broken::Ended(end)),
                () = tokio::time::sleep_until(deadline) => return Err(Broken::Timeout),
            };
            let frame = match frame {
                None => return Ok(Fed::Whole),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(Broken::Ended(instance.sandbox.ended().await)),
            };
            if let (Some(left), Some(data)) = (self.left, frame.data_ref()) {
                self.left = Some(left.saturating_sub(data.len() as u64));
            }
            if self.left == Some(0) {
                self.last = Some(frame);
                continue;
            }
            if self.frames.send(Ok(frame)).await.is_err() {
                return Ok(Fed::Abandoned);
            }
        }
    }

    /// Gives the client the end of its body, or the news that there is none.
    pub(crate) async fn end(self, whole: Result<(), Cut>) {
        let last = match (whole, self.last) {
            (Ok(()), None) => return,
            (Ok(()), Some(frame)) => Ok(frame),
            (Err(cut), _) => Err(cut.into()),
        };
        // A client that is gone needs nothing more.
        let _ = self.frames.send(last).await;
    }
}
