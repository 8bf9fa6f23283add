//! Who holds which body.
//!
//! Bodies beside the store are written before the transaction that names them, and deleted after the one that
//! names them last. Between the two stands a count of holders here, in the same transaction as the name
//! itself. A body without holders becomes garbage; it is deleted in three steps (doom, delete, forget), so
//! that nobody can take hold of a body while its bytes are on their way out.
//!
//! Not here: the bytes (the binary moves them), and bodies that were written but never named, which the
//! binary finds by asking [`is_known`].
//!
//! Keys: `BLOBS(id)`, `BLOBS_GARBAGE(id)`.

use crate::{Cx, Signal, spaces};
use mayfly_kernel::Fault;
use mayfly_store::{Map, Scan, Store};

const BLOBS: Map<(String,), Held> = Map::new(spaces::BLOBS);
const GARBAGE: Map<(String,), Garbage> = Map::new(spaces::BLOBS_GARBAGE);

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Held {
    #[prost(uint64, tag = "1")]
    holders: u64,
    #[prost(uint64, tag = "2")]
    size: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Garbage {
    /// Its deletion has begun and cannot be stopped.
    #[prost(bool, tag = "1")]
    doomed: bool,
}

/// Counts one more holder of a body that has been written.
pub(crate) fn hold(cx: &mut Cx<'_>, id: &str, size: u64) -> Result<(), Fault> {
    let key = (id.to_owned(),);
    if let Some(garbage) = GARBAGE.get(cx.tx, &key)? {
        if garbage.doomed {
            return Err(Fault::unavailable("hold a blob", format_args!("{id} is being deleted")));
        }
        GARBAGE.delete(cx.tx, &key);
    }
    let held = BLOBS.get(cx.tx, &key)?.unwrap_or(Held { holders: 0, size });
    BLOBS.put(cx.tx, &key, &Held { holders: held.holders + 1, size });
    Ok(())
}

/// Counts one holder less; the last one leaves garbage.
pub(crate) fn release(cx: &mut Cx<'_>, id: &str) -> Result<(), Fault> {
    let key = (id.to_owned(),);
    let Some(held) = BLOBS.get(cx.tx, &key)? else { return Ok(()) };
    if held.holders > 1 {
        BLOBS.put(cx.tx, &key, &Held { holders: held.holders - 1, ..held });
    } else {
        BLOBS.delete(cx.tx, &key);
        GARBAGE.put(cx.tx, &key, &Garbage { doomed: false });
        cx.signal(Signal::Garbage);
    }
    Ok(())
}

/// Up to `limit` bodies that nobody holds.
pub fn garbage(store: &Store, limit: usize) -> Result<Vec<String>, Fault> {
    let rows = GARBAGE.scan(&store.view(), Scan::all(limit))?;
    Ok(rows.into_iter().map(|((id,), _)| id).collect())
}

/// Settles that a body will be deleted. `false` if somebody holds it again.
pub fn doom(cx: &mut Cx<'_>, id: &str) -> Result<bool, Fault> {
    cx.allowed_by_policy();
    let key = (id.to_owned(),);
    let waits = GARBAGE.contains(cx.tx, &key)?;
    if waits {
        GARBAGE.put(cx.tx, &key, &Garbage { doomed: true });
    }
    Ok(waits)
}

/// Forgets a doomed body once its bytes are gone.
pub fn forget(cx: &mut Cx<'_>, id: &str) {
    cx.allowed_by_policy();
    GARBAGE.delete(cx.tx, &(id.to_owned(),));
}

/// Whether a body has a holder or waits for its deletion.
pub fn is_known(store: &Store, id: &str) -> Result<bool, Fault> {
    let (view, key) = (store.view(), (id.to_owned(),));
    Ok(BLOBS.contains(&view, &key)? || GARBAGE.contains(&view, &key)?)
}
