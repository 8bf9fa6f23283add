//! DeleteObjects: up to a thousand deletions in one commit, each with its own outcome.

use super::buckets;
use super::conditions::unquoted;
use super::element::Element;
use super::objects::{self, Named};
use super::policy::{self, Ask};
use super::{buckets::Nothing, faults};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::{Call, xml};
use serde::Deserialize;

const KEYS_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    #[serde(default)]
    object: Vec<Identifier>,
    #[serde(default)]
    quiet: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identifier {
    key: String,
    version_id: Option<String>,
    #[serde(rename = "ETag")]
    etag: Option<String>,
}

pub(super) fn delete_objects(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let input: Delete = xml::from_bytes(&call.body)?;
    if input.object.is_empty() || input.object.len() > KEYS_MAX {
        return Err(faults::malformed_xml());
    }
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.object {
        let named = Named { key: object.key, version_id: object.version_id.filter(|id| !id.is_empty()) };
        let element = Element::new().text("Key", &named.key).text_opt("VersionId", named.version_id.as_ref());
        let ask = Ask::Delete { key: &named.key, by_id: named.version_id.is_some() };
        if let Err(fault) = policy::admit(cx, &bucket, &ask) {
            errors.push(element.text("Code", &fault.code).text("Message", &fault.message));
            continue;
        }
        match objects::remove(cx, &bucket, &named, object.etag.as_deref().map(unquoted)) {
            Ok(gone) if gone.delete_marker => {
                let marker = element.text("DeleteMarker", true);
                deleted.push(marker.text_opt("DeleteMarkerVersionId", gone.version_id));
            }
            Ok(_) => deleted.push(element),
            // What failed inside leaves the whole request undone; a refusal concerns its own key.
            Err(fault) if fault.is_server() && fault.code != "NotImplemented" => return Err(fault),
            Err(fault) => errors.push(element.text("Code", &fault.code).text("Message", &fault.message)),
        }
    }
    if input.quiet {
        deleted.clear();
    }
    Ok(Element::new().each("Deleted", deleted).each("Error", errors).reply("DeleteResult"))
}
