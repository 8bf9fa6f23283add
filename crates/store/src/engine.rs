//! The seam between the store and what keeps it: everything an engine must do.

use crate::history::ReadSet;
use crate::timeline::Reader;
use crate::watch::Watches;
use crate::{Durability, Error, Order, Ticket, Version};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What a transaction wants to write: a value, or `None` to delete.
pub(crate) type Writes = BTreeMap<Bytes, Option<Bytes>>;

/// What a transaction adds to counters.
pub(crate) type Adds = BTreeMap<Bytes, i64>;

/// Turns additions into writes: what `current` says a counter holds, and the sum. A counter of zero is no row.
pub(crate) fn resolve_adds(
    writes: &mut Writes,
    adds: &Adds,
    mut current: impl FnMut(&Bytes) -> Result<Option<Bytes>, Error>,
) -> Result<(), Error> {
    for (key, delta) in adds {
        let sum = read_counter(current(key)?)?.saturating_add(*delta);
        writes.insert(key.clone(), (sum != 0).then(|| Bytes::copy_from_slice(&sum.to_be_bytes())));
    }
    Ok(())
}

/// The value of a counter's row; zero if there is none.
pub(crate) fn read_counter(row: Option<Bytes>) -> Result<i64, Error> {
    let Some(row) = row else { return Ok(0) };
    let bytes = row[..].try_into().map_err(|_| Error::corrupt("a counter", "it is not eight bytes long"))?;
    Ok(i64::from_be_bytes(bytes))
}

pub(crate) trait Engine: Send + Sync {
    fn snapshot(&self, reader: Reader) -> Box<dyn Snapshot>;
    /// Queues the commit. The order in which commits are validated is the store's one order.
    fn commit(&self, commit: Commit) -> Ticket;
    fn watches(&self) -> &Arc<Watches>;
    /// Makes everything durable and stops the engine's threads. Later commits answer `Closed`.
    fn close(&self);
    fn stats(&self) -> Stats;
}

/// The key space as it was at one version, for as long as the snapshot is held.
pub(crate) trait Snapshot: Send + Sync {
    fn version(&self) -> Version;
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// At most `limit` live rows of `range`, with `overlay` laid over the snapshot.
    fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
        overlay: &Writes,
    ) -> Result<Vec<(Bytes, Bytes)>, Error>;
}

/// A finished transaction on its way to the engine.
pub(crate) struct Commit {
    /// Held until the commit is decided, so that the engine keeps what validation needs.
    pub(crate) snapshot: Box<dyn Snapshot>,
    pub(crate) reads: ReadSet,
    pub(crate) writes: Writes,
    /// Resolved against the newest rows when the commit is decided.
    pub(crate) adds: Adds,
    pub(crate) durability: Durability,
}

/// Figures of an engine, for metrics. Zero where an engine has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub commits: u64,
    pub conflicts: u64,
    /// Writes to the log that were synced; `commits / groups` is how well commits share them.
    pub groups: u64,
    pub failed_groups: u64,
    pub flushes: u64,
    pub failed_flushes: u64,
    /// Rows that were written to the tree or removed from it, over all flushes.
    pub flushed_rows: u64,
    /// Deleted rows of the active table that scans have read on their way.
    pub stepped_over: u64,
    pub memory_table_bytes: u64,
    pub log_bytes: u64,
    pub tree_bytes: u64,
    pub version: Version,
}

/// A part of the key space that owns its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) start: Bound<Bytes>,
    pub(crate) end: Bound<Bytes>,
}

impl KeyRange {
    pub(crate) fn new(start: Bound<&[u8]>, end: Bound<&[u8]>) -> KeyRange {
        KeyRange { start: start.map(Bytes::copy_from_slice), end: end.map(Bytes::copy_from_slice) }
    }

    pub(crate) fn bounds(&self) -> Bounds<'_> {
        (self.start.as_ref().map(|b| &b[..]), self.end.as_ref().map(|b| &b[..]))
    }

    pub(crate) fn is_empty(&self) -> bool {
        is_empty(self.bounds())
    }

    /// What is left of it after `key`.
    pub(crate) fn after(&self, key: &Bytes) -> KeyRange {
        KeyRange { start: Bound::Excluded(key.clone()), end: self.end.clone() }
    }
}

pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Whether no key can lie between these. Ordered maps panic when asked for some of them.
pub(crate) fn is_empty(bounds: Bounds<'_>) -> bool {
    match bounds {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}
