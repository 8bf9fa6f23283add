//! Input templates of pipes, and the paths in their parameters ("Amazon EventBridge Pipes input transformation").
//!
//! `<$.path>` stands for a part of the event, `<aws.pipes.…>` for a fact of the pipe. Outside of quotes a
//! variable is a JSON value, inside its text. A message's body that is JSON is looked into as such.

use crate::events::input::{at_path, fill_with, is_path};
use crate::lambda::mappings::{Broker, opened};
use serde_json::Value;

/// What variables of Pipes' own stand for.
pub(super) struct Facts<'a> {
    pub(super) pipe_arn: &'a str,
    pub(super) pipe_name: &'a str,
    pub(super) source_arn: &'a str,
    pub(super) enrichment_arn: &'a str,
    pub(super) target_arn: &'a str,
    /// ISO 8601, when the batch was taken.
    pub(super) ingested: &'a str,
}

const KNOWN: [&str; 8] = [
    "aws.pipes.pipe-arn",
    "aws.pipes.pipe-name",
    "aws.pipes.source-arn",
    "aws.pipes.enrichment-arn",
    "aws.pipes.target-arn",
    "aws.pipes.event.ingestion-time",
    "aws.pipes.event",
    "aws.pipes.event.json",
];

/// An event whose body is JSON in a text, with that JSON in its place; what a broker's record has in base64 is
/// shown as what it says.
pub(super) fn looked_into(event: &Value) -> Value {
    let source = event.get("eventSource").and_then(Value::as_str);
    if let Some(broker) = Broker::ALL.into_iter().find(|broker| source == Some(broker.event_source())) {
        return opened(broker, event);
    }
    let mut event = event.clone();
    let parsed = event.get("body").and_then(Value::as_str).and_then(|body| serde_json::from_str(body).ok());
    if let Some(body) = parsed {
        event["body"] = body;
    }
    event
}

/// The first variable of Pipes' own that there is not.
pub(super) fn unknown(template: &str) -> Option<String> {
    let mut rest = template;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some((name, _)) = rest.split_once('>')
            && name.starts_with("aws.")
            && !KNOWN.contains(&name)
        {
            return Some(name.to_owned());
        }
    }
    None
}

/// An event as a template makes it: a JSON value, or a text if that is what it comes to.
pub(super) fn made(template: Option<&str>, event: &Value, facts: &Facts<'_>) -> Value {
    let Some(template) = template.filter(|text| !text.is_empty()) else { return event.clone() };
    let inside = looked_into(event);
    let filled = fill_with(template, |name| value_of(name, event, &inside, facts));
    serde_json::from_str(&filled).unwrap_or(Value::String(filled))
}

fn value_of(name: &str, event: &Value, inside: &Value, facts: &Facts<'_>) -> Option<Value> {
    Some(match name {
        "aws.pipes.pipe-arn" => Value::from(facts.pipe_arn),
        "aws.pipes.pipe-name" => Value::from(facts.pipe_name),
        "aws.pipes.source-arn" => Value::from(facts.source_arn),
        "aws.pipes.enrichment-arn" => Value::from(facts.enrichment_arn),
        "aws.pipes.target-arn" => Value::from(facts.target_arn),
        "aws.pipes.event.ingestion-time" => Value::from(facts.ingested),
        "aws.pipes.event" => event.clone(),
        "aws.pipes.event.json" => inside.clone(),
        path if is_path(path) => at_path(inside, path).cloned().unwrap_or_else(|| Value::from("")),
        _ => return None,
    })
}

/// A parameter as it is, or what is there in the event if it is a path.
pub(super) fn text_of(parameter: &str, event: &Value) -> Option<String> {
    if !(parameter.starts_with("$.") && is_path(parameter)) {
        return Some(parameter.to_owned());
    }
    match at_path(&looked_into(event), parameter)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// What a target gets of an event: a text as it is, anything else as JSON.
pub(super) fn body_of(event: &Value) -> Vec<u8> {
    match event {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled_as_documented() {
        let facts = Facts {
            pipe_arn: "arn:pipe",
            pipe_name: "p",
            source_arn: "arn:source",
            enrichment_arn: "",
            target_arn: "arn:target",
            ingested: "2026-01-01T00:00:00Z",
        };
        let event =
            json!({ "messageId": "m", "body": r#"{"order":{"id":7,"name":"a \"b\""},"tags":["x"]}"# });
        let fill = |template: &str| made(Some(template), &event, &facts);
        assert_eq!(fill(r#"{"id": <$.body.order.id>}"#), json!({ "id": 7 }));
        assert_eq!(fill(r#"{"n": "<$.body.order.name>!"}"#), json!({ "n": "a \"b\"!" }));
        assert_eq!(fill(r#"{"t": <$.body.tags[0]>, "m": <$.messageId>}"#), json!({ "t": "x", "m": "m" }));
        assert_eq!(fill("order <$.body.order.id> of <aws.pipes.pipe-name>"), json!("order 7 of \"p\""));
        assert_eq!(fill("<aws.pipes.event>"), event);
        assert_eq!(fill("<aws.pipes.event.json>")["body"]["order"]["id"], 7);
        assert_eq!(
            fill(r#"{"none": <$.body.none>, "at": <aws.pipes.event.ingestion-time>}"#),
            json!({ "none": "", "at": "2026-01-01T00:00:00Z" })
        );
        assert_eq!(made(None, &event, &facts), event);
        assert_eq!(unknown("<aws.pipes.pipe-name> <aws.pipes.x>"), Some("aws.pipes.x".to_owned()));
        assert_eq!(text_of("$.body.order.id", &event), Some("7".to_owned()));
        assert_eq!((text_of("$.none", &event), text_of("plain", &event)), (None, Some("plain".to_owned())));
    }
}
