//! How many messages a queue holds, without looking at them.
//!
//! One counter for all, and one for each second in which delayed messages become visible, and those in flight: as
//! time passes they drop out of the sum by themselves. Precise to the second.

use super::keys::COUNTS;
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Scan, Tx};

/// No message is due later than twelve hours from now, so that many seconds are the most that a sum looks at.
const SECONDS_AHEAD: usize = 13 * 3600;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Delayed,
    InFlight,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Delayed => 1,
            Kind::InFlight => 2,
        }
    }
}

const ALL: u8 = 0;

pub(super) struct Counts {
    pub(super) visible: u64,
    pub(super) in_flight: u64,
    pub(super) delayed: u64,
}

/// Counts messages in, or out.
pub(super) fn add(cx: &mut Cx<'_>, queue: u64, messages: i64) {
    COUNTS.add(cx.tx, &(queue, ALL, 0), messages);
}

/// Counts a message as hidden until `due`; says the second under which it was counted.
pub(super) fn hide(cx: &mut Cx<'_>, queue: u64, kind: Kind, due: Time) -> u64 {
    let second = second_of(due);
    if due > cx.now {
        COUNTS.add(cx.tx, &(queue, kind.number(), second), 1);
        second
    } else {
        0
    }
}

/// The second by whose end a message that is due then is visible for sure.
pub(super) fn second_of(due: Time) -> u64 {
    due.ms().div_ceil(1000)
}

/// Takes back what [`hide`] counted under `second`.
pub(super) fn show(cx: &mut Cx<'_>, queue: u64, kind: Kind, second: u64) {
    if second > 0 {
        COUNTS.add(cx.tx, &(queue, kind.number(), second), -1);
    }
}

pub(super) fn total(tx: &Tx, queue: u64) -> Result<u64, Fault> {
    Ok(u64::try_from(COUNTS.look(tx, &(queue, ALL, 0))?).unwrap_or(0))
}

pub(super) fn hidden(tx: &Tx, queue: u64, kind: Kind, now: Time) -> Result<u64, Fault> {
    let prefix = (queue, kind.number());
    let scan = Scan::prefix(&prefix, SECONDS_AHEAD).after(&(queue, kind.number(), now.secs()));
    let sum: i64 = COUNTS.look_over(tx, scan)?.into_iter().map(|(_, count)| count).sum();
    Ok(u64::try_from(sum).unwrap_or(0))
}

pub(super) fn of(tx: &Tx, queue: u64, now: Time) -> Result<Counts, Fault> {
    let total = total(tx, queue)?;
    let in_flight = hidden(tx, queue, Kind::InFlight, now)?;
    let delayed = hidden(tx, queue, Kind::Delayed, now)?;
    Ok(Counts { visible: total.saturating_sub(in_flight + delayed), in_flight, delayed })
}
