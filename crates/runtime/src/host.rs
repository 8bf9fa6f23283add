//! The host: takes invocations and requests, finds or makes an instance for each, and reports what came of it.

use crate::body::{self, Body};
use crate::clients;
use crate::instance::{Broken, Instance, error, explain, too_large};
use crate::interpreters::Interpreters;
use crate::layers::{self, Layer, Layers};
use crate::logs::Log;
use crate::package::PackageCache;
use crate::platform::Platform;
use crate::pool::{Permit, Pool};
use crate::runtime_api::Work;
use crate::sandbox::Launcher;
use crate::start::{Started, Starter};
use crate::wasm;
use crate::web::{self, Fed, NoAnswer};
use http_body_util::BodyExt as _;
use mayfly_kernel::function::{FunctionError, Invocation, Outcome, Refusal, Report, Runtime, Version};
use mayfly_kernel::{Arn, Clock, Limits};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

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
    limits: Limits,
    clock: Arc<dyn Clock>,
    starter: Arc<Starter>,
    pool: Arc<Pool>,
    wasm: wasm::Engine,
    /// The log stream of each Wasm version on this node. A guest lives for one request; a stream for each would make
    /// the log cost more than the guest.
    wasm_streams: Mutex<HashMap<String, (Arn, String)>>,
    invocations: AtomicU64,
}

