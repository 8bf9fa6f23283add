//! How instances come to be: package and layers unpacked, interpreter chosen, sandbox made, code initialised.
//!
//! Who may have a new instance, and what becomes of one afterwards, is the pool's and the host's to say.

use crate::ahead::Ahead;
use crate::extensions;
use crate::extensions::telemetry::{Kind, Telemetry};
use crate::farewell::Farewells;
use crate::image::Images;
use crate::instance::{Beginning, Broken, Files, Instance, Parts, Source};
use crate::interpreters::{Interpreters, Start};
use crate::layers::{Layer, Layers};
use crate::logs::Log;
use crate::package::PackageCache;
use crate::platform::Platform;
use crate::pool::Starting;
use crate::prewarm::Prewarm;
use crate::sandbox::Launcher;
use crate::snapstart::{say_restore_report, say_restore_start};
use crate::templates::Templates;
use mayfly_kernel::function::{Refusal, Runtime, Version};
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Clock, Limits};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a start may keep its place among those at once. Sandbox and interpreter are up by then; what goes
/// on is the function's own initialisation, and nobody else's start waits for that.
const START_SHARE: Duration = Duration::from_millis(200);
/// What a restore may take, hooks included, as on AWS.
const RESTORE_LIMIT: Duration = Duration::from_secs(10);

/// Makes instances. One for each host.
pub(crate) struct Starter {
    pub(crate) launcher: Launcher,
    interpreters: Interpreters,
    packages: PackageCache,
    images: Images,
    ahead: Ahead,
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) clock: Arc<dyn Clock>,
    ids: Ids,
    pub(crate) limits: Limits,
    pub(crate) region: String,
    cold_starts: AtomicU64,
    prewarmed_starts: AtomicU64,
    forked_starts: AtomicU64,
    pub(crate) prewarm: Prewarm,
    pub(crate) templates: Arc<Templates>,
    /// Whether a sandbox can be limited after it was made.
    limits_memory_later: bool,
    /// Instances whose extensions are still being told of their end.
    pub(crate) farewells: Arc<Farewells>,
}

/// What an instance is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Event,
    /// To be there before there is one.
    Provision,
    /// To be forked from.
    Snapshot,
}

impl Purpose {
    /// As the function and its extensions are told.
    pub(crate) fn initialization_type(self, version: &Version) -> &'static str {
        match self {
            Purpose::Event | Purpose::Snapshot if version.snap_start => "snap-start",
            Purpose::Event | Purpose::Snapshot => "on-demand",
            Purpose::Provision => "provisioned-concurrency",
        }
    }
}

/// How an instance came to be, and how long that took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cold {
    Init(u64),
    Restore(u64),
}

/// A new instance, the time that it took, and how its initialisation went.
pub(crate) struct Started {
    pub(crate) instance: Instance,
    pub(crate) cold: Cold,
    pub(crate) initialised: Result<(), Broken>,
}

/// What an instance needs of this machine's disk, all of it there.
pub(crate) struct Ready {
    pub(crate) files: Files,
    start: Start,
    /// The programs of extensions.
    pub(crate) extensions: Vec<PathBuf>,
}

impl Starter {
    pub(crate) fn new(
        launcher: Launcher,
        interpreters: Interpreters,
        (packages, images): (PackageCache, Images),
        (platform, clock): (Arc<dyn Platform>, Arc<dyn Clock>),
        (limits, region): (Limits, String),
        (layers, forks): (&Layers, bool),
    ) -> Starter {
        let templates = Arc::new(Templates::new(&limits, forks));
        Starter {
            launcher,
            prewarm: Prewarm::new(&limits),
            templates,
            limits_memory_later: layers.contains(&Layer::MemoryCgroup),
            ahead: Ahead::new(limits.package_unpacked_bytes),
            farewells: Arc::new(Farewells::new(clock.clone())),
            interpreters,
            packages,
            images,
            platform,
            clock,
            ids: Ids::system(),
            limits,
            region,
            cold_starts: AtomicU64::new(0),
            prewarmed_starts: AtomicU64::new(0),
            forked_starts: AtomicU64::new(0),
        }
    }

