//! Events of one stream: written in batches, read in either direction.

use super::keys::{BY_TIME, EVENTS, GROUPS, STREAMS};
use super::model::{BYTES_PER_EVENT, BYTES_PER_PUT, EVENTS_PER_PUT, Event, Group, Stream};
use super::packed::{self, Backward, Forward, One, Row, Rows};
use super::{faults, groups};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Raw, Scan, Tx};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// The most events in one answer.
const EVENTS_PER_PAGE: usize = 10_000;
/// How many rows are read at once.
const ROWS_PER_READ: usize = 64;
/// Events may be this much ahead of the server's clock.
const AHEAD_MAX: Duration = Duration::from_secs(2 * 3600);
const AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);

/// One line, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Time,
    pub message: String,
}

/// Writes the platform's lines, making the group and the stream if they are not there.
pub fn append(cx: &mut Cx<'_>, group: &str, stream: &str, lines: &[Line]) -> Result<(), Fault> {
    let resource = cx.arn("logs", format!("log-group:{group}"));
    cx.allow(&resource)?;
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), group.to_owned());
    let found = match GROUPS.get(cx.tx, &key)? {
        Some(found) => found,
        None => groups::add(cx, group, HashMap::new()),
    };
    let record = STREAMS.get(cx.tx, &(found.id, stream.to_owned()))?;
    let record = record.unwrap_or_else(|| Stream { created_ms: cx.now.ms(), ..Stream::default() });
    write(cx, &found, stream, record, lines);
    Ok(())
}

/// The same, only if the group is there. Says whether it was.
pub(crate) fn append_to_existing(
    cx: &mut Cx<'_>,
    group: &str,
    stream: &str,
    lines: &[Line],
) -> Result<bool, Fault> {
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), group.to_owned());
    if !GROUPS.contains(cx.tx, &key)? {
        return Ok(false);
    }
    append(cx, group, stream, lines).map(|()| true)
}

fn write(cx: &mut Cx<'_>, group: &Group, name: &str, mut stream: Stream, lines: &[Line]) {
    for (at, seq, row) in packed::pack(lines, stream.next_seq, cx.now.ms()) {
        EVENTS.put(cx.tx, &(group.id, name.to_owned(), at, seq), &row);
        BY_TIME.put(cx.tx, &(group.id, at, seq, name.to_owned()), &Raw::default());
    }
    for line in lines {
        let at = line.at.ms();
        stream.first_event_ms = Some(stream.first_event_ms.map_or(at, |first| first.min(at)));
        stream.last_event_ms = Some(stream.last_event_ms.map_or(at, |last| last.max(at)));
        stream.next_seq += 1;
    }
    stream.last_ingestion_ms = cx.now.ms();
    STREAMS.put(cx.tx, &(group.id, name.to_owned()), &stream);
}

