//! What time takes away: messages past their queue's retention, ids that need not be known any more, and the rows
//! of queues that were deleted or purged.

use super::keys::{
    ATTEMPTS, COUNTS, FORGET, HEADS, LINES, MESSAGES, QUEUE_IDS, QUEUES, SEEN, STATES, SWEEPS, TAILS, TURNS,
    VISIBLE,
};
use super::model::{QueueName, REMEMBERED};
use super::{fifo, standard};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{KeyTuple, Map, Record, Scan};
use std::time::Duration;

/// Deletes up to about `limit` rows that nobody should see any more; how many there were.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let swept = sweep(cx, limit)?;
    if swept > 0 {
        return Ok(swept);
    }
    let forgotten = forget(cx, limit)?;
    if forgotten > 0 {
        return Ok(forgotten);
    }
    let mut expired = 0;
    let mut scan = Scan::all(1);
    while expired < limit
        && let Some(((queue, ..), _)) = COUNTS.look_over(cx.tx, scan)?.pop()
    {
        expired += expire_queue(cx, queue, limit - expired)?;
        scan = Scan::all(1).after(&(queue,));
    }
    Ok(expired)
}

fn expire_queue(cx: &mut Cx<'_>, id: u64, limit: usize) -> Result<usize, Fault> {
    let Some(QueueName { account, region, name }) = QUEUE_IDS.get(cx.tx, &(id,))? else { return Ok(0) };
    let Some(queue) = QUEUES.get(cx.tx, &(account, region, name))? else { return Ok(0) };
    let oldest = cx.now - Duration::from_secs(queue.retention_s.into());
    let rows = MESSAGES.peek_scan(cx.tx, Scan::prefix(&(id,), limit).until(&(id, oldest)))?;
    let count = rows.len();
    for (key, _) in rows {
        // Held to from here: somebody may be deleting it just now.
        let Some(message) = MESSAGES.get(cx.tx, &key)? else { continue };
        if queue.fifo {
            let state = fifo::state_of(cx, id, &message)?;
            fifo::erase(cx, key, &message, state)?;
        } else {
            let state = STATES.get(cx.tx, &key)?;
            standard::erase(cx, key, &message, state);
        }
    }
    Ok(count)
}

fn forget(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let rows = FORGET.peek_scan(cx.tx, Scan::all(limit).until(&(cx.now,)))?;
    let count = rows.len();
    for (key, _) in rows {
        let (_, queue, kind, scope, id) = key.clone();
        let old = |at_ms: u64| Time::from_ms(at_ms) + REMEMBERED <= cx.now;
        if kind == 0 {
            let key = (queue, scope, id);
            if SEEN.get(cx.tx, &key)?.is_some_and(|seen| old(seen.at_ms)) {
                SEEN.delete(cx.tx, &key);
            }
        } else {
            let key = (queue, id);
            if ATTEMPTS.get(cx.tx, &key)?.is_some_and(|attempt| old(attempt.at_ms)) {
                ATTEMPTS.delete(cx.tx, &key);
            }
        }
        FORGET.delete(cx.tx, &key);
    }
    Ok(count)
}

/// Deletes rows under an id that no queue has any more.
fn sweep(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let Some(((id,), _)) = SWEEPS.scan(cx.tx, Scan::all(1))?.pop() else { return Ok(0) };
    let mut swept = clear(cx, &MESSAGES, id, limit)?;
    swept += clear(cx, &STATES, id, limit)?;
    swept += clear(cx, &VISIBLE, id, limit)?;
    swept += clear(cx, &LINES, id, limit)?;
    swept += clear(cx, &TURNS, id, limit)?;
    swept += clear(cx, &HEADS, id, limit)?;
    swept += clear(cx, &TAILS, id, limit)?;
    swept += clear(cx, &SEEN, id, limit)?;
    swept += clear(cx, &ATTEMPTS, id, limit)?;
    let counters = COUNTS.look_over(cx.tx, Scan::prefix(&(id,), limit))?;
    swept += counters.len();
    for (key, _) in counters {
        COUNTS.delete(cx.tx, &key);
    }
    if swept == 0 {
        SWEEPS.delete(cx.tx, &(id,));
        return Ok(1);
    }
    Ok(swept)
}

fn clear<K, V>(cx: &mut Cx<'_>, map: &Map<K, V>, id: u64, limit: usize) -> Result<usize, Fault>
where
    K: KeyTuple + mayfly_store::KeyLike<K>,
    V: Record,
    (u64,): mayfly_store::KeyPrefix<K>,
{
    let rows = map.peek_scan(cx.tx, Scan::prefix(&(id,), limit))?;
    let count = rows.len();
    for (key, _) in rows {
        map.delete(cx.tx, &key);
    }
    Ok(count)
}
