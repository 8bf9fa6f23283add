//! A version's configuration as callers see it, and UpdateFunctionConfiguration.

use super::model::{ImageConfigRow, PUBLISHED_VERSIONS, PackageRef, State, Update, VersionRow, timestamp};
use super::names::Function;
use super::settings::Settings;
use super::{faults, lifecycle, lookup, names};
use crate::Cx;
use mayfly_kernel::Fault;
use mayfly_kernel::function::Runtime;
use mayfly_wire::tree::Unread;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `FunctionConfiguration` of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Configuration {
    function_name: String,
    function_arn: String,
    runtime: Option<String>,
    role: String,
    handler: Option<String>,
    code_size: u64,
    description: String,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: String,
    dead_letter_config: Option<DeadLetterConfig>,
    environment: Option<Environment>,
    tracing_config: TracingConfig,
    revision_id: String,
    layers: Option<Vec<Layer>>,
    state: Option<&'static str>,
    state_reason: Option<String>,
    state_reason_code: Option<String>,
    last_update_status: Option<&'static str>,
    last_update_status_reason: Option<String>,
    last_update_status_reason_code: Option<String>,
    package_type: &'static str,
    image_config_response: Option<ImageConfigResponse>,
    architectures: [String; 1],
    ephemeral_storage: EphemeralStorage,
    snap_start: SnapStart,
    logging_config: LoggingConfig,
    tenancy_config: Option<TenancyConfig>,
}

