//! Uploads in parts. Completing one moves no bytes: the object's body is the list of its parts' pieces.

use super::buckets::{self, Opened};
use super::conditions::{self, unquoted};
use super::element::Element;
use super::history;
use super::keys::{PARTS, UPLOADS};
use super::metadata::with_version_id;
use super::model::{Body, BodyPart, Checksum, ChecksumAlgorithm, Part, StoredPiece, Version};
use super::notifications::{self, Event};
use super::objects::{self, Named};
use super::{bodies, checksums, copy, faults, ranges};
use crate::operation::Upload as Received;
use crate::{Cx, Reply};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::checksum::{self, Algorithm};
use mayfly_wire::{Call, time, xml};
use serde::Deserialize;
use std::collections::BTreeMap;

type Stored = super::model::Upload;

pub(super) fn create(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let draft = objects::draft(&input.key, call)?;
    let algorithm = checksums::requested(call)?;
    let composite = match (call.header("x-amz-checksum-type"), algorithm) {
        (None, None) => false,
        // SHA has no other form; of the CRCs only the 64-bit one is of the whole object unless asked
        // otherwise.
        (None, Some(algorithm)) => algorithm != Algorithm::Crc64Nvme,
        (Some("FULL_OBJECT"), None | Some(Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme)) => {
            false
        }
        (Some("COMPOSITE"), Some(algorithm)) if algorithm != Algorithm::Crc64Nvme => true,
        (Some(kind @ ("FULL_OBJECT" | "COMPOSITE")), algorithm) => {
            let name = algorithm.map_or("crc64nvme".to_owned(), |algorithm| algorithm.name().to_lowercase());
            let text = format!("The {kind} checksum type cannot be used with the {name} checksum algorithm.");
            return Err(faults::invalid_request(text));
        }
        (Some(_), _) => {
            return Err(faults::invalid_request("Value for x-amz-checksum-type header is invalid."));
        }
    };
    // Ids begin with the time, so that the uploads of a key are listed in the order they began.
    let id = format!("{:016x}{}", history::next_seq(cx.now, 0), cx.ids.hex(32));
    let upload = Stored {
        initiated_ms: cx.now.ms(),
        metadata: draft.metadata,
        tags: draft.tags,
        algorithm: algorithm.map_or(ChecksumAlgorithm::Unspecified, ChecksumAlgorithm::of).into(),
        composite,
    };
    UPLOADS.put(cx.tx, &(&bucket.name, &input.key, &id), &upload);
    let kind = algorithm.map(|_| if composite { "COMPOSITE" } else { "FULL_OBJECT" });
    let document = Element::new().text("Bucket", &bucket.name).text("Key", &input.key).text("UploadId", &id);
    let reply = document.reply("InitiateMultipartUploadResult");
    let reply = reply.header_opt("x-amz-checksum-algorithm", algorithm.map(Algorithm::name));
    Ok(reply.header_opt("x-amz-checksum-type", kind))
}

#[derive(Deserialize)]
pub(super) struct OfUpload {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "uploadId")]
    upload_id: String,
}

#[derive(Deserialize)]
pub(super) struct OfPart {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "uploadId")]
    upload_id: String,
    #[serde(rename = "partNumber")]
    number: u32,
}

fn find(cx: &Cx<'_>, bucket: &Opened, key: &str, id: &str) -> Result<Stored, Fault> {
    UPLOADS.get(cx.tx, &(&bucket.name, key, id))?.ok_or_else(|| faults::no_such_upload(id))
}

/// The upload that a part is for.
fn enter(cx: &mut Cx<'_>, input: &OfPart, call: &Call) -> Result<Stored, Fault> {
    let bucket = buckets::open(cx, call)?;
    let most = cx.limits.parts_per_upload;
    if !(1..=most).contains(&input.number) {
        let text = format!("Part number must be an integer between 1 and {most}, inclusive");
        return Err(faults::invalid_argument("partNumber", &input.number.to_string(), text));
    }
    super::metadata::refuse_unsupported(call)?;
    find(cx, &bucket, &input.key, &input.upload_id)
}

