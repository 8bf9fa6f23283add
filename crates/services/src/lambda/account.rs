//! What an account uses, and how much it may.

use super::keys::{COUNTS, USAGE};
use super::model::{FunctionRow, UsageRow};
use super::names::Function;
use super::{faults, keys::FUNCTIONS, lookup, names, provisioned};
use crate::{Cx, Signal};
use mayfly_kernel::{Fault, function};
use serde::{Deserialize, Serialize};

fn key(cx: &Cx<'_>) -> (String, String) {
    (cx.caller.account.clone(), cx.caller.region.clone())
}

#[derive(Clone, Copy)]
enum Count {
    Functions = 1,
    CodeBytes = 2,
}

fn counter(cx: &Cx<'_>, count: Count) -> (String, String, u8) {
    (cx.caller.account.clone(), cx.caller.region.clone(), count as u8)
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// Counts a function in, or out. Nobody waits for anybody else who does.
pub(super) fn count_function(cx: &mut Cx<'_>, change: i64) {
    COUNTS.add(cx.tx, &counter(cx, Count::Functions), change);
}

/// Counts the bytes of a package in, as far as the account may have more.
///
/// Up to half of what it may have, the sum is only looked at: no number of clients at the same time brings
/// the other half. Beyond that it is held to, and one client waits for another.
pub(super) fn add_code(cx: &mut Cx<'_>, bytes: u64) -> Result<(), Fault> {
    let (counter, limit) = (counter(cx, Count::CodeBytes), cx.limits.code_storage_bytes);
    let before = USAGE.get(cx.tx, &key(cx))?.unwrap_or_default().code_bytes;
    let mut used = signed(before) + COUNTS.look(cx.tx, &counter)?;
    if used + signed(bytes) > signed(limit / 2) {
        used = signed(before) + COUNTS.get(cx.tx, &counter)?;
    }
    if used + signed(bytes) > signed(limit) {
        return Err(faults::code_storage_exceeded());
    }
    COUNTS.add(cx.tx, &counter, signed(bytes));
    Ok(())
}

/// Counts the bytes of a package out.
pub(super) fn drop_code(cx: &mut Cx<'_>, bytes: u64) {
    COUNTS.add(cx.tx, &counter(cx, Count::CodeBytes), -signed(bytes));
}

/// What is counted, with what was before there were counters.
fn counted(cx: &Cx<'_>, count: Count, before: u64) -> Result<u64, Fault> {
    let now = signed(before) + COUNTS.look(cx.tx, &counter(cx, count))?;
    Ok(u64::try_from(now).unwrap_or(0))
}

/// Takes back what a function that is deleted had reserved.
pub(super) fn unreserve(cx: &mut Cx<'_>, reserved: u64) -> Result<(), Fault> {
    if reserved == 0 {
        return Ok(());
    }
    let mut usage = USAGE.get(cx.tx, &key(cx))?.unwrap_or_default();
    usage.reserved_concurrency = usage.reserved_concurrency.saturating_sub(reserved);
    USAGE.put(cx.tx, &key(cx), &usage);
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct GetSettings {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AccountSettings {
    account_limit: AccountLimit,
    account_usage: AccountUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    total_code_size: u64,
    code_size_unzipped: u64,
    code_size_zipped: u64,
    concurrent_executions: u32,
    unreserved_concurrent_executions: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccountUsage {
    total_code_size: u64,
    function_count: u64,
}

pub(super) fn get_settings(cx: &mut Cx<'_>, _input: GetSettings) -> Result<AccountSettings, Fault> {
    let resource = cx.arn("lambda", "account-settings");
    cx.allow(&resource)?;
    let usage = USAGE.get(cx.tx, &key(cx))?.unwrap_or_default();
    let limits = cx.limits;
    Ok(AccountSettings {
        account_limit: AccountLimit {
            total_code_size: limits.code_storage_bytes,
            code_size_unzipped: limits.package_unpacked_bytes,
            code_size_zipped: limits.package_zip_bytes,
            concurrent_executions: limits.account_concurrency,
            unreserved_concurrent_executions: unreserved(cx, &usage),
        },
        account_usage: AccountUsage {
            total_code_size: counted(cx, Count::CodeBytes, usage.code_bytes)?,
            function_count: counted(cx, Count::Functions, usage.functions)?,
        },
    })
}

fn unreserved(cx: &Cx<'_>, usage: &UsageRow) -> u64 {
    u64::from(cx.limits.account_concurrency).saturating_sub(usage.reserved_concurrency)
}

/// What the functions of this one's account that reserve nothing may run together.
pub(super) fn unreserved_of(cx: &Cx<'_>, function: &Function) -> Result<u64, Fault> {
    let key = (function.account.clone(), function.region.clone());
    Ok(unreserved(cx, &USAGE.get(cx.tx, &key)?.unwrap_or_default()))
}

/// How much of a function may run at once.
pub(super) fn concurrency(
    cx: &Cx<'_>,
    function: &Function,
    stored: &FunctionRow,
) -> Result<function::Concurrency, Fault> {
    Ok(match stored.reserved_concurrency {
        Some(reserved) => function::Concurrency::Reserved(reserved),
        None => {
            let left = unreserved_of(cx, function)?;
            function::Concurrency::Shared(u32::try_from(left).unwrap_or(u32::MAX))
        }
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Concurrency {
    reserved_concurrent_executions: Option<u32>,
}

impl Concurrency {
    /// `None` if nothing is reserved.
    pub(super) fn of(reserved: Option<u32>) -> Option<Concurrency> {
        reserved.map(|reserved| Concurrency { reserved_concurrent_executions: Some(reserved) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutConcurrency {
    function_name: String,
    reserved_concurrent_executions: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfFunction {
    function_name: String,
}

pub(super) fn put_concurrency(cx: &mut Cx<'_>, input: PutConcurrency) -> Result<Concurrency, Fault> {
    let wanted = input.reserved_concurrent_executions;
    let wanted = super::check::number(wanted, "reservedConcurrentExecutions", 0, i32::MAX.unsigned_abs())?;
    reserve(cx, &input.function_name, Some(wanted))?;
    Ok(Concurrency { reserved_concurrent_executions: Some(wanted) })
}

pub(super) fn delete_concurrency(cx: &mut Cx<'_>, input: OfFunction) -> Result<(), Fault> {
    reserve(cx, &input.function_name, None)
}

pub(super) fn get_concurrency(cx: &mut Cx<'_>, input: OfFunction) -> Result<Concurrency, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    let row = lookup::function(cx, &function)?;
    Ok(Concurrency { reserved_concurrent_executions: row.reserved_concurrency })
}

fn reserve(cx: &mut Cx<'_>, name: &str, wanted: Option<u32>) -> Result<(), Fault> {
    let function = names::unqualified(cx, name)?;
    let mut row = lookup::function(cx, &function)?;
    let before = u64::from(row.reserved_concurrency.unwrap_or(0));
    let after = u64::from(wanted.unwrap_or(0));
    let provisioned = provisioned::total(cx, &function)?;
    if wanted.is_some() && after < provisioned {
        return Err(faults::parameter(format!(
            "ReservedConcurrentExecutions {after} should not be lower than function's total provisioned \
             concurrency [{provisioned}]."
        )));
    }
    let mut usage = USAGE.get(cx.tx, &key(cx))?.unwrap_or_default();
    let min = cx.limits.unreserved_concurrency_min;
    // What is provisioned moves into the function's own reservation.
    let own = if row.reserved_concurrency.is_none() { provisioned } else { 0 };
    let held = provisioned::shared(cx, &function)? - own + u64::from(min);
    if after > before && unreserved(cx, &usage) + before < after + held {
        return Err(faults::parameter(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution \
             below its minimum value of [{min}]."
        )));
    }
    usage.reserved_concurrency = (usage.reserved_concurrency + after).saturating_sub(before);
    USAGE.put(cx.tx, &key(cx), &usage);
    row.reserved_concurrency = wanted;
    FUNCTIONS.put(cx.tx, &function.key(), &row);
    if provisioned > 0 {
        cx.signal(Signal::Provision);
    }
    Ok(())
}
