//! Templates: for versions with SnapStart, processes that have run the module code and wait to be forked.
//!
//! There is one for each such version that was used lately. It is made when the version is published, and
//! again in the background when an instance is wanted and it is gone; meanwhile instances start without it.
//! A process whose state cannot be copied by a fork says so, and its version does without. How instances
//! are forked is the launcher's affair (`launcher::keeper`).
//!
//! One fork is always made ahead, and after each start that found none another: it stands in its own
//! sandbox and waits to be told that it is an instance, as an interpreter waits for its code
//! ([`crate::prewarm`]).

use crate::instance::{Instance, Source};
use crate::pool::Gauge;
use crate::prewarm::Prewarmed;
use crate::sandbox::{Forks, Launcher, SpawnError};
use mayfly_kernel::Limits;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often use and memory pressure are looked at.
const WATCH: Duration = Duration::from_secs(5);
/// What a template holds of its environment, credentials among it, is not to become older.
const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// A fork that does not ask who it is by then never will.
const FORK_LIMIT: Duration = Duration::from_secs(20);
/// Versions of which it is remembered that they do without.
const UNFIT: usize = 1024;

/// A process from which instances are forked, and its sandbox. Lives for as long as they do.
pub(crate) struct Template {
    pub(crate) instance: Instance,
    pub(crate) forks: Forks,
}

impl Template {
    /// Forks one that waits to be told that it is an instance.
    async fn fork(&self, launcher: &Launcher) -> Result<Prewarmed, SpawnError> {
        let (sandbox, doors) = self.forks.fork(launcher.next_id()).await?;
        let (first, _) = doors.runtime_api.accept().await?;
        first.readable().await?;
        Ok(Prewarmed { sandbox, doors, first })
    }
}

/// All templates of this node.
pub(crate) struct Templates {
    known: Mutex<Vec<Known>>,
    limit: usize,
    idle: Duration,
    /// How many forks of one template may wait.
    waiting: usize,
    pressure: Gauge,
    /// One was made.
    made: Notify,
    /// Whether this machine can fork from them at all.
    possible: bool,
}

struct Known {
    version: String,
    used: Instant,
    state: State,
}

enum State {
    Making,
    Ready(Ready),
    /// It cannot be forked.
    Unfit,
}

struct Ready {
    template: Arc<Template>,
    since: Instant,
    waiting: Vec<Prewarmed>,
    making: usize,
    /// How many are to wait.
    wanted: usize,
}

impl Ready {
    fn is_alive(&self) -> bool {
        self.template.instance.sandbox.is_alive()
    }
}

/// Who is to make a template.
pub(crate) enum Turn {
    /// Whoever asked.
    Make,
    /// Nobody: it is there, or somebody makes it.
    There,
    No(&'static str),
}

impl Templates {
    pub(crate) fn new(limits: &Limits, possible: bool) -> Templates {
        let idle = Duration::from_secs(limits.idle_template_seconds);
        Templates {
            known: Mutex::default(),
            limit: limits.templates,
            idle,
            waiting: limits.prewarmed_instances,
            pressure: Gauge::default(),
            made: Notify::new(),
            possible: possible && limits.templates > 0,
        }
    }

    /// The template of this version, if there is one, and a fork of it that waits.
    pub(crate) fn take(&self, version: &str) -> Option<Source> {
        let mut known = self.known.lock();
        let one = known.iter_mut().find(|one| one.version == version)?;
        one.used = Instant::now();
        match &mut one.state {
            State::Ready(ready) if ready.is_alive() => {
                let waits = ready.waiting.pop().filter(|one| one.sandbox.is_alive());
                if waits.is_none() {
                    ready.wanted = self.waiting.min(ready.wanted + 1);
                }
                Some(Source::Template(ready.template.clone(), waits.map(Box::new)))
            }
            State::Ready(_) | State::Making | State::Unfit => None,
        }
    }

