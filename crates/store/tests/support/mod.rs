//! What the suites share: both engines, small transactions, and a random source with a seed.
#![allow(dead_code, reason = "each suite uses its part of this")]

use mayfly_store::{CommitError, Durability, LocalOptions, Order, Store, Tx, Version};
use std::ops::Bound;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Ends a failing test. Nothing that passes takes so long, be the disk as slow as it may.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Engines under test; `local` with tables so small that every suite also goes through flushes.
pub(crate) fn engines() -> Vec<(&'static str, Store, Option<TempDir>)> {
    let small = tempfile::tempdir().unwrap();
    let large = tempfile::tempdir().unwrap();
    vec![
        ("memory", Store::memory(), None),
        ("local, small tables", Store::open(small.path(), small_tables()).unwrap(), Some(small)),
        ("local", Store::open(large.path(), LocalOptions::default()).unwrap(), Some(large)),
    ]
}

pub(crate) fn small_tables() -> LocalOptions {
    LocalOptions {
        memory_table_bytes: 16 * 1024,
        cache_bytes: 4 * 1024 * 1024,
        log_segment_bytes: 64 * 1024,
        ..LocalOptions::default()
    }
}

pub(crate) fn put(store: &Store, rows: &[(&str, &str)]) -> Version {
    let mut tx = store.begin();
    for (key, value) in rows {
        tx.put(key.as_bytes().to_vec(), value.as_bytes().to_vec());
    }
    tx.commit(Durability::Durable).wait().unwrap()
}

pub(crate) fn delete(store: &Store, key: &str) -> Version {
    let mut tx = store.begin();
    tx.delete(key.as_bytes().to_vec());
    tx.commit(Durability::Durable).wait().unwrap()
}

pub(crate) fn get(tx: &Tx, key: &str) -> Option<String> {
    tx.get(key.as_bytes()).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// The keys in `[start, end)`.
pub(crate) fn keys(tx: &Tx, start: &str, end: &str, order: Order, limit: usize) -> Vec<String> {
    let rows = tx.range(Bound::Included(start.as_bytes()), Bound::Excluded(end.as_bytes()), order, limit);
    rows.unwrap().into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

/// Waits for something another thread will do.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "{what} never happens");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn commit(tx: Tx) -> Result<Version, CommitError> {
    tx.commit(Durability::Durable).wait()
}

/// splitmix64: enough for tests, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}
