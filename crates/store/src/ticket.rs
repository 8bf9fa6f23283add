//! The promise of a commit's outcome, for async and for blocking callers alike.

use crate::{CommitError, Version};
use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

type Outcome = Result<Version, CommitError>;

/// Resolves once the commit is decided and, if it asked for it, durable. Dropping it does not undo the commit.
#[must_use = "a commit may be refused: its outcome must be looked at"]
pub struct Ticket(Arc<Slot>);

/// The engine's end of a [`Ticket`]. Dropped unresolved, it answers [`CommitError::Closed`].
pub(crate) struct Resolver(Arc<Slot>);

struct Slot {
    state: Mutex<State>,
    blocked: Condvar,
}

enum State {
    Waiting(Option<Waker>),
    Decided(Outcome),
    Told,
}

impl Slot {
    fn new(state: State) -> Arc<Slot> {
        Arc::new(Slot { state: Mutex::new(state), blocked: Condvar::new() })
    }
}

impl State {
    fn take(&mut self) -> Option<Outcome> {
        match std::mem::replace(self, State::Told) {
            State::Decided(outcome) => Some(outcome),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Ticket {
    pub(crate) fn pending() -> (Ticket, Resolver) {
        let slot = Slot::new(State::Waiting(None));
        (Ticket(slot.clone()), Resolver(slot))
    }

    pub(crate) fn ready(outcome: Outcome) -> Ticket {
        Ticket(Slot::new(State::Decided(outcome)))
    }

    /// Blocks the thread until the outcome is known. Not for async tasks: they await the ticket.
    pub fn wait(self) -> Result<Version, CommitError> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(outcome) = state.take() {
                return outcome;
            }
            self.0.blocked.wait(&mut state);
        }
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.state.lock();
        match state.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Resolver {
    pub(crate) fn resolve(self, outcome: Outcome) {
        self.settle(outcome);
    }

    fn settle(&self, outcome: Outcome) {
        let mut state = self.0.state.lock();
        let State::Waiting(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Decided(outcome);
        drop(state);
        self.0.blocked.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.settle(Err(CommitError::Closed));
    }
}
