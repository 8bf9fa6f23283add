//! An ordered table in memory that keeps as many versions of a row as somebody still looks at.
//!
//! One writer at a time (the engine's committer), any number of readers. The lock is held for one row, or one
//! chunk of rows, so a long scan and a large group of commits interleave. A reader never sees a half of either,
//! because it only looks at versions that have been published.

use crate::engine::Writes;
use crate::{Order, Version};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A row as a table knows it: `None` says that it is deleted, and hides the layers below.
pub(crate) type Entry = (Bytes, Option<Bytes>);

/// What the map itself costs for a row, beside the bytes of its key and values.
const ROW_OVERHEAD: usize = 160;
const VERSION_OVERHEAD: usize = 48;

pub(crate) struct Table {
    rows: RwLock<BTreeMap<Bytes, Row>>,
    bytes: AtomicUsize,
    deleted: AtomicUsize,
    /// Rows that scans had to step over because they are deleted.
    stepped_over: AtomicU64,
    /// Whether nothing lies below, so that no deletion ever has to be remembered.
    bottom: bool,
}

struct Row {
    latest: Cell,
    /// Oldest first, all older than `latest`.
    older: Vec<Cell>,
    /// Whether the layers below are known not to have the row, so that its deletion needs no mark.
    born_here: bool,
}

struct Cell {
    version: Version,
    value: Option<Bytes>,
}

impl Cell {
    fn len(&self) -> usize {
        VERSION_OVERHEAD + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl Row {
    fn at(&self, version: Version) -> Option<&Cell> {
        if self.latest.version <= version {
            return Some(&self.latest);
        }
        self.older.iter().rev().find(|cell| cell.version <= version)
    }
}

impl Table {
    /// A table with other layers below it.
    pub(crate) fn new() -> Table {
        Table::with_bottom(false)
    }

    /// A table with nothing below it.
    pub(crate) fn bottom() -> Table {
        Table::with_bottom(true)
    }

    fn with_bottom(bottom: bool) -> Table {
        Table {
            rows: RwLock::new(BTreeMap::new()),
            bytes: AtomicUsize::new(0),
            deleted: AtomicUsize::new(0),
            stepped_over: AtomicU64::new(0),
            bottom,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn deleted(&self) -> usize {
        self.deleted.load(Ordering::Relaxed)
    }

    pub(crate) fn stepped_over(&self) -> u64 {
        self.stepped_over.load(Ordering::Relaxed)
    }

    /// Writes one commit. Rows that have left something behind to prune are added to `garbage`.
    /// `absent_below` says of a deleted row that the layers below do not have it.
    pub(crate) fn apply(
        &self,
        version: Version,
        writes: &Writes,
        absent_below: impl Fn(&Bytes) -> bool,
        garbage: &mut Vec<Bytes>,
    ) {
        let mut rows = self.rows.write();
        for (key, value) in writes {
            let cell = Cell { version, value: value.clone() };
            let deletes = value.is_none();
            self.bytes.fetch_add(cell.len(), Ordering::Relaxed);
            let born_here = self.bottom || (deletes && absent_below(key));
            match rows.get_mut(key) {
                Some(row) => {
                    row.born_here |= born_here;
                    let old = std::mem::replace(&mut row.latest, cell);
                    self.count_deleted(old.value.is_none(), deletes);
                    row.older.push(old);
                    garbage.push(key.clone());
                }
                None => {
                    self.bytes.fetch_add(ROW_OVERHEAD + key.len(), Ordering::Relaxed);
                    self.count_deleted(false, deletes);
                    if deletes && born_here {
                        garbage.push(key.clone());
                    }
                    rows.insert(key.clone(), Row { latest: cell, older: Vec::new(), born_here });
                }
            }
        }
    }

    fn count_deleted(&self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => _ = self.deleted.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.deleted.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => (),
        }
    }

    /// Drops what no snapshot at `oldest` or later can see of these rows.
    pub(crate) fn prune<'a>(&self, keys: impl IntoIterator<Item = &'a Bytes>, oldest: Version) {
        let mut rows = self.rows.write();
        for key in keys {
            let Some(row) = rows.get_mut(key) else { continue };
            let unseen = if row.latest.version <= oldest {
                row.older.len()
            } else {
                row.older.iter().rposition(|cell| cell.version <= oldest).unwrap_or(0)
            };
            let freed: usize = row.older.drain(..unseen).map(|cell| cell.len()).sum();
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
            if row.older.is_empty() {
                row.older.shrink_to_fit();
            }
            let gone = row.latest.value.is_none() && row.latest.version <= oldest && row.born_here;
            if gone && let Some(row) = rows.remove(key) {
                self.bytes.fetch_sub(ROW_OVERHEAD + key.len() + row.latest.len(), Ordering::Relaxed);
                self.count_deleted(true, false);
            }
        }
    }

    /// The row as it was at `version`; `None` if this table does not know it.
    pub(crate) fn get(&self, key: &[u8], version: Version) -> Option<Option<Bytes>> {
        self.rows.read().get(key)?.at(version).map(|cell| cell.value.clone())
    }

    /// The next rows of the range as they were at `version`, at most `limit`, deleted ones among them.
    pub(crate) fn chunk(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        order: Order,
        version: Version,
        limit: usize,
    ) -> Vec<Entry> {
        let rows = self.rows.read();
        let range = rows.range::<[u8], _>(bounds);
        let seen = |(key, row): (&Bytes, &Row)| row.at(version).map(|cell| (key.clone(), cell.value.clone()));
        let entries: Vec<Entry> = match order {
            Order::Forward => range.filter_map(seen).take(limit).collect(),
            Order::Reverse => range.rev().filter_map(seen).take(limit).collect(),
        };
        drop(rows);
        let deleted = entries.iter().filter(|(_, value)| value.is_none()).count();
        self.stepped_over.fetch_add(deleted as u64, Ordering::Relaxed);
        entries
    }
}
