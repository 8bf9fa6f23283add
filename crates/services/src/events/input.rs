//! What of an event a target gets: a part of it, something fixed, or a text made from it.
//!
//! The contract is "Amazon EventBridge input transformation" in the user guide. A template is JSON or text with
//! variables in angle brackets. Outside of quotes a variable stands for a JSON value, inside for its text.
//!
//! Pure: a template is filled; nothing here knows of rules.

use serde_json::Value;
use std::collections::BTreeMap;

/// What variables of EventBridge's own stand for.
pub(super) struct Facts<'a> {
    pub(super) rule_arn: &'a str,
    pub(super) rule_name: &'a str,
    /// ISO 8601, when the event came in.
    pub(super) ingested: &'a str,
}

/// The value at a path such as `$.detail.items[0]['a b']`, if there is one.
pub(crate) fn at_path<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut value = event;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = inside.split_once(']')?;
            let name = step.trim_matches(|c| c == '\'' || c == '"');
            value = match step.parse::<usize>() {
                Ok(index) => value.get(index)?,
                Err(_) => value.get(name)?,
            };
            rest = after;
        } else {
            let named = rest.strip_prefix('.')?;
            let end = named.find(['.', '[']).unwrap_or(named.len());
            value = value.get(&named[..end])?;
            rest = &named[end..];
        }
    }
    Some(value)
}

/// Whether a path is one: `$`, members and elements.
pub(crate) fn is_path(path: &str) -> bool {
    let Some(mut rest) = path.strip_prefix('$') else { return false };
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let Some((step, after)) = inside.split_once(']') else { return false };
            let quoted = step.len() > 2 && step.starts_with(['\'', '"']) && step.ends_with(['\'', '"']);
            if !quoted && step.parse::<usize>().is_err() {
                return false;
            }
            rest = after;
        } else {
            let Some(named) = rest.strip_prefix('.') else { return false };
            let end = named.find(['.', '[']).unwrap_or(named.len());
            if end == 0 {
                return false;
            }
            rest = &named[end..];
        }
    }
    true
}

/// The names between angle brackets.
pub(super) fn variables(template: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(name) = variable(rest) {
            found.push(name);
        }
    }
    found
}

/// The name at the beginning of a text, up to its closing bracket.
fn variable(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('>')?;
    is_name(name).then_some(name)
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(fits)
}

/// Names that mean the same in every template.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "aws.events.rule-arn"
            | "aws.events.rule-name"
            | "aws.events.event"
            | "aws.events.event.json"
            | "aws.events.event.ingestion-time"
    )
}

/// Fills a template. A variable whose path leads nowhere is empty.
pub(super) fn fill(
    template: &str,
    paths: &BTreeMap<String, String>,
    event: &Value,
    facts: &Facts<'_>,
) -> String {
    fill_with(template, |name| is_name(name).then(|| value_of(name, paths, event, facts)))
}

/// Fills a template with what `value_of` says of each text between angle brackets; where it has nothing to
/// say, the bracket is one.
pub(crate) fn fill_with(template: &str, value_of: impl Fn(&str) -> Option<Value>) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let found = if c == '<' { rest.split_once('>') } else { None };
        if let Some((name, after)) = found
            && let Some(value) = value_of(name)
        {
            rest = after;
            insert(&mut filled, &value, quoted);
            continue;
        }
        filled.push(c);
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    filled
}

fn value_of(name: &str, paths: &BTreeMap<String, String>, event: &Value, facts: &Facts<'_>) -> Value {
    match name {
        "aws.events.rule-arn" => Value::from(facts.rule_arn),
        "aws.events.rule-name" => Value::from(facts.rule_name),
        "aws.events.event.ingestion-time" => Value::from(facts.ingested),
        "aws.events.event.json" => event.clone(),
        "aws.events.event" => {
            let mut event = event.clone();
            if let Some(members) = event.as_object_mut() {
                members.remove("detail");
            }
            event
        }
        _ => match paths.get(name).and_then(|path| at_path(event, path)) {
            Some(value) => value.clone(),
            None => Value::from(""),
        },
    }
}

