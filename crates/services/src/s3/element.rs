//! Documents of answers, member by member in the order of AWS's examples.
//!
//! Answers of S3 have members whose names are data (the algorithm of a checksum) and roots that are not
//! named after their operation; building them says both where they are used.

use super::model::Checksum;
use crate::Reply;
use mayfly_wire::tree::Node;
use mayfly_wire::xml::{Lists, document};
use std::fmt::Display;

pub(super) const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The children of an element.
#[derive(Clone, Debug, Default)]
pub(super) struct Element(Vec<(String, Node)>);

impl Element {
    pub(super) fn new() -> Element {
        Element::default()
    }

    fn node(mut self, name: &str, node: Node) -> Element {
        self.0.push((name.to_owned(), node));
        self
    }

    pub(super) fn text(self, name: &str, value: impl Display) -> Element {
        self.node(name, Node::text(value.to_string()))
    }

    pub(super) fn text_opt(self, name: &str, value: Option<impl Display>) -> Element {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(super) fn child(self, name: &str, child: Element) -> Element {
        self.node(name, Node::Struct(child.0))
    }

    /// Repeats the element.
    pub(super) fn each(self, name: &str, children: impl IntoIterator<Item = Element>) -> Element {
        children.into_iter().fold(self, |element, child| element.child(name, child))
    }

    pub(super) fn each_text(self, name: &str, values: impl IntoIterator<Item = impl Display>) -> Element {
        values.into_iter().fold(self, |element, value| element.text(name, value))
    }

    /// The member that carries this checksum's value.
    pub(super) fn checksum(self, checksum: Option<&Checksum>) -> Element {
        match checksum.and_then(|sum| Some((sum.algorithm().known()?, sum))) {
            Some((algorithm, sum)) => self.text(algorithm.member(), &sum.value),
            None => self,
        }
    }

    /// An answer with this as its document.
    pub(super) fn reply(self, root: &str) -> Reply {
        let text = document(root, Some(XMLNS), &Node::Struct(self.0), Lists::Flat);
        Reply::status(200).body("application/xml", text)
    }
}

/// As S3 writes keys where they are encoded: `/` stays, a space is a plus.
pub(super) fn url_encoded(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}
