//! How the engine is made: the pool that instances come from, and how what one wrote is undone for the next.
//!
//! Undoing costs more the more a guest writes, and one that carries an engine writes much: JavaScript's a
//! hundred pages for a greeting. A page that is given up is faulted in and copied by the next instance; one
//! that is kept is copied back, without a fault. Only the kernel knows which pages those are. It is asked by
//! `PAGEMAP_SCAN` (Linux 6.7). Of its answer Wasmtime takes the pages that are in memory and passes over
//! those that were swapped out, which would come back as the last guest left them: so it is not asked on a
//! machine that swaps.

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// An adapted module is four core instances with two tables; a component of Python, which links its libraries
/// as it starts, has dozens. They are counted and take no room, so this is what a guest may have anyway.
const CORE_INSTANCES_EACH: u32 = 64;
const TABLES_EACH: u32 = 3;
const TABLE_ELEMENTS_MAX: usize = 100_000;
const TABLE_KEPT: usize = 64 * 1024;

/// Address space is reserved for all instances at once (4 GiB each, which spares compiled code its bounds
/// checks); memory is used only by those that exist, and what [`Undoing`] keeps of those that did.
pub(super) fn engine(instances: u32) -> Config {
    let undoing = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => Undoing::on(std::fs::read_to_string("/proc/swaps").ok().as_deref()),
        false => Undoing::First,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_EACH))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES_EACH))
        .total_stacks(instances)
        .max_tables_per_module(TABLES_EACH)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(undoing.memory_kept())
        .table_keep_resident(TABLE_KEPT)
        .pagemap_scan(match undoing {
            Undoing::Written => Enabled::Auto,
            Undoing::First => Enabled::No,
        });
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        // The concurrency of WASI 0.3 costs a quarter of the requests per second and serves nothing that is
        // linked.
        .concurrency_support(false)
        .wasm_component_model_async(false);
    config
}

/// What is copied back of an instance's memory when it has ended. The rest is given up.
#[derive(Debug, PartialEq, Eq)]
enum Undoing {
    /// The pages that were written, as the kernel says.
    Written,
    /// The first ones, written or not.
    First,
}

impl Undoing {
    /// By the text of `/proc/swaps`: a heading, and a line for each place that pages can go to. Where there
    /// is no such list, whatever hides it, the machine may swap.
    fn on(swaps: Option<&str>) -> Undoing {
        match swaps.map(|list| list.lines().skip(1).any(|line| !line.trim().is_empty())) {
            Some(false) => Undoing::Written,
            Some(true) | None => Undoing::First,
        }
    }

    /// In bytes. Written pages are kept until the server ends, by every place of the pool that was ever used
    /// beside others: it is what a burst leaves. Wasmtime keeps 32 runs of pages at most, and more bytes than
    /// these change nothing for components of JavaScript. The first pages are copied whether anybody wrote
    /// them or not, so they are as many as a small module has.
    fn memory_kept(&self) -> usize {
        match self {
            Undoing::Written => 512 * 1024,
            Undoing::First => 64 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_written_pages_only_where_nothing_is_swapped_out() {
        let none = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let one = format!("{none}/dev/zram0                              partition\t4194304\t0\t100\n");
        assert_eq!(Undoing::on(Some(none)), Undoing::Written);
        assert_eq!(Undoing::on(Some(&one)), Undoing::First);
        assert_eq!(Undoing::on(None), Undoing::First);
    }
}
