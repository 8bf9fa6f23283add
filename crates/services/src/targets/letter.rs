//! What becomes of what could not be handed over.
//!
//! The attributes of a dead letter are those of "Using dead-letter queues to process undelivered events in
//! EventBridge".

use super::{Parcel, Sender, Undelivered};
use crate::Cx;
use crate::fabric::{self, Delivery, Target};
use crate::sqs::{self, Attribute, Post};
use mayfly_kernel::{Arn, Fault};
use prost::Message as _;

/// How much of an error a dead letter says.
const MESSAGE_BYTES: usize = 1024;

/// How often it was tried in vain, after the first time, and what has ended it.
#[derive(Clone, Copy, Default)]
pub(super) struct Tried {
    pub(super) retries: u32,
    /// `None` if trying again would have been no use.
    pub(super) exhausted: Option<Exhausted>,
}

/// Which part of a retry policy has ended the attempts.
#[derive(Clone, Copy)]
pub(super) enum Exhausted {
    RetryAttempts,
    EventAge,
}

impl Exhausted {
    fn name(self) -> &'static str {
        match self {
            Exhausted::RetryAttempts => "MaximumRetryAttempts",
            Exhausted::EventAge => "MaximumEventAgeInSeconds",
        }
    }
}

pub(super) fn reason(why: &Undelivered) -> String {
    format!("{}: {}", why.code, why.message)
}

pub(super) fn give_up(cx: &mut Cx<'_>, parcel: Parcel, why: &Undelivered, tried: Tried) -> Result<(), Fault> {
    let mut reason = reason(why);
    if !parcel.dead_letters.is_empty() {
        match send(cx, &parcel, why, tried)? {
            Ok(()) => return Ok(()),
            Err(unsent) => reason = format!("{reason}; {unsent}"),
        }
    }
    let arn: Arn = parcel.target.parse().unwrap_or_else(|_| cx.arn("events", parcel.target.clone()));
    let delivery = Delivery {
        target: Target::Parcel(arn),
        event_type: parcel.event_type.clone(),
        source: parcel.source.clone(),
        depth: parcel.depth,
        tenant: None,
        payload: parcel.encode_to_vec(),
        id: None,
        due: None,
    };
    fabric::keep_as_dead(cx, delivery, reason);
    Ok(())
}

/// The message has what was to be delivered as its body; its attributes say why it was not.
fn send(
    cx: &mut Cx<'_>,
    parcel: &Parcel,
    why: &Undelivered,
    tried: Tried,
) -> Result<Result<(), String>, Fault> {
    let Ok(queue) = parcel.dead_letters.parse::<Arn>() else {
        return Ok(Err("the dead-letter target is no ARN".to_owned()));
    };
    let cut = why.message.floor_char_boundary(MESSAGE_BYTES);
    let source = match parcel.sender() {
        Sender::Schedule => "SCHEDULE_ARN",
        Sender::Pipe => "PIPE_ARN",
        Sender::Rule | Sender::Unspecified => "RULE_ARN",
    };
    let text = |name, value: &str| Attribute::of_text(name, "String", value);
    let mut attributes = vec![
        text("ERROR_CODE", why.code),
        text("ERROR_MESSAGE", &why.message[..cut]),
        Attribute::of_text("RETRY_ATTEMPTS", "Number", tried.retries.to_string()),
        text(source, &parcel.source),
        text("TARGET_ARN", &parcel.target),
    ];
    attributes.extend(tried.exhausted.map(|what| text("EXHAUSTED_RETRY_CONDITION", what.name())));
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    let post = Post { attributes, ..Post::new(parcel.input.clone(), parcel.depth + 1) };
    Ok(sqs::post(cx, &queue, &parcel.agent(), post)?.map_err(|unsent| format!("for the dead-letter queue {queue}: {unsent}")))
}
