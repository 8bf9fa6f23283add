//! Compiled functions: on disk as machine code, in memory ready to be instantiated.
//!
//! `Component::deserialize_file` trusts what it maps: a forged file is arbitrary code in this process. It is
//! safe here because only this module writes the folder (mode 0700), a file appears under its name only when
//! it is whole (written aside, synced, renamed), and its last 32 bytes are the SHA-256 of the rest, checked
//! before the file is mapped, so that a torn or rotten file is compiled again instead of run. The checksum is
//! no defence against who can write the folder: such a user already is the server's user. Wasmtime itself
//! refuses code of another version or configuration of the engine, or for other processors; the name carries
//! that too, so that each has its own.

use super::compile::{self, Code, CompileError};
use super::guest::Guest;
use super::preview1::{self, Process};
use super::stores;
use mayfly_kernel::function::PackageDigest;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::component::{self, Component};
use wasmtime::error::Context as _;
use wasmtime::{InstancePre, Linker, Module, ModuleExport, Precompiled};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

const CHECKSUM_BYTES: usize = 32;

/// Programs kept in memory. One in use lives on when it is turned out.
const LOADED_MAX: usize = 512;

/// A function's code with its imports resolved: what is left is to make an instance.
pub(super) enum Program {
    Handler(ProxyPre<Guest>),
    Command(CommandPre<Guest>),
    /// A command of WASI preview 1.
    Module(Arc<Start>),
}

/// A linked core module, and where it begins.
pub(super) struct Start {
    pub(super) linked: InstancePre<Process>,
    pub(super) export: ModuleExport,
}

/// Machine code before its imports are resolved.
enum Machine {
    Component(Component),
    Module(Module),
}

/// Which compiled code: one package may hold several functions, told apart by their handler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ProgramId(String);

impl ProgramId {
    pub(super) fn new(digest: &PackageDigest, handler: &str) -> ProgramId {
        ProgramId([&*digest.0, "\n", handler].concat())
    }

