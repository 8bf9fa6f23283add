//! One API call, and its way into a handler's input and out of its output.

use crate::dialect::Dialect;
use crate::form;
use crate::tree::{self, Node, Reason};
use crate::xml::{self, Lists};
use bytes::Bytes;
use mayfly_kernel::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;

/// How a service's calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Json10,
    Json11,
    RestJson,
    Query,
    /// S3.
    RestXml,
    /// Smithy's RPC v2, which is CBOR.
    Cbor,
}

/// A call whose operation is known. Nothing in it has been checked against the operation's input yet.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub operation: String,
    /// Decoded, in the order of the route.
    pub labels: Vec<(String, String)>,
    /// Decoded, in the order sent.
    pub query: Vec<(String, String)>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// The path, if it is a form though the service's own protocol is JSON.
    pub form_path: Option<String>,
    /// How it is written, if that may be another way than the service's own.
    pub spoken: Option<Protocol>,
}

impl Call {
    pub fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }

    /// The first value of a query parameter; empty if the name stood alone.
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Headers whose lower-case name starts with `prefix`, without it: `x-amz-meta-` gives an object's user
    /// metadata. A header that came more than once has its values joined by commas, as S3 stores it.
    pub fn headers_with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let names = self.headers.keys().filter_map(|name| Some((name, name.as_str().strip_prefix(prefix)?)));
        names.map(|(name, rest)| (rest.to_owned(), joined(&self.headers, name))).collect()
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn joined(headers: &http::HeaderMap, name: &http::HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(",")
}

/// Splits and decodes a raw query string. Both `%20` and `+` are a space, a name alone has an empty value.
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (form::decode_text(name), form::decode_text(value))).collect()
}

pub(crate) const CBOR: &str = "application/cbor";

/// Reads a whole call: the body, and for the REST protocols also labels, query parameters and headers.
///
/// S3's bodies are not part of the input: a handler that takes one reads it with [`xml::from_bytes`].
pub fn decode<I: DeserializeOwned>(protocol: Protocol, call: &Call) -> Result<I, Fault> {
    let read = match protocol {
        Protocol::Json10 | Protocol::Json11 => tree::from_node(Node::Struct(json_body(&call.body)?)),
        Protocol::RestJson => tree::from_node(Node::Struct(overlay(json_body(&call.body)?, call, is_member))),
        Protocol::RestXml => return decode_head(protocol, call),
        Protocol::Query => tree::from_node(form(call)?),
        Protocol::Cbor => tree::from_node(Node::Struct(cbor_body(&call.body)?)),
    };
    read.map_err(|error| refuse(protocol, &error))
}

/// Reads a call to a JSON service that speaks the query protocol too, and complains in the words of that one.
pub fn decode_json_or_form<I: DeserializeOwned>(dialect: &Dialect, call: &Call) -> Result<I, Fault> {
    let node = match &call.form_path {
        Some(path) => form_node(dialect, call, path)?,
        None => Node::Struct(json_body(&call.body)?),
    };
    tree::from_node(node).map_err(|error| refuse(Protocol::Query, &error))
}

/// A form that was sent to a service whose own protocol is JSON, as JSON would have it.
fn form_node(dialect: &Dialect, call: &Call, path: &str) -> Result<Node, Fault> {
    let mut node = dialect.read(form(call)?);
    if let Node::Struct(members) = &mut node
        && path.len() > 1
        && !members.iter().any(|(name, _)| name == dialect.url_member)
    {
        members.push((dialect.url_member.to_owned(), Node::untyped(path)));
    }
    Ok(node)
}

/// Reads a REST call whose body is not members but a payload, such as the event of an invocation.
pub fn decode_head<I: DeserializeOwned>(protocol: Protocol, call: &Call) -> Result<I, Fault> {
    let read = match protocol {
        // S3 takes a part of its input from the call itself, and says what it refuses.
        Protocol::RestXml => tree::from_head(overlay(Vec::new(), call, |_| true)),
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Query | Protocol::Cbor => {
            tree::from_node(Node::Struct(overlay(Vec::new(), call, is_member)))
        }
    };
    read.map_err(|error| refuse(protocol, &error))
}

/// A form's parameters without those that say which operation is meant and who signed.
fn form(call: &Call) -> Result<Node, Fault> {
    let mut node = form::parse(&call.body, &call.query)?;
    if let Node::Struct(members) = &mut node {
        members.retain(|(name, _)| !matches!(name.as_str(), "Action" | "Version") && !is_signing(name));
    }
    Ok(node)
}

