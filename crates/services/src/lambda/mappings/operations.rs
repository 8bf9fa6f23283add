//! CreateEventSourceMapping, and what else one does with mappings.

use super::asked::Asked;
use super::external::ExternalRow;
use super::model::{Key, MappingRow, Mark, Phase};
use super::settings::{self, Filters, Scaling, Settings};
use crate::lambda::keys::{
    MAPPING_CURSORS, MAPPING_RESULTS, MAPPINGS, MAPPINGS_OF_FUNCTION, MAPPINGS_OF_SOURCE, QualifiedKey,
};
use crate::lambda::names::{self, Function};
use crate::lambda::{faults, paging, resolve, tags};
use crate::readers::Reader;
use crate::{Cx, Signal};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Mappings on one page of a list, at most.
const PAGE: usize = 100;
/// What is said of an external source that had nothing yet.
const NOTHING_YET: &str = "No records processed";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    #[serde(rename = "UUID")]
    uuid: String,
    event_source_mapping_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    event_source_arn: String,
    function_arn: String,
    batch_size: u32,
    maximum_batching_window_in_seconds: u32,
    #[serde(with = "epoch_seconds")]
    last_modified: Time,
    state: &'static str,
    state_transition_reason: &'static str,
    function_response_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_config: Option<Scaling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_criteria: Option<Filters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_processing_result: Option<String>,
    #[serde(flatten)]
    external: Option<Asked>,
}

fn arn(key: &Key) -> Arn {
    Arn::new("lambda", &key.1, &key.0, format!("event-source-mapping:{}", key.2))
}

impl Shown {
    fn new(cx: &Cx<'_>, key: &Key, row: MappingRow) -> Result<Shown, Fault> {
        let most = i64::from(row.max_concurrency);
        let last = |_: &ExternalRow| MAPPING_RESULTS.get(cx.tx, key);
        let last = row.external.as_ref().map(last).transpose()?;
        Ok(Shown {
            uuid: key.2.clone(),
            event_source_mapping_arn: arn(key).to_string(),
            batch_size: row.batch_size,
            maximum_batching_window_in_seconds: row.window_s,
            last_modified: Time::from_ms(row.modified_ms),
            state: row.state(),
            state_transition_reason: "USER_INITIATED",
            function_response_types: settings::response_types(&row),
            scaling_config: (most > 0).then_some(Scaling { maximum_concurrency: Some(most) }),
            filter_criteria: Filters::of(&row),
            last_processing_result: last.map(|last| last.map_or_else(|| NOTHING_YET.into(), |row| row.text)),
            external: row.external.as_ref().map(|row| Asked::of(key, row)),
            event_source_arn: row.source_arn,
            function_arn: row.function_arn,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    function_name: String,
    event_source_arn: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Shown, Fault> {
    let function = names::function(cx, &input.function_name, None)?;
    let mut row = MappingRow {
        function_arn: function.named_arn().to_string(),
        enabled: true,
        external: input.settings.external()?.source()?,
        ..MappingRow::default()
    };
    if row.external.is_none() {
        let source = settings::source(input.event_source_arn.as_deref())?;
        cx.allow(&source)?;
        row.source_arn = source.to_string();
    } else if input.event_source_arn.is_some() {
        return Err(faults::parameter("EventSourceArn and SelfManagedEventSource exclude each other."));
    }
    input.settings.apply(cx, &mut row)?;
    settings::check_function(cx, &function, &row)?;
    refuse_twin(cx, &row, None)?;
    tags::check(cx, &input.tags)?;
    row.tags = input.tags;
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), cx.ids.uuid());
    MAPPINGS_OF_SOURCE.put(cx.tx, &source_key(&key, &row), &Mark {});
    MAPPINGS_OF_FUNCTION.put(cx.tx, &function_key(&key, &row)?, &Mark {});
    write(cx, &key, row, Phase::Creating)
}

fn source_key((account, region, id): &Key, row: &MappingRow) -> QualifiedKey {
    (account.clone(), region.clone(), row.source_name(), id.clone())
}

fn function_key((account, region, id): &Key, row: &MappingRow) -> Result<QualifiedKey, Fault> {
    Ok((account.clone(), region.clone(), resolve::of_arn(&row.function()?)?.name, id.clone()))
}

/// A function reads a source once.
fn refuse_twin(cx: &Cx<'_>, row: &MappingRow, own: Option<&Key>) -> Result<(), Fault> {
    let (account, region) = (&cx.caller.account, &cx.caller.region);
    let source = row.source_name();
    let prefix = (account.clone(), region.clone(), source.clone());
    for ((_, _, _, id), _) in MAPPINGS_OF_SOURCE.scan(cx.tx, Scan::prefix(&prefix, usize::MAX))? {
        let key = (account.clone(), region.clone(), id);
        if own == Some(&key) {
            continue;
        }
        if MAPPINGS.get(cx.tx, &key)?.is_some_and(|other| other.function_arn == row.function_arn) {
            let name = resolve::of_arn(&row.function()?)?.name;
            let kind = row.external.as_ref().map_or("SQS arn", |_| "source");
            return Err(faults::conflict(format!(
                "An event source mapping with {kind} (\" {source} \") and function (\" {name} \") already exists. \
                 Please update or delete the existing mapping with UUID {}",
                key.2
            )));
        }
    }
    Ok(())
}

/// Writes a change down; the binary takes it up from there.
fn write(cx: &mut Cx<'_>, key: &Key, mut row: MappingRow, phase: Phase) -> Result<Shown, Fault> {
    row.set_phase(phase);
    row.generation += 1;
    row.modified_ms = cx.now.ms();
    MAPPINGS.put(cx.tx, key, &row);
    cx.signal(Signal::Reader(Reader::Mapping(key.clone())));
    Shown::new(cx, key, row)
}

fn find(cx: &mut Cx<'_>, id: &str) -> Result<(Key, MappingRow), Fault> {
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), id.to_owned());
    cx.allow(&arn(&key))?;
    let row = MAPPINGS.get(cx.tx, &key)?.ok_or_else(faults::no_such_resource)?;
    Ok((key, row))
}