pub(super) fn admit_part(cx: &mut Cx<'_>, input: OfPart, call: &Call) -> Result<(), Fault> {
    objects::admit_body(call)?;
    let upload = enter(cx, &input, call)?;
    agreed_algorithm(&upload, call).map(|_| ())
}

/// The algorithm of a part is that of its upload, if the upload chose one.
fn agreed_algorithm(upload: &Stored, call: &Call) -> Result<Algorithm, Fault> {
    let Some(chosen) = upload.algorithm().known() else { return Ok(checksums::DEFAULT) };
    match checksums::requested(call)? {
        Some(sent) if sent == chosen => Ok(chosen),
        sent => Err(faults::checksum_mismatch(chosen.name(), sent.map_or("null", Algorithm::name))),
    }
}

pub(super) fn put_part(
    cx: &mut Cx<'_>,
    input: OfPart,
    call: &Call,
    received: &Received,
) -> Result<Reply, Fault> {
    let upload = enter(cx, &input, call)?;
    checksums::verify(call, &received.digests)?;
    if received.size > objects::PUT_BYTES_MAX {
        return Err(faults::entity_too_large(received.size, objects::PUT_BYTES_MAX));
    }
    let sum = checksums::of(&received.digests, agreed_algorithm(&upload, call)?)?;
    let part = Part {
        size: received.size,
        etag: received.digests.hex(Algorithm::Md5).unwrap_or_default(),
        modified_ms: cx.now.ms(),
        checksum: sum.value,
        pieces: received.piece.iter().map(StoredPiece::of).collect(),
    };
    let etag = format!("\"{}\"", part.etag);
    replace_part(cx, &input, &part)?;
    // The answer repeats the checksum that the client chose, which need not be the one that is kept.
    let echoed = checksums::requested(call)?.or(upload.algorithm().known());
    let value = echoed.and_then(|algorithm| received.digests.base64(algorithm));
    let reply = Reply::status(200).header("etag", etag);
    Ok(match echoed.and_then(Algorithm::header) {
        Some(header) => reply.header_opt(header, value),
        None => reply,
    })
}

fn replace_part(cx: &mut Cx<'_>, input: &OfPart, part: &Part) -> Result<(), Fault> {
    let row = (&input.upload_id, input.number);
    bodies::hold(cx, &part.pieces)?;
    if let Some(old) = PARTS.get(cx.tx, &row)? {
        bodies::release(cx, &old.pieces)?;
    }
    PARTS.put(cx.tx, &row, part);
    Ok(())
}

/// A part that is a stretch of another object.
///
/// Nobody reads the bytes, so their MD5 is not known: the entity tag is made from the source's and the
/// stretch, and a checksum is known only if the whole of the source goes over.
pub(super) fn copy_part(cx: &mut Cx<'_>, input: OfPart, call: &Call) -> Result<Reply, Fault> {
    let upload = enter(cx, &input, call)?;
    let source = copy::source(cx, call)?;
    let size = source.version.size;
    let range = match call.header("x-amz-copy-source-range") {
        Some(text) => ranges::parse_copy(text, size)?,
        None => 0..size,
    };
    let whole = range == (0..size) && source.version.parts == 0;
    let algorithm = upload.algorithm().known().unwrap_or(checksums::DEFAULT);
    let kept =
        source.version.checksum.as_ref().filter(|sum| whole && sum.algorithm().known() == Some(algorithm));
    let etag = if whole { source.version.etag.clone() } else { stretch_etag(&source.version.etag, &range) };
    let part = Part {
        size: range.end - range.start,
        etag,
        modified_ms: cx.now.ms(),
        checksum: kept.map_or_else(String::new, |sum| sum.value.clone()),
        pieces: source.body.slice(range),
    };
    if part.size > objects::PUT_BYTES_MAX {
        return Err(faults::entity_too_large(part.size, objects::PUT_BYTES_MAX));
    }
    replace_part(cx, &input, &part)?;
    let reply = Element::new()
        .text("LastModified", time::iso8601(cx.now))
        .text("ETag", format!("\"{}\"", part.etag))
        .checksum(kept.filter(|_| upload.algorithm().known().is_some()))
        .reply("CopyPartResult");
    Ok(copy::with_source_version(reply, &source))
}

