//! The host: takes invocations and requests, finds or makes an instance for each, and reports what came of
//! it.
//!
//! Its rooms: `supply` gets an instance, `events` and `requests` use it, `guests` runs a Wasm function's
//! request, `report` says what it cost.

mod events;
mod guests;
mod metering;
mod report;
mod requests;
mod supply;

use crate::body::Body;
use crate::clients;
use crate::image::Images;
use crate::instance::Instance;
use crate::interpreters::Interpreters;
use crate::layers::{self, Layer, Layers};
use crate::package::PackageCache;
use crate::platform::Platform;
use crate::pool::{self, Standing};
use crate::sandbox::Launcher;
use crate::snapstart::{Snapshot, Unmade};
use crate::start::Starter;
use crate::stream::{self, Answer};
use crate::wasm;
use mayfly_kernel::function::{FunctionError, Invocation, Outcome, Refusal, Runtime, Version};
use mayfly_kernel::{Clock, Limits};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

use metering::Metering;
use report::Told;
pub(crate) use report::micros;

/// The pool as the host uses it.
type Pool = pool::Pool<Instance>;
type Held = pool::Held<Instance>;
type Permit = pool::Permit<Instance>;

/// How to start the launcher: this binary's path and its hidden command.
#[derive(Clone, Debug)]
pub struct LauncherCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Unpacked packages and compiled components: rebuilt at need, so it may be deleted while the host is
    /// stopped.
    pub cache_dir: PathBuf,
    /// Where the language clients are written at start, to be mounted into sandboxes.
    pub runtimes_dir: PathBuf,
    pub limits: Limits,
    pub region: String,
    /// The most that WebAssembly functions may reach by HTTP.
    pub outgoing_http: wasm::HostList,
    /// Whom they believe to be whom there.
    pub tls: Arc<tokio_rustls::rustls::ClientConfig>,
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
    /// Of the idle ones, how many stand still.
    pub frozen: u32,
    pub in_flight: u32,
    /// Of those, how many wait for an instance.
    pub waiting: u32,
    pub cold_starts: u64,
    /// Interpreters that wait, and how many of the cold starts found one.
    pub prewarmed: u32,
    pub prewarmed_starts: u64,
    /// Processes that instances are forked from, their forks that wait, and how many of the cold starts were forks.
    pub templates: u32,
    pub waiting_forks: u32,
    pub forked_starts: u64,
    pub invocations: u64,
}

/// Runs functions on this node. Cheap to clone; the clones are one host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

/// A request to a function that speaks HTTP, beside the request itself.
struct Asked {
    id: String,
    /// How many invocations lead to what it calls, this one included.
    depth: u32,
    tenant: Option<String>,
    /// The ARN by which the function was called.
    invoked_arn: String,
    /// Who is told how it ended, once it has.
    told: Told,
}

struct Inner {
    layers: Layers,
    limits: Limits,
    clock: Arc<dyn Clock>,
    starter: Arc<Starter>,
    pool: Arc<Pool>,
    wasm: wasm::Engine,
    guests: guests::Logs,
    invocations: AtomicU64,
    platform: Arc<dyn Platform>,
}

