//! Single objects: put, get, head, delete.

use super::bodies;
use super::buckets::{self, Opened};
use super::conditions::{self, Conditions, Verdict};
use super::history::Deleted;
use super::metadata::{describe, identify, overridden, refuse_unsupported, with_version_id};
use super::model::{self, Body, Metadata, Version};
use super::notifications::{self, Event};
use super::{checksums, faults, ranges, tagging};
use crate::operation::{Content, Upload};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::checksum::Algorithm;
use mayfly_wire::{Call, Protocol, time};
use serde::Deserialize;
use std::ops::Range;

/// What one PutObject or UploadPart may carry: 5 GiB.
pub(super) const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// An object, at one of its versions if one is named.
#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(rename = "Key")]
    pub(super) key: String,
    #[serde(rename = "versionId")]
    pub(super) version_id: Option<String>,
}

pub(super) fn admit_put(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<(), Fault> {
    let bucket = buckets::open(cx, call)?;
    admit_body(call)?;
    draft(&input.key, call)?;
    let current = bucket.slot(&input.key).current(cx)?;
    conditions::judge_write(call, &input.key, current.as_ref())
}

/// What is checked of every body before it comes.
pub(super) fn admit_body(call: &Call) -> Result<(), Fault> {
    checksums::precheck(call)?;
    let length = call.header("x-amz-decoded-content-length").or_else(|| call.header("content-length"));
    match length.and_then(|text| text.parse().ok()) {
        Some(length) if length > PUT_BYTES_MAX => Err(faults::entity_too_large(length, PUT_BYTES_MAX)),
        Some(_) | None => Ok(()),
    }
}

/// A version as the request's head describes it; its bytes are not known yet.
pub(super) fn draft(key: &str, call: &Call) -> Result<Version, Fault> {
    model::check_key(key)?;
    refuse_unsupported(call)?;
    let (metadata, tags) = (Metadata::from_call(call)?, tagging::from_header(call)?);
    Ok(Version { metadata, tags, ..Version::default() })
}

pub(super) fn put(cx: &mut Cx<'_>, input: Named, call: &Call, upload: &Upload) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let mut version = draft(&input.key, call)?;
    checksums::verify(call, &upload.digests)?;
    let slot = bucket.slot(&input.key);
    conditions::judge_write(call, &input.key, slot.current(cx)?.as_ref())?;
    if upload.size > PUT_BYTES_MAX {
        return Err(faults::entity_too_large(upload.size, PUT_BYTES_MAX));
    }
    let algorithm = checksums::requested(call)?.unwrap_or(checksums::DEFAULT);
    version.checksum = Some(checksums::of(&upload.digests, algorithm)?);
    version.size = upload.size;
    version.etag = upload.digests.hex(Algorithm::Md5).unwrap_or_default();
    let body = Body::single(upload);
    bodies::hold(cx, body.pieces())?;
    let version = slot.write(cx, version, &body)?;
    let event = if call.operation == "PostObject" { Event::Post } else { Event::Put };
    notifications::notify(cx, &bucket, &input.key, event, &version)?;
    let reply = Reply::status(200).header("etag", version.quoted_etag());
    let reply = with_version_id(reply, &version, bucket.versioning());
    Ok(with_checksum(reply, &version))
}

pub(super) fn with_checksum(reply: Reply, version: &Version) -> Reply {
    match version.checksum.as_ref().and_then(|sum| Some((sum.algorithm().known()?.header()?, sum))) {
        Some((header, sum)) => reply.header(header, &sum.value).header("x-amz-checksum-type", sum.kind()),
        None => reply,
    }
}

/// The object that is meant, for operations that make no sense on a delete marker.
pub(super) fn find(cx: &mut Cx<'_>, bucket: &Opened, input: &Named) -> Result<Version, Fault> {
    model::check_key(&input.key)?;
    let slot = bucket.slot(&input.key);
    match &input.version_id {
        None => slot.current(cx)?.ok_or_else(|| faults::no_such_key(&input.key)),
        Some(id) => match slot.version(cx, id)? {
            Some(marker) if marker.delete_marker => Err(faults::marker_has_no_content("GET", &marker)),
            Some(version) => Ok(version),
            None => Err(faults::no_such_version(&input.key, id)),
        },
    }
}

/// The delete marker that stands where an object was looked for.
fn marker_instead(cx: &mut Cx<'_>, bucket: &Opened, input: &Named) -> Result<Option<Version>, Fault> {
    let slot = bucket.slot(&input.key);
    let found = match &input.version_id {
        None => slot.hiding_marker(cx)?,
        Some(id) => slot.version(cx, id)?,
    };
    Ok(found.filter(|version| version.delete_marker))
}

/// A fault whose answer has headers too: it says that a delete marker is the cause.
fn refuse_for_marker(cx: &Cx<'_>, bucket: &Opened, input: &Named, marker: &Version, fault: &Fault) -> Reply {
    let resource = format!("/{}/{}", bucket.name, input.key);
    let (status, mut headers, body) =
        mayfly_wire::render_fault(Protocol::RestXml, fault, cx.request_id, &resource);
    headers.retain(|(name, _)| *name == "content-type");
    let reply = Reply { headers, ..Reply::status(status) }.header("x-amz-delete-marker", "true");
    let reply = match input.version_id {
        Some(_) => {
            reply.header("allow", "DELETE").header("last-modified", time::http_date(marker.modified()))
        }
        None => reply,
    };
    with_version_id(reply, marker, bucket.versioning()).content(Content::Bytes(body))
}

#[derive(Deserialize)]
pub(super) struct Get {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "versionId")]
    version_id: Option<String>,
    #[serde(rename = "partNumber")]
    part_number: Option<u32>,
    range: Option<String>,
    #[serde(rename = "x-amz-checksum-mode")]
    checksum_mode: Option<String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get, call: &Call) -> Result<Reply, Fault> {
    read(cx, input, call, "GET")
}

