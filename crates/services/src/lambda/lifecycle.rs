//! How versions come, change, become ready and go: the rules that every operation on code or configuration
//! shares.
//!
//! A function that has to be compiled first (`wasm`), or whose layers have to come and be unpacked (an
//! image), is `Pending` until that is done, and turns changes away meanwhile; while a change to it is made
//! ready, and if that fails, what it was before goes on serving. A version with SnapStart is `Pending` from
//! its publishing until its module code has run. All others can be invoked at once; what is done ahead for
//! them (unpacking, finding the interpreter) shows in `LastUpdateStatus`, and a newer change simply
//! overtakes it.

use super::keys::VERSIONS;
use super::model::{State, Update, VersionRow};
use super::names::Function;
use super::{account, faults};
use crate::cx::Signal;
use crate::fabric::{Delivery, Target};
use crate::{Cx, blobs};
use mayfly_kernel::Fault;

const CREATING: (&str, &str) = ("The function is being created.", "Creating");

/// Whether it can only run once it has been made ready.
pub(super) fn waits(row: &VersionRow) -> bool {
    row.runtime == "wasm" || row.image.is_some()
}

/// A copy of `$LATEST` to change, if it may be changed now.
pub(super) fn begin_update(function: &Function, old: &VersionRow) -> Result<VersionRow, Fault> {
    if old.state() == State::Pending {
        return Err(faults::in_state("Pending"));
    }
    if old.update() == Update::InProgress && waits(old) {
        return Err(faults::update_in_progress(&function.arn()));
    }
    Ok(old.clone())
}

/// Writes `$LATEST` as it shall be from now on.
pub(super) fn finish_update(
    cx: &mut Cx<'_>,
    function: &Function,
    old: &VersionRow,
    mut row: VersionRow,
) -> Result<VersionRow, Fault> {
    row.generation += 1;
    row.revision_id = cx.ids.uuid();
    row.modified_ms = cx.now.ms();
    row.previous = None;
    (row.state_reason, row.state_reason_code) = Default::default();
    if old.state() == State::Failed {
        // It has never been ready, so this is its creation again.
        start(&mut row);
    } else {
        row.set_update(Update::InProgress);
        row.update_reason = CREATING.0.into();
        row.update_reason_code = CREATING.1.into();
    }
    hold(cx, &row)?;
    row.previous = supersede(cx, old.clone(), &row)?;
    VERSIONS.put(cx.tx, &function.version_key(0), &row);
    prepare(cx, function, &row)?;
    Ok(row)
}

/// What goes on serving until the update is compiled: the last version that was, if there is one. All else of
/// `old` is let go.
fn supersede(
    cx: &mut Cx<'_>,
    mut old: VersionRow,
    new: &VersionRow,
) -> Result<Option<Box<VersionRow>>, Fault> {
    let earlier = old.previous.take();
    let serves = waits(new) && old.state() == State::Active;
    if serves && old.update() == Update::Successful {
        return Ok(Some(Box::new(old)));
    }
    release(cx, &old)?;
    match earlier {
        Some(earlier) if !serves => release(cx, &earlier).map(|()| None),
        earlier => Ok(earlier),
    }
}

/// The update is compiled: what served meanwhile is of no use any more.
pub(super) fn forget_previous(cx: &mut Cx<'_>, row: &mut VersionRow) -> Result<(), Fault> {
    match row.previous.take() {
        Some(previous) => release(cx, &previous),
        None => Ok(()),
    }
}

/// Writes a version that did not exist before.
pub(super) fn create(cx: &mut Cx<'_>, function: &Function, mut row: VersionRow) -> Result<VersionRow, Fault> {
    row.revision_id = cx.ids.uuid();
    row.modified_ms = cx.now.ms();
    start(&mut row);
    hold(cx, &row)?;
    VERSIONS.put(cx.tx, &function.version_key(0), &row);
    prepare(cx, function, &row)?;
    Ok(row)
}

fn start(row: &mut VersionRow) {
    if waits(row) {
        row.set_state(State::Pending);
        row.state_reason = CREATING.0.into();
        row.state_reason_code = CREATING.1.into();
    } else {
        row.set_state(State::Active);
    }
    row.set_update(Update::InProgress);
    row.update_reason = CREATING.0.into();
    row.update_reason_code = CREATING.1.into();
}

/// Writes `$LATEST` down as a version of its own.
pub(super) fn publish(
    cx: &mut Cx<'_>,
    function: &Function,
    latest: &VersionRow,
    number: u64,
    description: Option<String>,
) -> Result<VersionRow, Fault> {
    let mut row = latest.clone();
    row.number = number;
    row.revision_id = cx.ids.uuid();
    row.previous = None;
    if row.update() == Update::Failed {
        row.set_state(State::Failed);
        row.state_reason.clone_from(&row.update_reason);
        row.state_reason_code.clone_from(&row.update_reason_code);
    }
    row.set_update(Update::Unspecified);
    (row.update_reason, row.update_reason_code) = Default::default();
    if row.state() != State::Failed && row.snaps() {
        row.set_state(State::Pending);
        row.state_reason = CREATING.0.into();
        row.state_reason_code = CREATING.1.into();
    }
    if let Some(description) = description {
        row.description = description;
    }
    hold(cx, &row)?;
    VERSIONS.put(cx.tx, &function.version_key(number), &row);
    if row.state() == State::Pending {
        prepare(cx, function, &row)?;
    }
    Ok(row)
}

/// Removes a version.
pub(super) fn delete(cx: &mut Cx<'_>, function: &Function, row: &VersionRow) -> Result<(), Fault> {
    VERSIONS.delete(cx.tx, &function.version_key(row.number));
    if let Some(previous) = &row.previous {
        release(cx, previous)?;
    }
    release(cx, row)
}

fn hold(cx: &mut Cx<'_>, row: &VersionRow) -> Result<(), Fault> {
    account::add_code(cx, row.package.size)?;
    row.blobs().into_iter().try_for_each(|(id, size)| blobs::hold(cx, &id, size))
}

/// Lets go of what a version holds; its instances end when they are done.
fn release(cx: &mut Cx<'_>, row: &VersionRow) -> Result<(), Fault> {
    cx.signal(Signal::Retire(row.id()));
    account::drop_code(cx, row.package.size);
    row.blobs().into_iter().try_for_each(|(id, _)| blobs::release(cx, &id))
}

/// Asks for everything that can be done before the first invocation.
fn prepare(cx: &mut Cx<'_>, function: &Function, row: &VersionRow) -> Result<(), Fault> {
    cx.deliver(Delivery {
        target: Target::Prepare { function: function.arn(), version: row.id() },
        event_type: "mayfly.prepare".into(),
        payload: Vec::new(),
        source: function.arn().to_string(),
        id: None,
        due: None,
        depth: 0,
        tenant: None,
    })
}
