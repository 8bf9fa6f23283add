//! Telling waiters that a part of the key space has changed.
//!
//! A commit costs one look-up per written key and distinct length of watched prefix, however many watchers there
//! are: those of one prefix share one channel.

use crate::engine::Writes;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// The lengths of the watched prefixes, and how many have each.
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

    /// Called after a commit has become visible.
    pub(crate) fn notify(&self, writes: &Writes) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let prefixes = self.prefixes.read();
        for key in writes.keys() {
            for length in prefixes.lengths.keys().take_while(|length| **length <= key.len()) {
                if let Some(sender) = prefixes.channels.get(&key[..*length]) {
                    sender.send_replace(());
                }
            }
        }
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