    /// Makes an instance and waits until it is initialised, or until it is certain that it will not be.
    pub(crate) async fn start(
        self: &Arc<Starter>,
        version: &Arc<Version>,
        purpose: Purpose,
        starting: Starting<Instance>,
    ) -> Result<Started, Refusal> {
        let began = Instant::now();
        self.cold_starts.fetch_add(1, Ordering::Relaxed);
        let ready = self.ready(version).await.map_err(Refusal::Unrunnable)?;
        let (start, folders) = (ready.start.clone(), ready.files.folders());
        let source = self.source(version, &ready);
        let template = match &source {
            Source::Template(template, _) => Some(template.clone()),
            Source::Nothing | Source::Waiting(_) => None,
        };
        let parts = self.parts(version, purpose, ready, source);
        let telemetry = parts.telemetry.clone();
        telemetry.init_started(version);
        let made = Instance::make(parts, &self.launcher, &self.platform, &self.limits, &self.region).await;
        let mut instance = made.map_err(Refusal::Unrunnable)?;
        let forked = instance.beginning == Beginning::Forked;
        match instance.beginning {
            Beginning::Fresh => drop(template.map(|template| self.templates.forget_template(&template))),
            Beginning::Prewarmed => drop(self.prewarmed_starts.fetch_add(1, Ordering::Relaxed)),
            Beginning::Forked => {
                self.forked_starts.fetch_add(1, Ordering::Relaxed);
                say_restore_start(&instance.log, version);
            }
        }
        // As AWS does: an initialisation that is too slow goes on, in the time of the invocation. A restore
        // does not.
        let within = match forked {
            true => RESTORE_LIMIT,
            false => {
                Duration::from_secs(self.limits.init_timeout_seconds.into())
                    + Duration::from_millis(version.timeout_ms)
            }
        };
        let initialised = share(starting, instance.initialise(within)).await.map_err(|broken| match broken {
            Broken::Timeout if forked => Broken::RestoreTimeout,
            other => other,
        });
        let took = began.elapsed();
        telemetry.init_ended(initialised.is_ok(), took);
        let us = crate::host::micros(took);
        let cold = if forked { Cold::Restore(us) } else { Cold::Init(us) };
        if forked {
            instance.catch_up();
            say_restore_report(&instance.log, us, initialised.is_ok());
        }
        self.look_ahead(version, start, folders);
        Ok(Started { instance, cold, initialised })
    }

    /// What a new instance of a version is made from: the nearest to it that there is.
    fn source(&self, version: &Version, ready: &Ready) -> Source {
        // Extensions start before the runtime, and an interpreter that waited has started already.
        if !ready.extensions.is_empty() {
            return Source::Nothing;
        }
        let template = if version.snap_start { self.templates.take(&version.id) } else { None };
        match template {
            Some(source) => source,
            None => self
                .prewarm
                .take(&ready.start, version)
                .map_or(Source::Nothing, |one| Source::Waiting(Box::new(one))),
        }
    }

    pub(crate) fn parts(
        &self,
        version: &Arc<Version>,
        purpose: Purpose,
        ready: Ready,
        source: Source,
    ) -> Parts {
        let Ready { files, start, extensions } = ready;
        let initialization = purpose.initialization_type(version);
        let telemetry = Telemetry::new(self.clock.clone(), initialization, !extensions.is_empty());
        let telemetry = Arc::new(telemetry);
        let log = self.log(version, self.new_stream(version));
        let helpers_log = Arc::new(log.beside().tapped(Kind::Extension, telemetry.clone()));
        let log = Arc::new(log.tapped(Kind::Function, telemetry.clone()));
        if let Some(warning) = &start.warning {
            log.say(format!("WARN {warning}"));
        }
        Parts {
            version: version.clone(),
            purpose,
            boot: start.boot,
            variables: start.variables,
            source,
            files,
            log,
            helpers: extensions,
            helpers_log,
            telemetry,
            farewells: self.farewells.clone(),
        }
    }

    /// Sees to it in the background that later starts like this one are shorter.
    fn look_ahead(self: &Arc<Starter>, version: &Arc<Version>, start: Start, folders: Vec<PathBuf>) {
        let (starter, version) = (self.clone(), version.clone());
        tokio::spawn(async move {
            let start = starter.with_snapshot(&version, start, &folders).await;
            let template = starter.look_after_template(&version);
            let compiled = starter.ahead.make(&version, &start.boot, &folders, &starter.launcher);
            tokio::join!(compiled, starter.refill(&version, &start), template);
        });
    }

    /// How versions like this one start once there is a snapshot of the Node.js client, which this makes.
    async fn with_snapshot(
        self: &Arc<Starter>,
        version: &Version,
        start: Start,
        folders: &[PathBuf],
    ) -> Start {
        let (Runtime::Node(_), false, Some(code)) =
            (&version.runtime, Interpreters::is_prepared(&start.boot), folders.first())
        else {
            return start;
        };
        let (starter, version, code) = (self.clone(), version.clone(), code.clone());
        let again = move || {
            starter.interpreters.prepare(&version);
            starter.interpreters.start(&version, &code)
        };
        tokio::task::spawn_blocking(again).await.ok().and_then(Result::ok).unwrap_or(start)
    }

    /// Boots an interpreter for the next start of this kind.
    async fn refill(&self, version: &Version, start: &Start) {
        // Elsewhere the limit on memory is one that a process gets as it starts, and cannot be set later.
        if self.limits_memory_later && Prewarm::serves(start, version) {
            self.prewarm.refill(start, &self.launcher).await;
        }
    }

    pub(crate) fn cold_starts(&self) -> u64 {
        self.cold_starts.load(Ordering::Relaxed)
    }

    /// How many of the cold starts found their interpreter booted.
    pub(crate) fn prewarmed_starts(&self) -> u64 {
        self.prewarmed_starts.load(Ordering::Relaxed)
    }

