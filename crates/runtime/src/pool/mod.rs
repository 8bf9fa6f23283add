//! Who may run now, and on which instance.
//!
//! An invocation first needs admission, which its function or its account bounds and which is refused at once
//! at the limit. Then it needs an instance: an idle one of its version and tenant, the one used last; or else
//! whichever comes first of one that becomes free and one of its own. A new instance takes a place on the
//! node. When the node is full, idle instances of the least use make room, and when there are none, the
//! event waits, in turns with those of other functions and not for ever.
//!
//! All state is behind one lock that is held for moments; instances are ended, thawed and frozen outside it.
//! Time is an argument of everything that decides. Not here: how instances are made, and what is done with
//! them.

mod admission;
mod backoff;
mod budget;
mod lease;
mod pressure;
mod queue;
mod shelf;
mod state;
#[cfg(test)]
mod tests;
mod wanted;

pub(crate) use lease::{Held, Permit, Place, Starting, Ticket, Turn};
pub(crate) use pressure::Gauge;

use crate::freezer::Freezer;
use admission::Source;
use budget::{Claim, key};
use mayfly_kernel::Limits;
use mayfly_kernel::function::{FunctionError, Refusal, Version};
use parking_lot::Mutex;
use state::{Demand, State};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How often memory pressure is looked at while instances are idle.
const WATCH_PRESSURE: Duration = Duration::from_secs(2);
/// How often whoever waits for the end of such a shortage looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Woken no more often than this, however many instances are due.
const SHORTEST_NAP: Duration = Duration::from_millis(100);

/// What a pool keeps.
pub(crate) trait Pooled: Send + 'static {
    fn is_alive(&self) -> bool;
    fn freezer(&self) -> Option<Arc<Freezer>>;
}

pub(crate) struct Pool<T: Pooled> {
    state: Mutex<State<T>>,
    timing: Timing,
    /// Something became idle where nothing was.
    idle: Notify,
    /// The last invocation ended while draining.
    quiet: Notify,
    /// A version may have fewer instances than it is to have, or its figures have changed.
    pub(crate) provision: watch::Sender<()>,
}

struct Timing {
    idle: Duration,
    freeze_after: Duration,
    /// A version that was replaced is remembered as long as an invocation that began before can last.
    retired: Duration,
}

pub(crate) enum Asked<T: Pooled> {
    Warm(Held<T>),
    Wait(Ticket<T>),
}

/// Why an invocation gets no instance.
pub(crate) enum Denied {
    Refused(Refusal),
    /// Its version does not initialise.
    Failing(FunctionError),
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) instances: u32,
    pub(crate) idle: u32,
    /// Of the idle ones, how many stand still.
    pub(crate) frozen: u32,
    /// Invocations.
    pub(crate) in_flight: u32,
    /// Of those, how many wait for an instance.
    pub(crate) waiting: u32,
}

/// How a provisioned version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub version: String,
    pub wanted: u32,
    /// Instances that have a place.
    pub allocated: u32,
    /// Of those, the ones that have initialised.
    pub available: u32,
    /// The most that were in use at once since the last look.
    pub peak: u32,
    /// Why there are no more, as far as is known.
    pub failure: Option<String>,
}

impl<T: Pooled> Pool<T> {
    pub(crate) fn new(limits: &Limits) -> Arc<Pool<T>> {
        let gauge = pressure::Gauge::default();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Pool::with(limits, u32::try_from(cores + 1).unwrap_or(u32::MAX), Box::new(move || gauge.pressed()))
    }

    fn with(limits: &Limits, starts: u32, pressed: Box<dyn Fn() -> bool + Send + Sync>) -> Arc<Pool<T>> {
        let (timeout, init) = (limits.function_timeout_seconds, limits.init_timeout_seconds);
        Arc::new(Pool {
            state: Mutex::new(State::new(limits, starts, pressed)),
            timing: Timing {
                idle: Duration::from_secs(limits.idle_instance_seconds),
                freeze_after: Duration::from_millis(limits.freeze_after_ms),
                retired: Duration::from_secs(u64::from(timeout) + u64::from(init) + 60),
            },
            idle: Notify::new(),
            quiet: Notify::new(),
            provision: watch::Sender::default(),
        })
    }

    pub(crate) fn admit(self: &Arc<Self>, version: &Arc<Version>) -> Result<Permit<T>, Refusal> {
        let source = self.state.lock().admit(version)?;
        Ok(Permit { pool: self.clone(), version: version.clone(), source })
    }

    /// An instance of this version that has never served another tenant, or a place in the queue for one.
    pub(crate) fn ask(self: &Arc<Self>, version: &Version, tenant: Option<&str>) -> Result<Asked<T>, Denied> {
        let now = Instant::now();
        // Ends after the lock does, so that no instance is ended under it.
        let (mut trash, mut state) = (Vec::new(), self.state.lock());
        if let Some(held) = state.take(&key(version, tenant), &version.id, now, &mut trash) {
            return Ok(Asked::Warm(held));
        }
        let (id, turns) = state.enqueue(Claim::of(version, tenant), Demand::Event, now)?;
        let ticket = Ticket { pool: self.clone(), id, turns };
        state.grant(self, now, &mut trash);
        drop(state);
        Ok(Asked::Wait(ticket))
    }

    /// A place in the queue for an instance that nobody waits for yet.
    pub(crate) fn ask_ahead(self: &Arc<Self>, version: &Version) -> Result<Ticket<T>, Denied> {
        let now = Instant::now();
        let (mut trash, mut state) = (Vec::new(), self.state.lock());
        let (id, turns) = state.enqueue(Claim::of(version, None), Demand::Ahead, now)?;
        let ticket = Ticket { pool: self.clone(), id, turns };
        state.grant(self, now, &mut trash);
        drop(state);
        Ok(ticket)
    }

