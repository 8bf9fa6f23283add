//! A disk that fails under the `local` engine: no space, I/O errors, torn writes, failed syncs, changed bits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly_store::disk::{Disk, DiskFile, RealDisk};
use mayfly_store::{CommitError, Durability, LocalOptions, OpenError, Order, Store};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Random, get, keys, put, small_tables, until};

const FINE: u8 = 0;
const NO_SPACE: u8 = 1;
const IO_ERRORS: u8 = 2;
/// Half of every write arrives, then an error is reported.
const TORN_WRITES: u8 = 3;
/// A failed sync also loses what was written since the last good one, as a page cache does.
const SYNCS_FAIL: u8 = 4;
/// A sync takes until the disk is told otherwise.
const SYNCS_LAST: u8 = 5;

/// The real disk until told otherwise; faults meet files whose name contains `only`.
#[derive(Default)]
struct FaultyDisk {
    mode: Arc<AtomicU8>,
    failed: Arc<AtomicU64>,
    /// Syncs that had to wait.
    lasting: AtomicU64,
    only: Mutex<&'static str>,
}

impl FaultyDisk {
    fn set(&self, mode: u8, only: &'static str) {
        *self.only.lock().unwrap() = only;
        self.mode.store(mode, Ordering::SeqCst);
    }

    fn mode_for(&self, path: &Path) -> u8 {
        let hit = path.to_string_lossy().contains(*self.only.lock().unwrap());
        if hit { self.mode.load(Ordering::SeqCst) } else { FINE }
    }

    fn failed(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }
}

/// The disk that a store holds, shared with the test that breaks it.
struct Handle(Arc<FaultyDisk>);

