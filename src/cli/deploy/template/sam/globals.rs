//! The `Globals` section: properties that every resource of a type has unless it says otherwise.

use super::super::node::{Entry, Node, Problem, Value};
use super::{api, function};

pub(crate) struct Globals {
    function: Option<Node>,
    http_api: Option<Node>,
    rest_api: Option<Node>,
}

impl Globals {
    pub(crate) fn read(section: Option<&Node>, warnings: &mut Vec<Problem>) -> Result<Globals, Problem> {
        let mut globals = Globals { function: None, http_api: None, rest_api: None };
        for entry in section.map(Node::entries).unwrap_or_default() {
            let node = Some(entry.node.clone());
            match entry.key.as_str() {
                "Function" => globals.function = node,
                "HttpApi" => globals.http_api = node,
                "Api" => globals.rest_api = node,
                "SimpleTable" | "StateMachine" | "LayerVersion" | "CapacityProvider" => {
                    warnings.push(Problem::new(entry.line, format!("Globals.{} is not applied", entry.key)));
                }
                other => {
                    let what = format!("Globals has no section {other}; it has Function, HttpApi and Api");
                    return Err(Problem::new(entry.line, what));
                }
            }
        }
        Ok(globals)
    }

    /// What resources of that type have in common, before any of them says otherwise.
    pub(crate) fn of(&self, kind: &str) -> Option<&Node> {
        match kind {
            function::TYPE => self.function.as_ref(),
            api::HTTP_TYPE => self.http_api.as_ref(),
            api::REST_TYPE => self.rest_api.as_ref(),
            _ => None,
        }
    }

    /// The properties of a resource with those of all its kind: maps are merged, lists are joined with the
    /// global items first, and anything else is the resource's own if it has it.
    pub(crate) fn merged(&self, kind: &str, own: Node) -> Node {
        match self.of(kind) {
            Some(global) => merge(global, own),
            None => own,
        }
    }
}

fn merge(global: &Node, own: Node) -> Node {
    if global.intrinsic().is_some() || own.intrinsic().is_some() {
        return own;
    }
    let line = own.line;
    match (&global.value, own.value) {
        (Value::Map(shared), Value::Map(mut entries)) => {
            for Entry { key, line, node } in shared {
                match entries.iter_mut().find(|entry| entry.key == *key) {
                    Some(entry) => entry.node = merge(node, entry.node.clone()),
                    None => entries.push(Entry { key: key.clone(), line: *line, node: node.clone() }),
                }
            }
            Node::new(line, Value::Map(entries))
        }
        (Value::List(shared), Value::List(items)) => {
            Node::list(line, shared.iter().cloned().chain(items).collect())
        }
        (_, value) => Node::new(line, value),
    }
}
