//! Reading several layers as one: cursors over each, and their merge.

use crate::cover::Run;
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
/// `runs`, one for each layer or none at all, learn what the layers hide.
pub(crate) fn merge(
    mut layers: Vec<Box<dyn Cursor + '_>>,
    order: Order,
    limit: usize,
    runs: &mut [Run],
) -> Result<Vec<(Bytes, Bytes)>, Error> {
    let mut heads = Vec::with_capacity(layers.len());
    for layer in &mut layers {
        heads.push(layer.next()?);
    }
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some(key) = first_key(&heads, order) else { break };
        // From the oldest layer up, so that each knows whether the row lives below it.
        let mut newest = None;
        for (at, (head, layer)) in heads.iter_mut().zip(&mut layers).enumerate().rev() {
            let here = match head.take_if(|(candidate, _)| *candidate == key) {
                Some((_, value)) => {
                    *head = layer.next()?;
                    Some(value)
                }
                None => None,
            };
            if let Some(run) = runs.get_mut(at) {
                run.step(&key, here.as_ref().map(Option::is_none), newest.is_some());
            }
            newest = here.unwrap_or(newest);
        }
        if let Some(value) = newest {
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
    /// Marks up to here hide nothing that anybody reads.
    covered: Option<Bytes>,
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
            covered: None,
            chunk: Self::CHUNK_MIN,
            buffer: VecDeque::new(),
        }
    }

    /// Without the table's marks up to `covered`.
    pub(crate) fn covered(self, covered: Option<Bytes>) -> Self {
        TableCursor { covered, ..self }
    }

    fn refill(&mut self) {
        let covered = self.covered.as_ref();
        let entries = self.table.chunk(self.rest.bounds(), self.order, self.version, self.chunk, covered);
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