fn stretch_etag(etag: &str, range: &std::ops::Range<u64>) -> String {
    let mut sums = checksum::Checksums::new(&[Algorithm::Md5]);
    sums.update(format!("{etag} {}-{}", range.start, range.end).as_bytes());
    sums.finish().hex(Algorithm::Md5).unwrap_or_default()
}

pub(super) fn abort(cx: &mut Cx<'_>, input: OfUpload, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    find(cx, &bucket, &input.key, &input.upload_id)?;
    for part in take_parts(cx, &input.upload_id)?.into_values() {
        bodies::release(cx, &part.pieces)?;
    }
    UPLOADS.delete(cx.tx, &(&bucket.name, &input.key, &input.upload_id));
    Ok(Reply::status(204))
}

/// All parts of an upload; their rows are gone.
fn take_parts(cx: &mut Cx<'_>, upload: &str) -> Result<BTreeMap<u32, Part>, Fault> {
    let most = usize::try_from(cx.limits.parts_per_upload).unwrap_or(usize::MAX);
    let rows = PARTS.scan(cx.tx, Scan::prefix(&(upload,), most))?;
    for (row, _) in &rows {
        PARTS.delete(cx.tx, row);
    }
    Ok(rows.into_iter().map(|((_, number), part)| (number, part)).collect())
}

#[derive(Deserialize)]
struct Completion {
    #[serde(rename = "Part", default)]
    parts: Vec<Completed>,
}

#[derive(Deserialize)]
struct Completed {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "ETag")]
    etag: String,
    #[serde(rename = "ChecksumCRC32")]
    crc32: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    crc32c: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    crc64nvme: Option<String>,
    #[serde(rename = "ChecksumSHA1")]
    sha1: Option<String>,
    #[serde(rename = "ChecksumSHA256")]
    sha256: Option<String>,
}

impl Completed {
    fn claimed(&self, algorithm: Algorithm) -> Option<&String> {
        match algorithm {
            Algorithm::Crc32 => self.crc32.as_ref(),
            Algorithm::Crc32c => self.crc32c.as_ref(),
            Algorithm::Crc64Nvme => self.crc64nvme.as_ref(),
            Algorithm::Sha1 => self.sha1.as_ref(),
            Algorithm::Sha256 => self.sha256.as_ref(),
            Algorithm::Md5 => None,
        }
    }
}