struct FaultyFile {
    disk: Arc<FaultyDisk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// What unsynced writes have overwritten, newest last.
    unsynced: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Disk for Handle {
    fn open(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = RealDisk.open(path)?;
        Ok(Box::new(FaultyFile {
            disk: self.0.clone(),
            path: path.to_path_buf(),
            file,
            unsynced: Mutex::default(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        RealDisk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>> {
        RealDisk.list(path)
    }
}

impl FaultyFile {
    fn fail(&self, kind: ErrorKind) -> Result<()> {
        self.disk.failed.fetch_add(1, Ordering::SeqCst);
        Err(Error::new(kind, "injected"))
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let length = self.file.len()?;
        let overwritten = usize::try_from(length.saturating_sub(offset)).unwrap().min(bytes.len());
        let mut before = vec![0; overwritten];
        self.file.read_at(&mut before, offset)?;
        self.unsynced.lock().unwrap().push((offset, before));
        self.file.write_at(bytes, offset)
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, length: u64) -> Result<()> {
        match self.disk.mode_for(&self.path) {
            NO_SPACE if length > self.file.len()? => self.fail(ErrorKind::StorageFull),
            IO_ERRORS => self.fail(ErrorKind::Other),
            _ => self.file.set_len(length),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        match self.disk.mode_for(&self.path) {
            NO_SPACE => self.fail(ErrorKind::StorageFull),
            IO_ERRORS => self.fail(ErrorKind::Other),
            TORN_WRITES => {
                self.write(&bytes[..bytes.len() / 2], offset)?;
                self.fail(ErrorKind::Other)
            }
            _ => self.write(bytes, offset),
        }
    }

    fn sync_data(&self) -> Result<()> {
        match self.disk.mode_for(&self.path) {
            SYNCS_FAIL => {
                for (offset, before) in self.unsynced.lock().unwrap().drain(..).rev() {
                    self.file.write_at(&before, offset)?;
                }
                self.fail(ErrorKind::Other)
            }
            IO_ERRORS => self.fail(ErrorKind::Other),
            mode => {
                if mode == SYNCS_LAST {
                    self.disk.lasting.fetch_add(1, Ordering::SeqCst);
                }
                while self.disk.mode_for(&self.path) == SYNCS_LAST {
                    std::thread::sleep(Duration::from_millis(1));
                }
                self.file.sync_data()?;
                self.unsynced.lock().unwrap().clear();
                Ok(())
            }
        }
    }
}

fn open(dir: &Path, disk: &Arc<FaultyDisk>) -> Store {
    Store::open(dir, LocalOptions { disk: Arc::new(Handle(disk.clone())), ..small_tables() }).unwrap()
}

fn try_put(
    store: &Store,
    key: &str,
    value: &str,
    durability: Durability,
) -> std::result::Result<u64, CommitError> {
    let mut tx = store.begin();
    tx.put(format!("{key}/1"), value.to_owned());
    tx.put(format!("{key}/2"), value.to_owned());
    tx.commit(durability).wait()
}

#[test]
fn waiting_commits_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let store = open(dir.path(), &disk);
    put(&store, &[("before", "1")]);
    let write = |key: String| {
        let mut tx = store.begin();
        tx.put(key, "v");
        tx.commit(Durability::Durable)
    };
    // Not of spare segments, which are made beside.
    disk.set(SYNCS_LAST, "/log/log.");
    let first = write("first".into());
    until("the first is being synced", || disk.lasting.load(Ordering::SeqCst) > 0);
    let others: Vec<_> = (0..64).map(|n| write(format!("other/{n}"))).collect();
    disk.set(FINE, "");
    for ticket in others.into_iter().chain([first]) {
        ticket.wait().unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.commits, stats.groups), (1 + 1 + 64, 1 + 1 + 1));
}

#[test]
fn a_failing_log_refuses_commits_and_recovers_without_a_restart() {
    for mode in [NO_SPACE, IO_ERRORS, TORN_WRITES, SYNCS_FAIL] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let store = open(dir.path(), &disk);
        put(&store, &[("before", "1")]);
        for round in 0..3 {
            disk.set(mode, "/log/");
            for n in 0..3 {
                let refused =
                    try_put(&store, &format!("bad/{round}/{n}"), "x", Durability::Durable).unwrap_err();
                match mode {
                    NO_SPACE => assert_eq!(refused, CommitError::Full),
                    _ => assert!(matches!(refused, CommitError::Io(_)), "{refused:?}"),
                }
            }
            assert!(keys(&store.view(), "bad", "bae", Order::Forward, 9).is_empty());
            assert_eq!(get(&store.view(), "before").as_deref(), Some("1"), "reads go on");
            disk.set(FINE, "/log/");
            let mut tx = store.begin();
            assert_eq!(get(&tx, "bad/0/0/1"), None);
            tx.put(format!("good/{round}"), "y");
            tx.commit(Durability::Durable).wait().unwrap();
        }
        assert!(disk.failed() > 0);
        drop(store);
        let store = open(dir.path(), &disk);
        assert_eq!(keys(&store.view(), "good", "gooe", Order::Forward, 9).len(), 3, "mode {mode}");
        assert!(keys(&store.view(), "bad", "bae", Order::Forward, 9).is_empty(), "mode {mode}");
    }
}

#[test]
fn relaxed_commits_outlive_a_failed_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let store = open(dir.path(), &disk);
    put(&store, &[("before", "1")]);
    try_put(&store, "relaxed", "seen", Durability::Relaxed).unwrap();
    disk.set(SYNCS_FAIL, "/log/");
    assert!(try_put(&store, "refused", "x", Durability::Durable).is_err());
    assert_eq!(get(&store.view(), "relaxed/2").as_deref(), Some("seen"));
    disk.set(FINE, "/log/");
    put(&store, &[("after", "1")]);
    drop(store);
    let store = open(dir.path(), &disk);
    assert_eq!(get(&store.view(), "relaxed/2").as_deref(), Some("seen"), "written again into a new segment");
    assert_eq!(get(&store.view(), "refused/1"), None);
}

#[test]
fn a_relaxed_commit_is_synced_by_the_timer() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let store = open(dir.path(), &disk);
    put(&store, &[("before", "1")]);
    // Not of spare segments, which are made after any commit.
    disk.set(SYNCS_FAIL, "/log/log.");
    try_put(&store, "relaxed", "seen", Durability::Relaxed).unwrap();
    until("the timer tries to sync", || disk.failed() > 0);
}

#[test]
fn a_failing_tree_holds_commits_up_and_lets_go_of_them() {
    for mode in [NO_SPACE, IO_ERRORS] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let store = open(dir.path(), &disk);
        let mut model = BTreeMap::new();
        disk.set(mode, "tree.redb");
        let refused = (0..)
            .find_map(|n| {
                let key = format!("k{n:05}");
                match try_put(&store, &key, &"v".repeat(200), Durability::Durable) {
                    Ok(_) => {
                        model.insert(key, n);
                        None
                    }
                    Err(error) => Some(error),
                }
            })
            .unwrap();
        match mode {
            NO_SPACE => assert_eq!(refused, CommitError::Full),
            _ => assert!(matches!(refused, CommitError::Io(_))),
        }
        for key in model.keys() {
            assert!(get(&store.view(), &format!("{key}/1")).is_some(), "reads go on");
        }
        disk.set(FINE, "");
        until("commits go through again", || try_put(&store, "again", "v", Durability::Durable).is_ok());
        until("the tables are flushed", || store.stats().flushes >= 3);
        drop(store);
        let store = open(dir.path(), &disk);
        for key in model.keys() {
            assert!(get(&store.view(), &format!("{key}/2")).is_some(), "mode {mode}: {key}");
        }
    }
}

#[test]
fn random_faults_never_lose_what_was_acknowledged() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let mut random = Random(seed);
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..3 {
            let store = open(dir.path(), &disk);
            for n in 0..200 {
                let mode = [FINE, FINE, FINE, NO_SPACE, IO_ERRORS, TORN_WRITES, SYNCS_FAIL][random.below(7)];
                disk.set(mode, "/log/");
                let key = format!("k{:02}", random.below(60));
                let durability = [Durability::Durable, Durability::Relaxed][random.below(2)];
                let value = format!("{n}/{}", random.next()).repeat(4);
                if try_put(&store, &key, &value, durability).is_ok() {
                    model.insert(key, value);
                }
            }
            disk.set(FINE, "");
            put(&store, &[("settled", "1")]);
            drop(store);
            let store = open(dir.path(), &disk);
            for (key, value) in &model {
                for part in 1..3 {
                    let found = get(&store.view(), &format!("{key}/{part}"));
                    assert_eq!(found.as_ref(), Some(value), "seed {seed}: {key}");
                }
            }
        }
    }
}

