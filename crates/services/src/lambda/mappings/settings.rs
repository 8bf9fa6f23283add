//! What may be asked of a mapping, in creating and in updating it.

use super::asked::{self, Asked};
use super::model::MappingRow;
use crate::lambda::names::{Function, Qualifier};
use crate::lambda::{check, faults, lookup};
use crate::pattern::Pattern;
use crate::sqs::Facts;
use crate::{Cx, sqs};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const BATCH_SIZE: u32 = 10;
const EXTERNAL_BATCH_SIZE: u32 = 100;
const BATCH_SIZE_MAX: u32 = 10_000;
/// Beyond this many messages a batch takes time to gather.
const BATCH_SIZE_AT_ONCE: u32 = 10;
const FILTERS_MAX: usize = 10;
const REPORTS: &str = "ReportBatchItemFailures";
const ARN_PATTERN: &str =
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*)";

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settings {
    enabled: Option<bool>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    scaling_config: Option<Scaling>,
    filter_criteria: Option<Filters>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Scaling {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum_concurrency: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Filters {
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    pattern: String,
}

impl Filters {
    /// `None` if nothing is filtered.
    pub(super) fn of(row: &MappingRow) -> Option<Filters> {
        let filters = row.filters.iter().map(|pattern| Filter { pattern: pattern.clone() });
        (!row.filters.is_empty()).then(|| Filters { filters: filters.collect() })
    }

    fn read(&self) -> Result<Vec<String>, Fault> {
        if self.filters.len() > FILTERS_MAX {
            return Err(faults::parameter(format!(
                "The number of filters exceeds the limit ({FILTERS_MAX})."
            )));
        }
        let read = |filter: &Filter| {
            check::length(&filter.pattern, "filterCriteria.filters.pattern", 0, 4096)?;
            Pattern::compile(&filter.pattern)
                .map_err(|why| faults::parameter(format!("Invalid filter pattern definition. {why}")))?;
            Ok(filter.pattern.clone())
        };
        self.filters.iter().map(read).collect()
    }
}

/// Members that mean something for sources that Mayfly does not read.
const FOREIGN: [&str; 4] = [
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "ParallelizationFactor",
    "TumblingWindowInSeconds",
];

/// Whether a member asks for something: tools send empty ones.
fn asks(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Object(members)) => members.values().any(|member| asks(Some(member))),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Number(_) | Value::Bool(true)) => true,
    }
}

/// Refuses the members that nobody has read.
fn check_others(others: &BTreeMap<String, Value>, external: bool) -> Result<(), Fault> {
    let read = |name: &str| external && asked::MEMBERS.contains(&name);
    let mut asked = others
        .iter()
        .filter(|(name, value)| asks(Some(value)) && !name.starts_with("x-amz") && !read(name.as_str()));
    match asked.next() {
        Some((name, _)) if FOREIGN.contains(&name.as_str()) || asked::MEMBERS.contains(&name.as_str()) => {
            let sources = if external { "self-managed" } else { "SQS" };
            Err(faults::parameter(format!("{name} is not valid for {sources} event sources.")))
        }
        Some((name, _)) => Err(Fault::not_implemented(&format!("the member {name}"))),
        None => Ok(()),
    }
}

/// The ARN of a queue; other sources are told that they are not here.
pub(super) fn source(text: Option<&str>) -> Result<Arn, Fault> {
    let unknown = "Unrecognized event source, must be kinesis, sqs or dynamodb stream.";
    let text = text.ok_or_else(|| faults::parameter(unknown))?;
    let arn: Arn = text.parse().map_err(|_| faults::pattern(text, "eventSourceArn", ARN_PATTERN))?;
    match arn.service.as_str() {
        "sqs" => Ok(arn),
        "kinesis" | "dynamodb" | "kafka" | "mq" | "rds" => {
            Err(Fault::not_implemented(&format!("event source mappings of {}", arn.service)))
        }
        _ => Err(faults::parameter(unknown)),
    }
}

