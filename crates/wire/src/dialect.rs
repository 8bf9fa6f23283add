//! A second, older way to write the calls of a service that has moved from the query protocol to JSON.
//!
//! The members are the same, their names on the wire are not: lists were named after their items, and maps were
//! lists of pairs. A [`Dialect`] says those names; everything else about the protocol is in `form` and `xml`.

use crate::tree::Node;

/// The query protocol's names of a JSON service's members.
#[derive(Debug)]
pub struct Dialect {
    /// A list: its name in JSON, and the name that each of its items has in the query protocol.
    pub lists: &'static [(&'static str, &'static str)],
    /// Lists of answers that are named after the operation: their name in JSON, and what follows the operation's.
    pub results: &'static [(&'static str, &'static str)],
    /// A map: its name in JSON, that of its entries, and what key and value are called there.
    pub maps: &'static [(&'static str, &'static str, [&'static str; 2])],
    /// The member that may stand in the URL instead.
    pub url_member: &'static str,
}

impl Dialect {
    /// A call's members as JSON would have them.
    pub(crate) fn read(&self, node: Node) -> Node {
        match node {
            Node::Struct(members) => {
                Node::Struct(members.into_iter().map(|(name, value)| self.read_member(name, value)).collect())
            }
            Node::List(items) => Node::List(items.into_iter().map(|item| self.read(item)).collect()),
            other => other,
        }
    }

    fn read_member(&self, name: String, value: Node) -> (String, Node) {
        if let Some((json, _, pair)) = self.maps.iter().find(|(_, entry, _)| *entry == name)
            && let Node::List(entries) = value
        {
            let entries = entries.into_iter().map(|entry| self.read_entry(entry, pair)).collect();
            return ((*json).to_owned(), Node::Map(entries));
        }
        let value = self.read(value);
        match self.lists.iter().find(|(_, item)| *item == name) {
            Some((json, _)) if matches!(value, Node::List(_)) => ((*json).to_owned(), value),
            _ => (name, value),
        }
    }

    fn read_entry(&self, entry: Node, [key, value]: &[&'static str; 2]) -> (String, Node) {
        let (mut found, mut rest) = (String::new(), Node::Null);
        if let Node::Struct(members) = entry {
            for (name, node) in members {
                match node {
                    Node::Text { text, .. } if name == *key => found = text,
                    node if name == *value => rest = self.read(node),
                    _ => {}
                }
            }
        }
        (found, rest)
    }

    /// An answer's members as the query protocol names them.
    pub(crate) fn write(&self, operation: &str, node: Node) -> Node {
        match node {
            Node::Struct(members) => {
                let members = members.into_iter();
                Node::Struct(members.map(|(name, value)| self.write_member(operation, name, value)).collect())
            }
            Node::List(items) => {
                Node::List(items.into_iter().map(|item| self.write(operation, item)).collect())
            }
            other => other,
        }
    }

    fn write_member(&self, operation: &str, name: String, value: Node) -> (String, Node) {
        if let Some((_, entry, [key, content])) = self.maps.iter().find(|(json, ..)| *json == name)
            && let Node::Map(entries) = value
        {
            let pair = |(name, value)| {
                let value = self.write(operation, value);
                Node::Struct(vec![((*key).to_owned(), Node::text(name)), ((*content).to_owned(), value)])
            };
            return ((*entry).to_owned(), Node::List(entries.into_iter().map(pair).collect()));
        }
        let value = self.write(operation, value);
        let of_operation = self.results.iter().find(|(json, _)| *json == name);
        let item = self.lists.iter().find(|(json, _)| *json == name);
        match (of_operation, item) {
            (Some((_, suffix)), _) => (format!("{operation}{suffix}"), value),
            (None, Some((_, item))) if matches!(value, Node::List(_)) => ((*item).to_owned(), value),
            (None, _) => (name, value),
        }
    }
}
