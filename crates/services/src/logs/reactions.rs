//! Sweeping: events past their group's retention, and events of groups and streams that were deleted.

use super::keys::{BY_TIME, EVENTS, GROUPS, STREAMS, SWEEPS};
use super::model::Group;
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many groups one round looks at.
const GROUPS_PER_ROUND: usize = 10_000;

/// Deletes up to `limit` events that nobody should see any more; how many there were.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let groups: Vec<Group> =
        GROUPS.scan(cx.tx, Scan::all(GROUPS_PER_ROUND))?.into_iter().map(|(_, group)| group).collect();
    for group in &groups {
        if group.retention_days == 0 {
            continue;
        }
        let oldest = cx.now - DAY * group.retention_days;
        let old = delete_events(cx, group.id, Some(oldest), limit)?;
        if old > 0 {
            return Ok(old);
        }
    }
    let Some(((id,), _)) = SWEEPS.scan(cx.tx, Scan::all(1))?.into_iter().next() else { return Ok(0) };
    let alive = groups.iter().any(|group| group.id == id);
    let swept = if alive { delete_unnamed(cx, id, limit)? } else { delete_all(cx, id, limit)? };
    if swept == 0 {
        SWEEPS.delete(cx.tx, &(id,));
    }
    Ok(swept)
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
