//! What a caller may set on a version besides its code: the members that CreateFunction and
//! UpdateFunctionConfiguration share, checked on their way into the record.

use super::model::{ImageConfigRow, Logging, PUBLISHED_VERSIONS, VersionRow};
use super::{check, faults, layers};
use crate::Cx;
use mayfly_kernel::function::Runtime;
use mayfly_kernel::{Arn, Fault};
use serde::Deserialize;
use std::collections::BTreeMap;

const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
const TARGET_PATTERN: &str = "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
const RUNTIMES: &str = "[python3.*, nodejs*.x, java*, provided, provided.al2, provided.al2023, web, wasm]";
const LOG_LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const SYSTEM_LOG_LEVELS: [&str; 3] = ["DEBUG", "INFO", "WARN"];
/// Variables that the runtime sets itself.
const RESERVED: [&str; 16] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// Absent members leave the record as it is. This is a part of the inputs that have it, so what is in its
/// members refuses by itself what it does not know.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
    runtime: Option<String>,
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    environment: Option<Environment>,
    ephemeral_storage: Option<EphemeralStorage>,
    layers: Option<Vec<String>>,
    dead_letter_config: Option<DeadLetterConfig>,
    tracing_config: Option<TracingConfig>,
    logging_config: Option<LoggingConfig>,
    snap_start: Option<SnapStart>,
    image_config: Option<ImageConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Environment {
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EphemeralStorage {
    size: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeadLetterConfig {
    target_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TracingConfig {
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SnapStart {
    apply_on: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ImageConfig {
    #[serde(default)]
    entry_point: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    working_directory: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct LoggingConfig {
    log_format: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: Option<String>,
}

impl ImageConfig {
    fn stored(&self) -> ImageConfigRow {
        ImageConfigRow {
            entry_point: self.entry_point.clone(),
            command: self.command.clone(),
            working_directory: self.working_directory.clone(),
        }
    }
}

impl Settings {
    /// Checks every member that is present and lays it over the record.
    pub(super) fn apply(&self, cx: &mut Cx<'_>, row: &mut VersionRow) -> Result<(), Fault> {
        self.apply_image(row)?;
        let limits = cx.limits;
        if let Some(runtime) = &self.runtime {
            row.runtime = checked_runtime(runtime)?;
        }
        if let Some(role) = &self.role {
            row.role = checked_role(role)?;
        }
        if let Some(handler) = &self.handler {
            row.handler = checked_handler(handler, &row.runtime)?;
        }
        if let Some(description) = &self.description {
            check::length(description, "description", 0, 256)?;
            row.description.clone_from(description);
        }
        if let Some(seconds) = self.timeout {
            row.timeout_s = check::number(seconds, "timeout", 1, limits.function_timeout_seconds)?;
        }
        if let Some(mib) = self.memory_size {
            let (min, max) = (limits.function_memory_mib_min, limits.function_memory_mib_max);
            row.memory_mib = check::number(mib, "memorySize", min, max)?;
        }
        if let Some(storage) = &self.ephemeral_storage {
            row.ephemeral_mib = check::number(storage.size, "ephemeralStorage.size", 512, 10_240)?;
        }
        if let Some(environment) = &self.environment {
            check_environment(&environment.variables, limits.environment_bytes)?;
            row.environment.clone_from(&environment.variables);
        }
        if let Some(arns) = &self.layers {
            row.layers = layers::uses(cx, arns)?;
        }
        self.apply_diagnostics(row)
    }

    /// An image says itself what is run, unless it is to be spoken to in HTTP.
    fn apply_image(&self, row: &mut VersionRow) -> Result<(), Fault> {
        if row.image.is_none() {
            let asked =
                self.image_config.as_ref().is_some_and(|config| config.stored() != Default::default());
            return if asked { Err(faults::zip_alone()) } else { Ok(()) };
        }
        let filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let runtime = self.runtime.as_deref().is_some_and(|runtime| !matches!(runtime, "" | "web"));
        if runtime || filled(&self.handler) || self.layers.as_ref().is_some_and(|layers| !layers.is_empty()) {
            return Err(faults::image_alone());
        }
        if let Some(config) = &self.image_config {
            for (list, path) in [(&config.entry_point, "entryPoint"), (&config.command, "command")] {
                if list.len() > 1500 {
                    let path = format!("imageConfig.{path}");
                    let constraint = "Member must have length less than or equal to 1500";
                    return Err(faults::invalid("[...]", &path, constraint));
                }
            }
            check::length(&config.working_directory, "imageConfig.workingDirectory", 0, 1000)?;
            let stored = config.stored();
            row.image_config = (stored != ImageConfigRow::default()).then_some(stored);
        }
        Ok(())
    }

    fn apply_diagnostics(&self, row: &mut VersionRow) -> Result<(), Fault> {
        if let Some(config) = &self.dead_letter_config {
            let target = config.target_arn.clone().unwrap_or_default();
            if !target.is_empty() && target.parse::<Arn>().is_err() {
                return Err(faults::pattern(target, "deadLetterConfig.targetArn", TARGET_PATTERN));
            }
            row.dead_letter = target;
        }
        if let Some(mode) = self.tracing_config.as_ref().and_then(|config| config.mode.as_ref()) {
            check::one_of(mode, "tracingConfig.mode", &["Active", "PassThrough"])?;
            row.tracing.clone_from(mode);
        }
        if let Some(apply_on) = self.snap_start.as_ref().and_then(|config| config.apply_on.as_ref()) {
            check::one_of(apply_on, "snapStart.applyOn", &[PUBLISHED_VERSIONS, "None"])?;
            row.snap_start.clone_from(apply_on);
        }
        match &self.logging_config {
            Some(config) => config.apply(&mut row.logging),
            None => Ok(()),
        }
    }
}

impl LoggingConfig {
    fn apply(&self, logging: &mut Logging) -> Result<(), Fault> {
        if let Some(format) = &self.log_format {
            check::one_of(format, "loggingConfig.logFormat", &["JSON", "Text"])?;
            logging.format.clone_from(format);
            let level = if format == "JSON" { "INFO" } else { "" };
            logging.application_level = level.into();
            logging.system_level = level.into();
        }
        let levels = self.application_log_level.is_some() || self.system_log_level.is_some();
        if levels && logging.format != "JSON" {
            return Err(faults::parameter(
                "To set the log level, you must set the LogFormat to JSON in the LoggingConfig.",
            ));
        }
        if let Some(level) = &self.application_log_level {
            check::one_of(level, "loggingConfig.applicationLogLevel", &LOG_LEVELS)?;
            logging.application_level.clone_from(level);
        }
        if let Some(level) = &self.system_log_level {
            check::one_of(level, "loggingConfig.systemLogLevel", &SYSTEM_LOG_LEVELS)?;
            logging.system_level.clone_from(level);
        }
        if let Some(group) = &self.log_group {
            check::length(group, "loggingConfig.logGroup", 1, 512)?;
            if !group.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_/#".contains(&b)) {
                return Err(faults::pattern(group, "loggingConfig.logGroup", r"[\.\-_/#A-Za-z0-9]+"));
            }
            logging.group.clone_from(group);
        }
        Ok(())
    }
}

fn checked_runtime(text: &str) -> Result<String, Fault> {
    match text.parse::<Runtime>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(faults::parameter(format!(
            "Value {text} at 'runtime' failed to satisfy constraint: \
             Member must satisfy enum value set: {RUNTIMES} or be a valid ARN"
        ))),
    }
}

/// Any role of any account: who may use which comes with access control.
fn checked_role(text: &str) -> Result<String, Fault> {
    let shaped = text.parse::<Arn>().is_ok_and(|arn| {
        let name = arn.resource.strip_prefix("role").unwrap_or_default();
        arn.service == "iam"
            && arn.region.is_empty()
            && arn.account.len() == 12
            && check::is_number(&arn.account)
            && name.len() > 1
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b))
    });
    if shaped { Ok(text.to_owned()) } else { Err(faults::pattern(text, "role", ROLE_PATTERN)) }
}

/// A web function's handler is a command line, so it may have spaces.
fn checked_handler(text: &str, runtime: &str) -> Result<String, Fault> {
    check::length(text, "handler", 0, 128)?;
    if runtime != "web" && text.contains(char::is_whitespace) {
        return Err(faults::pattern(text, "handler", r"[^\s]+"));
    }
    Ok(text.to_owned())
}

fn check_environment(variables: &BTreeMap<String, String>, limit: u64) -> Result<(), Fault> {
    let named = |name: &str| {
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !variables.keys().all(|name| named(name)) {
        return Err(Fault::new(
            400,
            "ValidationException",
            "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: \
             Map keys \
             must satisfy constraint: [Member must satisfy regular expression pattern: \
             [a-zA-Z]([a-zA-Z0-9_])+]",
        ));
    }
    let reserved: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| RESERVED.contains(name)).collect();
    let refuse = |why: String| {
        faults::parameter(format!(
            "Lambda was unable to configure your environment variables because the environment variables \
             you have \
             provided {why}"
        ))
    };
    if !reserved.is_empty() {
        return Err(refuse(format!(
            "contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    let measured =
        serde_json::to_string(variables).map_err(|e| Fault::internal("measure an environment", e))?;
    if measured.len() as u64 > limit {
        return Err(refuse(format!("exceeded the {}KB limit. String measured: {measured}", limit / 1024)));
    }
    Ok(())
}
