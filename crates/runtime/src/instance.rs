//! One instance: a sandbox that has loaded one version, and the conversation with it.
//!
//! An instance has one invocation at a time. Whatever goes wrong during one (time, memory, an exit) ends the
//! instance; only one that answered is used again.

use crate::extensions::telemetry::Telemetry;
use crate::extensions::{Extensions, Shutdown};
use crate::farewell::{Farewells, Parting};
use crate::freezer::Freezer;
use crate::image::Root;
use crate::interpreters::{Boot, HOOKS, TEMPLATE};
use crate::launcher::protocol::{Attachment, Bind, Exit, Kind, Spec};
use crate::launcher::{PLATFORM_PORT, RUNTIME_API_PORT};
use crate::logs::{Log, LogPipe, stamp};
use crate::platform::Platform;
use crate::pool::Pooled;
use crate::prewarm::Prewarmed;
use crate::runtime_api::{Api, Call, Work};
use crate::sandbox::{Doors, End, Forks, Launcher, Sandbox};
use crate::start::Purpose;
use crate::stream::Sink;
use crate::templates::Template;
use bytes::Bytes;
use mayfly_kernel::function::{FunctionError, LogFormat, Refusal, Runtime, Version};
use mayfly_kernel::{Limits, Time};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The port of web functions, `$PORT`.
pub(crate) const WEB_PORT: u16 = 8080;
/// Where a package is.
pub(crate) const TASK: &str = "/var/task";
const MIB: u64 = 1024 * 1024;
/// Connections of one instance to the platform at once. An SDK's client holds up to ten or fifty.
const PLATFORM_CONNECTIONS: usize = 256;
pub(crate) const PROCESSES: u32 = 1024;
/// Variables that a function may choose for itself.
pub(crate) const DEFAULTS: [(&str, &str); 5] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ("LD_LIBRARY_PATH", "/var/task:/var/task/lib:/opt/lib"),
    ("LANG", "C.UTF-8"),
    ("TZ", ":UTC"),
    ("HOME", "/tmp"),
];
/// How often an instance's memory is looked at while it works.
const WATCH_MEMORY: Duration = Duration::from_millis(50);

pub(crate) struct Instance {
    version: Arc<Version>,
    pub(crate) beginning: Beginning,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) extensions: Arc<Extensions>,
    farewells: Arc<Farewells>,
    /// Why it ends, when it does.
    ending: Shutdown,
    api: Api,
    calls: mpsc::Receiver<Call>,
    /// The runtime waits for an event on this.
    waiting: Option<oneshot::Sender<Work>>,
    pub(crate) log: Arc<Log>,
    pipe: Arc<LogPipe>,
    /// What extensions print.
    helpers_pipe: Option<Arc<LogPipe>>,
    /// How many invocations lead to what the function calls now.
    depth: Arc<AtomicU32>,
    /// End with the instance.
    tasks: JoinSet<()>,
    freezer: Option<Arc<Freezer>>,
    /// What it was forked from, which must outlive it.
    _template: Option<Arc<Template>>,
    /// An image's tree stays for as long as anyone stands on it.
    _files: Files,
}

/// What an instance is made of.
pub(crate) struct Parts {
    pub(crate) version: Arc<Version>,
    pub(crate) purpose: Purpose,
    pub(crate) boot: Boot,
    /// What the start needs the runtime to know, unless the function says otherwise.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) source: Source,
    pub(crate) files: Files,
    pub(crate) log: Arc<Log>,
    /// The programs of extensions, and where they print to.
    pub(crate) helpers: Vec<PathBuf>,
    pub(crate) helpers_log: Arc<Log>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) farewells: Arc<Farewells>,
}

/// What an instance is made from.
pub(crate) enum Source {
    Nothing,
    /// A sandbox that waits for this version's code.
    Waiting(Box<Prewarmed>),
    /// A fork of its version's template: one that waits, or another.
    Template(Arc<Template>, Option<Box<Prewarmed>>),
}