fn insert(filled: &mut String, value: &Value, quoted: bool) {
    if !quoted {
        filled.push_str(&value.to_string());
        return;
    }
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let escaped = Value::from(text).to_string();
    filled.push_str(&escaped[1..escaped.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(template: &str, paths: Value, event: &Value) -> String {
        let paths: BTreeMap<String, String> = serde_json::from_value(paths).unwrap();
        let facts = Facts { rule_arn: "arn:rule", rule_name: "rule", ingested: "2026-01-01T00:00:00Z" };
        fill(template, &paths, event, &facts)
    }

    /// The examples of the user guide's page, in our own words.
    #[test]
    fn templates_are_filled_as_documented() {
        let event = json!({
            "source": "aws.ec2", "detail-type": "change",
            "detail": { "instance-id": "i-1", "state": "RUNNING", "n": 5, "tags": ["a", { "b": "\"c\"" }] },
        });
        let paths = json!({ "instance": "$.detail.instance-id", "state": "$.detail.state", "n": "$.detail.n",
            "tags": "$.detail.tags", "b": "$.detail.tags[1].b", "none": "$.detail.none", "d": "$.detail" });
        let fill = |template: &str| filled(template, paths.clone(), &event);
        assert_eq!(fill(r#""instance <instance> is in <state>""#), r#""instance i-1 is in RUNNING""#);
        assert_eq!(fill(r#"{"instance": <instance>, "n": <n>}"#), r#"{"instance": "i-1", "n": 5}"#);
        assert_eq!(fill(r#"{"instance": "<instance>!", "n": "<n>"}"#), r#"{"instance": "i-1!", "n": "5"}"#);
        assert_eq!(fill(r#"{"tags": <tags>}"#), r#"{"tags": ["a",{"b":"\"c\""}]}"#);
        assert_eq!(fill(r#"{"b": "say <b>"}"#), r#"{"b": "say \"c\""}"#);
        assert_eq!(fill("\"one <n>\"\n\"two <state>\""), "\"one 5\"\n\"two RUNNING\"");
        assert_eq!(fill(r#"{"a": <none>, "b": "<none>"}"#), r#"{"a": "", "b": ""}"#);
        assert_eq!(fill(r#""\"<n>\" 3 < 4 <not a variable>""#), r#""\"5\" 3 < 4 <not a variable>""#);
        assert_eq!(fill("<aws.events.rule-arn>"), r#""arn:rule""#);
        assert_eq!(
            fill(r#"{"name": <aws.events.rule-name>, "at": <aws.events.event.ingestion-time>}"#),
            r#"{"name": "rule", "at": "2026-01-01T00:00:00Z"}"#
        );
        assert_eq!(fill("<aws.events.event>"), r#"{"source":"aws.ec2","detail-type":"change"}"#);
        assert_eq!(serde_json::from_str::<Value>(&fill("<aws.events.event.json>")).unwrap(), event);
        assert!(serde_json::from_str::<Value>(&fill(r#"{"d": "<d>"}"#)).unwrap()["d"].is_string());
    }

    #[test]
    fn paths_lead_to_members_and_elements() {
        let event = json!({ "a": { "b c": [1, { "d": 2 }] } });
        assert_eq!(at_path(&event, "$"), Some(&event));
        assert_eq!(at_path(&event, "$.a['b c'][1].d"), Some(&json!(2)));
        for missing in ["$.x", "$.a.b", "$.a['b c'][7]", "a", "$a"] {
            assert_eq!(at_path(&event, missing), None, "{missing}");
        }
        for good in ["$", "$.a", "$.a-b.c", "$.a[0]", "$['a b']"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "a", "$.", "$..a", "$[", "$[x]", "$a"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert_eq!(variables("<a> < b> <c.d> <> <"), ["a", "c.d"]);
    }
}
