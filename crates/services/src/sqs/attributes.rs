//! Queue attributes: their values as texts, checked, kept in the queue's record, and shown again.

use super::counts::Counts;
use super::faults;
use super::model::{DELAY_MAX_S, Queue, Redrive, VISIBILITY_MAX_S, WAIT_MAX_S};
use super::queues::Opened;
use mayfly_kernel::{Arn, Fault, Limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) type Attributes = BTreeMap<String, String>;

const MESSAGE_BYTES_MIN: u64 = 1024;
const RETENTION_S: std::ops::RangeInclusive<u32> = 60..=1_209_600;

/// The record of a queue of which nothing was said.
pub(super) fn defaults(limits: &Limits) -> Queue {
    Queue {
        visibility_s: 30,
        message_bytes: limits.sqs_message_bytes,
        retention_s: 345_600,
        ..Queue::default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: Count,
}

/// Some tools write the number as a text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u32),
    Text(String),
}

/// Which queues may name this one as theirs for dead letters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedriveAllowPolicy {
    redrive_permission: Permission,
    #[serde(default)]
    source_queue_arns: Vec<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Permission {
    AllowAll,
    DenyAll,
    ByQueue,
}

/// Whether a queue of this ARN may send its dead letters to the queue.
pub(super) fn admits_source(queue: &Queue, source: &str) -> bool {
    match serde_json::from_str::<RedriveAllowPolicy>(&queue.redrive_allow) {
        Err(_) => true,
        Ok(policy) => match policy.redrive_permission {
            Permission::AllowAll => true,
            Permission::DenyAll => false,
            Permission::ByQueue => policy.source_queue_arns.iter().any(|arn| arn == source),
        },
    }
}

/// Changes the record by attributes as a caller writes them.
pub(super) fn apply(queue: &mut Queue, attributes: &Attributes, limits: &Limits) -> Result<(), Fault> {
    for (name, value) in attributes {
        set(queue, name, value, limits)?;
    }
    let only_fifo = ["ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];
    if !queue.fifo
        && let Some(name) = only_fifo.iter().find(|name| attributes.contains_key(**name))
    {
        return Err(faults::attribute_name(name));
    }
    if queue.limit_per_group && !queue.dedup_per_group {
        return Err(faults::attribute_value("FifoThroughputLimit"));
    }
    Ok(())
}

fn set(queue: &mut Queue, name: &str, value: &str, limits: &Limits) -> Result<(), Fault> {
    let bad = || faults::attribute_value(name);
    let number = |range: std::ops::RangeInclusive<u32>| {
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(bad)
    };
    let flag = || value.to_ascii_lowercase().parse::<bool>().map_err(|_| bad());
    let either = |no: &str, yes: &str| match value {
        value if value == no => Ok(false),
        value if value == yes => Ok(true),
        _ => Err(bad()),
    };
    match name {
        "VisibilityTimeout" => queue.visibility_s = number(0..=VISIBILITY_MAX_S)?,
        "MaximumMessageSize" => {
            let bytes = value.parse().map_err(|_| bad())?;
            if !(MESSAGE_BYTES_MIN..=limits.sqs_message_bytes).contains(&bytes) {
                return Err(bad());
            }
            queue.message_bytes = bytes;
        }
        "MessageRetentionPeriod" => queue.retention_s = number(RETENTION_S)?,
        "DelaySeconds" => queue.delay_s = number(0..=DELAY_MAX_S)?,
        "ReceiveMessageWaitTimeSeconds" => queue.wait_s = number(0..=WAIT_MAX_S)?,
        "RedrivePolicy" => queue.redrive = redrive(value)?,
        "RedriveAllowPolicy" => queue.redrive_allow = redrive_allow(value)?,
        "Policy" => queue.policy = policy(value)?,
        "FifoQueue" if flag()? == queue.fifo => {}
        "FifoQueue" => return Err(bad()),
        "ContentBasedDeduplication" => queue.content_dedup = flag()?,
        "DeduplicationScope" => queue.dedup_per_group = either("queue", "messageGroup")?,
        "FifoThroughputLimit" => queue.limit_per_group = either("perQueue", "perMessageGroupId")?,
        "KmsMasterKeyId" if value.is_empty() => {}
        "SqsManagedSseEnabled" if !flag()? => {}
        "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds" | "SqsManagedSseEnabled" => {
            return Err(Fault::not_implemented("encryption of queues"));
        }
        _ => return Err(faults::attribute_name(name)),
    }
    Ok(())
}

fn policy(value: &str) -> Result<String, Fault> {
    match value.is_empty() || super::policy::is_policy(value) {
        true => Ok(value.to_owned()),
        false => Err(faults::attribute_value("Policy")),
    }
}

fn redrive(value: &str) -> Result<Option<Redrive>, Fault> {
    if value.is_empty() {
        return Ok(None);
    }
    let bad = |reason: &str| faults::parameter("RedrivePolicy", value, reason);
    let policy: RedrivePolicy = serde_json::from_str(value).map_err(|_| {
        bad("Redrive policy is not a valid JSON map with deadLetterTargetArn and maxReceiveCount.")
    })?;
    let max = match policy.max_receive_count {
        Count::Number(number) => Some(number),
        Count::Text(text) => text.parse().ok(),
    };
    let max_receives = max
        .filter(|max| (1..=1000).contains(max))
        .ok_or_else(|| bad("Invalid value for maxReceiveCount: must be between 1 and 1000, inclusive."))?;
    let arn: Result<Arn, _> = policy.dead_letter_target_arn.parse();
    if !arn.is_ok_and(|arn| arn.service == "sqs") {
        return Err(bad("Invalid value for deadLetterTargetArn."));
    }
    Ok(Some(Redrive { target_arn: policy.dead_letter_target_arn, max_receives }))
}

fn redrive_allow(value: &str) -> Result<String, Fault> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let bad = |reason: &str| faults::parameter("RedriveAllowPolicy", value, reason);
    let policy: RedriveAllowPolicy = serde_json::from_str(value)
        .map_err(|_| bad("Amazon SQS can't create the redrive allow policy, as it's not valid."))?;
    let by_queue = policy.redrive_permission == Permission::ByQueue;
    match by_queue != policy.source_queue_arns.is_empty() && policy.source_queue_arns.len() <= 10 {
        true => Ok(value.to_owned()),
        false => Err(bad("sourceQueueArns goes with byQueue, and names at most 10 queues.")),
    }
}

