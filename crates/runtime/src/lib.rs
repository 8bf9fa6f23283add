//! Runs functions: in Linux sandboxes that our own launcher makes, or as WebAssembly components.
//!
//! A [`Host`] takes invocations and HTTP requests for a [`Version`](mayfly_kernel::function::Version), finds
//! or makes an instance, and says what came of it. It knows no store, no service and no AWS signature: what
//! it needs of the platform is the [`Platform`] trait. This is the only crate with wasmtime, and the only one
//! with `unsafe`, which lives in `launcher::sys`, `launcher::trace`, `memory`, `readiness`, `rsa` and `wasm`
//! alone.

mod ahead;
pub mod body;
mod clients;
mod discovery;
mod doctor;
mod extensions;
mod farewell;
mod freezer;
mod host;
mod image;
mod instance;
mod interpreters;
mod java;
mod launcher;
mod layers;
mod logs;
mod memory;
mod package;
mod platform;
mod pool;
mod prewarm;
mod prompt;
mod readiness;
mod rsa;
mod runtime_api;
mod sandbox;
mod snapshots;
mod snapstart;
mod start;
pub mod stores;
mod stream;
mod templates;
pub mod wasm;
mod web;

pub use body::{Body, BoxError};
pub use doctor::{Check, doctor};
pub use host::{
    FetchError, Host, HostConfig, HostStats, LauncherCommand, PrepareError, Prepared, StartError,
};
pub use image::ImageError;
pub use launcher::launcher_main;
pub use layers::{Layer, Layers};
pub use memory::{Allocator, hold_little_memory};
pub use package::{PackageError, PackageInfo, inspect_package};
pub use platform::{LogStream, Meter, Platform, SessionCredentials, Wire};
pub use pool::Standing;
pub use prompt::promptly;
pub use rsa::{Digest, RsaKey};
pub use snapstart::{Snapshot, Unmade};
pub use stream::Answer;