/// How an instance came to have its interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    Fresh,
    /// It had booted before it was known what for.
    Prewarmed,
    /// It had run the module code.
    Forked,
}

/// A sandbox and what speaks out of it.
struct Ground {
    beginning: Beginning,
    sandbox: Sandbox,
    doors: Doors,
    /// A connection that came before it was known whose it would be.
    first: Option<TcpStream>,
    template: Option<Arc<Template>>,
}

/// What a version's code is on this machine's disk.
pub(crate) enum Files {
    Package {
        code: PathBuf,
        layers: Vec<PathBuf>,
    },
    Image {
        root: Arc<Root>,
        /// Where the command starts.
        directory: PathBuf,
    },
}

impl Files {
    /// What is mounted, in which root, and where the command starts.
    pub(crate) fn place(&self) -> Place {
        let (mut binds, mut opt) = (Vec::new(), Vec::new());
        match self {
            Files::Image { root, directory } => {
                return Place { binds, opt, root: Some(root.path()), directory: directory.clone() };
            }
            Files::Package { code, layers } => {
                binds.push(Bind { source: code.clone(), target: TASK.into() });
                match layers.as_slice() {
                    [only] => binds.push(Bind { source: only.clone(), target: "/opt".into() }),
                    layers => opt = layers.to_vec(),
                }
            }
        }
        Place { binds, opt, root: None, directory: TASK.into() }
    }

    /// The folders of a package and its layers.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        match self {
            Files::Package { code, layers } => [code].into_iter().chain(layers).cloned().collect(),
            Files::Image { .. } => Vec::new(),
        }
    }
}

pub(crate) struct Place {
    pub(crate) binds: Vec<Bind>,
    pub(crate) opt: Vec<PathBuf>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) directory: PathBuf,
}

/// How an attempt at an answer ended without one. The instance is of no use any more.
pub(crate) enum Broken {
    Timeout,
    Ended(End),
    OutOfMemory,
    InitError(FunctionError),
    /// What the function does after a restore.
    RestoreError(FunctionError),
    RestoreTimeout,
    /// An extension has ended, or says that it cannot go on.
    Extension(FunctionError),
}

impl Broken {
    /// A restore that fails is refused, and not an outcome.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Broken::RestoreError(_) => Some(Refusal::RestoreFailed),
            Broken::RestoreTimeout => Some(Refusal::RestoreTimeout),
            Broken::Timeout
            | Broken::Ended(_)
            | Broken::OutOfMemory
            | Broken::InitError(_)
            | Broken::Extension(_) => None,
        }
    }
}

/// What became of an event.
pub(crate) enum Handled {
    Taken(Result<Result<Vec<u8>, FunctionError>, Broken>),
    /// The instance ended before its runtime asked for it: it is as good as new, and so is where its answer
    /// goes.
    Untaken(Work, Option<Sink>),
}

impl Parts {
    fn environment(&self, platform: &dyn Platform, region: &str) -> Vec<(String, String)> {
        let mut all = environment(&self.version, self.purpose, platform, self.log.stream(), region);
        for (name, value) in &self.variables {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        all.into_iter().collect()
    }

    fn tmp_bytes(&self) -> u64 {
        u64::from(self.version.ephemeral_mib) * MIB
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.version.memory_mib) * MIB + self.tmp_bytes()
    }

    fn spec(&self, id: u64, environment: Vec<(String, String)>, kind: Kind) -> Spec {
        let Place { mut binds, opt, root, directory } = self.files.place();
        let Boot { mut command, binds: booted } = self.boot.clone();
        binds.extend(booted);
        match kind {
            Kind::Template => command.push(TEMPLATE.into()),
            Kind::Whole | Kind::Waits if self.version.snap_start => command.push(HOOKS.into()),
            Kind::Whole | Kind::Waits => {}
        }
        Spec {
            id,
            command,
            environment,
            root,
            directory,
            binds,
            opt,
            tmp_bytes: self.tmp_bytes(),
            memory_bytes: self.memory_bytes(),
            max_processes: PROCESSES,
            kind,
            helpers: self.helpers.clone(),
        }
    }

