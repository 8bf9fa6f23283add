//! The tree as an XML document.

use crate::tree::Node;
use std::fmt::Write as _;

/// How a list is written under its member's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// The element is repeated: S3.
    Flat,
    /// One element that holds `<member>`s, and maps hold `<entry>`s: the query protocol.
    Wrapped,
}

/// What every document begins with.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A whole document. Null members are left out; a member named `@name` is an attribute, `$text` is plain
/// text.
pub fn document(root: &str, xmlns: Option<&str>, node: &Node, lists: Lists) -> String {
    let mut text = String::from(DECLARATION);
    Writer { text: &mut text, lists }.element(root, xmlns, node);
    text
}

struct Writer<'a> {
    text: &'a mut String,
    lists: Lists,
}

impl Writer<'_> {
    fn element(&mut self, name: &str, xmlns: Option<&str>, node: &Node) {
        self.text.extend(["<", name]);
        if let Some(xmlns) = xmlns {
            self.attribute("xmlns", xmlns);
        }
        if let Node::Struct(members) = node {
            for (member, value) in members {
                if let (Some(attribute), Node::Text { text, .. }) = (member.strip_prefix('@'), value) {
                    self.attribute(attribute, text);
                }
            }
        }
        self.text.push('>');
        self.content(node);
        self.text.extend(["</", name, ">"]);
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.text.extend([" ", name, "=\""]);
        escape(self.text, value);
        self.text.push('"');
    }

    fn content(&mut self, node: &Node) {
        match node {
            Node::Null => {}
            Node::Bool(value) => self.plain(value),
            Node::Unsigned(value) => self.plain(value),
            Node::Signed(value) => self.plain(value),
            Node::Float(value) => self.plain(value),
            Node::Time(time) => self.plain(&crate::time::iso8601(*time)),
            Node::Text { text, .. } => escape(self.text, text),
            Node::List(items) => items.iter().for_each(|item| self.element("member", None, item)),
            Node::Struct(members) => members.iter().for_each(|(name, value)| self.member(name, value)),
            Node::Map(entries) => entries.iter().for_each(|(name, value)| self.entry(name, value)),
        }
    }

    fn plain(&mut self, value: &dyn std::fmt::Display) {
        let _ = write!(self.text, "{value}");
    }

    fn member(&mut self, name: &str, value: &Node) {
        match (name, value, self.lists) {
            (_, Node::Null, _) => {}
            ("$text", value, _) => self.content(value),
            (name, Node::List(items), Lists::Flat) => {
                items.iter().for_each(|item| self.element(name, None, item))
            }
            (name, value, _) if !name.starts_with('@') => self.element(name, None, value),
            _ => {}
        }
    }

    fn entry(&mut self, name: &str, value: &Node) {
        let pair = [("key".to_owned(), Node::text(name)), ("value".to_owned(), value.clone())];
        self.element("entry", None, &Node::Struct(pair.into()));
    }
}

/// Escapes what is markup, and what a parser would otherwise change (line ends, tabs in attributes) or
/// refuse.
///
/// Control characters have no form at all in XML 1.0, but object keys may hold them; S3 writes them as
/// references, which its clients read (or avoid with `encoding-type=url`), and so does this.
pub fn escape(out: &mut String, text: &str) {
    let special = |c: char| {
        matches!(c, '&' | '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}' | '\u{2028}')
            || c.is_control() && c != '\n'
    };
    let mut rest = text;
    while let Some(place) = rest.find(special) {
        let (plain, found) = rest.split_at(place);
        out.push_str(plain);
        let mut following = found.chars();
        match following.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            Some(control) => {
                let _ = write!(out, "&#x{:x};", u32::from(control));
            }
            None => {}
        }
        rest = following.as_str();
    }
    out.push_str(rest);
}
