//! Functions: CreateFunction, GetFunction, ListFunctions, DeleteFunction.

use super::account::{self, Concurrency};
use super::code::{self, Code};
use super::configuration::{Configuration, PER_TENANT, check_mandatory, check_sizes, check_snap_start};
use super::keys::{ALIASES, ASYNC, FUNCTIONS, POLICIES, TAGS, URL_IDS, URLS, VERSIONS};
use super::model::{FunctionRow, ImageRow, Logging, VersionRow};
use super::names::{self, Function, Qualifier};
use super::settings::Settings;
use super::{check, faults, lifecycle, lookup, paging, provisioned, tags, versions};
use crate::Cx;
use crate::operation::{Package, PackageSource};
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use mayfly_wire::tree::Unread;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Functions on one page of a list, at most, whatever the caller asks for. Rows that are deleted between two
/// reads.
const SWEEP: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    function_name: String,
    code: Code,
    #[serde(default)]
    publish: bool,
    package_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    architectures: Option<Vec<String>>,
    tenancy_config: Option<TenancyConfig>,
    #[serde(flatten)]
    settings: Settings,
    #[serde(flatten)]
    _rest: Unread,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TenancyConfig {
    tenant_isolation_mode: String,
}

pub(super) fn create_source(cx: &mut Cx<'_>, input: Create) -> Result<Option<PackageSource>, Fault> {
    let (_, row) = new_version(cx, &input)?;
    match row.image.is_some() {
        true => input.code.image(cx, &row.architecture).map(Some),
        false => input.code.source(cx).map(Some),
    }
}

pub(super) fn create(
    cx: &mut Cx<'_>,
    input: Create,
    package: Option<&Package>,
) -> Result<Configuration, Fault> {
    let (function, mut row) = new_version(cx, &input)?;
    code::install(&mut row, package)?;
    check_sizes(cx, &row)?;
    let stored = FunctionRow { uid: row.uid.clone(), ..FunctionRow::default() };
    FUNCTIONS.put(cx.tx, &function.key(), &stored);
    account::count_function(cx, 1);
    if let Some(tags) = input.tags {
        tags::store(cx, &function, tags)?;
    }
    let mut row = lifecycle::create(cx, &function, row)?;
    if input.publish {
        row = versions::publish_latest(cx, &function, &row, None)?;
    }
    Ok(Configuration::new(&function.name, function.arn(), row))
}

