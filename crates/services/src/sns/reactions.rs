//! What time takes away: deduplication ids that need not be known any more, subscriptions that nobody has
//! confirmed, and endpoints of applications that are gone.

use super::keys::{FORGET, SEEN};
use super::model::REMEMBERED;
use super::{devices, subscriptions};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;

/// Deletes up to `limit` rows that nobody needs any more; how many there were.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let rows = FORGET.peek_scan(cx.tx, Scan::all(limit).until(&(cx.now,)))?;
    let count = rows.len() + subscriptions::expire(cx, limit)? + devices::sweep(cx, limit)?;
    for (key, _) in rows {
        let seen = (key.1, key.2.clone(), key.3.clone());
        if SEEN.get(cx.tx, &seen)?.is_some_and(|row| Time::from_ms(row.at_ms) + REMEMBERED <= cx.now) {
            SEEN.delete(cx.tx, &seen);
        }
        FORGET.delete(cx.tx, &key);
    }
    Ok(count)
}