    /// Gives the code to a sandbox that waits; one that cannot be attached to is as good as none.
    async fn attach(&self, prewarmed: Prewarmed) -> Option<Ground> {
        let Prewarmed { sandbox, doors, first } = prewarmed;
        let attachment = Attachment {
            binds: self.files.place().binds,
            tmp_bytes: self.tmp_bytes(),
            memory_bytes: self.memory_bytes(),
            max_processes: PROCESSES,
        };
        match sandbox.attach(attachment).await {
            Ok(()) => {
                let (beginning, first) = (Beginning::Prewarmed, Some(first));
                Some(Ground { beginning, sandbox, doors, first, template: None })
            }
            Err(error) => {
                tracing::warn!(%error, "an interpreter that waited is of no use");
                None
            }
        }
    }
}

/// Forks from a template; one that does not fork is as good as none.
async fn fork(template: Arc<Template>, launcher: &Launcher) -> Option<Ground> {
    match template.forks.fork(launcher.next_id()).await {
        Ok((sandbox, doors)) => {
            let (beginning, template) = (Beginning::Forked, Some(template));
            Some(Ground { beginning, sandbox, doors, first: None, template })
        }
        Err(error) => {
            tracing::warn!(%error, "a template is of no use");
            None
        }
    }
}

impl Instance {
    /// Makes the sandbox and starts the runtime; does not wait for it.
    pub(crate) async fn make(
        mut parts: Parts,
        launcher: &Launcher,
        platform: &Arc<dyn Platform>,
        limits: &Limits,
        region: &str,
    ) -> Result<Instance, String> {
        let variables = parts.environment(platform.as_ref(), region);
        let found = match std::mem::replace(&mut parts.source, Source::Nothing) {
            Source::Nothing => None,
            Source::Waiting(prewarmed) => parts.attach(*prewarmed).await,
            Source::Template(template, Some(waits)) => {
                let Prewarmed { sandbox, doors, first } = *waits;
                let (beginning, first) = (Beginning::Forked, Some(first));
                Some(Ground { beginning, sandbox, doors, first, template: Some(template) })
            }
            Source::Template(template, None) => fork(template, launcher).await,
        };
        let (ground, assignment) = match found {
            Some(ground) => {
                let variables: BTreeMap<_, _> = variables.into_iter().collect();
                let assignment = serde_json::to_vec(&variables).map_err(|error| error.to_string())?;
                (ground, Some(assignment.into()))
            }
            None => {
                let spec = parts.spec(launcher.next_id(), variables, Kind::Whole);
                let (sandbox, doors) = launcher.spawn(spec).await.map_err(|error| error.to_string())?;
                let beginning = Beginning::Fresh;
                (Ground { beginning, sandbox, doors, first: None, template: None }, None)
            }
        };
        Instance::inhabit(parts, ground, assignment, (platform, limits))
    }

    /// The same for a template, and what forks from it.
    pub(crate) async fn make_template(
        parts: Parts,
        launcher: &Launcher,
        platform: &Arc<dyn Platform>,
        limits: &Limits,
        region: &str,
    ) -> Result<(Instance, Forks), String> {
        let variables = parts.environment(platform.as_ref(), region);
        let spec = parts.spec(launcher.next_id(), variables, Kind::Template);
        let made = launcher.spawn_template(spec).await;
        let (sandbox, doors, forks) = made.map_err(|error| error.to_string())?;
        let beginning = Beginning::Fresh;
        let ground = Ground { beginning, sandbox, doors, first: None, template: None };
        Instance::inhabit(parts, ground, None, (platform, limits)).map(|instance| (instance, forks))
    }

