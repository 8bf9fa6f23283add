//! Documents of answers, member by member in the order of AWS's examples.
//!
//! Answers of S3 have members whose names are data (the algorithm of a checksum) and roots that are not
//! named after their operation; building them says both where they are used.

use super::model::Checksum;
use crate::Reply;
use mayfly_wire::xml::{DECLARATION, escape};
use std::fmt::{self, Display, Write as _};

pub(super) const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What is in an element, written as it is added: a listing has thousands of members.
#[derive(Clone, Debug, Default)]
pub(super) struct Element {
    attributes: String,
    content: String,
}

/// Writes values escaped.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

impl Element {
    pub(super) fn new() -> Element {
        Element::default()
    }

    /// A member named `@name` is an attribute, `$text` is text beside members.
    pub(super) fn text(mut self, name: &str, value: impl Display) -> Element {
        match name.strip_prefix('@') {
            Some(name) => {
                self.attributes.extend([" ", name, "=\""]);
                let _ = write!(Escaped(&mut self.attributes), "{value}");
                self.attributes.push('"');
            }
            None if name == "$text" => {
                let _ = write!(Escaped(&mut self.content), "{value}");
            }
            None => {
                self.content.extend(["<", name, ">"]);
                let _ = write!(Escaped(&mut self.content), "{value}");
                self.content.extend(["</", name, ">"]);
            }
        }
        self
    }

    pub(super) fn text_opt(self, name: &str, value: Option<impl Display>) -> Element {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(super) fn child(mut self, name: &str, child: Element) -> Element {
        let Element { attributes, content } = child;
        self.content.extend(["<", name, &attributes, ">", &content, "</", name, ">"]);
        self
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
        let Element { attributes, content } = self;
        let parts =
            [DECLARATION, "<", root, " xmlns=\"", XMLNS, "\"", &attributes, ">", &content, "</", root, ">"];
        Reply::status(200).body("application/xml", parts.concat())
    }
}

/// As S3 writes keys where they are encoded: `/` stays, a space is a plus.
pub(super) fn url_encoded(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}