/// The one mode of tenant isolation.
pub(super) const PER_TENANT: &str = "PER_TENANT";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TenancyConfig {
    tenant_isolation_mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfigResponse {
    image_config: ImageConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    entry_point: Option<Vec<String>>,
    command: Option<Vec<String>>,
    working_directory: Option<String>,
}

impl From<ImageConfigRow> for ImageConfigResponse {
    fn from(row: ImageConfigRow) -> ImageConfigResponse {
        let list = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let image_config = ImageConfig {
            entry_point: list(row.entry_point),
            command: list(row.command),
            working_directory: filled(&row.working_directory),
        };
        ImageConfigResponse { image_config }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetterConfig {
    target_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    variables: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig {
    mode: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    arn: String,
    code_size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapStart {
    apply_on: String,
    optimization_status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoggingConfig {
    log_format: String,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: String,
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Configuration {
    /// As a single version is shown; `arn` is the one that the caller asked for.
    pub(super) fn new(name: &str, arn: impl ToString, row: VersionRow) -> Configuration {
        Configuration {
            state: match row.state() {
                State::Unspecified => None,
                State::Pending => Some("Pending"),
                State::Active => Some("Active"),
                State::Failed => Some("Failed"),
            },
            state_reason: filled(&row.state_reason),
            state_reason_code: filled(&row.state_reason_code),
            last_update_status: match row.update() {
                Update::Unspecified => None,
                Update::InProgress => Some("InProgress"),
                Update::Successful => Some("Successful"),
                Update::Failed => Some("Failed"),
            },
            last_update_status_reason: filled(&row.update_reason),
            last_update_status_reason_code: filled(&row.update_reason_code),
            ..Configuration::listed(name, arn, row)
        }
    }

    /// As it is shown in lists: without its state.
    pub(super) fn listed(name: &str, arn: impl ToString, row: VersionRow) -> Configuration {
        let version = row.label();
        let PackageRef { size, sha256_base64, .. } = row.package;
        let layer = |layer: super::model::LayerUse| Layer { arn: layer.arn, code_size: layer.package.size };
        Configuration {
            function_name: name.to_owned(),
            function_arn: arn.to_string(),
            runtime: filled(&row.runtime),
            role: row.role,
            handler: row.image.is_none().then_some(row.handler),
            code_size: size,
            description: row.description,
            timeout: row.timeout_s,
            memory_size: row.memory_mib,
            last_modified: timestamp(row.modified_ms),
            code_sha256: sha256_base64,
            version,
            dead_letter_config: filled(&row.dead_letter).map(|target_arn| DeadLetterConfig { target_arn }),
            environment: (!row.environment.is_empty()).then_some(Environment { variables: row.environment }),
            tracing_config: TracingConfig { mode: row.tracing },
            revision_id: row.revision_id,
            layers: (!row.layers.is_empty()).then(|| row.layers.into_iter().map(layer).collect()),
            state: None,
            state_reason: None,
            state_reason_code: None,
            last_update_status: None,
            last_update_status_reason: None,
            last_update_status_reason_code: None,
            package_type: if row.image.is_some() { "Image" } else { "Zip" },
            image_config_response: row.image_config.map(ImageConfigResponse::from),
            architectures: [row.architecture],
            ephemeral_storage: EphemeralStorage { size: row.ephemeral_mib },
            snap_start: SnapStart {
                apply_on: row.snap_start,
                optimization_status: if row.snapshot { "On" } else { "Off" },
            },
            logging_config: LoggingConfig {
                log_format: row.logging.format,
                application_log_level: filled(&row.logging.application_level),
                system_log_level: filled(&row.logging.system_level),
                log_group: row.logging.group,
            },
            tenancy_config: row.per_tenant.then_some(TenancyConfig { tenant_isolation_mode: PER_TENANT }),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    function_name: String,
    qualifier: Option<String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Configuration, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = lookup::version(cx, &function)?;
    Ok(Configuration::new(&function.name, function.named_arn(), row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateConfiguration {
    function_name: String,
    revision_id: Option<String>,
    #[serde(flatten)]
    settings: Settings,
    #[serde(flatten)]
    _rest: Unread,
}

pub(super) fn update(cx: &mut Cx<'_>, input: UpdateConfiguration) -> Result<Configuration, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    let old = lookup::latest(cx, &function)?;
    check_revision(input.revision_id.as_deref(), &old.revision_id)?;
    let mut row = lifecycle::begin_update(&function, &old)?;
    input.settings.apply(cx, &mut row)?;
    check_sizes(cx, &row)?;
    check_snap_start(&row)?;
    let row = lifecycle::finish_update(cx, &function, &old, row)?;
    Ok(Configuration::new(&function.name, function.arn(), row))
}

/// A revision that the caller names must be the current one.
pub(super) fn check_revision(wanted: Option<&str>, current: &str) -> Result<(), Fault> {
    match wanted {
        Some(wanted) if wanted != current => Err(faults::revision_mismatch()),
        Some(_) | None => Ok(()),
    }
}

/// Code and layers must fit into an instance together.
pub(super) fn check_sizes(cx: &Cx<'_>, row: &VersionRow) -> Result<(), Fault> {
    let (unpacked, limit) = (row.unpacked_bytes(), cx.limits.package_unpacked_bytes);
    if unpacked <= limit {
        return Ok(());
    }
    if row.layers.is_empty() {
        return Err(faults::unpacked_too_large(limit));
    }
    Err(faults::parameter(format!(
        "Function code combined with layers exceeds the maximum allowed size of {limit} bytes. \
         The actual size is {unpacked} bytes."
    )))
}

/// A function whose managed runtime calls a handler cannot do without one.
pub(super) fn check_mandatory(row: &VersionRow) -> Result<(), Fault> {
    if row.image.is_some() {
        return Ok(());
    }
    let needs_handler = !matches!(row.runtime.as_str(), "web" | "wasm");
    if row.runtime.is_empty() || (needs_handler && row.handler.is_empty()) {
        return Err(faults::parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
        ));
    }
    Ok(())
}

/// As much as a version with SnapStart may have in `/tmp`.
const SNAP_START_EPHEMERAL_MIB: u32 = 512;

/// SnapStart needs a runtime that has it. Of those that AWS has it for, Mayfly has it for Python.
pub(super) fn check_snap_start(row: &VersionRow) -> Result<(), Fault> {
    if row.snap_start != PUBLISHED_VERSIONS {
        return Ok(());
    }
    if row.per_tenant {
        return Err(faults::not_per_tenant("SnapStart"));
    }
    if row.image.is_some() {
        return Err(Fault::not_implemented("SnapStart of container images"));
    }
    if row.ephemeral_mib > SNAP_START_EPHEMERAL_MIB {
        return Err(faults::no_snap_start("Ephemeral storage larger than 512 MB"));
    }
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    match row.runtime.parse() {
        Ok(Runtime::Python(version)) => match version.split_once('.') {
            Some(("3", minor)) if number(minor) >= 12 => Ok(()),
            _ => Err(faults::no_snap_start(&row.runtime)),
        },
        Ok(Runtime::Java(version)) if number(&version) >= 11 => {
            Err(Fault::not_implemented("SnapStart for Java"))
        }
        _ => Err(faults::no_snap_start(&row.runtime)),
    }
}

/// The version under the ARN with its own number or `$LATEST`.
pub(super) fn qualified(function: &Function, row: VersionRow) -> Configuration {
    let arn = function.arn_of(&row.label());
    Configuration::new(&function.name, arn, row)
}
