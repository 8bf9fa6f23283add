//! Reads functions, versions and aliases, or says that they do not exist.

use super::faults;
use super::keys::{ALIASES, FUNCTIONS, VERSIONS};
use super::model::{AliasRow, FunctionRow, VersionRow, label};
use super::names::{Function, Qualifier};
use crate::Cx;
use mayfly_kernel::Fault;

pub(super) fn function(cx: &Cx<'_>, function: &Function) -> Result<FunctionRow, Fault> {
    FUNCTIONS.get(cx.tx, &function.key())?.ok_or_else(|| faults::function_not_found(&function.named_arn()))
}

pub(super) fn alias(cx: &Cx<'_>, function: &Function, name: &str) -> Result<Option<AliasRow>, Fault> {
    Ok(ALIASES.get(cx.tx, &function.qualified_key(name))?)
}

/// A version by its number; 0 is `$LATEST`.
pub(super) fn numbered(cx: &Cx<'_>, function: &Function, number: u64) -> Result<VersionRow, Fault> {
    let row = VERSIONS.get(cx.tx, &function.version_key(number))?;
    row.ok_or_else(|| match &function.qualifier {
        None if number == 0 => faults::function_not_found(&function.arn()),
        Some(asked) => faults::function_not_found(&function.arn_of(asked)),
        None => faults::function_not_found(&function.arn_of(&label(number))),
    })
}

pub(super) fn latest(cx: &Cx<'_>, function: &Function) -> Result<VersionRow, Fault> {
    numbered(cx, function, 0)
}

/// The version that the function's qualifier means; of an alias, its main one.
pub(super) fn version(cx: &Cx<'_>, function: &Function) -> Result<VersionRow, Fault> {
    let number = match function.meaning() {
        Qualifier::Version(number) => number,
        Qualifier::Alias(name) => {
            let row = alias(cx, function, &name)?;
            row.ok_or_else(|| faults::function_not_found(&function.named_arn()))?.version
        }
    };
    numbered(cx, function, number)
}
