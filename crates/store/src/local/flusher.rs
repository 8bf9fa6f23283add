//! The thread that moves frozen tables into the tree, and keeps a spare log segment ready.
//!
//! When the tree cannot be written, frozen tables pile up to a bound, then commits are refused with the reason;
//! the flush is tried again every second, and once it works, commits go on.

use super::{Counters, Frozen, Layers, Shared};
use crate::CommitError;
use crate::timeline::Timeline;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Frozen tables that may wait for the tree before commits have to.
const FROZEN_MAX: usize = 3;
const RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Flushing {
    state: Mutex<State>,
    /// For the flusher: there may be something to do.
    work: Condvar,
    /// For the committer: a table has been flushed, or flushing has failed.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    woken: bool,
    closed: bool,
    failing: Option<CommitError>,
}

impl Flushing {
    pub(super) fn wake(&self) {
        self.state.lock().woken = true;
        self.work.notify_one();
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
        self.progress.notify_all();
    }

    /// Waits while too many tables are frozen. Refuses if they are because the tree cannot be written.
    pub(super) fn wait_for_room(&self, timeline: &Timeline<Arc<Layers>>) -> Result<(), CommitError> {
        let mut state = self.state.lock();
        while timeline.layers().frozen.len() >= FROZEN_MAX {
            if let Some(reason) = &state.failing {
                return Err(reason.clone());
            }
            if state.closed {
                return Err(CommitError::Closed);
            }
            self.progress.wait(&mut state);
        }
        Ok(())
    }

    fn report(&self, failing: Option<CommitError>) {
        self.state.lock().failing = failing;
        self.progress.notify_all();
    }

    /// Waits until woken, or for a while if there is a failed flush to repeat. False once closed.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.woken && !state.closed {
            if state.failing.is_some() {
                if self.work.wait_for(&mut state, RETRY).timed_out() {
                    break;
                }
            } else {
                self.work.wait(&mut state);
            }
        }
        state.woken = false;
        !state.closed
    }
}

pub(super) fn run(shared: &Shared) {
    // What recovery has frozen waits already.
    shared.flushing.wake();
    while shared.flushing.wait() {
        while let Some(oldest) = shared.timeline.layers().frozen.last() {
            if let Err(reason) = flush(shared, oldest) {
                tracing::warn!(%reason, "a memory table could not be flushed");
                Counters::add(&shared.counters.failed_flushes, 1);
                shared.flushing.report(Some(reason));
                break;
            }
            shared.flushing.report(None);
        }
        if shared.archive.lacks_spare()
            && shared.counters.commits.load(std::sync::atomic::Ordering::Relaxed) > 0
            && let Err(error) = shared.archive.prepare_spare()
        {
            tracing::debug!(%error, "no spare log segment");
        }
    }
}

fn flush(shared: &Shared, oldest: &Frozen) -> Result<(), CommitError> {
    let rows = shared.tree.flush(&oldest.table, oldest.version)?;
    let base = shared.tree.base().map_err(|error| CommitError::Io(error.to_string()))?;
    let base = Arc::new(base);
    shared.timeline.replace(|layers| {
        let mut frozen = layers.frozen.clone();
        frozen.pop();
        Arc::new(Layers { active: layers.active.clone(), frozen, base })
    });
    shared.archive.retire(oldest.version);
    Counters::add(&shared.counters.flushes, 1);
    shared.counters.flushed_rows.fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}
