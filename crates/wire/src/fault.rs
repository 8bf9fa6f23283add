//! Faults as each protocol's SDKs read them.

use crate::call::{CBOR, Protocol};
use crate::tree::{self, Node};
use crate::xml::{self, Lists};
use bytes::Bytes;
use mayfly_kernel::Fault;

/// The header by which RPC v2 is known, in requests and answers.
pub const SMITHY_PROTOCOL: (&str, &str) = ("smithy-protocol", "rpc-v2-cbor");

/// The header that carries the id of a request in its answer, faults or not.
pub fn request_id_header(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::RestXml => "x-amz-request-id",
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Query | Protocol::Cbor => {
            "x-amzn-requestid"
        }
    }
}

/// Status, headers and body of a fault. `resource` is the path that was asked for; only S3 repeats it.
///
/// The fault's detail stays inside: it is for the log.
pub fn render_fault(
    protocol: Protocol,
    fault: &Fault,
    request_id: &str,
    resource: &str,
) -> (u16, Vec<(&'static str, String)>, Bytes) {
    let (content_type, body) = match protocol {
        Protocol::Json10 => ("application/x-amz-json-1.0", json(protocol, fault)),
        Protocol::Json11 => ("application/x-amz-json-1.1", json(protocol, fault)),
        Protocol::RestJson => ("application/json", json(protocol, fault)),
        Protocol::Cbor => (CBOR, tree::cbor::print(&members(protocol, fault))),
        Protocol::Query => ("text/xml", query(fault, request_id).into_bytes()),
        Protocol::RestXml => ("application/xml", s3(fault, request_id, resource).into_bytes()),
    };
    let mut headers =
        vec![("content-type", content_type.to_owned()), (request_id_header(protocol), request_id.to_owned())];
    let retry_after = fault.fields.iter().find(|(name, _)| *name == RETRY_AFTER);
    headers.extend(retry_after.map(|(_, seconds)| ("retry-after", seconds.clone())));
    if protocol == Protocol::Cbor {
        headers.push((SMITHY_PROTOCOL.0, SMITHY_PROTOCOL.1.to_owned()));
    }
    match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::Cbor => {
            headers.push(("x-amzn-errortype", fault.code.to_string()));
            if let Some(code) = fault.query_code {
                headers.push(("x-amzn-query-error", format!("{code};{}", side(fault))));
            }
        }
        Protocol::RestXml => headers.push(("x-amz-id-2", host_id(request_id))),
        Protocol::Query => {}
    }
    (fault.status, headers, body.into())
}

/// The member of a throttling fault that AWS's models put into a header.
const RETRY_AFTER: &str = "retryAfterSeconds";

fn json(protocol: Protocol, fault: &Fault) -> Vec<u8> {
    tree::print_json(&members(protocol, fault)).expect("text members are always JSON")
}

fn members(protocol: Protocol, fault: &Fault) -> Node {
    let mut members = vec![
        ("__type".to_owned(), Node::text(fault.code.as_ref())),
        ("message".to_owned(), Node::text(fault.message.as_str())),
    ];
    // Lambda's shapes, which carry a Type, spell the member with a capital; SDKs of both kinds exist.
    let has = |name| fault.fields.iter().any(|(field, _)| *field == name);
    if protocol == Protocol::RestJson && has("Type") && !has("Message") {
        members.push(("Message".to_owned(), Node::text(fault.message.as_str())));
    }
    let fields = fault.fields.iter().filter(|(name, _)| !["message", "__type", RETRY_AFTER].contains(name));
    members.extend(fields.map(|(name, value)| ((*name).to_owned(), Node::text(value.as_str()))));
    Node::Struct(members)
}

/// Who is to blame, in the words of the query protocol.
fn side(fault: &Fault) -> &'static str {
    if fault.is_server() { "Receiver" } else { "Sender" }
}

fn query(fault: &Fault, request_id: &str) -> String {
    let mut error = vec![
        ("Type".to_owned(), Node::text(side(fault))),
        ("Code".to_owned(), Node::text(fault.query_code.unwrap_or(&fault.code))),
        ("Message".to_owned(), Node::text(fault.message.as_str())),
    ];
    error.extend(fault.fields.iter().map(|(name, value)| ((*name).to_owned(), Node::text(value.as_str()))));
    let root = Node::Struct(vec![
        ("Error".to_owned(), Node::Struct(error)),
        ("RequestId".to_owned(), Node::text(request_id)),
    ]);
    xml::document("ErrorResponse", None, &root, Lists::Wrapped)
}

fn s3(fault: &Fault, request_id: &str, resource: &str) -> String {
    // S3 has its own name for the fault that is called InternalFailure everywhere else.
    let code = if fault.code == "InternalFailure" { "InternalError" } else { fault.code.as_ref() };
    let mut members = vec![
        ("Code".to_owned(), Node::text(code)),
        ("Message".to_owned(), Node::text(fault.message.as_str())),
    ];
    members.extend(fault.fields.iter().map(|(name, value)| ((*name).to_owned(), Node::text(value.as_str()))));
    if !fault.fields.iter().any(|(name, _)| *name == "Resource") {
        members.push(("Resource".to_owned(), Node::text(resource)));
    }
    members.push(("RequestId".to_owned(), Node::text(request_id)));
    members.push(("HostId".to_owned(), Node::text(host_id(request_id))));
    xml::document("Error", None, &Node::Struct(members), Lists::Flat)
}

/// S3's second id, which its support asks for. Mayfly has one id, so this is the same in S3's form.
fn host_id(request_id: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(request_id)
}
