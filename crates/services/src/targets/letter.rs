//! What becomes of what could not be handed over.
//!
//! The attributes of a dead letter are those of "Using dead-letter queues to process undelivered events in
//! EventBridge", and of a schedule's those of "Configuring a schedule's dead-letter queue in EventBridge
//! Scheduler".

use super::{Parcel, Sender, Undelivered};
use crate::Cx;
use crate::fabric::{self, Delivery, Target};
use crate::sqs::{self, Attribute, Post};
use mayfly_kernel::{Arn, Fault};
use prost::Message as _;

/// How much of an error a dead letter says.
const MESSAGE_BYTES: usize = 1024;
const IS_CUT: &str = "IS_PAYLOAD_TRUNCATED";
/// What the type and the value of that attribute have.
const CUT_BYTES: u64 = 11;

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

/// The message has what was to be delivered as its body; its attributes say why it was not. Of a schedule's,
/// what does not fit into the queue is cut off, and the attributes say so.
fn send(
    cx: &mut Cx<'_>,
    parcel: &Parcel,
    why: &Undelivered,
    tried: Tried,
) -> Result<Result<(), String>, Fault> {
    let Ok(queue) = parcel.dead_letters.parse::<Arn>() else {
        return Ok(Err("the dead-letter target is no ARN".to_owned()));
    };
    let mut attributes = attributes(parcel, why, tried);
    let mut body = parcel.input.clone();
    if parcel.sender() == Sender::Schedule {
        let most = sqs::exists(cx, &queue)?.map_or(u64::MAX, |facts| facts.message_bytes);
        let room = most.saturating_sub(sqs::size(&[], &attributes) + IS_CUT.len() as u64 + CUT_BYTES);
        let cut = body.len() as u64 > room;
        if cut {
            let text = String::from_utf8_lossy(&body);
            let end = text.floor_char_boundary(usize::try_from(room).unwrap_or(usize::MAX));
            body = text[..end].as_bytes().to_vec();
        }
        attributes.push(Attribute::of_text(IS_CUT, "String", cut.to_string()));
    }
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    let post = Post { attributes, ..Post::new(body, parcel.depth + 1) };
    Ok(sqs::post(cx, &queue, &parcel.agent(), post)?
        .map_err(|unsent| format!("for the dead-letter queue {queue}: {unsent}")))
}

fn attributes(parcel: &Parcel, why: &Undelivered, tried: Tried) -> Vec<Attribute> {
    let cut = why.message.floor_char_boundary(MESSAGE_BYTES);
    let text = |name, value: &str| Attribute::of_text(name, "String", value);
    let mut attributes = vec![text("ERROR_MESSAGE", &why.message[..cut]), text("TARGET_ARN", &parcel.target)];
    attributes.extend(tried.exhausted.map(|what| text("EXHAUSTED_RETRY_CONDITION", what.name())));
    let retries = tried.retries.to_string();
    match parcel.sender() {
        Sender::Schedule => attributes.extend([
            text("ERROR_CODE", of_api(&parcel.target, why.code)),
            text("EXECUTION_ID", &parcel.execution),
            text("RETRY_ATTEMPTS", &retries),
            text("SCHEDULED_TIME", &parcel.scheduled),
            text("SCHEDULE_ARN", &parcel.source),
        ]),
        sender => attributes.extend([
            text("ERROR_CODE", why.code),
            Attribute::of_text("RETRY_ATTEMPTS", "Number", retries),
            text(if sender == Sender::Pipe { "PIPE_ARN" } else { "RULE_ARN" }, &parcel.source),
        ]),
    }
    attributes
}

/// The code by which the target's own API says it, which is what dead letters of schedules have.
fn of_api(target: &str, code: &'static str) -> &'static str {
    match (code, target.split(':').nth(2).unwrap_or_default()) {
        ("RESOURCE_NOT_FOUND", "sqs") => "AWS.SimpleQueueService.NonExistentQueue",
        ("RESOURCE_NOT_FOUND", "sns") => "NotFound",
        ("RESOURCE_NOT_FOUND", _) => "ResourceNotFoundException",
        ("NO_PERMISSIONS", "sqs") => "AccessDenied",
        ("NO_PERMISSIONS", "sns") => "AuthorizationError",
        ("NO_PERMISSIONS", _) => "AccessDeniedException",
        (other, _) => other,
    }
}
