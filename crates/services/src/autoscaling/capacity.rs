//! Changing how much is provisioned, and telling of it.

use super::keys::{ACTIVITIES, TargetKey};
use super::model::{Activity, Target};
use super::scope::parts;
use crate::{Cx, lambda};
use mayfly_kernel::Fault;
use mayfly_store::{Desc, Scan};

/// How many activities of a target are remembered.
const REMEMBERED: usize = 50;

/// How many instances are asked for now.
pub(super) fn current(cx: &Cx<'_>, key: &TargetKey) -> Result<u32, Fault> {
    match parts(&key.2) {
        Some(named) => lambda::provisioned_concurrency(cx, named),
        None => Ok(0),
    }
}

/// Asks for another number of instances; whether that was possible. What Lambda refuses is an activity
/// that failed.
pub(super) fn set(cx: &mut Cx<'_>, key: &TargetKey, wanted: u32, cause: String) -> Result<bool, Fault> {
    let Some(named) = parts(&key.2) else { return Ok(false) };
    let failure = match lambda::set_provisioned_concurrency(cx, named, wanted) {
        Ok(()) => String::new(),
        Err(fault) if fault.is_server() => return Err(fault),
        Err(fault) => fault.message,
    };
    let done = failure.is_empty();
    let description = format!("Setting desired concurrency to {wanted}.");
    remember(cx, key, &Activity { description, cause, failure })?;
    Ok(done)
}

fn remember(cx: &mut Cx<'_>, key: &TargetKey, activity: &Activity) -> Result<(), Fault> {
    let (account, region, resource) = key.clone();
    let row = (account, region, resource, Desc(cx.now), cx.ids.uuid());
    ACTIVITIES.put(cx.tx, &row, activity);
    forget(cx, key, REMEMBERED)
}

/// Forgets all but the newest activities.
pub(super) fn forget(cx: &mut Cx<'_>, key: &TargetKey, keep: usize) -> Result<(), Fault> {
    let rows = ACTIVITIES.scan(cx.tx, Scan::prefix(key, keep + 2 * REMEMBERED))?;
    rows.iter().skip(keep).for_each(|(row, _)| ACTIVITIES.delete(cx.tx, row));
    Ok(())
}

/// Brings what is provisioned between the target's least and most.
pub(super) fn into_range(cx: &mut Cx<'_>, key: &TargetKey, target: &Target) -> Result<(), Fault> {
    let now = current(cx, key)?;
    let (wanted, cause) = match now {
        _ if now < target.min => (target.min, format!("minimum capacity was set to {}", target.min)),
        _ if now > target.max => (target.max, format!("maximum capacity was set to {}", target.max)),
        _ => return Ok(()),
    };
    set(cx, key, wanted, cause).map(drop)
}
