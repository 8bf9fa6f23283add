//! The body type of every HTTP message that passes through the runtime: frames as they come, nothing gathered.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is read once, frame by frame.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why an answer that had begun is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the function timed out before its answer was whole")]
    Timeout,
    #[error("the function failed before its answer was whole")]
    Failed,
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
