//! How many invocations may run at once: of a function and of its account. Too many are refused at once,
//! never queued, because that is what callers of AWS's API know and handle.

use mayfly_kernel::Arn;
use mayfly_kernel::function::{Refusal, Version};
use std::collections::HashMap;

pub(super) struct Admission {
    account_limit: u32,
    /// Only functions and accounts that run something now.
    functions: HashMap<Arn, u32>,
    accounts: HashMap<String, u32>,
    in_flight: u32,
}

impl Admission {
    pub(super) fn new(account_limit: u32) -> Admission {
        Admission { account_limit, functions: HashMap::default(), accounts: HashMap::default(), in_flight: 0 }
    }

    pub(super) fn enter(&mut self, version: &Version) -> Result<(), Refusal> {
        let running = self.functions.get(&version.function).copied().unwrap_or(0);
        if version.reserved_concurrency.is_some_and(|reserved| running >= reserved) {
            return Err(Refusal::ReservedConcurrency);
        }
        let account = self.accounts.get(&version.function.account).copied().unwrap_or(0);
        if account >= self.account_limit {
            return Err(Refusal::AccountConcurrency);
        }
        self.in_flight += 1;
        count(&mut self.functions, &version.function);
        count(&mut self.accounts, &version.function.account);
        Ok(())
    }

    pub(super) fn leave(&mut self, function: &Arn) {
        self.in_flight -= 1;
        release(&mut self.functions, function);
        release(&mut self.accounts, &function.account);
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

/// Copies the key only for the first.
fn count<K: std::hash::Hash + Eq + Clone>(counts: &mut HashMap<K, u32>, key: &K) {
    match counts.get_mut(key) {
        Some(count) => *count += 1,
        None => drop(counts.insert(key.clone(), 1)),
    }
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
