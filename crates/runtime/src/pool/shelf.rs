//! Idle instances, and which of them is of the least use.

use super::{Held, Pooled};
use mayfly_kernel::Arn;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Uses count half as much after this long.
const HALF_LIFE: Duration = Duration::from_secs(60);

pub(super) struct Shelf<T: Pooled> {
    /// By key, oldest first. Taken from the end, so that a function that grows quiet soon has few.
    idle: HashMap<String, Vec<Idle<T>>>,
    count: u32,
    /// How much each key has been used lately.
    uses: HashMap<String, Use>,
}

struct Idle<T: Pooled> {
    held: Held<T>,
    since: Instant,
    frozen: bool,
}

#[derive(Clone, Copy)]
struct Use {
    score: f64,
    at: Instant,
}

impl Use {
    fn at(self, now: Instant) -> f64 {
        let halvings = now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.score * (-halvings).exp2()
    }
}

/// How little an instance is worth: the longer it has been idle, the more memory its function holds and the
/// less its version and tenant have been used lately, the sooner it goes. So a function with many tenants
/// makes room for itself before it takes the one instance of another.
fn uselessness(idle: Duration, bytes: u64, recent_uses: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rough figure is all that is wanted")]
    let mib = bytes as f64 / (1024.0 * 1024.0);
    idle.as_secs_f64() * mib / (1.0 + recent_uses)
}

impl<T: Pooled> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { idle: HashMap::default(), count: 0, uses: HashMap::default() }
    }
}

impl<T: Pooled> Shelf<T> {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.idle.values().flatten().map(|one| &one.held.instance)
    }

    /// How many with this key.
    pub(super) fn of_key(&self, key: &str) -> u32 {
        self.idle.get(key).map_or(0, |idle| u32::try_from(idle.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn put(&mut self, held: Held<T>, now: Instant) {
        self.count += 1;
        let key = held.key().to_owned();
        self.idle.entry(key).or_default().push(Idle { held, since: now, frozen: false });
    }

    /// The one that was used last.
    pub(super) fn take(&mut self, key: &str) -> Option<Held<T>> {
        let idle = self.idle.get_mut(key)?;
        let last = idle.pop()?;
        if idle.is_empty() {
            self.idle.remove(key);
        }
        self.count -= 1;
        Some(last.held)
    }

    /// Notes that an instance with this key was asked for.
    pub(super) fn used(&mut self, key: &str, now: Instant) {
        match self.uses.get_mut(key) {
            Some(known) => *known = Use { score: known.at(now) + 1.0, at: now },
            None => drop(self.uses.insert(key.to_owned(), Use { score: 1.0, at: now })),
        }
    }

    /// Takes out the instance that is of the least use, of those that may go. `share` tells the bytes that a
    /// function's instances take.
    pub(super) fn least_useful(
        &mut self,
        now: Instant,
        share: impl Fn(&Arn) -> u64,
        may_go: impl Fn(&Held<T>) -> bool,
    ) -> Option<Held<T>> {
        let worth = |key: &str, one: &Idle<T>| {
            let uses = self.uses.get(key).map_or(0.0, |uses| uses.at(now));
            uselessness(now.saturating_duration_since(one.since), share(one.held.function()), uses)
        };
        let candidates = self.idle.iter().filter_map(|(key, idle)| {
            let oldest = idle.first().filter(|one| may_go(&one.held))?;
            Some((key, worth(key, oldest)))
        });
        let key = candidates.max_by(|a, b| a.1.total_cmp(&b.1))?.0.clone();
        let idle = self.idle.get_mut(&key)?;
        let oldest = idle.remove(0);
        if idle.is_empty() {
            self.idle.remove(&key);
        }
        self.count -= 1;
        Some(oldest.held)
    }

    /// Takes out everything that `goes` says so of.
    pub(super) fn drain(
        &mut self,
        mut goes: impl FnMut(&Held<T>, Duration) -> bool,
        now: Instant,
    ) -> Vec<Held<T>> {
        let mut gone = Vec::new();
        for idle in self.idle.values_mut() {
            gone.extend(
                idle.extract_if(.., |one| goes(&one.held, now.saturating_duration_since(one.since)))
                    .map(|one| one.held),
            );
        }
        self.idle.retain(|_, idle| !idle.is_empty());
        self.count -= u32::try_from(gone.len()).unwrap_or(u32::MAX);
        gone
    }

    /// What `of` gives for each that has rested for `after` and has not been asked for this yet.
    pub(super) fn freezable<F>(
        &mut self,
        after: Duration,
        now: Instant,
        of: impl Fn(&T) -> Option<F>,
    ) -> Vec<F> {
        let mut found = Vec::new();
        for one in self.idle.values_mut().flatten() {
            if !one.frozen && now.saturating_duration_since(one.since) >= after {
                one.frozen = true;
                found.extend(of(&one.held.instance));
            }
        }
        found
    }

    /// When the oldest of all became idle.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.idle.values().filter_map(|idle| idle.first()).map(|one| one.since).min()
    }

    /// Forgets uses that count for nothing any more.
    pub(super) fn prune(&mut self, now: Instant) {
        let idle = &self.idle;
        self.uses.retain(|key, uses| idle.contains_key(key) || uses.at(now) > 0.01);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_useful_is_idle_long_large_and_seldom_used() {
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(50));
        let (small, large) = (128 << 20, 1024 << 20);
        assert!(uselessness(long, small, 1.0) > uselessness(short, small, 1.0));
        assert!(uselessness(short, large, 1.0) > uselessness(short, small, 1.0));
        assert!(uselessness(short, small, 1.0) > uselessness(short, small, 100.0));
        // A small one of a busy function outlives a large one that nobody uses, even if it has been idle
        // longer.
        assert!(uselessness(short, large, 1.0) > uselessness(long, small, 100.0));
    }

    #[test]
    fn uses_fade() {
        let at = Instant::now();
        let uses = Use { score: 8.0, at };
        assert!((uses.at(at + HALF_LIFE * 3) - 1.0).abs() < 0.001);
    }
}
