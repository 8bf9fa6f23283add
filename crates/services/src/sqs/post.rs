//! Messages that the platform sends: notifications, records for destinations, dead letters of invocations.
//!
//! They are rows of the transaction of what caused them, so a queue that is a target needs no delivery on the way.

use super::body;
use super::model::Attribute;
use super::queues::find;
use super::send::{self, Draft};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};

/// A message to a standard queue.
pub(crate) struct Post {
    pub(crate) body: Vec<u8>,
    /// Name, data type and value, in the order of their names.
    pub(crate) attributes: Vec<(&'static str, &'static str, String)>,
    pub(crate) depth: u32,
}

/// Why a message of the platform cannot go to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    NoSuchQueue,
    /// A FIFO queue, which would need a group.
    Fifo,
    TooLarge,
    NotText,
}

impl std::fmt::Display for Unreached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unreached::NoSuchQueue => "the queue does not exist",
            Unreached::Fifo => "it is a FIFO queue",
            Unreached::TooLarge => "the message is larger than the queue takes",
            Unreached::NotText => "the message is not text",
        })
    }
}

/// Whether a queue can be a target.
pub(crate) fn is_target(cx: &Cx<'_>, arn: &Arn) -> Result<Result<(), Unreached>, Fault> {
    Ok(match find(cx, arn)? {
        None => Err(Unreached::NoSuchQueue),
        Some(queue) if queue.record.fifo => Err(Unreached::Fifo),
        Some(_) => Ok(()),
    })
}

/// Sends in this transaction; or says why it cannot, and nothing is sent.
pub(crate) fn post(cx: &mut Cx<'_>, arn: &Arn, post: Post) -> Result<Result<(), Unreached>, Fault> {
    let Some(queue) = find(cx, arn)? else { return Ok(Err(Unreached::NoSuchQueue)) };
    if queue.record.fifo {
        return Ok(Err(Unreached::Fifo));
    }
    let attributes = post.attributes.into_iter().map(|(name, data_type, value)| Attribute {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        text: Some(value),
        binary: None,
    });
    let draft = Draft {
        body: post.body.into(),
        attributes: attributes.collect(),
        trace: String::new(),
        group: String::new(),
        dedup: String::new(),
        delay_s: queue.record.delay_s,
        depth: post.depth,
    };
    if draft.size() > queue.record.message_bytes {
        return Ok(Err(Unreached::TooLarge));
    }
    let text = std::str::from_utf8(&draft.body).ok();
    if text.is_none_or(|text| body::check_text(text).is_err()) {
        return Ok(Err(Unreached::NotText));
    }
    let uid = cx.ids.number();
    send::put(cx, &queue, draft, uid)?;
    Ok(Ok(()))
}
