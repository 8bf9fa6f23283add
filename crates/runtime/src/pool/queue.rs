//! Who waits for an instance, and whose turn it is.
//!
//! An invocation waits for two things at once: an instance of its version that becomes free, and a place for
//! one of its own. Places are given out in turns, one function after the other, so that a function with a
//! thousand waiting events does not hold up another with one. Within a function the oldest comes first.

use super::budget::Claim;
use mayfly_kernel::Arn;
use std::collections::{BTreeSet, HashMap, VecDeque};
use tokio::sync::mpsc::UnboundedSender;

pub(super) struct Queue<M> {
    next: u64,
    waiters: HashMap<u64, Waiter<M>>,
    /// Those that take a warm instance, by its key; oldest first.
    by_key: HashMap<String, BTreeSet<u64>>,
    /// Those without a place, by function; oldest first.
    unplaced: HashMap<Arn, BTreeSet<u64>>,
    /// Functions with someone unplaced, next turn first.
    turns: VecDeque<Arn>,
}

pub(super) struct Waiter<M> {
    pub(super) claim: Claim,
    /// Whether a warm instance serves it: not one that is to be made ahead of demand.
    pub(super) takes_warm: bool,
    pub(super) send: UnboundedSender<M>,
}

impl<M> Default for Queue<M> {
    fn default() -> Queue<M> {
        Queue {
            next: 0,
            waiters: HashMap::default(),
            by_key: HashMap::default(),
            unplaced: HashMap::default(),
            turns: VecDeque::default(),
        }
    }
}

impl<M> Queue<M> {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn push(&mut self, waiter: Waiter<M>) -> u64 {
        let id = self.next;
        self.next += 1;
        if waiter.takes_warm {
            self.by_key.entry(waiter.claim.key.clone()).or_default().insert(id);
        }
        let function = &waiter.claim.function;
        let line = self.unplaced.entry(function.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(function.clone());
        }
        line.insert(id);
        self.waiters.insert(id, waiter);
        id
    }

    /// The oldest that a warm instance with this key would serve.
    pub(super) fn first_for(&self, key: &str) -> Option<u64> {
        self.by_key.get(key)?.first().copied()
    }

    /// Whose turn it is to get a place.
    pub(super) fn next_place(&self) -> Option<(u64, &Claim)> {
        let id = *self.unplaced.get(self.turns.front()?)?.first()?;
        self.waiters.get(&id).map(|waiter| (id, &waiter.claim))
    }

    /// The same, leaving one function out.
    pub(super) fn next_place_besides(&self, function: &Arn) -> Option<(u64, &Claim)> {
        let turn = self.turns.iter().find(|turn| *turn != function)?;
        let id = *self.unplaced.get(turn)?.first()?;
        self.waiters.get(&id).map(|waiter| (id, &waiter.claim))
    }

    /// The next turn is this function's.
    pub(super) fn promote(&mut self, function: &Arn) {
        if let Some(at) = self.turns.iter().position(|turn| turn == function)
            && let Some(function) = self.turns.remove(at)
        {
            self.turns.push_front(function);
        }
    }

    /// It has a place now; it may still take a warm instance if one comes first. The next turn is another
    /// function's.
    pub(super) fn placed(&mut self, id: u64) -> Option<UnboundedSender<M>> {
        let waiter = self.waiters.get(&id)?;
        let (function, send) = (waiter.claim.function.clone(), waiter.send.clone());
        self.leave_line(&function, id);
        if let Some(at) = self.turns.iter().position(|turn| *turn == function) {
            self.turns.remove(at);
            self.turns.push_back(function);
        }
        Some(send)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter<M>> {
        let waiter = self.waiters.remove(&id)?;
        let key = &waiter.claim.key;
        if waiter.takes_warm
            && let Some(line) = self.by_key.get_mut(key)
        {
            line.remove(&id);
            if line.is_empty() {
                self.by_key.remove(key);
            }
        }
        self.leave_line(&waiter.claim.function, id);
        Some(waiter)
    }

    /// Takes out everyone who has no place and waits for this version.
    pub(super) fn remove_unplaced(&mut self, function: &Arn, version: &str) -> Vec<Waiter<M>> {
        let line = self.unplaced.get(function).into_iter().flatten().copied();
        let wants = |id: &u64| self.waiters.get(id).is_some_and(|waiter| waiter.claim.version == version);
        let ids: Vec<u64> = line.filter(wants).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    fn leave_line(&mut self, function: &Arn, id: u64) {
        let Some(line) = self.unplaced.get_mut(function) else { return };
        line.remove(&id);
        if line.is_empty() {
            self.unplaced.remove(function);
            self.turns.retain(|turn| turn != function);
        }
    }
}