impl Host {
    pub async fn start(
        config: HostConfig,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
    ) -> Result<Host, StartError> {
        let io = |doing: &str| {
            let doing = doing.to_owned();
            move |cause| StartError::Io { doing, cause }
        };
        clients::install(&config.runtimes_dir).map_err(io("write the language clients"))?;
        let root = config.cache_dir.join("root");
        std::fs::create_dir_all(&root).map_err(io("create the cache directory"))?;
        let packages = PackageCache::new(config.cache_dir.join("packages"), config.limits.clone());
        let outgoing = Arc::new(wasm::Outgoing::new(config.outgoing_http, config.tls, &config.limits));
        let world = wasm::World { outgoing, platform: platform.clone() };
        let wasm = wasm::Engine::new(&config.cache_dir.join("wasm"), config.limits.node_instances, world);
        let launcher = Launcher::start(config.launcher, root).await;
        let launcher = launcher.map_err(|error| StartError::Launcher(error.to_string()))?;
        let (layers, forks) = (launcher.layers().await, launcher.forks().await);
        let missing = layers::list(config.require.into_iter().filter(|layer| !layers.contains(layer)));
        if !missing.is_empty() {
            return Err(StartError::MissingLayers { missing });
        }
        let pool = Pool::new(&config.limits);
        tokio::spawn(pool.clone().tend());
        let packages = packages.map_err(io("open the package cache"))?;
        let images = Images::new(&config.cache_dir.join("images"), config.limits.clone());
        let images = images.map_err(io("open the image cache"))?;
        let interpreters = Interpreters::new(config.runtimes_dir);
        let (seams, settings) = ((platform.clone(), clock.clone()), (config.limits.clone(), config.region));
        let starter =
            Starter::new(launcher, interpreters, (packages, images), seams, settings, (&layers, forks));
        let inner = Inner {
            layers,
            wasm: wasm.map_err(io("open the Wasm cache"))?,
            limits: config.limits,
            clock,
            starter: Arc::new(starter),
            pool,
            guests: guests::Logs::default(),
            invocations: AtomicU64::new(0),
            platform,
        };
        let inner = Arc::new(inner);
        tokio::spawn(inner.clone().keep_provisioned());
        let templates = inner.starter.templates.clone();
        tokio::spawn(async move { templates.tend().await });
        Ok(Host { inner })
    }

    /// Runs one event through `version`. Once begun, an invocation runs to its end even if this future is
    /// dropped.
    pub async fn invoke(&self, version: Arc<Version>, invocation: Invocation) -> Result<Outcome, Refusal> {
        if version.runtime.speaks_http() {
            return self.invoke_by_http(version, invocation, None).await;
        }
        let mut metering = self.inner.metering(&version, &invocation.invoked_arn);
        let permit = metering.admitted(self.inner.pool.admit(&version))?;
        self.inner.invocations.fetch_add(1, Ordering::Relaxed);
        let run = metering.around(self.inner.clone().run(version, invocation, permit, None));
        tokio::spawn(run).await.unwrap_or_else(|failed| Err(Refusal::Unrunnable(failed.to_string())))
    }

    /// Runs one event, and comes back when its answer begins. The invocation runs to its end, read or not.
    pub async fn invoke_streaming(
        &self,
        version: Arc<Version>,
        invocation: Invocation,
    ) -> Result<Answer, Refusal> {
        let (sink, source) = stream::pipe();
        if version.runtime.speaks_http() {
            let host = self.clone();
            let run = async move { host.invoke_by_http(version, invocation, Some(sink)).await };
            return source.answer(tokio::spawn(run)).await;
        }
        let mut metering = self.inner.metering(&version, &invocation.invoked_arn);
        let permit = metering.admitted(self.inner.pool.admit(&version))?;
        self.inner.invocations.fetch_add(1, Ordering::Relaxed);
        let run = metering.around(self.inner.clone().run(version, invocation, permit, Some(sink)));
        source.answer(tokio::spawn(run)).await
    }

    /// Passes one HTTP request to a function that speaks HTTP and was called by this ARN; both bodies stream.
    pub async fn fetch(
        &self,
        version: Arc<Version>,
        request: http::Request<Body>,
        (request_id, invoked_arn): (String, &str),
    ) -> Result<http::Response<Body>, FetchError> {
        let invoked_arn = invoked_arn.to_owned();
        let asked = Asked { id: request_id, depth: 1, tenant: None, invoked_arn, told: Told::default() };
        self.fetch_telling(version, request, asked).await
    }

