//! Answers that leave while the function still writes them: as an event stream of the Invoke API, or as the
//! body of a function URL's HTTP answer.
//!
//! Each holds the reading end of a function's answer. A client that goes away drops it, which ends the
//! delivery.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use mayfly_kernel::function::{Outcome, Refusal};
use mayfly_runtime::{Answer, Body, BoxError};
use mayfly_services::apigateway::payload;
use mayfly_wire::event_stream;
use serde_json::json;

pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";
/// A body whose head, in JSON, comes first, with eight zero bytes behind it.
const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
const SEPARATOR: [u8; 8] = [0; 8];
/// The most that a status and headers may take.
const HEAD_BYTES: usize = 64 * 1024;

/// The answer of InvokeWithResponseStream: chunks of the payload, and then how the invocation ended.
pub(super) fn events(answer: Answer, log_tail: bool) -> Body {
    let frames = stream::unfold(Some(answer), move |answer| async move {
        let mut answer = answer?;
        let event = match answer.piece().await {
            Some(piece) => {
                let chunk = event_stream::event("PayloadChunk", "application/octet-stream", &piece);
                return Some((Ok(Frame::data(Bytes::from(chunk))), Some(answer)));
            }
            None => complete(answer.outcome().await, log_tail),
        };
        Some((event.map(|event| Frame::data(Bytes::from(event))), None))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn complete(ended: Result<Outcome, Refusal>, log_tail: bool) -> Result<Vec<u8>, BoxError> {
    let outcome = ended.map_err(|refusal| format!("the invocation broke off: {refusal:?}"))?;
    let mut document = json!({});
    if let Err(error) = outcome.result {
        document["ErrorCode"] = json!(error.error_type);
        document["ErrorDetails"] = json!(String::from_utf8_lossy(&error.payload));
    }
    if log_tail {
        document["LogResult"] = json!(STANDARD.encode(&outcome.log_tail));
    }
    Ok(event_stream::event("InvokeComplete", "application/json", document.to_string().as_bytes()))
}

/// The answer of a function URL that streams: its head, without a body, and its body. `None`: there is no
/// answer, or not one that HTTP could carry.
pub(super) async fn http(mut answer: Answer) -> Option<(payload::Answer, Body)> {
    let content_type = answer.content_type.clone()?;
    if content_type != INTEGRATION {
        let headers = vec![("content-type".to_owned(), content_type)];
        let head = payload::Answer { status: 200, headers, body: Vec::new() };
        return Some((head, rest(Bytes::new(), answer)));
    }
    let mut read = BytesMut::new();
    let mut searched = 0;
    loop {
        let found = read[searched..].windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        if let Some(at) = found {
            let head = read.split_to(searched + at);
            let first = read.split_off(SEPARATOR.len()).freeze();
            return Some((payload::prelude(&head)?, rest(first, answer)));
        }
        searched = read.len().saturating_sub(SEPARATOR.len() - 1);
        if read.len() > HEAD_BYTES {
            return None;
        }
        match answer.piece().await {
            Some(piece) => read.extend_from_slice(&piece),
            // A head alone is an answer without a body, if the function meant it so.
            None => {
                answer.outcome().await.ok()?.result.ok()?;
                let body = mayfly_runtime::body::empty();
                return Some((payload::prelude(&read)?, body));
            }
        }
    }
}

/// `first`, and then what is still to come. The client of a function that fails in the middle is cut off,
/// since there is no other way left to tell it.
fn rest(first: Bytes, answer: Answer) -> Body {
    let frames = stream::unfold(Some((first, answer)), |state| async move {
        let (first, mut answer) = state?;
        let piece = if first.is_empty() { answer.piece().await } else { Some(first) };
        match piece {
            Some(piece) => Some((Ok(Frame::data(piece)), Some((Bytes::new(), answer)))),
            None => match answer.outcome().await {
                Ok(Outcome { result: Ok(_), .. }) => None,
                Ok(_) | Err(_) => {
                    let broken: BoxError = "the function failed before its answer was whole".into();
                    Some((Err(broken), None))
                }
            },
        }
    });
    StreamBody::new(frames).boxed_unsync()
}
