//! Where the messages of a FIFO queue stand.
//!
//! A group's messages wait in `LINES` by their numbers. While one of them is in flight nobody gets another: the
//! group's one row in `TURNS` stands at the time when the last of them is visible again, or at the time when the
//! first in line is ready. `HEADS` says where that row stands; every receiver, and everyone who deletes, rewrites it,
//! so they take turns. Senders read and write `TAILS` alone, as long as the group is not empty.

use super::counts::{self, Kind};
use super::keys::{ATTEMPTS, FORGET, HEADS, LINES, MESSAGES, MessageKey, SEEN, TAILS, TURNS};
use super::model::{Attempt, BATCH, Given, Head, Line, Mark, Message, REMEMBERED, Seen, State, Tail};
use super::queues::Opened;
use super::redrive;
use super::send::Put;
use super::standard::{Catch, Taken, Wish, received, unhide};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::time::Duration;

const PAGE: usize = 32;
const LOOKED_AT_MAX: usize = 4096;
/// How many messages with dead ones at the head of a group one receive clears away.
const CLEARED_MAX: usize = 256;
/// Numbers of one millisecond: what makes those of a group that was empty follow those that it had before.
const NUMBERS_PER_MS_BITS: u32 = 20;

/// Sends a message, unless one with its deduplication id was sent within five minutes: then that one is meant.
pub(super) fn send(cx: &mut Cx<'_>, queue: &Opened, mut message: Message, uid: u64) -> Result<Put, Fault> {
    let id = queue.record.id;
    let scope = if queue.record.dedup_per_group { message.group.clone() } else { String::new() };
    let key = (id, scope, message.dedup.clone());
    if let Some(seen) = SEEN.get(cx.tx, &key)?
        && cx.now < Time::from_ms(seen.at_ms) + REMEMBERED
    {
        return Ok(Put { message: seen.message, seq: seen.seq });
    }
    message.seq = next_seq(cx, id, &message.group)?;
    let seen = Seen { at_ms: cx.now.ms(), message: message.id.clone(), seq: message.seq };
    SEEN.put(cx.tx, &key, &seen);
    FORGET.put(cx.tx, &(cx.now + REMEMBERED, id, 0u8, key.1, key.2), &Mark {});
    let put = Put { message: message.id.clone(), seq: message.seq };
    append(cx, id, cx.now, uid, &message);
    Ok(put)
}

/// The number of the next message of a group.
pub(super) fn next_seq(cx: &Cx<'_>, queue: u64, group: &str) -> Result<u64, Fault> {
    let tail = TAILS.get(cx.tx, &(queue, group))?.map_or(0, |tail| tail.seq);
    Ok((tail + 1).max(cx.now.ms() << NUMBERS_PER_MS_BITS))
}

/// Puts a message, which has its number, at the end of its group.
pub(super) fn append(cx: &mut Cx<'_>, queue: u64, sent: Time, uid: u64, message: &Message) {
    let (group, seq, ready) = (message.group.as_str(), message.seq, message.ready());
    let line = Line { sent_ms: sent.ms(), uid, ready_ms: ready.ms(), state: None };
    MESSAGES.put(cx.tx, &(queue, sent, uid), message);
    LINES.put(cx.tx, &(queue, group, seq), &line);
    counts::add(cx, queue, 1);
    counts::hide(cx, queue, Kind::Delayed, ready);
    // Whether the group was empty was read with the tail, so nobody can empty it meanwhile.
    if !matches!(TAILS.peek(cx.tx, &(queue, group)), Ok(Some(_))) {
        HEADS.put(cx.tx, &(queue, group), &Head { due_ms: ready.ms(), seq });
        TURNS.put(cx.tx, &(queue, ready, seq, group), &Mark {});
    }
    TAILS.put(cx.tx, &(queue, group), &Tail { seq });
}

/// Takes messages of groups whose turn it is, as many as it can of each.
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
        let page = TURNS.peek_scan(cx.tx, scan)?;
        looked_at += page.len();
        for (key, _) in &page {
            if catch.is_enough(wish) {
                break;
            }
            if !cx.claim(TURNS.key(key)) {
                catch.passed_over = true;
            } else if TURNS.contains(cx.tx, key)? {
                take_from(cx, queue, &key.3, wish, &mut catch)?;
            }
        }
        let short = page.len() < PAGE;
        last = page.into_iter().last().map(|(key, _)| key);
        if short {
            break;
        }
    }
    Ok(catch)
}

fn take_from(
    cx: &mut Cx<'_>,
    queue: &Opened,
    group: &str,
    wish: &Wish,
    catch: &mut Catch,
) -> Result<(), Fault> {
    let id = queue.record.id;
    let due = cx.now + wish.visibility;
    for ((_, _, seq), line) in LINES.peek_scan(cx.tx, Scan::prefix(&(id, group), CLEARED_MAX))? {
        if catch.is_enough(wish) || line.ready_ms > cx.now.ms() {
            break;
        }
        let key = (id, Time::from_ms(line.sent_ms), line.uid);
        let Some(message) = MESSAGES.peek(cx.tx, &key)? else {
            LINES.delete(cx.tx, &(id, group, seq));
            continue;
        };
        let retention = Duration::from_secs(queue.record.retention_s.into());
        let too_old = key.1 + retention <= cx.now;
        let dead = redrive::is_dead(queue, &message, line.state);
        if too_old || (dead && redrive::bury(cx, queue, (cx.now, line.uid), &message, line.state)?) {
            remove(cx, key, &message, line.state);
            continue;
        }
        unhide(cx, id, &message, line.state);
        let state = received(cx, id, &message, line.state, due);
        LINES.put(cx.tx, &(id, group, seq), &Line { state: Some(state), ..line });
        catch.add(Taken { key, message, state });
    }
    settle(cx, id, group)
}