pub(super) fn complete(cx: &mut Cx<'_>, input: OfUpload, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let slot = bucket.slot(&input.key);
    let current = slot.current(cx)?;
    let Some(upload) = UPLOADS.get(cx.tx, &(&bucket.name, &input.key, &input.upload_id))? else {
        // Sent again because the first answer was lost: the object is there.
        return match current.filter(|version| version.upload_id == input.upload_id) {
            Some(version) => Ok(completed(cx, &bucket, &input.key, &version)),
            None => Err(faults::no_such_upload(&input.upload_id)),
        };
    };
    let completion: Completion = xml::from_bytes(&call.body)?;
    conditions::judge_write(call, &input.key, current.as_ref())?;
    let mut uploaded = take_parts(cx, &input.upload_id)?;
    let algorithm = upload.algorithm().known().unwrap_or(checksums::DEFAULT);
    let chosen = choose(cx, &input.upload_id, &completion, &mut uploaded, algorithm)?;
    let size = chosen.iter().map(|(_, part)| part.size).sum();
    if size > cx.limits.object_bytes {
        return Err(faults::entity_too_large(size, cx.limits.object_bytes));
    }
    check_size_claim(call, size)?;
    let version = Version {
        size,
        etag: etag(&chosen),
        metadata: upload.metadata.clone(),
        tags: upload.tags.clone(),
        checksum: object_checksum(call, &upload, algorithm, &chosen)?,
        parts: u32::try_from(chosen.len()).unwrap_or(u32::MAX),
        upload_id: input.upload_id.clone(),
        ..Version::default()
    };
    for part in uploaded.into_values() {
        bodies::release(cx, &part.pieces)?;
    }
    UPLOADS.delete(cx.tx, &(&bucket.name, &input.key, &input.upload_id));
    let parts = chosen.into_iter().map(|(number, part)| BodyPart {
        number,
        size: part.size,
        checksum: part.checksum,
        pieces: part.pieces,
    });
    let version = slot.write(cx, version, &Body { parts: parts.collect() })?;
    notifications::notify(cx, &bucket, &input.key, Event::CompleteMultipartUpload, &version)?;
    Ok(completed(cx, &bucket, &input.key, &version))
}

fn completed(cx: &Cx<'_>, bucket: &Opened, key: &str, version: &Version) -> Reply {
    let site = cx.site;
    let path = super::element::url_encoded(key).replace('+', "%20");
    let reply = Element::new()
        .text("Location", format!("{}://{}/{}/{path}", site.scheme(), site.authority, bucket.name))
        .text("Bucket", &bucket.name)
        .text("Key", key)
        .text("ETag", version.quoted_etag())
        .checksum(version.checksum.as_ref())
        .text_opt("ChecksumType", version.checksum.as_ref().map(Checksum::kind))
        .reply("CompleteMultipartUploadResult");
    with_version_id(reply, version, bucket.versioning())
}

/// The parts that the completion names, taken out of those that were uploaded.
fn choose(
    cx: &Cx<'_>,
    upload: &str,
    completion: &Completion,
    uploaded: &mut BTreeMap<u32, Part>,
    algorithm: Algorithm,
) -> Result<Vec<(u32, Part)>, Fault> {
    if completion.parts.is_empty() {
        return Err(faults::malformed_xml());
    }
    if completion.parts.windows(2).any(|pair| pair[0].number >= pair[1].number) {
        return Err(faults::invalid_part_order(upload));
    }
    let last = completion.parts.len() - 1;
    let mut chosen = Vec::with_capacity(completion.parts.len());
    for (index, wanted) in completion.parts.iter().enumerate() {
        let etag = unquoted(&wanted.etag);
        let invalid = || faults::invalid_part(upload, wanted.number, etag);
        let part = uploaded.remove(&wanted.number).filter(|part| part.etag == etag).ok_or_else(invalid)?;
        if wanted.claimed(algorithm).is_some_and(|sum| !part.checksum.is_empty() && *sum != part.checksum) {
            return Err(invalid());
        }
        if index < last && part.size < cx.limits.part_bytes_min {
            return Err(faults::entity_too_small(part.size, cx.limits.part_bytes_min, wanted.number, etag));
        }
        chosen.push((wanted.number, part));
    }
    Ok(chosen)
}

fn check_size_claim(call: &Call, size: u64) -> Result<(), Fault> {
    match call.header("x-amz-mp-object-size").map(str::parse::<u64>) {
        Some(claim) if claim.as_ref() != Ok(&size) => Err(faults::invalid_request(
            "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
        )),
        Some(_) | None => Ok(()),
    }
}

/// The MD5 of the parts' MD5s. Parts copied from multipart objects have tags that are no MD5; their text
/// stands in.
fn etag(parts: &[(u32, Part)]) -> String {
    let digests: Vec<Vec<u8>> = parts
        .iter()
        .map(|(_, part)| hex::decode(&part.etag).unwrap_or_else(|_| part.etag.clone().into()))
        .collect();
    checksum::multipart_etag(digests.iter().map(Vec::as_slice))
}

