//! CBOR (RFC 8949) to and from the tree, as Smithy's RPC v2 protocol uses it.
//!
//! A tag is read over: the only one that the protocol has marks a time, which is a number here as in JSON.
//! Blobs come as the base64 that they are in JSON, so that a handler reads either.

use super::Node;
use crate::checksum::to_base64;
use std::fmt;

const DEPTH_MAX: usize = 64;
/// What a list or map may announce before its items are there.
const ANNOUNCED_MAX: usize = 1024;

/// Why bytes are not CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCbor(&'static str);

impl fmt::Display for NotCbor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotCbor {}

/// Reads one document.
pub fn parse(bytes: &[u8]) -> Result<Node, NotCbor> {
    let mut reader = Reader { rest: bytes };
    let node = reader.item(0)?;
    match reader.rest.is_empty() {
        true => Ok(node),
        false => Err(NotCbor("something follows the document")),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// The head of an item: its major type, and its argument, which is absent where the length is indefinite.
struct Head {
    major: u8,
    info: u8,
    argument: Option<u64>,
}

const ENDS_EARLY: NotCbor = NotCbor("it ends early");
/// What ends an item of indefinite length.
const BREAK: u8 = 0xff;

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NotCbor> {
        let (part, rest) = self.rest.split_first_chunk::<N>().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*part)
    }

    fn head(&mut self) -> Result<Head, NotCbor> {
        let [first] = self.take()?;
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24 => Some(u64::from(self.take::<1>()?[0])),
            25 => Some(u64::from(u16::from_be_bytes(self.take()?))),
            26 => Some(u64::from(u32::from_be_bytes(self.take()?))),
            27 => Some(u64::from_be_bytes(self.take()?)),
            31 => None,
            _ => return Err(NotCbor("a length of a reserved form")),
        };
        Ok(Head { major, info, argument })
    }

    fn item(&mut self, depth: usize) -> Result<Node, NotCbor> {
        if depth > DEPTH_MAX {
            return Err(NotCbor("it is nested too deeply"));
        }
        let head = self.head()?;
        match (head.major, head.argument) {
            (0, Some(value)) => Ok(Node::Unsigned(value)),
            (1, Some(value)) => match i64::try_from(value) {
                Ok(value) => Ok(Node::Signed(-1 - value)),
                Err(_) => Err(NotCbor("a number is too small")),
            },
            (2, length) => Ok(Node::text(to_base64(&self.bytes(2, length)?))),
            (3, length) => match String::from_utf8(self.bytes(3, length)?) {
                Ok(text) => Ok(Node::text(text)),
                Err(_) => Err(NotCbor("a text is not UTF-8")),
            },
            (4, length) => self.list(length, depth),
            (5, length) => self.map(length, depth),
            (6, Some(_)) => self.item(depth + 1),
            (7, Some(bits)) => simple(head.info, bits),
            _ => Err(NotCbor("a break where none may be")),
        }
    }

    /// The bytes of a string, or of its pieces.
    fn bytes(&mut self, major: u8, length: Option<u64>) -> Result<Vec<u8>, NotCbor> {
        let Some(length) = length else {
            let mut all = Vec::new();
            while !self.ended()? {
                match self.head()? {
                    Head { major: piece, argument: Some(length), .. } if piece == major => {
                        all.extend_from_slice(self.piece(length)?);
                    }
                    _ => return Err(NotCbor("a piece of a string is none")),
                }
            }
            return Ok(all);
        };
        Ok(self.piece(length)?.to_vec())
    }

    fn piece(&mut self, length: u64) -> Result<&[u8], NotCbor> {
        let length = usize::try_from(length).map_err(|_| ENDS_EARLY)?;
        let (piece, rest) = self.rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(piece)
    }

    /// Whether an item of indefinite length ends here.
    fn ended(&mut self) -> Result<bool, NotCbor> {
        match self.rest.split_first().ok_or(ENDS_EARLY)? {
            (&BREAK, rest) => {
                self.rest = rest;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Calls `each` for every item of a list or map.
    fn items(
        &mut self,
        length: Option<u64>,
        mut each: impl FnMut(&mut Self) -> Result<(), NotCbor>,
    ) -> Result<(), NotCbor> {
        match length {
            Some(length) => (0..length).try_for_each(|_| each(self)),
            None => {
                while !self.ended()? {
                    each(self)?;
                }
                Ok(())
            }
        }
    }

    fn list(&mut self, length: Option<u64>, depth: usize) -> Result<Node, NotCbor> {
        let mut list = Vec::with_capacity(announced(length));
        self.items(length, |reader| {
            list.push(reader.item(depth + 1)?);
            Ok(())
        })?;
        Ok(Node::List(list))
    }

    fn map(&mut self, length: Option<u64>, depth: usize) -> Result<Node, NotCbor> {
        let mut map = Vec::with_capacity(announced(length));
        self.items(length, |reader| match reader.item(depth + 1)? {
            Node::Text { text, .. } => {
                map.push((text, reader.item(depth + 1)?));
                Ok(())
            }
            _ => Err(NotCbor("a name is no text")),
        })?;
        Ok(Node::Map(map))
    }
}

fn announced(length: Option<u64>) -> usize {
    length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(ANNOUNCED_MAX)
}

fn simple(info: u8, bits: u64) -> Result<Node, NotCbor> {
    match info {
        20 => Ok(Node::Bool(false)),
        21 => Ok(Node::Bool(true)),
        22 | 23 => Ok(Node::Null),
        25 => Ok(Node::Float(half(u16::try_from(bits).unwrap_or(0)))),
        26 => Ok(Node::Float(f64::from(f32::from_bits(u32::try_from(bits).unwrap_or(0))))),
        27 => Ok(Node::Float(f64::from_bits(bits))),
        _ => Err(NotCbor("a simple value that the protocol does not have")),
    }
}

/// A number of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (bits >> 10 & 31, f64::from(bits & 1023));
    let value = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -value } else { value }
}