/// Headers and parameters of a signature and its client, which come with every request.
fn is_signing(name: &str) -> bool {
    const SIGNING: [&str; 5] =
        ["x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-target", "x-amz-user-agent"];
    name.starts_with("X-Amz-") || SIGNING.contains(&name)
}

/// Whether a parameter or header may be a member of an input, rather than a matter of HTTP or of the
/// signature.
fn is_member(name: &str) -> bool {
    name.starts_with("x-amz") && !is_signing(name)
}

fn json_body(body: &[u8]) -> Result<Vec<(String, Node)>, Fault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    match tree::parse_json(body) {
        Ok(Node::Map(members)) => Ok(members),
        Ok(_) => Err(serialization("Unexpected value: a request's body is a JSON object")),
        Err(error) => Err(serialization(format!("Could not parse request body into json: {error}"))),
    }
}

fn cbor_body(body: &[u8]) -> Result<Vec<(String, Node)>, Fault> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    match tree::cbor::parse(body) {
        Ok(Node::Map(members)) => Ok(members),
        Ok(_) => Err(serialization("Unexpected value: a request's body is a map")),
        Err(error) => Err(serialization(format!("Could not parse request body into cbor: {error}"))),
    }
}

/// Members in the order of who wins a name: labels, query parameters, the body, headers.
///
/// A member has one place in the model, so names meet only by accident; then what the route and the caller
/// wrote for the operation goes before headers that every HTTP client adds.
fn overlay(body: Vec<(String, Node)>, call: &Call, header: fn(&str) -> bool) -> Vec<(String, Node)> {
    let mut members: Vec<(String, Node)> = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (name, value) in &call.labels {
        seen.insert(name.clone(), members.len());
        members.push((name.clone(), Node::untyped(value)));
    }
    let labels = members.len();
    for (name, value) in call.query.iter().filter(|(name, _)| !is_signing(name)) {
        match seen.get(name) {
            None => {
                seen.insert(name.clone(), members.len());
                members.push((name.clone(), Node::untyped(value)));
            }
            Some(&place) if place >= labels => append(&mut members[place].1, value),
            Some(_) => {}
        }
    }
    let headers = call.headers.keys().filter(|name| header(name.as_str())).map(|name| {
        let value = joined(&call.headers, name);
        (name.as_str().to_owned(), Node::untyped(value))
    });
    for (name, value) in body.into_iter().chain(headers) {
        if !seen.contains_key(&name) {
            seen.insert(name.clone(), members.len());
            members.push((name, value));
        }
    }
    members
}

/// A parameter that comes again makes a list.
fn append(node: &mut Node, value: &str) {
    match node {
        Node::List(items) => items.push(Node::untyped(value)),
        first => {
            let first_item = std::mem::replace(first, Node::Null);
            *first = Node::List(vec![first_item, Node::untyped(value)]);
        }
    }
}

fn serialization(message: impl Into<String>) -> Fault {
    Fault::new(400, "SerializationException", message)
}

/// The fault of an input that does not fit, in the words of the protocol's services.
fn refuse(protocol: Protocol, error: &tree::Error) -> Fault {
    let name = error.path.last().map_or("", String::as_str);
    match &error.reason {
        Reason::Missing => missing(protocol, &error.path),
        Reason::Unread => Fault::not_implemented(&format!("the member {}", error.path.join("."))),
        Reason::Mistyped { expected, .. } if protocol == Protocol::RestXml => {
            let number = expected.starts_with(['i', 'u']) && expected.len() <= 5;
            let what = if number { "an integer or within integer range" } else { "valid" };
            Fault::new(400, "InvalidArgument", format!("Provided {name} not {what}"))
                .with_field("ArgumentName", name)
        }
        Reason::Mistyped { found, expected } => {
            mistyped(protocol, format!("{found} can not be converted to {expected}"))
        }
        Reason::NotAllowed { found, allowed } => not_allowed(protocol, &error.path, found, allowed),
        Reason::Refused(sentence) => match protocol {
            Protocol::RestXml => {
                Fault::new(400, "InvalidArgument", sentence).with_field("ArgumentName", name)
            }
            Protocol::Query => Fault::new(400, "InvalidParameterValue", sentence),
            Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
                Fault::new(400, "ValidationException", sentence)
            }
        },
    }
}

fn mistyped(protocol: Protocol, message: String) -> Fault {
    match protocol {
        Protocol::Query => Fault::new(400, "MalformedInput", message),
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::RestXml | Protocol::Cbor => {
            serialization(message)
        }
    }
}

