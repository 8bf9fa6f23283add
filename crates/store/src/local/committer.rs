//! The one thread that decides commits, in groups.
//!
//! While a group is being synced, the next one gathers in the queue. Every commit of a group is checked against
//! all before it, those of its own group included; what passes is one log record, one sync, then visible.

use super::log::Log;
use super::record::GroupEncoder;
use super::{Counters, Shared};
use crate::engine::{Commit, resolve_adds};
use crate::history::History;
use crate::table::Table;
use crate::ticket::Resolver;
use crate::{CommitError, Durability, Over, Version};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bounds of a group, so that one sync's latency stays one sync's latency.
const GROUP_COMMITS_MAX: usize = 4096;
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Relaxed commits are synced this long after the first of them: well within the 100 ms that may be lost.
const RELAXED_SYNC: Duration = Duration::from_millis(75);
/// How many writes may lie between a transaction's begin and its commit, over the whole store.
const HISTORY_ROWS: usize = 256 * 1024;
/// A table with this many deleted rows is flushed once scans have stepped over them this often, on average.
const DELETED_ROWS_MIN: usize = 1024;
const STEPS_PER_DELETED_ROW: u64 = 64;

/// A commit in the queue.
pub(super) struct Waiting {
    pub(super) commit: Commit,
    pub(super) absent: Absent,
    pub(super) bytes: usize,
    pub(super) resolver: Resolver,
}

/// Rows known to be in no layer below `table`. Holds as long as that table is the active one.
pub(super) struct Absent {
    pub(super) table: Arc<Table>,
    /// Sorted.
    pub(super) keys: Vec<Bytes>,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    arrived: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

enum Work {
    Group(Vec<Waiting>),
    /// Relaxed commits have waited long enough.
    Sync,
    Stop,
}

impl Queue {
    pub(super) fn push(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            waiting.resolver.resolve(Err(CommitError::Closed));
            return;
        }
        state.waiting.push_back(waiting);
        drop(state);
        self.arrived.notify_one();
    }

    /// What was pushed before is still decided.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    fn next(&self, sync_at: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                return Work::Group(take_group(&mut state.waiting));
            }
            if state.closed {
                return Work::Stop;
            }
            match sync_at {
                None => self.arrived.wait(&mut state),
                Some(at) if self.arrived.wait_until(&mut state, at).timed_out() => return Work::Sync,
                Some(_) => (),
            }
        }
    }
}

fn take_group(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut bytes = 0;
    let fits = |next: &Waiting| {
        let first = bytes == 0;
        bytes += next.bytes;
        first || bytes <= GROUP_BYTES_MAX
    };
    let count = waiting.iter().take(GROUP_COMMITS_MAX).map_while({
        let mut fits = fits;
        move |next| fits(next).then_some(())
    });
    let count = count.count();
    waiting.drain(..count).collect()
}

pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    history: History,
    /// Rows of the active table that will leave something to prune once nobody looks at that version any more.
    garbage: VecDeque<(Version, Vec<Bytes>)>,
    sync_at: Option<Instant>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, log: Log, published: Version) -> Committer {
        Committer {
            shared,
            log,
            history: History::new(published, HISTORY_ROWS),
            garbage: VecDeque::new(),
            sync_at: None,
        }
    }

    pub(super) fn run(mut self) {
        // Whatever ends this thread, nobody may wait for it afterwards.
        let _closing = CloseOnExit(self.shared.clone());
        loop {
            match self.shared.queue.next(self.sync_at) {
                Work::Group(waiting) => self.group(waiting),
                Work::Sync => self.sync_relaxed(),
                Work::Stop => break,
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "relaxed commits could not be synced before the end");
        }
    }

    fn sync_relaxed(&mut self) {
        self.sync_at = match self.log.sync() {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "relaxed commits are not on the disk yet");
                Some(Instant::now() + RELAXED_SYNC)
            }
        };
    }

    fn group(&mut self, waiting: Vec<Waiting>) {
        if let Err(refusal) = self.shared.flushing.wait_for_room(&self.shared.timeline) {
            for refused in waiting {
                refused.resolver.resolve(Err(refusal.clone()));
            }
            return;
        }
        let before = self.shared.timeline.published();
        // Those who lost are told at the end: once they can see what they lost against, and not lose to it again.
        let (group, _refused) = self.validate(waiting, before);
        if group.is_empty() {
            return;
        }
        let last = before + group.len() as Version;
        let mut payload = GroupEncoder::new(before + 1, group.len());
        for accepted in &group {
            payload.commit(&accepted.commit.writes);
        }
        let durable = group.iter().any(|accepted| accepted.commit.durability == Durability::Durable);
        let appended = self.log.append(payload.finish(), last, durable);
        self.sync_at = match self.log.has_unsynced() {
            true => self.sync_at.or_else(|| Some(Instant::now() + RELAXED_SYNC)),
            false => None,
        };
        let counters = &self.shared.counters;
        counters.current_log_bytes.store(self.log.current_bytes(), Ordering::Relaxed);
        match appended {
            Ok(()) => {
                Counters::add(&counters.groups, 1);
                Counters::add(&counters.commits, group.len());
                self.publish(group, before);
            }
            Err(error) => {
                tracing::warn!(%error, commits = group.len(), "a group of commits failed");
                Counters::add(&counters.failed_groups, 1);
                // The history names these versions already; skipping them keeps it from refusing what follows.
                self.shared.timeline.publish(last);
                let refusal = CommitError::from(error);
                for failed in group {
                    failed.resolver.resolve(Err(refusal.clone()));
                }
            }
        }
        self.tidy();
    }

    /// Refuses those that read what has changed; the rest will be the versions after `before`.
    fn validate(&mut self, waiting: Vec<Waiting>, before: Version) -> (Vec<Waiting>, Refused) {
        let mut group = Vec::with_capacity(waiting.len());
        let mut refused = Refused(Vec::new());
        let mut counters = HashMap::new();
        for mut candidate in waiting {
            let commit = &mut candidate.commit;
            if let Some(over) = self.history.conflict(commit.snapshot.version(), &commit.reads) {
                Counters::add(&self.shared.counters.conflicts, 1);
                refused.0.push((candidate.resolver, over));
                continue;
            }
            if let Err(error) = self.count(commit, &mut counters) {
                candidate.resolver.resolve(Err(CommitError::Io(error.to_string())));
                continue;
            }
            self.history.record(before + 1 + group.len() as Version, &commit.writes);
            group.push(candidate);
        }
        (group, refused)
    }

    /// Makes sums of a commit's additions; `counters` are those that its group has already summed.
    fn count(
        &self,
        commit: &mut Commit,
        counters: &mut HashMap<Bytes, Option<Bytes>>,
    ) -> Result<(), crate::Error> {
        if commit.adds.is_empty() {
            return Ok(());
        }
        let layers = self.shared.timeline.layers();
        resolve_adds(&mut commit.writes, &commit.adds, |key| match counters.get(key) {
            Some(value) => Ok(value.clone()),
            None => match layers.active.get(key, Version::MAX) {
                Some(value) => Ok(value),
                None => layers.below_active(key),
            },
        })?;
        for key in commit.adds.keys() {
            counters.insert(key.clone(), commit.writes.get(key).cloned().flatten());
        }
        Ok(())
    }

    fn publish(&mut self, group: Vec<Waiting>, before: Version) {
        let active = self.shared.timeline.layers().active.clone();
        let mut garbage = Vec::new();
        let mut version = before;
        for accepted in &group {
            version += 1;
            let current = Arc::ptr_eq(&accepted.absent.table, &active);
            let absent = |key: &Bytes| current && accepted.absent.keys.binary_search(key).is_ok();
            active.apply(version, &accepted.commit.writes, absent, &mut garbage);
        }
        self.shared.timeline.publish(version);
        if !garbage.is_empty() {
            self.garbage.push_back((version, garbage));
        }
        for (accepted, version) in group.into_iter().zip(before + 1..) {
            self.shared.watches.notify(&accepted.commit.writes);
            accepted.resolver.resolve(Ok(version));
        }
    }

    /// Forgets what nobody can need any more, and freezes the active table when it is time.
    fn tidy(&mut self) {
        let oldest = self.shared.timeline.oldest();
        self.history.prune(oldest.transaction);
        let layers = self.shared.timeline.layers();
        while let Some((_, keys)) = self.garbage.pop_front_if(|(since, _)| *since <= oldest.snapshot) {
            layers.active.prune(&keys, oldest.snapshot);
        }
        let active = &layers.active;
        let deleted = active.deleted();
        let in_the_way = deleted >= DELETED_ROWS_MIN
            && active.stepped_over() > deleted as u64 * STEPS_PER_DELETED_ROW
            && layers.frozen.is_empty();
        if active.bytes() > self.shared.options.memory_table_bytes || in_the_way {
            let published = self.shared.timeline.published();
            self.shared.timeline.replace(|layers| layers.freeze(published));
            self.garbage.clear();
            self.shared.flushing.wake();
        } else if self.shared.archive.lacks_spare() && self.log.current_bytes() > 0 {
            self.shared.flushing.wake();
        }
    }
}

/// Commits that lost against others; dropping it tells them.
struct Refused(Vec<(Resolver, Over)>);

impl Drop for Refused {
    fn drop(&mut self) {
        for (resolver, over) in self.0.drain(..) {
            resolver.resolve(Err(CommitError::Conflict(over)));
        }
    }
}

struct CloseOnExit(Arc<Shared>);

impl Drop for CloseOnExit {
    fn drop(&mut self) {
        self.0.queue.close();
        // Dropping a resolver answers `Closed`.
        let left = std::mem::take(&mut self.0.queue.state.lock().waiting);
        drop(left);
    }
}