    /// Begins to listen to what comes out of a sandbox.
    fn inhabit(
        parts: Parts,
        ground: Ground,
        assignment: Option<Bytes>,
        (platform, limits): (&Arc<dyn Platform>, &Limits),
    ) -> Result<Instance, String> {
        let Parts { version, files, log, helpers, helpers_log: helpers_sink, telemetry, farewells, .. } =
            parts;
        let Ground { beginning, sandbox, doors, first, template } = ground;
        let Doors { runtime_api, platform: door, log: output, helpers_log } = doors;
        let freezer = sandbox.freeze().map(|freeze| Arc::new(Freezer::new(freeze)));
        freezer.iter().for_each(|freezer| telemetry.keeps_awake(freezer));
        let sandbox = Arc::new(sandbox);
        let extensions = Arc::new(Extensions::new(version.clone(), &helpers, telemetry));
        let (api, calls) = Api::new(limits, assignment, extensions.clone(), Arc::downgrade(&sandbox));
        let pipe = Arc::new(LogPipe::new(output, log.clone()).map_err(|error| error.to_string())?);
        let mut tasks = JoinSet::new();
        tasks.spawn(api.clone().serve(runtime_api, first));
        let depth = Arc::new(AtomicU32::new(1));
        tasks.spawn(welcome(door, platform.clone(), version.clone(), depth.clone()));
        tasks.spawn(pipe.clone().run());
        let helpers_pipe = helpers_log.map(|output| LogPipe::new(output, helpers_sink).map(Arc::new));
        let helpers_pipe = helpers_pipe.transpose().map_err(|error| error.to_string())?;
        if let Some(pipe) = &helpers_pipe {
            tasks.spawn(pipe.clone().run());
        }
        Ok(Instance {
            version,
            beginning,
            sandbox,
            extensions,
            farewells,
            ending: Shutdown::SpinDown,
            api,
            calls,
            waiting: None,
            log,
            pipe,
            helpers_pipe,
            depth,
            tasks,
            freezer,
            _template: template,
            _files: files,
        })
    }

    /// Waits until a template has run the module code; why it is not fit to be one, if it is not.
    pub(crate) async fn snapshot(&mut self, within: Duration) -> Result<Option<String>, Broken> {
        let deadline = Instant::now() + within;
        loop {
            match self.call(deadline).await? {
                Call::Snapshot(unfit) => return Ok(unfit),
                Call::InitError(error) => return Err(Broken::InitError(error)),
                // Of no use to anybody, and so without a reply.
                Call::Next(_) | Call::Response(_) | Call::Error(_) | Call::RestoreError(_) => {}
            }
        }
    }

    /// Waits until the instance is ready for its first event.
    pub(crate) async fn initialise(&mut self, within: Duration) -> Result<(), Broken> {
        let deadline = Instant::now() + within;
        if self.extensions.has_external() {
            // In this order as on AWS: what a runtime needs of an extension is there when it starts.
            self.sound(self.extensions.registered(), deadline).await?;
            let gone = |_| Broken::Ended(End::Exited(Exit::Signal(libc::SIGKILL)));
            self.sandbox.start_command().await.map_err(gone)?;
        }
        match self.version.runtime {
            Runtime::Web => self.accepts_connections(deadline).await?,
            Runtime::Python(_)
            | Runtime::Node(_)
            | Runtime::Java(_)
            | Runtime::Provided(_)
            | Runtime::Image
            | Runtime::Wasm => self.asks_for_an_event(deadline).await?,
        }
        self.sound(self.extensions.ready(), deadline).await?;
        self.sandbox.limit_cpu(self.version.memory_mib);
        Ok(())
    }

    /// Waits until every extension is done with an invocation.
    pub(crate) async fn settle(&self, within: Duration) -> Result<(), Broken> {
        self.sound(self.extensions.idle(), Instant::now() + within).await
    }

