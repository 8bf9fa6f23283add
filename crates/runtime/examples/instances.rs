//! What fresh instances cost without Mayfly: `instances FILE COUNT` instantiates the module of a WASI
//! command, calls it and drops it, again and again, and prints the nanoseconds of processor time of each.
//!
//! The engine is configured as the server's, and the system calls do nothing: what is left is Wasmtime and
//! the pages of the instance's memory. `bench/gateway.py` shows it beside a request.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that a person or the bench runs"
)]

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Linker, Module, PoolingAllocationConfig, Store, Val,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().expect("a module");
    let count: u64 = arguments.next().and_then(|count| count.parse().ok()).expect("a count");
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(1000)
        .total_core_instances(1000)
        .linear_memory_keep_resident(512 * 1024)
        .table_keep_resident(64 * 1024)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool)).epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, wat::parse_file(file).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    for import in module.imports() {
        let kind = import.ty().unwrap_func().clone();
        let success = |_: wasmtime::Caller<'_, ()>, _: &[Val], results: &mut [Val]| {
            results.fill(Val::I32(0));
            Ok(())
        };
        linker.func_new(import.module(), import.name(), kind, success).unwrap();
    }
    let ready = linker.instantiate_pre(&module).unwrap();
    let run = || {
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = ready.instantiate(&mut store).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap().call(&mut store, ()).unwrap();
    };
    (0..count / 10).for_each(|_| run());
    let began = processor_time();
    (0..count).for_each(|_| run());
    println!("{}", (processor_time() - began) / count);
}

/// Nanoseconds of this thread so far.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