#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(rename = "UUID")]
    uuid: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, row) = find(cx, &input.uuid)?;
    Shown::new(cx, &key, row)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    #[serde(rename = "UUID")]
    uuid: String,
    function_name: Option<String>,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Shown, Fault> {
    let (key, before) = find(cx, &input.uuid)?;
    refuse_if_busy(&before)?;
    let mut row = before.clone();
    if let Some(name) = &input.function_name {
        row.function_arn = names::function(cx, name, None)?.named_arn().to_string();
    }
    input.settings.external()?.refuse_fixed()?;
    input.settings.apply(cx, &mut row)?;
    if row.function_arn != before.function_arn {
        let function: Function = resolve::of_arn(&row.function()?)?;
        settings::check_function(cx, &function, &row)?;
        refuse_twin(cx, &row, Some(&key))?;
        MAPPINGS_OF_FUNCTION.delete(cx.tx, &function_key(&key, &before)?);
        MAPPINGS_OF_FUNCTION.put(cx.tx, &function_key(&key, &row)?, &Mark {});
    }
    let phase = match (before.enabled, row.enabled) {
        (false, true) => Phase::Enabling,
        (true, false) => Phase::Disabling,
        (true, true) | (false, false) => Phase::Updating,
    };
    write(cx, &key, row, phase)
}

/// A mapping that is on its way to a state takes no other order until it is there.
fn refuse_if_busy(row: &MappingRow) -> Result<(), Fault> {
    match row.phase() {
        Phase::Settled => Ok(()),
        Phase::Creating | Phase::Updating | Phase::Enabling | Phase::Disabling | Phase::Deleting => {
            Err(faults::in_use("Cannot update the event source mapping because it is in use."))
        }
    }
}

/// It is gone once the batches that it has are done.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, row) = find(cx, &input.uuid)?;
    match row.phase() {
        Phase::Deleting => {
            Err(faults::in_use("Cannot delete the event source mapping because it is in use."))
        }
        _ => write(cx, &key, row, Phase::Deleting),
    }
}

