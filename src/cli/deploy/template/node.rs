//! The tree that a template is read into: plain data, each piece with the line it stands on.
//!
//! Short tags are already in their long form here (`!Sub x` is `{"Fn::Sub": x}`), so YAML and JSON templates
//! are the same tree and nothing further on knows about syntax.

use std::fmt;

/// A value and the line (from 1) on which it starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; keys are unique.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands, which for a nested map is above where the value starts.
    pub(crate) line: usize,
    pub(crate) node: Node,
}

impl Node {
    pub(crate) fn new(line: usize, value: Value) -> Node {
        Node { value, line }
    }

    pub(crate) fn text(line: usize, text: impl Into<String>) -> Node {
        Node::new(line, Value::Text(text.into()))
    }

    pub(crate) fn list(line: usize, items: Vec<Node>) -> Node {
        Node::new(line, Value::List(items))
    }

    /// A map whose entries all stand on one line, as those do that an expansion makes up.
    pub(crate) fn map<const N: usize>(line: usize, entries: [(&str, Node); N]) -> Node {
        let entry = |(key, node): (&str, Node)| Entry { key: key.to_owned(), line, node };
        Node::new(line, Value::Map(entries.into_iter().map(entry).collect()))
    }

    /// `{"Ref": name}`
    pub(crate) fn reference(line: usize, name: &str) -> Node {
        Node::map(line, [("Ref", Node::text(line, name))])
    }

    /// `{"Fn::GetAtt": [name, attribute]}`
    pub(crate) fn attribute(line: usize, name: &str, attribute: &str) -> Node {
        let path = vec![Node::text(line, name), Node::text(line, attribute)];
        Node::map(line, [("Fn::GetAtt", Node::list(line, path))])
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_flag(&self) -> Option<bool> {
        match &self.value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The text of a scalar, as CloudFormation reads numbers and flags where it wants a string.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Flag(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Sets a key of a map, in its old place if it was there.
    pub(crate) fn set(&mut self, key: &str, node: Node) {
        let Value::Map(entries) = &mut self.value else { return };
        match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.node = node,
            None => entries.push(Entry { key: key.to_owned(), line: node.line, node }),
        }
    }

    /// Takes a key out of a map.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at).node)
    }

    /// The name and argument if this is a call of an intrinsic function: a map of exactly one key with such a
    /// name.
    pub(crate) fn intrinsic(&self) -> Option<(&str, &Node)> {
        match self.entries() {
            [entry] if entry.key == "Ref" || entry.key.starts_with("Fn::") => Some((&entry.key, &entry.node)),
            _ => None,
        }
    }

    /// The line of the deepest piece of `path` that exists.
    pub(crate) fn line_of(&self, path: &[&str]) -> usize {
        let mut line = self.line;
        let mut node = self;
        for key in path {
            match node.entry(key) {
                Some(entry) => (line, node) = (entry.line, &entry.node),
                None => break,
            }
        }
        line
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(pairs.collect())
            }
        }
    }

    /// What kind of value this is, for a sentence: "must be a list, not a map".
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Something in the template that cannot be, and where. Displays without the file's name, which the caller
/// knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    /// The resource at fault, if it is one's.
    pub(crate) resource: Option<String>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Problem {
        Problem { line, resource: None, message: message.into() }
    }

    /// The same problem, known to be of `resource`.
    pub(crate) fn of(mut self, resource: &str) -> Problem {
        self.resource.get_or_insert_with(|| resource.to_owned());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            Some(resource) => write!(f, "{}: resource {resource}: {}", self.line, self.message),
            None => write!(f, "{}: {}", self.line, self.message),
        }
    }
}
