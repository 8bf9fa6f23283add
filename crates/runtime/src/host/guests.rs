//! Requests for Wasm functions: what the host does around a guest, which is to know its log and to report its
//! end.

use super::report::{Course, Subject, Told, say_end, say_start};
use super::{Asked, FetchError, Inner, Permit};
use crate::body::Body;
use crate::instance::error;
use crate::logs::Log;
use crate::wasm;
use mayfly_kernel::function::{Refusal, Version};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The log of each Wasm version on this node. A guest lives for one request; a stream for each would make the
/// log cost more than the guest.
#[derive(Default)]
pub(super) struct Logs(Mutex<HashMap<String, Log>>);

impl Logs {
    pub(super) fn forget(&self, version: &str) {
        self.0.lock().remove(version);
    }
}

/// A request under way. Its end is told and its place given back when this is dropped: also when the client
/// goes away before the answer, and nobody polls the request any more.
struct Ending {
    log: Arc<Log>,
    subject: Subject,
    course: Course,
    memory_bytes: u64,
    told: Told,
    _permit: Permit,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let report = self.course.report(self.course.elapsed(), self.memory_bytes);
        say_end(&self.log, &self.subject, &report);
        let log = &self.log;
        self.told.end(|| log.tail(), report);
    }
}

impl Ending {
    fn finish(mut self, finished: &wasm::Finished) {
        self.memory_bytes = finished.memory_bytes;
        if let Some(trap) = &finished.trap {
            self.told.failed();
            self.log.say(format!("{} {trap}", self.subject.id));
        }
    }

    fn fail(mut self, failure: wasm::Error) -> FetchError {
        self.told.failed();
        self.log.say(format!("{} {failure}", self.subject.id));
        let text = format!("RequestId: {} Error: {failure}", self.subject.id);
        match failure {
            wasm::Error::Timeout => FetchError::Timeout,
            wasm::Error::Busy => FetchError::Refused(Refusal::NodeFull),
            wasm::Error::NotCompiled(text) => FetchError::Refused(Refusal::Unrunnable(text)),
            wasm::Error::OutOfMemory => FetchError::Crashed(error("Runtime.OutOfMemory", &text)),
            wasm::Error::Trap(_) => FetchError::Crashed(error("Runtime.Trap", &text)),
            wasm::Error::NoResponse | wasm::Error::BadResponse(_) => FetchError::BadGateway(text),
        }
    }
}

impl Inner {
    pub(super) async fn fetch_wasm(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: http::Request<Body>,
        Asked { id, depth, tenant, told, invoked_arn: _ }: Asked,
        permit: Permit,
    ) -> Result<http::Response<Body>, FetchError> {
        let program = match self.wasm.loaded(&version) {
            Some(program) => program,
            None => self.load(&version).await.map_err(|why| FetchError::Refused(Refusal::Unrunnable(why)))?,
        };
        let course = Course::at_once(self.clock.now());
        let log = Arc::new(self.guest_log(&version));
        if told.listens() {
            log.begin_tail();
        }
        let subject = Subject { id, version: version.clone(), tenant };
        say_start(&log, &subject);
        let sink = log.clone();
        let call = wasm::Call {
            log: Arc::new(move |line: &[u8]| sink.line(String::from_utf8_lossy(line).into_owned())),
            timeout: Duration::from_millis(version.timeout_ms),
            depth,
        };
        let mut ending = Ending { log, subject, course, memory_bytes: 0, told, _permit: permit };
        let mut reply = match self.wasm.run(program, &version, request, call).await {
            Ok(reply) => reply,
            Err(failure) => return Err(ending.fail(failure)),
        };
        ending.told.answered(reply.response.status());
        match reply.finished.try_recv() {
            // A short answer is whole by now, and the guest gone.
            Ok(finished) => ending.finish(&finished),
            Err(_) => {
                tokio::spawn(async move {
                    if let Ok(finished) = reply.finished.await {
                        ending.finish(&finished);
                    }
                });
            }
        }
        Ok(reply.response)
    }

    /// The program of a version that no request has used for a while, or ever.
    async fn load(self: &Arc<Inner>, version: &Arc<Version>) -> Result<wasm::Loaded, String> {
        let (inner, wanted) = (self.clone(), version.clone());
        let loading = tokio::task::spawn_blocking(move || {
            let (code, _) = inner.starter.unpack(&wanted)?;
            inner.wasm.load(&wanted, &code).map_err(|error| error.to_string())
        });
        loading.await.map_err(|failed| failed.to_string())?
    }

    /// The log of one request: in the stream of its version.
    fn guest_log(&self, version: &Arc<Version>) -> Log {
        let mut known = self.guests.0.lock();
        if let Some(log) = known.get(&version.id) {
            return log.beside();
        }
        let log = self.starter.log(version, self.starter.new_stream(version));
        let own = log.beside();
        known.insert(version.id.clone(), log);
        own
    }
}
