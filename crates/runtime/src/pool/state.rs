//! The pool's state and its decisions: pure functions of what is asked and the time, under the pool's lock.
//!
//! An instance that is to end is never dropped here, because ending it takes the lock again; it is put into
//! the caller's `trash`.

use super::admission::{Admission, Source};
use super::backoff::Backoff;
use super::budget::{Budget, Claim};
use super::lease::{Held, Place, Slot, Starting, Turn};
use super::queue::{Queue, Waiter};
use super::shelf::Shelf;
use super::wanted::Wanted;
use super::{Denied, Pool, Pooled, Standing, Timing, pressure};
use crate::freezer::Freezer;
use mayfly_kernel::function::{FunctionError, Refusal, Runtime, Version};
use mayfly_kernel::{Arn, Limits};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// When the node had no place for an instance ahead of demand, it is asked again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Under pressure, one idle instance in so many goes at a time.
const PRESSURE_SHARE: u32 = 4;

/// What an instance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Event,
    /// To be there before there is an event.
    Ahead,
}

pub(super) struct State<T: Pooled> {
    draining: bool,
    admission: Admission,
    budget: Budget,
    shelf: Shelf<T>,
    queue: Queue<Turn<T>>,
    queue_limit: usize,
    backoff: Backoff,
    wanted: Wanted,
    /// Ids of versions that are of no use any more, and since when.
    retired: HashMap<String, Instant>,
    pressed: Box<dyn Fn() -> bool + Send + Sync>,
    /// Whether somebody waits because the machine is short of memory, the end of which nobody tells.
    held_back: bool,
}

impl<T: Pooled> State<T> {
    pub(super) fn new(
        limits: &Limits,
        starts: u32,
        pressed: Box<dyn Fn() -> bool + Send + Sync>,
    ) -> State<T> {
        let memory = match limits.node_memory_bytes {
            0 => pressure::promises(),
            given => given,
        };
        let ms = Duration::from_millis;
        State {
            draining: false,
            admission: Admission::default(),
            budget: Budget::new(memory, limits.node_instances, starts),
            shelf: Shelf::default(),
            queue: Queue::default(),
            queue_limit: limits.node_queue,
            backoff: Backoff::new(ms(limits.init_backoff_ms), ms(limits.init_backoff_ms_max)),
            wanted: Wanted::default(),
            retired: HashMap::default(),
            pressed,
            held_back: false,
        }
    }

