//! Events as they are stored: many lines of one stream in one row, because a row costs more than a line.
//!
//! A row is under the time and number of its first event; the others follow it in time and number, and none
//! comes later than [`SPAN_MS`] after the first. So all events from a time on are in rows from `SPAN_MS`
//! before it on, and rows read in the order of their keys give events in order if those of a row wait until
//! no later row can come before them.

use super::model::{Event, Later};
use mayfly_kernel::{Fault, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How far the events of a row lie apart at most.
const SPAN_MS: u64 = 1000;
/// A row is full with so many events, or so many bytes.
const EVENTS_PER_ROW: usize = 256;
const BYTES_PER_ROW: usize = 64 * 1024;

/// One event, where it is, and what it says. Ordered by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct One {
    pub(super) time: Time,
    pub(super) seq: u64,
    pub(super) stream: String,
    pub(super) message: String,
    pub(super) ingested_ms: u64,
}

/// Where rows begin that may reach to `time`.
pub(super) fn reaching(time: Time) -> Time {
    Time::from_ms(time.ms().saturating_sub(SPAN_MS))
}

/// Packs lines in the order of their times: rows, each with the number of its first event.
pub(super) fn pack(lines: &[super::Line], first_seq: u64, ingested_ms: u64) -> Vec<(Time, u64, Event)> {
    let mut rows: Vec<(Time, u64, Event)> = Vec::new();
    let mut bytes = 0;
    for (line, seq) in lines.iter().zip(first_seq..) {
        bytes += line.message.len();
        match rows.last_mut() {
            Some((time, _, row))
                if line.at >= *time
                    && line.at.ms() - time.ms() <= SPAN_MS
                    && row.later.len() + 1 < EVENTS_PER_ROW
                    && bytes <= BYTES_PER_ROW =>
            {
                let after_ms = line.at.ms() - time.ms();
                row.later.push(Later { after_ms, message: line.message.clone() });
            }
            _ => {
                bytes = line.message.len();
                let row = Event { message: line.message.clone(), ingested_ms, later: Vec::new() };
                rows.push((line.at, seq, row));
            }
        }
    }
    rows
}

/// The events of a row.
pub(super) fn unpack(time: Time, seq: u64, stream: &str, row: Event) -> impl Iterator<Item = One> {
    let ingested_ms = row.ingested_ms;
    let first = Later { after_ms: 0, message: row.message };
    std::iter::once(first).chain(row.later).zip(seq..).map(move |(later, seq)| One {
        time: Time::from_ms(time.ms() + later.after_ms),
        seq,
        stream: stream.to_owned(),
        message: later.message,
        ingested_ms,
    })
}

/// A row with the place of its first event.
pub(super) type Row = (Time, u64, String, Event);

/// Where rows come from, in the order of their keys, one way or the other.
pub(super) trait Rows {
    fn next(&mut self) -> Result<Option<Row>, Fault>;
}

/// Events in order, out of rows that overlap.
pub(super) struct Forward<R> {
    rows: R,
    ahead: Option<Row>,
    begun: bool,
    waiting: BinaryHeap<Reverse<One>>,
}

impl<R: Rows> Forward<R> {
    pub(super) fn new(rows: R) -> Self {
        Forward { rows, ahead: None, begun: false, waiting: BinaryHeap::new() }
    }

    pub(super) fn rows(&self) -> &R {
        &self.rows
    }

    pub(super) fn next(&mut self) -> Result<Option<One>, Fault> {
        if !std::mem::replace(&mut self.begun, true) {
            self.ahead = self.rows.next()?;
        }
        loop {
            let first = self.waiting.peek().map(|Reverse(one)| (one.time, one.seq, one.stream.as_str()));
            match (&self.ahead, first) {
                (None, _) => return Ok(self.waiting.pop().map(|Reverse(one)| one)),
                (Some((time, seq, stream, _)), Some(first)) if first < (*time, *seq, stream.as_str()) => {
                    return Ok(self.waiting.pop().map(|Reverse(one)| one));
                }
                (Some(_), _) => {}
            }
            let next = self.rows.next()?;
            if let Some((time, seq, stream, row)) = std::mem::replace(&mut self.ahead, next) {
                self.waiting.extend(unpack(time, seq, &stream, row).map(Reverse));
            }
        }
    }
}

/// The same from the end on.
pub(super) struct Backward<R> {
    rows: R,
    ahead: Option<Row>,
    begun: bool,
    waiting: BinaryHeap<One>,
}

impl<R: Rows> Backward<R> {
    pub(super) fn new(rows: R) -> Self {
        Backward { rows, ahead: None, begun: false, waiting: BinaryHeap::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<One>, Fault> {
        if !std::mem::replace(&mut self.begun, true) {
            self.ahead = self.rows.next()?;
        }
        loop {
            let last = self.waiting.peek().map(|one| one.time);
            match (&self.ahead, last) {
                (None, _) => return Ok(self.waiting.pop()),
                (Some((time, ..)), Some(last)) if last.ms() > time.ms() + SPAN_MS => {
                    return Ok(self.waiting.pop());
                }
                (Some(_), _) => {}
            }
            let next = self.rows.next()?;
            if let Some((time, seq, stream, row)) = std::mem::replace(&mut self.ahead, next) {
                self.waiting.extend(unpack(time, seq, &stream, row));
            }
        }
    }
}