    async fn fetch_telling(
        &self,
        version: Arc<Version>,
        request: http::Request<Body>,
        mut asked: Asked,
    ) -> Result<http::Response<Body>, FetchError> {
        let mut metering = self.inner.metering(&version, &asked.invoked_arn);
        let permit = metering.admitted(self.inner.pool.admit(&version)).map_err(FetchError::Refused)?;
        asked.told.count_by(metering);
        self.inner.invocations.fetch_add(1, Ordering::Relaxed);
        match version.runtime {
            Runtime::Wasm => self.inner.clone().fetch_wasm(version, request, asked, permit).await,
            Runtime::Web => {
                // A client that goes away ends the wait and not the function, which is told of in the log.
                let run = self.inner.clone().fetch_web(version, request, asked, permit);
                let gone = |failed: tokio::task::JoinError| FetchError::BadGateway(failed.to_string());
                tokio::spawn(run).await.map_err(gone)?
            }
            Runtime::Python(_)
            | Runtime::Node(_)
            | Runtime::Java(_)
            | Runtime::Provided(_)
            | Runtime::Image => Err(FetchError::BadGateway("the function does not speak HTTP".into())),
        }
    }

    /// Does ahead of time what the first invocation would otherwise wait for. Blocks.
    pub fn prepare(&self, version: &Arc<Version>) -> Result<Prepared, PrepareError> {
        let inner = &self.inner;
        if version.runtime == Runtime::Wasm {
            let (code, _) = inner.starter.unpack(version).map_err(PrepareError)?;
            let compiled = inner.wasm.load(version, &code);
            compiled.map_err(|error| PrepareError(error.to_string()))?;
            return Ok(Prepared::default());
        }
        let warning = inner.starter.prepare(version).map_err(PrepareError)?;
        Ok(Prepared { warnings: warning.into_iter().collect() })
    }

    /// Runs the module code of a version with SnapStart, and keeps the process for instances to be forked
    /// from.
    pub async fn snapshot(&self, version: &Arc<Version>) -> Result<Snapshot, Unmade> {
        self.inner.starter.snapshot(version).await
    }

    /// The version with this id was replaced or deleted: its idle instances stop now, busy ones when they are
    /// done.
    pub fn retire(&self, version: &str) {
        self.inner.pool.retire(version);
        self.inner.guests.forget(version);
        self.inner.starter.templates.forget(version);
    }

    /// The archive of an image's layer has been deleted, because nothing names it: what was unpacked of it goes. Blocks.
    pub fn forget_layer(&self, digest: &str) -> std::io::Result<()> {
        self.inner.starter.forget_layer(digest)
    }

    /// Keeps at least so many instances of each of these versions ready, and of no others.
    pub fn provision(&self, wanted: Vec<(Arc<Version>, u32)>) {
        self.inner.pool.want(wanted);
    }

    /// How the versions of [`provision`](Host::provision) stand.
    pub fn provisioned(&self) -> Vec<Standing> {
        self.inner.pool.standing()
    }

    /// Tells when something about the provisioned versions may have changed.
    pub fn provision_changes(&self) -> watch::Receiver<()> {
        self.inner.pool.provision.subscribe()
    }

    /// Refuses new work, waits up to `limit` for what is running, and stops every instance.
    pub async fn drain(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.inner.pool.drain()).await.is_err() {
            tracing::warn!("invocations were still running when the drain limit was reached");
        }
        self.inner.starter.farewells.done().await;
        self.inner.starter.launcher.stop().await;
    }

    pub fn stats(&self) -> HostStats {
        let counts = self.inner.pool.counts();
        HostStats {
            layers: self.inner.layers.clone(),
            instances: counts.instances,
            idle: counts.idle,
            frozen: counts.frozen,
            in_flight: counts.in_flight,
            waiting: counts.waiting,
            cold_starts: self.inner.starter.cold_starts(),
            prewarmed: self.inner.starter.prewarm.count(),
            prewarmed_starts: self.inner.starter.prewarmed_starts(),
            templates: self.inner.starter.templates.count(),
            waiting_forks: self.inner.starter.templates.waiting(),
            forked_starts: self.inner.starter.forked_starts(),
            invocations: self.inner.invocations.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    fn metering(&self, version: &Version, invoked_arn: &str) -> Metering {
        Metering::begin(&*self.platform, version, invoked_arn)
    }
}
