//! What is written down once records of an external source are done or given up.
//!
//! What a broker keeps for us, an acknowledgement or the offset of a group, is told to it by whoever reads
//! it, after the commit of what is written here. What it does not keep is a cursor, in the same commit.

use super::external::Broker;
use super::model::{CursorRow, Key, ResultRow};
use super::records::{Contract, Record};
use crate::Cx;
use crate::access::Agent;
use crate::fabric::{self, Delivery, Target};
use crate::lambda::keys::{MAPPING_CURSORS, MAPPING_RESULTS, MAPPINGS};
use crate::lambda::{lookup, resolve};
use crate::sns::{self, Announcement};
use crate::sqs::{self, Post};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How far a line has been read: what comes next.
pub fn cursor(cx: &mut Cx<'_>, key: &Key, line: &str) -> Result<Option<i64>, Fault> {
    cx.allowed_by_policy();
    Ok(MAPPING_CURSORS.get(cx.tx, &line_key(key, line))?.map(|row| row.next))
}

/// Whether anything is known of how far a mapping's lines have been read.
pub fn is_begun(cx: &mut Cx<'_>, key: &Key) -> Result<bool, Fault> {
    cx.allowed_by_policy();
    Ok(!MAPPING_CURSORS.scan(cx.tx, Scan::prefix(key, 1))?.is_empty())
}

/// Notes how far a line has been read.
pub fn advance(cx: &mut Cx<'_>, key: &Key, line: &str, next: i64) -> Result<(), Fault> {
    cx.allowed_by_policy();
    if MAPPINGS.contains(cx.tx, key)? {
        MAPPING_CURSORS.put(cx.tx, &line_key(key, line), &CursorRow { next });
    }
    Ok(())
}

fn line_key((account, region, id): &Key, line: &str) -> crate::lambda::keys::QualifiedKey {
    (account.clone(), region.clone(), id.clone(), line.to_owned())
}

/// Notes how it goes, for `LastProcessingResult`.
pub fn note(cx: &mut Cx<'_>, key: &Key, text: &str) -> Result<(), Fault> {
    cx.allowed_by_policy();
    if MAPPINGS.contains(cx.tx, key)? {
        MAPPING_RESULTS.put(cx.tx, key, &ResultRow { text: text.to_owned() });
    }
    Ok(())
}

/// What is said of a mapping that goes well.
pub const OK: &str = "OK";

/// How it goes, if that was noted.
pub(crate) fn said(cx: &Cx<'_>, key: &Key) -> Result<Option<String>, Fault> {
    Ok(MAPPING_RESULTS.get(cx.tx, key)?.map(|row| row.text))
}

/// Why records are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Loss {
    #[serde(rename = "RetryAttemptsExhausted")]
    RetriesExhausted,
    #[serde(rename = "EventAgeExceeded")]
    TooOld,
    /// A single record that no event has room for.
    #[serde(rename = "PayloadSizeExceeded")]
    TooLarge,
}

/// Records that are given up, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    pub line: &'a str,
    pub records: &'a [&'a Record],
    pub loss: Loss,
    /// Of the last attempt.
    pub request_id: &'a str,
    pub attempts: u32,
}

/// Tells the destination for failures. If there is none, or it cannot be reached, the event is kept among the
/// dead deliveries, from where it can be sent again: the source may not have it any more.
pub fn gave_up(cx: &mut Cx<'_>, contract: &Contract, lost: Lost<'_>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let event = contract.event(lost.line, lost.records.iter().copied())?;
    let why = match lost.loss {
        Loss::RetriesExhausted => format!("the function has failed {} times", lost.attempts),
        Loss::TooOld => "the records are older than MaximumRecordAgeInSeconds".to_owned(),
        Loss::TooLarge => "the record is larger than an event may be".to_owned(),
    };
    let reason = match contract.on_failure.as_str() {
        "" => why,
        destination => match tell(cx, contract, lost, &event, destination)? {
            None => return Ok(()),
            Some(unreached) => format!("{why}; for the destination {destination}: {unreached}"),
        },
    };
    let delivery = Delivery {
        target: Target::Function(contract.function.clone()),
        event_type: contract.event_type().into(),
        payload: event,
        source: contract.source.broker.event_source().into(),
        id: None,
        due: None,
        depth: 0,
        tenant: None,
    };
    fabric::keep_as_dead(cx, delivery, reason);
    Ok(())
}

