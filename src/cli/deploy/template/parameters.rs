//! The template's parameters and the values that this deploy gives them.
//!
//! Not here: parameters that are looked up somewhere (`AWS::SSM::Parameter::…`), which need the service
//! first, and `AllowedPattern`, which is accepted with a warning and not checked.

use super::node::{Node, Problem, Value};
use std::collections::BTreeMap;

/// Every parameter's value by its name. Values of list types are lists.
pub(crate) type Values = BTreeMap<String, Node>;

/// Gives every declared parameter its value from `given`, or else its default.
pub(crate) fn bind(
    declared: Option<&Node>,
    given: &BTreeMap<String, String>,
    warnings: &mut Vec<Problem>,
) -> Result<Values, Problem> {
    let entries = declared.map(Node::entries).unwrap_or_default();
    if let Some(name) = given.keys().find(|name| !entries.iter().any(|entry| entry.key == **name)) {
        let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let line = declared.map_or(1, |node| node.line);
        return Err(Problem::new(line, format!("the template has no parameter `{name}`; it has: {has}")));
    }
    let mut values = Values::new();
    for entry in entries {
        let value = value(&entry.key, entry.line, &entry.node, given.get(&entry.key))?;
        if let Some(pattern) = entry.node.entry("AllowedPattern") {
            let what = format!("AllowedPattern of parameter `{}` is not checked", entry.key);
            warnings.push(Problem::new(pattern.line, what));
        }
        values.insert(entry.key.clone(), value);
    }
    Ok(values)
}

fn value(name: &str, line: usize, declared: &Node, given: Option<&String>) -> Result<Node, Problem> {
    let kind = declared.get("Type").and_then(Node::as_text);
    let Some(kind) = kind else {
        return Err(Problem::new(line, format!("parameter `{name}` has no Type")));
    };
    if kind.starts_with("AWS::SSM::Parameter::") {
        let what =
            format!("parameter `{name}` is looked up in Systems Manager, which Mayfly does not have yet");
        return Err(Problem::new(line, what));
    }
    let default = declared.get("Default").and_then(|node| match &node.value {
        Value::Null => Some(String::new()),
        _ => node.scalar(),
    });
    let Some(text) = given.cloned().or(default) else {
        let what = format!("parameter `{name}` has no default; give it with --parameter {name}=VALUE");
        return Err(Problem::new(line, what));
    };
    let items: Vec<&str> = match is_list(kind) {
        true if text.is_empty() => Vec::new(),
        true => text.split(',').map(str::trim).collect(),
        false => vec![text.as_str()],
    };
    for item in &items {
        check(name, line, kind, declared, item)?;
    }
    if is_list(kind) {
        return Ok(Node::list(line, items.iter().map(|item| Node::text(line, *item)).collect()));
    }
    Ok(Node::text(line, text))
}

fn is_list(kind: &str) -> bool {
    kind == "CommaDelimitedList" || kind.starts_with("List<")
}

/// The declared constraints, on one value or one item of a list.
fn check(name: &str, line: usize, kind: &str, declared: &Node, text: &str) -> Result<(), Problem> {
    let wrong = |what: String| {
        let hint = declared.get("ConstraintDescription").and_then(Node::as_text);
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Err(Problem::new(line, format!("parameter `{name}` is `{text}`, which {what}{hint}")))
    };
    if let Some(allowed) = declared.get("AllowedValues") {
        let allowed: Vec<String> = allowed.items().iter().filter_map(Node::scalar).collect();
        if !allowed.iter().any(|value| value == text) {
            return wrong(format!("is not one of {}", allowed.join(", ")));
        }
    }
    let bound = |key: &str| declared.get(key).and_then(Node::scalar)?.parse::<f64>().ok();
    if kind == "Number" || kind == "List<Number>" {
        let Ok(number) = text.parse::<f64>() else { return wrong("is not a number".into()) };
        if bound("MinValue").is_some_and(|least| number < least) {
            return wrong("is less than MinValue".into());
        }
        if bound("MaxValue").is_some_and(|most| number > most) {
            return wrong("is more than MaxValue".into());
        }
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "no parameter is long enough to lose a digit")]
    let length = text.chars().count() as f64;
    if bound("MinLength").is_some_and(|least| length < least) {
        return wrong("is shorter than MinLength".into());
    }
    if bound("MaxLength").is_some_and(|most| length > most) {
        return wrong("is longer than MaxLength".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;
    use serde_json::json;

    const DECLARED: &str = "
Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Size: {Type: Number, Default: 128, MinValue: 128, MaxValue: 1024, ConstraintDescription: in MiB}
Hosts: {Type: CommaDelimitedList, Default: 'a, b'}
Name: {Type: String, MinLength: 2}
";

    fn bound(given: &[(&str, &str)]) -> Result<Values, Problem> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        bind(Some(&yaml::parse(DECLARED).unwrap()), &given, &mut Vec::new())
    }

    #[test]
    fn what_is_given_goes_before_the_default() {
        let values = bound(&[("Name", "me"), ("Size", "256")]).unwrap();
        assert_eq!(values["Stage"].to_json(), json!("dev"));
        assert_eq!(values["Size"].to_json(), json!("256"));
        assert_eq!(values["Hosts"].to_json(), json!(["a", "b"]));
    }

    #[test]
    fn a_value_that_may_not_be_is_told_with_its_line() {
        type Given<'a> = &'a [(&'a str, &'a str)];
        let cases: [(Given<'_>, usize, &str); 6] = [
            (&[], 5, "--parameter Name=VALUE"),
            (&[("Name", "me"), ("Stage", "test")], 2, "is not one of dev, prod"),
            (&[("Name", "me"), ("Size", "64")], 3, "is less than MinValue (in MiB)"),
            (&[("Name", "me"), ("Size", "big")], 3, "is not a number"),
            (&[("Name", "x")], 5, "is shorter than MinLength"),
            (&[("Nam", "x")], 2, "no parameter `Nam`; it has: Stage, Size, Hosts, Name"),
        ];
        for (given, line, message) in cases {
            let problem = bound(given).unwrap_err();
            assert!(problem.message.contains(message), "{problem}");
            assert_eq!(problem.line, line, "{problem}");
        }
    }
}
