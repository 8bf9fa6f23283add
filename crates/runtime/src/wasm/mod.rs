//! Functions as WebAssembly: a fresh instance for every request, made in microseconds.
//!
//! A function is a `wasi:http` 0.2 component, a core module with that interface, or a WASI command (0.2, or
//! [`preview1`]) that is run for each request as [`cgi`] says. It may also be WebAssembly text (`.wat`),
//! assembled at deploy. It is compiled to machine code at deploy ([`compile`], [`program`]); a request then
//! takes an instance from a pool whose memories are copy-on-write images, runs it as a future on the server's
//! own threads ([`run`]), and gives it back. Nothing of one request is left for the next.
//!
//! The walls around a guest: memories and tables bounded by the version's size, instances by the pool
//! ([`guest`]); time by the epoch ([`epoch`]) and the call's deadline; no files, no sockets. What it may
//! reach is what its function names: hosts by HTTP ([`outgoing`]), and state of Mayfly's ([`stores`]).
//!
//! Not here: WASI 0.3, sockets, threads, and reuse of an instance for several requests.

mod cgi;
mod compile;
mod config;
mod epoch;
mod guest;
mod log;
mod memory;
mod outgoing;
mod pipe;
mod poll;
mod preview1;
mod program;
mod run;
mod stores;

pub use compile::CompileError;
pub use log::LogSink;
pub use outgoing::{HostList, Outgoing};

use crate::body::Body;
use crate::platform::Platform;
use epoch::Ticker;
use mayfly_kernel::function::Version;
use program::{Program, ProgramId, Programs};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// Runs Wasm functions. Cheap to clone; the clones share one pool.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What guests can reach of what is outside them.
pub struct World {
    pub outgoing: Arc<Outgoing>,
    pub platform: Arc<dyn Platform>,
}

struct Shared {
    dir: PathBuf,
    instances: u32,
    world: World,
    core: OnceLock<Result<Core, String>>,
}

/// What is made at the first use, so that a server without Wasm functions pays neither time nor memory for
/// them.
struct Core {
    engine: wasmtime::Engine,
    ticker: Ticker,
    programs: Programs,
}

/// A function's machine code in memory.
#[derive(Clone)]
pub struct Loaded(Arc<Program>);

/// What a request needs besides its version.
pub struct Call {
    pub log: LogSink,
    /// From now until the guest has ended, response body and all.
    pub timeout: Duration,
    /// How many invocations lead to what the guest calls, this one included.
    pub depth: u32,
}

/// A response whose body may still be on its way.
pub struct Reply {
    /// The body ends in an error if the guest fails, or runs out of time, before it has given all.
    pub response: http::Response<Body>,
    /// Comes when the guest has ended, which may be after the response has.
    pub finished: oneshot::Receiver<Finished>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The most linear memory that the guest had.
    pub memory_bytes: u64,
    /// How the guest failed after it had begun to answer.
    pub trap: Option<String>,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The guest failed; the text has its stack, innermost function first.
    #[error("{0}")]
    Trap(String),
    #[error("the function did not end in time")]
    Timeout,
    #[error("the function needs more memory than it has")]
    OutOfMemory,
    #[error("the function ended without a response")]
    NoResponse,
    /// The function's response is not HTTP.
    #[error("{0}")]
    BadResponse(String),
    /// All instances of the pool are in use.
    #[error("no instance is free")]
    Busy,
    /// The code is not compiled for this engine and cannot be; the text is [`CompileError`]'s.
    #[error("{0}")]
    NotCompiled(String),
}

impl Engine {
    /// `dir` keeps compiled code and belongs to the engine alone; `instances` are the most guests at once.
    /// Reserves nothing until the first use.
    pub fn new(dir: &Path, instances: u32, world: World) -> std::io::Result<Engine> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let shared = Shared { dir: dir.to_owned(), instances, world, core: OnceLock::new() };
        Ok(Engine { shared: Arc::new(shared) })
    }

    /// Brings the function of an unpacked package into memory, compiling it unless that is done already.
    /// `version.handler` names its file; if it names none, the package's only module is taken. Blocks, for
    /// seconds if the module is large and new.
    pub fn load(&self, version: &Version, code_dir: &Path) -> Result<Loaded, CompileError> {
        let core = self.core().map_err(CompileError::Engine)?;
        outgoing::Listed::of(version).map_err(CompileError::Environment)?;
        let id = ProgramId::new(&version.package, &version.handler);
        core.programs.load(&id, code_dir, &version.handler).map(Loaded)
    }

    /// The function, if it is in memory.
    pub fn loaded(&self, version: &Version) -> Option<Loaded> {
        let core = self.core().ok()?;
        core.programs.loaded(&ProgramId::new(&version.package, &version.handler)).map(Loaded)
    }

    /// Runs one request in a new instance. The reply comes with the response's head. If this future is
    /// dropped before that, the guest is stopped; after it, the guest runs to its end or its deadline by
    /// itself.
    pub async fn run(
        &self,
        program: Loaded,
        version: &Arc<Version>,
        request: http::Request<Body>,
        call: Call,
    ) -> Result<Reply, Error> {
        let core = self.core().map_err(Error::NotCompiled)?;
        let machine = run::Machine { engine: &core.engine, ticker: &core.ticker, world: &self.shared.world };
        run::fetch(machine, program.0, version, request, call).await
    }

    fn core(&self) -> Result<&Core, String> {
        let core = self.shared.core.get_or_init(|| {
            Core::new(self.shared.dir.clone(), self.shared.instances).map_err(|error| format!("{error:#}"))
        });
        core.as_ref().map_err(Clone::clone)
    }
}

impl Core {
    fn new(dir: PathBuf, instances: u32) -> wasmtime::Result<Core> {
        let engine = wasmtime::Engine::new(&config::engine(instances))?;
        let advance = engine.clone();
        let ticker = Ticker::start(move || advance.increment_epoch())?;
        let programs = Programs::new(engine.clone(), dir)?;
        Ok(Core { engine, ticker, programs })
    }
}
