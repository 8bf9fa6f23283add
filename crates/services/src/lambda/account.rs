//! What an account uses, and how much it may.

use super::keys::USAGE;
use super::model::UsageRow;
use super::{faults, keys::FUNCTIONS, lookup, names, provisioned};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

fn key(cx: &Cx<'_>) -> (String, String) {
    (cx.caller.account.clone(), cx.caller.region.clone())
}

/// Changes the account's figures in the transaction of what changes them.
pub(super) fn count(cx: &mut Cx<'_>, change: impl FnOnce(&mut UsageRow)) -> Result<(), Fault> {
    let key = key(cx);
    let mut usage = USAGE.get(cx.tx, &key)?.unwrap_or_default();
    let before = usage.code_bytes;
    change(&mut usage);
    if usage.code_bytes > before && usage.code_bytes > cx.limits.code_storage_bytes {
        return Err(faults::code_storage_exceeded());
    }
    USAGE.put(cx.tx, &key, &usage);
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
        account_usage: AccountUsage { total_code_size: usage.code_bytes, function_count: usage.functions },
    })
}

fn unreserved(cx: &Cx<'_>, usage: &UsageRow) -> u64 {
    u64::from(cx.limits.account_concurrency).saturating_sub(usage.reserved_concurrency)
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
    let usage = USAGE.get(cx.tx, &key(cx))?.unwrap_or_default();
    let min = cx.limits.unreserved_concurrency_min;
    if after > before && unreserved(cx, &usage) + before < after + u64::from(min) {
        return Err(faults::parameter(format!(
            "Specified ReservedConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution \
             below its minimum value of [{min}]."
        )));
    }
    count(cx, |usage| {
        usage.reserved_concurrency = (usage.reserved_concurrency + after).saturating_sub(before)
    })?;
    row.reserved_concurrency = wanted;
    FUNCTIONS.put(cx.tx, &function.key(), &row);
    Ok(())
}
