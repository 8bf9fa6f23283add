//! What the default bus is told of chains of events that were cut, for each resource once in a minute at
//! most.
//!
//! The event begins a chain of its own, so it reaches whoever is to hear of it; the pause between two keeps a
//! chain that it sets off itself from being a loop without end.

use super::keys::ALARMS;
use super::model::Alarm;
use super::route::emit_at;
use crate::Cx;
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use serde_json::json;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(60);

/// Says that a chain, so many events long, was cut before this resource, to which `source` was to bring it.
pub(crate) fn chain_cut(cx: &mut Cx<'_>, resource: &Arn, source: &str, depth: u32) -> Result<(), Fault> {
    let key = (resource.to_string(),);
    let said = ALARMS.get(cx.tx, &key)?.map(|alarm| Time::from_ms(alarm.at_ms));
    if said.is_some_and(|said| cx.now.since(said) < PAUSE) {
        return Ok(());
    }
    ALARMS.put(cx.tx, &key, &Alarm { at_ms: cx.now.ms() });
    let detail = json!({
        "resource": key.0,
        "caused-by": source,
        "depth": depth,
        "limit": cx.limits.delivery_depth,
    });
    let place = (resource.account.as_str(), resource.region.as_str());
    emit_at(cx, place, ("mayfly", "Event Chain Cut"), json!([key.0]), detail, 0)
}

/// Forgets up to `limit` alarms that need not be remembered any more; how many.
pub(super) fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    let old = |alarm: &Alarm| cx.now.since(Time::from_ms(alarm.at_ms)) >= PAUSE;
    let rows = ALARMS.peek_scan(cx.tx, Scan::all(limit))?;
    let gone: Vec<(String,)> = rows.into_iter().filter(|(_, alarm)| old(alarm)).map(|(key, _)| key).collect();
    for key in &gone {
        ALARMS.delete(cx.tx, key);
    }
    Ok(gone.len())
}
