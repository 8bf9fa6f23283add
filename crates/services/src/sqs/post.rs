//! Messages that the platform sends: notifications, records for destinations, dead letters of invocations.
//!
//! They are rows of the transaction of what caused them, so a queue that is a target needs no delivery on the
//! way.

use super::model::Attribute;
use super::queues::find;
use super::send::{self, Draft};
use super::{body, policy};
use crate::Cx;
use crate::access::Agent;
use mayfly_kernel::{Arn, Fault};

/// A message to a queue.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) body: Vec<u8>,
    /// In the order of their names.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) depth: u32,
    /// What a FIFO queue needs; of no use to others.
    pub(crate) place: Option<Place>,
}

/// A message's place in a FIFO queue.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) dedup: String,
}

impl Post {
    pub(crate) fn new(body: Vec<u8>, depth: u32) -> Post {
        Post { body, attributes: Vec::new(), depth, place: None }
    }
}

/// Why a message of the platform cannot go to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    NoSuchQueue,
    /// A FIFO queue, which would need a group.
    Fifo,
    TooLarge,
    NotText,
    /// Its policy does not let the sender in, in the words of IAM.
    Denied(String),
}

impl std::fmt::Display for Unreached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unreached::NoSuchQueue => "the queue does not exist",
            Unreached::Fifo => "it is a FIFO queue",
            Unreached::TooLarge => "the message is larger than the queue takes",
            Unreached::NotText => "the message is not text",
            Unreached::Denied(why) => why,
        })
    }
}

/// Sends in this transaction; or says why it cannot, and nothing is sent.
pub(crate) fn post(
    cx: &mut Cx<'_>,
    arn: &Arn,
    agent: &Agent<'_>,
    post: Post,
) -> Result<Result<(), Unreached>, Fault> {
    let Some(queue) = find(cx, arn)? else { return Ok(Err(Unreached::NoSuchQueue)) };
    if let Err(why) = policy::admits(cx, &queue, agent) {
        return Ok(Err(Unreached::Denied(why)));
    }
    let place = match post.place.filter(|_| queue.record.fifo) {
        None if queue.record.fifo => return Ok(Err(Unreached::Fifo)),
        None => Place { group: String::new(), dedup: String::new() },
        Some(place) => place,
    };
    let draft = Draft {
        body: post.body.into(),
        attributes: post.attributes,
        trace: String::new(),
        group: place.group,
        dedup: place.dedup,
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