impl Settings {
    /// What is asked of an external source.
    pub(super) fn external(&self) -> Result<Asked, Fault> {
        Asked::read(&self.others)
    }

    /// Sets what was asked for; what was not stays as it is.
    pub(super) fn apply(&self, cx: &Cx<'_>, row: &mut MappingRow) -> Result<(), Fault> {
        check_others(&self.others, row.external.is_some())?;
        if let Some(criteria) = &self.filter_criteria {
            row.filters = criteria.read()?;
        }
        if let Some(size) = self.batch_size {
            row.batch_size = check::number(size, "batchSize", 1, BATCH_SIZE_MAX)?;
        } else if row.batch_size == 0 {
            row.batch_size = if row.external.is_some() { EXTERNAL_BATCH_SIZE } else { BATCH_SIZE };
        }
        if let Some(window) = self.maximum_batching_window_in_seconds {
            row.window_s = check::number(window, "maximumBatchingWindowInSeconds", 0, 300)?;
        }
        if let Some(types) = &self.function_response_types {
            for name in types {
                check::one_of(name, "functionResponseTypes", &[REPORTS])?;
            }
            row.reports_failures = !types.is_empty();
        }
        if let Some(scaling) = &self.scaling_config {
            row.max_concurrency = match scaling.maximum_concurrency {
                Some(most) => check::number(most, "scalingConfig.maximumConcurrency", 2, 1000)?,
                None => 0,
            };
        }
        if let Some(enabled) = self.enabled {
            row.enabled = enabled;
        }
        let concurrency = row.max_concurrency;
        match &mut row.external {
            None => check_queue(cx, row),
            Some(external) if concurrency > 0 && !external.broker().is_shared() => {
                let kind = external.broker().endpoint_type();
                Err(faults::parameter(format!("ScalingConfig is not valid for {kind}: records go in order.")))
            }
            Some(external) => self.external()?.apply(external),
        }
    }
}

fn check_queue(cx: &Cx<'_>, row: &MappingRow) -> Result<(), Fault> {
    let Some(Facts { fifo, .. }) = sqs::exists(cx, &row.source()?)? else {
        return Err(faults::parameter(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist.",
        ));
    };
    if fifo && row.window_s > 0 {
        return Err(faults::parameter("Batching window is not supported for FIFO queues."));
    }
    if fifo && row.batch_size > BATCH_SIZE_AT_ONCE {
        return Err(faults::parameter("Maximum batch size for FIFO queues is 10."));
    }
    if row.batch_size > BATCH_SIZE_AT_ONCE && row.window_s == 0 {
        return Err(faults::parameter(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ));
    }
    Ok(())
}

/// The function exists, and has no more time than a queue's messages are hidden.
pub(super) fn check_function(cx: &Cx<'_>, function: &Function, row: &MappingRow) -> Result<(), Fault> {
    let missing = |fault: Fault| match fault.status {
        404 => faults::parameter("Function does not exist"),
        _ => fault,
    };
    if let Qualifier::Alias(name) = function.meaning()
        && lookup::alias(cx, function, &name)?.is_none()
    {
        return Err(faults::parameter("Function does not exist"));
    }
    let version = lookup::version(cx, function).map_err(missing)?;
    if version.per_tenant {
        return Err(faults::not_per_tenant("An event source mapping"));
    }
    if row.external.is_some() {
        return Ok(());
    }
    let Some(Facts { visibility_s, .. }) = sqs::exists(cx, &row.source()?)? else { return Ok(()) };
    if visibility_s < version.timeout_s {
        return Err(faults::parameter(format!(
            "Queue visibility timeout: {visibility_s} seconds is less than Function timeout: {} seconds",
            version.timeout_s
        )));
    }
    Ok(())
}

pub(super) fn response_types(row: &MappingRow) -> Vec<&'static str> {
    if row.reports_failures { vec![REPORTS] } else { Vec::new() }
}