/// What is known of an invocation when it ends.
struct Course {
    queue_us: u64,
    init_us: Option<u64>,
    began: Instant,
    started: mayfly_kernel::Time,
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
        let wasm = wasm::Engine::new(&config.cache_dir.join("wasm"), config.limits.node_instances);
        let launcher = Launcher::start(config.launcher, root).await;
        let launcher = launcher.map_err(|error| StartError::Launcher(error.to_string()))?;
        let layers = launcher.layers().await;
        let missing = layers::list(config.require.into_iter().filter(|layer| !layers.contains(layer)));
        if !missing.is_empty() {
            return Err(StartError::MissingLayers { missing });
        }
        let pool = Pool::new(&config.limits);
        tokio::spawn(pool.clone().reap());
        let packages = packages.map_err(io("open the package cache"))?;
        let interpreters = Interpreters::new(config.runtimes_dir);
        let (seams, settings) = ((platform, clock.clone()), (config.limits.clone(), config.region));
        let inner = Inner {
            layers,
            wasm: wasm.map_err(io("open the Wasm cache"))?,
            limits: config.limits,
            clock,
            starter: Arc::new(Starter::new(launcher, interpreters, packages, seams, settings)),
            pool,
            wasm_streams: Mutex::default(),
            invocations: AtomicU64::new(0),
        };
        Ok(Host { inner: Arc::new(inner) })
    }

    /// Runs one event through `version`. Once begun, an invocation runs to its end even if this future is dropped.
    pub async fn invoke(&self, version: Arc<Version>, invocation: Invocation) -> Result<Outcome, Refusal> {
        if version.runtime.speaks_http() {
            return self.invoke_by_http(version, invocation).await;
        }
        let permit = self.inner.pool.admit(&version)?;
        self.inner.invocations.fetch_add(1, Ordering::Relaxed);
        let run = self.inner.clone().run(version, invocation, permit);
        tokio::spawn(run).await.unwrap_or_else(|failed| Err(Refusal::Unrunnable(failed.to_string())))
    }

    /// Passes one HTTP request to a function that speaks HTTP; both bodies stream.
    pub async fn fetch(
        &self,
        version: Arc<Version>,
        request: http::Request<Body>,
        request_id: String,
    ) -> Result<http::Response<Body>, FetchError> {
        let permit = self.inner.pool.admit(&version).map_err(FetchError::Refused)?;
        self.inner.invocations.fetch_add(1, Ordering::Relaxed);
        match version.runtime {
            Runtime::Wasm => self.inner.clone().fetch_wasm(version, request, request_id, permit).await,
            Runtime::Web => self.inner.clone().fetch_web(version, request, request_id, permit).await,
            Runtime::Python(_) | Runtime::Node(_) | Runtime::Java(_) | Runtime::Provided(_) => {
                Err(FetchError::BadGateway("the function does not speak HTTP".into()))
            }
        }
    }

    /// An event for a function that speaks HTTP: a CloudEvent in binary mode, the answer's body is the result.
    async fn invoke_by_http(
        &self,
        version: Arc<Version>,
        invocation: Invocation,
    ) -> Result<Outcome, Refusal> {
        let started = self.inner.clock.now();
        let began = Instant::now();
        let request = http::Request::post("/")
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", &invocation.request_id)
            .header("ce-type", &invocation.event_type)
            .header("ce-source", &invocation.invoked_arn)
            .body(body::full(invocation.event));
        let request = request.map_err(|error| Refusal::Unrunnable(error.to_string()))?;
        let result = match self.fetch(version, request, invocation.request_id.clone()).await {
            Err(FetchError::Refused(refusal)) => return Err(refusal),
            Err(FetchError::Crashed(error)) => Err(error),
            Err(FetchError::Timeout) => {
                let text = format!("RequestId: {} Error: Task timed out", invocation.request_id);
                Err(error("Sandbox.Timedout", &text))
            }
            Err(FetchError::BadGateway(text)) => Err(error("Runtime.InvalidResponse", &text)),
            Ok(response) => self.result_of(response).await,
        };
        let duration_us = micros(began.elapsed());
        let report = Report { started, duration_us, ..Report::default() };
        Ok(Outcome { result, log_tail: Vec::new(), report })
    }

    async fn result_of(&self, response: http::Response<Body>) -> Result<Vec<u8>, FunctionError> {
        let status = response.status();
        let (mut body, mut bytes) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| error("Function.ResponseInvalid", &cause.to_string()))?;
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() as u64 > self.inner.limits.invoke_response_bytes {
                return Err(too_large(bytes.len() as u64));
            }
        }
        match status.is_server_error() {
            false => Ok(bytes),
            true => {
                let text = String::from_utf8_lossy(&bytes);
                Err(error("Function.HttpError", &format!("the function answered {status}: {text}")))
            }
        }
    }

    /// Does ahead of time what the first invocation would otherwise wait for. Blocks.
    pub fn prepare(&self, version: &Version) -> Result<Prepared, PrepareError> {
        let inner = &self.inner;
        if version.runtime == Runtime::Wasm {
            let (code, _) = inner.starter.unpack(version).map_err(PrepareError)?;
            let compiled = inner.wasm.compile(&code, &version.handler, &version.package);
            compiled.map_err(|error| PrepareError(error.to_string()))?;
            return Ok(Prepared::default());
        }
        let warning = inner.starter.prepare(version).map_err(PrepareError)?;
        Ok(Prepared { warnings: warning.into_iter().collect() })
    }

    /// The function was changed or deleted: its idle instances stop now, busy ones when they are done.
    pub fn retire(&self, function: &Arn) {
        self.inner.pool.retire(function);
        self.inner.wasm_streams.lock().retain(|_, (owner, _)| owner != function);
    }

    /// Refuses new work, waits up to `limit` for what is running, and stops every instance.
    pub async fn drain(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.inner.pool.drain()).await.is_err() {
            tracing::warn!("invocations were still running when the drain limit was reached");
        }
        self.inner.starter.launcher.stop().await;
    }

    pub fn stats(&self) -> HostStats {
        let (instances, idle, in_flight) = self.inner.pool.counts();
        HostStats {
            layers: self.inner.layers.clone(),
            instances,
            idle,
            in_flight,
            cold_starts: self.inner.starter.cold_starts(),
            invocations: self.inner.invocations.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    async fn run(
        self: Arc<Inner>,
        version: Arc<Version>,
        invocation: Invocation,
        permit: Permit,
    ) -> Result<Outcome, Refusal> {
        let asked = Instant::now();
        let id = invocation.request_id.clone();
        let (mut instance, init_us, made) = self.instance(&version).await?;
        instance.log.begin_tail();
        let course = Course {
            queue_us: micros(asked.elapsed()).saturating_sub(init_us.unwrap_or(0)),
            init_us,
            began: Instant::now(),
            started: self.clock.now(),
        };
        instance.catch_up();
        instance.log.say(&format!("START RequestId: {id} Version: {}", version.label));
        let timeout = Duration::from_millis(version.timeout_ms);
        let answered = match made {
            Err(broken) => Err(broken),
            Ok(()) => instance.handle(self.work(&version, invocation, timeout), timeout).await,
        };
        instance.catch_up();
        let (result, reusable) = match answered {
            Ok(result) => (result, true),
            Err(broken) => {
                instance.sandbox.kill();
                let (error, line) = explain(&broken, &id, &version, self.clock.now());
                instance.log.say(&line);
                (Err(error), false)
            }
        };
        let report = self.report(&course, instance.memory_peak());
        say_end(&instance.log, &id, &version, &report);
        let log_tail = instance.log.tail();
        if reusable {
            self.pool.put(instance, &permit);
        }
        Ok(Outcome { result, log_tail, report })
    }

    fn work(&self, version: &Version, invocation: Invocation, timeout: Duration) -> Work {
        Work {
            request_id: invocation.request_id,
            deadline_ms: (self.clock.now() + timeout).ms(),
            invoked_arn: if invocation.invoked_arn.is_empty() {
                version.function.to_string()
            } else {
                invocation.invoked_arn
            },
            trace_id: invocation.trace_id,
            client_context: invocation.client_context,
            event: invocation.event.into(),
        }
    }

    /// A warm instance, or a new one with the time it took and how its initialisation went.
    async fn instance(
        &self,
        version: &Arc<Version>,
    ) -> Result<(Instance, Option<u64>, Result<(), Broken>), Refusal> {
        if let Some(instance) = self.pool.take(&version.id) {
            return Ok((instance, None, Ok(())));
        }
        let slot = self.pool.slot()?;
        let Started { instance, init_us, initialised } = self.starter.start(version, slot).await?;
        Ok((instance, Some(init_us), initialised))
    }

    /// The log of one Wasm request: in the stream of its version.
    fn wasm_log(&self, version: &Arc<Version>) -> Log {
        let mut streams = self.wasm_streams.lock();
        let named = streams.entry(version.id.clone());
        let (_, stream) =
            named.or_insert_with(|| (version.function.clone(), self.starter.new_stream(version)));
        let stream = stream.clone();
        drop(streams);
        self.starter.log(version, stream)
    }

    fn report(&self, course: &Course, max_memory_bytes: u64) -> Report {
        Report {
            started: course.started,
            queue_us: course.queue_us,
            init_us: course.init_us,
            duration_us: micros(course.began.elapsed()),
            max_memory_bytes,
        }
    }

    async fn fetch_web(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: http::Request<Body>,
        id: String,
        permit: Permit,
    ) -> Result<http::Response<Body>, FetchError> {
        let asked = Instant::now();
        let (mut instance, init_us, made) = self.instance(&version).await.map_err(FetchError::Refused)?;
        let queue_us = micros(asked.elapsed()).saturating_sub(init_us.unwrap_or(0));
        let course = Course { queue_us, init_us, began: Instant::now(), started: self.clock.now() };
        instance.catch_up();
        instance.log.begin_tail();
        instance.log.say(&format!("START RequestId: {id} Version: {}", version.label));
        let timeout = Duration::from_millis(version.timeout_ms);
        let sent = match made {
            Err(broken) => Err(NoAnswer::Broken(broken)),
            Ok(()) => web::send(&mut instance, request, timeout).await,
        };
        match sent {
            Ok(answer) => {
                let (response, mut feed) = web::relay(answer);
                let left = timeout.saturating_sub(course.began.elapsed());
                // The instance is free again when the whole body has been passed on.
                tokio::spawn(async move {
                    let fed = feed.run(&mut instance, left).await;
                    let whole = fed.is_ok();
                    self.finish_web(instance, &version, &id, &course, fed, &permit);
                    drop(permit);
                    feed.end(whole).await;
                });
                Ok(response)
            }
            Err(NoAnswer::Broken(broken)) => {
                let (error, _) = explain(&broken, &id, &version, self.clock.now());
                let timed_out = matches!(broken, Broken::Timeout);
                self.finish_web(instance, &version, &id, &course, Err(broken), &permit);
                Err(if timed_out { FetchError::Timeout } else { FetchError::Crashed(error) })
            }
            Err(NoAnswer::NotHttp(text)) => {
                let crash = Broken::InitError(error("Runtime.InvalidResponse", &text));
                self.finish_web(instance, &version, &id, &course, Err(crash), &permit);
                Err(FetchError::BadGateway(text))
            }
        }
    }

    fn finish_web(
        &self,
        instance: Instance,
        version: &Version,
        id: &str,
        course: &Course,
        ended: Result<Fed, Broken>,
        permit: &Permit,
    ) {
        instance.catch_up();
        if let Err(broken) = &ended {
            instance.sandbox.kill();
            instance.log.say(&explain(broken, id, version, self.clock.now()).1);
        }
        say_end(&instance.log, id, version, &self.report(course, instance.memory_peak()));
        if matches!(ended, Ok(Fed::Whole)) {
            self.pool.put(instance, permit);
        }
    }

    async fn fetch_wasm(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: http::Request<Body>,
        id: String,
        permit: Permit,
    ) -> Result<http::Response<Body>, FetchError> {
        let unrunnable = |text: String| FetchError::Refused(Refusal::Unrunnable(text));
        let code = self.starter.code(&version).await.map_err(unrunnable)?;
        let course = Course { queue_us: 0, init_us: None, began: Instant::now(), started: self.clock.now() };
        let log = Arc::new(self.wasm_log(&version));
        log.say(&format!("START RequestId: {id} Version: {}", version.label));
        let sink = log.clone();
        let call = wasm::Call {
            request_id: id.clone(),
            log: Arc::new(move |line: &[u8]| sink.say(&String::from_utf8_lossy(line))),
            timeout: Duration::from_millis(version.timeout_ms),
        };
        match self.wasm.fetch(&version, &code, request, call).await {
            Ok(reply) => {
                tokio::spawn(async move {
                    let finished = reply.finished.await.ok();
                    if let Some(trap) = finished.as_ref().and_then(|finished| finished.trap.as_ref()) {
                        log.say(&format!("{id} {trap}"));
                    }
                    let memory = finished.map_or(0, |finished| finished.memory_bytes);
                    say_end(&log, &id, &version, &self.report(&course, memory));
                    drop(permit);
                });
                Ok(reply.response)
            }
            Err(failure) => {
                log.say(&format!("{id} {failure}"));
                say_end(&log, &id, &version, &self.report(&course, 0));
                let text = format!("RequestId: {id} Error: {failure}");
                Err(match failure {
                    wasm::Error::Timeout => FetchError::Timeout,
                    wasm::Error::Busy => FetchError::Refused(Refusal::NodeFull),
                    wasm::Error::NotCompiled(text) => unrunnable(text),
                    wasm::Error::OutOfMemory => FetchError::Crashed(error("Runtime.OutOfMemory", &text)),
                    wasm::Error::Trap(_) => FetchError::Crashed(error("Runtime.Trap", &text)),
                    wasm::Error::NoResponse | wasm::Error::BadResponse(_) => FetchError::BadGateway(text),
                })
            }
        }
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The END and REPORT lines, in AWS's form.
fn say_end(log: &Log, id: &str, version: &Version, report: &Report) {
    log.say(&format!("END RequestId: {id}"));
    let ms = |us: u64| format!("{}.{:02} ms", us / 1000, us % 1000 / 10);
    let init = report.init_us.map(|us| format!("Init Duration: {}\t", ms(us))).unwrap_or_default();
    log.say(&format!(
        "REPORT RequestId: {id}\tDuration: {}\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t{init}",
        ms(report.duration_us),
        report.duration_us.div_ceil(1000),
        version.memory_mib,
        report.max_memory_bytes.div_ceil(MIB),
    ));
}
