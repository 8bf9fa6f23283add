//! The tree under the memory tables: redb, written by the flusher alone, one transaction per flushed table.
//!
//! redb gives up a database handle for good after a failed write. The file is sound then, as its last commit left
//! it; so a failed flush ends with a fresh handle, and the table is flushed again later.

use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile};
use crate::engine::KeyRange;
use crate::error::is_full;
use crate::table::{Entry, Table};
use crate::{CommitError, Error, OpenError, Order, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const FIGURES: TableDefinition<'_, &str, u64> = TableDefinition::new("figures");
/// Every commit up to this version is in the tree.
const FLUSHED: &str = "flushed";
const CHUNK: usize = 1024;

pub(super) struct Tree {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache_bytes: usize,
    /// `None` while it cannot be opened again after a failure, and once closed.
    database: Mutex<Option<Database>>,
}

/// The tree as one flush left it. Later flushes do not change it.
pub(super) struct Base {
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) version: Version,
}

impl Tree {
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf, cache_bytes: usize) -> Result<Tree, OpenError> {
        let tree = Tree { disk, path, cache_bytes, database: Mutex::new(None) };
        let database = tree.open_database().map_err(|error| OpenError::Tree(error.to_string()))?;
        *tree.database.lock() = Some(database);
        Ok(tree)
    }

    fn open_database(&self) -> Result<Database, redb::Error> {
        let backend = Backend(self.disk.open(&self.path)?);
        let database = redb::Builder::new().set_cache_size(self.cache_bytes).create_with_backend(backend)?;
        if database.begin_read()?.open_table(ROWS).is_err() {
            let tx = database.begin_write()?;
            tx.open_table(ROWS)?;
            tx.open_table(FIGURES)?;
            tx.commit()?;
        }
        Ok(database)
    }

    pub(super) fn base(&self) -> Result<Base, Error> {
        let database = self.database.lock();
        let database = database.as_ref().ok_or_else(|| Error::Io("the tree is closed".into()))?;
        read_base(database).map_err(|error| Error::Io(error.to_string()))
    }

    /// Writes the newest versions of the table's rows, and `version` as flushed. Returns how many rows of the
    /// tree changed. Rows that are gone and never were in the tree cost a look, not a write.
    pub(super) fn flush(&self, table: &Table, version: Version) -> Result<u64, CommitError> {
        let mut guard = self.database.lock();
        if guard.is_none() {
            *guard = Some(self.open_database().map_err(refusal)?);
        }
        let outcome = match &*guard {
            Some(database) => write_rows(database, table, version),
            None => return Err(CommitError::Closed),
        };
        if outcome.is_err() {
            // The old handle first: two of them on one file would step on each other.
            *guard = None;
            *guard = self.open_database().ok();
        }
        outcome.map_err(refusal)
    }

    pub(super) fn close(&self) {
        *self.database.lock() = None;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.disk.open(&self.path).and_then(|file| file.len()).unwrap_or(0)
    }
}

fn read_base(database: &Database) -> Result<Base, redb::Error> {
    let tx = database.begin_read()?;
    let version = tx.open_table(FIGURES)?.get(FLUSHED)?.map_or(0, |version| version.value());
    Ok(Base { rows: tx.open_table(ROWS)?, version })
}

fn write_rows(database: &Database, table: &Table, version: Version) -> Result<u64, redb::Error> {
    let mut tx = database.begin_write()?;
    // Keeps what a recovery needs beside the data, so that opening after a kill does not walk the whole tree.
    tx.set_quick_repair(true);
    let mut changed = 0;
    {
        let mut rows = tx.open_table(ROWS)?;
        let mut start: Bound<Bytes> = Bound::Unbounded;
        loop {
            let from = start.as_ref().map(|key| &key[..]);
            let chunk = table.chunk((from, Bound::Unbounded), Order::Forward, Version::MAX, CHUNK, None);
            for (key, value) in &chunk {
                match value {
                    Some(value) => drop(rows.insert(&key[..], &value[..])?),
                    None if rows.get(&key[..])?.is_some() => drop(rows.remove(&key[..])?),
                    None => continue,
                }
                changed += 1;
            }
            match chunk.last() {
                Some((last, _)) if chunk.len() == CHUNK => start = Bound::Excluded(last.clone()),
                _ => break,
            }
        }
        tx.open_table(FIGURES)?.insert(FLUSHED, version)?;
    }
    tx.commit()?;
    Ok(changed)
}

fn refusal(error: redb::Error) -> CommitError {
    match error {
        redb::Error::Io(error) if is_full(&error) => CommitError::Full,
        other => CommitError::Io(other.to_string()),
    }
}

impl Base {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let value = self.rows.get(key).map_err(read_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    pub(super) fn cursor(&self, range: &KeyRange, order: Order) -> Result<TreeCursor, Error> {
        if range.is_empty() {
            return Ok(TreeCursor { rows: None, order });
        }
        let rows = self.rows.range::<&[u8]>(range.bounds()).map_err(read_error)?;
        Ok(TreeCursor { rows: Some(rows), order })
    }
}

pub(super) struct TreeCursor {
    rows: Option<redb::Range<'static, &'static [u8], &'static [u8]>>,
    order: Order,
}

impl Cursor for TreeCursor {
    fn next(&mut self) -> Result<Option<Entry>, Error> {
        let Some(rows) = &mut self.rows else { return Ok(None) };
        let row = match self.order {
            Order::Forward => rows.next(),
            Order::Reverse => rows.next_back(),
        };
        let Some((key, value)) = row.transpose().map_err(read_error)? else { return Ok(None) };
        let owned = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        Ok(Some((owned(key.value()), Some(owned(value.value())))))
    }
}

fn read_error(error: redb::StorageError) -> Error {
    match error {
        redb::StorageError::Corrupted(reason) => Error::corrupt("the tree", reason),
        other => Error::Io(other.to_string()),
    }
}

/// Puts redb on a [`DiskFile`]. It needs no locks: the store's LOCK file keeps other processes out.
struct Backend(Box<dyn DiskFile>);

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}
