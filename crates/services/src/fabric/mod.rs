//! The fabric: durable asynchronous work.
//!
//! A delivery is one row: an event on its way to a target, with its due time. It waits in READY, ordered by lane and
//! due time; it is claimed into FLIGHT, performed outside, and settled in a transaction that also writes what
//! follows from it. A row in FLIGHT when the process dies goes back to READY at the next start, so every delivery is
//! performed at least once, under a stable id.
//!
//! One lane per target keeps a busy target from starving others, and makes a due time of 2031 cost one row. Which
//! lanes have work is known to the driver in memory and can be rebuilt at a cost of one read per lane.
//!
//! Not here: performing (the binary's driver), what a failure means (the target's service decides), and leases
//! across nodes, which come with the second node.
//!
//! Operators see and redrive deliveries through Mayfly's own service (`operations.rs`).
//!
//! Keys: `READY(lane, due, id)`, `FLIGHT(lane, id)`, `DEAD(time, id)`.

mod keys;
mod model;
mod operations;
#[cfg(test)]
mod tests;

pub use model::{Delivery, Record, Target, Verdict};
pub(crate) use operations::with_deliveries;

use crate::cx::{Cx, Signal};
use keys::{DEAD, FLIGHT, READY};
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Scan, Store};

/// Writes down a delivery in the caller's transaction.
pub(crate) fn enqueue(cx: &mut Cx<'_>, delivery: Delivery) -> Result<(), Fault> {
    let due = delivery.due.unwrap_or(cx.now);
    let lane = delivery.target.lane();
    let record = Record::new(cx, delivery);
    READY.put(cx.tx, &(lane.clone(), due, record.id.clone()), &record);
    cx.signal(Signal::Lane(lane, due));
    Ok(())
}

/// Takes back a delivery that waits. One that is in flight already is not there any more.
pub(crate) fn cancel(cx: &mut Cx<'_>, target: &Target, due: Time, id: &str) {
    READY.delete(cx.tx, &(target.lane(), due, id.to_owned()));
}

/// Writes down a delivery that nobody will perform unless an operator says so, and why.
pub(crate) fn keep_as_dead(cx: &mut Cx<'_>, delivery: Delivery, reason: String) {
    let record = Record { last_error: reason, ..Record::new(cx, delivery) };
    DEAD.put(cx.tx, &(cx.now, record.id.clone()), &record);
}

/// Every lane with waiting work and the time of its first delivery. One read per lane, however much waits.
pub fn lanes(store: &Store) -> Result<Vec<(String, Time)>, Fault> {
    let view = store.view();
    let mut found = Vec::new();
    let mut scan = Scan::all(1);
    while let Some(((lane, due, _), _)) = READY.scan(&view, scan)?.pop() {
        // The shortest text after `lane` itself: skips everything else in it.
        let next = format!("{lane}\0");
        found.push((lane, due));
        scan = Scan::all(1).from(&(next, Time::EPOCH, String::new()));
    }
    Ok(found)
}

/// When the lane's next delivery falls due.
pub fn next_due(store: &Store, lane: &str) -> Result<Option<Time>, Fault> {
    let view = store.view();
    let first = READY.scan(&view, Scan::prefix(&(lane.to_owned(),), 1))?;
    Ok(first.into_iter().next().map(|((_, due, _), _)| due))
}

/// Takes up to `limit` due deliveries of a lane into flight, in the order of their due times.
///
/// Only the lane's driver claims, so the lane is read without guarding against new rows: otherwise every enqueue
/// would make the claim lose.
pub fn claim(cx: &mut Cx<'_>, store: &Store, lane: &str, limit: usize) -> Result<Vec<Record>, Fault> {
    cx.allowed_by_policy();
    let view = store.view();
    let mut claimed = Vec::new();
    for (key, _) in READY.scan(&view, Scan::prefix(&(lane.to_owned(),), limit))? {
        if key.1 > cx.now {
            break;
        }
        let Some(mut record) = READY.get(cx.tx, &key)? else { continue };
        record.attempt += 1;
        READY.delete(cx.tx, &key);
        FLIGHT.put(cx.tx, &(key.0, key.2), &record);
        claimed.push(record);
    }
    Ok(claimed)
}

/// Ends a delivery's flight. What follows from it is written in the same transaction by the caller.
pub fn settle(cx: &mut Cx<'_>, mut record: Record, verdict: Verdict) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let lane = record.target()?.lane();
    FLIGHT.delete(cx.tx, &(lane.clone(), record.id.clone()));
    match verdict {
        Verdict::Done => {}
        Verdict::Retry { at } => {
            READY.put(cx.tx, &(lane.clone(), at, record.id.clone()), &record);
            cx.signal(Signal::Lane(lane, at));
        }
        Verdict::Postpone { at } => {
            record.attempt = record.attempt.saturating_sub(1);
            READY.put(cx.tx, &(lane.clone(), at, record.id.clone()), &record);
            cx.signal(Signal::Lane(lane, at));
        }
        Verdict::Dead { reason } => {
            record.last_error = reason;
            DEAD.put(cx.tx, &(cx.now, record.id.clone()), &record);
        }
    }
    Ok(())
}

/// Puts back what was in flight when the last process ended. Returns how many.
pub fn recover(cx: &mut Cx<'_>, page: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let stranded = FLIGHT.scan(cx.tx, Scan::all(page))?;
    let count = stranded.len();
    for ((lane, id), record) in stranded {
        FLIGHT.delete(cx.tx, &(lane.clone(), id.clone()));
        READY.put(cx.tx, &(lane, cx.now, id), &record);
    }
    Ok(count)
}

/// The deliveries that were given up and had nowhere to go, oldest first.
pub fn dead(store: &Store, limit: usize) -> Result<Vec<Record>, Fault> {
    let rows = DEAD.scan(&store.view(), Scan::all(limit))?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}
