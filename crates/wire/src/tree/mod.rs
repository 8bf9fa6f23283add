//! The one shape between the wire and a handler's structs.

pub mod cbor;
mod de;
mod json;
mod ser;
mod unread;

pub use de::{Error, Reason, from_head, from_node};
pub use json::{parse as parse_json, print as print_json};
pub use ser::to_node;
pub use unread::Unread;

use mayfly_kernel::Time;

/// A value of any protocol.
///
/// Scalars that came as JSON keep their type and are read strictly. [`Node::Text`] that came from a header, a
/// form or an element has no type of its own, so `untyped` text is read as whatever the member asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// A moment, which each protocol writes in its own form; it is read as a number or a text.
    Time(Time),
    Text {
        text: String,
        /// Whether numbers and booleans may be read from it.
        untyped: bool,
    },
    List(Vec<Node>),
    /// Members of a structure: what is absent is not written.
    Struct(Vec<(String, Node)>),
    /// Entries whose names are data: what is null stays.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Text from a place that knows no types.
    pub fn untyped(text: impl Into<String>) -> Node {
        Node::Text { text: text.into(), untyped: true }
    }

    /// Text from a place that knows types.
    pub fn text(text: impl Into<String>) -> Node {
        Node::Text { text: text.into(), untyped: false }
    }
}