pub(super) fn head(cx: &mut Cx<'_>, input: Get, call: &Call) -> Result<Reply, Fault> {
    let mut reply = read(cx, input, call, "HEAD")?;
    reply.content = Content::Empty;
    Ok(reply)
}

fn read(cx: &mut Cx<'_>, input: Get, call: &Call, method: &'static str) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    refuse_unsupported(call)?;
    let named = Named { key: input.key, version_id: input.version_id };
    let version = match find(cx, &bucket, &named) {
        Ok(version) => version,
        Err(fault) if fault.code == "NoSuchKey" || fault.code == "MethodNotAllowed" => {
            let Some(marker) = marker_instead(cx, &bucket, &named)? else { return Err(fault) };
            let fault = match named.version_id {
                Some(_) => faults::marker_has_no_content(method, &marker),
                None => fault,
            };
            return Ok(refuse_for_marker(cx, &bucket, &named, &marker, &fault));
        }
        Err(fault) => return Err(fault),
    };
    if Conditions::of_read(call).judge(&version)? == Verdict::NotModified {
        return Ok(identify(Reply::status(304), &version, bucket.versioning()));
    }
    let body = bucket.slot(&named.key).body(cx, &version)?;
    let (range, part) = match (input.part_number, &input.range) {
        (Some(_), Some(_)) => {
            return Err(faults::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        (Some(number), None) => (Some(part_range(&version, &body, number)?), Some(number)),
        (None, Some(range)) => (ranges::parse(range, version.size)?, None),
        (None, None) => (None, None),
    };
    let reply = Reply::status(if range.is_some() { 206 } else { 200 });
    let mut reply = overridden(describe(reply, &version, bucket.versioning()), call);
    if part.is_some() && version.parts > 0 {
        reply = reply.header("x-amz-mp-parts-count", version.parts.to_string());
    }
    let wants_checksum = input.checksum_mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    if wants_checksum && range.is_none() {
        reply = with_checksum(reply, &version);
    }
    Ok(with_bytes(reply, &version, &body, range))
}

fn with_bytes(reply: Reply, version: &Version, body: &Body, range: Option<Range<u64>>) -> Reply {
    let (reply, range) = match range {
        // An empty object has no byte that a range could name, yet part 1 of it can be asked for.
        Some(range) if range.is_empty() => (reply, range),
        Some(range) => {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, version.size);
            (reply.header("content-range", text), range)
        }
        None => (reply, 0..version.size),
    };
    let length = range.end - range.start;
    let pieces = bodies::to_send(body.slice(range));
    reply.header("content-length", length.to_string()).content(Content::Pieces(pieces))
}

/// The bytes of one part; an object that came in one piece is its own first part.
fn part_range(version: &Version, body: &Body, number: u32) -> Result<Range<u64>, Fault> {
    if number == 0 {
        let text = "Part number must be an integer between 1 and 10000, inclusive";
        return Err(faults::invalid_argument("partNumber", "0", text));
    }
    if version.parts == 0 && number == 1 {
        return Ok(0..version.size);
    }
    let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
    let found = if version.parts == 0 { None } else { body.part_range(index) };
    found.ok_or_else(|| faults::invalid_part_number(number, version.parts.max(1)))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let deleted = remove(cx, &bucket, &input, call.header("if-match"))?;
    let marker = deleted.delete_marker.then_some("true");
    let reply = Reply::status(204).header_opt("x-amz-delete-marker", marker);
    Ok(reply.header_opt("x-amz-version-id", deleted.version_id))
}

/// Deletes an object or a version of it, and tells those who want to know.
pub(super) fn remove(
    cx: &mut Cx<'_>,
    bucket: &Opened,
    input: &Named,
    if_match: Option<&str>,
) -> Result<Deleted, Fault> {
    model::check_key(&input.key)?;
    let slot = bucket.slot(&input.key);
    let (condition_on, deleted);
    match &input.version_id {
        Some(id) => {
            condition_on = slot.version(cx, id)?;
            conditions::judge_delete(if_match, condition_on.as_ref())?;
            deleted = slot.delete_version(cx, id)?;
        }
        None => {
            condition_on = slot.current(cx)?;
            conditions::judge_delete(if_match, condition_on.as_ref())?;
            deleted = slot.delete(cx)?;
        }
    }
    if deleted.happened {
        let created_marker = deleted.delete_marker && input.version_id.is_none();
        let event = if created_marker { Event::DeleteMarkerCreated } else { Event::Delete };
        let id = deleted.version_id.clone().unwrap_or_default();
        let gone = Version { seq: deleted.seq, id, delete_marker: true, ..Version::default() };
        notifications::notify(cx, bucket, &input.key, event, &gone)?;
    }
    Ok(deleted)
}