    /// Forks ahead until there are enough that wait; `false` if it turns out that the template is of no use.
    pub(crate) async fn refill(&self, version: &str, launcher: &Launcher) -> bool {
        while let Some(template) = self.lacking(version) {
            let made = tokio::time::timeout(FORK_LIMIT, template.fork(launcher)).await;
            let made = made.unwrap_or(Err(SpawnError::Timeout));
            let unused = {
                let mut known = self.known.lock();
                let ready = known.iter_mut().find_map(|one| match &mut one.state {
                    State::Ready(ready) if Arc::ptr_eq(&ready.template, &template) => Some(ready),
                    State::Ready(_) | State::Making | State::Unfit => None,
                });
                match (ready, made) {
                    (Some(ready), Ok(waits)) => {
                        ready.making -= 1;
                        ready.waiting.push(waits);
                        None
                    }
                    (_, made) => Some(made),
                }
            };
            match unused {
                None | Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "a template is of no use");
                    self.forget_template(&template);
                    return false;
                }
            }
        }
        true
    }

    /// The template of this version, if one more of its forks is to wait.
    fn lacking(&self, version: &str) -> Option<Arc<Template>> {
        let mut known = self.known.lock();
        let one = known.iter_mut().find(|one| one.version == version)?;
        let State::Ready(ready) = &mut one.state else { return None };
        ready.waiting.retain(|one| one.sandbox.is_alive());
        let lacks = ready.waiting.len() + ready.making < ready.wanted;
        if !lacks || !ready.is_alive() || self.pressure.pressed() {
            return None;
        }
        ready.making += 1;
        Some(ready.template.clone())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        let ready = |one: &&Known| matches!(&one.state, State::Ready(ready) if ready.is_alive());
        u32::try_from(self.known.lock().iter().filter(ready).count()).unwrap_or(u32::MAX)
    }

    /// How many of their forks wait.
    pub(crate) fn waiting(&self) -> u32 {
        let waiting = |one: &Known| match &one.state {
            State::Ready(ready) => ready.waiting.len(),
            State::Making | State::Unfit => 0,
        };
        u32::try_from(self.known.lock().iter().map(waiting).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// Whether the caller is to make the template of this version now.
    pub(crate) fn begin(&self, version: &str) -> Turn {
        if !self.possible {
            return Turn::No("this machine cannot fork instances; `mayfly doctor` says why");
        }
        if self.pressure.pressed() {
            return Turn::No("this machine is short of memory");
        }
        let mut known = self.known.lock();
        let dead = |one: &Known| matches!(&one.state, State::Ready(ready) if !ready.is_alive());
        known.retain(|one| one.version != version || !dead(one));
        match known.iter().find(|one| one.version == version).map(|one| &one.state) {
            Some(State::Unfit) => return Turn::No("its process cannot be forked"),
            Some(State::Making | State::Ready(_)) => return Turn::There,
            None => {}
        }
        known.push(Known { version: version.to_owned(), used: Instant::now(), state: State::Making });
        Turn::Make
    }

    /// It is made.
    pub(crate) fn ready(&self, version: &str, template: Arc<Template>) {
        let evicted = {
            let mut known = self.known.lock();
            // Otherwise it was forgotten meanwhile, because its version was deleted.
            let Some(one) = known.iter_mut().find(|one| one.version == version) else { return };
            let (waiting, wanted) = (Vec::new(), self.waiting.min(1));
            let since = Instant::now();
            let ready = Ready { template, since, waiting, making: 0, wanted };
            (one.state, one.used) = (State::Ready(ready), since);
            let ready = known.iter().filter(|one| matches!(one.state, State::Ready(_)));
            let least = ready.clone().min_by_key(|one| one.used).map(|one| one.version.clone());
            match (ready.count() > self.limit, least) {
                (true, Some(least)) => take_out(&mut known, |one| one.version == least),
                _ => Vec::new(),
            }
        };
        drop(evicted);
        self.made.notify_one();
    }

    /// It cannot be made, now or at all.
    pub(crate) fn failed(&self, version: &str, unfit: bool) {
        let mut known = self.known.lock();
        let others = known.iter().filter(|one| matches!(one.state, State::Unfit)).count();
        match known.iter_mut().find(|one| one.version == version) {
            Some(one) if unfit && others < UNFIT => one.state = State::Unfit,
            _ => known.retain(|one| one.version != version),
        }
    }

    /// This very template is of no use any more.
    pub(crate) fn forget_template(&self, template: &Arc<Template>) {
        let is_it = |one: &Known| matches!(&one.state, State::Ready(r) if Arc::ptr_eq(&r.template, template));
        let gone = take_out(&mut self.known.lock(), is_it);
        drop(gone);
    }

    /// The version is of no use any more.
    pub(crate) fn forget(&self, version: &str) {
        let gone = take_out(&mut self.known.lock(), |one| one.version == version);
        drop(gone);
    }

    /// Stops what nothing was forked from for long, and on a machine that is short of memory everything.
    /// Instances that were forked go on.
    pub(crate) async fn tend(&self) {
        loop {
            if self.count() == 0 {
                self.made.notified().await;
            }
            tokio::time::sleep(WATCH).await;
            let pressed = self.pressure.pressed();
            let due = |one: &Known| match &one.state {
                State::Ready(ready) => {
                    pressed || one.used.elapsed() >= self.idle || ready.since.elapsed() >= OLDEST
                }
                State::Making | State::Unfit => false,
            };
            let gone = take_out(&mut self.known.lock(), due);
            drop(gone);
        }
    }
}

/// What is taken out is to be dropped without the lock.
fn take_out(known: &mut Vec<Known>, which: impl Fn(&Known) -> bool) -> Vec<Known> {
    known.extract_if(.., |one| which(one)).collect()
}
