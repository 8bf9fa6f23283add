//! What an invocation cost, and how its log says so.

use super::metering::Metering;
use crate::logs::Log;
use crate::start::Cold;
use mayfly_kernel::Time;
use mayfly_kernel::function::{FunctionError, Report, SystemLevel, Version};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const MIB: u64 = 1024 * 1024;
/// A shorter wait is not worth a word in the log.
const WORTH_TELLING_US: u64 = 1000;

/// What is known of an invocation when it reaches its instance.
pub(super) struct Course {
    queue_us: u64,
    cold: Option<Cold>,
    began: Instant,
    started: Time,
}

impl Course {
    /// It was asked for at `asked`, and runs from now on.
    pub(super) fn begin(asked: Instant, cold: Option<Cold>, started: Time) -> Course {
        let began = Instant::now();
        let making_us = cold.map_or(0, |cold| match cold {
            Cold::Init(us) | Cold::Restore(us) => us,
        });
        let queue_us = micros(began - asked).saturating_sub(making_us);
        Course { queue_us, cold, began, started }
    }

    /// It waited for nothing.
    pub(super) fn at_once(started: Time) -> Course {
        Course { queue_us: 0, cold: None, began: Instant::now(), started }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The figures of an invocation that ran for `ran`; the time since then went into tidying up.
    pub(super) fn report(&self, ran: Duration, max_memory_bytes: u64) -> Report {
        let (init_us, restore_us) = match self.cold {
            Some(Cold::Init(us)) => (Some(us), None),
            Some(Cold::Restore(us)) => (None, Some(us)),
            None => (None, None),
        };
        Report {
            started: self.started,
            queue_us: self.queue_us,
            init_us,
            restore_us,
            duration_us: micros(ran),
            post_us: micros(self.began.elapsed().saturating_sub(ran)),
            max_memory_bytes,
        }
    }
}

/// Whoever invokes a function that speaks HTTP: told at its end the end of its log, and the figures.
pub(super) type Listener = oneshot::Sender<(Vec<u8>, Report)>;

/// All who are told of the end of a request to a function that speaks HTTP.
#[derive(Default)]
pub(super) struct Told {
    listener: Option<Listener>,
    metering: Option<Metering>,
    failed: bool,
}

impl Told {
    pub(super) fn to(listener: Listener) -> Told {
        Told { listener: Some(listener), ..Told::default() }
    }

    pub(super) fn count_by(&mut self, metering: Metering) {
        self.metering = Some(metering);
    }

    /// Whether the end of the log is asked for.
    pub(super) fn listens(&self) -> bool {
        self.listener.is_some()
    }

    /// The request counts as an error, whatever else comes.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// The function's answer begins: one that blames the server is an error.
    pub(super) fn answered(&mut self, status: http::StatusCode) {
        self.failed |= status.is_server_error();
    }

    pub(super) fn end(&mut self, tail: impl FnOnce() -> Vec<u8>, report: Report) {
        if let Some(metering) = &mut self.metering {
            metering.ended(self.failed, &report);
        }
        if let Some(listener) = self.listener.take() {
            let _ = listener.send((tail(), report));
        }
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Which invocation a line or a record is of.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) id: String,
    pub(super) version: Arc<Version>,
    pub(super) tenant: Option<String>,
}

impl Subject {
    /// A record that says so, with the members that `rest` adds.
    fn record(&self, rest: Value) -> Value {
        let mut record = json!({ "requestId": self.id });
        if let Some(tenant) = &self.tenant {
            record["tenantId"] = json!(tenant);
        }
        if let (Value::Object(all), Value::Object(rest)) = (&mut record, rest) {
            all.extend(rest);
        }
        record
    }
}

/// The record of `platform.start`.
pub(super) fn start_record(subject: &Subject) -> Value {
    subject.record(json!({ "version": subject.version.label }))
}

/// The record of `platform.end`.
pub(super) fn end_record(subject: &Subject) -> Value {
    subject.record(json!({}))
}

/// The START line, in AWS's form.
pub(super) fn say_start(log: &Log, subject: &Subject) {
    let text = || ["START RequestId: ", &subject.id, " Version: ", &subject.version.label].concat();
    log.tell(SystemLevel::Info, "platform.start", text, || start_record(subject));
}

/// The END and REPORT lines, in AWS's form; a wait for an instance is a field of our own behind AWS's.
pub(super) fn say_end(log: &Log, subject: &Subject, report: &Report) {
    let done = || subject.record(json!({ "metrics": { "durationMs": ms(report.duration_us) } }));
    log.tell(SystemLevel::Debug, "platform.runtimeDone", || ["END RequestId: ", &subject.id].concat(), done);
    let text = || report_line(&subject.id, &subject.version, report);
    let record = || {
        let mut record = report_record(subject, "", report);
        record.as_object_mut().and_then(|members| members.remove("status"));
        record
    };
    log.tell(SystemLevel::Info, "platform.report", text, record);
}

fn report_line(id: &str, version: &Version, report: &Report) -> String {
    let mut line = format!(
        "REPORT RequestId: {id}\tDuration: {}\tBilled Duration: {} ms\tMemory Size: {} MB\t\
         Max Memory Used: {} MB\t",
        Ms(report.duration_us),
        report.duration_us.div_ceil(1000),
        version.memory_mib,
        report.max_memory_bytes.div_ceil(MIB),
    );
    if let Some(us) = report.init_us {
        line += &format!("Init Duration: {}\t", Ms(us));
    }
    if let Some(us) = report.restore_us {
        let billed = us.div_ceil(1000);
        line += &format!("Restore Duration: {}\tBilled Restore Duration: {billed} ms\t", Ms(us));
    }
    if report.queue_us >= WORTH_TELLING_US {
        line += &format!("Queue Duration: {}\t", Ms(report.queue_us));
    }
    line
}

/// Microseconds as a report line has them: `12.34 ms`.
struct Ms(u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} ms", self.0 / 1000, self.0 % 1000 / 10)
    }
}

/// The record of `platform.runtimeDone`.
pub(super) fn runtime_done(
    subject: &Subject,
    status: &str,
    ran: Duration,
    result: &Result<Vec<u8>, FunctionError>,
) -> Value {
    let produced = result.as_ref().map_or_else(|error| error.payload.len(), Vec::len);
    let mut record = subject.record(json!({
        "status": status,
        "metrics": { "durationMs": ms(micros(ran)), "producedBytes": produced },
    }));
    if let Err(error) = result {
        record["errorType"] = json!(error.error_type);
    }
    record
}

/// The record of `platform.report`.
pub(super) fn report_record(subject: &Subject, status: &str, report: &Report) -> Value {
    let mut record = subject.record(json!({
        "status": status,
        "metrics": {
            "durationMs": ms(report.duration_us),
            "billedDurationMs": report.duration_us.div_ceil(1000),
            "memorySizeMB": subject.version.memory_mib,
            "maxMemoryUsedMB": report.max_memory_bytes.div_ceil(MIB),
        },
    }));
    if let Some(init_us) = report.init_us {
        record["metrics"]["initDurationMs"] = json!(ms(init_us));
    }
    if let Some(restore_us) = report.restore_us {
        record["metrics"]["restoreDurationMs"] = json!(ms(restore_us));
        record["metrics"]["billedRestoreDurationMs"] = json!(restore_us.div_ceil(1000));
    }
    record
}

#[expect(clippy::cast_precision_loss, reason = "a duration in microseconds is far below 2^53")]
fn ms(us: u64) -> f64 {
    us as f64 / 1000.0
}