/// Checks everything that does not need the package.
fn new_version(cx: &mut Cx<'_>, input: &Create) -> Result<(Function, VersionRow), Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    let package_type = input.package_type.as_deref().unwrap_or("Zip");
    check::one_of(package_type, "packageType", &["Zip", "Image"])?;
    let mut row = VersionRow {
        uid: cx.ids.lower(12),
        generation: 1,
        timeout_s: 3,
        memory_mib: cx.limits.function_memory_mib_min,
        ephemeral_mib: 512,
        architecture: code::architecture(input.architectures.as_ref())?.unwrap_or_else(|| "x86_64".into()),
        tracing: "PassThrough".into(),
        snap_start: "None".into(),
        // Which one it is comes with the package; that it is one decides what else may be said.
        image: (package_type == "Image").then(ImageRow::default),
        logging: Logging {
            format: "Text".into(),
            group: format!("/aws/lambda/{}", function.name),
            ..Logging::default()
        },
        ..VersionRow::default()
    };
    input.settings.apply(cx, &mut row)?;
    if let Some(config) = &input.tenancy_config {
        check::one_of(&config.tenant_isolation_mode, "tenancyConfig.tenantIsolationMode", &[PER_TENANT])?;
        row.per_tenant = true;
    }
    if row.role.is_empty() {
        let sentence = "1 validation error detected: Value null at 'role' failed to satisfy constraint: \
                        Member must not be null";
        return Err(Fault::new(400, "ValidationException", sentence));
    }
    check_mandatory(&row)?;
    check_snap_start(&row)?;
    if FUNCTIONS.contains(cx.tx, &function.key())? {
        return Err(faults::function_exists(&function.name));
    }
    Ok((function, row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    function_name: String,
    qualifier: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Got {
    configuration: Configuration,
    code: Location,
    tags: Option<BTreeMap<String, String>>,
    concurrency: Option<Concurrency>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Location {
    repository_type: &'static str,
    location: Option<String>,
    image_uri: Option<String>,
    resolved_image_uri: Option<String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Got, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = lookup::version(cx, &function)?;
    let reserved = lookup::function(cx, &function)?.reserved_concurrency;
    let tags = tags::of(cx, &function)?;
    let code = match &row.image {
        Some(image) => Location {
            repository_type: "ECR",
            location: None,
            image_uri: Some(image.uri.clone()),
            resolved_image_uri: Some(image.resolved.clone()),
        },
        None => Location {
            repository_type: "S3",
            location: Some(code::link(cx, &row.package)),
            image_uri: None,
            resolved_image_uri: None,
        },
    };
    Ok(Got {
        configuration: Configuration::new(&function.name, function.named_arn(), row),
        code,
        tags: (!tags.is_empty()).then_some(tags),
        concurrency: Concurrency::of(reserved),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    master_region: Option<String>,
    function_version: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    functions: Vec<Configuration>,
    next_marker: Option<String>,
}

/// A marker is the name of the last function shown, with a version's number if all versions are listed.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("lambda", "function:*");
    cx.allow(&resource)?;
    let limit = paging::size(input.max_items, 10_000)?;
    if let Some(region) = input.master_region.filter(|region| region != "ALL") {
        // Nothing is replicated to the edge, so the region changes nothing.
        check::region(&region, "masterRegion")?;
    }
    match input.function_version.as_deref() {
        None => list_latest(cx, input.marker, limit),
        Some("ALL") => list_all(cx, input.marker.as_deref(), limit),
        Some(other) => Err(faults::not_in_set(other, "functionVersion", &["ALL"])),
    }
}

fn at(cx: &Cx<'_>, name: String) -> Function {
    Function { account: cx.caller.account.clone(), region: cx.caller.region.clone(), name, qualifier: None }
}

fn list_latest(cx: &mut Cx<'_>, marker: Option<String>, limit: usize) -> Result<Listed, Fault> {
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some(marker) = marker {
        scan = scan.after(&(account, region, marker));
    }
    let (rows, next_marker) =
        paging::cut(FUNCTIONS.scan(cx.tx, scan)?, limit, |((.., name), _)| name.clone());
    let mut functions = Vec::with_capacity(rows.len());
    for ((_, _, name), _) in rows {
        let function = at(cx, name);
        let row = lookup::latest(cx, &function)?;
        functions.push(Configuration::listed(&function.name, function.arn(), row));
    }
    Ok(Listed { functions, next_marker })
}

fn list_all(cx: &mut Cx<'_>, marker: Option<&str>, limit: usize) -> Result<Listed, Fault> {
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some((name, number)) = marker.and_then(|marker| marker.split_once(':')) {
        scan = scan.after(&(account, region, name, number.parse::<u64>().unwrap_or(u64::MAX)));
    }
    let (rows, next_marker) = paging::cut(VERSIONS.scan(cx.tx, scan)?, limit, |((_, _, name, number), _)| {
        format!("{name}:{number}")
    });
    let shown = |((_, _, name, _), row): (_, VersionRow)| {
        let function = at(cx, name);
        Configuration::listed(&function.name, function.arn_of(&row.label()), row)
    };
    Ok(Listed { functions: rows.into_iter().map(shown).collect(), next_marker })
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    match (&function.qualifier, function.meaning()) {
        (None, _) => delete_whole(cx, &function),
        (Some(_), Qualifier::Version(0)) => {
            Err(faults::parameter("$LATEST version cannot be deleted without deleting the function."))
        }
        (Some(_), Qualifier::Version(number)) => delete_version(cx, &function, number),
        (Some(_), Qualifier::Alias(_)) => {
            Err(faults::parameter("Deletion of aliases is not currently supported."))
        }
    }
}

fn delete_version(cx: &mut Cx<'_>, function: &Function, number: u64) -> Result<(), Fault> {
    let row = lookup::numbered(cx, function, number)?;
    let aliases = ALIASES.scan(cx.tx, Scan::prefix(&function.key(), SWEEP))?;
    let holders = aliases
        .into_iter()
        .filter(|(_, alias)| alias.version == number || alias.weights.contains_key(&number));
    let holders: Vec<String> = holders.map(|((.., name), _)| name).collect();
    if !holders.is_empty() {
        return Err(faults::conflict(format!(
            "Unable to delete version because the following aliases reference it: [{}]",
            holders.join(", ")
        )));
    }
    lifecycle::delete(cx, function, &row)?;
    let key = function.qualified_key(&row.label());
    POLICIES.delete(cx.tx, &key);
    ASYNC.delete(cx.tx, &key);
    provisioned::forget(cx, function, &row.label());
    Ok(())
}

fn delete_whole(cx: &mut Cx<'_>, function: &Function) -> Result<(), Fault> {
    let stored = lookup::function(cx, function)?;
    let key = function.key();
    while let rows @ [_, ..] = &VERSIONS.scan(cx.tx, Scan::prefix(&key, SWEEP))?[..] {
        rows.iter().try_for_each(|(_, row)| lifecycle::delete(cx, function, row))?;
    }
    while let rows @ [_, ..] = &URLS.scan(cx.tx, Scan::prefix(&key, SWEEP))?[..] {
        for (key, row) in rows {
            URLS.delete(cx.tx, key);
            URL_IDS.delete(cx.tx, &(row.url_id.clone(),));
        }
    }
    while let rows @ [_, ..] = &ALIASES.scan(cx.tx, Scan::prefix(&key, SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| ALIASES.delete(cx.tx, key));
    }
    while let rows @ [_, ..] = &POLICIES.scan(cx.tx, Scan::prefix(&key, SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| POLICIES.delete(cx.tx, key));
    }
    while let rows @ [_, ..] = &ASYNC.scan(cx.tx, Scan::prefix(&key, SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| ASYNC.delete(cx.tx, key));
    }
    provisioned::forget_all(cx, function)?;
    TAGS.delete(cx.tx, &key);
    FUNCTIONS.delete(cx.tx, &key);
    let reserved = u64::from(stored.reserved_concurrency.unwrap_or(0));
    account::count_function(cx, -1);
    account::unreserve(cx, reserved)
}
