//! The three candidates behind one face: rows are written in durable commits that waiting writers share.

use futures_util::future::BoxFuture;
use mayfly_store::{Durability, LocalOptions, Order, Store};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

pub type Key = Vec<u8>;
/// A value, or `None` to delete.
pub type Rows = Vec<(Key, Option<Vec<u8>>)>;

pub const CACHE_BYTES: usize = 64 * 1024 * 1024;

pub trait Engine: Send + Sync {
    /// Resolves once the rows are durable.
    fn write(&self, rows: Rows) -> BoxFuture<'static, ()>;
    fn get(&self, key: &[u8]) -> bool;
    /// The first `limit` keys from `start` on.
    fn scan(&self, start: &[u8], limit: usize) -> Vec<Key>;
    /// What has been written reaches its resting place, if the engine has a way to be told so.
    fn settle(&self) {}
}

pub const NAMES: [&str; 3] = ["mayfly", "redb", "fjall"];

pub fn open(name: &str, dir: &Path) -> Arc<dyn Engine> {
    match name {
        "mayfly" => Arc::new(Mayfly(Store::open(dir, LocalOptions::default()).unwrap())),
        "redb" => Arc::new(Redb::open(dir)),
        "fjall" => Arc::new(Fjall::open(dir)),
        other => panic!("no engine {other}"),
    }
}

struct Mayfly(Store);

impl Engine for Mayfly {
    fn write(&self, rows: Rows) -> BoxFuture<'static, ()> {
        let mut tx = self.0.begin();
        for (key, value) in rows {
            match value {
                Some(value) => tx.put(key, value),
                None => tx.delete(key),
            }
        }
        let ticket = tx.commit(Durability::Durable);
        Box::pin(async move { _ = ticket.await.unwrap() })
    }

    fn get(&self, key: &[u8]) -> bool {
        self.0.view().get(key).unwrap().is_some()
    }

    fn scan(&self, start: &[u8], limit: usize) -> Vec<Key> {
        let rows = self.0.view().range(Bound::Included(start), Bound::Unbounded, Order::Forward, limit);
        rows.unwrap().into_iter().map(|(key, _)| key.to_vec()).collect()
    }

    fn settle(&self) {
        while self.0.stats().memory_table_bytes > LocalOptions::default().memory_table_bytes as u64 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Group commit for engines that have none: one thread folds whatever waits into one commit.
struct Committer(Sender<(Rows, oneshot::Sender<()>)>);

impl Committer {
    fn start(mut commit: impl FnMut(Vec<Rows>) + Send + 'static) -> Committer {
        let (send, receive): (_, Receiver<(Rows, oneshot::Sender<()>)>) = channel();
        std::thread::spawn(move || {
            while let Ok(first) = receive.recv() {
                let mut waiting = vec![first];
                while waiting.len() < 4096
                    && let Ok(next) = receive.try_recv()
                {
                    waiting.push(next);
                }
                let (rows, done): (Vec<Rows>, Vec<_>) = waiting.into_iter().unzip();
                commit(rows);
                done.into_iter().for_each(|done| _ = done.send(()));
            }
        });
        Committer(send)
    }

    fn write(&self, rows: Rows) -> BoxFuture<'static, ()> {
        let (done, wait) = oneshot::channel();
        self.0.send((rows, done)).unwrap();
        Box::pin(async move { wait.await.unwrap() })
    }
}

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

struct Redb {
    database: Arc<Database>,
    committer: Committer,
}

impl Redb {
    fn open(dir: &Path) -> Redb {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("redb")).unwrap();
        let database = Arc::new(database);
        let tx = database.begin_write().unwrap();
        tx.open_table(ROWS).unwrap();
        tx.commit().unwrap();
        let writer = database.clone();
        let committer = Committer::start(move |groups| {
            let mut tx = writer.begin_write().unwrap();
            tx.set_quick_repair(true);
            {
                let mut table = tx.open_table(ROWS).unwrap();
                for (key, value) in groups.into_iter().flatten() {
                    match value {
                        Some(value) => drop(table.insert(&key[..], &value[..]).unwrap()),
                        None => drop(table.remove(&key[..]).unwrap()),
                    }
                }
            }
            tx.commit().unwrap();
        });
        Redb { database, committer }
    }
}

impl Engine for Redb {
    fn write(&self, rows: Rows) -> BoxFuture<'static, ()> {
        self.committer.write(rows)
    }

    fn get(&self, key: &[u8]) -> bool {
        let table = self.database.begin_read().unwrap().open_table(ROWS).unwrap();
        table.get(key).unwrap().is_some_and(|value| !value.value().to_vec().is_empty())
    }

    fn scan(&self, start: &[u8], limit: usize) -> Vec<Key> {
        let table = self.database.begin_read().unwrap().open_table(ROWS).unwrap();
        let rows = table.range::<&[u8]>((Bound::Included(start), Bound::Unbounded)).unwrap();
        let rows = rows.take(limit).map(|row| {
            let (key, value) = row.unwrap();
            drop(value.value().to_vec());
            key.value().to_vec()
        });
        rows.collect()
    }
}

struct Fjall {
    rows: fjall::Keyspace,
    committer: Committer,
}

impl Fjall {
    fn open(dir: &Path) -> Fjall {
        let database = fjall::Database::builder(dir).cache_size(CACHE_BYTES as u64).open().unwrap();
        let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).unwrap();
        let writer = rows.clone();
        let committer = Committer::start(move |groups| {
            let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
            for (key, value) in groups.into_iter().flatten() {
                match value {
                    Some(value) => batch.insert(&writer, key, value),
                    None => batch.remove(&writer, key),
                }
            }
            batch.commit().unwrap();
        });
        Fjall { rows, committer }
    }
}

impl Engine for Fjall {
    fn write(&self, rows: Rows) -> BoxFuture<'static, ()> {
        self.committer.write(rows)
    }

    fn get(&self, key: &[u8]) -> bool {
        self.rows.get(key).unwrap().is_some()
    }

    fn scan(&self, start: &[u8], limit: usize) -> Vec<Key> {
        let rows = self.rows.range::<&[u8], _>((Bound::Included(start), Bound::Unbounded));
        rows.take(limit).map(|row| row.into_inner().unwrap().0.to_vec()).collect()
    }

    fn settle(&self) {
        self.rows.rotate_memtable_and_wait().unwrap();
    }
}
