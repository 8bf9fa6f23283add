//! From a handler's output to the tree.

use super::Node;
use mayfly_kernel::Time;
use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, Serializer,
};
use std::fmt;

/// Builds the tree of `value`.
pub fn to_node<T: Serialize + ?Sized>(value: &T) -> Result<Node, Error> {
    value.serialize(Build)
}

/// An output that has no form on the wire, such as a map whose keys are structures: a mistake in a handler.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error(message.to_string())
    }
}

struct Build;

impl Serializer for Build {
    type Ok = Node;
    type Error = Error;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = Impossible<Node, Error>;
    type SerializeMap = Entries;
    type SerializeStruct = Members;
    type SerializeStructVariant = Members;

    fn serialize_bool(self, value: bool) -> Result<Node, Error> {
        Ok(Node::Bool(value))
    }

    fn serialize_i8(self, value: i8) -> Result<Node, Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<Node, Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<Node, Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<Node, Error> {
        Ok(u64::try_from(value).map_or(Node::Signed(value), Node::Unsigned))
    }

    fn serialize_u8(self, value: u8) -> Result<Node, Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<Node, Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<Node, Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<Node, Error> {
        Ok(Node::Unsigned(value))
    }

    fn serialize_f32(self, value: f32) -> Result<Node, Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Node, Error> {
        Ok(Node::Float(value))
    }

    fn serialize_char(self, value: char) -> Result<Node, Error> {
        Ok(Node::text(value))
    }

    fn serialize_str(self, value: &str) -> Result<Node, Error> {
        Ok(Node::text(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Node, Error> {
        Ok(Node::List(value.iter().map(|byte| Node::Unsigned(u64::from(*byte))).collect()))
    }

    fn serialize_none(self) -> Result<Node, Error> {
        Ok(Node::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Node, Error> {
        Ok(Node::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Node, Error> {
        Ok(Node::Struct(Vec::new()))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Node, Error> {
        Ok(Node::text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        match (name, value.serialize(self)?) {
            (crate::with::MOMENT, Node::Unsigned(ms)) => Ok(Node::Time(Time::from_ms(ms))),
            (_, node) => Ok(node),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Node, Error> {
        Ok(Node::Struct(vec![(variant.to_owned(), to_node(value)?)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List, Error> {
        Ok(List(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<List, Error> {
        Ok(List(Vec::new()))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List, Error> {
        Ok(List(Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error::custom(format_args!("{name}::{variant} has unnamed members")))
    }

    /// A true map knows its length; a structure with flattened members, which serde writes as a map, does
    /// not.
    fn serialize_map(self, len: Option<usize>) -> Result<Entries, Error> {
        Ok(Entries { entries: Vec::new(), key: String::new(), is_struct: len.is_none() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members, Error> {
        Ok(Members { members: Vec::new(), variant: None })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members, Error> {
        Ok(Members { members: Vec::new(), variant: Some(variant) })
    }
}

struct List(Vec<Node>);

impl SerializeSeq for List {
    type Ok = Node;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.0.push(to_node(value)?);
        Ok(())
    }

    fn end(self) -> Result<Node, Error> {
        Ok(Node::List(self.0))
    }
}

impl SerializeTuple for List {
    type Ok = Node;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Node, Error> {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for List {
    type Ok = Node;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Node, Error> {
        SerializeSeq::end(self)
    }
}

struct Entries {
    entries: Vec<(String, Node)>,
    key: String,
    is_struct: bool,
}

impl SerializeMap for Entries {
    type Ok = Node;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = match to_node(key)? {
            Node::Text { text, .. } => text,
            Node::Unsigned(number) => number.to_string(),
            Node::Signed(number) => number.to_string(),
            Node::Bool(value) => value.to_string(),
            _ => return Err(Error::custom("a map's key must be text")),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.entries.push((std::mem::take(&mut self.key), to_node(value)?));
        Ok(())
    }

    fn end(self) -> Result<Node, Error> {
        Ok(if self.is_struct { Node::Struct(self.entries) } else { Node::Map(self.entries) })
    }
}

struct Members {
    members: Vec<(String, Node)>,
    variant: Option<&'static str>,
}

impl SerializeStruct for Members {
    type Ok = Node;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.members.push((name.to_owned(), to_node(value)?));
        Ok(())
    }

    fn end(self) -> Result<Node, Error> {
        let members = Node::Struct(self.members);
        Ok(match self.variant {
            Some(variant) => Node::Struct(vec![(variant.to_owned(), members)]),
            None => members,
        })
    }
}

impl SerializeStructVariant for Members {
    type Ok = Node;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        SerializeStruct::serialize_field(self, name, value)
    }

    fn end(self) -> Result<Node, Error> {
        SerializeStruct::end(self)
    }
}
