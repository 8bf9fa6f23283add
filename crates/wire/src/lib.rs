//! AWS protocols and Signature Version 4, without any service and without I/O.
//!
//! Everything that comes in becomes one small tree ([`tree::Node`]), whatever it was written in: JSON, a
//! form, XML, or labels, query and headers; a handler's input is deserialised from that tree. Everything that
//! goes out takes the same way back. So a rule such as "an absent member is not written" is said once, not
//! once per protocol.
//!
//! Not here: sockets, bodies that stream (only the sans-IO [`sigv4::ChunkDecoder`]), and names of operations.

pub mod call;
pub mod checksum;
pub mod dialect;
pub mod event_stream;
mod fault;
mod form;
pub mod form_data;
pub mod post_policy;
pub mod route;
pub mod sigv2;
pub mod sigv4;
pub mod time;
pub mod tree;
pub mod with;
pub mod xml;

pub use call::{Call, Protocol, decode, decode_head, decode_json_or_form, encode, encode_form, parse_query};
pub use dialect::Dialect;
pub use fault::{SMITHY_PROTOCOL, render_fault, request_id_header};
pub use route::{Found, Route, Router};
