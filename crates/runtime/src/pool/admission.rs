//! How many invocations may run at once: of a function, and of those of an account that share. Too many are
//! refused at once, never queued, because that is what callers of AWS's API know and handle.
//!
//! What is reserved is a guarantee and not only a bound: a function with a reservation is asked about its own
//! invocations alone, and all others share what the account has left. Provisioned instances are a version's
//! own in the same way: out of its function's reservation, or else out of what is shared. An invocation
//! beyond them is one like any other.

use mayfly_kernel::Arn;
use mayfly_kernel::function::{Concurrency, Refusal, Version};
use std::collections::HashMap;
use std::hash::Hash;

/// So many keys are kept although nothing of them runs.
const KEPT: usize = 1000;

#[derive(Default)]
pub(super) struct Admission {
    /// All that run, by function.
    running: Tally<Arn>,
    /// Of those, the ones that take their version's provisioned part, by version and by function.
    ahead: Tally<String>,
    ahead_of: Tally<Arn>,
    /// Of those, the ones that take a part of what an account's functions share.
    shared: Tally<Account>,
    in_flight: u32,
    /// What is provisioned.
    provisioned: Provisioned,
}

/// What an invocation takes its right to run from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Provisioned,
    Reserved,
    Shared,
}

/// An account in a region: `ACCOUNT REGION`.
type Account = String;

fn account(function: &Arn) -> Account {
    [&*function.account, " ", &function.region].concat()
}

#[derive(Default)]
struct Provisioned {
    of_version: HashMap<String, u32>,
    of_function: HashMap<Arn, u32>,
    /// Of functions that reserve nothing.
    of_account: HashMap<Account, u32>,
}

impl Admission {
    /// Replaces what is provisioned.
    pub(super) fn provision<'a>(&mut self, all: impl Iterator<Item = (&'a Version, u32)>) {
        let mut provisioned = Provisioned::default();
        for (version, count) in all {
            let function = &version.function;
            *provisioned.of_version.entry(version.id.clone()).or_default() += count;
            *provisioned.of_function.entry(function.clone()).or_default() += count;
            if let Concurrency::Shared(_) = version.concurrency {
                *provisioned.of_account.entry(account(function)).or_default() += count;
            }
        }
        self.provisioned = provisioned;
    }

    pub(super) fn enter(&mut self, version: &Version) -> Result<Source, Refusal> {
        let source = self.source(version)?;
        self.in_flight += 1;
        self.running.add(&version.function);
        match source {
            Source::Provisioned => {
                self.ahead.add(&version.id);
                self.ahead_of.add(&version.function);
            }
            // What is shared was taken when it was found.
            Source::Reserved | Source::Shared => {}
        }
        Ok(source)
    }

    pub(super) fn leave(&mut self, version: &Version, source: Source) {
        self.in_flight -= 1;
        self.running.take(&version.function);
        match source {
            Source::Provisioned => {
                self.ahead.take(&version.id);
                self.ahead_of.take(&version.function);
            }
            Source::Reserved => {}
            Source::Shared => self.shared.take(&account(&version.function)),
        }
    }

    fn source(&mut self, version: &Version) -> Result<Source, Refusal> {
        let (function, provisioned) = (&version.function, &self.provisioned);
        let own = provisioned.of_version.get(&version.id).copied().unwrap_or(0);
        let ahead = own > self.ahead.of(&version.id);
        match version.concurrency {
            Concurrency::Reserved(limit) => {
                let running = self.running.of(function);
                // What is provisioned stays free for its version.
                let held = provisioned.of_function.get(function).copied().unwrap_or(0);
                match running < limit {
                    true if ahead => Ok(Source::Provisioned),
                    true if running - self.ahead_of.of(function) < limit.saturating_sub(held) => {
                        Ok(Source::Reserved)
                    }
                    true | false => Err(Refusal::ReservedConcurrency),
                }
            }
            Concurrency::Shared(_) if ahead => Ok(Source::Provisioned),
            Concurrency::Shared(limit) => {
                let account = account(function);
                let held = provisioned.of_account.get(&account).copied().unwrap_or(0);
                match self.shared.add_below(account, limit.saturating_sub(held)) {
                    true => Ok(Source::Shared),
                    false => Err(Refusal::AccountConcurrency),
                }
            }
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether nothing at all is counted.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let counted = self.running.sum() + self.ahead.sum() + self.ahead_of.sum() + self.shared.sum();
        self.in_flight == 0 && counted == 0
    }
}

/// Counts. What has come down to nought is kept while there is little: its next is likely to come, and would copy the
/// key again.
struct Tally<K>(HashMap<K, u32>);

impl<K> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally(HashMap::default())
    }
}

impl<K: Hash + Eq + Clone> Tally<K> {
    fn of(&self, key: &K) -> u32 {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// Copies the key only for the first.
    fn add(&mut self, key: &K) {
        match self.0.get_mut(key) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(key.clone(), 1)),
        }
    }

    /// Counts one more, unless there are so many already.
    fn add_below(&mut self, key: K, limit: u32) -> bool {
        match self.0.get_mut(&key) {
            Some(count) if *count < limit => *count += 1,
            None if limit > 0 => drop(self.0.insert(key, 1)),
            Some(_) | None => return false,
        }
        true
    }

    fn take(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 && self.0.len() > KEPT {
                self.0.remove(key);
            }
        }
    }

    #[cfg(test)]
    fn sum(&self) -> u32 {
        self.0.values().sum()
    }
}