/// Deletes a message; the group's turn is for [`settle`].
fn remove(cx: &mut Cx<'_>, key: MessageKey, message: &Message, state: Option<State>) {
    unhide(cx, key.0, message, state);
    counts::add(cx, key.0, -1);
    LINES.delete(cx.tx, &(key.0, message.group.as_str(), message.seq));
    MESSAGES.delete(cx.tx, &key);
}

/// Deletes a message for good.
pub(super) fn erase(
    cx: &mut Cx<'_>,
    key: MessageKey,
    message: &Message,
    state: Option<State>,
) -> Result<(), Fault> {
    remove(cx, key, message, state);
    settle(cx, key.0, &message.group)
}

/// The state of a message, held to: whoever changes it meanwhile wins.
pub(super) fn state_of(cx: &Cx<'_>, queue: u64, message: &Message) -> Result<Option<State>, Fault> {
    let line = LINES.get(cx.tx, &(queue, message.group.as_str(), message.seq))?;
    Ok(line.and_then(|line| line.state))
}

/// Changes when a message that is in flight becomes visible.
pub(super) fn postpone(
    cx: &mut Cx<'_>,
    queue: u64,
    message: &Message,
    mut state: State,
    due: Time,
) -> Result<(), Fault> {
    let key = (queue, message.group.as_str(), message.seq);
    let Some(line) = LINES.get(cx.tx, &key)? else { return Ok(()) };
    unhide(cx, queue, message, Some(state));
    state.due_ms = due.ms();
    state.counted_s = counts::hide(cx, queue, Kind::InFlight, due);
    LINES.put(cx.tx, &key, &Line { state: Some(state), ..line });
    settle(cx, queue, &message.group)
}

/// Puts the group's turn where it belongs after its messages have changed.
fn settle(cx: &mut Cx<'_>, queue: u64, group: &str) -> Result<(), Fault> {
    let Some(old) = HEADS.get(cx.tx, &(queue, group))? else { return Ok(()) };
    TURNS.delete(cx.tx, &(queue, Time::from_ms(old.due_ms), old.seq, group));
    // No more than one receive's messages are ever in flight, and they are the first.
    let mut lines = LINES.peek_scan(cx.tx, Scan::prefix(&(queue, group), BATCH))?;
    if lines.is_empty() {
        // Held to: whoever sends to the empty group in this moment makes this run again.
        lines = LINES.scan(cx.tx, Scan::prefix(&(queue, group), 1))?;
    }
    let Some(((_, _, seq), first)) = lines.first() else {
        TAILS.delete(cx.tx, &(queue, group));
        HEADS.delete(cx.tx, &(queue, group));
        return Ok(());
    };
    let in_flight = lines.iter().filter_map(|(_, line)| line.state).map(|state| state.due());
    let due = match in_flight.filter(|due| *due > cx.now).max() {
        Some(due) => due,
        None => first.state.map_or(Time::from_ms(first.ready_ms), |state| state.due()),
    };
    HEADS.put(cx.tx, &(queue, group), &Head { due_ms: due.ms(), seq: *seq });
    TURNS.put(cx.tx, &(queue, due, *seq, group), &Mark {});
    Ok(())
}

/// When the turn of the next group comes.
pub(super) fn next_due(cx: &Cx<'_>, queue: u64) -> Result<Option<Time>, Fault> {
    let rows = TURNS.peek_scan(cx.tx, Scan::prefix(&(queue,), 1).after(&(queue, cx.now)))?;
    Ok(rows.into_iter().next().map(|((_, due, _, _), _)| due))
}

/// What an attempt with this id was given within five minutes, if nothing has changed of it since: hidden anew.
pub(super) fn given_again(
    cx: &mut Cx<'_>,
    queue: &Opened,
    attempt: &str,
    visibility: Duration,
) -> Result<Option<Vec<Taken>>, Fault> {
    let id = queue.record.id;
    let Some(row) = ATTEMPTS.get(cx.tx, &(id, attempt))? else { return Ok(None) };
    if cx.now >= Time::from_ms(row.at_ms) + REMEMBERED {
        return Ok(None);
    }
    let mut found = Vec::new();
    for Given { group, seq, nonce } in &row.given {
        let Some(line) = LINES.get(cx.tx, &(id, group.as_str(), *seq))? else { return Ok(None) };
        let key = (id, Time::from_ms(line.sent_ms), line.uid);
        match (line.state, MESSAGES.peek(cx.tx, &key)?) {
            (Some(state), Some(message)) if state.nonce == *nonce && state.due() > cx.now => {
                found.push(Taken { key, message, state });
            }
            _ => return Ok(None),
        }
    }
    for Taken { message, state, .. } in &found {
        postpone(cx, id, message, *state, cx.now + visibility)?;
    }
    Ok(Some(found))
}

/// Remembers what an attempt was given.
pub(super) fn remember(cx: &mut Cx<'_>, queue: u64, attempt: &str, taken: &[Taken]) {
    let given = |taken: &Taken| Given {
        group: taken.message.group.clone(),
        seq: taken.message.seq,
        nonce: taken.state.nonce,
    };
    let row = Attempt { at_ms: cx.now.ms(), given: taken.iter().map(given).collect() };
    ATTEMPTS.put(cx.tx, &(queue, attempt), &row);
    let forget = (cx.now + REMEMBERED, queue, 1u8, String::new(), attempt.to_owned());
    FORGET.put(cx.tx, &forget, &Mark {});
}