/// The checksum of the whole, if every part's is known, and whether it is the one that the client computed.
fn object_checksum(
    call: &Call,
    upload: &Stored,
    algorithm: Algorithm,
    parts: &[(u32, Part)],
) -> Result<Option<Checksum>, Fault> {
    let claim = checksums::claimed(call)?;
    let digests: Option<Vec<(Vec<u8>, u64)>> =
        parts.iter().map(|(_, part)| Some((algorithm.decode(&part.checksum)?, part.size))).collect();
    let Some(digests) = digests else {
        return match claim {
            Some(_) => Err(Fault::not_implemented("verifying the checksum of an upload with copied ranges")),
            None => Ok(None),
        };
    };
    let value = if upload.composite {
        Some(checksum::composite(algorithm, digests.iter().map(|(digest, _)| digest.as_slice())))
    } else {
        let parts = digests.iter().map(|(digest, size)| (digest.as_slice(), *size));
        checksum::full_object(algorithm, parts).map(|digest| checksum::to_base64(&digest))
    };
    let Some(value) = value else { return Ok(None) };
    match claim {
        Some((claimed, _)) if claimed != algorithm => {
            Err(faults::checksum_mismatch(algorithm.name(), claimed.name()))
        }
        Some((_, claimed)) if claimed != value => Err(faults::bad_checksum(algorithm.name())),
        Some(_) | None => {
            Ok(Some(Checksum { composite: upload.composite, ..Checksum::full(algorithm, value) }))
        }
    }
}

const PARTS_PER_PAGE: usize = 1000;

#[derive(Deserialize)]
pub(super) struct ListParts {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "uploadId")]
    upload_id: String,
    #[serde(rename = "max-parts")]
    max: Option<usize>,
    #[serde(rename = "part-number-marker")]
    marker: Option<u32>,
}

pub(super) fn list_parts(cx: &mut Cx<'_>, input: ListParts, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let upload = find(cx, &bucket, &input.key, &input.upload_id)?;
    let max = input.max.unwrap_or(PARTS_PER_PAGE).min(PARTS_PER_PAGE);
    let marker = input.marker.unwrap_or(0);
    let scan = Scan::prefix(&(&input.upload_id,), max + 1).after(&(&input.upload_id, marker));
    let mut rows = PARTS.scan(cx.tx, scan)?;
    let truncated = rows.len() > max;
    rows.truncate(max);
    let next = rows.last().map_or(marker, |((_, number), _)| *number);
    let algorithm = upload.algorithm().known();
    let parts = rows.iter().map(|((_, number), part)| {
        let sum = algorithm.filter(|_| !part.checksum.is_empty());
        let sum = sum.map(|algorithm| Checksum::full(algorithm, part.checksum.clone()));
        Element::new()
            .text("PartNumber", number)
            .text("LastModified", time::iso8601(Time::from_ms(part.modified_ms)))
            .text("ETag", format!("\"{}\"", part.etag))
            .text("Size", part.size)
            .checksum(sum.as_ref())
    });
    let owner = || buckets::owner(&bucket.record.account);
    let kind = if upload.composite { "COMPOSITE" } else { "FULL_OBJECT" };
    Ok(Element::new()
        .text("Bucket", &bucket.name)
        .text("Key", &input.key)
        .text("UploadId", &input.upload_id)
        .child("Initiator", owner())
        .child("Owner", owner())
        .text("StorageClass", super::model::STORAGE_CLASS)
        .text("PartNumberMarker", marker)
        .text("NextPartNumberMarker", next)
        .text("MaxParts", max)
        .text("IsTruncated", truncated)
        .text_opt("ChecksumAlgorithm", algorithm.map(Algorithm::name))
        .text_opt("ChecksumType", algorithm.map(|_| kind))
        .each("Part", parts)
        .reply("ListPartsResult"))
}
