//! Sweeping: events past their group's retention, and events of groups and streams that were deleted.

use super::keys::{BY_TIME, EVENTS, GROUPS, RETAINED, STREAMS, SWEEPS};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Deletes up to `limit` events that nobody should see any more; how many rows it did away with. Looks only
/// at what has something to delete, however many groups there are.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let old = delete_old(cx, limit)?;
    if old > 0 {
        return Ok(old);
    }
    let Some(((id,), sweep)) = SWEEPS.scan(cx.tx, Scan::all(1))?.into_iter().next() else { return Ok(0) };
    let swept = if sweep.whole { delete_all(cx, id, limit)? } else { delete_unnamed(cx, id, limit)? };
    if swept == 0 {
        SWEEPS.delete(cx.tx, &(id,));
    }
    Ok(swept)
}

/// Of the groups whose time has come, the first that has events past their retention. Those that have none
/// are put back to when their oldest event will be.
fn delete_old(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let due = RETAINED.scan(cx.tx, Scan::all(limit).through(&(cx.now,)))?;
    for ((at, id), retained) in due {
        let key = (retained.account.clone(), retained.region.clone(), retained.name.clone());
        let group = GROUPS.get(cx.tx, &key)?;
        let holds = group.is_some_and(|group| group.id == id && group.retention_days == retained.days);
        let keep = DAY * retained.days;
        let old = if holds { delete_events(cx, id, Some(cx.now - keep), limit)? } else { 0 };
        if old > 0 {
            return Ok(old);
        }
        RETAINED.delete(cx.tx, &(at, id));
        if holds {
            let oldest = BY_TIME.scan(cx.tx, Scan::prefix(&(id,), 1))?.pop().map(|((_, time, ..), _)| time);
            // An event that comes later may be older: two weeks are what PutLogEvents takes.
            let next = (oldest.unwrap_or(cx.now) + keep).min(cx.now + DAY);
            RETAINED.put(cx.tx, &(next, id), &retained);
        }
    }
    Ok(0)
}

fn delete_events(cx: &mut Cx<'_>, group: u64, until: Option<Time>, limit: usize) -> Result<usize, Fault> {
    let mut scan = Scan::prefix(&(group,), limit);
    if let Some(until) = until {
        scan = scan.until(&(group, until));
    }
    let rows = BY_TIME.scan(cx.tx, scan)?;
    let count = rows.len();
    for ((_, time, seq, stream), _) in rows {
        EVENTS.delete(cx.tx, &(group, stream.clone(), time, seq));
        BY_TIME.delete(cx.tx, &(group, time, seq, stream));
    }
    Ok(count)
}

/// Of a deleted group: its events, then its streams.
fn delete_all(cx: &mut Cx<'_>, group: u64, limit: usize) -> Result<usize, Fault> {
    let events = delete_events(cx, group, None, limit)?;
    if events > 0 {
        return Ok(events);
    }
    let rows = STREAMS.scan(cx.tx, Scan::prefix(&(group,), limit))?;
    for (key, _) in &rows {
        STREAMS.delete(cx.tx, key);
    }
    Ok(rows.len())
}

/// Of a group that lives: events under streams that do not. Skips from stream to stream.
fn delete_unnamed(cx: &mut Cx<'_>, group: u64, limit: usize) -> Result<usize, Fault> {
    let mut scan = Scan::prefix(&(group,), 1);
    while let Some(((_, stream, _, _), _)) = EVENTS.scan(cx.tx, scan)?.pop() {
        if !STREAMS.contains(cx.tx, &(group, stream.clone()))? {
            let rows = EVENTS.scan(cx.tx, Scan::prefix(&(group, stream.clone()), limit))?;
            for ((_, _, time, seq), _) in &rows {
                EVENTS.delete(cx.tx, &(group, stream.clone(), *time, *seq));
                BY_TIME.delete(cx.tx, &(group, *time, *seq, stream.clone()));
            }
            return Ok(rows.len());
        }
        scan = Scan::prefix(&(group,), 1).after(&(group, stream));
    }
    Ok(0)
}
