//! Aliases: names that point at one version, or share invocations between two.

use super::configuration::check_revision;
use super::keys::{ALIASES, ASYNC, POLICIES, URL_IDS, URLS};
use super::model::{AliasRow, VersionRow, label};
use super::names::{self, Function};
use super::{check, faults, lookup, paging, provisioned};
use crate::Cx;
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const WEIGHTS: &str = "routingConfig.additionalVersionWeights";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alias {
    alias_arn: String,
    name: String,
    function_version: String,
    description: String,
    routing_config: Option<Routing>,
    revision_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Routing {
    #[serde(default)]
    additional_version_weights: BTreeMap<String, f64>,
}

impl Alias {
    fn new(function: &Function, name: String, row: AliasRow) -> Alias {
        let weights: BTreeMap<String, f64> =
            row.weights.into_iter().map(|(version, weight)| (version.to_string(), weight)).collect();
        Alias {
            alias_arn: function.arn_of(&name).to_string(),
            name,
            function_version: label(row.version),
            description: row.description,
            routing_config: (!weights.is_empty()).then_some(Routing { additional_version_weights: weights }),
            revision_id: row.revision_id,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    function_name: String,
    name: String,
    function_version: String,
    description: Option<String>,
    routing_config: Option<Routing>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Alias, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    check::length(&input.name, "name", 1, 128)?;
    if !check::is_word(&input.name) || check::is_number(&input.name) {
        return Err(faults::pattern(&input.name, "name", "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"));
    }
    let version = existing_version(cx, &function, &input.function_version)?;
    if lookup::alias(cx, &function, &input.name)?.is_some() {
        return Err(faults::conflict(format!("Alias already exists: {}", function.arn_of(&input.name))));
    }
    let description = checked_description(input.description)?.unwrap_or_default();
    let weights = checked_weights(cx, &function, version, input.routing_config)?;
    let row = AliasRow { version, description, weights, revision_id: cx.ids.uuid() };
    ALIASES.put(cx.tx, &function.qualified_key(&input.name), &row);
    Ok(Alias::new(&function, input.name, row))
}

fn checked_description(description: Option<String>) -> Result<Option<String>, Fault> {
    if let Some(text) = &description {
        check::length(text, "description", 0, 256)?;
    }
    Ok(description)
}

fn check_version(text: &str) -> Result<(), Fault> {
    match text == VersionRow::LATEST || check::is_number(text) {
        true => Ok(()),
        false => Err(faults::pattern(text, "functionVersion", r"(\$LATEST(\.PUBLISHED)?|[0-9]+)")),
    }
}

/// The number behind `$LATEST` or digits, if there is such a version.
fn existing_version(cx: &Cx<'_>, function: &Function, text: &str) -> Result<u64, Fault> {
    check_version(text)?;
    lookup::function(cx, function)?;
    let named = Function { qualifier: Some(text.to_owned()), ..function.clone() };
    Ok(lookup::version(cx, &named)?.number)
}

fn checked_weights(
    cx: &Cx<'_>,
    function: &Function,
    version: u64,
    routing: Option<Routing>,
) -> Result<BTreeMap<u64, f64>, Fault> {
    let asked = routing.map(|routing| routing.additional_version_weights).unwrap_or_default();
    if asked.len() > 1 {
        return Err(faults::parameter(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    let mut weights = BTreeMap::new();
    for (other, weight) in asked {
        if !(0.0..=1.0).contains(&weight) {
            let constraint = "Map value must satisfy constraint: [Member must have value less than or \
                              equal to 1.0, \
                              Member must have value greater than or equal to 0.0, Member must not be null]";
            return Err(faults::invalid(format_args!("{{{other}={weight:?}}}"), WEIGHTS, constraint));
        }
        if version == 0 || other == VersionRow::LATEST {
            return Err(faults::parameter(
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ));
        }
        if !check::is_number(&other) {
            let constraint = "Map keys must satisfy constraint: [Member must have length less than or \
                              equal to 1024, \
                              Member must have length greater than or equal to 1, \
                              Member must satisfy regular expression pattern: [0-9]+, Member must not be \
                              null]";
            return Err(faults::invalid(format_args!("{{{other}={weight:?}}}"), WEIGHTS, constraint));
        }
        let number = existing_version(cx, function, &other)?;
        if number == version {
            return Err(faults::parameter(format!(
                "Invalid function version {number}. \
                 Function version {number} is already included in routing configuration."
            )));
        }
        weights.insert(number, weight);
    }
    Ok(weights)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    function_name: String,
    name: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Alias, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    lookup::function(cx, &function)?;
    let row = lookup::alias(cx, &function, &input.name)?;
    let arn = function.arn_of(&input.name);
    let row = row.ok_or_else(|| faults::not_found(format!("Cannot find alias arn: {arn}")))?;
    Ok(Alias::new(&function, input.name, row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    function_name: String,
    name: String,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<Routing>,
    revision_id: Option<String>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Alias, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    lookup::function(cx, &function)?;
    let row = lookup::alias(cx, &function, &input.name)?;
    let arn = function.arn_of(&input.name);
    let mut row = row.ok_or_else(|| faults::not_found(format!("Alias not found: {arn}")))?;
    check_revision(input.revision_id.as_deref(), &row.revision_id)?;
    if let Some(version) = &input.function_version {
        row.version = existing_version(cx, &function, version)?;
    }
    if let Some(description) = checked_description(input.description)? {
        row.description = description;
    }
    let routing = match input.routing_config {
        Some(routing) => routing,
        // The weights that stay must still fit the version that may have changed.
        None => Routing {
            additional_version_weights: row
                .weights
                .iter()
                .map(|(n, weight)| (n.to_string(), *weight))
                .collect(),
        },
    };
    row.weights = checked_weights(cx, &function, row.version, Some(routing))?;
    let behind = [row.version].into_iter().chain(row.weights.keys().copied());
    provisioned::check_move(cx, &function, &input.name, behind)?;
    row.revision_id = cx.ids.uuid();
    ALIASES.put(cx.tx, &function.qualified_key(&input.name), &row);
    provisioned::moved(cx, &function, &input.name)?;
    Ok(Alias::new(&function, input.name, row))
}

/// Deleting an alias that is not there succeeds.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    lookup::function(cx, &function)?;
    let key = function.qualified_key(&input.name);
    if let Some(url) = URLS.get(cx.tx, &key)? {
        URL_IDS.delete(cx.tx, &(url.url_id,));
    }
    ALIASES.delete(cx.tx, &key);
    URLS.delete(cx.tx, &key);
    POLICIES.delete(cx.tx, &key);
    ASYNC.delete(cx.tx, &key);
    provisioned::forget(cx, &function, &input.name);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    function_name: String,
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    aliases: Vec<Alias>,
    next_marker: Option<String>,
}

/// A marker is the name of the last alias looked at. A page under a version filter may be short, even empty,
/// and still have a next one.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    if let Some(version) = &input.function_version {
        check::length(version, "functionVersion", 1, 1024)?;
        check_version(version)?;
    }
    lookup::function(cx, &function)?;
    let limit = paging::size(input.max_items, 10_000)?;
    let mut scan = Scan::prefix(&function.key(), limit + 1);
    if let Some(marker) = input.marker {
        scan = scan.after(&function.qualified_key(&marker));
    }
    let (rows, next_marker) = paging::cut(ALIASES.scan(cx.tx, scan)?, limit, |((.., name), _)| name.clone());
    let wanted = |row: &AliasRow| {
        let version = label(row.version);
        input.function_version.as_ref().is_none_or(|asked| *asked == version)
    };
    let rows = rows.into_iter().filter(|(_, row)| wanted(row));
    let aliases = rows.map(|((.., name), row)| Alias::new(&function, name, row)).collect();
    Ok(Listed { aliases, next_marker })
}