#[derive(Deserialize)]
pub(super) struct InputEvent {
    timestamp: u64,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputEvent>,
    /// AWS ignores it since streams have no sequence any more.
    #[serde(rename = "sequenceToken", default)]
    _sequence_token: IgnoredAny,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rejected {
    #[serde(skip_serializing_if = "Option::is_none")]
    too_new_log_event_start_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_old_log_event_end_index: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    next_sequence_token: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_events_info: Option<Rejected>,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Written, Fault> {
    let group = groups::find(cx, &input.log_group_name)?;
    let key = (group.id, input.log_stream_name.clone());
    let stream = STREAMS.get(cx.tx, &key)?.ok_or_else(faults::no_stream)?;
    check_batch(&input.log_events)?;
    let (oldest, newest) = (cx.now - AGE_MAX, cx.now + AHEAD_MAX);
    let too_old = input.log_events.iter().take_while(|event| event.timestamp < oldest.ms()).count();
    let fresh = input.log_events.iter().take_while(|event| event.timestamp <= newest.ms()).count();
    let lines: Vec<Line> = input.log_events[too_old.min(fresh)..fresh]
        .iter()
        .map(|event| Line { at: Time::from_ms(event.timestamp), message: event.message.clone() })
        .collect();
    write(cx, &group, &input.log_stream_name, stream, &lines);
    let rejected = Rejected {
        too_new_log_event_start_index: (fresh < input.log_events.len()).then_some(fresh),
        too_old_log_event_end_index: (too_old > 0).then_some(too_old),
    };
    let any =
        rejected.too_new_log_event_start_index.is_some() || rejected.too_old_log_event_end_index.is_some();
    Ok(Written { next_sequence_token: "0", rejected_log_events_info: any.then_some(rejected) })
}

fn check_batch(events: &[InputEvent]) -> Result<(), Fault> {
    if events.is_empty() || events.len() > EVENTS_PER_PUT {
        let count = events.len().to_string();
        let rule = "Member must have length between 1 and 10000";
        return Err(faults::constraint("logEvents", &count, rule));
    }
    if events.iter().any(|event| event.message.is_empty()) {
        return Err(faults::invalid("Log event message must not be empty"));
    }
    let bytes: usize = events.iter().map(|event| event.message.len() + BYTES_PER_EVENT).sum();
    if bytes > BYTES_PER_PUT {
        return Err(faults::invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {BYTES_PER_PUT}"
        )));
    }
    if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
        return Err(faults::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Get {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<u64>,
    end_time: Option<u64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
    /// Nothing is masked.
    #[serde(rename = "unmask", default)]
    _unmask: IgnoredAny,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputEvent {
    timestamp: u64,
    message: String,
    ingestion_time: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Got {
    events: Vec<OutputEvent>,
    next_forward_token: String,
    next_backward_token: String,
}

/// A place between two events: tokens name it, and the direction they go from there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Time, u64);

impl Place {
    fn token(self, direction: char) -> String {
        format!("{direction}/{:020}{:020}", self.0.ms(), self.1)
    }

    fn parse(token: &str) -> Option<(char, Place)> {
        let (direction, digits) = token.split_once('/')?;
        let direction = match direction {
            "f" => 'f',
            "b" => 'b',
            _ => return None,
        };
        let (time, seq) = (digits.get(..20)?.parse().ok()?, digits.get(20..)?.parse().ok()?);
        Some((direction, Place(Time::from_ms(time), seq)))
    }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Got, Fault> {
    let name = groups::name_of(input.log_group_name, input.log_group_identifier)?;
    let group = groups::find(cx, &name)?;
    let stream = input.log_stream_name;
    if !STREAMS.contains(cx.tx, &(group.id, stream.clone()))? {
        return Err(faults::no_stream());
    }
    let limit = input.limit.unwrap_or(EVENTS_PER_PAGE);
    if !(1..=EVENTS_PER_PAGE).contains(&limit) {
        let rule = "Member must have value less than or equal to 10000";
        return Err(faults::constraint("limit", &limit.to_string(), rule));
    }
    let token = match &input.next_token {
        None => None,
        Some(token) => {
            Some(Place::parse(token).ok_or_else(|| faults::invalid("The specified nextToken is invalid."))?)
        }
    };
    let forward = token.map_or(input.start_from_head, |(direction, _)| direction == 'f');
    let window = Window {
        low: Time::from_ms(input.start_time.unwrap_or(0)),
        high: input.end_time.map(Time::from_ms),
        place: token.map(|(_, place)| place),
    };
    let found = match forward {
        true => read_forward(cx, group.id, &stream, window, limit)?,
        false => read_backward(cx, group.id, &stream, window, limit)?,
    };
    let edge = |one: Option<&One>| one.map(|one| Place(one.time, one.seq));
    // With nothing found, both tokens stay where the reader already is.
    let here = window.place.unwrap_or(Place(window.low, 0));
    let next_forward_token = edge(found.last()).unwrap_or(here).token('f');
    let next_backward_token = edge(found.first()).unwrap_or(here).token('b');
    let output = |one: One| OutputEvent {
        timestamp: one.time.ms(),
        message: one.message,
        ingestion_time: one.ingested_ms,
    };
    Ok(Got { events: found.into_iter().map(output).collect(), next_forward_token, next_backward_token })
}

/// Which events of a stream are asked for: from `low` on, before `high`, and beyond `place`.
#[derive(Clone, Copy)]
struct Window {
    low: Time,
    high: Option<Time>,
    place: Option<Place>,
}

fn read_forward(
    cx: &Cx<'_>,
    group: u64,
    stream: &str,
    window: Window,
    limit: usize,
) -> Result<Vec<One>, Fault> {
    let from = window.place.map_or(window.low, |place| place.0);
    let mut scan = Scan::prefix(&(group, stream.to_owned()), ROWS_PER_READ);
    scan = scan.from(&(group, stream.to_owned(), packed::reaching(from)));
    if let Some(high) = window.high {
        scan = scan.until(&(group, stream.to_owned(), high));
    }
    let mut events = Forward::new(StreamRows::new(cx, scan));
    let mut found = Vec::new();
    while let Some(one) = events.next()?.filter(|_| found.len() < limit) {
        if window.high.is_some_and(|high| one.time >= high) {
            break;
        }
        let beyond = window.place.is_none_or(|place| Place(one.time, one.seq) > place);
        if beyond && one.time >= window.low {
            found.push(one);
        }
    }
    Ok(found)
}

fn read_backward(
    cx: &Cx<'_>,
    group: u64,
    stream: &str,
    window: Window,
    limit: usize,
) -> Result<Vec<One>, Fault> {
    let mut scan = Scan::prefix(&(group, stream.to_owned()), ROWS_PER_READ).reverse();
    scan = scan.through(&(group, stream.to_owned(), packed::reaching(window.low)));
    scan = match (window.place, window.high) {
        (Some(Place(time, seq)), _) => scan.after(&(group, stream.to_owned(), time, seq)),
        (None, Some(high)) => scan.after(&(group, stream.to_owned(), high)),
        (None, None) => scan,
    };
    let mut events = Backward::new(StreamRows::new(cx, scan));
    let mut found = Vec::new();
    while let Some(one) = events.next()?.filter(|_| found.len() < limit) {
        if one.time < window.low {
            break;
        }
        let before = window.place.is_none_or(|place| Place(one.time, one.seq) < place);
        if before && window.high.is_none_or(|high| one.time < high) {
            found.push(one);
        }
    }
    found.reverse();
    Ok(found)
}

type Key = (u64, String, Time, u64);

/// The rows of one stream, read a page at a time.
struct StreamRows<'a> {
    tx: &'a Tx,
    /// The next page; `None` after the last.
    scan: Option<Scan<Key>>,
    page: std::vec::IntoIter<(Key, Event)>,
}

impl<'a> StreamRows<'a> {
    fn new(cx: &'a Cx<'_>, scan: Scan<Key>) -> StreamRows<'a> {
        StreamRows { tx: &*cx.tx, scan: Some(scan), page: Vec::new().into_iter() }
    }
}

impl Rows for StreamRows<'_> {
    fn next(&mut self) -> Result<Option<Row>, Fault> {
        if self.page.len() == 0
            && let Some(scan) = self.scan.take()
        {
            let rows = EVENTS.scan(self.tx, scan.clone())?;
            self.scan = rows.last().filter(|_| rows.len() == ROWS_PER_READ).map(|(key, _)| scan.after(key));
            self.page = rows.into_iter();
        }
        Ok(self.page.next().map(|((_, stream, time, seq), row)| (time, seq, stream, row)))
    }
}