    pub(crate) fn forked_starts(&self) -> u64 {
        self.forked_starts.load(Ordering::Relaxed)
    }

    /// A log of `version` in the stream of this name.
    pub(crate) fn log(&self, version: &Arc<Version>, stream: String) -> Log {
        Log::new(&*self.platform, self.clock.clone(), version, stream)
    }

    pub(crate) fn new_stream(&self, version: &Version) -> String {
        let now = i64::try_from(self.clock.now().ms()).unwrap_or(0);
        let day = jiff::Timestamp::from_millisecond(now).unwrap_or_default().strftime("%Y/%m/%d");
        format!("{day}/[{}]{}", version.label, self.ids.hex(32))
    }

    /// What deploying finds out ahead: whether it can be run here, and with what warning. Blocks.
    pub(crate) fn prepare(self: &Arc<Starter>, version: &Arc<Version>) -> Result<Option<String>, String> {
        self.interpreters.prepare(version);
        let Ready { files, start: Start { boot, warning, .. }, .. } = self.make_ready(version)?;
        let (starter, version, folders) = (self.clone(), version.clone(), files.folders());
        tokio::spawn(async move { starter.ahead.make(&version, &boot, &folders, &starter.launcher).await });
        Ok(warning)
    }

    pub(crate) async fn ready(self: &Arc<Starter>, version: &Arc<Version>) -> Result<Ready, String> {
        // What is there is looked up sooner than another thread wakes.
        if let Some((code, layers)) = self.found(version) {
            return self.assembled(version, code, layers);
        }
        let (starter, version) = (self.clone(), version.clone());
        let work = move || starter.make_ready(&version);
        tokio::task::spawn_blocking(work).await.map_err(|failed| failed.to_string())?
    }

    /// Unpacks what is not there yet, and finds out how the version is started. Blocks.
    fn make_ready(&self, version: &Version) -> Result<Ready, String> {
        if let Some(image) = &version.image {
            let root = self.images.root(image, |digest| self.platform.layer(digest));
            let root = root.map_err(|error| error.to_string())?;
            let directory = Path::new("/").join(&image.working_directory);
            let start = Start::own(image.command.clone(), Vec::new());
            let extensions = image_extensions(&root.path());
            return Ok(Ready { files: Files::Image { root, directory }, start, extensions });
        }
        let (code, layers) = self.unpack(version)?;
        self.assembled(version, code, layers)
    }

    /// The folders of a version's code and layers, if nothing has to be unpacked for a start, nor compiled.
    fn found(&self, version: &Version) -> Option<(PathBuf, Vec<PathBuf>)> {
        if version.image.is_some() || !self.interpreters.are_known(&version.runtime) {
            return None;
        }
        let code = self.packages.unpacked(&version.package)?;
        let layers = version.layers.iter().map(|digest| self.packages.unpacked(digest));
        Some((code, layers.collect::<Option<_>>()?))
    }

    fn assembled(&self, version: &Version, code: PathBuf, layers: Vec<PathBuf>) -> Result<Ready, String> {
        let start = self.interpreters.start(version, &code)?;
        let extensions = extensions::programs(&layers);
        Ok(Ready { files: Files::Package { code, layers }, start, extensions })
    }

    /// An image's layer is gone for good. Blocks.
    pub(crate) fn forget_layer(&self, digest: &str) -> std::io::Result<()> {
        self.images.forget(digest)
    }

    /// The folders of a version's code and layers. Blocks.
    pub(crate) fn unpack(&self, version: &Version) -> Result<(PathBuf, Vec<PathBuf>), String> {
        let one = |digest| match self.packages.unpacked(digest) {
            Some(folder) => Ok(folder),
            None => {
                let zip = self
                    .platform
                    .package(digest)
                    .map_err(|error| format!("no package {}: {error}", digest.0))?;
                self.packages.unpack(digest, &zip).map_err(|error| error.to_string())
            }
        };
        let code = one(&version.package)?;
        let layers = version.layers.iter().map(one).collect::<Result<_, _>>()?;
        Ok((code, layers))
    }
}

/// The programs of extensions that an image brings. Its links are not the host's to follow, so what one leads
/// to is none.
fn image_extensions(root: &Path) -> Vec<PathBuf> {
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let opt = root.join("opt");
    if !is_folder(&opt) || !is_folder(&opt.join("extensions")) {
        return Vec::new();
    }
    let mut programs = extensions::programs(&[opt]);
    let inside = |program: &PathBuf| root.join(program.strip_prefix("/").unwrap_or(program));
    programs.retain(|program| inside(program).symlink_metadata().is_ok_and(|meta| meta.is_file()));
    programs
}

/// Runs a start to its end, and gives its place among those at once up after a while.
async fn share<T>(place: Starting<Instance>, start: impl Future<Output = T>) -> T {
    let mut start = std::pin::pin!(start);
    let in_time = tokio::time::timeout(START_SHARE, &mut start).await;
    drop(place);
    match in_time {
        Ok(done) => done,
        Err(_) => start.await,
    }
}
