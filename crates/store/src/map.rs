//! Typed parts of the key space: a [`Map`] from keys to records, and [`Scan`]s over it.

use crate::engine::read_counter;
use crate::keys::{KeyLike, KeyPrefix, KeyTuple};
use crate::{Error, Order, Store, Tx, Watch};
use bytes::Bytes;
use std::marker::PhantomData;
use std::ops::Bound;

/// The first two bytes of every key of a map, big endian. Numbers are given out once and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u16);

/// A value that is stored. Every protobuf message is one; its field numbers are on disks and never change
/// meaning.
pub trait Record: Sized {
    fn encode(&self) -> Vec<u8>;
    /// Takes the stored bytes by reference count, so that byte fields need not be copied.
    fn decode(bytes: Bytes) -> Result<Self, Error>;
}

impl<M: prost::Message + Default> Record for M {
    fn encode(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        <M as prost::Message>::decode(bytes).map_err(|error| Error::corrupt("a record", error))
    }
}

/// Bytes as they are, without even a length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Bytes);

impl Record for Raw {
    fn encode(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn decode(bytes: Bytes) -> Result<Self, Error> {
        Ok(Raw(bytes))
    }
}

/// The rows of one space: keys `K` to records `V`. A constant, usually; it holds nothing but its number.
pub struct Map<K, V> {
    space: Space,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: KeyTuple, V: Record> Map<K, V> {
    pub const fn new(space: Space) -> Self {
        Map { space, types: PhantomData }
    }

    pub fn space(&self) -> Space {
        self.space
    }

    /// The bytes of a row's key.
    pub fn key(&self, key: &impl KeyLike<K>) -> Vec<u8> {
        let mut bytes = self.space.0.to_be_bytes().to_vec();
        key.write_like(&mut bytes);
        bytes
    }

    /// The bytes that all keys with this leading part begin with.
    pub fn prefix(&self, part: &impl KeyPrefix<K>) -> Vec<u8> {
        let mut bytes = self.space.0.to_be_bytes().to_vec();
        part.write_prefix(&mut bytes);
        bytes
    }

    pub fn get(&self, tx: &Tx, key: &impl KeyLike<K>) -> Result<Option<V>, Error> {
        tx.get(&self.key(key))?.map(V::decode).transpose()
    }

    pub fn contains(&self, tx: &Tx, key: &impl KeyLike<K>) -> Result<bool, Error> {
        Ok(tx.get(&self.key(key))?.is_some())
    }

    /// See [`Tx::peek`].
    pub fn peek(&self, tx: &Tx, key: &impl KeyLike<K>) -> Result<Option<V>, Error> {
        tx.peek(&self.key(key))?.map(V::decode).transpose()
    }

    pub fn put(&self, tx: &mut Tx, key: &impl KeyLike<K>, value: &V) {
        tx.put(self.key(key), value.encode());
    }

    pub fn delete(&self, tx: &mut Tx, key: &impl KeyLike<K>) {
        tx.delete(self.key(key));
    }

    pub fn scan(&self, tx: &Tx, scan: Scan<K>) -> Result<Vec<(K, V)>, Error> {
        let (start, end) = scan.bounds(&self.space.0.to_be_bytes());
        self.read_rows(tx.range(Bound::Included(&start), upper(end.as_deref()), scan.order, scan.limit)?)
    }

    /// See [`Tx::peek_range`].
    pub fn peek_scan(&self, tx: &Tx, scan: Scan<K>) -> Result<Vec<(K, V)>, Error> {
        let (start, end) = scan.bounds(&self.space.0.to_be_bytes());
        self.read_rows(tx.peek_range(
            Bound::Included(&start),
            upper(end.as_deref()),
            scan.order,
            scan.limit,
        )?)
    }

    fn read_rows(&self, rows: Vec<(Bytes, Bytes)>) -> Result<Vec<(K, V)>, Error> {
        rows.into_iter().map(|(key, value)| Ok((self.read_key(&key)?, V::decode(value)?))).collect()
    }

    fn read_key(&self, key: &[u8]) -> Result<K, Error> {
        let mut rest = key.get(2..).ok_or_else(|| Error::corrupt("a key", "it has no space"))?;
        let decoded = K::read_key(&mut rest)?;
        if rest.is_empty() {
            Ok(decoded)
        } else {
            Err(Error::corrupt("a key", "it has more parts than its map"))
        }
    }

    /// Watches all rows whose keys begin with this leading part.
    pub fn watch(&self, store: &Store, part: &impl KeyPrefix<K>) -> Watch {
        store.watch(&self.prefix(part))
    }
}

fn upper(end: Option<&[u8]>) -> Bound<&[u8]> {
    end.map_or(Bound::Unbounded, Bound::Excluded)
}

/// Counters under keys `K`. Adding reads nothing, so counting never makes a transaction lose; looking does
/// not hold to what is seen either. A counter that comes to zero is no row.
pub struct Tally<K>(Map<K, Raw>);

impl<K: KeyTuple> Tally<K> {
    pub const fn new(space: Space) -> Self {
        Tally(Map::new(space))
    }

