//! The handle that everything else holds.

use crate::engine::{Engine, Stats};
use crate::local::{Local, LocalOptions};
use crate::memory::Memory;
use crate::timeline::Reader;
use crate::{Changes, OpenError, Space, Tx, Watch};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// An ordered transactional key space. Clones are handles to the same one.
#[derive(Clone)]
pub struct Store(Arc<dyn Engine>);

impl Store {
    /// A store that lives in memory and dies with the process.
    pub fn memory() -> Store {
        Store(Arc::new(Memory::new()))
    }

    /// Opens the store that lives in `dir`, or makes one there. Blocking: it replays what the last process had not
    /// yet moved into the tree.
    pub fn open(dir: &Path, options: LocalOptions) -> Result<Store, OpenError> {
        Ok(Store(Arc::new(Local::open(dir, options)?)))
    }

    /// A transaction at the newest version. What it reads is recorded and checked at its commit.
    pub fn begin(&self) -> Tx {
        Tx::new(self.0.clone(), Reader::Transaction)
    }

    /// The newest version, to read only. Cheaper than [`Store::begin`]: nothing is recorded.
    pub fn view(&self) -> Tx {
        Tx::new(self.0.clone(), Reader::View)
    }

    /// Watches all keys that begin with `prefix`, from now on.
    pub fn watch(&self, prefix: &[u8]) -> Watch {
        self.0.watches().register(prefix)
    }

    /// Counts the commits that touch any of these maps, from now on.
    pub fn changes(&self, spaces: &[Space]) -> Changes {
        let prefixes: Vec<_> =
            spaces.iter().map(|space| Bytes::copy_from_slice(&space.0.to_be_bytes())).collect();
        self.0.watches().count(&prefixes)
    }

    /// Makes everything durable and stops the engine. Commits answer `Closed` from then on.
    pub fn close(&self) {
        self.0.close();
    }

    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}
