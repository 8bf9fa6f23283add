//! Events: one invocation through a function behind the Runtime API, or as a CloudEvent through one that
//! speaks HTTP.

use super::report::{self, Course, Subject, Told, micros, say_end, say_start};
use super::{Asked, FetchError, Held, Host, Inner, Permit};
use crate::body::{self, Body, Cut};
use crate::instance::{Broken, Handled, error, explain, too_large, untaken};
use crate::pool::Denied;
use crate::runtime_api::Work;
use crate::stream::Sink;
use http_body_util::BodyExt as _;
use mayfly_kernel::function::{FunctionError, Invocation, Outcome, Refusal, Report, Version};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What one instance came to.
enum Attempt {
    Done(Outcome),
    /// A warm instance ended before it took the event, which is for another one now.
    Untaken(Work, Option<Sink>, Permit),
}

/// What the end of an invocation needs to know.
struct Finish {
    subject: Subject,
    course: Course,
    status: &'static str,
}

/// In telemetry's words.
fn status(result: &Result<Vec<u8>, FunctionError>, ended: &Result<(), Broken>) -> &'static str {
    match (result, ended) {
        (_, Err(Broken::Timeout)) => "timeout",
        (_, Err(_)) => "failure",
        (Err(_), Ok(())) => "error",
        (Ok(_), Ok(())) => "success",
    }
}

impl Inner {
    pub(super) async fn run(
        self: Arc<Inner>,
        version: Arc<Version>,
        invocation: Invocation,
        mut permit: Permit,
        sink: Option<Sink>,
    ) -> Result<Outcome, Refusal> {
        let asked = Instant::now();
        let mut next = (self.work(&version, invocation), sink);
        loop {
            match self.attempt(&version, next, asked, permit).await? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Untaken(work, sink, back) => (next, permit) = ((work, sink), back),
            }
        }
    }

    /// Runs an event through one instance.
    async fn attempt(
        self: &Arc<Inner>,
        version: &Arc<Version>,
        (mut work, sink): (Work, Option<Sink>),
        asked: Instant,
        permit: Permit,
    ) -> Result<Attempt, Refusal> {
        let subject =
            Subject { id: work.request_id.clone(), version: version.clone(), tenant: work.tenant.clone() };
        let id = &subject.id;
        let made = match self.instance(version, work.tenant.as_deref(), id).await {
            Ok(made) => made,
            Err(Denied::Refused(refusal)) => return Err(refusal),
            Err(Denied::Failing(error)) => return Ok(Attempt::Done(self.not_run(asked, error))),
        };
        let warm = made.cold.is_none();
        let mut held = made.held;
        if let Err(broken) = &made.initialised
            && let Some(refusal) = broken.refusal()
        {
            held.instance.catch_up();
            self.tell(broken, &mut held, version, id);
            return Err(refusal);
        }
        let instance = &mut held.instance;
        instance.log.begin_tail();
        let course = Course::begin(asked, made.cold, self.clock.now());
        instance.catch_up();
        say_start(&instance.log, &subject);
        let telemetry = instance.extensions.telemetry.clone();
        telemetry.platform("start", || report::start_record(&subject));
        let timeout = Duration::from_millis(version.timeout_ms);
        work.deadline_ms = (self.clock.now() + timeout).ms();
        let answered = match made.initialised {
            Err(broken) => Err(broken),
            Ok(()) => match instance.handle(work, sink, timeout).await {
                Handled::Taken(answered) => answered,
                // Only what has run an event before: a runtime that never asks for one would be tried for
                // ever.
                Handled::Untaken(work, sink) if warm => {
                    let stamp = self.clock.now();
                    instance.catch_up();
                    instance.log.say(untaken(id, stamp));
                    return Ok(Attempt::Untaken(work, sink, permit));
                }
                Handled::Untaken(..) => Err(Broken::Ended(instance.sandbox.ended().await)),
            },
        };
        let ran = course.elapsed();
        instance.catch_up();
        let (result, ended) = match answered {
            Ok(result) => (result, Ok(())),
            Err(broken) => (Err(self.tell(&broken, &mut held, version, id)), Err(broken)),
        };
        let status = status(&result, &ended);
        telemetry.platform("runtimeDone", || report::runtime_done(&subject, status, ran, &result));
        let finish = Finish { subject, course, status };
        if ended.is_err() || !held.instance.extensions.any() {
            let (log_tail, report) = self.finish(held, &finish, ran, ended.is_ok());
            return Ok(Attempt::Done(Outcome { result, log_tail, report }));
        }
        // The answer does not wait for what extensions still do; the instance does.
        let log_tail = held.instance.log.tail();
        let report = finish.course.report(ran, held.instance.memory_peak());
        let inner = self.clone();
        tokio::spawn(async move {
            let settled = held.instance.settle(timeout.saturating_sub(ran)).await;
            held.instance.catch_up();
            if let Err(broken) = &settled {
                inner.tell(broken, &mut held, &finish.subject.version, &finish.subject.id);
            }
            let ran = finish.course.elapsed();
            inner.finish(held, &finish, ran, settled.is_ok());
            drop(permit);
        });
        Ok(Attempt::Done(Outcome { result, log_tail, report }))
    }

    /// Says in the log how an instance broke, and gives it up; what the caller is told.
    fn tell(&self, broken: &Broken, held: &mut Held, version: &Version, id: &str) -> FunctionError {
        held.instance.end(broken);
        let (error, line) = explain(broken, id, version, self.clock.now());
        held.instance.log.say(line);
        error
    }

    /// The last lines of an invocation and its figures; an instance that is still good goes back.
    fn finish(&self, held: Held, finish: &Finish, ran: Duration, reusable: bool) -> (Vec<u8>, Report) {
        let Finish { subject, course, status } = finish;
        let instance = &held.instance;
        let report = course.report(ran, instance.memory_peak());
        say_end(&instance.log, subject, &report);
        let telemetry = &instance.extensions.telemetry;
        telemetry.platform("end", || report::end_record(subject));
        telemetry.platform("report", || report::report_record(subject, status, &report));
        let log_tail = instance.log.tail();
        if reusable {
            self.pool.put(held);
        }
        (log_tail, report)
    }

    /// The outcome of an event whose version is known not to initialise.
    fn not_run(&self, asked: Instant, error: FunctionError) -> Outcome {
        let report = Course::begin(asked, None, self.clock.now()).report(Duration::ZERO, 0);
        Outcome { result: Err(error), log_tail: Vec::new(), report }
    }

    fn work(&self, version: &Version, invocation: Invocation) -> Work {
        Work {
            request_id: invocation.request_id,
            // Set when it is given to an instance.
            deadline_ms: 0,
            invoked_arn: if invocation.invoked_arn.is_empty() {
                version.function.to_string()
            } else {
                invocation.invoked_arn
            },
            trace_id: invocation.trace_id,
            client_context: invocation.client_context,
            tenant: invocation.tenant,
            event: invocation.event.into(),
            depth: invocation.depth,
        }
    }
}