    /// Waits for the ticket's next turn, and sees to it that a shortage of memory delays that no longer than it lasts.
    pub(crate) async fn turn(self: &Arc<Self>, ticket: &mut Ticket<T>) -> Turn<T> {
        loop {
            tokio::select! {
                biased;
                turn = ticket.next() => return turn,
                () = tokio::time::sleep(LOOK_AGAIN) => self.try_held_back(),
            }
        }
    }

    fn try_held_back(self: &Arc<Self>) {
        let (mut trash, mut state) = (Vec::new(), self.state.lock());
        if state.is_held_back() {
            state.grant(self, Instant::now(), &mut trash);
        }
        drop(state);
    }

    /// Takes an instance that is free again, or new and for nobody yet: the next who waits gets it, or it is
    /// kept. A new one counts as ready from then on, so that whoever is told of it also finds it.
    pub(crate) fn put(self: &Arc<Self>, mut held: Held<T>) {
        if let Some(freezer) = held.instance.freezer() {
            freezer.rest();
        }
        let mut trash = Vec::new();
        let new = !std::mem::replace(&mut held.slot.ready, true);
        let first = {
            let mut state = self.state.lock();
            if new {
                state.ready(&held.slot.claim);
            }
            let none = state.idle() == 0;
            state.offer(held, self, Instant::now(), &mut trash);
            none && state.idle() > 0
        };
        drop(trash);
        if first {
            self.idle.notify_waiters();
        }
        if new {
            self.provision.send_replace(());
        }
    }

    /// A new instance of this version has initialised.
    pub(crate) fn succeeded(&self, version: &Version) {
        self.state.lock().succeeded(&version.id);
    }

    /// A new instance has not initialised. Those who wait for one of their own are told.
    pub(crate) fn failed(&self, version: &Version, error: &FunctionError) {
        self.state.lock().failed(&version.function, &version.id, error, Instant::now());
        self.provision.send_replace(());
    }

    /// Instances of this version are of no use any more: idle ones end now, busy ones when they are done.
    pub(crate) fn retire(&self, version: &str) {
        let gone = self.state.lock().retire(version, Instant::now());
        drop(gone);
    }

    /// Replaces the set of versions that are to have instances ahead of demand.
    pub(crate) fn want(&self, wanted: Vec<(Arc<Version>, u32)>) {
        self.state.lock().want(wanted);
        self.provision.send_replace(());
    }

    /// Versions of which an instance is to be made now, once for each that is missing.
    pub(crate) fn missing(&self) -> Vec<Arc<Version>> {
        self.state.lock().missing(Instant::now())
    }

    /// An instance that was [missing](Pool::missing) has got its place, or has not and why.
    pub(crate) fn answered(&self, version: &Version, failure: Option<String>) {
        self.state.lock().answered(&version.id, failure, Instant::now());
        self.provision.send_replace(());
    }

    /// An instance ahead of demand could not be made, and why.
    pub(crate) fn unprovided(&self, version: &Version, failure: String) {
        self.state.lock().unprovided(&version.id, failure, Instant::now());
        self.provision.send_replace(());
    }

    /// Whether a provisioned version lacks instances.
    pub(crate) fn standing_short(&self) -> bool {
        self.state.lock().is_short()
    }

    pub(crate) fn standing(&self) -> Vec<Standing> {
        self.state.lock().standing()
    }

    /// Ends and freezes instances as they become due, for as long as the returned future is polled.
    pub(crate) async fn tend(self: Arc<Self>) {
        loop {
            let changed = self.idle.notified();
            match self.tend_once(Instant::now()) {
                Some(next) => tokio::time::sleep(next.clamp(SHORTEST_NAP, WATCH_PRESSURE)).await,
                None => changed.await,
            }
        }
    }

    /// Does what is due by `now`; how long it is until there is more to do.
    fn tend_once(&self, now: Instant) -> Option<Duration> {
        let (gone, freezers, next) = self.state.lock().tend(&self.timing, now);
        drop(gone);
        for freezer in freezers {
            freezer.freeze();
        }
        next
    }

    /// Takes nothing more, and comes back when nothing runs any more.
    pub(crate) async fn drain(&self) {
        let idle = self.state.lock().close();
        drop(idle);
        loop {
            let changed = self.quiet.notified();
            if self.state.lock().in_flight() == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts {
            instances: state.used(),
            idle: state.idle(),
            frozen: u32::try_from(state.frozen()).unwrap_or(u32::MAX),
            in_flight: state.in_flight(),
            waiting: state.waiting(),
        }
    }

    fn leave(&self, version: &Version, source: Source) {
        let mut state = self.state.lock();
        if state.leave(version, source) {
            self.quiet.notify_waiters();
        }
    }

    fn ready(&self, claim: &Claim) {
        self.state.lock().ready(claim);
        self.provision.send_replace(());
    }

    fn started(self: &Arc<Self>) {
        let (mut trash, mut state) = (Vec::new(), self.state.lock());
        state.started();
        state.grant(self, Instant::now(), &mut trash);
        drop(state);
    }

    fn give_back(self: &Arc<Self>, claim: &Claim, ready: bool) {
        let (mut trash, mut state) = (Vec::new(), self.state.lock());
        state.give_back(claim, ready);
        state.grant(self, Instant::now(), &mut trash);
        let wanted = state.wants(&claim.version);
        drop(state);
        if wanted {
            self.provision.send_replace(());
        }
    }

    fn forget(&self, id: u64) {
        self.state.lock().forget(id);
    }
}
