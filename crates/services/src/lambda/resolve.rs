//! From a function's name to the version that runs.

use super::keys::{ALIASES, FUNCTIONS, VERSIONS};
use super::model::{AliasRow, State, VersionRow, number_of};
use super::names::{self, Function, Qualifier};
use super::{faults, lookup};
use crate::Cx;
use crate::fabric::{Record, Target};
use mayfly_kernel::function::Version;
use mayfly_kernel::{Arn, Fault};

/// The version to run for a caller who may invoke: of an alias with weights, one drawn by them.
pub fn resolve(cx: &mut Cx<'_>, name_or_arn: &str, qualifier: Option<&str>) -> Result<Version, Fault> {
    let function = names::function(cx, name_or_arn, qualifier)?;
    runnable(cx, &function)
}

/// The version for a delivery; `None` if what it was meant for does not exist any more.
pub fn version_for(cx: &mut Cx<'_>, record: &Record) -> Result<Option<Version>, Fault> {
    cx.allowed_by_policy();
    match record.target()? {
        Target::Function(arn) => {
            let function = of_arn(&arn)?;
            match runnable(cx, &function) {
                Ok(version) => Ok(Some(version)),
                Err(fault) if fault.status == 404 => Ok(None),
                Err(fault) => Err(fault),
            }
        }
        Target::Prepare { function, version } => prepared_version(cx, &function, &version),
    }
}

/// A function by an ARN that the platform itself has written down.
pub(super) fn of_arn(arn: &Arn) -> Result<Function, Fault> {
    names::parse(&arn.to_string(), None, &arn.account, &arn.region)
}

pub(super) fn runnable(cx: &Cx<'_>, function: &Function) -> Result<Version, Fault> {
    let missing = || faults::function_not_found(&function.named_arn());
    let number = match function.meaning() {
        Qualifier::Version(number) => number,
        Qualifier::Alias(name) => {
            let alias = ALIASES.get(cx.tx, &function.qualified_key(&name))?;
            draw(cx, &alias.ok_or_else(missing)?)
        }
    };
    let stored = FUNCTIONS.get(cx.tx, &function.key())?.ok_or_else(missing)?;
    let mut row = VERSIONS.get(cx.tx, &function.version_key(number))?.ok_or_else(missing)?;
    if let Some(previous) = row.previous.take() {
        row = *previous;
    }
    match row.state() {
        State::Pending => Err(faults::in_state("Pending")),
        State::Failed => Err(faults::in_state("Failed")),
        State::Unspecified | State::Active => {
            row.to_kernel(&function.arn(), &function.name, stored.reserved_concurrency)
        }
    }
}

/// One of the alias's versions, each with its share of the chances.
fn draw(cx: &Cx<'_>, alias: &AliasRow) -> u64 {
    if alias.weights.is_empty() {
        return alias.version;
    }
    // 53 bits are what a double holds exactly, so every chance below one is equally likely.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let mut chance = (cx.ids.number() >> 11) as f64 / (1_u64 << 53) as f64;
    for (number, weight) in &alias.weights {
        if chance < *weight {
            return *number;
        }
        chance -= weight;
    }
    alias.version
}

fn prepared_version(cx: &Cx<'_>, function: &Arn, id: &str) -> Result<Option<Version>, Fault> {
    let function = of_arn(function)?;
    let Some(row) = by_id(cx, &function, id)? else { return Ok(None) };
    let reserved = lookup::function(cx, &function)?.reserved_concurrency;
    row.to_kernel(&function.arn(), &function.name, reserved).map(Some)
}

/// The version that still has this id: it has been neither changed nor deleted since.
pub(super) fn by_id(cx: &Cx<'_>, function: &Function, id: &str) -> Result<Option<VersionRow>, Fault> {
    let Some(number) = number_of(id) else { return Ok(None) };
    let row = VERSIONS.get(cx.tx, &function.version_key(number))?;
    Ok(row.filter(|row| row.id() == id))
}
