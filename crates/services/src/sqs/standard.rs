//! Where the messages of a standard queue stand.
//!
//! `VISIBLE` has one row for each, under the time from which it may be received. A message that is taken moves to
//! the end of its visibility there; until it is deleted it comes back by itself.

use super::counts::{self, Kind};
use super::keys::{MESSAGES, MessageKey, STATES, VISIBLE};
use super::model::{Mark, Message, State};
use super::queues::Opened;
use super::redrive;
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::time::Duration;

/// How many rows are looked at in one step, and how many in one receive before it says that there is nothing.
const PAGE: usize = 32;
const LOOKED_AT_MAX: usize = 4096;

/// How much to take at most, and for how long to hide it.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub(super) most: usize,
    /// Once events of the messages have so many bytes, no further one is taken.
    pub(super) bytes: u64,
    pub(super) visibility: Duration,
}

/// A message that was taken, and what its receiver may know.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) key: MessageKey,
    pub(super) message: Message,
    pub(super) state: State,
}

/// What a receive found.
#[derive(Default)]
pub(super) struct Catch {
    pub(super) taken: Vec<Taken>,
    /// Others are about to take some that this one passed over: it may be worth another look soon.
    pub(super) passed_over: bool,
    bytes: u64,
}

impl Catch {
    pub(super) fn of(taken: Vec<Taken>) -> Catch {
        Catch { taken, ..Catch::default() }
    }

    pub(super) fn add(&mut self, taken: Taken) {
        self.bytes += taken.message.record_bytes();
        self.taken.push(taken);
    }

    pub(super) fn is_enough(&self, wish: &Wish) -> bool {
        self.taken.len() >= wish.most || self.bytes >= wish.bytes
    }
}

/// Writes a message that nobody has received yet.
pub(super) fn insert(cx: &mut Cx<'_>, queue: u64, sent: Time, uid: u64, message: &Message) {
    let due = message.ready();
    MESSAGES.put(cx.tx, &(queue, sent, uid), message);
    VISIBLE.put(cx.tx, &(queue, due, sent, uid), &Mark {});
    counts::add(cx, queue, 1);
    counts::hide(cx, queue, Kind::Delayed, due);
}

/// Takes visible messages, those first that have been visible the longest, and hides them.
pub(super) fn take(cx: &mut Cx<'_>, queue: &Opened, wish: &Wish) -> Result<Catch, Fault> {
    let id = queue.record.id;
    let mut catch = Catch::default();
    let mut last = None;
    let mut looked_at = 0;
    while !catch.is_enough(wish) && looked_at < LOOKED_AT_MAX {
        let mut scan = Scan::prefix(&(id,), PAGE).through(&(id, cx.now));
        if let Some(last) = &last {
            scan = scan.after(last);
        }
        let page = VISIBLE.peek_scan(cx.tx, scan)?;
        looked_at += page.len();
        for (key, _) in &page {
            if catch.is_enough(wish) {
                break;
            }
            if !cx.claim(VISIBLE.key(key)) {
                catch.passed_over = true;
            } else if VISIBLE.contains(cx.tx, key)?
                && let Some(taken) = take_one(cx, queue, *key, wish.visibility)?
            {
                catch.add(taken);
            }
        }
        last = page.last().map(|(key, _)| *key);
        if page.len() < PAGE {
            break;
        }
    }
    Ok(catch)
}

/// `None` if the message was too old, or has died.
fn take_one(
    cx: &mut Cx<'_>,
    queue: &Opened,
    (id, due, sent, uid): (u64, Time, Time, u64),
    visibility: Duration,
) -> Result<Option<Taken>, Fault> {
    let key = (id, sent, uid);
    let Some(message) = MESSAGES.peek(cx.tx, &key)? else {
        VISIBLE.delete(cx.tx, &(id, due, sent, uid));
        return Ok(None);
    };
    let before = STATES.peek(cx.tx, &key)?;
    let retention = Duration::from_secs(queue.record.retention_s.into());
    if sent + retention <= cx.now {
        erase(cx, key, &message, before);
        return Ok(None);
    }
    if redrive::is_dead(queue, &message, before) && redrive::bury(cx, queue, (sent, uid), &message, before)? {
        erase(cx, key, &message, before);
        return Ok(None);
    }
    unhide(cx, id, &message, before);
    VISIBLE.delete(cx.tx, &(id, due, sent, uid));
    let due = cx.now + visibility;
    let state = received(cx, id, &message, before, due);
    VISIBLE.put(cx.tx, &(id, due, sent, uid), &Mark {});
    STATES.put(cx.tx, &key, &state);
    Ok(Some(Taken { key, message, state }))
}

/// The state of a message that is received now, counted as in flight until `due`.
pub(super) fn received(
    cx: &mut Cx<'_>,
    queue: u64,
    message: &Message,
    before: Option<State>,
    due: Time,
) -> State {
    let before = before.unwrap_or(State {
        receives: message.receives_before,
        first_received_ms: message.first_received_ms,
        ..State::default()
    });
    State {
        due_ms: due.ms(),
        receives: before.receives + 1,
        first_received_ms: if before.first_received_ms == 0 { cx.now.ms() } else { before.first_received_ms },
        nonce: cx.ids.number(),
        counted_s: counts::hide(cx, queue, Kind::InFlight, due),
        received_ms: cx.now.ms(),
    }
}

/// Takes back how the message was counted: in flight, or delayed.
pub(super) fn unhide(cx: &mut Cx<'_>, queue: u64, message: &Message, state: Option<State>) {
    match state {
        Some(state) => counts::show(cx, queue, Kind::InFlight, state.counted_s),
        None if message.delay_s > 0 => {
            counts::show(cx, queue, Kind::Delayed, counts::second_of(message.ready()));
        }
        None => {}
    }
}

/// Deletes a message for good.
pub(super) fn erase(cx: &mut Cx<'_>, key: MessageKey, message: &Message, state: Option<State>) {
    let due = state.map_or(message.ready(), |state| state.due());
    unhide(cx, key.0, message, state);
    counts::add(cx, key.0, -1);
    VISIBLE.delete(cx.tx, &(key.0, due, key.1, key.2));
    STATES.delete(cx.tx, &key);
    MESSAGES.delete(cx.tx, &key);
}

/// Changes when a message that is in flight becomes visible.
pub(super) fn postpone(cx: &mut Cx<'_>, key: MessageKey, message: &Message, mut state: State, due: Time) {
    unhide(cx, key.0, message, Some(state));
    VISIBLE.delete(cx.tx, &(key.0, state.due(), key.1, key.2));
    state.due_ms = due.ms();
    state.counted_s = counts::hide(cx, key.0, Kind::InFlight, due);
    VISIBLE.put(cx.tx, &(key.0, due, key.1, key.2), &Mark {});
    STATES.put(cx.tx, &key, &state);
}

/// When the next message becomes visible that is not so now.
pub(super) fn next_due(cx: &Cx<'_>, queue: u64) -> Result<Option<Time>, Fault> {
    let rows = VISIBLE.peek_scan(cx.tx, Scan::prefix(&(queue,), 1).after(&(queue, cx.now)))?;
    Ok(rows.into_iter().next().map(|((_, due, _, _), _)| due))
}
