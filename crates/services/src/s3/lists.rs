//! The listing operations: what each shows, in which document. How a page is made is in [`super::listing`].

use super::buckets::{self, Opened, owner};
use super::element::{Element, url_encoded};
use super::faults;
use super::keys::{OBJECTS, SHOWN, UPLOADS, VERSIONS};
use super::listing::{self, Begin, Page, Query, Source};
use super::model::{Brief, Checksum, STORAGE_CLASS, Upload, Version};
use crate::{Cx, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mayfly_kernel::{Fault, Time};
use mayfly_store::{Desc, Scan, Tx};
use mayfly_wire::{Call, time};
use serde::Deserialize;
use std::fmt::Display;

const PAGE_MAX: usize = 1000;

/// What all listings take.
struct Request {
    query: Query,
    delimiter: Option<String>,
    encoded: bool,
}

fn request(call: &Call, max: &'static str) -> Result<Request, Fault> {
    let text = |name: &str| call.query(name).unwrap_or_default().to_owned();
    let encoded = match call.query("encoding-type") {
        None => false,
        Some("url") => true,
        Some(other) => {
            return Err(faults::invalid_argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            ));
        }
    };
    let size = match call.query(max) {
        None => PAGE_MAX,
        Some(text) => {
            let wrong = || {
                faults::invalid_argument(
                    max,
                    text,
                    format!("Provided {max} not an integer or within integer range"),
                )
            };
            text.parse::<u32>().map_err(|_| wrong())?.try_into().unwrap_or(PAGE_MAX)
        }
    };
    let delimiter = call.query("delimiter").filter(|text| !text.is_empty()).map(str::to_owned);
    let query = Query {
        prefix: text("prefix"),
        delimiter: delimiter.clone().unwrap_or_default(),
        max: size.min(PAGE_MAX),
    };
    Ok(Request { query, delimiter, encoded })
}

impl Request {
    fn text(&self, key: &str) -> String {
        if self.encoded { url_encoded(key) } else { key.to_owned() }
    }

    fn common(&self, element: Element, prefixes: &[String]) -> Element {
        element
            .each(
                "CommonPrefixes",
                prefixes.iter().map(|prefix| Element::new().text("Prefix", self.text(prefix))),
            )
            .text_opt("EncodingType", self.encoded.then_some("url"))
    }

    fn head(&self, bucket: &Opened) -> Element {
        Element::new()
            .text("Name", &bucket.name)
            .text("Prefix", self.text(&self.query.prefix))
            .text_opt("Delimiter", self.delimiter.as_ref().map(|text| self.text(text)))
    }
}

/// The current objects of a bucket.
struct Objects<'a> {
    tx: &'a Tx,
    bucket: &'a str,
}

impl Source for Objects<'_> {
    type Item = (String, Brief);
    type Place = ();

    fn read(&mut self, from: &Begin<()>, limit: usize) -> Result<Vec<Self::Item>, Fault> {
        let scan = Scan::prefix(&(self.bucket,), limit);
        let scan = match from {
            Begin::Key(key) => scan.from(&(self.bucket, key)),
            Begin::Behind(key, ()) => scan.after(&(self.bucket, key)),
        };
        Ok(SHOWN.scan(self.tx, scan)?.into_iter().map(|((_, key), shown)| (key, shown)).collect())
    }

    fn key((key, _): &Self::Item) -> &str {
        key
    }

    fn place(_: &Self::Item) {}
}

fn list_objects(
    cx: &Cx<'_>,
    bucket: &Opened,
    query: &Query,
    marker: &str,
) -> Result<Page<(String, Brief)>, Fault> {
    let mut source = Objects { tx: cx.tx, bucket: &bucket.name };
    listing::list(&mut source, query, marker, listing::start(&query.prefix, marker))
}

/// A page of keys behind this one, and whether there are more.
pub(super) fn keys(cx: &Cx<'_>, bucket: &Opened, after: &str) -> Result<(Vec<String>, bool), Fault> {
    let query = Query { prefix: String::new(), delimiter: String::new(), max: PAGE_MAX };
    let page = list_objects(cx, bucket, &query, after)?;
    Ok((page.items.into_iter().map(|(key, _)| key).collect(), page.truncated))
}

/// The last thing a page shows: the next page goes on behind it.
fn last_shown<T>(page: &Page<T>, key: impl Fn(&T) -> &str) -> Option<String> {
    let last = page.items.last().map(|item| key(item).to_owned());
    page.ends_in_prefix.clone().or(last)
}

