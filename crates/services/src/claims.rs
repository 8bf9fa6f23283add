//! Rows that transactions under way mean to take.
//!
//! Receivers of one queue would all reach for its first messages, and all but one would lose at the commit.
//! So a handler claims a row before it relies on it, and whoever finds it claimed looks further. A claim is
//! held until its transaction is decided. It is a courtesy, never the truth: without any claims the same
//! handlers are as correct, because the commit itself refuses the second taker.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<HashSet<Vec<u8>>>>);

/// The claims of one attempt at a transaction; dropping it gives them up.
pub struct Held {
    claims: Claims,
    keys: Vec<Vec<u8>>,
}

impl Claims {
    pub(crate) fn nothing_held(&self) -> Held {
        Held { claims: self.clone(), keys: Vec::new() }
    }
}

impl Held {
    /// Hands the claims on.
    pub(crate) fn take(&mut self) -> Held {
        Held { claims: self.claims.clone(), keys: std::mem::take(&mut self.keys) }
    }

    /// Claims a row; false if another transaction has.
    pub(crate) fn claim(&mut self, key: Vec<u8>) -> bool {
        let mut claimed = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keys.contains(&key) {
            return true;
        }
        let free = claimed.insert(key.clone());
        if free {
            self.keys.push(key);
        }
        free
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut claimed = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            claimed.remove(key);
        }
    }
}
