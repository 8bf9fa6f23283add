//! The host: takes invocations and requests, finds or makes an instance for each, and reports what came of it.

use crate::body::Body;
use crate::layers::{Layer, Layers};
use crate::platform::Platform;
use mayfly_kernel::function::{FunctionError, Invocation, Outcome, Refusal, Version};
use mayfly_kernel::{Arn, Clock, Limits};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How to start the launcher: this binary's path and its hidden command.
#[derive(Clone, Debug)]
pub struct LauncherCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Unpacked packages and compiled components: rebuilt at need, so it may be deleted while the host is stopped.
    pub cache_dir: PathBuf,
    /// Where the language clients are written at start, to be mounted into sandboxes.
    pub runtimes_dir: PathBuf,
    pub limits: Limits,
    pub region: String,
    /// Layers without which the operator does not want functions to run.
    pub require: Vec<Layer>,
    pub launcher: LauncherCommand,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the launcher does not start: {0}")]
    Launcher(String),
    #[error("this machine lacks required isolation layers: {missing}. `mayfly doctor` says why")]
    MissingLayers { missing: String },
    #[error("{doing}: {cause}")]
    Io { doing: String, cause: std::io::Error },
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error("the function did not answer in time")]
    Timeout,
    #[error("the function failed: {}", .0.error_type)]
    Crashed(FunctionError),
    #[error("the function's answer is not HTTP: {0}")]
    BadGateway(String),
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PrepareError(pub String);

/// A version that is ready to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// For the person who deploys, such as that another interpreter version is used than asked for.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct HostStats {
    pub layers: Layers,
    pub instances: u32,
    pub idle: u32,
    pub in_flight: u32,
    pub cold_starts: u64,
    pub invocations: u64,
}

/// Runs functions on this node. Cheap to clone; the clones are one host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    layers: Layers,
}

impl Host {
    pub async fn start(
        _config: HostConfig,
        _platform: Arc<dyn Platform>,
        _clock: Arc<dyn Clock>,
    ) -> Result<Host, StartError> {
        Ok(Host { inner: Arc::new(Inner { layers: Layers::new() }) })
    }

    /// Runs one event through `version`. Once begun, an invocation runs to its end even if this future is dropped.
    pub async fn invoke(&self, _version: Arc<Version>, _invocation: Invocation) -> Result<Outcome, Refusal> {
        Err(Refusal::Unrunnable("not built yet".into()))
    }

    /// Passes one HTTP request to a function that speaks HTTP; both bodies stream.
    pub async fn fetch(
        &self,
        _version: Arc<Version>,
        _request: http::Request<Body>,
        _request_id: String,
    ) -> Result<http::Response<Body>, FetchError> {
        Err(FetchError::Refused(Refusal::Unrunnable("not built yet".into())))
    }

    /// Does ahead of time what the first invocation would otherwise wait for. Blocks.
    pub fn prepare(&self, _version: &Version) -> Result<Prepared, PrepareError> {
        Ok(Prepared::default())
    }

    /// The function was changed or deleted: its idle instances stop now, busy ones when they are done.
    pub fn retire(&self, _function: &Arn) {}

    /// Refuses new work, waits up to `limit` for what is running, and stops every instance.
    pub async fn drain(&self, _limit: Duration) {}

    pub fn stats(&self) -> HostStats {
        HostStats { layers: self.inner.layers.clone(), ..HostStats::default() }
    }
}