fn content(request: &Request, (key, shown): &(String, Brief), owner: Option<&str>) -> Element {
    let element = Element::new()
        .text("Key", request.text(key))
        .text("LastModified", time::iso8601(Time::from_ms(shown.modified_ms)))
        .text("ETag", format_args!("\"{}\"", shown.etag));
    let element = checksum(element, shown.checksum.as_ref()).text("Size", shown.size);
    let element = match owner {
        Some(account) => element.child("Owner", buckets::owner(account)),
        None => element,
    };
    element.text("StorageClass", STORAGE_CLASS)
}

fn checksum(element: Element, checksum: Option<&Checksum>) -> Element {
    let algorithm = checksum.and_then(|sum| sum.algorithm().known());
    element
        .text_opt("ChecksumAlgorithm", algorithm.map(|algorithm| algorithm.name()))
        .text_opt("ChecksumType", checksum.map(Checksum::kind))
}

#[derive(Deserialize)]
pub(super) struct V1 {
    marker: Option<String>,
}

pub(super) fn objects(cx: &mut Cx<'_>, input: V1, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let request = request(call, "max-keys")?;
    let marker = input.marker.unwrap_or_default();
    let page = list_objects(cx, &bucket, &request.query, &marker)?;
    // Without a delimiter the last key is the next marker, and is not said again.
    let next = last_shown(&page, |(key, _)| key).filter(|_| page.truncated && request.delimiter.is_some());
    let owner = Some(bucket.record.account.as_str());
    let element = request
        .head(&bucket)
        .text("Marker", request.text(&marker))
        .text_opt("NextMarker", next.map(|next| request.text(&next)))
        .text("MaxKeys", request.query.max)
        .text("IsTruncated", page.truncated)
        .each("Contents", page.items.iter().map(|item| content(&request, item, owner)));
    Ok(request.common(element, &page.prefixes).reply("ListBucketResult"))
}

#[derive(Deserialize)]
pub(super) struct V2 {
    #[serde(rename = "continuation-token")]
    token: Option<String>,
    #[serde(rename = "start-after")]
    start_after: Option<String>,
    #[serde(rename = "fetch-owner", default)]
    fetch_owner: bool,
}

/// A token is the last thing shown, so that it holds however the bucket changes in between.
fn token_for(shown: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1{shown}"))
}

fn read_token(token: &str) -> Result<String, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let shown = text.and_then(|text| text.strip_prefix('1').map(str::to_owned));
    shown.ok_or_else(|| {
        faults::invalid_argument("continuation-token", token, "The continuation token provided is incorrect")
    })
}

pub(super) fn objects_v2(cx: &mut Cx<'_>, input: V2, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let request = request(call, "max-keys")?;
    let marker = match &input.token {
        Some(token) => read_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let page = list_objects(cx, &bucket, &request.query, &marker)?;
    let next = last_shown(&page, |(key, _)| key).filter(|_| page.truncated).map(|shown| token_for(&shown));
    let owner = input.fetch_owner.then_some(bucket.record.account.as_str());
    let element = request
        .head(&bucket)
        .text_opt("StartAfter", input.start_after.map(|key| request.text(&key)))
        .text_opt("ContinuationToken", input.token)
        .text_opt("NextContinuationToken", next)
        .text("KeyCount", page.items.len() + page.prefixes.len())
        .text("MaxKeys", request.query.max)
        .text("IsTruncated", page.truncated)
        .each("Contents", page.items.iter().map(|item| content(&request, item, owner)));
    Ok(request.common(element, &page.prefixes).reply("ListBucketResult"))
}

/// A version in a listing of all versions.
struct Listed {
    key: String,
    version: Version,
    latest: bool,
}

/// Every version of every key: the current one from OBJECTS before the others from VERSIONS.
struct Versions<'a> {
    tx: &'a Tx,
    bucket: &'a str,
}

