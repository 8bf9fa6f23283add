//! DeleteMessage and DeleteMessageBatch.

use super::batch::{self, Answers, Done};
use super::handle::Handle;
use super::keys::{MESSAGES, STATES};
use super::queues::{Opened, open};
use super::{faults, fifo, standard};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    queue_url: String,
    receipt_handle: String,
}

pub(super) fn one(cx: &mut Cx<'_>, input: Delete) -> Result<(), Fault> {
    let queue = open(cx, &input.queue_url)?;
    delete(cx, &queue, &input.receipt_handle)
}

/// Deletes the message of a receipt. One that is gone already is no fault, nor is an old receipt of a standard
/// queue, by which a message that somebody else has received since is not deleted. A FIFO queue refuses a receipt
/// once its visibility has ended: the message may be in other hands.
pub(super) fn delete(cx: &mut Cx<'_>, queue: &Opened, text: &str) -> Result<(), Fault> {
    let handle = Handle::read(text, queue)?;
    let key = handle.key(queue);
    let Some(message) = MESSAGES.get(cx.tx, &key)? else { return Ok(()) };
    if queue.record.fifo {
        let state = fifo::state_of(cx, key.0, &message)?;
        return match state {
            Some(held) if held.nonce == handle.nonce && held.due() > cx.now => {
                fifo::erase(cx, key, &message, state)
            }
            _ => Err(faults::expired_handle(text)),
        };
    }
    let state = STATES.get(cx.tx, &key)?;
    if state.is_some_and(|state| state.nonce == handle.nonce) {
        standard::erase(cx, key, &message, state);
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
}

pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Answers<Done>, Fault> {
    let queue = open(cx, &input.queue_url)?;
    batch::check(input.entries.iter().map(|entry| entry.id.as_str()))?;
    let mut answers = Answers::new();
    for Entry { id, receipt_handle } in input.entries {
        let deleted = delete(cx, &queue, &receipt_handle);
        answers.note(id.clone(), deleted.map(|()| Done { id }))?;
    }
    Ok(answers)
}