    /// Waits for something, as long as everything is well with the instance.
    async fn sound<T>(&self, what: impl Future<Output = T>, deadline: Instant) -> Result<T, Broken> {
        tokio::select! {
            biased;
            done = what => Ok(done),
            broken = trouble(&self.sandbox, &self.extensions) => Err(broken),
            () = tokio::time::sleep_until(deadline) => Err(Broken::Timeout),
        }
    }

    /// It is of no use any more, for this reason. Extensions get their time to hear of it.
    pub(crate) fn end(&mut self, broken: &Broken) {
        self.ending = match broken {
            Broken::Timeout => Shutdown::Timeout,
            _ => Shutdown::Failure,
        };
        if !self.extensions.any() {
            self.sandbox.kill();
        }
    }

    async fn asks_for_an_event(&mut self, deadline: Instant) -> Result<(), Broken> {
        while self.waiting.is_none() {
            match self.call(deadline).await? {
                Call::Next(sender) => self.waiting = Some(sender),
                Call::InitError(error) => return Err(Broken::InitError(error)),
                Call::RestoreError(error) => return Err(Broken::RestoreError(error)),
                Call::Response(_) | Call::Error(_) | Call::Snapshot(_) => {}
            }
        }
        Ok(())
    }

    async fn accepts_connections(&mut self, deadline: Instant) -> Result<(), Broken> {
        let mut pause = Duration::from_millis(1);
        while self.sandbox.connect(WEB_PORT).await.is_err() {
            tokio::select! {
                end = self.sandbox.ended() => return Err(Broken::Ended(end)),
                () = tokio::time::sleep_until(deadline) => return Err(Broken::Timeout),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_millis(20)),
            }
        }
        Ok(())
    }

    /// One event and its answer, which goes into the sink if there is one.
    pub(crate) async fn handle(&mut self, work: Work, sink: Option<Sink>, within: Duration) -> Handled {
        self.api.expect(&work.request_id, sink);
        self.depth.store(work.depth + 1, Ordering::Relaxed);
        self.extensions.invoke(&work);
        let mut work = Some(work);
        match (self.converse(&mut work, Instant::now() + within).await, work) {
            (Err(Broken::Ended(_)), Some(work)) => Handled::Untaken(work, self.api.expects_no_more()),
            (answered, _) => Handled::Taken(answered),
        }
    }

    /// Gives the runtime the event once it asks for one, and waits for its answer. What is left of `work` at
    /// the end has not been given to anyone.
    async fn converse(
        &mut self,
        work: &mut Option<Work>,
        deadline: Instant,
    ) -> Result<Result<Vec<u8>, FunctionError>, Broken> {
        if let Some(sender) = self.waiting.take() {
            // A runtime that gave up waiting has ended, or asks again.
            *work = work.take().and_then(|work| sender.send(work).err());
        }
        loop {
            match self.call(deadline).await? {
                Call::Next(sender) => match work.take() {
                    Some(event) => *work = sender.send(event).err(),
                    None => self.waiting = Some(sender),
                },
                Call::Response(bytes) => return Ok(Ok(bytes.to_vec())),
                Call::Error(error) => return Ok(Err(error)),
                Call::InitError(error) => return Err(Broken::InitError(error)),
                // Said too late to be of interest.
                Call::RestoreError(_) | Call::Snapshot(_) => {}
            }
        }
    }

    /// The next thing the runtime does, as long as it has time and memory.
    async fn call(&mut self, deadline: Instant) -> Result<Call, Broken> {
        let limit = u64::from(self.version.memory_mib) * MIB;
        loop {
            // Not at once: a look costs system calls, and most invocations are over before the first is due.
            let look = Instant::now() + WATCH_MEMORY;
            tokio::select! {
                biased;
                call = self.calls.recv() => {
                    return call.ok_or(Broken::Ended(End::Exited(Exit::Signal(libc::SIGKILL))));
                }
                broken = trouble(&self.sandbox, &self.extensions) => return Err(broken),
                () = tokio::time::sleep_until(deadline.min(look)) => {
                    if self.sandbox.exceeds(limit) {
                        return Err(Broken::OutOfMemory);
                    }
                    if Instant::now() >= deadline {
                        return Err(Broken::Timeout);
                    }
                }
            }
        }
    }

    /// Takes in what has been printed so far, so that what is said next comes after it. A pipe holds no more
    /// than one drain takes, so a function that never stops printing does not hold this up.
    pub(crate) fn catch_up(&self) {
        for pipe in self.pipes() {
            let _ = pipe.drain();
        }
    }

    fn pipes(&self) -> impl Iterator<Item = &Arc<LogPipe>> {
        [Some(&self.pipe), self.helpers_pipe.as_ref()].into_iter().flatten()
    }

    pub(crate) fn memory_peak(&self) -> u64 {
        self.sandbox.memory_peak()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.extensions.any() && self.sandbox.is_alive() {
            let tasks = std::mem::take(&mut self.tasks);
            let (sandbox, extensions) = (self.sandbox.clone(), self.extensions.clone());
            let (freezer, pipes) = (self.freezer.clone(), self.pipes().cloned().collect());
            let parting = Parting { sandbox, extensions, freezer, pipes, tasks };
            self.farewells.say(parting, self.ending);
        }
    }
}

