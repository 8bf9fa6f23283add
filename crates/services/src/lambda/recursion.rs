//! Recursive loops: a function that causes its own next invocation, and who may do so.
//!
//! Every call that comes out of an instance is one deeper than the invocation under way in it, whatever the
//! function calls: an object it writes whose notification invokes it again continues the chain. At
//! `limits.delivery_depth` the chain is cut, unless the function says `RecursiveLoop: Allow`. The contract is
//! "Use Lambda recursive loop detection to prevent infinite loops" in the Lambda developer guide.

use super::keys::FUNCTIONS;
use super::names::{self, Function};
use super::{check, faults, lookup, resolve};
use crate::Cx;
use crate::fabric::{Record, Target};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

const SETTINGS: [&str; 2] = ["Allow", "Terminate"];

/// Whether an invocation with so many before it in its chain is cut.
pub(super) fn is_cut(cx: &Cx<'_>, function: &Function, depth: u32) -> Result<bool, Fault> {
    if depth < cx.limits.delivery_depth {
        return Ok(false);
    }
    Ok(FUNCTIONS.get(cx.tx, &function.key())?.is_some_and(|row| !row.recursion_allowed))
}

/// Refuses a synchronous call that would go on with a loop.
pub(super) fn refuse(cx: &Cx<'_>, function: &Function) -> Result<(), Fault> {
    match is_cut(cx, function, cx.caller.depth)? {
        true => Err(faults::recursive()),
        false => Ok(()),
    }
}

/// Whether a delivery to a function goes on with a loop and shall not.
pub(super) fn cuts(cx: &Cx<'_>, record: &Record) -> Result<bool, Fault> {
    match record.target()? {
        Target::Function(arn) => is_cut(cx, &resolve::of_arn(&arn)?, record.depth),
        Target::Prepare { .. }
        | Target::Redrive(_)
        | Target::Webhook { .. }
        | Target::Mail { .. }
        | Target::Text { .. }
        | Target::Push { .. }
        | Target::Parcel(_)
        | Target::Timer(_)
        | Target::Call(_)
        | Target::Replay(_) => Ok(false),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    recursive_loop: &'static str,
}

impl Config {
    fn of(allowed: bool) -> Config {
        Config { recursive_loop: if allowed { "Allow" } else { "Terminate" } }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    function_name: String,
    recursive_loop: String,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Config, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    check::one_of(&input.recursive_loop, "recursiveLoop", &SETTINGS)?;
    let mut row = lookup::function(cx, &function)?;
    row.recursion_allowed = input.recursive_loop == "Allow";
    FUNCTIONS.put(cx.tx, &function.key(), &row);
    Ok(Config::of(row.recursion_allowed))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    function_name: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Config, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    Ok(Config::of(lookup::function(cx, &function)?.recursion_allowed))
}