impl Host {
    /// An event for a function that speaks HTTP: a CloudEvent in binary mode, the answer's body is the
    /// result.
    pub(super) async fn invoke_by_http(
        &self,
        version: Arc<Version>,
        invocation: Invocation,
        sink: Option<Sink>,
    ) -> Result<Outcome, Refusal> {
        let started = self.inner.clock.now();
        let began = Instant::now();
        let (told, end) = oneshot::channel();
        let request = http::Request::post("/")
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", &invocation.request_id)
            .header("ce-type", &invocation.event_type)
            .header("ce-source", &invocation.invoked_arn);
        let request = match &invocation.tenant {
            Some(tenant) => request.header("ce-tenantid", tenant),
            None => request,
        };
        let request = request.body(body::full(invocation.event));
        let request = request.map_err(|error| Refusal::Unrunnable(error.to_string()))?;
        let asked = Asked {
            id: invocation.request_id.clone(),
            depth: invocation.depth + 1,
            tenant: invocation.tenant,
            invoked_arn: invocation.invoked_arn,
            told: Told::to(told),
        };
        let answered = self.fetch_telling(version, request, asked).await;
        let result = match answered {
            Err(FetchError::Refused(refusal)) => return Err(refusal),
            Err(FetchError::Crashed(error)) => Err(error),
            Err(FetchError::Timeout) => {
                let text = format!("RequestId: {} Error: Task timed out", invocation.request_id);
                Err(error("Sandbox.Timedout", &text))
            }
            Err(FetchError::BadGateway(text)) => Err(error("Runtime.InvalidResponse", &text)),
            Ok(response) => self.result_of(response, sink).await,
        };
        let duration_us = micros(began.elapsed());
        let (log_tail, report) =
            end.await.unwrap_or_else(|_| (Vec::new(), Report { started, duration_us, ..Report::default() }));
        Ok(Outcome { result, log_tail, report })
    }

    async fn result_of(
        &self,
        response: http::Response<Body>,
        sink: Option<Sink>,
    ) -> Result<Vec<u8>, FunctionError> {
        let (parts, mut body) = response.into_parts();
        let failed = parts.status.is_server_error();
        // An error is told at the end, whichever way the answer goes.
        let sink = sink.filter(|_| !failed);
        let limits = &self.inner.limits;
        let limit = match &sink {
            None => limits.invoke_response_bytes,
            Some(sink) => {
                let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                sink.begin(kind.unwrap_or("application/octet-stream"));
                limits.stream_response_bytes
            }
        };
        let (mut bytes, mut length) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| match cause.downcast_ref::<Cut>() {
                Some(Cut::Timeout) => error("Sandbox.Timedout", &cause.to_string()),
                Some(Cut::Failed) | None => error("Function.ResponseInvalid", &cause.to_string()),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len() as u64;
            if length > limit {
                return Err(too_large(length, limit));
            }
            match &sink {
                None => bytes.extend_from_slice(&data),
                Some(sink) => sink.send(data).await,
            }
        }
        match failed {
            false => Ok(bytes),
            true => {
                let (status, text) = (parts.status, String::from_utf8_lossy(&bytes));
                Err(error("Function.HttpError", &format!("the function answered {status}: {text}")))
            }
        }
    }
}
