//! An ordered table in memory that keeps as many versions of a row as somebody still looks at.
//!
//! One writer at a time (the engine's committer), any number of readers. The lock is held for one row, or one
//! chunk of rows, so a long scan and a large group of commits interleave. A reader never sees a half of either,
//! because it only looks at versions that have been published.
//!
//! Rows that live and marks of rows that nobody can see any more are kept apart, so that a scan which knows the marks
//! of a stretch to matter to nobody ([`Covers`]) does not even step over them.

use crate::cover::Covers;
use crate::engine::{Bounds, Writes, is_empty};
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
const MARK_OVERHEAD: usize = 64;

pub(crate) struct Table {
    rows: RwLock<Rows>,
    covers: Covers,
    bytes: AtomicUsize,
    deleted: AtomicUsize,
    /// Rows that scans had to step over because they are deleted.
    stepped_over: AtomicU64,
    /// Whether nothing lies below, so that no deletion ever has to be remembered.
    bottom: bool,
}

#[derive(Default)]
struct Rows {
    live: BTreeMap<Bytes, Row>,
    /// Marks: rows below that are deleted at this version, to everyone who still looks.
    gone: BTreeMap<Bytes, Version>,
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
            rows: RwLock::default(),
            covers: Covers::default(),
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

    pub(crate) fn covers(&self) -> &Covers {
        &self.covers
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
        let Rows { live, gone } = &mut *rows;
        for (key, value) in writes {
            let cell = Cell { version, value: value.clone() };
            let deletes = value.is_none();
            self.bytes.fetch_add(cell.len(), Ordering::Relaxed);
            let born_here = self.bottom || (deletes && absent_below(key));
            match live.get_mut(key) {
                Some(row) => {
                    row.born_here |= born_here;
                    let old = std::mem::replace(&mut row.latest, cell);
                    self.count_deleted(old.value.is_none(), deletes);
                    row.older.push(old);
                    garbage.push(key.clone());
                }
                None => {
                    self.bytes.fetch_add(ROW_OVERHEAD + key.len(), Ordering::Relaxed);
                    let mark = gone.remove(key).map(|version| Cell { version, value: None });
                    if mark.is_some() {
                        self.bytes.fetch_sub(MARK_OVERHEAD + key.len(), Ordering::Relaxed);
                        self.bytes.fetch_add(VERSION_OVERHEAD, Ordering::Relaxed);
                    }
                    self.count_deleted(mark.is_some(), deletes);
                    if deletes || mark.is_some() {
                        garbage.push(key.clone());
                    }
                    let older = mark.into_iter().collect();
                    live.insert(key.clone(), Row { latest: cell, older, born_here });
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
        let Rows { live, gone } = &mut *rows;
        for key in keys {
            let Some(row) = live.get_mut(key) else { continue };
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
            let unseen = row.latest.value.is_none() && row.latest.version <= oldest;
            if unseen && let Some((key, row)) = live.remove_entry(key) {
                self.bytes.fetch_sub(ROW_OVERHEAD + key.len() + row.latest.len(), Ordering::Relaxed);
                if row.born_here {
                    self.count_deleted(true, false);
                } else {
                    self.bytes.fetch_add(MARK_OVERHEAD + key.len(), Ordering::Relaxed);
                    gone.insert(key, row.latest.version);
                }
            }
        }
    }

    /// The row as it was at `version`; `None` if this table does not know it.
    pub(crate) fn get(&self, key: &[u8], version: Version) -> Option<Option<Bytes>> {
        let rows = self.rows.read();
        match rows.live.get(key) {
            Some(row) => row.at(version).map(|cell| cell.value.clone()),
            None => rows.gone.contains_key(key).then_some(None),
        }
    }

    /// The next rows of the range as they were at `version`, at most `limit`, deleted ones among them. Marks up to
    /// `covered` are left out; `bounds` must not be empty.
    pub(crate) fn chunk(
        &self,
        bounds: Bounds<'_>,
        order: Order,
        version: Version,
        limit: usize,
        covered: Option<&Bytes>,
    ) -> Vec<Entry> {
        let seen = |(key, row): (&Bytes, &Row)| row.at(version).map(|cell| (key.clone(), cell.value.clone()));
        let mark = |(key, _): (&Bytes, &Version)| (key.clone(), None);
        let marked = after(bounds, covered);
        let rows = self.rows.read();
        let live = rows.live.range::<[u8], _>(bounds);
        let gone = marked.map(|bounds| rows.gone.range::<[u8], _>(bounds)).into_iter().flatten();
        let mut entries: Vec<Entry> = match order {
            Order::Forward => live.filter_map(seen).take(limit).collect(),
            Order::Reverse => live.rev().filter_map(seen).take(limit).collect(),
        };
        let found = entries.len();
        match order {
            Order::Forward => entries.extend(gone.take(limit).map(mark)),
            Order::Reverse => entries.extend(gone.rev().take(limit).map(mark)),
        }
        drop(rows);
        if entries.len() > found {
            entries.sort_by(|(one, _), (other, _)| match order {
                Order::Forward => one.cmp(other),
                Order::Reverse => other.cmp(one),
            });
            entries.truncate(limit);
        }
        let deleted = entries.iter().filter(|(_, value)| value.is_none()).count();
        self.stepped_over.fetch_add(deleted as u64, Ordering::Relaxed);
        entries
    }
}

/// The part of the bounds that lies after `covered`, if there is any.
fn after<'a>((start, end): Bounds<'a>, covered: Option<&'a Bytes>) -> Option<Bounds<'a>> {
    let start = match (start, covered) {
        (Bound::Included(key) | Bound::Excluded(key), Some(covered)) if covered[..] >= *key => {
            Bound::Excluded(&covered[..])
        }
        (Bound::Unbounded, Some(covered)) => Bound::Excluded(&covered[..]),
        (start, _) => start,
    };
    (!is_empty((start, end))).then_some((start, end))
}
