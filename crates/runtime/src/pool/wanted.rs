//! Instances that are kept ready ahead of demand: provisioned concurrency.

use mayfly_kernel::function::Version;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Versions by id, and how many instances each is to have at least.
#[derive(Default)]
pub(super) struct Wanted(HashMap<String, Want>);

pub(super) struct Want {
    pub(super) version: Arc<Version>,
    pub(super) count: u32,
    /// Starts that have been asked for and have no place yet.
    pub(super) asked: u32,
    /// The most that were in use at once since this was last told.
    pub(super) peak: u32,
    /// Why the last attempt came to nothing, and when the next is due.
    pub(super) failure: Option<(String, Instant)>,
}

impl Wanted {
    /// Replaces the whole set.
    pub(super) fn set(&mut self, wanted: Vec<(Arc<Version>, u32)>) {
        let mut before = std::mem::take(&mut self.0);
        for (version, count) in wanted {
            let known = before.remove(&version.id);
            let (asked, peak, failure) =
                known.map_or((0, 0, None), |known| (known.asked, known.peak, known.failure));
            self.0.insert(version.id.clone(), Want { version, count, asked, peak, failure });
        }
    }

    pub(super) fn count(&self, version: &str) -> u32 {
        self.0.get(version).map_or(0, |want| want.count)
    }

    pub(super) fn get_mut(&mut self, version: &str) -> Option<&mut Want> {
        self.0.get_mut(version)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Want)> {
        self.0.iter_mut()
    }
}
