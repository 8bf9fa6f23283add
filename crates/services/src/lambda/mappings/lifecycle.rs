//! From what was asked of a mapping to what it does.

use super::model::{Key, MappingRow, Phase};
use super::operations;
use crate::Cx;
use crate::lambda::keys::MAPPINGS;
use mayfly_kernel::Fault;
use mayfly_store::{Scan, Store};
use std::time::Duration;

/// What whoever runs a mapping has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether it reads its source. One that does not finishes what it has.
    pub runs: bool,
    pub batch_size: usize,
    pub window: Duration,
    /// How many batches at once, if that is bounded.
    pub max_concurrency: Option<usize>,
    /// Names this plan in [`adopted`]; `None` if that was said.
    pub unsettled: Option<u64>,
}

/// The plan of a mapping, if it exists.
pub fn plan(cx: &mut Cx<'_>, key: &Key) -> Result<Option<Plan>, Fault> {
    cx.allowed_by_policy();
    let plan = |row: MappingRow| Plan {
        runs: row.enabled && row.phase() != Phase::Deleting,
        batch_size: row.batch_size as usize,
        window: Duration::from_secs(row.window_s.into()),
        max_concurrency: (row.max_concurrency > 0).then_some(row.max_concurrency as usize),
        unsettled: (row.phase() != Phase::Settled).then_some(row.generation),
    };
    Ok(MAPPINGS.get(cx.tx, key)?.map(plan))
}

/// Notes that a mapping does as its plan says, unless there is a newer one.
pub fn adopted(cx: &mut Cx<'_>, key: &Key, generation: u64) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let Some(mut row) = MAPPINGS.get(cx.tx, key)?.filter(|row| row.generation == generation) else {
        return Ok(());
    };
    if row.phase() == Phase::Deleting {
        return operations::remove(cx, key, &row);
    }
    row.set_phase(Phase::Settled);
    MAPPINGS.put(cx.tx, key, &row);
    Ok(())
}

/// Every mapping that reads its source, or is on its way to a state. Asked once, at start.
pub fn unfinished(store: &Store) -> Result<Vec<Key>, Fault> {
    let rows = MAPPINGS.scan(&store.view(), Scan::all(usize::MAX))?;
    let works = |row: &MappingRow| row.enabled || row.phase() != Phase::Settled;
    Ok(rows.into_iter().filter(|(_, row)| works(row)).map(|(key, _)| key).collect())
}
