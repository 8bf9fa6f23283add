//! Which runtime a version runs on, and when that changes: PutRuntimeManagementConfig and
//! GetRuntimeManagementConfig.
//!
//! A managed runtime is this machine's interpreter with Mayfly's client, and none is kept once another has
//! taken its place. So every function is in the mode `Auto`, AWS's default. The modes that hold a function to an
//! earlier runtime are checked and then refused by name: a setting that is only stored would be a promise.

use super::names::{self, Function};
use super::{check, faults, lookup};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

const MODES: [&str; 3] = ["Auto", "FunctionUpdate", "Manual"];
const ARN_PATTERN: &str = r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}::runtime:.+";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    update_runtime_on: &'static str,
    function_arn: String,
    /// Of a function in the mode `Manual`, and there is none.
    runtime_version_arn: Option<String>,
}

fn auto(cx: &Cx<'_>, function: &Function) -> Result<Config, Fault> {
    let row = lookup::version(cx, function)?;
    let function_arn = function.arn_of(&row.label()).to_string();
    Ok(Config { update_runtime_on: "Auto", function_arn, runtime_version_arn: None })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    function_name: String,
    qualifier: Option<String>,
    update_runtime_on: String,
    runtime_version_arn: Option<String>,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Config, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    check::one_of(&input.update_runtime_on, "updateRuntimeOn", &MODES)?;
    if let Some(arn) = &input.runtime_version_arn {
        check::length(arn, "runtimeVersionArn", 26, 2048)?;
        if !is_runtime(arn) {
            return Err(faults::pattern(arn, "runtimeVersionArn", ARN_PATTERN));
        }
    }
    let config = auto(cx, &function)?;
    match (input.update_runtime_on.as_str(), &input.runtime_version_arn) {
        ("Auto", None) => Ok(config),
        ("Manual", None) => {
            Err(faults::parameter("RuntimeVersionArn is required when UpdateRuntimeOn is Manual."))
        }
        ("Auto" | "FunctionUpdate", Some(_)) => {
            Err(faults::parameter("RuntimeVersionArn is allowed only when UpdateRuntimeOn is Manual."))
        }
        (mode, _) => Err(Fault::not_implemented(&format!(
            "the runtime update mode {mode}: runtimes are this machine's interpreters, and none is kept for a function"
        ))),
    }
}

fn is_runtime(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "lambda", region, "", runtime] => {
            let named = runtime.strip_prefix("runtime:").is_some_and(|name| !name.is_empty());
            partition.starts_with("aws") && region.ends_with(|c: char| c.is_ascii_digit()) && named
        }
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    function_name: String,
    qualifier: Option<String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Config, Fault> {
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    auto(cx, &function)
}
