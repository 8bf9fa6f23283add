//! PutEvents: events of applications come onto a bus.

use super::names::{bus_arn, bus_of};
use super::{faults, route};
use crate::Cx;
use crate::access::{self, Document, Gate};
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault, Policy, Time};
use mayfly_wire::with::epoch_seconds;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const ENTRIES_MAX: usize = 10;
/// All entries of a call together.
const ENTRIES_BYTES: usize = 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default, with = "epoch_seconds::option")]
    time: Option<Time>,
    source: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    detail_type: Option<String>,
    detail: Option<String>,
    event_bus_name: Option<String>,
    /// There are no traces.
    #[serde(rename = "TraceHeader", default)]
    _trace_header: IgnoredAny,
}

impl Entry {
    /// As the documentation computes it.
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let time = if self.time.is_some() { 14 } else { 0 };
        let resources = self.resources.iter().map(String::len).sum::<usize>();
        time + text(&self.source) + text(&self.detail_type) + text(&self.detail) + resources
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    failed_entry_count: usize,
    entries: Vec<Outcome>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

/// Why an entry is not taken: code and message.
type Refused = (&'static str, String);

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Done, Fault> {
    if input.entries.is_empty() || input.entries.len() > ENTRIES_MAX {
        let rule = match input.entries.is_empty() {
            true => "Member must have length greater than or equal to 1",
            false => "Member must have length less than or equal to 10",
        };
        return Err(faults::constraint("entries", "[...]", rule));
    }
    if input.entries.iter().map(Entry::size).sum::<usize>() > ENTRIES_BYTES {
        let text = "Total size of the entries in the request is over the limit.";
        return Err(faults::validation(text));
    }
    let mut entries = Vec::with_capacity(input.entries.len());
    for entry in input.entries {
        entries.push(match take(cx, entry)? {
            Ok(id) => Outcome { event_id: Some(id), ..Outcome::default() },
            Err((code, text)) => {
                Outcome { error_code: Some(code), error_message: Some(text), ..Outcome::default() }
            }
        });
    }
    let failed_entry_count = entries.iter().filter(|entry| entry.event_id.is_none()).count();
    Ok(Done { failed_entry_count, entries })
}

/// Puts one event on its bus; its id, or why it is not taken. A bus that is not there takes everything, as
/// AWS's.
fn take(cx: &mut Cx<'_>, entry: Entry) -> Result<Result<String, Refused>, Fault> {
    let bus = bus_of(cx.caller, entry.event_bus_name.as_deref());
    let compiled = route::compiled(cx, &bus)?;
    let policy = compiled.as_ref().and_then(|bus| bus.policy.as_ref());
    admit(cx, &bus_arn(&bus), policy, &entry)?;
    let event = match event(cx, entry) {
        Ok(event) => event,
        Err(refused) => return Ok(Err(refused)),
    };
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    if let Some(compiled) = compiled {
        route::accept(cx, &bus, &compiled, event, cx.caller.depth)?;
    }
    Ok(Ok(id))
}

/// Asks whether the caller may put this event on a bus.
fn admit(cx: &mut Cx<'_>, bus: &Arn, policy: Option<&Policy>, entry: &Entry) -> Result<(), Fault> {
    if policy.is_none() && access::is_free(cx, bus, "") {
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let facts = Facts::default()
        .with("events:source", text(&entry.source))
        .with("events:detail-type", text(&entry.detail_type));
    let gate = Gate {
        resource: bus,
        owner: &bus.account,
        action: "events:PutEvents",
        policy: Document::Read(policy),
        facts,
        keeps_root_in: false,
    };
    gate.caller(cx).map_err(faults::denied)
}

fn event(cx: &Cx<'_>, entry: Entry) -> Result<Value, Refused> {
    let required = |member: &str, value: Option<String>| match value.filter(|value| !value.is_empty()) {
        Some(value) => Ok(value),
        None => {
            let reason = format!("Parameter {member} is not valid. Reason: {member} is a required argument.");
            Err(("InvalidArgument", reason))
        }
    };
    let source = required("Source", entry.source)?;
    let detail_type = required("DetailType", entry.detail_type)?;
    let detail = required("Detail", entry.detail)?;
    if source.starts_with("aws.") {
        return Err(("NotAuthorizedForSourceException", "Not authorized for the source.".into()));
    }
    let detail: Value = match serde_json::from_str(&detail) {
        Ok(detail @ Value::Object(_)) => detail,
        Ok(_) | Err(_) => return Err(("MalformedDetail", "Detail is malformed.".into())),
    };
    let time = entry.time.unwrap_or(cx.now);
    Ok(envelope(cx, (&source, &detail_type), time, json!(entry.resources), detail))
}

/// An event in its form. The time is told in seconds.
pub(super) fn envelope(
    cx: &Cx<'_>,
    (source, detail_type): (&str, &str),
    time: Time,
    resources: Value,
    detail: Value,
) -> Value {
    json!({
        "version": "0",
        "id": cx.ids.uuid(),
        "detail-type": detail_type,
        "source": source,
        "account": cx.caller.account,
        "time": seconds(time),
        "region": cx.caller.region,
        "resources": resources,
        "detail": detail,
    })
}

pub(super) fn seconds(time: Time) -> String {
    let text = mayfly_wire::time::iso8601(Time::from_secs(time.secs()));
    text.replace(".000Z", "Z")
}