/// The newest file of the log.
fn last_segment(dir: &Path) -> PathBuf {
    let segments = RealDisk.list(&dir.join("log")).unwrap().into_iter();
    segments.filter(|path| path.to_string_lossy().contains("/log.")).max().unwrap()
}

#[test]
fn a_torn_tail_is_cut_and_damage_before_it_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let store = open(dir.path(), &disk);
    let mut ends = Vec::new();
    for n in 0..5 {
        put(&store, &[(&format!("k{n}"), "value")]);
        ends.push(n);
    }
    drop(store);
    let segment = last_segment(dir.path());
    let whole = std::fs::read(&segment).unwrap();
    let records: Vec<usize> = (0..whole.len() - 4).filter(|at| &whole[*at..at + 4] == b"MFLR").collect();
    assert_eq!(records.len(), ends.len());

    let mut torn = whole.clone();
    torn[records[4] + 60..records[4] + 70].fill(0);
    std::fs::write(&segment, &torn).unwrap();
    let store = open(dir.path(), &disk);
    assert_eq!(keys(&store.view(), "k", "l", Order::Forward, 9), ["k0", "k1", "k2", "k3"]);
    put(&store, &[("k9", "after the cut")]);
    drop(store);
    let store = open(dir.path(), &disk);
    assert_eq!(keys(&store.view(), "k", "l", Order::Forward, 9), ["k0", "k1", "k2", "k3", "k9"]);
    drop(store);

    for at in [records[1] + 50, records[2] + 4, 10] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&segment, &damaged).unwrap();
        let refused = Store::open(dir.path(), small_tables()).err();
        assert!(matches!(refused, Some(OpenError::Corrupt { .. })), "byte {at}: {refused:?}");
    }
}
