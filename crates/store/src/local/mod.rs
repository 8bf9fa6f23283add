//! The engine `local`: a write-ahead log and multi-version memory tables in front of a tree.
//!
//! A commit is one record in the log and one sync, shared with every commit that was waiting (`committer`, `log`,
//! `record`); then it is in the active memory table and visible. A full table is frozen and flushed into the tree
//! in the background (`flusher`, `tree`), and the log it stood for is reused. So a row that is written and soon
//! deleted, a message or a lease, costs the log alone and never touches the tree. Opening replays the log
//! (`recovery`).
//!
//! Invariants:
//! - Readers take no lock that is held across I/O, and never wait for the committer's disk.
//! - A version is published only after its record is on the disk (or, relaxed, in the log's file).
//! - Log segments go only after the tree holds, synced, everything that they hold.
//! - Versions in the layers below never exceed those above, so the first layer that knows a row is right.
//!
//! Not here: compaction (the tree rewrites in place, copy on write), and reading the store from two processes.

mod committer;
mod flusher;
mod log;
mod record;
mod recovery;
mod tree;

use crate::cover::Run;
use crate::cursor::{Cursor, OverlayCursor, TableCursor, merge};
use crate::disk::{Disk, RealDisk};
use crate::engine::{Commit, Engine, KeyRange, Snapshot, Stats, Writes};
use crate::table::Table;
use crate::timeline::{Pin, Reader, Timeline};
use crate::watch::Watches;
use crate::{CommitError, Error, OpenError, Order, Ticket, Version};
use bytes::Bytes;
use committer::{Absent, Committer, Queue, Waiting};
use flusher::Flushing;
use log::{Archive, Log};
use parking_lot::Mutex;
use std::fs::{self, File, TryLockError};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tree::{Base, Tree};

/// A transaction whose keys and values exceed this is refused.
pub(super) const TRANSACTION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long opening waits for a lock that another holds, and how often it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// How the `local` engine is set up. The defaults suit a server and a laptop alike.
#[derive(Clone)]
pub struct LocalOptions {
    /// A memory table beyond this is frozen and flushed into the tree.
    pub memory_table_bytes: usize,
    /// The tree's page cache.
    pub cache_bytes: usize,
    pub log_segment_bytes: u64,
    pub disk: Arc<dyn Disk>,
}

impl Default for LocalOptions {
    fn default() -> LocalOptions {
        LocalOptions {
            memory_table_bytes: 32 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            log_segment_bytes: 8 * 1024 * 1024,
            disk: Arc::new(RealDisk),
        }
    }
}

pub(crate) struct Local {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// What only an open store has.
struct Running {
    threads: Vec<JoinHandle<()>>,
    /// Locked. Unlocked by name when the store is closed: a child process between its fork and its exec has the
    /// file open too, so that closing ours alone would not let the next one in.
    lock: File,
}

/// What the engine, the committer and the flusher share.
struct Shared {
    options: LocalOptions,
    timeline: Arc<Timeline<Arc<Layers>>>,
    watches: Arc<Watches>,
    queue: Queue,
    flushing: Flushing,
    archive: Arc<Archive>,
    tree: Tree,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    conflicts: AtomicU64,
    groups: AtomicU64,
    failed_groups: AtomicU64,
    flushes: AtomicU64,
    failed_flushes: AtomicU64,
    flushed_rows: AtomicU64,
    current_log_bytes: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Where rows are, newest first: the active table, the frozen ones, the tree.
struct Layers {
    active: Arc<Table>,
    frozen: Vec<Frozen>,
    base: Arc<Base>,
}

/// A table that takes no more writes, holding everything up to `version` that the layers below do not.
#[derive(Clone)]
struct Frozen {
    table: Arc<Table>,
    version: Version,
}

impl Layers {
    /// The same rows with an empty active table, the old one frozen.
    fn freeze(&self, version: Version) -> Arc<Layers> {
        let mut frozen = vec![Frozen { table: self.active.clone(), version }];
        frozen.extend(self.frozen.iter().cloned());
        Arc::new(Layers { active: Arc::new(Table::new()), frozen, base: self.base.clone() })
    }

    /// The tables, newest first.
    fn tables(&self) -> impl Iterator<Item = &Table> {
        let frozen = self.frozen.iter().map(|frozen| &*frozen.table);
        std::iter::once(&*self.active).chain(frozen)
    }

