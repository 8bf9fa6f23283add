//! XML documents: S3's bodies, and the answers of the query protocol.
//!
//! Not here: namespaces (prefixes are dropped), DTDs and entities of one's own (refused), comments and
//! processing instructions (skipped).

mod read;
mod write;

pub use read::{BYTES_MAX, DEPTH_MAX};
pub use write::{DECLARATION, Lists, document, escape};

use crate::tree::{self, Reason};
use mayfly_kernel::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads the content of a document's root element. Every flaw is S3's MalformedXML; an element that nobody
/// reads is not implemented.
///
/// Repeated elements make a list, an attribute is a member named `@name`, text beside attributes is `$text`.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let (_, root) = read::parse(bytes).map_err(malformed)?;
    tree::from_node(root).map_err(|error| match error.reason {
        Reason::Unread => Fault::not_implemented(&format!("the element {}", error.path.join("."))),
        _ => malformed(error),
    })
}

/// Writes `value` as a document in S3's style: a list repeats its element.
pub fn to_string<T: Serialize + ?Sized>(root: &str, xmlns: Option<&str>, value: &T) -> Result<String, Fault> {
    let node = tree::to_node(value).map_err(|error| Fault::internal("write XML", error))?;
    Ok(document(root, xmlns, &node, Lists::Flat))
}

fn malformed(cause: impl std::fmt::Display) -> Fault {
    const MESSAGE: &str =
        "The XML you provided was not well-formed or did not validate against our published schema";
    Fault::new(400, "MalformedXML", MESSAGE).with_detail(cause.to_string())
}
