//! From what a package holds to what the engine compiles: finding the module, assembling text, adapting.

use super::preview1;
use std::path::{Component, Path, PathBuf};
use wasi_preview1_component_adapter_provider as adapters;
use wasmparser::{Parser, Payload};

/// Why a package is no Wasm function. The text is for the person who deploys it.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("the package holds no .wasm or .wat file")]
    NoModule,
    #[error("the package holds several modules ({0}): name one as the handler")]
    SeveralModules(String),
    #[error("the handler {0} leads out of the package")]
    Outside(String),
    #[error("cannot read {path}: {cause}")]
    Unreadable { path: String, cause: String },
    #[error("{path} is not valid WebAssembly: {cause}")]
    Invalid { path: String, cause: String },
    #[error(
        "{0} exports neither `wasi:http/incoming-handler` nor `_start`: \
         build it for the wasi:http/proxy world, or as a WASI command"
    )]
    NotAHandler(String),
    #[error("{path} does not fit the platform: {cause}")]
    Unlinkable { path: String, cause: String },
    #[error("the compiled code cannot be kept: {0}")]
    Cache(String),
    /// A variable of the function says what it must not.
    #[error("{0}")]
    Environment(String),
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

/// The file that `handler` names, or else the only module of the package.
pub(super) fn find_module(code_dir: &Path, handler: &str) -> Result<PathBuf, CompileError> {
    let named = Path::new(handler);
    let inside = named.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let named = code_dir.join(named);
    if !handler.is_empty() && named.is_file() {
        // The join may also lead out through a link that the package holds.
        let real = |path: &Path| std::fs::canonicalize(path).map_err(|cause| unreadable(path, cause));
        return match inside && real(&named)?.starts_with(real(code_dir)?) {
            true => Ok(named),
            false => Err(CompileError::Outside(handler.into())),
        };
    }
    let mut found = Vec::new();
    list_modules(code_dir, &mut found)?;
    found.sort();
    match found.len() {
        0 => Err(CompileError::NoModule),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<String> = found.iter().map(|path| shown(code_dir, path)).collect();
            Err(CompileError::SeveralModules(names.join(", ")))
        }
    }
}

/// Looks through folders, and follows no links.
fn list_modules(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), CompileError> {
    for entry in std::fs::read_dir(dir).map_err(|cause| unreadable(dir, cause))? {
        let entry = entry.map_err(|cause| unreadable(dir, cause))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|cause| unreadable(dir, cause))?);
        if kind.is_dir() {
            list_modules(&path, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "wasm" || end == "wat") {
            found.push(path);
        }
    }
    Ok(())
}

/// What the engine compiles.
pub(super) enum Code {
    Component(Vec<u8>),
    /// A core module that needs WASI preview 1 and nothing else.
    Command(Vec<u8>),
}

/// The code in the file `path`, whatever of the accepted forms it has: a component, a core module with the
/// exports of one (as `wit-bindgen` makes for C), or a WASI preview 1 command; binary or text.
pub(super) fn code(code_dir: &Path, path: &Path) -> Result<Code, CompileError> {
    let name = shown(code_dir, path);
    let bytes = std::fs::read(path).map_err(|cause| unreadable(path, cause))?;
    let invalid = |cause: String| CompileError::Invalid { path: name.clone(), cause };
    let binary = match wat::parse_bytes(&bytes) {
        Ok(binary) => binary,
        Err(mut cause) => {
            cause.set_path(&name);
            return Err(invalid(cause.to_string()));
        }
    };
    if Parser::is_component(&binary) {
        return Ok(Code::Component(binary.into_owned()));
    }
    let adapter = match entry_point(&binary).map_err(|cause| invalid(cause.to_string()))? {
        Some(EntryPoint::Start { by_preview1_alone: true }) => return Ok(Code::Command(binary.into_owned())),
        Some(EntryPoint::Start { by_preview1_alone: false }) => {
            adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
        }
        Some(EntryPoint::IncomingHandler) => adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        None => return Err(CompileError::NotAHandler(name)),
    };
    adapt(&binary, adapter).map(Code::Component).map_err(invalid)
}

fn adapt(module: &[u8], adapter: &[u8]) -> Result<Vec<u8>, String> {
    let encode = || {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)?
            .adapter(adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
            .encode()
    };
    encode().map_err(|cause| format!("{cause:#}"))
}

enum EntryPoint {
    Start { by_preview1_alone: bool },
    IncomingHandler,
}

/// What a core module can be called by. The handler is preferred: such modules may have a `_start` of their
/// libc too.
fn entry_point(module: &[u8]) -> wasmparser::Result<Option<EntryPoint>> {
    let (mut starts, mut by_preview1_alone) = (false, true);
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    by_preview1_alone &= import?.module == preview1::MODULE;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    match export?.name {
                        name if is_incoming_handler(name) => return Ok(Some(EntryPoint::IncomingHandler)),
                        name => starts |= name == "_start",
                    }
                }
            }
            _ => {}
        }
    }
    Ok(starts.then_some(EntryPoint::Start { by_preview1_alone }))
}

pub(super) fn is_incoming_handler(export: &str) -> bool {
    export.starts_with("wasi:http/incoming-handler@0.2.")
}

pub(super) fn is_command(export: &str) -> bool {
    export.starts_with("wasi:cli/run@0.2.")
}

/// The path as its owner knows it: within the package.
pub(super) fn shown(code_dir: &Path, path: &Path) -> String {
    path.strip_prefix(code_dir).unwrap_or(path).display().to_string()
}

fn unreadable(path: &Path, cause: std::io::Error) -> CompileError {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    CompileError::Unreadable { path: name, cause: cause.to_string() }
}
