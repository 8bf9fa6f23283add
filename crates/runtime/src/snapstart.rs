//! SnapStart: running the module code of a published version once, and what logs say of that and of restores.
//!
//! The lines are AWS's, from the page "Monitoring for Lambda SnapStart"; the records those of the Telemetry
//! API. Which templates there are is [`crate::templates`]' affair, and how one is forked the launcher's.

use crate::instance::{Broken, Instance, Source, explain};
use crate::logs::Log;
use crate::start::{Purpose, Starter};
use crate::templates::{Template, Turn};
use mayfly_kernel::function::{FunctionError, SystemLevel, Version};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What running the module code for a snapshot may take at least, as on AWS.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(130);
/// A template does nothing but fork, and shall not wait for its share of a processor with that.
const TEMPLATE_CPU_MIB: u32 = 1769;

/// What came of making a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    Taken,
    /// Instances start without, and why.
    NotTaken(String),
}

/// Why the module code could not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmade {
    Unrunnable(String),
    /// It failed by itself.
    Failed {
        error: FunctionError,
        timed_out: bool,
    },
}

impl Starter {
    /// Runs the module code of a version with SnapStart once, and keeps the process, unless there is one.
    /// An error is the function's.
    pub(crate) async fn snapshot(self: &Arc<Starter>, version: &Arc<Version>) -> Result<Snapshot, Unmade> {
        match self.templates.begin(&version.id) {
            Turn::Make => {}
            Turn::There => return Ok(Snapshot::Taken),
            Turn::No(why) => return Ok(Snapshot::NotTaken(why.into())),
        }
        let made = self.make_template(version).await;
        match &made {
            Ok(Snapshot::Taken) => {
                let (starter, version) = (self.clone(), version.clone());
                tokio::spawn(async move { starter.keep_forks_waiting(&version).await });
            }
            Ok(Snapshot::NotTaken(why)) => {
                tracing::info!(function = %version.function, version = version.label, why, "no template");
                self.templates.failed(&version.id, true);
            }
            Err(_) => self.templates.failed(&version.id, false),
        }
        made
    }

    /// Forks ahead from the template of a version, if there is one; `false` if it turns out to be of no use.
    async fn keep_forks_waiting(&self, version: &Version) -> bool {
        self.templates.refill(&version.id, &self.launcher).await
    }

    /// Sees to it that the next instance of this version finds a template, and a fork of it that waits.
    pub(crate) async fn look_after_template(self: &Arc<Starter>, version: &Arc<Version>) {
        if !version.snap_start {
            return;
        }
        // A template may have died unseen. Whoever publishes was told if it cannot be made.
        let _ = self.snapshot(version).await;
        if !self.keep_forks_waiting(version).await {
            let _ = self.snapshot(version).await;
        }
    }

    async fn make_template(self: &Arc<Starter>, version: &Arc<Version>) -> Result<Snapshot, Unmade> {
        let began = Instant::now();
        let ready = self.ready(version).await.map_err(Unmade::Unrunnable)?;
        if !ready.extensions.is_empty() {
            return Ok(Snapshot::NotTaken("its extensions are processes of their own".into()));
        }
        let parts = self.parts(version, Purpose::Snapshot, ready, Source::Nothing);
        let log = parts.log.clone();
        say_init_start(&log, version);
        let made =
            Instance::make_template(parts, &self.launcher, &self.platform, &self.limits, &self.region).await;
        let (mut instance, forks) = made.map_err(Unmade::Unrunnable)?;
        let within = SNAPSHOT_LIMIT.max(Duration::from_millis(version.timeout_ms));
        let done = instance.snapshot(within).await;
        instance.catch_up();
        let us = crate::host::micros(began.elapsed());
        match done {
            Ok(unfit) => {
                say_init_report(&log, us, None);
                match unfit {
                    Some(why) => {
                        log.say(format!("WARN Instances do not start from a snapshot: {why}"));
                        return Ok(Snapshot::NotTaken(why));
                    }
                    None => {
                        instance.sandbox.limit_cpu(TEMPLATE_CPU_MIB);
                        self.templates.ready(&version.id, Arc::new(Template { instance, forks }));
                    }
                }
                Ok(Snapshot::Taken)
            }
            Err(broken) => {
                let (error, line) = explain(&broken, "", version, self.clock.now());
                instance.end(&broken);
                log.say(line);
                say_init_report(&log, us, Some(&error));
                Err(Unmade::Failed { error, timed_out: matches!(broken, Broken::Timeout) })
            }
        }
    }
}

fn say_init_start(log: &Log, version: &Version) {
    let text = || format!("INIT_START Runtime Version: {}", version.runtime);
    let record = || {
        json!({
            "initializationType": "snap-start",
            "phase": "init",
            "functionName": version.name,
            "functionVersion": version.label,
            "runtimeVersion": version.runtime.to_string(),
        })
    };
    log.tell(SystemLevel::Info, "platform.initStart", text, record);
}

fn say_init_report(log: &Log, us: u64, error: Option<&FunctionError>) {
    let failed = error.map(|error| format!("\tPhase: init\tStatus: error\tError Type: {}", error.error_type));
    let text = || format!("INIT_REPORT Init Duration: {} ms{}", ms(us), failed.unwrap_or_default());
    let record = || {
        let about = json!({ "initializationType": "snap-start", "phase": "init" });
        report(about, us, error.is_none(), error.map(|error| error.error_type.as_str()))
    };
    log.tell(SystemLevel::Info, "platform.initReport", text, record);
}

pub(crate) fn say_restore_start(log: &Log, version: &Version) {
    let text = || format!("RESTORE_START Runtime Version: {}", version.runtime);
    let record = || {
        json!({
            "functionName": version.name,
            "functionVersion": version.label,
            "runtimeVersion": version.runtime.to_string(),
        })
    };
    log.tell(SystemLevel::Info, "platform.restoreStart", text, record);
}

pub(crate) fn say_restore_report(log: &Log, us: u64, well: bool) {
    let text = || format!("RESTORE_REPORT Restore Duration: {} ms", ms(us));
    log.tell(SystemLevel::Info, "platform.restoreReport", text, || report(json!({}), us, well, None));
}

fn report(mut record: Value, us: u64, well: bool, error: Option<&str>) -> Value {
    record["status"] = json!(if well { "success" } else { "error" });
    record["metrics"] = json!({ "durationMs": ms(us).parse::<f64>().unwrap_or_default() });
    if let Some(error) = error {
        record["errorType"] = json!(error);
    }
    record
}

fn ms(us: u64) -> String {
    format!("{}.{:02}", us / 1000, us % 1000 / 10)
}
