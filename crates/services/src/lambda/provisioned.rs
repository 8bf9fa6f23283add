//! Provisioned concurrency: instances of a version or alias that are there before the first event.
//!
//! A configuration is a row; keeping the instances is the runtime's work, which [`wanted`] tells what is
//! asked for. What is really there is a second row that the binary writes ([`note`]) whenever the runtime's
//! figures change, so the operations here stay functions of the store. Those rows are of the running process
//! alone: it begins by deleting them ([`forget_standing`]).
//!
//! An alias with weights has its instances divided between its versions by the same weights.

use super::keys::{ALIASES, FUNCTIONS, PROVISIONED, QualifiedKey, STANDING, VERSIONS};
use super::model::{FunctionRow, ProvisionedRow, StandingRow, State, timestamp};
use super::names::{self, Function, Qualifier};
use super::{account, check, faults, lookup, paging};
use crate::Cx;
use crate::cx::Signal;
use mayfly_kernel::function::Version;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

/// Rows that are read at once where all of them are wanted.
const SWEEP: usize = 500;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    function_arn: Option<String>,
    requested_provisioned_concurrent_executions: u32,
    available_provisioned_concurrent_executions: u32,
    allocated_provisioned_concurrent_executions: u32,
    status: &'static str,
    status_reason: Option<String>,
    last_modified: String,
}