    fn below_active(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        for frozen in &self.frozen {
            if let Some(value) = frozen.table.get(key, frozen.version) {
                return Ok(value);
            }
        }
        self.base.get(key)
    }
}

impl Local {
    pub(crate) fn open(dir: &Path, options: LocalOptions) -> Result<Local, OpenError> {
        let logs = dir.join("log");
        fs::create_dir_all(&logs)?;
        let lock = lock(&dir.join("LOCK"))?;
        let disk = options.disk.clone();
        disk.sync_dir(dir)?;
        let tree = Tree::open(disk.clone(), dir.join("tree.redb"), options.cache_bytes)?;
        disk.sync_dir(dir)?;
        let base = tree.base().map_err(|error| OpenError::Tree(error.to_string()))?;
        let flushed = base.version;
        let archive = Arc::new(Archive::new(disk.clone(), &logs, options.log_segment_bytes));

        let mut layers =
            Arc::new(Layers { active: Arc::new(Table::new()), frozen: Vec::new(), base: base.into() });
        let resume = recovery::recover(&*disk, &logs, &archive, flushed, |version, writes| {
            if layers.active.bytes() > options.memory_table_bytes {
                layers = layers.freeze(version - 1);
            }
            layers.active.apply(version, writes, |_| false, &mut Vec::new());
            layers.active.prune(writes.keys(), version);
        })?;

        let published = resume.synced_version;
        // Every process begins a segment of its own, however little it wrote. Were they kept until the table
        // is full, each kill would make the next start longer.
        let much = (4 * options.log_segment_bytes).max(options.memory_table_bytes as u64);
        if resume.read_bytes > much {
            layers = layers.freeze(published);
        }
        let shared = Arc::new(Shared {
            timeline: Timeline::new(published, layers),
            watches: Arc::default(),
            queue: Queue::default(),
            flushing: Flushing::default(),
            archive: archive.clone(),
            tree,
            counters: Counters::default(),
            options,
        });
        let committer = Committer::new(shared.clone(), Log::new(archive, resume), published);
        let flusher = shared.clone();
        let threads = vec![
            thread::Builder::new().name("store-commit".into()).spawn(move || committer.run())?,
            thread::Builder::new().name("store-flush".into()).spawn(move || flusher::run(&flusher))?,
        ];
        Ok(Local { shared, running: Mutex::new(Some(Running { threads, lock })) })
    }

