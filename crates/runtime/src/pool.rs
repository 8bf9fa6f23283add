//! Who may run now, and on which instance.
//!
//! Admission counts invocations, of a function and of its account, and refuses at once: the platform's answer to too
//! much is a throttle, not a queue. Instances are kept by version id and taken last in, first out, so that a quiet
//! function soon has few. Every idle one ends after a while, or when the node needs its place.

use crate::instance::Instance;
use mayfly_kernel::function::{Refusal, Version};
use mayfly_kernel::{Arn, Limits};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

pub(crate) struct Pool {
    state: Mutex<State>,
    account_limit: u32,
    node_limit: u32,
    idle_limit: Duration,
    /// Something became idle, or the last invocation ended.
    changed: Notify,
}

#[derive(Default)]
struct State {
    draining: bool,
    /// Only functions that run now.
    functions: HashMap<Arn, Running>,
    accounts: HashMap<String, u32>,
    in_flight: u32,
    instances: u32,
    /// By version id, oldest first.
    idle: HashMap<String, Vec<Idle>>,
}

#[derive(Default)]
struct Running {
    in_flight: u32,
    /// How often the function changed while it ran: an instance of an earlier epoch is not kept.
    epoch: u64,
}

struct Idle {
    instance: Instance,
    since: Instant,
}

/// The right to run one invocation; given back when dropped.
pub(crate) struct Permit {
    pool: Arc<Pool>,
    function: Arn,
    epoch: u64,
}

/// The place of one instance on this node; given back when dropped.
pub(crate) struct Slot {
    pool: Arc<Pool>,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::default(),
            account_limit: limits.account_concurrency,
            node_limit: limits.node_instances,
            idle_limit: Duration::from_secs(limits.idle_instance_seconds),
            changed: Notify::new(),
        })
    }

    pub(crate) fn admit(self: &Arc<Pool>, version: &Version) -> Result<Permit, Refusal> {
        let mut state = self.state.lock();
        if state.draining {
            return Err(Refusal::Draining);
        }
        let running = state.functions.get(&version.function).map_or(0, |running| running.in_flight);
        if version.reserved_concurrency.is_some_and(|reserved| running >= reserved) {
            return Err(Refusal::ReservedConcurrency);
        }
        let account = state.accounts.get(&version.function.account).copied().unwrap_or(0);
        if account >= self.account_limit {
            return Err(Refusal::AccountConcurrency);
        }
        state.in_flight += 1;
        *state.accounts.entry(version.function.account.clone()).or_default() += 1;
        let running = state.functions.entry(version.function.clone()).or_default();
        running.in_flight += 1;
        Ok(Permit { pool: self.clone(), function: version.function.clone(), epoch: running.epoch })
    }

    /// The instance of this version that was used last, if one is idle.
    pub(crate) fn take(&self, version_id: &str) -> Option<Instance> {
        loop {
            let mut state = self.state.lock();
            let idle = state.idle.get_mut(version_id)?;
            let Some(last) = idle.pop() else {
                state.idle.remove(version_id);
                return None;
            };
            drop(state);
            if last.instance.is_alive() {
                return Some(last.instance);
            }
        }
    }

    /// A place for a new instance, if need be that of the one that has been idle longest.
    pub(crate) fn slot(self: &Arc<Pool>) -> Result<Slot, Refusal> {
        let mut evicted = None;
        {
            let mut state = self.state.lock();
            if state.instances >= self.node_limit {
                evicted = Some(state.pop_oldest().ok_or(Refusal::NodeFull)?);
            }
            state.instances += 1;
        }
        drop(evicted);
        Ok(Slot { pool: self.clone() })
    }

    /// Keeps an instance for the next invocation, unless its function has changed since `permit` was given.
    pub(crate) fn put(&self, instance: Instance, permit: &Permit) {
        let mut state = self.state.lock();
        let current = state.functions.get(&permit.function).is_some_and(|now| now.epoch == permit.epoch);
        if state.draining || !current {
            drop(state);
            drop(instance);
            return;
        }
        let idle = state.idle.entry(instance.version().id.clone()).or_default();
        idle.push(Idle { instance, since: Instant::now() });
        drop(state);
        self.changed.notify_waiters();
    }

    pub(crate) fn retire(&self, function: &Arn) {
        let mut state = self.state.lock();
        if let Some(running) = state.functions.get_mut(function) {
            running.epoch += 1;
        }
        let (stale, kept) =
            std::mem::take(&mut state.idle).into_iter().partition(|(_, idle): &(_, Vec<Idle>)| {
                idle.first().is_some_and(|one| one.instance.version().function == *function)
            });
        state.idle = kept;
        drop(state);
        drop::<HashMap<_, _>>(stale);
    }

    /// Ends instances that have been idle too long, for as long as the returned future is polled.
    pub(crate) async fn reap(self: Arc<Pool>) {
        loop {
            let changed = self.changed.notified();
            match self.reap_once(Instant::now()) {
                // Woken at most once a second, however many expire.
                Some(next) => tokio::time::sleep(next.max(Duration::from_secs(1))).await,
                None => changed.await,
            }
        }
    }

    /// Ends what has expired by `now`; how long it is until the next one does.
    fn reap_once(&self, now: Instant) -> Option<Duration> {
        let mut expired = Vec::new();
        let mut state = self.state.lock();
        for idle in state.idle.values_mut() {
            let count =
                idle.iter().take_while(|one| now.duration_since(one.since) >= self.idle_limit).count();
            expired.extend(idle.drain(..count));
        }
        state.idle.retain(|_, idle| !idle.is_empty());
        let oldest = state.idle.values().filter_map(|idle| idle.first()).map(|one| one.since).min();
        drop(state);
        oldest.map(|since| (since + self.idle_limit).saturating_duration_since(now))
    }

    /// Takes nothing more, and comes back when nothing runs any more.
    pub(crate) async fn drain(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.draining = true;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        loop {
            let changed = self.changed.notified();
            if self.state.lock().in_flight == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Instances, idle instances, invocations.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let state = self.state.lock();
        let idle = state.idle.values().map(Vec::len).sum::<usize>();
        (state.instances, u32::try_from(idle).unwrap_or(u32::MAX), state.in_flight)
    }
}

impl State {
    fn pop_oldest(&mut self) -> Option<Idle> {
        let (id, _) = self
            .idle
            .iter()
            .filter_map(|(id, idle)| idle.first().map(|one| (id.clone(), one.since)))
            .min_by_key(|(_, since)| *since)?;
        let idle = self.idle.get_mut(&id)?;
        let oldest = idle.remove(0);
        if idle.is_empty() {
            self.idle.remove(&id);
        }
        Some(oldest)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.in_flight -= 1;
        if let Some(account) = state.accounts.get_mut(&self.function.account) {
            *account -= 1;
            if *account == 0 {
                state.accounts.remove(&self.function.account);
            }
        }
        if let Some(running) = state.functions.get_mut(&self.function) {
            running.in_flight -= 1;
            if running.in_flight == 0 {
                state.functions.remove(&self.function);
            }
        }
        let last = state.in_flight == 0 && state.draining;
        drop(state);
        if last {
            self.pool.changed.notify_waiters();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.state.lock().instances -= 1;
    }
}
