//! Reading several layers as one: cursors over each, and their merge.

use crate::engine::{KeyRange, Writes};
use crate::table::{Entry, Table};
use crate::{Error, Order, Version};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Bound;

/// The rows of one layer, in order, deleted ones among them.
pub(crate) trait Cursor {
    fn next(&mut self) -> Result<Option<Entry>, Error>;
}

/// The live rows of the layers, newest layer first in `layers`: of a row that several have, the first counts.
pub(crate) fn merge(
    mut layers: Vec<Box<dyn Cursor + '_>>,
    order: Order,
    limit: usize,
) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let mut heads = Vec::with_capacity(layers.len());
    for layer in &mut layers {
        heads.push(layer.next()?);
    }
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some(key) = first_key(&heads, order) else { break };
        let mut newest = None;
        for (head, layer) in heads.iter_mut().zip(&mut layers) {
            if head.as_ref().is_some_and(|(candidate, _)| *candidate == key) {
                let (_, value) = std::mem::replace(head, layer.next()?).expect("the head was just looked at");
                newest.get_or_insert(value);
            }
        }
        if let Some(Some(value)) = newest {
            rows.push((key, value));
        }
    }
    Ok(rows)
}

fn first_key(heads: &[Option<Entry>], order: Order) -> Option<Bytes> {
    let keys = heads.iter().flatten().map(|(key, _)| key);
    match order {
        Order::Forward => keys.min().cloned(),
        Order::Reverse => keys.max().cloned(),
    }
}

/// Reads a [`Table`] chunk by chunk, so that its lock is never held while another layer is read.
pub(crate) struct TableCursor<'a> {
    table: &'a Table,
    version: Version,
    order: Order,
    rest: KeyRange,
    chunk: usize,
    buffer: VecDeque<Entry>,
    done: bool,
}

impl<'a> TableCursor<'a> {
    /// Small at first: of many layers, most have few of the rows that a short scan returns.
    const CHUNK_MIN: usize = 8;
    const CHUNK_MAX: usize = 512;

    pub(crate) fn new(table: &'a Table, version: Version, range: &KeyRange, order: Order) -> Self {
        TableCursor {
            table,
            version,
            order,
            done: range.is_empty(),
            rest: range.clone(),
            chunk: Self::CHUNK_MIN,
            buffer: VecDeque::new(),
        }
    }

    fn refill(&mut self) {
        let entries = self.table.chunk(self.rest.bounds(), self.order, self.version, self.chunk);
        self.done = entries.len() < self.chunk;
        self.chunk = (self.chunk * 2).min(Self::CHUNK_MAX);
        if let Some((last, _)) = entries.last() {
            match self.order {
                Order::Forward => self.rest.start = Bound::Excluded(last.clone()),
                Order::Reverse => self.rest.end = Bound::Excluded(last.clone()),
            }
        }
        self.done |= self.rest.is_empty();
        self.buffer = entries.into();
    }
}

impl Cursor for TableCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Error> {
        if self.buffer.is_empty() && !self.done {
            self.refill();
        }
        Ok(self.buffer.pop_front())
    }
}

/// The writes of a transaction that has not committed yet.
pub(crate) struct OverlayCursor<'a>(Box<dyn Iterator<Item = (&'a Bytes, &'a Option<Bytes>)> + 'a>);

impl<'a> OverlayCursor<'a> {
    pub(crate) fn new(writes: &'a Writes, range: &'a KeyRange, order: Order) -> Self {
        if range.is_empty() {
            return OverlayCursor(Box::new(std::iter::empty()));
        }
        let rows = writes.range::<[u8], _>(range.bounds());
        match order {
            Order::Forward => OverlayCursor(Box::new(rows)),
            Order::Reverse => OverlayCursor(Box::new(rows.rev())),
        }
    }
}

impl Cursor for OverlayCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.0.next().map(|(key, value)| (key.clone(), value.clone())))
    }
}
