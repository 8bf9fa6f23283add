//! From what was asked of a mapping to what it does.

use super::model::{Key, MappingRow, Phase};
use super::operations;
use crate::Cx;
use crate::lambda::keys::MAPPINGS;
use crate::readers::Plan;
use mayfly_kernel::Fault;
use mayfly_store::{Scan, Store};
use std::time::Duration;

/// The plan of a mapping, if it exists.
pub(crate) fn plan(cx: &Cx<'_>, key: &Key) -> Result<Option<Plan>, Fault> {
    let plan = |row: MappingRow| Plan {
        runs: row.enabled && row.phase() != Phase::Deleting,
        batch_size: row.batch_size as usize,
        window: Duration::from_secs(row.window_s.into()),
        max_concurrency: (row.max_concurrency > 0).then_some(row.max_concurrency as usize),
        unsettled: (row.phase() != Phase::Settled).then_some(row.generation),
        ends: row.phase() == Phase::Deleting,
    };
    Ok(MAPPINGS.get(cx.tx, key)?.map(plan))
}

/// Notes that a mapping does as its plan says, unless there is a newer one.
pub(crate) fn adopted(cx: &mut Cx<'_>, key: &Key, generation: u64) -> Result<(), Fault> {
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
pub(crate) fn unfinished(store: &Store) -> Result<Vec<Key>, Fault> {
    let rows = MAPPINGS.scan(&store.view(), Scan::all(usize::MAX))?;
    let works = |row: &MappingRow| row.enabled || row.phase() != Phase::Settled;
    Ok(rows.into_iter().filter(|(_, row)| works(row)).map(|(key, _)| key).collect())
}
