//! Which version is the newest, and which older ones somebody still looks at.
//!
//! The version and the layers that hold it change and are read under one lock, so a pinned snapshot's layers
//! always hold its version whole. The lock is held for a few instructions; nothing waits on I/O under it.

use crate::Version;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a snapshot is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It will be validated at commit, so the history of writes since then must be kept.
    Transaction,
    View,
}

/// `L` is how an engine refers to its layers: cheap to clone.
pub(crate) struct Timeline<L> {
    state: Mutex<State<L>>,
}

struct State<L> {
    published: Version,
    layers: L,
    pinned: BTreeMap<Version, Pinned>,
}

#[derive(Clone, Copy, Default)]
struct Pinned {
    transactions: usize,
    views: usize,
}

/// The oldest versions in use. With nobody looking, both are the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    pub(crate) snapshot: Version,
    pub(crate) transaction: Version,
}

impl<L: Clone> Timeline<L> {
    pub(crate) fn new(published: Version, layers: L) -> Arc<Timeline<L>> {
        Arc::new(Timeline { state: Mutex::new(State { published, layers, pinned: BTreeMap::new() }) })
    }

    pub(crate) fn pin(self: &Arc<Self>, reader: Reader) -> Pin<L> {
        let mut state = self.state.lock();
        let version = state.published;
        let pinned = state.pinned.entry(version).or_default();
        match reader {
            Reader::Transaction => pinned.transactions += 1,
            Reader::View => pinned.views += 1,
        }
        Pin { version, reader, layers: state.layers.clone(), timeline: self.clone() }
    }

    pub(crate) fn published(&self) -> Version {
        self.state.lock().published
    }

    pub(crate) fn layers(&self) -> L {
        self.state.lock().layers.clone()
    }

    /// Makes everything up to `version` visible to snapshots taken from now on.
    pub(crate) fn publish(&self, version: Version) {
        self.state.lock().published = version;
    }

    /// Replaces the layers by what `change` makes of them. The old ones are dropped outside the lock.
    pub(crate) fn replace(&self, change: impl FnOnce(&L) -> L) {
        let mut state = self.state.lock();
        let next = change(&state.layers);
        let old = std::mem::replace(&mut state.layers, next);
        drop(state);
        drop(old);
    }

    pub(crate) fn oldest(&self) -> Oldest {
        let state = self.state.lock();
        let mut transactions = state.pinned.iter().filter(|(_, pinned)| pinned.transactions > 0);
        Oldest {
            snapshot: state.pinned.first_key_value().map_or(state.published, |(version, _)| *version),
            transaction: transactions.next().map_or(state.published, |(version, _)| *version),
        }
    }
}

/// Holds a version, and the layers it is in, until dropped.
pub(crate) struct Pin<L> {
    pub(crate) version: Version,
    pub(crate) layers: L,
    reader: Reader,
    timeline: Arc<Timeline<L>>,
}

impl<L> Drop for Pin<L> {
    fn drop(&mut self) {
        let mut state = self.timeline.state.lock();
        let Some(pinned) = state.pinned.get_mut(&self.version) else { return };
        match self.reader {
            Reader::Transaction => pinned.transactions -= 1,
            Reader::View => pinned.views -= 1,
        }
        if pinned.transactions == 0 && pinned.views == 0 {
            state.pinned.remove(&self.version);
        }
    }
}