    /// The bytes of a counter's key.
    pub fn key(&self, key: &impl KeyLike<K>) -> Vec<u8> {
        self.0.key(key)
    }

    pub fn add(&self, tx: &mut Tx, key: &impl KeyLike<K>, delta: i64) {
        tx.add(self.0.key(key), delta);
    }

    pub fn look(&self, tx: &Tx, key: &impl KeyLike<K>) -> Result<i64, Error> {
        read_counter(self.0.peek(tx, key)?.map(|Raw(bytes)| bytes))
    }

    /// The same, held to: whoever adds meanwhile conflicts with this transaction.
    pub fn get(&self, tx: &Tx, key: &impl KeyLike<K>) -> Result<i64, Error> {
        read_counter(self.0.get(tx, key)?.map(|Raw(bytes)| bytes))
    }

    /// The counters of a scan that are not zero.
    pub fn look_over(&self, tx: &Tx, scan: Scan<K>) -> Result<Vec<(K, i64)>, Error> {
        let rows = self.0.peek_scan(tx, scan)?;
        rows.into_iter().map(|(key, Raw(bytes))| Ok((key, read_counter(Some(bytes))?))).collect()
    }

    /// Forgets a counter, whatever it says. Only for those that nobody adds to any more.
    pub fn delete(&self, tx: &mut Tx, key: &impl KeyLike<K>) {
        self.0.delete(tx, key);
    }
}

/// Which rows of a map to read: those below a leading part of the key, between two edges, in one direction.
///
/// Edges may be leading parts too; they are said in the direction of the scan, so a page ends where
/// `after(&last)` of the next begins, in either direction.
#[derive(Clone)]
pub struct Scan<K> {
    prefix: Vec<u8>,
    begin: Edge,
    end: Edge,
    order: Order,
    limit: usize,
    key: PhantomData<fn() -> K>,
}

#[derive(Clone)]
enum Edge {
    Open,
    Including(Vec<u8>),
    Excluding(Vec<u8>),
}

fn bytes_of<K>(part: &impl KeyPrefix<K>) -> Vec<u8> {
    let mut bytes = Vec::new();
    part.write_prefix(&mut bytes);
    bytes
}

impl<K: KeyTuple> Scan<K> {
    /// At most `limit` rows of the whole map.
    pub fn all(limit: usize) -> Self {
        Scan::prefix(&(), limit)
    }

    /// At most `limit` of the rows whose keys begin with `part`.
    pub fn prefix(part: &impl KeyPrefix<K>, limit: usize) -> Self {
        let prefix = bytes_of(part);
        Scan { prefix, begin: Edge::Open, end: Edge::Open, order: Order::Forward, limit, key: PhantomData }
    }

    /// Begins at the rows with `part`.
    pub fn from(mut self, part: &impl KeyPrefix<K>) -> Self {
        self.begin = Edge::Including(bytes_of(part));
        self
    }

    /// Begins behind the rows with `part`.
    pub fn after(mut self, part: &impl KeyPrefix<K>) -> Self {
        self.begin = Edge::Excluding(bytes_of(part));
        self
    }

    /// Ends with the rows with `part`.
    pub fn through(mut self, part: &impl KeyPrefix<K>) -> Self {
        self.end = Edge::Including(bytes_of(part));
        self
    }

    /// Ends before the rows with `part`.
    pub fn until(mut self, part: &impl KeyPrefix<K>) -> Self {
        self.end = Edge::Excluding(bytes_of(part));
        self
    }

    /// From the greatest key down.
    pub fn reverse(mut self) -> Self {
        self.order = Order::Reverse;
        self
    }

    /// The first key, and the first key beyond if there is one.
    fn bounds(&self, space: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let full = |bytes: &[u8]| [space, bytes].concat();
        let (low, high) = match self.order {
            Order::Forward => (&self.begin, &self.end),
            Order::Reverse => (&self.end, &self.begin),
        };
        let mut start = full(&self.prefix);
        let mut end = successor(full(&self.prefix));
        match low {
            Edge::Open => (),
            Edge::Including(part) => start = start.max(full(part)),
            Edge::Excluding(part) => match successor(full(part)) {
                Some(next) => start = start.max(next),
                None => end = Some(start.clone()),
            },
        }
        let limit = match high {
            Edge::Open => None,
            Edge::Including(part) => successor(full(part)),
            Edge::Excluding(part) => Some(full(part)),
        };
        if let Some(limit) = limit {
            end = Some(end.map_or(limit.clone(), |end| end.min(limit)));
        }
        (start, end)
    }
}

/// The first byte string that comes after all those that begin with `prefix`; `None` if nothing does.
fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xFF {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}
