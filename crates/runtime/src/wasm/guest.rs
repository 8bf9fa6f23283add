//! What one guest has: its environment, its log, its share of memory, and no way out but its function's.
//!
//! A guest gets no host directory, no socket and no name lookup.

use super::log::{LogSink, LogStream};
use super::outgoing::{self, Egress, Link, Listed};
use super::{World, cgi};
use crate::platform::Platform;
use http::request::Parts;
use mayfly_kernel::function::Version;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

const MIB: usize = 1024 * 1024;

/// Per guest. A component made of one module by its toolchain has four core instances and two tables.
const CORE_INSTANCES_MAX: usize = 64;
const TABLES_MAX: usize = 64;
const MEMORIES_MAX: usize = 16;

/// What an element of a table takes on the server.
const ELEMENT_BYTES: usize = 8;

/// Handles (streams, requests, header lists …) that a guest may hold at once.
const HANDLES_MAX: usize = 10_000;

/// What is around one guest: its function, and what that may reach.
pub(super) struct Surroundings<'a> {
    version: &'a Arc<Version>,
    world: &'a World,
    depth: u32,
    platform: Option<Link>,
}

impl Surroundings<'_> {
    pub(super) fn of<'a>(world: &'a World, version: &'a Arc<Version>, depth: u32) -> Surroundings<'a> {
        // Most functions call nobody, and their requests should not pay for those that do.
        let listed = version.environment.contains_key(outgoing::VARIABLE).then(|| Listed::of(version));
        let platform = matches!(listed, Some(Ok(Listed { platform: true, .. })));
        let platform = platform.then(|| Link::new(world.platform.clone(), version.clone(), depth));
        Surroundings { version, world, depth, platform }
    }

    pub(super) fn environment(&self, mut set: impl FnMut(&str, &str)) {
        for (name, value) in &self.version.environment {
            set(name, value);
        }
        self.platform_variables(set);
    }

    /// The same for a command, and what the request says.
    pub(super) fn cgi(&self, request: &Parts, mut set: impl FnMut(&str, &str)) {
        cgi::environment(request, &self.version.environment, &mut set);
        self.platform_variables(set);
    }

    fn platform_variables(&self, mut set: impl FnMut(&str, &str)) {
        for (name, value) in self.platform.iter().flat_map(Link::variables) {
            set(name, &value);
        }
    }
}

pub(super) struct Guest {
    limits: GuestLimits,
    pub(super) table: ResourceTable,
    pub(super) version: Arc<Version>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) log: LogSink,
    /// How many invocations lead to what it calls.
    pub(super) depth: u32,
    /// Values that it is writing.
    pub(super) values: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Egress,
}

impl Guest {
    /// A new guest. `prepare` sets what differs by the kind of program: streams and variables.
    pub(super) fn new(
        around: &Surroundings<'_>,
        log: LogSink,
        prepare: impl FnOnce(&mut WasiCtxBuilder),
    ) -> Guest {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        wasi.stderr(LogStream::new(log.clone()));
        prepare(&mut wasi);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Guest {
            limits: GuestLimits::of(around.version),
            table,
            version: around.version.clone(),
            platform: around.world.platform.clone(),
            log: log.clone(),
            depth: around.depth,
            values: 0,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            egress: Egress::new(
                around.world.outgoing.clone(),
                around.version.clone(),
                log,
                around.platform.clone(),
            ),
        }
    }
}

/// What lives in a store and is bounded.
pub(super) trait Bounded: Send + 'static {
    fn limits(&mut self) -> &mut GuestLimits;
}

impl Bounded for Guest {
    fn limits(&mut self) -> &mut GuestLimits {
        &mut self.limits
    }
}

/// The store of a new guest: its memory bounded, and its time cut into epochs.
pub(super) fn store<T: Bounded>(engine: &wasmtime::Engine, guest: T) -> Store<T> {
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| guest.limits());
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.egress }
    }
}

/// Holds a guest's memories and tables together to its function's size. Neither ever shrinks, so what there is
/// is also the most there was.
pub(super) struct GuestLimits {
    bytes_max: usize,
    /// Bytes of all linear memories.
    pub(super) memory: usize,
    /// Bytes of all tables.
    tables: usize,
    /// The guest asked for more memory than it may have. It was told so in the way of Wasm (`memory.grow` gives -1),
    /// which most programs answer with a trap.
    pub(super) refused: bool,
}

impl GuestLimits {
    pub(super) fn of(version: &Version) -> GuestLimits {
        let bytes_max = usize::try_from(version.memory_mib).unwrap_or(usize::MAX).saturating_mul(MIB);
        GuestLimits { bytes_max, memory: 0, tables: 0, refused: false }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.memory.saturating_add(self.tables).saturating_add(bytes) <= self.bytes_max
    }
}

/// What is beyond a memory's or table's own `max` is refused without counting: the engine would refuse it after us.
impl ResourceLimiter for GuestLimits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        if !self.has_room(more) {
            self.refused = true;
            return Ok(false);
        }
        self.memory += more;
        Ok(true)
    }

    /// The pool's own bound on a table's elements is within its `max`.
    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES);
        if max.is_some_and(|max| desired > max) || !self.has_room(more) {
            return Ok(false);
        }
        self.tables += more;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
