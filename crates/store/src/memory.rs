//! The engine `memory`: the model that the others are held to, and what tests and simulations run on.
//!
//! A commit is decided before `commit` returns, on the caller's thread, so the same calls always give the same
//! versions. Nothing survives the process.

use crate::cursor::{OverlayCursor, TableCursor, merge};
use crate::engine::{Commit, Engine, KeyRange, Snapshot, Stats, Writes, resolve_adds};
use crate::history::History;
use crate::table::Table;
use crate::timeline::{Pin, Reader, Timeline};
use crate::watch::Watches;
use crate::{CommitError, Error, Order, Ticket, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

const HISTORY_ROWS: usize = 256 * 1024;

pub(crate) struct Memory {
    timeline: Arc<Timeline<Arc<Table>>>,
    committer: Mutex<Committer>,
    watches: Arc<Watches>,
}

struct Committer {
    table: Arc<Table>,
    history: History,
    garbage: VecDeque<(Version, Vec<Bytes>)>,
    closed: bool,
    stats: Stats,
}

impl Memory {
    pub(crate) fn new() -> Memory {
        let table = Arc::new(Table::bottom());
        Memory {
            timeline: Timeline::new(0, table.clone()),
            committer: Mutex::new(Committer {
                table,
                history: History::new(0, HISTORY_ROWS),
                garbage: VecDeque::new(),
                closed: false,
                stats: Stats::default(),
            }),
            watches: Arc::default(),
        }
    }

    fn decide(&self, mut commit: Commit) -> Result<Version, CommitError> {
        let mut committer = self.committer.lock();
        let committer = &mut *committer;
        if committer.closed {
            return Err(CommitError::Closed);
        }
        if let Some(over) = committer.history.conflict(commit.snapshot.version(), &commit.reads) {
            committer.stats.conflicts += 1;
            return Err(CommitError::Conflict(over));
        }
        let current = |key: &Bytes| Ok(committer.table.get(key, Version::MAX).flatten());
        resolve_adds(&mut commit.writes, &commit.adds, current)
            .map_err(|error| CommitError::Io(error.to_string()))?;
        let version = self.timeline.published() + 1;
        let mut garbage = Vec::new();
        committer.history.record(version, &commit.writes);
        committer.table.apply(version, &commit.writes, |_| true, &mut garbage);
        committer.garbage.push_back((version, garbage));
        self.timeline.publish(version);
        self.watches.notify(&commit.writes);
        drop(commit.snapshot);
        let oldest = self.timeline.oldest();
        committer.history.prune(oldest.transaction);
        while let Some((_, keys)) = committer.garbage.pop_front_if(|(since, _)| *since <= oldest.snapshot) {
            committer.table.prune(&keys, oldest.snapshot);
        }
        committer.stats.commits += 1;
        committer.stats.version = version;
        Ok(version)
    }
}

impl Engine for Memory {
    fn snapshot(&self, reader: Reader) -> Box<dyn Snapshot> {
        Box::new(MemorySnapshot(self.timeline.pin(reader)))
    }

    fn commit(&self, commit: Commit) -> Ticket {
        Ticket::ready(self.decide(commit))
    }

    fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    fn close(&self) {
        self.committer.lock().closed = true;
    }

    fn stats(&self) -> Stats {
        let committer = self.committer.lock();
        Stats { memory_table_bytes: committer.table.bytes() as u64, ..committer.stats }
    }
}

struct MemorySnapshot(Pin<Arc<Table>>);

impl Snapshot for MemorySnapshot {
    fn version(&self) -> Version {
        self.0.version
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.0.layers.get(key, self.0.version).flatten())
    }

    fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
        overlay: &Writes,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let table = TableCursor::new(&self.0.layers, self.0.version, range, order);
        merge(
            vec![Box::new(OverlayCursor::new(overlay, range, order)), Box::new(table)],
            order,
            limit,
            &mut [],
        )
    }
}
