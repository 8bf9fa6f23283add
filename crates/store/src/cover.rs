//! Which stretches of a table hide everything that lies below them.
//!
//! The head of a queue is deleted row after row. Until a flush, each of those rows lies in a layer below and is
//! hidden by a mark in the table above, and a scan from the queue's beginning would step over all of them, for every
//! receive. So a scan that has stepped over a run of hidden rows notes how far it came, and the next one that begins
//! within continues from there in the layers below, looking only at the rows that live in the table itself.
//!
//! A note stays true for as long as its table exists: what lies below a table does not change, and a table never
//! forgets a mark for a row that lies below. It says nothing to snapshots from before it was made.

use crate::Version;
use crate::engine::Bounds;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Shorter runs are not worth a note.
const HIDDEN_MIN: usize = 16;
/// Notes beyond this are all dropped: they only save time, and scans write new ones.
const NOTES_MAX: usize = 1024;

/// The notes of one table, by the first key of their stretch.
#[derive(Default)]
pub(crate) struct Covers(Mutex<BTreeMap<Bytes, Cover>>);

#[derive(Clone)]
struct Cover {
    /// The last key of the stretch.
    end: Bytes,
    since: Version,
}

impl Covers {
    /// How far everything below is hidden, for a scan at `version` that begins at `start`.
    pub(crate) fn end(&self, start: &[u8], version: Version) -> Option<Bytes> {
        let notes = self.0.lock();
        let (_, cover) = notes.range::<[u8], _>(up_to(start)).next_back()?;
        (&cover.end[..] >= start && cover.since <= version).then(|| cover.end.clone())
    }

    /// Notes what a scan at `version` from `start` has learned.
    fn note(&self, start: &[u8], end: Bytes, version: Version) {
        let mut notes = self.0.lock();
        if let Some((_, cover)) = notes.range_mut::<[u8], _>(up_to(start)).next_back()
            && &cover.end[..] >= start
        {
            if end > cover.end {
                *cover = Cover { end, since: cover.since.max(version) };
            }
            return;
        }
        if notes.len() >= NOTES_MAX {
            notes.clear();
        }
        notes.insert(Bytes::copy_from_slice(start), Cover { end, since: version });
    }
}

fn up_to(key: &[u8]) -> Bounds<'_> {
    (Bound::Unbounded, Bound::Included(key))
}

/// What a scan learns, on its way, of what one layer hides.
pub(crate) struct Run {
    /// Whether everything from the beginning of the scan on was hidden so far.
    unbroken: bool,
    end: Option<Bytes>,
    hidden: usize,
}

impl Run {
    /// `watched` says whether the layer is a table, seen whole.
    pub(crate) fn new(watched: bool) -> Run {
        Run { unbroken: watched, end: None, hidden: 0 }
    }

    /// The scan has come to `key`: whether this layer has it, as a mark or not, and whether it lives below.
    pub(crate) fn step(&mut self, key: &Bytes, here: Option<bool>, lives_below: bool) {
        self.unbroken &= here.is_some() || !lives_below;
        if self.unbroken {
            self.hidden += usize::from(here == Some(true) && lives_below);
            self.end = Some(key.clone());
        }
    }

    pub(crate) fn note(self, covers: &Covers, start: &[u8], version: Version) {
        if let (Some(end), HIDDEN_MIN..) = (self.end, self.hidden) {
            covers.note(start, end, version);
        }
    }
}
