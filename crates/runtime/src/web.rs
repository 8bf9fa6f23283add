//! Functions that serve HTTP on `$PORT`: a request passes into the sandbox, its answer streams out.

use crate::body::{Body, BoxError};
use crate::instance::{Broken, Instance, WEB_PORT};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
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

/// Sends a request and waits for the answer's head.
pub(crate) async fn send(
    instance: &mut Instance,
    request: Request<Body>,
    within: Duration,
) -> Result<Response<Incoming>, NoAnswer> {
    let not_http = |error: &dyn std::fmt::Display| NoAnswer::NotHttp(error.to_string());
    let stream = instance.sandbox.connect(WEB_PORT).await.map_err(|error| not_http(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| not_http(&error))?;
    tokio::spawn(connection);
    let mut request = request;
    if !request.headers().contains_key(http::header::HOST) {
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    }
    tokio::select! {
        answer = sender.send_request(request) => answer.map_err(|error| not_http(&error)),
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
    let body = StreamBody::new(stream).boxed_unsync();
    (Response::from_parts(parts, body), Feed { incoming, frames })
}

pub(crate) struct Feed {
    incoming: Incoming,
    frames: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
}

impl Feed {
    /// Passes the body on to its end. A client that went away is no failure of the function.
    pub(crate) async fn run(mut self, within: Duration) -> Result<(), Broken> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let frame = tokio::select! {
                frame = self.incoming.frame() => frame,
                () = tokio::time::sleep_until(deadline) => {
                    let _ = self.frames.try_send(Err("the function did not end in time".into()));
                    return Err(Broken::Timeout);
                }
            };
            let Some(frame) = frame else { return Ok(()) };
            if self.frames.send(frame.map_err(Into::into)).await.is_err() {
                return Ok(());
            }
        }
    }
}
