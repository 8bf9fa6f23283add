//! FilterLogEvents: events of a whole group in the order of their times; and TestMetricFilter, which tries a
//! pattern.

use super::keys::{BY_TIME, EVENTS, STREAMS};
use super::packed::{self, Forward, One, Row, Rows};
use super::pattern::Pattern;
use super::{faults, groups};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Raw, Scan, Tx};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const EVENTS_PER_PAGE: usize = 10_000;
/// How many events one call looks at; a rare pattern is found over several pages, as AWS does it too.
const LOOKED_AT_PER_PAGE: usize = 20_000;
/// How many rows are read for one page, those of other streams too; and at once.
const ROWS_PER_PAGE: usize = 20_000;
const ROWS_PER_READ: usize = 64;
const BYTES_PER_PAGE: usize = 1_048_576;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// Events of all streams always come in the order of their times.
    #[serde(rename = "interleaved", default)]
    _interleaved: IgnoredAny,
    /// Nothing is masked.
    #[serde(rename = "unmask", default)]
    _unmask: IgnoredAny,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    log_stream_name: String,
    timestamp: u64,
    message: String,
    ingestion_time: u64,
    event_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filtered {
    events: Vec<Found>,
    searched_log_streams: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Where an event, or a row's first one, is: group, time, number, stream.
type Place = (u64, Time, u64, String);

fn token_of((_, time, seq, stream): &Place) -> String {
    format!("{:020}{:020}{stream}", time.ms(), seq)
}

fn place_of(group: u64, token: &str) -> Option<Place> {
    let time = token.get(..20)?.parse().ok()?;
    let seq = token.get(20..40)?.parse().ok()?;
    Some((group, Time::from_ms(time), seq, token.get(40..)?.to_owned()))
}

pub(super) fn filter(cx: &mut Cx<'_>, input: Filter) -> Result<Filtered, Fault> {
    let name = groups::name_of(input.log_group_name, input.log_group_identifier)?;
    let group = groups::find(cx, &name)?.id;
    if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
        return Err(faults::invalid("LogStreamNamePrefix and LogStreamNames are mutually exclusive."));
    }
    for stream in input.log_stream_names.iter().flatten() {
        if !STREAMS.contains(cx.tx, &(group, stream.clone()))? {
            return Err(faults::no_stream());
        }
    }
    let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default())?;
    let limit = input.limit.unwrap_or(EVENTS_PER_PAGE).clamp(1, EVENTS_PER_PAGE);
    let after = match &input.next_token {
        None => None,
        Some(token) => {
            let place = place_of(group, token);
            Some(place.ok_or_else(|| faults::invalid("The specified nextToken is invalid."))?)
        }
    };
    let start = Time::from_ms(input.start_time.unwrap_or(0));
    let from = packed::reaching(after.as_ref().map_or(start, |(_, time, ..)| *time));
    let mut scan = Scan::prefix(&(group,), ROWS_PER_READ).from(&(group, from));
    if let Some(end) = input.end_time {
        scan = scan.through(&(group, Time::from_ms(end)));
    }
    let wanted = |stream: &String| {
        input.log_stream_names.as_ref().is_none_or(|names| names.contains(stream))
            && input.log_stream_name_prefix.as_ref().is_none_or(|prefix| stream.starts_with(prefix.as_str()))
    };
    let rows = GroupRows {
        tx: &*cx.tx,
        scan: Some(scan),
        page: Vec::new().into_iter(),
        wanted,
        after: after.clone(),
        left: ROWS_PER_PAGE,
        last: None,
        cut: None,
    };
    let mut lines = Forward::new(rows);
    let (mut events, mut bytes, mut looked_at) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some(one) = lines.next()? {
        let place = (group, one.time, one.seq, one.stream.clone());
        let seen = after.as_ref().is_some_and(|after| place <= *after);
        if seen || one.time < start || input.end_time.is_some_and(|end| one.time.ms() > end) {
            continue;
        }
        if lines.rows().cut.as_ref().is_some_and(|cut| place > *cut) {
            break;
        }
        if events.len() == limit || bytes > BYTES_PER_PAGE || looked_at == LOOKED_AT_PER_PAGE {
            let next_token = last.as_ref().map(token_of);
            return Ok(Filtered { events, searched_log_streams: [], next_token });
        }
        last = Some(place);
        looked_at += 1;
        if pattern.matches(&one.message) {
            bytes += one.message.len();
            events.push(found(one));
        }
    }
    let next_token = lines.rows().cut.as_ref().map(token_of);
    Ok(Filtered { events, searched_log_streams: [], next_token })
}

fn found(one: One) -> Found {
    Found {
        event_id: format!("{:020}{:020}{:016x}", one.time.ms(), one.seq, fingerprint(&one.stream)),
        log_stream_name: one.stream,
        timestamp: one.time.ms(),
        message: one.message,
        ingestion_time: one.ingested_ms,
    }
}

/// The rows of a group's wanted streams by time, read a page at a time.
struct GroupRows<'a, F> {
    tx: &'a Tx,
    /// The next page; `None` after the last.
    scan: Option<Scan<Place>>,
    page: std::vec::IntoIter<(Place, Raw)>,
    wanted: F,
    /// Where the last call stopped: rows up to there are read again because they may reach beyond.
    after: Option<Place>,
    /// How many more rows this call reads.
    left: usize,
    last: Option<Place>,
    /// The last row, if it stopped short there: what lies behind it is unknown.
    cut: Option<Place>,
}

impl<F: Fn(&String) -> bool> Rows for GroupRows<'_, F> {
    fn next(&mut self) -> Result<Option<Row>, Fault> {
        loop {
            if self.page.len() == 0 {
                let Some(scan) = self.scan.take() else { return Ok(None) };
                let rows = BY_TIME.scan(self.tx, scan.clone())?;
                self.scan =
                    rows.last().filter(|_| rows.len() == ROWS_PER_READ).map(|(key, _)| scan.after(key));
                self.page = rows.into_iter();
            }
            let Some((place, _)) = self.page.next() else { continue };
            if self.after.as_ref().is_none_or(|after| place > *after) {
                if self.left == 0 {
                    self.cut = self.last.take().or(self.cut.take());
                    return Ok(None);
                }
                self.left -= 1;
                self.last = Some(place.clone());
            }
            let (group, time, seq, stream) = place;
            if !(self.wanted)(&stream) {
                continue;
            }
            if let Some(row) = EVENTS.get(self.tx, &(group, stream.clone(), time, seq))? {
                return Ok(Some((time, seq, stream, row)));
            }
        }
    }
}

/// Tells streams apart within an event's id (FNV-1a).
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Test {
    filter_pattern: String,
    log_event_messages: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    /// Counted from one.
    event_number: usize,
    event_message: String,
    extracted_values: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(super) struct Matches {
    matches: Vec<Match>,
}

pub(super) fn test(cx: &mut Cx<'_>, input: Test) -> Result<Matches, Fault> {
    let resource = cx.arn("logs", "*");
    cx.allow(&resource)?;
    if !(1..=50).contains(&input.log_event_messages.len()) {
        let rule = "Member must have length less than or equal to 50, \
                    Member must have length greater than or equal to 1";
        return Err(faults::constraint("logEventMessages", "[...]", rule));
    }
    let pattern = Pattern::parse(&input.filter_pattern)?;
    let messages = input.log_event_messages.into_iter().enumerate();
    let matching = messages.filter(|(_, message)| pattern.matches(message)).map(|(index, event_message)| {
        Match { event_number: index + 1, extracted_values: pattern.extract(&event_message), event_message }
    });
    Ok(Matches { matches: matching.collect() })
}