/// Resolves when something goes wrong in a sandbox by itself.
async fn trouble(sandbox: &Sandbox, extensions: &Extensions) -> Broken {
    tokio::select! {
        end = sandbox.ended() => Broken::Ended(end),
        failure = extensions.failed() => Broken::Extension(failure),
        (helper, ended) = sandbox.helper_ended() => {
            let name = extensions.name(helper);
            Broken::Extension(match ended {
                Ok(Exit::Status(status)) => error("Extension.Crash", &format!("{name}: exit status {status}")),
                Ok(Exit::Signal(signal)) => error("Extension.Crash", &format!("{name}: signal {signal}")),
                Err(failure) => error("Extension.LaunchError", &format!("{name}: {failure}")),
            })
        }
    }
}

impl Pooled for Instance {
    fn is_alive(&self) -> bool {
        self.sandbox.is_alive()
    }

    fn freezer(&self) -> Option<Arc<Freezer>> {
        self.freezer.clone()
    }
}

/// Hands every connection to the platform's endpoint over.
async fn welcome(
    door: TcpListener,
    platform: Arc<dyn Platform>,
    version: Arc<Version>,
    depth: Arc<AtomicU32>,
) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = door.accept().await {
        while connections.try_join_next().is_some() {}
        // One over the limit is closed at once: a sandbox may not use up the server's descriptors.
        if connections.len() < PLATFORM_CONNECTIONS {
            let _ = connection.set_nodelay(true);
            connections.spawn(platform.serve(version.clone(), Box::new(connection), depth.clone()));
        }
    }
}

pub(crate) fn too_large(length: u64, limit: u64) -> FunctionError {
    // AWS names a little more than it documents, and so much room does it leave for what is around a payload.
    let told = if limit == 6 * MIB { limit + 100 } else { limit };
    let text = format!(
        "Response payload size ({length} bytes) exceeded maximum allowed payload size ({told} bytes)."
    );
    error("Function.ResponseSizeTooLarge", &text)
}

/// An error that the platform reports in the function's stead.
pub(crate) fn error(kind: &str, text: &str) -> FunctionError {
    let payload = serde_json::json!({ "errorType": kind, "errorMessage": text });
    FunctionError { error_type: kind.into(), payload: payload.to_string().into_bytes() }
}

/// The line of an event that an instance did not live to take.
pub(crate) fn untaken(id: &str, now: Time) -> String {
    format!("{} {id} The instance ended before it took the event, which goes to another one", stamp(now))
}

