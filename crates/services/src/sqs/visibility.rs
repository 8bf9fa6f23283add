//! ChangeMessageVisibility and ChangeMessageVisibilityBatch.

use super::batch::{self, Answers, Done};
use super::handle::Handle;
use super::keys::{MESSAGES, STATES};
use super::model::VISIBILITY_MAX_S;
use super::queues::{Opened, open};
use super::{faults, fifo, standard};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    queue_url: String,
    receipt_handle: String,
    visibility_timeout: u32,
}

pub(super) fn one(cx: &mut Cx<'_>, input: Change) -> Result<(), Fault> {
    let queue = open(cx, &input.queue_url)?;
    change(cx, &queue, &input.receipt_handle, input.visibility_timeout)
}

/// Hides a message that is in flight until `seconds` from now, twelve hours from its receive at the most.
pub(super) fn change(cx: &mut Cx<'_>, queue: &Opened, text: &str, seconds: u32) -> Result<(), Fault> {
    if seconds > VISIBILITY_MAX_S {
        let reason = "VisibilityTimeout must be an integer between 0 and 43200.";
        return Err(faults::parameter("VisibilityTimeout", seconds, reason));
    }
    let handle = Handle::read(text, queue)?;
    let key = handle.key(queue);
    let message = MESSAGES.get(cx.tx, &key)?.ok_or_else(|| faults::no_message(text))?;
    let state = match queue.record.fifo {
        true => fifo::state_of(cx, key.0, &message)?,
        false => STATES.get(cx.tx, &key)?,
    };
    let held = state.filter(|state| state.nonce == handle.nonce && state.due() > cx.now);
    let state = held.ok_or_else(faults::not_in_flight)?;
    let due = cx.now + Duration::from_secs(seconds.into());
    let most = Time::from_ms(state.received_ms) + Duration::from_secs(VISIBILITY_MAX_S.into());
    if due > most {
        let reason = format!(
            "Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_MAX_S} seconds]."
        );
        return Err(faults::parameter("VisibilityTimeout", seconds, &reason));
    }
    match queue.record.fifo {
        true => fifo::postpone(cx, key.0, &message, state, due)?,
        false => standard::postpone(cx, key, &message, state, due),
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch {
    queue_url: String,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<u32>,
}

pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Answers<Done>, Fault> {
    let queue = open(cx, &input.queue_url)?;
    batch::check(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let mut answers = Answers::new();
    for Entry { id, receipt_handle, visibility_timeout } in input.entries {
        let changed = match visibility_timeout {
            Some(seconds) => change(cx, &queue, &receipt_handle, seconds),
            None => Err(faults::missing("VisibilityTimeout")),
        };
        answers.note(id.clone(), changed.map(|()| Done { id }))?;
    }
    Ok(answers)
}
