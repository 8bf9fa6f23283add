//! CopyObject, and the sources of copies. No bytes move: the copy holds the same body.

use super::buckets::{self, Opened};
use super::conditions::{self, Conditions, Verdict};
use super::element::Element;
use super::model::{self, Body, Checksum, Version};
use super::notifications::{self, Event};
use super::objects::{self, Named};
use super::policy::Ask;
use super::{bodies, checksums, faults};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::checksum::{Algorithm, Checksums};
use mayfly_wire::{Call, time};
use percent_encoding::percent_decode_str;

/// What a copy is made of.
pub(super) struct Source {
    pub(super) bucket: Opened,
    pub(super) key: String,
    pub(super) version: Version,
    pub(super) body: Body,
}

/// Finds what `x-amz-copy-source` means and judges the conditions on it.
pub(super) fn source(cx: &mut Cx<'_>, call: &Call) -> Result<Source, Fault> {
    let header = call.header("x-amz-copy-source").unwrap_or_default();
    let bad = || faults::bad_copy_source(header);
    if header.contains(":accesspoint") || header.starts_with("arn:") {
        return Err(Fault::not_implemented("copying from access points"));
    }
    let (path, version_id) = match header.split_once("?versionId=") {
        Some((path, id)) => (path, Some(id.to_owned())),
        None => (header, None),
    };
    let path = percent_decode_str(path).decode_utf8().map_err(|_| bad())?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/').ok_or_else(bad)?;
    if bucket.is_empty() || key.is_empty() {
        return Err(bad());
    }
    let ask = Ask::Read { key, by_id: version_id.is_some() };
    let bucket = buckets::open_as(cx, bucket, call.header("x-amz-source-expected-bucket-owner"), &ask)?;
    let named = Named { key: key.to_owned(), version_id };
    let version = objects::find(cx, &bucket, &named).map_err(|fault| match fault.code.as_ref() {
        "MethodNotAllowed" => faults::copy_source_is_marker(),
        _ => fault,
    })?;
    // On the source of a copy, "not modified" is a failure like any other.
    if Conditions::of_copy_source(call).judge(&version)? == Verdict::NotModified {
        return Err(faults::precondition_failed("x-amz-copy-source-If-None-Match"));
    }
    let body = bucket.slot(&named.key).body(cx, &version)?;
    Ok(Source { bucket, key: named.key, version, body })
}

/// Whether what is said of the source goes over to the copy.
fn replaces(call: &Call, header: &'static str) -> Result<bool, Fault> {
    match call.header(header) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(faults::invalid_argument(header, other, format!("Unknown directive: {header}"))),
    }
}

pub(super) fn copy(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let asked = objects::draft(&input.key, call)?;
    model::check_key(&input.key)?;
    let source = source(cx, call)?;
    let new_metadata = replaces(call, "x-amz-metadata-directive")?;
    let new_tags = replaces(call, "x-amz-tagging-directive")?;
    let onto_itself = source.bucket.name == bucket.name && source.key == input.key;
    let slot = bucket.slot(&input.key);
    let current = slot.current(cx)?;
    let is_current = current.as_ref().is_some_and(|current| current.seq == source.version.seq);
    if onto_itself && is_current && !new_metadata && asked.metadata.redirect.is_none() {
        return Err(faults::copy_onto_itself());
    }
    conditions::judge_write(call, &input.key, current.as_ref())?;
    let mut metadata = if new_metadata { asked.metadata.clone() } else { source.version.metadata.clone() };
    // A redirect is never copied: it belongs to the request.
    metadata.redirect = asked.metadata.redirect;
    let version = Version {
        metadata,
        tags: if new_tags { asked.tags } else { source.version.tags.clone() },
        size: source.version.size,
        etag: source.version.etag.clone(),
        checksum: checksum(call, &source)?,
        parts: source.version.parts,
        ..Version::default()
    };
    bodies::hold(cx, source.body.pieces())?;
    let version = slot.write(cx, version, &source.body)?;
    notifications::notify(cx, &bucket, &input.key, Event::Copy, &version)?;
    Ok(answer(&bucket, &source, &version))
}

fn answer(bucket: &Opened, source: &Source, version: &Version) -> Reply {
    let reply = Element::new()
        .text("LastModified", time::iso8601(version.modified()))
        .text("ETag", version.quoted_etag())
        .checksum(version.checksum.as_ref())
        .text_opt("ChecksumType", version.checksum.as_ref().map(Checksum::kind))
        .reply("CopyObjectResult");
    let reply = with_source_version(reply, source);
    super::metadata::with_version_id(reply, version, bucket.versioning())
}

pub(super) fn with_source_version(reply: Reply, source: &Source) -> Reply {
    match source.bucket.versioning() {
        model::Versioning::Never => reply,
        model::Versioning::Enabled | model::Versioning::Suspended => {
            reply.header("x-amz-copy-source-version-id", source.version.public_id())
        }
    }
}

/// The copy's checksum: the source's, or one of another algorithm if the bytes are at hand to compute it.
fn checksum(call: &Call, source: &Source) -> Result<Option<Checksum>, Fault> {
    let kept = source.version.checksum.clone();
    let wanted = match checksums::requested(call)? {
        Some(wanted) if kept.as_ref().and_then(|sum| sum.algorithm().known()) != Some(wanted) => wanted,
        Some(_) | None => return Ok(kept),
    };
    match inline_digest(&source.body, wanted) {
        Some(value) => Ok(Some(Checksum::full(wanted, value))),
        None => Err(Fault::not_implemented("copying a large object with another checksum algorithm")),
    }
}

fn inline_digest(body: &Body, algorithm: Algorithm) -> Option<String> {
    let mut sums = Checksums::new(&[algorithm]);
    for piece in body.pieces() {
        if !piece.blob.is_empty() {
            return None;
        }
        sums.update(&piece.inline);
    }
    sums.finish().base64(algorithm)
}
