//! HTTP: one request through a function that speaks it, in a sandbox or as a WebAssembly component. Bodies
//! stream.

use super::report::{Course, say_end};
use super::{FetchError, Held, Inner, Permit};
use crate::body::Body;
use crate::instance::{Broken, error, explain};
use crate::logs::Log;
use crate::pool::Denied;
use crate::wasm;
use crate::web::{self, Fed, NoAnswer};
use http::{Request, Response};
use mayfly_kernel::function::{Refusal, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Inner {
    pub(super) async fn fetch_web(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: Request<Body>,
        id: String,
        permit: Permit,
    ) -> Result<Response<Body>, FetchError> {
        let asked = Instant::now();
        let made = self.instance(&version, &id).await.map_err(|denied| match denied {
            Denied::Refused(refusal) => FetchError::Refused(refusal),
            Denied::Failing(error) => FetchError::Crashed(error),
        })?;
        let mut held = made.held;
        let course = Course::begin(asked, made.init_us, self.clock.now());
        held.instance.catch_up();
        held.instance.log.begin_tail();
        held.instance.log.say(&format!("START RequestId: {id} Version: {}", version.label));
        let timeout = Duration::from_millis(version.timeout_ms);
        let sent = match made.initialised {
            Err(broken) => Err(NoAnswer::Broken(broken)),
            Ok(()) => web::send(&mut held.instance, request, timeout).await,
        };
        match sent {
            Ok(answer) => {
                let (response, mut feed) = web::relay(answer);
                let left = timeout.saturating_sub(course.elapsed());
                // The instance is free again when the whole body has been passed on.
                tokio::spawn(async move {
                    let fed = feed.run(&mut held.instance, left).await;
                    let whole = fed.is_ok();
                    self.finish_web(held, &version, &id, &course, fed);
                    drop(permit);
                    feed.end(whole).await;
                });
                Ok(response)
            }
            Err(NoAnswer::Broken(broken)) => {
                let (error, _) = explain(&broken, &id, &version, self.clock.now());
                let timed_out = matches!(broken, Broken::Timeout);
                self.finish_web(held, &version, &id, &course, Err(broken));
                Err(if timed_out { FetchError::Timeout } else { FetchError::Crashed(error) })
            }
            Err(NoAnswer::NotHttp(text)) => {
                let crash = Broken::InitError(error("Runtime.InvalidResponse", &text));
                self.finish_web(held, &version, &id, &course, Err(crash));
                Err(FetchError::BadGateway(text))
            }
        }
    }

    fn finish_web(
        &self,
        held: Held,
        version: &Version,
        id: &str,
        course: &Course,
        ended: Result<Fed, Broken>,
    ) {
        let ran = course.elapsed();
        held.instance.catch_up();
        if let Err(broken) = &ended {
            held.instance.sandbox.kill();
            held.instance.log.say(&explain(broken, id, version, self.clock.now()).1);
        }
        say_end(&held.instance.log, id, version, &course.report(ran, held.instance.memory_peak()));
        if matches!(ended, Ok(Fed::Whole)) {
            self.pool.put(held);
        }
    }

    pub(super) async fn fetch_wasm(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: Request<Body>,
        id: String,
        permit: Permit,
    ) -> Result<Response<Body>, FetchError> {
        let unrunnable = |text: String| FetchError::Refused(Refusal::Unrunnable(text));
        let code = self.starter.code(&version).await.map_err(unrunnable)?;
        let course = Course::begin(Instant::now(), None, self.clock.now());
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
                    say_end(&log, &id, &version, &course.report(course.elapsed(), memory));
                    drop(permit);
                });
                Ok(reply.response)
            }
            Err(failure) => {
                log.say(&format!("{id} {failure}"));
                say_end(&log, &id, &version, &course.report(course.elapsed(), 0));
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

    /// The log of one Wasm request: in the stream of its version.
    fn wasm_log(&self, version: &Arc<Version>) -> Log {
        let mut streams = self.wasm_streams.lock();
        let named = streams.entry(version.id.clone());
        let stream = named.or_insert_with(|| self.starter.new_stream(version)).clone();
        drop(streams);
        self.starter.log(version, stream)
    }
}