    /// Which of the rows to be deleted live in the active table alone. Looked up here, on the caller's thread,
    /// so that the committer never waits for the tree.
    fn absent_below(&self, commit: &Commit) -> Absent {
        let layers = self.shared.timeline.layers();
        let deleted = commit.writes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key);
        // Counting down may end at zero, which deletes the row.
        let lowered = commit.adds.iter().filter(|(_, delta)| **delta < 0).map(|(key, _)| key);
        let young = |key: &&Bytes| layers.active.get(key, Version::MAX).flatten().is_some();
        let absent = |key: &&Bytes| young(key) && matches!(layers.below_active(key), Ok(None));
        let mut keys: Vec<Bytes> = deleted.chain(lowered).filter(absent).cloned().collect();
        keys.sort_unstable();
        Absent { keys, table: layers.active.clone() }
    }
}

/// A process that was killed while it started another leaves its lock with the child until that one's exec.
fn lock(path: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < patience => thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

impl Engine for Local {
    fn snapshot(&self, reader: Reader) -> Box<dyn Snapshot> {
        Box::new(LocalSnapshot(self.shared.timeline.pin(reader)))
    }

    fn commit(&self, commit: Commit) -> Ticket {
        let bytes = |(key, value): (&Bytes, &Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        let counters: usize = commit.adds.keys().map(|key| key.len() + size_of::<i64>()).sum();
        let bytes = counters + commit.writes.iter().map(bytes).sum::<usize>();
        if bytes > TRANSACTION_BYTES_MAX {
            let reason = format!("a transaction of {bytes} bytes exceeds {TRANSACTION_BYTES_MAX}");
            return Ticket::ready(Err(CommitError::Io(reason)));
        }
        let absent = self.absent_below(&commit);
        let (ticket, resolver) = Ticket::pending();
        self.shared.queue.push(Waiting { commit, absent, bytes, resolver });
        ticket
    }

    fn watches(&self) -> &Arc<Watches> {
        &self.shared.watches
    }

    fn close(&self) {
        let Some(running) = self.running.lock().take() else { return };
        self.shared.queue.close();
        self.shared.flushing.close();
        for thread in running.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
        self.shared.tree.close();
        if let Err(error) = running.lock.unlock() {
            tracing::error!(%error, "the store cannot be unlocked");
        }
    }

    fn stats(&self) -> Stats {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let layers = shared.timeline.layers();
        let frozen: usize = layers.frozen.iter().map(|frozen| frozen.table.bytes()).sum();
        Stats {
            commits: count(&shared.counters.commits),
            conflicts: count(&shared.counters.conflicts),
            groups: count(&shared.counters.groups),
            failed_groups: count(&shared.counters.failed_groups),
            flushes: count(&shared.counters.flushes),
            failed_flushes: count(&shared.counters.failed_flushes),
            flushed_rows: count(&shared.counters.flushed_rows),
            stepped_over: layers.active.stepped_over(),
            memory_table_bytes: (layers.active.bytes() + frozen) as u64,
            log_bytes: shared.archive.bytes() + count(&shared.counters.current_log_bytes),
            tree_bytes: shared.tree.bytes(),
            version: shared.timeline.published(),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.close();
    }
}

struct LocalSnapshot(Pin<Arc<Layers>>);

impl Snapshot for LocalSnapshot {
    fn version(&self) -> Version {
        self.0.version
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self.0.layers.active.get(key, self.0.version) {
            Some(value) => Ok(value),
            None => self.0.layers.below_active(key),
        }
    }

    fn range(
        &self,
        range: &KeyRange,
        order: Order,
        limit: usize,
        overlay: &Writes,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let layers = &self.0.layers;
        let mut reading = Reading { version: self.0.version, order, rest: range.clone(), skipped: false };
        let mut cursors: Vec<Box<dyn Cursor + '_>> =
            vec![Box::new(OverlayCursor::new(overlay, range, order))];
        // A transaction's own writes hide rows from nobody else.
        let mut runs = vec![Run::new(false)];
        for table in layers.tables() {
            runs.push(Run::new(reading.learns()));
            cursors.push(Box::new(reading.table(table)));
        }
        runs.push(Run::new(false));
        cursors.push(Box::new(layers.base.cursor(&reading.rest, order)?));
        let rows = merge(cursors, order, limit, &mut runs)?;
        if let Some(start) = start_of(range) {
            for (table, run) in layers.tables().zip(runs.into_iter().skip(1)) {
                run.note(table.covers(), start, self.0.version);
            }
        }
        Ok(rows)
    }
}

/// A scan on its way down the layers: what is covered above need not be read below.
struct Reading {
    version: Version,
    order: Order,
    rest: KeyRange,
    /// Whether a part of the range has been left out.
    skipped: bool,
}

impl Reading {
    /// Whether the layer that comes next is seen whole from the beginning of the scan, or as whole as it knows.
    fn learns(&self) -> bool {
        self.order == Order::Forward && !self.skipped
    }

    fn table<'a>(&mut self, table: &'a Table) -> TableCursor<'a> {
        let cursor = TableCursor::new(table, self.version, &self.rest, self.order);
        if self.order == Order::Reverse {
            return cursor;
        }
        let covered = match &self.rest.start {
            Bound::Included(start) | Bound::Excluded(start) => table.covers().end(start, self.version),
            Bound::Unbounded => None,
        };
        if let Some(end) = &covered {
            self.rest = self.rest.after(end);
            self.skipped = true;
        }
        cursor.covered(covered)
    }
}

/// Where notes of a scan may begin: what it saw of its first key on.
fn start_of(range: &KeyRange) -> Option<&[u8]> {
    match &range.start {
        Bound::Included(start) => Some(start),
        Bound::Excluded(_) | Bound::Unbounded => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_inherited_the_lock_does_not_keep_the_next_one_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = Local::open(dir.path(), LocalOptions::default()).unwrap();
        // What a fork does to every open file.
        let inherited = first.running.lock().as_ref().unwrap().lock.try_clone().unwrap();
        assert!(matches!(Local::open(dir.path(), LocalOptions::default()), Err(OpenError::Locked)));
        first.close();
        let second = Local::open(dir.path(), LocalOptions::default()).unwrap();
        drop(inherited);

        // Its own lock outlives a process that is killed for as long as such a child lives.
        let inherited = second.running.lock().take().unwrap().lock;
        let exec = thread::spawn(move || {
            thread::sleep(4 * LOCK_POLL);
            drop(inherited);
        });
        assert!(Local::open(dir.path(), LocalOptions::default()).is_ok());
        exec.join().unwrap();
    }
}
