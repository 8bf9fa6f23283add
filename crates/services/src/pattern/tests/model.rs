//! The language by brute force: a document is flattened into values with the list elements they are in, and
//! a rule tries every choice of one value for each member until one agrees on the elements.

use super::super::Pattern;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which element of which list a value is in.
type Places = BTreeMap<usize, usize>;
type Rule = BTreeMap<String, Vec<Value>>;

#[derive(Default)]
struct Flat {
    values: Vec<(String, Value, Places)>,
    lists: usize,
}

impl Flat {
    fn add(&mut self, path: &str, value: &Value, places: &Places) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.add(&path, member, places);
                }
            }
            Value::Array(elements) => {
                let list = self.lists;
                self.lists += 1;
                for (index, element) in elements.iter().enumerate() {
                    let mut places = places.clone();
                    if element.is_object() {
                        places.insert(list, index);
                    }
                    self.add(path, element, &places);
                }
            }
            _ => self.values.push((path.to_owned(), value.clone(), places.clone())),
        }
    }
}

fn rules_of(pattern: &Map<String, Value>, path: &str, mut rules: Vec<Rule>) -> Vec<Rule> {
    for (name, value) in pattern {
        if name == "$or" {
            let choices = value.as_array().unwrap();
            rules = choices
                .iter()
                .flat_map(|choice| rules_of(choice.as_object().unwrap(), path, rules.clone()))
                .collect();
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(members) => rules = rules_of(members, &path, rules),
            tests => {
                for rule in &mut rules {
                    rule.insert(path.clone(), tests.as_array().unwrap().clone());
                }
            }
        }
    }
    rules
}

fn holds(test: &Value, value: &Value) -> bool {
    let text = value.as_str();
    let Some((kind, operand)) = test.as_object().and_then(|test| test.iter().next()) else {
        return match (test.as_f64(), value.as_f64()) {
            (Some(test), Some(value)) => test == value,
            _ => test == value,
        };
    };
    let wanted = operand.as_str().unwrap_or_default();
    match kind.as_str() {
        "prefix" => text.is_some_and(|text| text.starts_with(wanted)),
        "suffix" => text.is_some_and(|text| text.ends_with(wanted)),
        "equals-ignore-case" => text.is_some_and(|text| text.to_lowercase() == wanted.to_lowercase()),
        "exists" => operand == true,
        "numeric" => value.as_f64().is_some_and(|value| value > operand[1].as_f64().unwrap()),
        "anything-but" if operand.is_number() => value.is_number() && !holds(operand, value),
        "anything-but" => !holds(operand, value),
        _ => unreachable!("{kind}"),
    }
}

fn some_choice(rule: &[(&String, &Vec<Value>)], flat: &Flat, chosen: &Places) -> bool {
    let Some(((path, tests), rest)) = rule.split_first() else { return true };
    let of_path = || flat.values.iter().filter(|(candidate, ..)| candidate == *path);
    let may_be_absent = tests.iter().any(|test| test.get("exists") == Some(&json!(false)));
    if may_be_absent && of_path().next().is_none() {
        return some_choice(rest, flat, chosen);
    }
    of_path().any(|(_, value, places)| {
        let agree = places.iter().all(|(list, index)| chosen.get(list).is_none_or(|at| at == index));
        if !agree || !tests.iter().any(|test| holds(test, value)) {
            return false;
        }
        let mut chosen = chosen.clone();
        chosen.extend(places);
        some_choice(rest, flat, &chosen)
    })
}

fn wants(pattern: &Value, document: &Value) -> bool {
    let mut flat = Flat::default();
    flat.add("", document, &Places::new());
    let rules = rules_of(pattern.as_object().unwrap(), "", vec![Rule::new()]);
    rules.iter().any(|rule| some_choice(&rule.iter().collect::<Vec<_>>(), &flat, &Places::new()))
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec!["x", "xy", "X", "", "yx"]).prop_map(|text| json!(text)),
        (0..3i32).prop_map(|number| json!(number)),
        Just(json!(1.0)),
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn object(value: impl Strategy<Value = Value>, least: usize) -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), value), least..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn document() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(4, 32, 4, |inner| {
        let element = prop_oneof![scalar(), object(inner.clone(), 0)];
        prop_oneof![object(inner, 0), prop::collection::vec(element, 0..4).prop_map(Value::Array)]
    });
    object(value, 0)
}

fn test() -> impl Strategy<Value = Value> {
    let text = || prop::sample::select(vec!["x", "y", "X", "xy"]);
    prop_oneof![
        3 => scalar(),
        1 => text().prop_map(|text| json!({ "prefix": text })),
        1 => text().prop_map(|text| json!({ "suffix": text })),
        1 => text().prop_map(|text| json!({ "equals-ignore-case": text })),
        1 => text().prop_map(|text| json!({ "anything-but": text })),
        1 => text().prop_map(|text| json!({ "anything-but": { "prefix": text } })),
        1 => (0..2i32).prop_map(|number| json!({ "anything-but": number })),
        1 => (0..2i32).prop_map(|number| json!({ "numeric": [">", number] })),
        2 => any::<bool>().prop_map(|there| json!({ "exists": there })),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    let tests = prop::collection::vec(test(), 1..3).prop_map(Value::Array);
    let value = tests.prop_recursive(3, 16, 3, |inner| {
        let choices = prop::collection::vec(object(inner.clone(), 1), 2..3);
        (object(inner, 1), prop::option::weighted(0.3, choices)).prop_map(|(mut members, choices)| {
            if let Some(choices) = choices {
                members["$or"] = Value::Array(choices);
            }
            members
        })
    });
    object(value, 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_wants_what_its_model_wants(
        pattern in pattern(), documents in prop::collection::vec(document(), 8),
    ) {
        let compiled = Pattern::compile(&pattern.to_string()).unwrap();
        for document in documents {
            prop_assert_eq!(
                compiled.matches(&document), wants(&pattern, &document), "{} on {}", pattern, document
            );
        }
    }

    #[test]
    fn no_text_breaks_the_compiler(text in "[\\[\\]{}\":, a$or0-9.e\\\\*-]{0,40}") {
        let _ = Pattern::compile(&text);
    }
}
