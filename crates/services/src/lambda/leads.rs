//! Where an alias leads, for those who move it by steps.

use super::keys::ALIASES;
use super::model::State;
use super::names::{self, Function};
use super::{faults, lookup, provisioned};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};

/// An alias's version, and perhaps another one with its share of the invocations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lead {
    pub(crate) version: u64,
    pub(crate) other: Option<(u64, f64)>,
}

/// A function of the caller's, by a name or an ARN, and one of its aliases.
pub(crate) type Named<'a> = (&'a str, &'a str);

fn alias_of(cx: &Cx<'_>, (function, alias): Named<'_>) -> Result<Function, Fault> {
    names::parse(function, Some(alias), &cx.caller.account, &cx.caller.region)
}

/// The ARN of a function of the caller's account that is named in any way; `None` if it is no name of one.
pub(crate) fn reference(cx: &Cx<'_>, function: &str) -> Option<Arn> {
    let function = names::parse(function, None, &cx.caller.account, &cx.caller.region).ok()?;
    (function.account == cx.caller.account).then(|| function.named_arn())
}

/// Where an alias leads; `None` if there is none of this name.
pub(crate) fn lead(cx: &Cx<'_>, named: Named<'_>) -> Result<Option<Lead>, Fault> {
    let Ok(function) = alias_of(cx, named) else { return Ok(None) };
    if function.account != cx.caller.account {
        return Ok(None);
    }
    let row = lookup::alias(cx, &function, named.1)?;
    let other =
        |row: &super::model::AliasRow| row.weights.iter().next().map(|(number, weight)| (*number, *weight));
    Ok(row.map(|row| Lead { version: row.version, other: other(&row) }))
}

/// Whether an alias may come to lead to a version. It may always go back to where it was.
pub(crate) fn check_lead(cx: &Cx<'_>, named: Named<'_>, number: u64) -> Result<(), Fault> {
    provisioned::check_move(cx, &alias_of(cx, named)?, named.1, [number])
}

/// Makes an alias lead elsewhere, to versions that can run.
pub(crate) fn set_lead(cx: &mut Cx<'_>, named: Named<'_>, lead: &Lead) -> Result<(), Fault> {
    let function = alias_of(cx, named)?;
    cx.allow(&function.arn())?;
    let missing = || faults::not_found(format!("Alias not found: {}", function.arn_of(named.1)));
    let mut row = lookup::alias(cx, &function, named.1)?.ok_or_else(missing)?;
    for number in [lead.version].into_iter().chain(lead.other.map(|(number, _)| number)) {
        let whole = Function { qualifier: None, ..function.clone() };
        match lookup::numbered(cx, &whole, number)?.state() {
            State::Unspecified | State::Active => {}
            State::Pending => return Err(faults::in_state("Pending")),
            State::Failed => return Err(faults::in_state("Failed")),
        }
    }
    row.version = lead.version;
    row.weights = lead.other.into_iter().collect();
    row.revision_id = cx.ids.uuid();
    ALIASES.put(cx.tx, &function.qualified_key(named.1), &row);
    provisioned::moved(cx, &function, named.1)
}
