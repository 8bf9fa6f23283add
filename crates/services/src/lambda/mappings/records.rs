//! Records of external sources: which of them a function is to have, the event that they make, and what its
//! answer says of them.
//!
//! Kafka's and RabbitMQ's events are those of AWS. The others have one shape of their own, in the same style:
//! `eventSource`, `servers`, and `records` by what they were read from; what a publisher has written is
//! base64.

use super::external::{Broker, External, Patience};
use super::model::{Key, MappingRow};
use crate::Cx;
use crate::lambda::keys::MAPPINGS;
use crate::readers::{Filters, reported_failures};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Arn, Fault, Time};
use serde_json::{Value, json};

/// One record, in the shape that its event shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What a report of failures names; unique within its line.
    pub id: String,
    /// When it was written, if the source says so.
    pub at: Option<Time>,
    pub shape: Value,
    /// About what it adds to an event.
    pub bytes: u64,
}

/// What a mapping does with the records of its external source.
#[derive(Debug)]
pub struct Contract {
    pub source: External,
    pub function: Arn,
    pub patience: Patience,
    pub(super) on_failure: String,
    reports_failures: bool,
    filters: Filters,
}

/// The contract of a mapping; `None` if it is gone, or of a queue.
pub fn contract(cx: &mut Cx<'_>, key: &Key) -> Result<Option<Contract>, Fault> {
    cx.allowed_by_policy();
    let Some(row) = MAPPINGS.get(cx.tx, key)? else { return Ok(None) };
    let Some(external) = &row.external else { return Ok(None) };
    Ok(Some(Contract {
        source: External::of(key, external)?,
        function: row.function()?,
        patience: Patience::of(external),
        on_failure: external.on_failure.clone(),
        reports_failures: row.reports_failures,
        filters: Filters::compile(&row.filters)?,
    }))
}

/// Whether a mapping reads an external source.
pub fn is_external(cx: &mut Cx<'_>, key: &Key) -> Result<bool, Fault> {
    cx.allowed_by_policy();
    Ok(MAPPINGS.get(cx.tx, key)?.is_some_and(|MappingRow { external, .. }| external.is_some()))
}

impl Contract {
    /// Whether the function is to have a record: what is JSON inside of base64 is compared as such.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        self.filters.admit(|| opened(self.source.broker, &record.shape))
    }

    pub fn event_type(&self) -> &'static str {
        self.source.broker.event_type()
    }

    /// The event of records of one line, JSON.
    pub fn event<'a>(&self, line: &str, records: impl Iterator<Item = &'a Record>) -> Result<Vec<u8>, Fault> {
        let records: Vec<&Value> = records.map(|record| &record.shape).collect();
        let servers: Vec<String> = self.source.endpoints.iter().map(|one| one.authority()).collect();
        let (source, servers) = (self.source.broker.event_source(), servers.join(","));
        let event = match self.source.broker {
            Broker::Kafka => {
                json!({ "eventSource": source, "bootstrapServers": servers, "records": { line: records } })
            }
            Broker::RabbitMq => {
                json!({ "eventSource": source, "servers": servers, "rmqMessagesByQueue": { line: records } })
            }
            _ => json!({ "eventSource": source, "servers": servers, "records": { line: records } }),
        };
        serde_json::to_vec(&event).map_err(|e| Fault::internal("write an event", e))
    }

    /// How many of the records are done after an answer: those before the first that the function reports. An
    /// answer that makes no sense says that none is.
    pub fn done<'a>(&self, records: impl ExactSizeIterator<Item = &'a Record>, answer: &[u8]) -> usize {
        let all = records.len();
        if !self.reports_failures {
            return all;
        }
        let Some(failed) = reported_failures(answer) else { return 0 };
        if failed.is_empty() {
            return all;
        }
        let mut first = None;
        let mut known = 0;
        for (number, record) in records.enumerate() {
            if failed.contains(&record.id) {
                known += 1;
                first = first.or(Some(number));
            }
        }
        if known == failed.len() { first.unwrap_or(0) } else { 0 }
    }
}

/// A record as filters see it.
pub(crate) fn opened(broker: Broker, shape: &Value) -> Value {
    let mut shape = shape.clone();
    let open = |value: &mut Value| {
        let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
        let Some(bytes) = bytes else { return };
        *value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    };
    match broker {
        Broker::Kafka => open(&mut shape["value"]),
        Broker::Redis => {
            for value in shape["fields"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
                open(value);
            }
        }
        // A change is JSON already.
        Broker::PostgreSql | Broker::Unspecified => {}
        Broker::RabbitMq | Broker::Nats | Broker::Mqtt => open(&mut shape["data"]),
    }
    shape
}
