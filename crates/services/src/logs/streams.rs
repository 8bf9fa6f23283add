//! Log streams.

use super::keys::{STREAMS, SWEEPS};
use super::model::{Stream, Sweep, check_stream_name};
use super::{faults, groups};
use crate::{Cx, paging};
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

/// How many streams can be ordered by their last event; beyond, the caller has to give a prefix.
const ORDERED_BY_EVENT_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    log_group_name: String,
    log_stream_name: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    check_stream_name(&input.log_stream_name)?;
    let group = groups::find(cx, &input.log_group_name)?;
    let key = (group.id, input.log_stream_name);
    if STREAMS.contains(cx.tx, &key)? {
        return Err(faults::stream_exists());
    }
    STREAMS.put(cx.tx, &key, &Stream { created_ms: cx.now.ms(), ..Stream::default() });
    Ok(())
}

/// The events of a deleted stream are swept with everything else that is under no stream.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let group = groups::find(cx, &input.log_group_name)?;
    let key = (group.id, input.log_stream_name);
    if !STREAMS.contains(cx.tx, &key)? {
        return Err(faults::no_stream());
    }
    STREAMS.delete(cx.tx, &key);
    SWEEPS.put(cx.tx, &(group.id,), &Sweep { whole: false });
    Ok(())
}

#[derive(Deserialize, Default, PartialEq, Eq, Clone, Copy)]
enum OrderBy {
    #[default]
    LogStreamName,
    LastEventTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    #[serde(default)]
    order_by: OrderBy,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamView {
    log_stream_name: String,
    creation_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ingestion_time: Option<u64>,
    upload_sequence_token: &'static str,
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    log_streams: Vec<StreamView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let name = groups::name_of(input.log_group_name, input.log_group_identifier)?;
    let group = groups::find(cx, &name)?;
    let limit = groups::page_size(input.limit)?;
    if input.order_by == OrderBy::LastEventTime && input.log_stream_name_prefix.is_some() {
        return Err(faults::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let rows = match input.order_by {
        OrderBy::LogStreamName => {
            by_name(cx, group.id, &prefix, input.descending, input.next_token, limit + 1)?
        }
        OrderBy::LastEventTime => by_last_event(cx, group.id, input.descending, input.next_token)?,
    };
    let (page, next_token) = paging::cut(rows, limit, |(name, _)| name.clone());
    let arn = cx.arn("logs", format!("log-group:{name}"));
    let view = |(name, stream): (String, Stream)| StreamView {
        arn: format!("{arn}:log-stream:{name}"),
        log_stream_name: name,
        creation_time: stream.created_ms,
        first_event_timestamp: stream.first_event_ms,
        last_event_timestamp: stream.last_event_ms,
        last_ingestion_time: (stream.last_ingestion_ms > 0).then_some(stream.last_ingestion_ms),
        upload_sequence_token: "0",
    };
    Ok(Described { log_streams: page.into_iter().map(view).collect(), next_token })
}

fn by_name(
    cx: &Cx<'_>,
    group: u64,
    prefix: &str,
    descending: bool,
    token: Option<String>,
    count: usize,
) -> Result<Vec<(String, Stream)>, Fault> {
    let mut scan = Scan::prefix(&(group,), count);
    // Names with a prefix are one stretch: from the prefix itself to the first name beyond all of them.
    let beyond = format!("{prefix}\u{10FFFF}");
    let first = (group, prefix.to_owned());
    let last = (group, beyond);
    scan = match (descending, token) {
        (false, None) => scan.from(&first).until(&last),
        (false, Some(token)) => scan.after(&(group, token)).until(&last),
        (true, None) => scan.reverse().from(&last).through(&first),
        (true, Some(token)) => scan.reverse().after(&(group, token)).through(&first),
    };
    let rows = STREAMS.scan(cx.tx, scan)?;
    let inside = rows.into_iter().map(|((_, name), stream)| (name, stream));
    Ok(inside.filter(|(name, _)| name.starts_with(prefix)).collect())
}

fn by_last_event(
    cx: &Cx<'_>,
    group: u64,
    descending: bool,
    token: Option<String>,
) -> Result<Vec<(String, Stream)>, Fault> {
    let rows = STREAMS.scan(cx.tx, Scan::prefix(&(group,), ORDERED_BY_EVENT_MAX))?;
    let mut rows: Vec<(String, Stream)> =
        rows.into_iter().map(|((_, name), stream)| (name, stream)).collect();
    rows.sort_by(|(a, x), (b, y)| (x.last_event_ms, a).cmp(&(y.last_event_ms, b)));
    if descending {
        rows.reverse();
    }
    if let Some(token) = token {
        let seen = rows.iter().position(|(name, _)| *name == token).map_or(0, |at| at + 1);
        rows.drain(..seen);
    }
    Ok(rows)
}
