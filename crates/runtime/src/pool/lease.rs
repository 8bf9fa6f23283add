//! What the pool gives out. Everything here goes back by being dropped, so nothing can be forgotten on an
//! error's way.

use super::admission::Source;
use super::budget::Claim;
use super::{Pool, Pooled};

use mayfly_kernel::Arn;
use mayfly_kernel::function::{FunctionError, Version};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// The right to run one invocation.
pub(crate) struct Permit<T: Pooled> {
    pub(super) pool: Arc<Pool<T>>,
    pub(super) version: Arc<Version>,
    pub(super) source: Source,
}

/// The place of one instance on this node.
pub(crate) struct Slot<T: Pooled> {
    pub(super) pool: Arc<Pool<T>>,
    pub(super) claim: Claim,
    /// Whether the instance has initialised.
    pub(super) ready: bool,
    /// Whether the pool has taken it back already.
    pub(super) returned: bool,
}

/// The right to use a processor for a start. To be dropped as soon as the start only waits.
pub(crate) struct Starting<T: Pooled> {
    pub(super) pool: Arc<Pool<T>>,
}

/// A place for a new instance.
pub(crate) struct Place<T: Pooled> {
    pub(crate) slot: Slot<T>,
    pub(crate) starting: Starting<T>,
}

/// An instance and its place. Whoever has it may use it; it goes back by [`Pool::put`], and ends when it is
/// dropped.
pub(crate) struct Held<T: Pooled> {
    pub(crate) instance: T,
    // After the instance, so that its place is free only when it is gone.
    pub(super) slot: Slot<T>,
}

/// What a turn brings.
pub(crate) enum Turn<T: Pooled> {
    Warm(Held<T>),
    Cold(Place<T>),
    /// The version has just failed to initialise for somebody else.
    Failing(FunctionError),
}

/// A place in the queue.
pub(crate) struct Ticket<T: Pooled> {
    pub(super) pool: Arc<Pool<T>>,
    pub(super) id: u64,
    pub(super) turns: UnboundedReceiver<Turn<T>>,
}

impl<T: Pooled> Ticket<T> {
    /// Waits for the next turn: a warm instance ends the waiting, a place may still be followed by one.
    pub(crate) async fn next(&mut self) -> Turn<T> {
        match self.turns.recv().await {
            Some(turn) => turn,
            // The queue keeps the sender until it has sent what ends the waiting.
            None => std::future::pending().await,
        }
    }
}

impl<T: Pooled> Held<T> {
    pub(crate) fn new(instance: T, slot: Slot<T>) -> Held<T> {
        Held { instance, slot }
    }

    pub(crate) fn initialised(&mut self) {
        self.slot.ready = true;
        self.slot.pool.ready(&self.slot.claim);
    }

    pub(super) fn function(&self) -> &Arn {
        &self.slot.claim.function
    }

    pub(super) fn version(&self) -> &str {
        &self.slot.claim.version
    }

    pub(super) fn key(&self) -> &str {
        &self.slot.claim.key
    }
}

impl<T: Pooled> Drop for Permit<T> {
    fn drop(&mut self) {
        self.pool.leave(&self.version, self.source);
    }
}

impl<T: Pooled> Drop for Starting<T> {
    fn drop(&mut self) {
        self.pool.started();
    }
}

impl<T: Pooled> Drop for Slot<T> {
    fn drop(&mut self) {
        if !self.returned {
            self.pool.clone().give_back(&self.claim, self.ready);
        }
    }
}

impl<T: Pooled> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.pool.forget(self.id);
        // What came too late: an instance is good for the next one, a place goes back by itself.
        while let Ok(turn) = self.turns.try_recv() {
            match turn {
                Turn::Warm(held) => self.pool.put(held),
                Turn::Cold(_) | Turn::Failing(_) => {}
            }
        }
    }
}
