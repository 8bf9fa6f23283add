//! What operators see of the fabric: deliveries that wait, are under way, or were given up; and what they may
//! do with the last.
//!
//! Part of Mayfly's own service. A delivery that was given up stays until it is redriven or dropped: nothing
//! that was accepted is lost without a word.

use super::keys::{DEAD, FLIGHT, READY};
use super::model::Record;
use crate::cx::Signal;
use crate::{Cx, Service};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::time::iso8601;
use serde::{Deserialize, Serialize};

const PAGE_MAX: usize = 1000;

pub(crate) fn with_deliveries(service: Service) -> Service {
    service.view("ListDeliveries", list).op("RedriveDelivery", redrive).op("DropDelivery", drop_dead)
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum State {
    Dead,
    Waiting,
    InFlight,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    state: State,
    next_token: Option<String>,
    max_items: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    id: String,
    state: State,
    lane: String,
    target: String,
    event_type: String,
    source: String,
    attempt: u32,
    depth: u32,
    enqueued_at: String,
    /// When it falls due, or when it was given up.
    at: Option<String>,
    /// Names a dead delivery to the operations on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    deliveries: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

fn invalid(text: &str) -> Fault {
    Fault::new(400, "InvalidParameterException", text)
}

/// A dead delivery's place: the time it was given up, and its id.
fn handle((at, id): &(Time, String)) -> String {
    format!("{}/{id}", at.ms())
}

fn place(handle: &str) -> Result<(Time, String), Fault> {
    let parts =
        handle.split_once('/').and_then(|(at, id)| Some((Time::from_ms(at.parse().ok()?), id.to_owned())));
    parts.ok_or_else(|| invalid("The handle is not one of a dead delivery"))
}

fn shown(record: Record, state: State, at: Option<Time>, handle: Option<String>) -> Result<Shown, Fault> {
    Ok(Shown {
        lane: record.target()?.lane(),
        enqueued_at: iso8601(record.enqueued()),
        id: record.id,
        state,
        target: record.arn,
        event_type: record.event_type,
        source: record.source,
        attempt: record.attempt,
        depth: record.depth,
        at: at.map(iso8601),
        handle,
        reason: record.last_error,
    })
}

fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("mayfly", "delivery/*");
    cx.allow(&resource)?;
    let limit = input.max_items.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let token = input.next_token.as_deref();
    let mut page = match input.state {
        State::Dead => dead(cx, token, limit)?,
        State::Waiting => waiting(cx, token, limit)?,
        State::InFlight => in_flight(cx, token, limit)?,
    };
    let own = |record: &Record| record.account == cx.caller.account;
    let mut deliveries = Vec::with_capacity(page.rows.len());
    for (record, at, handle) in page.rows.drain(..).filter(|(record, ..)| own(record)) {
        deliveries.push(shown(record, input.state, at, handle)?);
    }
    Ok(Listed { deliveries, next_token: page.next })
}

/// Rows as they are read, whosever they are.
struct Page {
    rows: Vec<(Record, Option<Time>, Option<String>)>,
    next: Option<String>,
}

fn dead(cx: &Cx<'_>, token: Option<&str>, limit: usize) -> Result<Page, Fault> {
    let mut scan = Scan::all(limit);
    if let Some(token) = token {
        scan = scan.after(&place(token)?);
    }
    let rows = DEAD.scan(cx.tx, scan)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(key, _)| handle(key));
    let rows = rows.into_iter().map(|(key, record)| (record, Some(key.0), Some(handle(&key))));
    Ok(Page { rows: rows.collect(), next })
}

/// A token is lane, due time and id, in lines.
fn waiting(cx: &Cx<'_>, token: Option<&str>, limit: usize) -> Result<Page, Fault> {
    let mut scan = Scan::all(limit);
    if let Some(token) = token {
        let parts: Vec<&str> = token.split('\n').collect();
        let [lane, due, id] = parts[..] else { return Err(invalid("The token is invalid")) };
        let due = due.parse().map_err(|_| invalid("The token is invalid"))?;
        scan = scan.after(&(lane.to_owned(), Time::from_ms(due), id.to_owned()));
    }
    let rows = READY.scan(cx.tx, scan)?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(|((lane, due, id), _)| format!("{lane}\n{}\n{id}", due.ms()));
    let rows = rows.into_iter().map(|((_, due, _), record)| (record, Some(due), None));
    Ok(Page { rows: rows.collect(), next })
}

fn in_flight(cx: &Cx<'_>, token: Option<&str>, limit: usize) -> Result<Page, Fault> {
    let mut scan = Scan::all(limit);
    if let Some(token) = token {
        let (lane, id) = token.split_once('\n').ok_or_else(|| invalid("The token is invalid"))?;
        scan = scan.after(&(lane.to_owned(), id.to_owned()));
    }
    let rows = FLIGHT.scan(cx.tx, scan)?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(|((lane, id), _)| format!("{lane}\n{id}"));
    let rows = rows.into_iter().map(|(_, record)| (record, None, None));
    Ok(Page { rows: rows.collect(), next })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Handle {
    handle: String,
}

/// Takes a dead delivery of the caller's account away.
fn take(cx: &mut Cx<'_>, handle: &str) -> Result<Record, Fault> {
    let resource = cx.arn("mayfly", format!("delivery/{handle}"));
    cx.allow(&resource)?;
    let key = place(handle)?;
    let record = DEAD.get(cx.tx, &key)?.filter(|record| record.account == cx.caller.account);
    let missing = || Fault::new(400, "DeliveryNotFoundException", "There is no such dead delivery");
    let record = record.ok_or_else(missing)?;
    DEAD.delete(cx.tx, &key);
    Ok(record)
}

/// Sends it again under its old id, as new: with all its attempts before it, and no chain behind it.
fn redrive(cx: &mut Cx<'_>, input: Handle) -> Result<(), Fault> {
    let mut record = take(cx, &input.handle)?;
    record.attempt = 0;
    record.depth = 0;
    record.enqueued_ms = cx.now.ms();
    record.last_error = String::new();
    let lane = record.target()?.lane();
    READY.put(cx.tx, &(lane.clone(), cx.now, record.id.clone()), &record);
    cx.signal(Signal::Lane(lane, cx.now));
    Ok(())
}

fn drop_dead(cx: &mut Cx<'_>, input: Handle) -> Result<(), Fault> {
    take(cx, &input.handle).map(drop)
}
