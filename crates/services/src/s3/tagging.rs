//! Tags of objects and of buckets.

use super::buckets::{self, Nothing};
use super::element::Element;
use super::keys::{TAGS, TAGS_CONFIG};
use super::model::{Pair, Tags, Version};
use super::notifications::{self, Event};
use super::objects::{self, Named};
use super::{faults, metadata};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::{Call, parse_query, xml};
use serde::Deserialize;

pub(super) const OBJECT_TAGS_MAX: usize = 10;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tagging {
    tag_set: TagSet,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TagSet {
    tag: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

fn checked(pairs: impl IntoIterator<Item = (String, String)>, max: usize) -> Result<Vec<Pair>, Fault> {
    let mut tags: Vec<Pair> = Vec::new();
    for (name, value) in pairs {
        if name.is_empty() || name.chars().count() > KEY_CHARS_MAX || name.starts_with("aws:") {
            return Err(faults::invalid_tag("The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(faults::invalid_tag("The TagValue you have provided is invalid"));
        }
        if tags.iter().any(|tag| tag.name == name) {
            return Err(faults::invalid_tag("Cannot provide multiple Tags with the same key"));
        }
        tags.push(Pair { name, value });
    }
    if tags.len() > max { Err(faults::too_many_tags(max)) } else { Ok(tags) }
}

/// The tags of a document, name and value.
pub fn of_document(document: &str) -> Result<Vec<(String, String)>, Fault> {
    let tagging: Tagging = xml::from_bytes(document.as_bytes())?;
    Ok(tagging.tag_set.tag.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// The tags of an `x-amz-tagging` header: a query string.
pub(super) fn from_header(call: &Call) -> Result<Vec<Pair>, Fault> {
    checked(parse_query(call.header("x-amz-tagging").unwrap_or_default()), OBJECT_TAGS_MAX)
}

fn from_body(call: &Call, max: usize) -> Result<Vec<Pair>, Fault> {
    let tagging: Tagging = xml::from_bytes(&call.body)?;
    checked(tagging.tag_set.tag.into_iter().map(|tag| (tag.key, tag.value)), max)
}

/// Tags that a bucket is born with.
pub(super) fn of_bucket(tags: TagSet) -> Result<Tags, Fault> {
    let tags = checked(tags.tag.into_iter().map(|tag| (tag.key, tag.value)), super::BUCKET_TAGS_MAX)?;
    Ok(Tags { tags })
}

fn document(tags: &[Pair]) -> Reply {
    let tags = tags.iter().map(|tag| Element::new().text("Key", &tag.name).text("Value", &tag.value));
    Element::new().child("TagSet", Element::new().each("Tag", tags)).reply("Tagging")
}

pub(super) fn put_object(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let tags = from_body(call, OBJECT_TAGS_MAX)?;
    replace(cx, &input, call, tags, Event::TaggingPut, 200)
}

pub(super) fn delete_object(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    replace(cx, &input, call, Vec::new(), Event::TaggingDelete, 204)
}

fn replace(
    cx: &mut Cx<'_>,
    input: &Named,
    call: &Call,
    tags: Vec<Pair>,
    event: Event,
    status: u16,
) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let version = objects::find(cx, &bucket, input)?;
    let version = Version { tags, ..version };
    bucket.slot(&input.key).amend(cx, &version)?;
    notifications::notify(cx, &bucket, &input.key, event, &version)?;
    Ok(metadata::with_version_id(Reply::status(status), &version, bucket.versioning()))
}

pub(super) fn get_object(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let version = objects::find(cx, &bucket, &input)?;
    Ok(metadata::with_version_id(document(&version.tags), &version, bucket.versioning()))
}

pub(super) fn put_bucket(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let tags = from_body(call, super::BUCKET_TAGS_MAX)?;
    TAGS.put(cx.tx, &bucket.row(TAGS_CONFIG), &Tags { tags });
    Ok(Reply::status(204))
}

pub(super) fn get_bucket(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    match TAGS.get(cx.tx, &bucket.row(TAGS_CONFIG))? {
        Some(tags) => Ok(document(&tags.tags)),
        None => Err(faults::no_such_tag_set(&bucket.name)),
    }
}

pub(super) fn delete_bucket(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    TAGS.delete(cx.tx, &bucket.row(TAGS_CONFIG));
    Ok(Reply::status(204))
}
