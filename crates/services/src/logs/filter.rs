//! FilterLogEvents: events of a whole group in the order of their times; and TestMetricFilter, which tries a
//! pattern.

use super::keys::{BY_TIME, EVENTS, STREAMS};
use super::pattern::Pattern;
use super::{faults, groups};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const EVENTS_PER_PAGE: usize = 10_000;
/// How many events one call looks at; a rare pattern is found over several pages, as AWS does it too.
const LOOKED_AT_PER_PAGE: usize = 20_000;
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

type Row = (u64, Time, u64, String);

fn token_of((_, time, seq, stream): &Row) -> String {
    format!("{:020}{:020}{stream}", time.ms(), seq)
}

fn place_of(group: u64, token: &str) -> Option<Row> {
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
    let mut scan = Scan::prefix(&(group,), LOOKED_AT_PER_PAGE);
    scan = match &input.next_token {
        None => scan.from(&(group, Time::from_ms(input.start_time.unwrap_or(0)))),
        Some(token) => {
            let place = place_of(group, token);
            scan.after(&place.ok_or_else(|| faults::invalid("The specified nextToken is invalid."))?)
        }
    };
    if let Some(end) = input.end_time {
        scan = scan.through(&(group, Time::from_ms(end)));
    }
    let wanted = |stream: &String| {
        input.log_stream_names.as_ref().is_none_or(|names| names.contains(stream))
            && input.log_stream_name_prefix.as_ref().is_none_or(|prefix| stream.starts_with(prefix.as_str()))
    };
    let rows = BY_TIME.scan(cx.tx, scan)?;
    let (mut events, mut bytes, looked_at) = (Vec::new(), 0, rows.len());
    let mut next_token = None;
    for (row, _) in rows {
        if events.len() == limit || bytes > BYTES_PER_PAGE {
            return Ok(Filtered { events, searched_log_streams: [], next_token });
        }
        next_token = Some(token_of(&row));
        let (_, time, seq, stream) = row;
        if !wanted(&stream) {
            continue;
        }
        let Some(event) = EVENTS.get(cx.tx, &(group, stream.clone(), time, seq))? else { continue };
        if !pattern.matches(&event.message) {
            continue;
        }
        bytes += event.message.len();
        let event_id = format!("{:020}{:020}{:016x}", time.ms(), seq, fingerprint(&stream));
        events.push(Found {
            log_stream_name: stream,
            timestamp: time.ms(),
            message: event.message,
            ingestion_time: event.ingested_ms,
            event_id,
        });
    }
    if looked_at < LOOKED_AT_PER_PAGE {
        next_token = None;
    }
    Ok(Filtered { events, searched_log_streams: [], next_token })
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