impl Config {
    fn new(row: &ProvisionedRow, standing: StandingRow) -> Config {
        let (requested, available) = (row.requested, standing.available.min(row.requested));
        let status = match (available >= requested, standing.failure.is_empty()) {
            (true, _) => "READY",
            (false, true) => "IN_PROGRESS",
            (false, false) => "FAILED",
        };
        Config {
            function_arn: None,
            requested_provisioned_concurrent_executions: requested,
            available_provisioned_concurrent_executions: available,
            allocated_provisioned_concurrent_executions: standing.allocated.min(requested),
            status,
            status_reason: (status == "FAILED").then_some(standing.failure),
            last_modified: timestamp(row.modified_ms),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    function_name: String,
    qualifier: String,
    provisioned_concurrent_executions: i64,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Config, Fault> {
    let function = names::function(cx, &input.function_name, Some(&input.qualifier))?;
    let wanted = input.provisioned_concurrent_executions;
    let wanted = check::number(wanted, "provisionedConcurrentExecutions", 1, i32::MAX.unsigned_abs())?;
    set(cx, &function, wanted)
}

/// Asks for so many instances, whoever decided on the number.
pub(super) fn set(cx: &mut Cx<'_>, function: &Function, wanted: u32) -> Result<Config, Fault> {
    let stored = lookup::function(cx, function)?;
    let version = lookup::version(cx, function)?.number;
    let mut behind = vec![version];
    if let Qualifier::Alias(alias) = function.meaning() {
        behind.extend(lookup::alias(cx, function, &alias)?.unwrap_or_default().weights.into_keys());
    }
    check_versions(cx, function, behind)?;
    check_overlap(cx, function, version)?;
    let key = function.qualified_key(function.qualifier.as_deref().unwrap_or_default());
    let before = PROVISIONED.get(cx.tx, &key)?.map_or(0, |row| row.requested);
    check_room(cx, function, &stored, u64::from(wanted), u64::from(before))?;
    let row = ProvisionedRow { requested: wanted, modified_ms: cx.now.ms() };
    PROVISIONED.put(cx.tx, &key, &row);
    cx.signal(Signal::Provision);
    let standing = STANDING.get(cx.tx, &key)?.unwrap_or_default();
    Ok(Config::new(&row, standing))
}

/// How many instances are asked for under an alias or version of the caller's; none if there is no such function.
pub(crate) fn provisioned_concurrency(cx: &Cx<'_>, (name, qualifier): (&str, &str)) -> Result<u32, Fault> {
    let Ok(function) = names::parse(name, Some(qualifier), &cx.caller.account, &cx.caller.region) else {
        return Ok(0);
    };
    Ok(PROVISIONED.get(cx.tx, &function.qualified_key(qualifier))?.map_or(0, |row| row.requested))
}

/// Asks for another number of instances; for none, the configuration goes.
pub(crate) fn set_provisioned_concurrency(
    cx: &mut Cx<'_>,
    (name, qualifier): (&str, &str),
    wanted: u32,
) -> Result<(), Fault> {
    let function = names::function(cx, name, Some(qualifier))?;
    match wanted {
        0 => {
            forget(cx, &function, qualifier);
            Ok(())
        }
        wanted => set(cx, &function, wanted).map(drop),
    }
}

/// Whether instances of these versions can be there ahead.
fn check_versions(
    cx: &Cx<'_>,
    function: &Function,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<(), Fault> {
    for number in numbers {
        let row = lookup::numbered(cx, function, number)?;
        if row.per_tenant {
            return Err(faults::not_per_tenant("Provisioned concurrency"));
        }
        if row.snaps() {
            return Err(faults::no_snap_start("ProvisionedConcurrency"));
        }
        if number == 0 {
            return Err(faults::parameter(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
            ));
        }
    }
    Ok(())
}

/// Whether an alias may lead to these versions: with provisioned concurrency, to none that cannot have it.
pub(super) fn check_move(
    cx: &Cx<'_>,
    function: &Function,
    alias: &str,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<(), Fault> {
    match PROVISIONED.contains(cx.tx, &function.qualified_key(alias))? {
        true => check_versions(cx, function, numbers),
        false => Ok(()),
    }
}

/// A version is provisioned by itself or through an alias, never by both.
fn check_overlap(cx: &Cx<'_>, function: &Function, version: u64) -> Result<(), Fault> {
    let provisioned = |cx: &Cx<'_>, qualifier: &str| {
        PROVISIONED.contains(cx.tx, &function.qualified_key(qualifier)).map_err(Fault::from)
    };
    match function.meaning() {
        Qualifier::Alias(_) => match provisioned(cx, &version.to_string())? {
            true => Err(faults::conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
            )),
            false => Ok(()),
        },
        Qualifier::Version(_) => {
            for ((.., alias), row) in ALIASES.scan(cx.tx, Scan::prefix(&function.key(), SWEEP))? {
                if row.version == version && provisioned(cx, &alias)? {
                    return Err(faults::conflict("Version is pointed by a Provisioned Concurrency alias"));
                }
            }
            Ok(())
        }
    }
}

/// Provisioned instances come out of what the function reserves or, if it reserves nothing, of what the
/// account has left, of which a part must stay free.
fn check_room(
    cx: &Cx<'_>,
    function: &Function,
    stored: &FunctionRow,
    wanted: u64,
    before: u64,
) -> Result<(), Fault> {
    let all = total(cx, function)? - before + wanted;
    if let Some(reserved) = stored.reserved_concurrency {
        return match all > u64::from(reserved) {
            true => Err(faults::parameter(
                "Requested Provisioned Concurrency should not be greater than the \
                 reservedConcurrentExecution for function",
            )),
            false => Ok(()),
        };
    }
    let unreserved = account::unreserved_of(cx, function)?;
    if wanted > unreserved {
        return Err(faults::parameter(format!(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency \
             [{unreserved}]."
        )));
    }
    let min = u64::from(cx.limits.unreserved_concurrency_min);
    if shared(cx, function)? - before + wanted + min > unreserved {
        return Err(faults::parameter(format!(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below \
             its minimum value of [{min}]."
        )));
    }
    Ok(())
}

/// What the functions of an account that reserve nothing have asked for together. Each of these rows takes at
/// least one of what the account may run at once, so there are not many.
pub(super) fn shared(cx: &Cx<'_>, function: &Function) -> Result<u64, Fault> {
    let (account, region) = (function.account.clone(), function.region.clone());
    let mut sum = 0;
    let rows = PROVISIONED.scan(cx.tx, Scan::prefix(&(account.clone(), region.clone()), usize::MAX))?;
    for ((.., name, _), row) in rows {
        let key = (account.clone(), region.clone(), name);
        if FUNCTIONS.get(cx.tx, &key)?.is_some_and(|stored| stored.reserved_concurrency.is_none()) {
            sum += u64::from(row.requested);
        }
    }
    Ok(sum)
}

/// What a function has asked for under all its names.
pub(super) fn total(cx: &Cx<'_>, function: &Function) -> Result<u64, Fault> {
    let rows = PROVISIONED.scan(cx.tx, Scan::prefix(&function.key(), SWEEP))?;
    Ok(rows.iter().map(|(_, row)| u64::from(row.requested)).sum())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    function_name: String,
    qualifier: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Config, Fault> {
    let function = names::function(cx, &input.function_name, Some(&input.qualifier))?;
    lookup::version(cx, &function)?;
    let key = function.qualified_key(&input.qualifier);
    let row = PROVISIONED.get(cx.tx, &key)?.ok_or_else(faults::not_provisioned)?;
    Ok(Config::new(&row, STANDING.get(cx.tx, &key)?.unwrap_or_default()))
}

/// Deleting a configuration that is not there succeeds.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let function = names::function(cx, &input.function_name, Some(&input.qualifier))?;
    lookup::function(cx, &function)?;
    forget(cx, &function, &input.qualifier);
    Ok(())
}

/// The version or alias goes, and its configuration with it.
pub(super) fn forget(cx: &mut Cx<'_>, function: &Function, qualifier: &str) {
    let key = function.qualified_key(qualifier);
    PROVISIONED.delete(cx.tx, &key);
    STANDING.delete(cx.tx, &key);
    cx.signal(Signal::Provision);
}

/// The function goes.
pub(super) fn forget_all(cx: &mut Cx<'_>, function: &Function) -> Result<(), Fault> {
    while let rows @ [_, ..] = &PROVISIONED.scan(cx.tx, Scan::prefix(&function.key(), SWEEP))?[..] {
        rows.iter().for_each(|((.., qualifier), _)| forget(cx, function, qualifier));
    }
    Ok(())
}

/// An alias leads elsewhere: what stands there is not known yet.
pub(super) fn moved(cx: &mut Cx<'_>, function: &Function, alias: &str) -> Result<(), Fault> {
    let key = function.qualified_key(alias);
    if PROVISIONED.contains(cx.tx, &key)? {
        STANDING.delete(cx.tx, &key);
        cx.signal(Signal::Provision);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    function_name: String,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    provisioned_concurrency_configs: Vec<Config>,
    next_marker: Option<String>,
}

/// A marker is the qualifier of the last one shown.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    lookup::function(cx, &function)?;
    let limit = paging::size(input.max_items, 50)?;
    let mut scan = Scan::prefix(&function.key(), limit + 1);
    if let Some(marker) = input.marker {
        scan = scan.after(&function.qualified_key(&marker));
    }
    let (rows, next_marker) =
        paging::cut(PROVISIONED.scan(cx.tx, scan)?, limit, |((.., qualifier), _)| qualifier.clone());
    let mut configs = Vec::new();
    for (key, row) in &rows {
        let mut config = Config::new(row, STANDING.get(cx.tx, key)?.unwrap_or_default());
        config.function_arn = Some(function.arn_of(&key.3).to_string());
        configs.push(config);
    }
    Ok(Listed { provisioned_concurrency_configs: configs, next_marker })
}

/// A version or alias that is to have instances.
#[derive(Clone, Debug)]
pub struct Wanted {
    key: QualifiedKey,
    /// The versions behind it, each with its share.
    pub shares: Vec<(Version, u32)>,
}

impl Wanted {
    /// The function, unqualified, and the alias or version.
    pub fn name(&self) -> (Arn, &str) {
        let (account, region, function, qualifier) = &self.key;
        (Arn::new("lambda", region, account, format!("function:{function}")), qualifier)
    }
}

/// How the instances of one configuration stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub allocated: u32,
    pub available: u32,
    /// Why there are no more; empty if nothing is wrong.
    pub failure: String,
}

/// All that is asked for on this installation.
pub fn wanted(cx: &mut Cx<'_>) -> Result<Vec<Wanted>, Fault> {
    cx.allowed_by_policy();
    let mut found = Vec::new();
    let mut scan = Scan::all(SWEEP);
    loop {
        let rows = PROVISIONED.scan(cx.tx, scan)?;
        let Some((last, _)) = rows.last() else { return Ok(found) };
        scan = Scan::all(SWEEP).after(last);
        for (key, row) in &rows {
            found.push(Wanted { key: key.clone(), shares: shares(cx, key, row)? });
        }
    }
}

fn shares(cx: &Cx<'_>, key: &QualifiedKey, row: &ProvisionedRow) -> Result<Vec<(Version, u32)>, Fault> {
    let (account, region, name, qualifier) = key.clone();
    let function = Function { account, region, name, qualifier: Some(qualifier) };
    let mut numbers = Vec::new();
    let mut left = row.requested;
    match function.meaning() {
        Qualifier::Version(number) => numbers.push((number, left)),
        Qualifier::Alias(alias) => {
            let Some(alias) = ALIASES.get(cx.tx, &function.qualified_key(&alias))? else {
                return Ok(Vec::new());
            };
            for (number, weight) in alias.weights {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "between 0 and a u32"
                )]
                let share = (f64::from(row.requested) * weight).round() as u32;
                left = left.saturating_sub(share);
                numbers.push((number, share));
            }
            numbers.push((alias.version, left));
        }
    }
    let Some(stored) = FUNCTIONS.get(cx.tx, &function.key())? else { return Ok(Vec::new()) };
    let mut shares = Vec::new();
    for (number, share) in numbers.into_iter().filter(|(_, share)| *share > 0) {
        let version = VERSIONS.get(cx.tx, &function.version_key(number))?;
        if let Some(version) = version.filter(|version| version.state() == State::Active) {
            let concurrency = account::concurrency(cx, &function, &stored)?;
            shares.push((version.to_kernel(&function.arn(), &function.name, concurrency)?, share));
        }
    }
    Ok(shares)
}

/// Writes down how a configuration stands, if it is still there.
pub fn note(cx: &mut Cx<'_>, wanted: &Wanted, standing: &Standing) -> Result<(), Fault> {
    cx.allowed_by_policy();
    if PROVISIONED.contains(cx.tx, &wanted.key)? {
        let row = StandingRow {
            allocated: standing.allocated,
            available: standing.available,
            failure: standing.failure.clone(),
        };
        STANDING.put(cx.tx, &wanted.key, &row);
    }
    Ok(())
}

/// What an earlier process has written down of itself.
pub fn forget_standing(cx: &mut Cx<'_>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    while let rows @ [_, ..] = &STANDING.scan(cx.tx, Scan::all(SWEEP))?[..] {
        rows.iter().for_each(|(key, _)| STANDING.delete(cx.tx, key));
    }
    Ok(())
}
