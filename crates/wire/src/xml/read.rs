//! An XML document as a tree.

use crate::tree::Node;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::fmt;

/// No document that S3 takes is larger: a thousand keys of a thousand bytes, escaped.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;
pub const DEPTH_MAX: usize = 32;

/// Why a document is refused, for the log.
#[derive(Debug)]
pub(super) struct Flaw(String);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn flaw(cause: impl fmt::Display) -> Flaw {
    Flaw(cause.to_string())
}

/// An element that has been opened and not yet closed.
struct Open {
    name: String,
    members: Vec<(String, Node)>,
    text: String,
}

/// The root element's name and content.
pub(super) fn parse(bytes: &[u8]) -> Result<(String, Node), Flaw> {
    if bytes.len() > BYTES_MAX {
        return Err(flaw(format_args!("over {BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(flaw)?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    loop {
        let closed = match reader.read_event().map_err(flaw)? {
            Event::Start(tag) => {
                open.push(start(&tag)?);
                if open.len() > DEPTH_MAX {
                    return Err(flaw(format_args!("over {DEPTH_MAX} levels")));
                }
                None
            }
            Event::Empty(tag) => Some(start(&tag)?),
            Event::End(_) => open.pop(),
            Event::Text(chunk) => {
                add_text(&mut open, &chunk.decode().map_err(flaw)?)?;
                None
            }
            Event::CData(chunk) => {
                add_text(&mut open, &chunk.decode().map_err(flaw)?)?;
                None
            }
            Event::GeneralRef(reference) => {
                add_text(&mut open, &resolve(&reference)?)?;
                None
            }
            Event::DocType(_) => return Err(flaw("a document type definition")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::Eof => break,
        };
        let Some(element) = closed else { continue };
        let (name, node) = close(element);
        match open.last_mut() {
            Some(parent) => parent.members.push((name, node)),
            None if root.is_none() => root = Some((name, node)),
            None => return Err(flaw("a second root element")),
        }
    }
    if !open.is_empty() {
        return Err(flaw("an element is not closed"));
    }
    root.ok_or_else(|| flaw("no root element"))
}

fn start(tag: &BytesStart<'_>) -> Result<Open, Flaw> {
    let name = local(tag.local_name().as_ref())?;
    let mut members = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(flaw)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let name = local(attribute.key.local_name().as_ref())?;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(flaw)?;
        members.push((format!("@{name}"), Node::untyped(value)));
    }
    Ok(Open { name, members, text: String::new() })
}

fn local(name: &[u8]) -> Result<String, Flaw> {
    Ok(std::str::from_utf8(name).map_err(flaw)?.to_owned())
}

fn add_text(open: &mut [Open], text: &str) -> Result<(), Flaw> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']).is_empty() => {}
        None => return Err(flaw("text outside the root element")),
    }
    Ok(())
}

/// Character references and the five entities that XML itself defines; no others exist without a DTD.
fn resolve(reference: &BytesRef<'_>) -> Result<String, Flaw> {
    if let Some(character) = reference.resolve_char_ref().map_err(flaw)? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(flaw)?;
    match quick_xml::escape::resolve_xml_entity(&name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(flaw(format_args!("an unknown entity: {name}"))),
    }
}

fn close(element: Open) -> (String, Node) {
    let Open { name, mut members, text } = element;
    if members.is_empty() {
        return (name, Node::untyped(text));
    }
    if members.iter().all(|(name, _)| name.starts_with('@')) && !text.is_empty() {
        members.push(("$text".to_owned(), Node::untyped(text)));
    }
    (name, Node::Struct(gathered(members)))
}

/// Puts the elements of one name together into a list, wherever among their siblings they stand.
fn gathered(members: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let mut places = std::collections::HashMap::new();
    let mut distinct: Vec<(String, Node)> = Vec::new();
    for (name, node) in members {
        match places.get(&name) {
            None => {
                places.insert(name.clone(), distinct.len());
                distinct.push((name, node));
            }
            Some(&place) => match &mut distinct[place].1 {
                Node::List(items) => items.push(node),
                first => {
                    let first_item = std::mem::replace(first, Node::Null);
                    *first = Node::List(vec![first_item, node]);
                }
            },
        }
    }
    distinct
}