impl Versions<'_> {
    fn current(&self, from: &Begin<u64>, limit: usize) -> Result<Vec<(String, Version)>, Fault> {
        let (Begin::Key(key) | Begin::Behind(key, _)) = from;
        let scan = Scan::prefix(&(self.bucket,), limit).from(&(self.bucket, key));
        let rows = OBJECTS.scan(self.tx, scan)?.into_iter().map(|((_, key), version)| (key, version));
        Ok(match from {
            Begin::Key(_) => rows.collect(),
            Begin::Behind(_, seq) => {
                rows.filter(|(found, version)| found != key || version.seq < *seq).collect()
            }
        })
    }

    fn others(&self, from: &Begin<u64>, limit: usize) -> Result<Vec<(String, Version)>, Fault> {
        let scan = Scan::prefix(&(self.bucket,), limit);
        let scan = match from {
            Begin::Key(key) => scan.from(&(self.bucket, key)),
            Begin::Behind(key, seq) => scan.after(&(self.bucket, key, Desc(*seq))),
        };
        Ok(VERSIONS.scan(self.tx, scan)?.into_iter().map(|((_, key, _), version)| (key, version)).collect())
    }

    /// Whether nothing newer exists of the key.
    fn is_latest(&self, key: &str, version: &Version) -> Result<bool, Fault> {
        if OBJECTS.contains(self.tx, &(self.bucket, key))? {
            return Ok(false);
        }
        let newest = VERSIONS.scan(self.tx, Scan::prefix(&(self.bucket, key), 1))?;
        Ok(newest.first().is_none_or(|(_, newest)| newest.seq == version.seq))
    }
}

impl Source for Versions<'_> {
    type Item = Listed;
    type Place = u64;

    fn read(&mut self, from: &Begin<u64>, limit: usize) -> Result<Vec<Listed>, Fault> {
        // One row more, because the row at which the page before ended may be read again and left out.
        let current = self.current(from, limit + 1)?;
        let others = self.others(from, limit + 1)?;
        let (mut current, mut others) = (current.into_iter().peekable(), others.into_iter().peekable());
        let mut merged: Vec<Listed> = Vec::new();
        while merged.len() < limit {
            let take_current = match (current.peek(), others.peek()) {
                (None, None) => break,
                (Some((key, _)), Some((other, _))) => key <= other,
                (current, _) => current.is_some(),
            };
            let row = if take_current { current.next() } else { others.next() };
            let Some((key, version)) = row else { break };
            let latest = match merged.last() {
                _ if take_current => true,
                Some(before) if before.key == key => false,
                Some(_) | None => self.is_latest(&key, &version)?,
            };
            merged.push(Listed { key, version, latest });
        }
        Ok(merged)
    }

    fn key(item: &Listed) -> &str {
        &item.key
    }

    fn place(item: &Listed) -> u64 {
        item.version.seq
    }
}

#[derive(Deserialize)]
pub(super) struct OfVersions {
    #[serde(rename = "key-marker")]
    key_marker: Option<String>,
    #[serde(rename = "version-id-marker")]
    version_marker: Option<String>,
}

pub(super) fn versions(cx: &mut Cx<'_>, input: OfVersions, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let request = request(call, "max-keys")?;
    let version_marker = input.version_marker.filter(|marker| !marker.is_empty());
    let (marker, from) = match (input.key_marker.unwrap_or_default(), &version_marker) {
        (key, None) => (key.clone(), listing::start(&request.query.prefix, &key)),
        (key, Some(_)) if key.is_empty() => {
            let text = "A version-id marker cannot be specified without a key marker.";
            return Err(faults::invalid_argument("version-id-marker", "", text));
        }
        (key, Some(id)) => {
            let seq = bucket.slot(&key).seq_of(cx, id)?;
            let behind = key.as_str() >= request.query.prefix.as_str();
            let from = if behind {
                Begin::Behind(key.clone(), seq)
            } else {
                Begin::Key(request.query.prefix.clone())
            };
            (key, from)
        }
    };
    let mut source = Versions { tx: cx.tx, bucket: &bucket.name };
    let page = listing::list(&mut source, &request.query, &marker, from)?;
    let next_key = last_shown(&page, |item| &item.key).filter(|_| page.truncated);
    let next_version = page.items.last().filter(|_| page.truncated && page.ends_in_prefix.is_none());
    let shown = |item: &Listed| {
        let element = Element::new()
            .text("Key", request.text(&item.key))
            .text("VersionId", item.version.public_id())
            .text("IsLatest", item.latest)
            .text("LastModified", time::iso8601(item.version.modified()));
        let element = match item.version.delete_marker {
            true => element,
            false => {
                checksum(element.text("ETag", item.version.quoted_etag()), item.version.checksum.as_ref())
                    .text("Size", item.version.size)
                    .text("StorageClass", STORAGE_CLASS)
            }
        };
        element.child("Owner", owner(&bucket.record.account))
    };
    let mut element = request
        .head(&bucket)
        .text("KeyMarker", request.text(&marker))
        .text("VersionIdMarker", version_marker.unwrap_or_default())
        .text_opt("NextKeyMarker", next_key.map(|key| request.text(&key)))
        .text_opt("NextVersionIdMarker", next_version.map(|item| item.version.public_id()))
        .text("MaxKeys", request.query.max)
        .text("IsTruncated", page.truncated);
    for item in &page.items {
        let name = if item.version.delete_marker { "DeleteMarker" } else { "Version" };
        element = element.child(name, shown(item));
    }
    Ok(request.common(element, &page.prefixes).reply("ListVersionsResult"))
}