/// Writes the tree, without the members that are null.
pub fn print(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, node);
    out
}

fn write(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Null => out.push(0xf6),
        Node::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Node::Unsigned(value) => head(out, 0, *value),
        Node::Signed(value) if *value < 0 => head(out, 1, value.unsigned_abs() - 1),
        Node::Signed(value) => head(out, 0, value.unsigned_abs()),
        Node::Float(value) => float(out, *value),
        Node::Time(time) => {
            head(out, 6, 1);
            match time.ms() % 1000 {
                0 => head(out, 0, time.secs()),
                _ => float(out, time.epoch_seconds()),
            }
        }
        Node::Text { text, .. } => string(out, text),
        Node::List(items) => {
            head(out, 4, items.len() as u64);
            items.iter().for_each(|item| write(out, item));
        }
        Node::Map(entries) => {
            head(out, 5, entries.len() as u64);
            entries.iter().for_each(|entry| member(out, entry));
        }
        Node::Struct(members) => {
            let there = || members.iter().filter(|(_, value)| *value != Node::Null);
            head(out, 5, there().count() as u64);
            there().for_each(|entry| member(out, entry));
        }
    }
}

fn member(out: &mut Vec<u8>, (name, value): &(String, Node)) {
    string(out, name);
    write(out, value);
}

fn string(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn float(out: &mut Vec<u8>, value: f64) {
    out.push(0xfb);
    out.extend_from_slice(&value.to_be_bytes());
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    if let Ok(small) = u8::try_from(argument) {
        match small {
            0..=23 => out.push(major | small),
            24.. => out.extend_from_slice(&[major | 24, small]),
        }
    } else if let Ok(middle) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend_from_slice(&middle.to_be_bytes());
    } else if let Ok(large) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend_from_slice(&large.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_kernel::Time;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// Examples of RFC 8949, appendix A.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        let cases = [
            ("00", Node::Unsigned(0)),
            ("1903e8", Node::Unsigned(1000)),
            ("1bffffffffffffffff", Node::Unsigned(u64::MAX)),
            ("3903e7", Node::Signed(-1000)),
            ("f93c00", Node::Float(1.0)),
            ("f9c400", Node::Float(-4.0)),
            ("f90001", Node::Float(5.960_464_477_539_063e-8)),
            ("fa47c35000", Node::Float(100_000.0)),
            ("fb3ff199999999999a", Node::Float(1.1)),
            ("f5", Node::Bool(true)),
            ("f6", Node::Null),
            ("c11a514b67b0", Node::Unsigned(1_363_896_240)),
            ("4401020304", Node::text("AQIDBA==")),
            ("7f657374726561646d696e67ff", Node::text("streaming")),
            (
                "9f018202039f0405ffff",
                list(vec![one(1), list(vec![one(2), one(3)]), list(vec![one(4), one(5)])]),
            ),
            ("bf61610161629f0203ffff", map(vec![("a", one(1)), ("b", list(vec![one(2), one(3)]))])),
        ];
        for (text, node) in cases {
            assert_eq!(parse(&bytes(text)).unwrap(), node, "{text}");
        }
        for broken in
            ["", "18", "1c", "61", "ff", "9f01", "a1", "a10102", "5f00ff", "0000", "9bffffffffffffffff"]
        {
            assert!(parse(&bytes(broken)).is_err(), "{broken}");
        }
        assert!(parse(&[0x81; 100_000]).is_err());
    }

    fn one(value: u64) -> Node {
        Node::Unsigned(value)
    }

    fn list(items: Vec<Node>) -> Node {
        Node::List(items)
    }

    fn map(entries: Vec<(&str, Node)>) -> Node {
        Node::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn what_is_written_is_read_again_and_a_time_has_its_tag() {
        let entries = [
            ("texts", list(vec![Node::text(""), Node::text("é".repeat(300))])),
            ("numbers", list([0, 23, 24, 255, 256, 65_536, u64::MAX].map(one).to_vec())),
            (
                "more",
                list(vec![Node::Signed(-1), Node::Signed(i64::MIN), Node::Float(-0.5), Node::Bool(false)]),
            ),
        ];
        let node = map(entries.to_vec());
        assert_eq!(parse(&print(&node)).unwrap(), node);
        assert_eq!(print(&Node::Time(Time::from_secs(1_363_896_240))), bytes("c11a514b67b0"));
        assert_eq!(print(&Node::Time(Time::from_ms(1_363_896_240_500))), bytes("c1fb41d452d9ec200000"));
        let with_null = Node::Struct(vec![("a".into(), Node::Null), ("b".into(), one(1))]);
        assert_eq!(parse(&print(&with_null)).unwrap(), map(vec![("b", one(1))]));
    }
}
