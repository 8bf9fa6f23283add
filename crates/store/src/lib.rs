//! Mayfly's state: an ordered transactional key space, and bytes beside it.
//!
//! A [`Store`] is one ordered space of byte keys. A [`Tx`] reads it at a snapshot, sees its own writes, and
//! records what it read; its commit succeeds only if nothing it read has changed since, so the outcome is
//! always that of some one-at-a-time order (serialisable, write skew and phantoms included). Whoever loses runs
//! again. [`Map`]s give keys and values types; [`Watch`]es tell when a part of the space has changed; [`Blobs`]
//! hold what is too large for a row.
//!
//! Engines stand behind one small trait: [`Store::memory`] is the model, for tests and simulation, and
//! [`Store::open`] is the embedded engine, where a commit that was acknowledged as durable survives kill -9 and
//! power loss. One conformance suite holds them to the same behaviour.
//!
//! Not here: clocks and randomness, any service's key layout, secondary indexes (they are rows that their owner
//! writes in the same transaction), and replication.

mod blobs;
mod cover;
mod cursor;
pub mod disk;
mod engine;
mod error;
mod history;
mod keys;
mod local;
mod map;
mod memory;
mod store;
mod table;
mod ticket;
mod timeline;
mod tx;
mod watch;

pub use blobs::{BlobInfo, BlobWriter, Blobs};
pub use engine::Stats;
pub use error::{CommitError, Error, OpenError, Over};
pub use keys::{Desc, KeyLike, KeyPart, KeyPrefix, KeyTuple, PartLike};
pub use local::LocalOptions;
pub use map::{Map, Raw, Record, Scan, Space, Tally};
pub use store::Store;
pub use ticket::Ticket;
pub use tx::Tx;
pub use watch::{Changes, Watch};

/// The place of a commit in the store's one order. Strictly increasing; numbers may be skipped.
pub type Version = u64;

/// When a commit may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk.
    Durable,
    /// At once. It stays in order after everything before it and reaches the disk with the next durable commit,
    /// or within 100 ms: that much may be lost in a power cut, never anything before it.
    Relaxed,
}

/// The direction of a range read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forward,
    Reverse,
}
