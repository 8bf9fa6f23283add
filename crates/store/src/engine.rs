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

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.start.as_ref().map(|b| &b[..]), self.end.as_ref().map(|b| &b[..]))
    }

    /// Whether no key can lie in it. Ordered maps panic when asked for some of these.
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
            | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        }
    }
}
