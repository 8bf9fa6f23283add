//! What handlers derive from the store again and again, remembered until something it was read from changes.
//!
//! Each thing that is remembered has a version, a counter in the store that grows with whatever changes it.
//! While no counter of all has grown, nothing is read at all; otherwise the version is, and only what has
//! another one is derived anew. Counters grow before a commit is acknowledged ([`Changes`]): whoever was told
//! of a change meets it. The count of changes is asked before a transaction begins, so what is read in it is
//! at least as new as the count says.

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
    /// `version` says which state of the bus this transaction sees, at the cost of one read.
    pub(crate) fn bus(
        &self,
        key: &events::BusKey,
        version: impl FnOnce() -> Result<i64, Fault>,
        read: impl FnOnce() -> Result<events::Compiled, Fault>,
    ) -> Result<Arc<events::Compiled>, Fault> {
        self.memory.buses.find(self.buses_at, key, version, read)
    }
}

pub(crate) struct Memo<K, V> {
    changes: Changes,
    known: RwLock<HashMap<K, Known<V>>>,
}

struct Known<V> {
    /// The count of changes at which this was true.
    at: u64,
    version: i64,
    value: Arc<V>,
}

impl<K: Hash + Eq + Clone, V> Memo<K, V> {
    fn new(store: &Store, read_from: &[Space]) -> Memo<K, V> {
        Memo { changes: store.changes(read_from), known: RwLock::new(HashMap::new()) }
    }

    fn find(
        &self,
        at: u64,
        key: &K,
        version: impl FnOnce() -> Result<i64, Fault>,
        read: impl FnOnce() -> Result<V, Fault>,
    ) -> Result<Arc<V>, Fault> {
        let mut former = None;
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            if known.at == at {
                return Ok(known.value.clone());
            }
            former = Some((known.version, known.value.clone()));
        }
        // Something has changed, perhaps something else.
        let version = version()?;
        let value = match former {
            Some((of, value)) if of == version => value,
            Some(_) | None => Arc::new(read()?),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        if known.get(key).is_none_or(|other| other.at < at) {
            known.insert(key.clone(), Known { at, version, value: value.clone() });
        }
        Ok(value)
    }
}