/// Takes away what a mapping leaves.
pub(super) fn remove(cx: &mut Cx<'_>, key: &Key, row: &MappingRow) -> Result<(), Fault> {
    MAPPINGS.delete(cx.tx, key);
    MAPPING_RESULTS.delete(cx.tx, key);
    for (line, _) in MAPPING_CURSORS.scan(cx.tx, Scan::prefix(key, usize::MAX))? {
        MAPPING_CURSORS.delete(cx.tx, &line);
    }
    MAPPINGS_OF_SOURCE.delete(cx.tx, &source_key(key, row));
    MAPPINGS_OF_FUNCTION.delete(cx.tx, &function_key(key, row)?);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    event_source_arn: Option<String>,
    function_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    event_source_mappings: Vec<Shown>,
    next_marker: Option<String>,
}

/// A marker is the id of the last one looked at.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let everything = cx.arn("lambda", "event-source-mapping:*");
    cx.allow(&everything)?;
    if let Some(most) = input.max_items {
        super::super::check::range(most, "maxItems", 1, 10_000)?;
    }
    let size = input.max_items.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).min(PAGE);
    if let Some(source) = &input.event_source_arn {
        settings::source(Some(source))?;
    }
    let function = match &input.function_name {
        Some(name) => Some(names::function(cx, name, None)?),
        None => None,
    };
    let after = input.marker.as_deref();
    let ids = match (&function, &input.event_source_arn) {
        (Some(function), _) => indexed(cx, &MAPPINGS_OF_FUNCTION, &function.name, after, size + 1)?,
        (None, Some(source)) => indexed(cx, &MAPPINGS_OF_SOURCE, source, after, size + 1)?,
        (None, None) => all(cx, after, size + 1)?,
    };
    let (ids, next_marker) = paging::cut(ids, size, String::clone);
    let mut event_source_mappings = Vec::with_capacity(ids.len());
    for id in ids {
        let key = (cx.caller.account.clone(), cx.caller.region.clone(), id);
        let Some(row) = MAPPINGS.get(cx.tx, &key)? else { continue };
        let of_function = match &function {
            Some(Function { qualifier: Some(_), .. }) => {
                function.as_ref().is_some_and(|function| function.named_arn().to_string() == row.function_arn)
            }
            Some(_) | None => true,
        };
        if of_function && input.event_source_arn.as_ref().is_none_or(|source| *source == row.source_arn) {
            event_source_mappings.push(Shown::new(cx, &key, row)?);
        }
    }
    Ok(Listed { event_source_mappings, next_marker })
}

fn indexed(
    cx: &Cx<'_>,
    index: &mayfly_store::Map<QualifiedKey, Mark>,
    of: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Fault> {
    let prefix = (cx.caller.account.clone(), cx.caller.region.clone(), of.to_owned());
    let mut scan = Scan::prefix(&prefix, limit);
    if let Some(after) = after {
        scan = scan.after(&(prefix.0.clone(), prefix.1.clone(), prefix.2.clone(), after.to_owned()));
    }
    Ok(index.scan(cx.tx, scan)?.into_iter().map(|((_, _, _, id), _)| id).collect())
}

fn all(cx: &Cx<'_>, after: Option<&str>, limit: usize) -> Result<Vec<String>, Fault> {
    let prefix = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&prefix, limit);
    if let Some(after) = after {
        scan = scan.after(&(prefix.0.clone(), prefix.1.clone(), after.to_owned()));
    }
    Ok(MAPPINGS.scan(cx.tx, scan)?.into_iter().map(|((_, _, id), _)| id).collect())
}

/// The tags of the mapping with this id.
pub(in crate::lambda) fn tags_of(cx: &mut Cx<'_>, id: &str) -> Result<BTreeMap<String, String>, Fault> {
    Ok(find(cx, id)?.1.tags)
}

/// Replaces all tags.
pub(in crate::lambda) fn store_tags(
    cx: &mut Cx<'_>,
    id: &str,
    tags: BTreeMap<String, String>,
) -> Result<(), Fault> {
    let (key, row) = find(cx, id)?;
    MAPPINGS.put(cx.tx, &key, &MappingRow { tags, ..row });
    Ok(())
}
