//! Telling waiters that a part of the key space has changed.
//!
//! A commit costs one look-up per written key and distinct length of watched prefix, however many watchers there
//! are: those of one prefix share one channel.

use crate::engine::Writes;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::watch;

/// The watched prefixes of a store.
#[derive(Default)]
pub(crate) struct Watches {
    prefixes: RwLock<Prefixes>,
    /// How many prefixes are watched, to make a commit nobody watches free.
    count: AtomicUsize,
}

#[derive(Default)]
struct Prefixes {
    channels: HashMap<Bytes, watch::Sender<()>>,
    /// Counters stay for the life of the store.
    counters: HashMap<Bytes, Vec<Arc<AtomicU64>>>,
    /// The lengths of the watched and the counted prefixes, and how many have each.
    lengths: BTreeMap<usize, usize>,
}

impl Watches {
    pub(crate) fn register(self: &Arc<Self>, prefix: &[u8]) -> Watch {
        let prefix = Bytes::copy_from_slice(prefix);
        let mut prefixes = self.prefixes.write();
        let receiver = match prefixes.channels.get(&prefix) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(());
                prefixes.channels.insert(prefix.clone(), sender);
                *prefixes.lengths.entry(prefix.len()).or_default() += 1;
                self.count.fetch_add(1, Ordering::SeqCst);
                receiver
            }
        };
        Watch { prefix, receiver: Some(receiver), watches: self.clone() }
    }

    pub(crate) fn count(&self, counted: &[Bytes]) -> Changes {
        let changes = Changes::default();
        let mut prefixes = self.prefixes.write();
        for prefix in counted {
            prefixes.counters.entry(prefix.clone()).or_default().push(changes.0.clone());
            *prefixes.lengths.entry(prefix.len()).or_default() += 1;
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        changes
    }

    /// Called after a commit has become visible and before it is acknowledged.
    pub(crate) fn notify(&self, writes: &Writes) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let prefixes = self.prefixes.read();
        for key in writes.keys() {
            for length in prefixes.lengths.keys().take_while(|length| **length <= key.len()) {
                let prefix = &key[..*length];
                if let Some(sender) = prefixes.channels.get(prefix) {
                    sender.send_replace(());
                }
                for counter in prefixes.counters.get(prefix).into_iter().flatten() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

/// Counts commits that touch any of some prefixes, so that what was derived from them can be kept until it is stale.
///
/// The count grows after a commit has become visible and before it is acknowledged. So what was read from a view
/// begun after [`Changes::count`] was asked is current for as long as the count is the same, except for commits
/// whose writers do not know yet that they succeeded.
#[derive(Clone, Default)]
pub struct Changes(Arc<AtomicU64>);

impl Changes {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Notices commits that touch keys under its prefix, from its registration on.
pub struct Watch {
    prefix: Bytes,
    /// Taken only by `drop`.
    receiver: Option<watch::Receiver<()>>,
    watches: Arc<Watches>,
}

impl Watch {
    /// Resolves once a commit has touched the prefix since the last call (at first: since registration). A commit
    /// that came in between the calls resolves the next one at once, so none is missed; several become one.
    /// What changed is read by a transaction begun afterwards. Cancel safe.
    pub async fn changed(&mut self) {
        let receiver = self.receiver.as_mut().expect("only drop takes the receiver");
        if receiver.changed().await.is_err() {
            // The sender lives as long as a receiver does, so this is not reached; waiting is the safe answer.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut prefixes = self.watches.prefixes.write();
        self.receiver = None;
        let Some(sender) = prefixes.channels.get(&self.prefix) else { return };
        if sender.receiver_count() > 0 {
            return;
        }
        prefixes.channels.remove(&self.prefix);
        self.watches.count.fetch_sub(1, Ordering::SeqCst);
        let length = self.prefix.len();
        if let Some(count) = prefixes.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                prefixes.lengths.remove(&length);
            }
        }
    }
}
