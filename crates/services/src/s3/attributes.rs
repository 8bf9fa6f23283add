//! GetObjectAttributes: chosen facts about an object, without its bytes.

use super::buckets;
use super::element::Element;
use super::metadata::with_version_id;
use super::model::{Body, Checksum, STORAGE_CLASS, Version};
use super::objects::{self, Named};
use super::{faults, metadata};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::{Call, time};
use serde::Deserialize;

const PARTS_PER_PAGE: usize = 1000;
const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

#[derive(Deserialize)]
pub(super) struct Get {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "versionId")]
    version_id: Option<String>,
    #[serde(rename = "x-amz-object-attributes")]
    attributes: String,
    #[serde(rename = "x-amz-max-parts")]
    max_parts: Option<usize>,
    #[serde(rename = "x-amz-part-number-marker")]
    marker: Option<u32>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    metadata::refuse_unsupported(call)?;
    let wanted: Vec<&str> = input.attributes.split(',').map(str::trim).collect();
    if wanted.iter().any(|name| !ATTRIBUTES.contains(name)) {
        let text = "Invalid attribute name specified.";
        return Err(faults::invalid_argument("x-amz-object-attributes", &input.attributes, text));
    }
    let wants = |name: &str| wanted.contains(&name);
    let named = Named { key: input.key, version_id: input.version_id };
    let version = objects::find(cx, &bucket, &named)?;
    let mut element = Element::new().text_opt("ETag", wants("ETag").then_some(&version.etag));
    if let Some(sum) = version.checksum.as_ref().filter(|_| wants("Checksum")) {
        element =
            element.child("Checksum", Element::new().checksum(Some(sum)).text("ChecksumType", sum.kind()));
    }
    if wants("ObjectParts") && version.parts > 0 {
        let body = bucket.slot(&named.key).body(cx, &version)?;
        let page = input.max_parts.unwrap_or(PARTS_PER_PAGE).min(PARTS_PER_PAGE);
        element = element.child("ObjectParts", parts(&version, &body, input.marker.unwrap_or(0), page));
    }
    let reply = element
        .text_opt("StorageClass", wants("StorageClass").then_some(STORAGE_CLASS))
        .text_opt("ObjectSize", wants("ObjectSize").then_some(version.size))
        .reply("GetObjectAttributesResponse")
        .header("last-modified", time::http_date(version.modified()));
    Ok(with_version_id(reply, &version, bucket.versioning()))
}

fn parts(version: &Version, body: &Body, marker: u32, max: usize) -> Element {
    let behind: Vec<_> = body.parts.iter().filter(|part| part.number > marker).collect();
    let shown = &behind[..behind.len().min(max)];
    let next = shown.last().map_or(marker, |part| part.number);
    // A part's own checksum is said only where the object's is made of the parts'.
    let composite = version.checksum.as_ref().filter(|sum| sum.composite);
    let elements = shown.iter().map(|part| {
        let sum = composite.map(|sum| Checksum { value: part.checksum.clone(), ..sum.clone() });
        Element::new().text("PartNumber", part.number).text("Size", part.size).checksum(sum.as_ref())
    });
    Element::new()
        .text("PartsCount", version.parts)
        .text("PartNumberMarker", marker)
        .text("NextPartNumberMarker", next)
        .text("MaxParts", max)
        .text("IsTruncated", shown.len() < behind.len())
        .each("Part", elements)
}
