//! What a transaction read, what others have written since, and whether the two meet.

use crate::Version;
use crate::engine::{KeyRange, Writes};
use crate::error::Over;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use xxhash_rust::xxh3::xxh3_64;

/// Everything a transaction has looked at, whether it was there or not.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    pub(crate) points: Vec<Bytes>,
    pub(crate) ranges: Vec<KeyRange>,
}

/// The keys written since the oldest transaction began, each with the version of its last write.
///
/// Bounded: when more than `capacity` writes lie between the oldest transaction and now, the oldest writes are
/// forgotten, and transactions from before them can only be refused.
pub(crate) struct History {
    last: BTreeMap<Bytes, Version>,
    order: VecDeque<(Version, Bytes)>,
    /// Snapshots from before this version cannot be validated any more.
    floor: Version,
    capacity: usize,
}

impl History {
    pub(crate) fn new(floor: Version, capacity: usize) -> History {
        History { last: BTreeMap::new(), order: VecDeque::new(), floor, capacity }
    }

    /// Why a transaction that read `reads` at `snapshot` may not commit now, if it may not.
    pub(crate) fn conflict(&self, snapshot: Version, reads: &ReadSet) -> Option<Over> {
        if reads.points.is_empty() && reads.ranges.is_empty() {
            return None;
        }
        if snapshot < self.floor {
            return Some(Over(0));
        }
        let newer = |version: &Version| *version > snapshot;
        if let Some(key) = reads.points.iter().find(|key| self.last.get(*key).is_some_and(newer)) {
            return Some(Over(xxh3_64(key)));
        }
        let changed = |range: &&KeyRange| {
            !range.is_empty() && self.last.range::<[u8], _>(range.bounds()).any(|(_, version)| newer(version))
        };
        let range = reads.ranges.iter().find(changed)?;
        let (Bound::Included(start) | Bound::Excluded(start)) = &range.start else { return Some(Over(0)) };
        Some(Over(xxh3_64(start)))
    }

    pub(crate) fn record(&mut self, version: Version, writes: &Writes) {
        for key in writes.keys() {
            self.last.insert(key.clone(), version);
            self.order.push_back((version, key.clone()));
        }
        while self.order.len() > self.capacity {
            self.forget_oldest();
        }
    }

    /// Forgets what no live transaction can conflict with: the writes up to `oldest`.
    pub(crate) fn prune(&mut self, oldest: Version) {
        while self.order.front().is_some_and(|(version, _)| *version <= oldest) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((version, key)) = self.order.pop_front() else { return };
        self.floor = self.floor.max(version);
        if self.last.get(&key) == Some(&version) {
            self.last.remove(&key);
        }
    }
}
