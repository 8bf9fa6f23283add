//! Archives: what came onto a bus, kept to be replayed.

use super::keys::{self, ARCHIVE_COUNTS, ARCHIVED, ARCHIVES, BusKey, SWEEPS};
use super::model::{Archive, Mark};
use super::names::{self, bus_arn, bus_key, open_bus};
use super::{alarms, buses, faults};
use crate::Cx;
use crate::pattern::Pattern;
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Of which an archive here has but the first.
const STATES: [&str; 6] = ["ENABLED", "DISABLED", "CREATING", "UPDATING", "CREATE_FAILED", "UPDATE_FAILED"];
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn archive_arn(key: &BusKey) -> Arn {
    Arn::new("events", &key.1, &key.0, format!("archive/{}", key.2))
}

/// The archive of this name, if the caller may use it.
pub(super) fn open(cx: &mut Cx<'_>, name: &str) -> Result<(BusKey, Archive), Fault> {
    let key = bus_key(cx.caller, name);
    cx.allow(&archive_arn(&key))?;
    match ARCHIVES.get(cx.tx, &key)? {
        Some(archive) => Ok((key, archive)),
        None => Err(faults::missing(format!("Archive {name} does not exist."))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    archive_name: String,
    event_source_arn: String,
    description: Option<String>,
    event_pattern: Option<String>,
    #[serde(default)]
    retention_days: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    archive_arn: String,
    state: &'static str,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
}

fn made(key: &BusKey, archive: &Archive) -> Made {
    Made {
        archive_arn: archive_arn(key).to_string(),
        state: "ENABLED",
        creation_time: Time::from_ms(archive.created_ms),
    }
}

fn check_pattern(pattern: Option<String>) -> Result<String, Fault> {
    let pattern = pattern.unwrap_or_default();
    if !pattern.is_empty() {
        Pattern::compile(&pattern).map_err(|reason| faults::invalid_pattern(&reason))?;
    }
    Ok(pattern)
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Made, Fault> {
    names::check("archiveName", &input.archive_name, 48, false)?;
    names::check_length("description", input.description.as_deref(), 512)?;
    let key = bus_key(cx.caller, &input.archive_name);
    cx.allow(&archive_arn(&key))?;
    let (bus, _) = open_bus(cx, Some(&input.event_source_arn))?;
    if ARCHIVES.contains(cx.tx, &key)? {
        return Err(faults::exists(format!("Archive {} already exists.", input.archive_name)));
    }
    let archive = Archive {
        id: cx.ids.number(),
        bus: bus.2,
        pattern: check_pattern(input.event_pattern)?,
        description: input.description.unwrap_or_default(),
        retention_days: input.retention_days,
        created_ms: cx.now.ms(),
    };
    ARCHIVES.put(cx.tx, &key, &archive);
    keys::changed(cx, (&key.0, &key.1, &archive.bus));
    Ok(made(&key, &archive))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    archive_name: String,
    description: Option<String>,
    event_pattern: Option<String>,
    retention_days: Option<u32>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Made, Fault> {
    names::check_length("description", input.description.as_deref(), 512)?;
    let (key, mut archive) = open(cx, &input.archive_name)?;
    if input.event_pattern.is_some() {
        archive.pattern = check_pattern(input.event_pattern)?;
    }
    archive.description = input.description.unwrap_or(archive.description);
    archive.retention_days = input.retention_days.unwrap_or(archive.retention_days);
    ARCHIVES.put(cx.tx, &key, &archive);
    keys::changed(cx, (&key.0, &key.1, &archive.bus));
    Ok(made(&key, &archive))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    archive_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    archive_arn: String,
    archive_name: String,
    event_source_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    event_pattern: String,
    state: &'static str,
    retention_days: u32,
    size_bytes: i64,
    event_count: i64,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
}

fn shown(cx: &Cx<'_>, key: BusKey, archive: Archive) -> Result<Shown, Fault> {
    let bus = (key.0.clone(), key.1.clone(), archive.bus);
    Ok(Shown {
        archive_arn: archive_arn(&key).to_string(),
        archive_name: key.2,
        event_source_arn: bus_arn(&bus).to_string(),
        description: archive.description,
        event_pattern: archive.pattern,
        state: "ENABLED",
        retention_days: archive.retention_days,
        event_count: ARCHIVE_COUNTS.look(cx.tx, &(archive.id, 0))?,
        size_bytes: ARCHIVE_COUNTS.look(cx.tx, &(archive.id, 1))?,
        creation_time: Time::from_ms(archive.created_ms),
    })
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, archive) = open(cx, &input.archive_name)?;
    shown(cx, key, archive)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    event_source_arn: Option<String>,
    state: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    archives: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("events", "archive/*");
    cx.allow(&resource)?;
    names::check_listing(input.name_prefix.as_deref(), (48, false), input.next_token.as_deref())?;
    names::check_source(input.event_source_arn.as_deref())?;
    names::check_state(input.state.as_deref(), &STATES)?;
    let limit = buses::limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let (mut rows, next_token) = names::page(cx, &ARCHIVES, &prefix, input.next_token.as_deref(), limit)?;
    let of_bus = input.event_source_arn.as_deref().map(|arn| names::bus_name(Some(arn)).to_owned());
    let enabled = input.state.is_none_or(|state| state == "ENABLED");
    rows.retain(|(_, archive)| enabled && of_bus.as_ref().is_none_or(|bus| *bus == archive.bus));
    let archives = rows.into_iter().map(|(key, archive)| shown(cx, key, archive));
    Ok(Listed { archives: archives.collect::<Result<_, _>>()?, next_token })
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let (key, archive) = open(cx, &input.archive_name)?;
    ARCHIVES.delete(cx.tx, &key);
    keys::changed(cx, (&key.0, &key.1, &archive.bus));
    SWEEPS.put(cx.tx, &(archive.id,), &Mark {});
    cx.signal(crate::Signal::Garbage);
    Ok(())
}

/// Deletes up to about `limit` events past their archive's retention, or of archives that are gone; and what
/// need not be remembered of alarms.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    if let Some(((id,), _)) = SWEEPS.scan(cx.tx, Scan::all(1))?.pop() {
        let rows = ARCHIVED.peek_scan(cx.tx, Scan::prefix(&(id,), limit))?;
        let swept = rows.len();
        rows.iter().for_each(|(key, _)| ARCHIVED.delete(cx.tx, key));
        if swept == 0 {
            SWEEPS.delete(cx.tx, &(id,));
            ARCHIVE_COUNTS.delete(cx.tx, &(id, 0));
            ARCHIVE_COUNTS.delete(cx.tx, &(id, 1));
        }
        return Ok(swept.max(1));
    }
    let mut expired = 0;
    for (_, archive) in ARCHIVES.peek_scan(cx.tx, Scan::all(usize::MAX))? {
        if archive.retention_days == 0 || expired >= limit {
            continue;
        }
        let cutoff = cx.now - DAY * archive.retention_days;
        let scan = Scan::prefix(&(archive.id,), limit - expired).until(&(archive.id, cutoff));
        for (key, row) in ARCHIVED.peek_scan(cx.tx, scan)? {
            ARCHIVED.delete(cx.tx, &key);
            ARCHIVE_COUNTS.add(cx.tx, &(archive.id, 0), -1);
            let bytes = i64::try_from(row.event.len()).unwrap_or(i64::MAX);
            ARCHIVE_COUNTS.add(cx.tx, &(archive.id, 1), -bytes);
            expired += 1;
        }
    }
    Ok(expired + alarms::expire(cx, limit)?)
}