const ALWAYS: [&str; 14] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "SqsManagedSseEnabled",
    "Policy",
    "RedrivePolicy",
];
const SOMETIMES: [&str; 7] = [
    "RedriveAllowPolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
];

/// The attributes of these names; `All` are all that the queue has.
pub(super) fn show(queue: &Opened, names: &[String], counts: &Counts) -> Result<Attributes, Fault> {
    let known = || ALWAYS.iter().chain(&SOMETIMES).copied();
    if let Some(unknown) = names.iter().find(|name| *name != "All" && !known().any(|known| known == *name)) {
        return Err(faults::attribute_name(unknown));
    }
    let all = names.iter().any(|name| name == "All");
    let wanted = known().filter(|known| all || names.iter().any(|name| name == known));
    let value = |name: &'static str| get(queue, name, counts).map(|value| (name.to_owned(), value));
    Ok(wanted.filter_map(value).collect())
}

/// An attribute's value; `None` if the queue has it not.
pub(super) fn get(opened: &Opened, name: &str, counts: &Counts) -> Option<String> {
    let queue = &opened.record;
    let kept = |text: &String| (!text.is_empty()).then(|| text.clone());
    let of_fifo = |text: &str| queue.fifo.then(|| text.to_owned());
    match name {
        "QueueArn" => Some(opened.arn().to_string()),
        "ApproximateNumberOfMessages" => Some(counts.visible.to_string()),
        "ApproximateNumberOfMessagesNotVisible" => Some(counts.in_flight.to_string()),
        "ApproximateNumberOfMessagesDelayed" => Some(counts.delayed.to_string()),
        "CreatedTimestamp" => Some((queue.created_ms / 1000).to_string()),
        "LastModifiedTimestamp" => Some((queue.modified_ms / 1000).to_string()),
        "VisibilityTimeout" => Some(queue.visibility_s.to_string()),
        "MaximumMessageSize" => Some(queue.message_bytes.to_string()),
        "MessageRetentionPeriod" => Some(queue.retention_s.to_string()),
        "DelaySeconds" => Some(queue.delay_s.to_string()),
        "ReceiveMessageWaitTimeSeconds" => Some(queue.wait_s.to_string()),
        "SqsManagedSseEnabled" => Some("false".into()),
        "Policy" => kept(&queue.policy),
        "RedriveAllowPolicy" => kept(&queue.redrive_allow),
        "RedrivePolicy" => queue.redrive.as_ref().and_then(|redrive| {
            let policy = RedrivePolicy {
                dead_letter_target_arn: redrive.target_arn.clone(),
                max_receive_count: Count::Number(redrive.max_receives),
            };
            serde_json::to_string(&policy).ok()
        }),
        "FifoQueue" => of_fifo("true"),
        "ContentBasedDeduplication" => of_fifo(if queue.content_dedup { "true" } else { "false" }),
        "DeduplicationScope" => of_fifo(if queue.dedup_per_group { "messageGroup" } else { "queue" }),
        "FifoThroughputLimit" => {
            of_fifo(if queue.limit_per_group { "perMessageGroupId" } else { "perQueue" })
        }
        _ => None,
    }
}
