//! Members that nobody reads.
//!
//! Clients write out what they do not ask for: `false`, an empty text, list or structure. That is the same as
//! nothing, and passes. Everything else is refused by its name.

use super::{Error, Node};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The last flattened member of an input that has others: refuses what none of them has taken.
///
/// Serde gathers the members of such an input by itself, so that [`refuse_unread`] never sees it.
#[derive(Debug)]
pub struct Unread;

pub(super) fn refuse_unread(
    members: &[(String, Node)],
    fields: &'static [&'static str],
) -> Result<(), Error> {
    let mut unread = members.iter().filter(|(name, _)| !fields.contains(&name.as_str()));
    match unread.find(|(name, value)| asks(value) && !of_others(name)) {
        Some((name, _)) => Err(serde::de::Error::unknown_field(name, fields)),
        None => Ok(()),
    }
}

/// Attributes of XML elements, and headers that travel with a request whatever it asks for.
fn of_others(name: &str) -> bool {
    name.starts_with('@') || name.starts_with("x-amzn-")
}

fn asks(value: &Node) -> bool {
    match value {
        Node::Null | Node::Bool(false) => false,
        Node::Bool(true) | Node::Unsigned(_) | Node::Signed(_) | Node::Float(_) | Node::Time(_) => true,
        Node::Text { text, untyped } => !(text.is_empty() || *untyped && text == "false"),
        Node::List(items) => items.iter().any(asks),
        Node::Struct(members) | Node::Map(members) => members.iter().any(|(_, value)| asks(value)),
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unread, D::Error> {
        deserializer.deserialize_map(Rest)
    }
}

struct Rest;

impl<'de> Visitor<'de> for Rest {
    type Value = Unread;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unread, A::Error> {
        while let Some((name, Asks(asks))) = map.next_entry::<String, Asks>()? {
            if asks && !of_others(&name) {
                return Err(serde::de::Error::unknown_field(&name, &[]));
            }
        }
        Ok(Unread)
    }
}

/// Whether a value asks for something.
struct Asks(bool);

impl<'de> Deserialize<'de> for Asks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Asks, D::Error> {
        deserializer.deserialize_any(AsksVisitor).map(Asks)
    }
}

struct AsksVisitor;

impl<'de> Visitor<'de> for AsksVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut any = false;
        while let Some(Asks(asks)) = items.next_element()? {
            any |= asks;
        }
        Ok(any)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut any = false;
        while let Some((_, Asks(asks))) = members.next_entry::<String, Asks>()? {
            any |= asks;
        }
        Ok(any)
    }
}