/// What a broken invocation is told as, and the line that the log gets.
pub(crate) fn explain(broken: &Broken, id: &str, version: &Version, now: Time) -> (FunctionError, String) {
    let stamp = stamp(now);
    let line = |what: &str| format!("{stamp} {id} {what}");
    let say = |kind: &str, what: &str| (error(kind, &format!("RequestId: {id} Error: {what}")), line(what));
    let exited = |what: &str| say("Runtime.ExitError", &format!("Runtime exited {what}"));
    match broken {
        Broken::Timeout => {
            let (whole, rest) = (version.timeout_ms / 1000, version.timeout_ms % 1000 / 10);
            say("Sandbox.Timedout", &format!("Task timed out after {whole}.{rest:02} seconds"))
        }
        Broken::OutOfMemory | Broken::Ended(End::OutOfMemory) => {
            let (error, _) = exited("with error: signal: killed");
            (error, line(&format!("Runtime ran out of memory: {} MB", version.memory_mib)))
        }
        Broken::Ended(End::Exited(Exit::Status(0))) => exited("without providing a reason"),
        Broken::Ended(End::Exited(Exit::Status(status))) => {
            exited(&format!("with error: exit status {status}"))
        }
        Broken::Ended(End::Exited(Exit::Signal(libc::SIGKILL))) => exited("with error: signal: killed"),
        Broken::Ended(End::Exited(Exit::Signal(signal))) => exited(&format!("with error: signal: {signal}")),
        Broken::Ended(End::NotExecutable(failure)) => {
            say("Runtime.InvalidEntrypoint", &format!("Couldn't start the entry point: {failure}"))
        }
        Broken::Extension(error) => (error.clone(), line(&format!("Extension failed: {}", error.error_type))),
        Broken::InitError(error) => (error.clone(), line(&format!("Init failed: {}", error.error_type))),
        Broken::RestoreError(error) => {
            (error.clone(), line(&format!("Restore failed: {}", error.error_type)))
        }
        Broken::RestoreTimeout => say("Sandbox.Timedout", "The restore took longer than 10 seconds"),
    }
}

/// Variables that an image may choose for itself.
const IMAGE_DEFAULTS: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TZ", ":UTC"),
    ("HOME", "/tmp"),
];

fn environment(
    version: &Version,
    purpose: Purpose,
    platform: &dyn Platform,
    stream: &str,
    region: &str,
) -> BTreeMap<String, String> {
    let credentials = platform.credentials(version);
    let mut all = version.environment.clone();
    let own = version.image.iter().flat_map(|image| image.environment.clone());
    let defaults = match version.image {
        Some(_) => IMAGE_DEFAULTS.as_slice(),
        None => DEFAULTS.as_slice(),
    };
    let defaults = defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    for (name, value) in own.chain(defaults) {
        all.entry(name).or_insert(value);
    }
    let fixed = [
        ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{RUNTIME_API_PORT}")),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{PLATFORM_PORT}")),
        ("AWS_LAMBDA_FUNCTION_NAME", version.name.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", version.label.clone()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", version.memory_mib.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", version.log_group.clone()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", stream.to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", purpose.initialization_type(version).to_owned()),
        ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", version.runtime)),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_ACCESS_KEY_ID", credentials.access_key),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_key),
        ("AWS_SESSION_TOKEN", credentials.session_token),
        ("PORT", WEB_PORT.to_string()),
    ];
    all.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    // Where things are in an image is the image's to say.
    let places = [
        ("LAMBDA_TASK_ROOT", TASK.to_owned()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned()),
        ("_HANDLER", version.handler.clone()),
    ];
    if version.image.is_none() {
        all.extend(places.map(|(name, value)| (name.to_owned(), value)));
    }
    if let LogFormat::Json { application, .. } = &version.log_format {
        all.insert("AWS_LAMBDA_LOG_FORMAT".into(), "JSON".into());
        all.insert("AWS_LAMBDA_LOG_LEVEL".into(), application.clone());
    }
    all
}
