//! What handlers derive from the store again and again, remembered until something it was read from changes.
//!
//! Everything kept is dropped as soon as a commit touches any map that it was read from, and that is before the
//! commit is acknowledged ([`Changes`]): whoever was told of a change meets it. The count of changes is asked
//! before a transaction begins, so what is read in it is at least as new as the count says.

use crate::events;
use mayfly_kernel::Fault;
use mayfly_store::{Changes, Space, Store};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

/// When so many are kept, all are forgotten: a bound, not a policy.
const KEPT_MAX: usize = 4096;

/// Everything that is remembered.
pub(crate) struct Memory {
    pub(crate) buses: Memo<events::BusKey, events::Compiled>,
}

impl Memory {
    pub(crate) fn of(store: &Store) -> Memory {
        Memory { buses: Memo::new(store, &events::READ_FROM) }
    }

    /// What is asked of it while a transaction runs that begins after this.
    pub(crate) fn recall(&self) -> Recall<'_> {
        Recall { memory: self, buses_at: self.buses.changes.count() }
    }
}

/// The memory, as a transaction may use it.
#[derive(Clone, Copy)]
pub(crate) struct Recall<'a> {
    memory: &'a Memory,
    buses_at: u64,
}

impl Recall<'_> {
    pub(crate) fn bus(
        &self,
        key: &events::BusKey,
        read: impl FnOnce() -> Result<events::Compiled, Fault>,
    ) -> Result<Arc<events::Compiled>, Fault> {
        self.memory.buses.find(self.buses_at, key, read)
    }
}

pub(crate) struct Memo<K, V> {
    changes: Changes,
    known: RwLock<Known<K, V>>,
}

struct Known<K, V> {
    /// The count of changes at which all of these were true.
    at: u64,
    by_key: HashMap<K, Arc<V>>,
}

impl<K: Hash + Eq + Clone, V> Memo<K, V> {
    fn new(store: &Store, read_from: &[Space]) -> Memo<K, V> {
        Memo {
            changes: store.changes(read_from),
            known: RwLock::new(Known { at: 0, by_key: HashMap::new() }),
        }
    }

    fn find(&self, at: u64, key: &K, read: impl FnOnce() -> Result<V, Fault>) -> Result<Arc<V>, Fault> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = known.by_key.get(key).filter(|_| known.at == at) {
                return Ok(found.clone());
            }
        }
        let found = Arc::new(read()?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.at < at || known.by_key.len() >= KEPT_MAX {
            *known = Known { at: at.max(known.at), by_key: HashMap::new() };
        }
        if known.at == at {
            known.by_key.insert(key.clone(), found.clone());
        }
        Ok(found)
    }
}
