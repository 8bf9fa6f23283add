//! Readers of sources outside of Mayfly: where the records go that they read, and what is written down of them.

use super::{Errand, Key, Reader};
use crate::lambda::mappings::{self, Contract, External, Lost, Patience, Record};
use crate::{Cx, pipes};
use mayfly_kernel::Fault;

/// Where the records of an external source go.
#[derive(Debug)]
pub enum Sink {
    Function(Box<Contract>),
    Pipe(Box<pipes::Inlet>),
}

impl Sink {
    pub fn source(&self) -> &External {
        match self {
            Sink::Function(contract) => &contract.source,
            Sink::Pipe(inlet) => &inlet.source,
        }
    }

    /// Whether a record is wanted there: what is JSON inside of base64 is compared as such.
    pub fn wants(&self, record: &Record) -> bool {
        match self {
            Sink::Function(contract) => contract.wants(record),
            Sink::Pipe(inlet) => inlet.wants(record),
        }
    }

    /// Keeps records that will not go on.
    pub fn gave_up(&self, cx: &mut Cx<'_>, lost: Lost<'_>) -> Result<(), Fault> {
        cx.allowed_by_policy();
        match self {
            Sink::Function(contract) => mappings::gave_up(cx, contract, lost),
            Sink::Pipe(inlet) => pipes::gave_up(cx, &inlet.source, lost.line, lost.records),
        }
    }

    pub fn patience(&self) -> Patience {
        match self {
            Sink::Function(contract) => contract.patience,
            Sink::Pipe(_) => Patience::ENDLESS,
        }
    }
}

impl Reader {
    /// `None` if there is no such reader any more, or it reads a queue.
    pub fn sink(&self, cx: &mut Cx<'_>) -> Result<Option<Sink>, Fault> {
        cx.allowed_by_policy();
        Ok(match self {
            Reader::Mapping(key) => {
                mappings::contract(cx, key)?.map(|contract| Sink::Function(Box::new(contract)))
            }
            Reader::Pipe(key) => pipes::inlet(cx, key)?.map(|inlet| Sink::Pipe(Box::new(inlet))),
        })
    }

    pub fn is_external(&self, cx: &mut Cx<'_>) -> Result<bool, Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::is_external(cx, key),
            Reader::Pipe(key) => pipes::is_external(cx, key),
        }
    }

    /// How far a line has been read: what comes next.
    pub fn cursor(&self, cx: &mut Cx<'_>, line: &str) -> Result<Option<i64>, Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::cursor(cx, key, line),
            Reader::Pipe(key) => pipes::cursor(cx, key, line),
        }
    }

    /// Whether anything is known of how far lines have been read.
    pub fn is_begun(&self, cx: &mut Cx<'_>) -> Result<bool, Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::is_begun(cx, key),
            Reader::Pipe(key) => pipes::is_begun(cx, key),
        }
    }

    /// Notes how far a line has been read.
    pub fn advance(&self, cx: &mut Cx<'_>, line: &str, next: i64) -> Result<(), Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::advance(cx, key, line, next),
            Reader::Pipe(key) => pipes::advance(cx, key, line, next),
        }
    }

    /// Notes how it goes, for who asks.
    pub fn note(&self, cx: &mut Cx<'_>, text: &str) -> Result<(), Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::note(cx, key, text),
            Reader::Pipe(key) => pipes::note(cx, key, text),
        }
    }

    /// Takes back what was said of a source that could not be read; false if there was nothing to take back.
    pub fn recovered(&self, cx: &mut Cx<'_>) -> Result<bool, Fault> {
        cx.allowed_by_policy();
        let said = match self {
            Reader::Mapping(key) => mappings::said(cx, key)?,
            Reader::Pipe(key) => pipes::said(cx, key)?,
        };
        let was_bad = said.is_some_and(|text| text != mappings::OK);
        if was_bad {
            self.note(cx, mappings::OK)?;
        }
        Ok(was_bad)
    }
}

/// Records of one line on their way through a pipe.
#[derive(Debug)]
pub struct Passage {
    work: Box<pipes::Work>,
    /// What the last errand came to.
    answer: Vec<u8>,
}

impl Passage {
    /// `None` if there is no such pipe any more.
    pub fn begin(
        cx: &mut Cx<'_>,
        key: &Key,
        line: &str,
        records: &[&Record],
    ) -> Result<Option<Passage>, Fault> {
        cx.allowed_by_policy();
        let work = pipes::Work::of_records(cx, key, line, records)?;
        Ok(work.map(|work| Passage { work: Box::new(work), answer: Vec::new() }))
    }

    /// What is to be done first.
    pub fn errand(&mut self) -> Result<Errand, Fault> {
        self.work.errand()
    }

    /// What is to be done next, after an errand that has come to this.
    pub fn go_on(&mut self, answer: Vec<u8>) -> Result<Errand, Fault> {
        self.answer = answer;
        self.work.go_on(&self.answer)
    }

    /// Brings what is for the store to its target, and says how many of the first records are done.
    pub fn settle(&self, cx: &mut Cx<'_>) -> Result<usize, Fault> {
        cx.allowed_by_policy();
        let done = self.work.settle(cx, &self.answer)?;
        Ok(done.iter().take_while(|done| **done).count())
    }
}