/// Says why the destination cannot be reached, if so.
fn tell(
    cx: &mut Cx<'_>,
    contract: &Contract,
    lost: Lost<'_>,
    event: &[u8],
    destination: &str,
) -> Result<Option<String>, Fault> {
    let arn: Arn = destination.parse().map_err(|e| Fault::internal("read a destination", e))?;
    let body = document(cx, contract, lost, event)?;
    let source = contract.function.to_string();
    let agent = Agent::new("lambda.amazonaws.com", &source, "");
    match arn.service.as_str() {
        "sqs" => Ok(sqs::post(cx, &arn, &agent, Post::new(body, 1))?.err().map(|why| why.to_string())),
        "sns" => {
            let said = Announcement { subject: "", body, attributes: &[], depth: 1 };
            Ok(sns::announce(cx, &arn, &agent, said)?.err().map(|why| why.to_string()))
        }
        _ => Ok(Some("Mayfly does not deliver there".into())),
    }
}

/// The document that destinations get, as AWS describes it under "Capturing discarded batches". The event is
/// part of it for every destination: brokers other than Kafka forget what was acknowledged.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KafkaBatchInfo", skip_serializing_if = "Option::is_none")]
    kafka: Option<BatchInfo<'a>>,
    #[serde(rename = "RecordBatchInfo", skip_serializing_if = "Option::is_none")]
    other: Option<BatchInfo<'a>>,
    payload: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: Loss,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: String,
    function_error: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    batch_size: usize,
    bootstrap_servers: String,
    payload_size: usize,
    record_info: BTreeMap<&'a str, Span<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    first_record_id: &'a str,
    last_record_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_record_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_record_timestamp: Option<String>,
}

fn document(cx: &Cx<'_>, contract: &Contract, lost: Lost<'_>, event: &[u8]) -> Result<Vec<u8>, Fault> {
    let function = resolve::of_arn(&contract.function)?;
    let servers: Vec<String> = contract.source.endpoints.iter().map(|one| one.authority()).collect();
    let time = |record: Option<&&Record>| record.and_then(|one| one.at).map(mayfly_wire::time::iso8601);
    let id = |record: Option<&&'_ Record>| record.map_or(String::new(), |one| one.id.clone());
    let (first, last) = (lost.records.first(), lost.records.last());
    let (first_id, last_id) = (id(first), id(last));
    let info = BatchInfo {
        batch_size: lost.records.len(),
        bootstrap_servers: servers.join(","),
        payload_size: event.len(),
        record_info: BTreeMap::from([(
            lost.line,
            Span {
                first_record_id: &first_id,
                last_record_id: &last_id,
                first_record_timestamp: time(first),
                last_record_timestamp: time(last),
            },
        )]),
    };
    let (kafka, other) = match contract.source.broker {
        Broker::Kafka => (Some(info), None),
        _ => (None, Some(info)),
    };
    let ran = lost.loss == Loss::RetriesExhausted;
    let executed = lookup::version(cx, &function).map(|row| row.label()).unwrap_or_default();
    let document = Document {
        request_context: RequestContext {
            request_id: lost.request_id,
            function_arn: function.named_arn().to_string(),
            condition: lost.loss,
            approximate_invoke_count: lost.attempts,
        },
        response_context: ran.then_some(ResponseContext {
            status_code: 200,
            executed_version: executed,
            function_error: "Unhandled",
        }),
        version: "1.0",
        timestamp: mayfly_wire::time::iso8601(cx.now),
        kafka,
        other,
        payload: serde_json::from_slice(event).map_err(|e| Fault::internal("read an event", e))?,
    };
    serde_json::to_vec(&document).map_err(|e| Fault::internal("write a record of a loss", e))
}