    pub(super) fn admit(&mut self, version: &Version) -> Result<Source, Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        self.admission.enter(version)
    }

    /// Whether that was the last before the end.
    pub(super) fn leave(&mut self, version: &Version, source: Source) -> bool {
        self.admission.leave(version, source);
        self.draining && self.admission.in_flight() == 0
    }

    /// The idle instance with this key that was used last, if it lives.
    pub(super) fn take(
        &mut self,
        key: &str,
        version: &str,
        now: Instant,
        trash: &mut Vec<Turn<T>>,
    ) -> Option<Held<T>> {
        self.shelf.used(key, now);
        let found = loop {
            let held = self.shelf.take(key)?;
            if held.instance.is_alive() {
                break held;
            }
            trash.push(Turn::Warm(held));
        };
        self.note_use(version);
        Some(found)
    }

    /// Keeps count of how many of a provisioned version are in use at once.
    fn note_use(&mut self, version: &str) {
        let Some(want) = self.wanted.get_mut(version) else { return };
        let busy = self.budget.count(version).places.saturating_sub(self.shelf.of_key(version));
        want.peak = want.peak.max(busy);
    }

    pub(super) fn enqueue(
        &mut self,
        claim: Claim,
        demand: Demand,
        now: Instant,
    ) -> Result<(u64, UnboundedReceiver<Turn<T>>), Denied> {
        // What was admitted before a drain runs to its end; only work ahead of demand stops.
        if self.draining && demand == Demand::Ahead {
            return Err(Denied::Refused(Refusal::Draining));
        }
        if let Some(error) = self.backoff.refuse(&claim.version, now) {
            return Err(Denied::Failing(error));
        }
        if self.queue.len() >= self.queue_limit || !self.budget.could_fit(claim.bytes) {
            return Err(Denied::Refused(Refusal::NodeFull));
        }
        let (send, turns) = unbounded_channel();
        let takes_warm = demand == Demand::Event;
        Ok((self.queue.push(Waiter { claim, takes_warm, send }), turns))
    }

    pub(super) fn forget(&mut self, id: u64) {
        // Its sender alone is dropped here.
        let _ = self.queue.remove(id);
    }

    /// Gives places to those whose turn it is, as long as there are places and processors.
    pub(super) fn grant(&mut self, pool: &Arc<Pool<T>>, now: Instant, trash: &mut Vec<Turn<T>>) {
        while self.budget.may_start() {
            let Some((id, claim)) = self.queue.next_place() else { return };
            let claim = claim.clone();
            self.keep_within(&claim, now, trash);
            if !self.make_room(&claim, now, trash) {
                return;
            }
            let Some(send) = self.queue.placed(id) else { return };
            self.budget.take(&claim);
            self.note_use(&claim.version);
            let slot = Slot { pool: pool.clone(), claim, ready: false, returned: false };
            let place = Place { slot, starting: Starting { pool: pool.clone() } };
            if let Err(unsent) = send.send(Turn::Cold(place)) {
                trash.push(unsent.0);
            }
        }
    }

    /// Ends an idle instance of a function that has as many as all of its tenants may have.
    fn keep_within(&mut self, claim: &Claim, now: Instant, trash: &mut Vec<Turn<T>>) {
        if self.budget.count(&claim.version).places >= claim.most {
            let gone = self.end_one(now, |held| held.version() == claim.version);
            trash.extend(gone.map(Turn::Warm));
        }
    }

    /// Takes the place of the idle instance that is of the least use back, of those that `may_go`.
    fn end_one(&mut self, now: Instant, may_go: impl Fn(&Held<T>) -> bool) -> Option<Held<T>> {
        let (wanted, budget) = (&self.wanted, &self.budget);
        let spare = |held: &Held<T>| budget.count(held.version()).places > wanted.count(held.version());
        let share = |function: &Arn| budget.share(function);
        let mut held = self.shelf.least_useful(now, share, |held| may_go(held) && spare(held))?;
        self.budget.give_back(&held.slot.claim, held.slot.ready);
        held.slot.returned = true;
        Some(held)
    }

    /// Ends idle instances until the claim fits. On a machine that is short of memory one must go in any
    /// case, unless nothing is left that could.
    fn make_room(&mut self, claim: &Claim, now: Instant, trash: &mut Vec<Turn<T>>) -> bool {
        let mut pressed = self.budget.used() > 0 && (self.pressed)();
        self.held_back = false;
        while pressed || !self.budget.fits(claim.bytes) {
            let Some(held) = self.end_one(now, |_| true) else {
                self.held_back = pressed;
                return false;
            };
            trash.push(Turn::Warm(held));
            pressed = false;
        }
        true
    }

    pub(super) fn offer(
        &mut self,
        held: Held<T>,
        pool: &Arc<Pool<T>>,
        now: Instant,
        trash: &mut Vec<Turn<T>>,
    ) {
        let useless = self.draining || self.retired.contains_key(held.version());
        if useless || !held.instance.is_alive() {
            return trash.push(Turn::Warm(held));
        }
        match self.queue.first_for(held.key()) {
            Some(own) if self.cedes(&held.slot.claim, own) => trash.push(Turn::Warm(held)),
            Some(own) => {
                self.shelf.used(held.key(), now);
                if let Some(waiter) = self.queue.remove(own)
                    && let Err(unsent) = waiter.send.send(Turn::Warm(held))
                {
                    trash.push(unsent.0);
                }
            }
            None => {
                self.shelf.put(held, now);
                self.grant(pool, now, trash);
            }
        }
    }

    /// Whether a function lets its free instance go for another function that waits for the place, although
    /// events of its own wait too: when the other then still has no larger share, or has none at all and has
    /// waited longer.
    fn cedes(&mut self, own: &Claim, own_id: u64) -> bool {
        let Some((rival_id, rival)) = self.queue.next_place_besides(&own.function) else { return false };
        if self.budget.fits(rival.bytes) {
            return false;
        }
        let (mine, theirs) = (self.budget.share(&own.function), self.budget.share(&rival.function));
        let poorer = theirs + rival.bytes <= mine.saturating_sub(own.bytes);
        let cedes = poorer || (theirs == 0 && rival_id < own_id);
        if cedes {
            let function = rival.function.clone();
            self.queue.promote(&function);
        }
        cedes
    }

    pub(super) fn ready(&mut self, claim: &Claim) {
        self.budget.ready(claim);
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back
    }

    pub(super) fn started(&mut self) {
        self.budget.started();
    }

    pub(super) fn give_back(&mut self, claim: &Claim, ready: bool) {
        self.budget.give_back(claim, ready);
    }

    pub(super) fn succeeded(&mut self, version: &str) {
        self.backoff.succeeded(version);
        if let Some(want) = self.wanted.get_mut(version) {
            want.failure = None;
        }
    }

    pub(super) fn failed(&mut self, function: &Arn, version: &str, error: &FunctionError, now: Instant) {
        let told = self.backoff.failed(version, error, now);
        for waiter in self.queue.remove_unplaced(function, version) {
            // Nothing but an error is in it, so it may be dropped here.
            let _ = waiter.send.send(Turn::Failing(told.clone()));
        }
        if let Some(want) = self.wanted.get_mut(version) {
            let until = self.backoff.until(version).unwrap_or(now);
            want.failure = Some((error.error_type.clone(), until));
        }
    }

    pub(super) fn retire(&mut self, version: &str, now: Instant) -> Vec<Held<T>> {
        self.retired.insert(version.to_owned(), now);
        self.backoff.succeeded(version);
        self.shelf.drain(|held, _| held.version() == version, now)
    }

    /// Components are provisioned in name: each request gets a fresh instance, so there is none to keep, but
    /// they run by right.
    pub(super) fn want(&mut self, mut wanted: Vec<(Arc<Version>, u32)>) {
        self.admission.provision(wanted.iter().map(|(version, count)| (&**version, *count)));
        wanted.retain(|(version, _)| version.runtime != Runtime::Wasm);
        self.wanted.set(wanted);
    }

    /// Whether this version is to have instances ahead of demand.
    pub(super) fn wants(&self, version: &str) -> bool {
        self.wanted.count(version) > 0
    }

    pub(super) fn missing(&mut self, now: Instant) -> Vec<Arc<Version>> {
        let mut missing = Vec::new();
        if self.draining {
            return missing;
        }
        for (id, want) in self.wanted.iter_mut() {
            if want.failure.as_ref().is_some_and(|(_, until)| now < *until) {
                continue;
            }
            let have = self.budget.count(id).places + want.asked;
            let lacking = want.count.saturating_sub(have);
            want.asked += lacking;
            missing.extend((0..lacking).map(|_| want.version.clone()));
        }
        missing
    }

    pub(super) fn answered(&mut self, version: &str, failure: Option<String>, now: Instant) {
        let Some(want) = self.wanted.get_mut(version) else { return };
        want.asked = want.asked.saturating_sub(1);
        if let Some(failure) = failure {
            want.failure = Some((failure, now + ASK_AGAIN));
        }
    }

    pub(super) fn unprovided(&mut self, version: &str, failure: String, now: Instant) {
        if let Some(want) = self.wanted.get_mut(version) {
            want.failure = Some((failure, now + ASK_AGAIN));
        }
    }

    pub(super) fn is_short(&mut self) -> bool {
        let budget = &self.budget;
        self.wanted.iter_mut().any(|(id, want)| budget.count(id).ready < want.count)
    }

    pub(super) fn standing(&mut self) -> Vec<Standing> {
        let (budget, shelf) = (&self.budget, &self.shelf);
        let told = self.wanted.iter_mut().map(|(id, want)| {
            let count = budget.count(id);
            let busy = count.ready.saturating_sub(shelf.of_key(id));
            Standing {
                version: id.clone(),
                wanted: want.count,
                allocated: count.places.min(want.count),
                available: count.ready.min(want.count),
                peak: std::mem::replace(&mut want.peak, busy).max(busy),
                failure: want.failure.as_ref().map(|(text, _)| text.clone()),
            }
        });
        told.collect()
    }

    /// What is due by `now`: instances that go, those to freeze, and how long it is until there is more.
    pub(super) fn tend(
        &mut self,
        timing: &Timing,
        now: Instant,
    ) -> (Vec<Held<T>>, Vec<Arc<Freezer>>, Option<Duration>) {
        self.retired.retain(|_, since| now.saturating_duration_since(*since) < timing.retired);
        self.backoff.prune(now);
        self.shelf.prune(now);
        let (wanted, budget) = (&self.wanted, &self.budget);
        let mut spare: HashMap<String, u32> = HashMap::new();
        let expired = |held: &Held<T>, idle: Duration| {
            let id = held.version();
            let left = spare
                .entry(id.to_owned())
                .or_insert_with(|| budget.count(id).places.saturating_sub(wanted.count(id)));
            let goes = idle >= timing.idle && *left > 0;
            *left -= u32::from(goes);
            goes
        };
        let mut gone = self.shelf.drain(expired, now);
        if self.shelf.count() > 0 && (self.pressed)() {
            self.shed(now, &mut gone);
        }
        let freezers = self.shelf.freezable(timing.freeze_after, now, T::freezer);
        let oldest = self.shelf.oldest();
        (gone, freezers, oldest.map(|since| (since + timing.idle).saturating_duration_since(now)))
    }

    fn shed(&mut self, now: Instant, gone: &mut Vec<Held<T>>) {
        for _ in 0..self.shelf.count().div_ceil(PRESSURE_SHARE) {
            let Some(held) = self.end_one(now, |_| true) else { return };
            gone.push(held);
        }
    }

    pub(super) fn close(&mut self) -> Vec<Held<T>> {
        self.draining = true;
        self.shelf.drain(|_, _| true, Instant::now())
    }

    pub(super) fn used(&self) -> u32 {
        self.budget.used()
    }

    pub(super) fn idle(&self) -> u32 {
        self.shelf.count()
    }

    pub(super) fn frozen(&self) -> usize {
        self.shelf.iter().filter_map(T::freezer).filter(|freezer| freezer.is_frozen()).count()
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.admission.in_flight()
    }

    #[cfg(test)]
    pub(super) fn admits_nothing(&self) -> bool {
        self.admission.is_empty()
    }

    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }
}
