//! From a function's name to the version that runs.

use super::keys::{ALIASES, FUNCTIONS, VERSIONS};
use super::model::{AliasRow, State, VersionRow, number_of};
use super::names::{self, Function, Qualifier};
use super::{NotRun, account, faults, lookup, settle};
use crate::fabric::{Record, Target};
use crate::{Cx, spaces};
use mayfly_kernel::function::Version;
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Space;
use std::sync::Arc;

/// The maps that [`Choice`], [`super::permits`] and [`super::url_target`] read.
pub const READ_FROM: [Space; 7] = [
    spaces::LAMBDA_FUNCTIONS,
    spaces::LAMBDA_USAGE,
    spaces::LAMBDA_VERSIONS,
    spaces::LAMBDA_ALIASES,
    spaces::LAMBDA_POLICIES,
    spaces::LAMBDA_URLS,
    spaces::LAMBDA_URL_IDS,
];

/// Everything that a function's name can mean, to be kept for as long as none of [`READ_FROM`] changes.
pub fn resolve(cx: &mut Cx<'_>, name_or_arn: &str) -> Result<Choice, Fault> {
    let function = names::function(cx, name_or_arn, None)?;
    Choice::of(cx, &function)
}

/// The versions behind a name, each with its share of the chances.
#[derive(Clone, Debug)]
pub struct Choice {
    weighted: Vec<(f64, Arc<Version>)>,
    main: Arc<Version>,
}

impl Choice {
    pub(super) fn of(cx: &Cx<'_>, function: &Function) -> Result<Choice, Fault> {
        let version = |number| version_at(cx, function, number).map(Arc::new);
        match function.meaning() {
            Qualifier::Version(number) => Ok(Choice { weighted: Vec::new(), main: version(number)? }),
            Qualifier::Alias(name) => {
                let alias = ALIASES.get(cx.tx, &function.qualified_key(&name))?;
                let alias = alias.ok_or_else(|| faults::function_not_found(&function.named_arn()))?;
                let weighted = alias.weights.iter().map(|(number, weight)| Ok((*weight, version(*number)?)));
                Ok(Choice {
                    weighted: weighted.collect::<Result<_, Fault>>()?,
                    main: version(alias.version)?,
                })
            }
        }
    }

    pub fn draw(&self, ids: &Ids) -> Arc<Version> {
        match self.weighted.is_empty() {
            true => self.main.clone(),
            false => pick(ids, self.weighted.iter().map(|(weight, version)| (*weight, version)))
                .unwrap_or(&self.main)
                .clone(),
        }
    }

    /// The version that is drawn if no other is.
    pub fn main(&self) -> &Arc<Version> {
        &self.main
    }
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
        Target::Redrive(_)
        | Target::Webhook { .. }
        | Target::Mail { .. }
        | Target::Text { .. }
        | Target::Push { .. }
        | Target::Parcel(_)
        | Target::Timer(_)
        | Target::Call(_)
        | Target::Replay(_) => Ok(None),
    }
}

/// A function by an ARN that the platform itself has written down.
pub(super) fn of_arn(arn: &Arn) -> Result<Function, Fault> {
    names::parse(&arn.to_string(), None, &arn.account, &arn.region)
}

pub(super) fn runnable(cx: &Cx<'_>, function: &Function) -> Result<Version, Fault> {
    let number = match function.meaning() {
        Qualifier::Version(number) => number,
        Qualifier::Alias(name) => {
            let alias = ALIASES.get(cx.tx, &function.qualified_key(&name))?;
            draw(cx, &alias.ok_or_else(|| faults::function_not_found(&function.named_arn()))?)
        }
    };
    version_at(cx, function, number)
}

fn version_at(cx: &Cx<'_>, function: &Function, number: u64) -> Result<Version, Fault> {
    let missing = || faults::function_not_found(&function.named_arn());
    let stored = FUNCTIONS.get(cx.tx, &function.key())?.ok_or_else(missing)?;
    let mut row = VERSIONS.get(cx.tx, &function.version_key(number))?.ok_or_else(missing)?;
    if let Some(previous) = row.previous.take() {
        row = *previous;
    }
    match row.state() {
        State::Pending if row.snaps() => Err(faults::snap_start_not_ready()),
        State::Pending => Err(faults::in_state("Pending")),
        State::Failed => Err(faults::in_state("Failed")),
        State::Unspecified | State::Active => {
            row.to_kernel(&function.arn(), &function.name, account::concurrency(cx, function, &stored)?)
        }
    }
}

/// One of the alias's versions, each with its share of the chances.
fn draw(cx: &Cx<'_>, alias: &AliasRow) -> u64 {
    let weighted = alias.weights.iter().map(|(number, weight)| (*weight, *number));
    match alias.weights.is_empty() {
        true => alias.version,
        false => pick(cx.ids, weighted).unwrap_or(alias.version),
    }
}

/// One of those with weights, or none of them: what is left of the chances.
fn pick<T>(ids: &Ids, weighted: impl Iterator<Item = (f64, T)>) -> Option<T> {
    // 53 bits are what a double holds exactly, so every chance below one is equally likely.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let mut chance = (ids.number() >> 11) as f64 / (1_u64 << 53) as f64;
    for (weight, one) in weighted {
        if chance < weight {
            return Some(one);
        }
        chance -= weight;
    }
    None
}

fn prepared_version(cx: &Cx<'_>, function: &Arn, id: &str) -> Result<Option<Version>, Fault> {
    let function = of_arn(function)?;
    let Some(row) = by_id(cx, &function, id)? else { return Ok(None) };
    let stored = lookup::function(cx, &function)?;
    let concurrency = account::concurrency(cx, &function, &stored)?;
    row.to_kernel(&function.arn(), &function.name, concurrency).map(Some)
}

/// The version that an invocation of a function runs now, or why none can.
pub(crate) fn version_now(cx: &Cx<'_>, function: &Arn) -> Result<Result<Version, NotRun>, Fault> {
    match runnable(cx, &of_arn(function)?) {
        Ok(version) => Ok(settle::for_tenant(version, None)),
        Err(fault) if fault.status == 404 => Ok(Err(NotRun::Gone)),
        Err(fault) if fault.is_server() => Err(fault),
        Err(fault) => Ok(Err(NotRun::Later(fault.message))),
    }
}

/// The version that still has this id: it has been neither changed nor deleted since.
pub(super) fn by_id(cx: &Cx<'_>, function: &Function, id: &str) -> Result<Option<VersionRow>, Fault> {
    let Some(number) = number_of(id) else { return Ok(None) };
    let row = VERSIONS.get(cx.tx, &function.version_key(number))?;
    Ok(row.filter(|row| row.id() == id))
}