/// Uploads under way.
struct Uploads<'a> {
    tx: &'a Tx,
    bucket: &'a str,
}

impl Source for Uploads<'_> {
    type Item = (String, String, Upload);
    type Place = String;

    fn read(&mut self, from: &Begin<String>, limit: usize) -> Result<Vec<Self::Item>, Fault> {
        let scan = Scan::prefix(&(self.bucket,), limit);
        let scan = match from {
            Begin::Key(key) => scan.from(&(self.bucket, key)),
            Begin::Behind(key, id) => scan.after(&(self.bucket, key, id)),
        };
        Ok(UPLOADS.scan(self.tx, scan)?.into_iter().map(|((_, key, id), upload)| (key, id, upload)).collect())
    }

    fn key((key, _, _): &Self::Item) -> &str {
        key
    }

    fn place((_, id, _): &Self::Item) -> String {
        id.clone()
    }
}

#[derive(Deserialize)]
pub(super) struct OfUploads {
    #[serde(rename = "key-marker")]
    key_marker: Option<String>,
    #[serde(rename = "upload-id-marker")]
    upload_marker: Option<String>,
}

pub(super) fn uploads(cx: &mut Cx<'_>, input: OfUploads, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let request = request(call, "max-uploads")?;
    let marker = input.key_marker.unwrap_or_default();
    // An upload marker means something only together with its key.
    let id_marker = input.upload_marker.filter(|id| !id.is_empty() && !marker.is_empty());
    let from = match &id_marker {
        Some(id) if marker >= request.query.prefix => Begin::Behind(marker.clone(), id.clone()),
        Some(_) | None => listing::start(&request.query.prefix, &marker),
    };
    let mut source = Uploads { tx: cx.tx, bucket: &bucket.name };
    let page = listing::list(&mut source, &request.query, &marker, from)?;
    let next_key = last_shown(&page, |(key, _, _)| key).filter(|_| page.truncated);
    let next_id = page.items.last().filter(|_| page.truncated && page.ends_in_prefix.is_none());
    let shown = page.items.iter().map(|(key, id, upload)| {
        let account = bucket.record.account.as_str();
        let algorithm = upload.algorithm().known();
        let kind = if upload.composite { "COMPOSITE" } else { "FULL_OBJECT" };
        Element::new()
            .text("Key", request.text(key))
            .text("UploadId", id)
            .child("Initiator", owner(account))
            .child("Owner", owner(account))
            .text("StorageClass", STORAGE_CLASS)
            .text("Initiated", time::iso8601(Time::from_ms(upload.initiated_ms)))
            .text_opt("ChecksumAlgorithm", algorithm.map(|algorithm| algorithm.name()))
            .text_opt("ChecksumType", algorithm.map(|_| kind))
    });
    let optional = |text: Option<&dyn Display>| text.map(|text| text.to_string()).unwrap_or_default();
    let element = Element::new()
        .text("Bucket", &bucket.name)
        .text("KeyMarker", request.text(&marker))
        .text("UploadIdMarker", optional(id_marker.as_ref().map(|id| id as &dyn Display)))
        .text_opt("NextKeyMarker", next_key.map(|key| request.text(&key)))
        .text_opt("NextUploadIdMarker", next_id.map(|(_, id, _)| id))
        .text("Prefix", request.text(&request.query.prefix))
        .text_opt("Delimiter", request.delimiter.as_ref().map(|text| request.text(text)))
        .text("MaxUploads", request.query.max)
        .text("IsTruncated", page.truncated)
        .each("Upload", shown);
    Ok(request.common(element, &page.prefixes).reply("ListMultipartUploadsResult"))
}
