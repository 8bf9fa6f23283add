//! CloudEvents 1.0 that come onto a bus over HTTP, and go out again: binary, structured and batched ("HTTP
//! Protocol Binding for CloudEvents", version 1.0.2).
//!
//! `source` and `type` are the event's source and its detail type, `id` and `time` its id and time, a
//! `subject` its resource, and data that is a JSON object its detail; other data is the member `data` of
//! the detail. All attributes, extensions included, stand in the member `cloudevent` beside the detail,
//! where patterns reach them. An event that goes out to an API destination has them again.

use super::names::open_bus;
use super::put::{envelope, seconds};
use super::route;
use crate::Cx;
use base64::Engine as _;
use http::HeaderMap;
use mayfly_kernel::{Fault, Time};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const STRUCTURED: &str = "application/cloudevents+json";
const BATCHED: &str = "application/cloudevents-batch+json";
/// How many events one batch may have.
const BATCH_MAX: usize = 100;

fn invalid(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", text)
}

/// Takes all events of a request, or none. Returns how many.
pub fn receive(cx: &mut Cx<'_>, bus: &str, headers: &HeaderMap, body: &[u8]) -> Result<usize, Fault> {
    let (bus, _) = open_bus(cx, Some(bus))?;
    let events = read(headers, body)?;
    let count = events.len();
    for event in events {
        let event = translated(cx, event)?;
        if let Some(compiled) = route::compiled(cx, &bus)? {
            route::accept(cx, &bus, &compiled, event, cx.caller.depth)?;
        }
    }
    Ok(count)
}

/// The events of a request in their structured form.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Map<String, Value>>, Fault> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let parse =
        |body| serde_json::from_slice::<Value>(body).map_err(|e| invalid(format!("Invalid JSON: {e}")));
    let object = |value: Value| match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(invalid("A CloudEvent is a JSON object"))
        }
    };
    if media.eq_ignore_ascii_case(STRUCTURED) {
        return Ok(vec![object(parse(body)?)?]);
    }
    if media.eq_ignore_ascii_case(BATCHED) {
        let Value::Array(events) = parse(body)? else { return Err(invalid("A batch is a JSON array")) };
        if events.len() > BATCH_MAX {
            return Err(invalid(format!("A batch has at most {BATCH_MAX} events")));
        }
        return events.into_iter().map(object).collect();
    }
    if !headers.contains_key("ce-specversion") {
        return Err(invalid("The request has neither ce-specversion nor a CloudEvents content type"));
    }
    Ok(vec![binary(headers, media, body)])
}

fn binary(headers: &HeaderMap, media: &str, body: &[u8]) -> Map<String, Value> {
    let mut event = Map::new();
    for (name, value) in headers {
        if let Some(attribute) = name.as_str().strip_prefix("ce-") {
            let text = percent_encoding::percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned();
            event.insert(attribute.to_owned(), Value::from(text));
        }
    }
    if media.is_empty() && body.is_empty() {
        return event;
    }
    let json = media.is_empty() || media == "application/json" || media.ends_with("+json");
    match (serde_json::from_slice(body), std::str::from_utf8(body)) {
        (Ok(data), _) if json => event.insert("data".into(), data),
        (_, Ok(text)) => event.insert("data".into(), Value::from(text)),
        (_, Err(_)) => {
            let text = base64::engine::general_purpose::STANDARD.encode(body);
            event.insert("data_base64".into(), Value::from(text))
        }
    };
    if !media.is_empty() {
        event.insert("datacontenttype".into(), Value::from(media));
    }
    event
}

/// The attributes of an event that goes out. One that came in as a CloudEvent has those that it came with.
pub(super) fn attributes(event: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let own = event["cloudevent"].as_object().into_iter().flatten();
    let mut attributes: BTreeMap<String, String> =
        own.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
    let ours = [
        ("id", &event["id"]),
        ("source", &event["source"]),
        ("type", &event["detail-type"]),
        ("time", &event["time"]),
        ("subject", &event["resources"][0]),
        ("specversion", &Value::from("1.0")),
    ]
    .map(|(name, value)| (name.to_owned(), text(value)));
    for (name, value) in ours {
        if let Some(value) = value {
            attributes.entry(name).or_insert(value);
        }
    }
    attributes
}

/// The event as rules see it.
fn translated(cx: &Cx<'_>, mut event: Map<String, Value>) -> Result<Value, Fault> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("specversion") != Some("1.0") {
        return Err(invalid("The CloudEvent's specversion must be 1.0"));
    }
    let required = |name: &str| match text(name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(invalid(format!("The CloudEvent has no {name}"))),
    };
    let (id, source, kind) = (required("id")?, required("source")?, required("type")?);
    if source.starts_with("aws.") {
        return Err(Fault::new(403, "NotAuthorizedForSourceException", "Not authorized for the source."));
    }
    let time: Time = match text("time") {
        Some(time) => mayfly_wire::time::parse_iso8601(time)
            .ok_or_else(|| invalid(format!("The CloudEvent's time is none: {time}")))?,
        None => cx.now,
    };
    let resources: Vec<String> = text("subject").map(str::to_owned).into_iter().collect();
    let data = event.remove("data");
    let detail = match (data, event.remove("data_base64")) {
        (Some(data @ Value::Object(_)), _) => data,
        (Some(data), _) => json!({ "data": data }),
        (None, Some(bytes)) => json!({ "data_base64": bytes }),
        (None, None) => json!({}),
    };
    let mut translated = envelope(cx, (&source, &kind), time, json!(resources), detail);
    translated["id"] = Value::from(id);
    translated["time"] = Value::from(seconds(time));
    translated["cloudevent"] = Value::Object(event);
    Ok(translated)
}
