//! A rule as a tree of the members it asks for, and how it is held against a document.

use super::compile::Rule;
use super::text::Text;
use super::value::Test;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a rule asks of the values of one member: one of the tests holds, or there is none and none may be.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// The member's path, its steps joined by dots.
    pub(super) path: String,
    pub(super) tests: Vec<Test>,
    pub(super) may_be_absent: bool,
}

impl Field {
    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Array(elements) => elements.iter().any(|element| self.holds(element)),
            Value::Object(_) => false,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.tests.iter().any(|test| test.holds(value))
            }
        }
    }

    fn holds_by_absence(&self, document: &Value) -> bool {
        self.may_be_absent && !has_value(document, &self.path)
    }
}

/// Whether there is a value under a path, in whatever element of whatever list on the way.
fn has_value(value: &Value, path: &str) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(|element| has_value(element, path)),
        Value::Object(members) => {
            members.iter().any(|(name, member)| match path.strip_prefix(name.as_str()) {
                Some("") => is_value(member),
                Some(rest) => rest.strip_prefix('.').is_some_and(|rest| has_value(member, rest)),
                None => false,
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Objects are no values, nor are lists without any.
fn is_value(value: &Value) -> bool {
    match value {
        Value::Array(elements) => elements.iter().any(is_value),
        Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    step: String,
    field: Option<Arc<Field>>,
    children: Vec<Node>,
}

impl Node {
    pub(super) fn of(rule: &Rule) -> Node {
        let mut root = Node::default();
        for field in rule.values() {
            let mut node = &mut root;
            for step in field.path.split('.') {
                let known = node.children.iter().position(|child| child.step == step);
                let index = known.unwrap_or_else(|| {
                    node.children.push(Node { step: step.to_owned(), ..Node::default() });
                    node.children.len() - 1
                });
                node = &mut node.children[index];
            }
            node.field = Some(field.clone());
        }
        root
    }

    /// The texts of which a member of the document has to be one; `None` if it may be another.
    pub(super) fn texts_of(&self, member: &str) -> Option<Vec<&str>> {
        let field = self.children.iter().find(|child| child.step == member)?.field.as_ref()?;
        if field.may_be_absent {
            return None;
        }
        let text = |test| match test {
            &Test::Text(Text::Equal(ref text)) => Some(text.as_str()),
            _ => None,
        };
        field.tests.iter().map(text).collect()
    }

    pub(super) fn holds_for(&self, document: &Value) -> bool {
        self.children_hold(Some(document), document)
    }

    fn holds(&self, value: Option<&Value>, document: &Value) -> bool {
        let field_holds = match &self.field {
            None => true,
            Some(field) => value.is_some_and(|value| field.holds(value)) || field.holds_by_absence(document),
        };
        field_holds && self.children_hold(value, document)
    }

    /// Whether all children hold, and in the same element if the value is a list.
    fn children_hold(&self, value: Option<&Value>, document: &Value) -> bool {
        if self.children.is_empty() {
            return true;
        }
        let hold_nowhere = || self.children.iter().all(|child| child.holds(None, document));
        match value {
            Some(Value::Object(members)) => {
                self.children.iter().all(|child| child.holds_in(members, document))
            }
            Some(Value::Array(elements)) => {
                let nested = elements.iter().filter(|element| element.is_object() || element.is_array());
                nested.into_iter().any(|element| self.children_hold(Some(element), document))
                    || hold_nowhere()
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => hold_nowhere(),
        }
    }

    fn holds_in(&self, members: &Map<String, Value>, document: &Value) -> bool {
        if self.holds(members.get(&self.step), document) {
            return true;
        }
        members.iter().any(|(name, member)| {
            let rest = name.strip_prefix(self.step.as_str()).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| self.holds_below(rest, member, document))
        })
    }

    /// Whether it holds for an object with this one member, whose name may go on with dots.
    fn holds_below(&self, name: &str, member: &Value, document: &Value) -> bool {
        let by_absence = |field: &Arc<Field>| field.holds_by_absence(document);
        self.field.as_ref().is_none_or(by_absence)
            && self.children.iter().all(|child| match name.strip_prefix(child.step.as_str()) {
                Some("") => child.holds(Some(member), document),
                Some(rest) => match rest.strip_prefix('.') {
                    Some(rest) => child.holds_below(rest, member, document),
                    None => child.holds(None, document),
                },
                None => child.holds(None, document),
            })
    }
}