fn missing(protocol: Protocol, path: &[String]) -> Fault {
    let name = path.last().map_or("", String::as_str);
    match protocol {
        Protocol::Query => {
            Fault::new(400, "MissingParameter", format!("The request must contain the parameter {name}."))
        }
        Protocol::RestXml => {
            Fault::new(400, "InvalidRequest", format!("Missing required parameter or header: {name}"))
        }
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
            let path = member_path(path);
            let sentence = format!(
                "1 validation error detected: Value null at '{path}' failed to satisfy constraint: \
                 Member must not be null"
            );
            Fault::new(400, "ValidationException", sentence)
        }
    }
}

fn not_allowed(protocol: Protocol, path: &[String], found: &str, allowed: &[&str]) -> Fault {
    let name = path.last().map_or("", String::as_str);
    let allowed = allowed.join(", ");
    match protocol {
        Protocol::RestXml => Fault::new(400, "InvalidArgument", format!("Provided {name} not valid"))
            .with_field("ArgumentName", name)
            .with_field("ArgumentValue", found),
        Protocol::Query | Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
            let code = if protocol == Protocol::Query { "ValidationError" } else { "ValidationException" };
            let sentence = format!(
                "1 validation error detected: Value '{found}' at '{}' failed to satisfy constraint: \
                 Member must satisfy enum value set: [{allowed}]",
                member_path(path)
            );
            Fault::new(400, code, sentence)
        }
    }
}

/// `["Code", "S3Bucket"]` as AWS's validation writes it: `code.s3Bucket`.
fn member_path(path: &[String]) -> String {
    let mut text = String::new();
    for name in path {
        let separator = if text.is_empty() { "" } else { "." };
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        let _ =
            write!(text, "{separator}{}{}", first.map(String::from).unwrap_or_default(), letters.as_str());
    }
    text
}

/// Writes an operation's output: the content type and the body.
///
/// `xmlns` is the service's XML namespace, which the JSON protocols do not use. For S3, `operation` names the
/// root element, such as `ListBucketResult`. An output of `()` has no body in the REST protocols, and no
/// content type.
pub fn encode<O: Serialize + ?Sized>(
    protocol: Protocol,
    operation: &str,
    xmlns: Option<&str>,
    output: &O,
    request_id: &str,
) -> Result<(&'static str, Bytes), Fault> {
    let node = tree::to_node(output).map_err(|error| Fault::internal("encode an output", error))?;
    let json = |node| {
        let empty = Node::Struct(Vec::new());
        let node = if node == Node::Null { empty } else { node };
        tree::print_json(&node).map_err(|error| Fault::internal("encode an output", error))
    };
    Ok(match protocol {
        Protocol::Json10 => ("application/x-amz-json-1.0", json(node)?.into()),
        Protocol::Json11 => ("application/x-amz-json-1.1", json(node)?.into()),
        Protocol::RestJson | Protocol::RestXml if node == Node::Null => ("", Bytes::new()),
        Protocol::RestJson => ("application/json", json(node)?.into()),
        Protocol::RestXml => ("application/xml", xml::document(operation, xmlns, &node, Lists::Flat).into()),
        Protocol::Cbor => {
            let node = if node == Node::Null { Node::Struct(Vec::new()) } else { node };
            (CBOR, tree::cbor::print(&node).into())
        }
        Protocol::Query => ("text/xml", answer(operation, xmlns, node, request_id, Lists::Wrapped)),
    })
}

/// Writes an answer to a form that was sent to a service whose own protocol is JSON.
pub fn encode_form<O: Serialize + ?Sized>(
    dialect: &Dialect,
    operation: &str,
    xmlns: Option<&str>,
    output: &O,
    request_id: &str,
) -> Result<(&'static str, Bytes), Fault> {
    let node = tree::to_node(output).map_err(|error| Fault::internal("encode an output", error))?;
    let node = dialect.write(operation, node);
    Ok(("text/xml", answer(operation, xmlns, node, request_id, Lists::Flat)))
}

/// The document that answers in the query protocol.
fn answer(operation: &str, xmlns: Option<&str>, node: Node, request_id: &str, lists: Lists) -> Bytes {
    let metadata = Node::Struct(vec![("RequestId".into(), Node::text(request_id))]);
    let mut members = Vec::new();
    if node != Node::Null {
        members.push((format!("{operation}Result"), node));
    }
    members.push(("ResponseMetadata".into(), metadata));
    xml::document(&format!("{operation}Response"), xmlns, &Node::Struct(members), lists).into()
}
