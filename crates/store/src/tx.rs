//! A transaction: snapshot reads, its own writes over them, and the record of what it read.

use crate::engine::{Adds, Commit, Engine, KeyRange, Snapshot, Writes};
use crate::history::ReadSet;
use crate::timeline::Reader;
use crate::{CommitError, Durability, Error, Order, Ticket, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Bound;
use std::sync::Arc;

/// Reads the store as it was when the transaction began, with its own writes laid over.
///
/// Meant to be short: it holds old versions in memory, and one that is very old is refused as a conflict.
pub struct Tx {
    engine: Arc<dyn Engine>,
    snapshot: Box<dyn Snapshot>,
    /// `None` for a view.
    reads: Option<Mutex<ReadSet>>,
    writes: Writes,
    adds: Adds,
}

impl Tx {
    pub(crate) fn new(engine: Arc<dyn Engine>, reader: Reader) -> Tx {
        let reads = match reader {
            Reader::Transaction => Some(Mutex::default()),
            Reader::View => None,
        };
        Tx { snapshot: engine.snapshot(reader), engine, reads, writes: Writes::new(), adds: Adds::new() }
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        if let Some(own) = self.writes.get(key) {
            return Ok(own.clone());
        }
        if let Some(reads) = &self.reads {
            reads.lock().points.push(Bytes::copy_from_slice(key));
        }
        self.snapshot.get(key)
    }

    /// The first `limit` rows of the range in `order`. Only the part of the range that had to be read counts as
    /// read: up to the last row returned, if the limit cut it.
    pub fn range(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let mut range = KeyRange::new(start, end);
        if limit == 0 || range.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.snapshot.range(&range, order, limit, &self.writes)?;
        if let Some(reads) = &self.reads {
            if let Some((last, _)) = rows.last()
                && rows.len() == limit
            {
                match order {
                    Order::Forward => range.end = Bound::Included(last.clone()),
                    Order::Reverse => range.start = Bound::Included(last.clone()),
                }
            }
            reads.lock().ranges.push(range);
        }
        Ok(rows)
    }

    /// Reads without being held to it: what changes the row meanwhile does not refuse this transaction. For those
    /// who look around and then [`Tx::get`] what they mean to rely on.
    pub fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.writes.get(key) {
            Some(own) => Ok(own.clone()),
            None => self.snapshot.get(key),
        }
    }

    /// As [`Tx::range`], without being held to it.
    pub fn peek_range(
        &self,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let range = KeyRange::new(start, end);
        if limit == 0 || range.is_empty() {
            return Ok(Vec::new());
        }
        self.snapshot.range(&range, order, limit, &self.writes)
    }

    /// Adds to a counter without reading it, so that any number of transactions add to one at the same time. The
    /// sum is made when the commit is decided; this transaction's own reads do not see it.
    pub fn add(&mut self, key: impl Into<Bytes>, delta: i64) {
        debug_assert!(self.reads.is_some(), "a view cannot write");
        let sum = self.adds.entry(key.into()).or_default();
        *sum = sum.saturating_add(delta);
    }

    /// On a view this is a programming error: its commit is refused.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        debug_assert!(self.reads.is_some(), "a view cannot write");
        self.writes.insert(key.into(), Some(value.into()));
    }

    /// On a view this is a programming error: its commit is refused.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        debug_assert!(self.reads.is_some(), "a view cannot write");
        self.writes.insert(key.into(), None);
    }

    /// Whether there is anything to commit.
    pub fn is_dirty(&self) -> bool {
        !self.writes.is_empty() || self.adds.values().any(|delta| *delta != 0)
    }

    /// The version of the snapshot that this reads.
    pub fn version(&self) -> Version {
        self.snapshot.version()
    }

    /// Hands the writes to the engine. A transaction that wrote nothing succeeds at once, at its snapshot.
    pub fn commit(mut self, durability: Durability) -> Ticket {
        self.adds.retain(|_, delta| *delta != 0);
        if !self.is_dirty() {
            return Ticket::ready(Ok(self.version()));
        }
        let Some(reads) = self.reads else {
            return Ticket::ready(Err(CommitError::Io("a view cannot write".into())));
        };
        self.engine.commit(Commit {
            snapshot: self.snapshot,
            reads: reads.into_inner(),
            writes: self.writes,
            adds: self.adds,
            durability,
        })
    }
}