    /// Of fixed length whatever the handler is called.
    fn file_stem(&self) -> String {
        Sha256::digest(self.0.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(super) struct Programs {
    engine: wasmtime::Engine,
    components: component::Linker<Guest>,
    modules: Linker<Process>,
    dir: PathBuf,
    /// Of the engine: what code it can run.
    compatibility: u64,
    loaded: Mutex<Loaded>,
    files_written: AtomicU64,
}

#[derive(Default)]
struct Loaded {
    by_id: HashMap<ProgramId, Slot>,
    uses: u64,
}

struct Slot {
    program: Arc<Program>,
    last_use: u64,
}

impl Programs {
    pub(super) fn new(engine: wasmtime::Engine, dir: PathBuf) -> wasmtime::Result<Programs> {
        let mut components = component::Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut components)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut components)?;
        stores::add_to_linker(&mut components)?;
        let mut modules = Linker::new(&engine);
        preview1::add_to_linker(&mut modules)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hasher.finish();
        let loaded = Mutex::new(Loaded::default());
        let files_written = AtomicU64::new(0);
        Ok(Programs { engine, components, modules, dir, compatibility, loaded, files_written })
    }

    /// The program, if it is in memory.
    pub(super) fn loaded(&self, id: &ProgramId) -> Option<Arc<Program>> {
        let mut loaded = self.loaded.lock();
        loaded.uses += 1;
        let now = loaded.uses;
        let slot = loaded.by_id.get_mut(id)?;
        slot.last_use = now;
        Some(Arc::clone(&slot.program))
    }

    /// Brings the program into memory: from its file, or by compiling it if there is none that this engine
    /// can run, as after an upgrade of Mayfly. Blocks.
    pub(super) fn load(
        &self,
        id: &ProgramId,
        code_dir: &Path,
        handler: &str,
    ) -> Result<Arc<Program>, CompileError> {
        if let Some(program) = self.loaded(id) {
            return Ok(program);
        }
        let file = self.dir.join(format!("{}-{:016x}.cwasm", id.file_stem(), self.compatibility));
        let program = match self.open(&file) {
            Some(program) => program,
            None => self.compile(code_dir, handler, &file)?,
        };
        Ok(self.keep(id, Arc::new(program)))
    }

    /// The program in a file, if it is whole and of this engine.
    fn open(&self, file: &Path) -> Option<Program> {
        match checksum_holds(file) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(file = %file.display(), "compiled code is damaged and is made again");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "unreadable compiled code is made again");
                return None;
            }
        }
        let program =
            self.map(file).map_err(|error| error.to_string()).and_then(|machine| self.link(&machine));
        program
            .inspect_err(
                |error| tracing::warn!(file = %file.display(), %error, "compiled code is made again"),
            )
            .ok()
    }

    fn map(&self, file: &Path) -> wasmtime::Result<Machine> {
        let kind = wasmtime::Engine::detect_precompiled_file(file)?;
        // SAFETY: the file is whole, and only `keep_file` wrote it, with what this engine's compiler gave;
        // see the module's description. Nothing changes it while it is mapped: a newer one replaces the name,
        // not the bytes.
        #[expect(unsafe_code, reason = "mapping machine code is what compiling ahead of time is for")]
        unsafe {
            match kind {
                Some(Precompiled::Module) => {
                    Module::deserialize_file(&self.engine, file).map(Machine::Module)
                }
                // What is neither is refused there.
                Some(Precompiled::Component) | None => {
                    Component::deserialize_file(&self.engine, file).map(Machine::Component)
                }
            }
        }
    }

    fn compile(&self, code_dir: &Path, handler: &str, file: &Path) -> Result<Program, CompileError> {
        let module = compile::find_module(code_dir, handler)?;
        let name = compile::shown(code_dir, &module);
        let code = compile::code(code_dir, &module)?;
        let compiled = match &code {
            Code::Component(component) => self.engine.precompile_component(component),
            Code::Command(module) => self.engine.precompile_module(module),
        };
        let compiled = compiled
            .map_err(|error| CompileError::Invalid { path: name.clone(), cause: format!("{error:#}") })?;
        // SAFETY: these bytes come straight from this engine's compiler.
        #[expect(unsafe_code, reason = "the compiler's output is loaded as it will be from its file")]
        let machine = unsafe {
            match code {
                Code::Component(_) => Component::deserialize(&self.engine, &compiled).map(Machine::Component),
                Code::Command(_) => Module::deserialize(&self.engine, &compiled).map(Machine::Module),
            }
        };
        let machine = machine.map_err(|error| CompileError::Engine(format!("{error:#}")))?;
        if let Machine::Component(component) = &machine
            && !is_handler(&self.engine, component)
            && !is_command(&self.engine, component)
        {
            return Err(CompileError::NotAHandler(name));
        }
        let program = self.link(&machine).map_err(|cause| CompileError::Unlinkable { path: name, cause })?;
        self.keep_file(file, &compiled).map_err(|error| CompileError::Cache(error.to_string()))?;
        Ok(program)
    }

    fn link(&self, machine: &Machine) -> Result<Program, String> {
        let link = || match machine {
            Machine::Module(module) => {
                let linked = self.modules.instantiate_pre(module)?;
                let export = module.get_export_index("_start").context("the module has no `_start`")?;
                Ok(Program::Module(Arc::new(Start { linked, export })))
            }
            Machine::Component(component) => {
                let linked = self.components.instantiate_pre(component)?;
                match is_handler(&self.engine, component) {
                    true => ProxyPre::new(linked).map(Program::Handler),
                    false => CommandPre::new(linked).map(Program::Command),
                }
            }
        };
        link().map_err(|error: wasmtime::Error| format!("{error:#}"))
    }

    /// Two that compile the same function at once each write a file of their own, and the last name stays.
    fn keep_file(&self, file: &Path, code: &[u8]) -> io::Result<()> {
        let number = self.files_written.fetch_add(1, Ordering::Relaxed);
        let aside = self.dir.join(format!("{}-{number}.tmp", std::process::id()));
        let mut to = OpenOptions::new().write(true).create(true).truncate(true).open(&aside)?;
        to.write_all(code)?;
        to.write_all(&Sha256::digest(code))?;
        to.sync_all()?;
        std::fs::rename(&aside, file)
    }

    fn keep(&self, id: &ProgramId, program: Arc<Program>) -> Arc<Program> {
        let mut loaded = self.loaded.lock();
        loaded.uses += 1;
        let last_use = loaded.uses;
        if loaded.by_id.len() >= LOADED_MAX && !loaded.by_id.contains_key(id) {
            let oldest = loaded.by_id.iter().min_by_key(|(_, slot)| slot.last_use).map(|(id, _)| id.clone());
            oldest.map(|id| loaded.by_id.remove(&id));
        }
        loaded.by_id.insert(id.clone(), Slot { program: Arc::clone(&program), last_use });
        program
    }
}

fn is_handler(engine: &wasmtime::Engine, component: &Component) -> bool {
    component.component_type().exports(engine).any(|(name, _)| compile::is_incoming_handler(name))
}

fn is_command(engine: &wasmtime::Engine, component: &Component) -> bool {
    component.component_type().exports(engine).any(|(name, _)| compile::is_command(name))
}

fn checksum_holds(file: &Path) -> io::Result<bool> {
    let mut file = File::open(file)?;
    let Some(code_bytes) = file.metadata()?.len().checked_sub(CHECKSUM_BYTES as u64) else {
        return Ok(false);
    };
    let mut hasher = Sha256::new();
    let mut left = code_bytes;
    let mut chunk = vec![0; 256 * 1024];
    while left > 0 {
        let want = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut chunk[..want])?;
        hasher.update(&chunk[..want]);
        left -= want as u64;
    }
    let mut kept = [0; CHECKSUM_BYTES];
    file.read_exact(&mut kept)?;
    Ok(hasher.finalize().as_slice() == kept)
}
