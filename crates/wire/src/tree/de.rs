//! From the tree to a handler's input.
//!
//! Structures skip null members, because AWS reads an explicit null as absent. Faults carry the path of the
//! member in AWS's spelling (`code.s3Bucket`), which serde's own errors do not know.
//!
//! A member that the structure does not have, and that asks for something, is an error: what would be
//! accepted and then ignored is a promise that nobody keeps.

use super::Node;
use super::unread::refuse_unread;
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use std::fmt;

/// Reads a value of type `T` out of the tree.
pub fn from_node<T: DeserializeOwned>(node: Node) -> Result<T, Error> {
    T::deserialize(node)
}

/// Reads a value among members that are somebody else's too, such as the headers of a request.
pub fn from_head<T: DeserializeOwned>(members: Vec<(String, Node)>) -> Result<T, Error> {
    T::deserialize(Head(members))
}

/// Why the tree does not fit the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Names from the outside in, as they are on the wire.
    pub path: Vec<String>,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A required member is absent; its name ends the path.
    Missing,
    /// A member is of another type.
    Mistyped { found: &'static str, expected: String },
    /// A member's text is not one of the values that it may have.
    NotAllowed { found: String, allowed: Vec<&'static str> },
    /// A newtype refused the value, with its own sentence.
    Refused(String),
    /// Nobody reads this member; its name ends the path.
    Unread,
}

impl Error {
    fn new(reason: Reason) -> Error {
        Error { path: Vec::new(), reason }
    }

    fn under(mut self, name: String) -> Error {
        self.path.insert(0, name);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path.join("."), self.reason)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::new(Reason::Refused(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        let found = match found {
            Unexpected::Bool(true) => "TRUE_VALUE",
            Unexpected::Bool(false) => "FALSE_VALUE",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "NUMBER_VALUE",
            Unexpected::Float(_) => "DECIMAL_VALUE",
            Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "STRING_VALUE",
            Unexpected::Unit | Unexpected::Option => "NULL_VALUE",
            Unexpected::Seq => "START_ARRAY",
            _ => "START_OBJECT",
        };
        let expected = expected.to_string();
        // A Rust type's name says nothing to a caller.
        let expected = if expected.starts_with("struct ") { "a structure".to_owned() } else { expected };
        Error::new(Reason::Mistyped { found, expected })
    }

    /// A number out of range is as wrong as one that is none.
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Error {
        <Error as serde::de::Error>::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, allowed: &'static [&'static str]) -> Error {
        Error::new(Reason::NotAllowed { found: variant.to_owned(), allowed: allowed.to_vec() })
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Error {
        Error { path: vec![field.to_owned()], reason: Reason::Unread }
    }

    fn missing_field(field: &'static str) -> Error {
        Error { path: vec![field.to_owned()], reason: Reason::Missing }
    }
}

impl Node {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Node::Null => Unexpected::Unit,
            Node::Bool(value) => Unexpected::Bool(*value),
            Node::Unsigned(value) => Unexpected::Unsigned(*value),
            Node::Signed(value) => Unexpected::Signed(*value),
            Node::Float(value) => Unexpected::Float(*value),
            Node::Time(time) => Unexpected::Float(time.epoch_seconds()),
            Node::Text { text, .. } => Unexpected::Str(text),
            Node::List(_) => Unexpected::Seq,
            Node::Struct(_) | Node::Map(_) => Unexpected::Map,
        }
    }

    fn mistyped<'de, V: Visitor<'de>>(&self, visitor: &V) -> Error {
        <Error as serde::de::Error>::invalid_type(self.unexpected(), visitor)
    }

    /// The scalar that untyped text spells, if the member asks for one; otherwise the node as it is.
    fn typed(self, parse: impl FnOnce(&str) -> Option<Node>) -> Node {
        match &self {
            Node::Text { text, untyped: true } => parse(text.trim()).unwrap_or(self),
            _ => self,
        }
    }

    fn whole_number(self) -> Node {
        self.typed(|text| {
            let unsigned = text.parse().ok().map(Node::Unsigned);
            unsigned.or_else(|| text.parse().ok().map(Node::Signed))
        })
    }

    fn is_blank(&self) -> bool {
        matches!(self, Node::Text { text, untyped: true } if text.trim().is_empty())
    }

    fn visit_members<'de, V: Visitor<'de>>(self, visitor: V, skip_null: bool) -> Result<V::Value, Error> {
        match self {
            Node::Struct(members) | Node::Map(members) => {
                visitor.visit_map(Members { entries: members.into_iter(), skip_null, current: None })
            }
            // An element or parameter without content is the empty structure.
            ref blank if blank.is_blank() => {
                visitor.visit_map(Members { entries: Vec::new().into_iter(), skip_null, current: None })
            }
            other => Err(other.mistyped(&visitor)),
        }
    }
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.whole_number().visit_scalar(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Node::List(items) => visitor.visit_seq(Items { items: items.into_iter(), position: 0 }),
            Node::Struct(_) | Node::Map(_) => self.visit_members(visitor, false),
            scalar => scalar.visit_scalar(visitor),
        }
    }

    whole_numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.typed(|text| match text {
            "true" | "True" | "TRUE" => Some(Node::Bool(true)),
            "false" | "False" | "FALSE" => Some(Node::Bool(false)),
            _ => None,
        });
        node.visit_scalar(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.typed(|text| text.parse().ok().map(Node::Float)).visit_scalar(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Node::Null => visitor.visit_none(),
            present => visitor.visit_some(present),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match self {
            Node::List(items) => items,
            // A list of one looks like a single value where names repeat, and an empty one like an empty
            // value.
            blank if blank.is_blank() => Vec::new(),
            one @ (Node::Text { untyped: true, .. } | Node::Struct(_)) => vec![one],
            other => return Err(other.mistyped(&visitor)),
        };
        visitor.visit_seq(Items { items: items.into_iter(), position: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Node::Struct(members) | Node::Map(members) = &self {
            refuse_unread(members, fields)?;
        }
        self.visit_members(visitor, true)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Node::List(items) => match pairs(items) {
                Ok(entries) => Node::Map(entries).visit_members(visitor, false),
                Err(items) => Err(Node::List(items).mistyped(&visitor)),
            },
            other => other.visit_members(visitor, false),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Node::Text { text, .. } => visitor.visit_enum(text.into_deserializer()),
            Node::Struct(mut members) | Node::Map(mut members) if members.len() == 1 => {
                visitor.visit_enum(Tagged(members.remove(0)))
            }
            other => Err(other.mistyped(&visitor)),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { char str string bytes byte_buf identifier }
}

impl Node {
    fn visit_scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Node::Null => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(value),
            Node::Unsigned(value) => visitor.visit_u64(value),
            Node::Signed(value) => visitor.visit_i64(value),
            Node::Float(value) => visitor.visit_f64(value),
            Node::Time(time) => visitor.visit_f64(time.epoch_seconds()),
            Node::Text { text, .. } => visitor.visit_string(text),
            other => Err(other.mistyped(&visitor)),
        }
    }
}

/// A request's head: labels, parameters and headers, of which the input reads what is its own.
struct Head(Vec<(String, Node)>);

impl<'de> Deserializer<'de> for Head {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Members { entries: self.0.into_iter(), skip_null: true, current: None })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Reads a list of key/value structures, the form that maps have in the query protocol and in XML.
fn pairs(items: Vec<Node>) -> Result<Vec<(String, Node)>, Vec<Node>> {
    let is_pair = |item: &Node| match item {
        Node::Struct(members) => {
            members.len() == 2
                && members.iter().any(|(name, value)| is_key(name) && matches!(value, Node::Text { .. }))
                && members.iter().any(|(name, _)| is_value(name))
        }
        _ => false,
    };
    if !items.iter().all(is_pair) {
        return Err(items);
    }
    let entries = items.into_iter().filter_map(|item| {
        let Node::Struct(members) = item else { return None };
        let (mut key, mut entry) = (None, None);
        for (name, value) in members {
            match value {
                Node::Text { text, .. } if is_key(&name) => key = Some(text),
                value => entry = Some(value),
            }
        }
        key.zip(entry)
    });
    Ok(entries.collect())
}

fn is_key(name: &str) -> bool {
    matches!(name, "key" | "Key" | "Name" | "name")
}

fn is_value(name: &str) -> bool {
    matches!(name, "value" | "Value")
}

struct Members {
    entries: std::vec::IntoIter<(String, Node)>,
    skip_null: bool,
    current: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let skip_null = self.skip_null;
        let Some((name, value)) = self.entries.find(|(_, value)| !(skip_null && *value == Node::Null)) else {
            return Ok(None);
        };
        let key = Node::untyped(name.clone());
        self.current = Some((name, value));
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, value) = self.current.take().expect("serde asks for the key first");
        seed.deserialize(value).map_err(|error| error.under(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

struct Items {
    items: std::vec::IntoIter<Node>,
    position: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        self.position += 1;
        let position = self.position;
        seed.deserialize(item)
            .map(Some)
            .map_err(|error| error.under("member".into()).under(position.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// A union: a structure of which exactly one member is set.
struct Tagged((String, Node));

impl<'de> EnumAccess<'de> for Tagged {
    type Error = Error;
    type Variant = Content;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content), Error> {
        let (name, value) = self.0;
        let tag: StringDeserializer<Error> = name.into_deserializer();
        Ok((seed.deserialize(tag)?, Content(value)))
    }
}

struct Content(Node);

impl<'de> VariantAccess<'de> for Content {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
