//! The registry as the OCI distribution protocol has it (specification v1.1): manifests, tags and blobs.
//!
//! The HTTP is the gateway's, and so are the bytes of blobs; each function here is the transaction of one
//! request. Faults carry the protocol's own codes.

use super::bus_events::{self, Action};
use super::keys::{LAYERS, MANIFESTS, REPOSITORIES, TAGS};
use super::model::{Layer, Manifest, Tag, layer_blob};
use super::repositories::Open;
use super::{faults, names, uploads};
use crate::{Cx, blobs, paging};
use bytes::Bytes;
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use mayfly_wire::checksum::sha256_hex;
use serde::Deserialize;
use std::collections::BTreeMap;

pub use super::uploads::{Finished, Pending, append, begin, cancel, finish, mount, pending};

/// Tags on one page, if the client does not say.
const TAGS_PER_PAGE: usize = 1000;

/// What a client gets for a tag or a digest.
#[derive(Clone, Debug)]
pub struct Found {
    pub digest: String,
    pub media_type: String,
    pub body: Bytes,
}

/// A manifest of an image or of several, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// What a manifest says of something else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

impl Document {
    pub fn parse(body: &[u8]) -> Result<Document, Fault> {
        let document: Document = serde_json::from_slice(body).map_err(faults::manifest_invalid)?;
        if document.schema_version != 2 {
            return Err(faults::manifest_invalid("the schema version must be 2"));
        }
        let named = document.config.iter().chain(&document.layers).chain(&document.manifests);
        match named.into_iter().find(|named| !names::is_digest(&named.digest)) {
            Some(bad) => {
                Err(faults::manifest_invalid(format_args!("{} is not a SHA-256 digest", bad.digest)))
            }
            None => Ok(document),
        }
    }

    /// Of the manifests of an index, the one for this architecture in the words of images (`amd64`).
    pub fn for_platform(&self, architecture: &str) -> Option<&Descriptor> {
        let fits = |platform: &Platform| platform.os == "linux" && platform.architecture == architecture;
        self.manifests.iter().find(|one| one.platform.as_ref().is_some_and(fits))
    }
}

/// Layers that everybody gets from somewhere else.
fn is_foreign(descriptor: &Descriptor) -> bool {
    descriptor.media_type.contains("foreign") || descriptor.media_type.contains("nondistributable")
}

pub(super) fn open(cx: &mut Cx<'_>, name: &str) -> Result<Open, Fault> {
    let resource = cx.arn("ecr", format!("repository/{name}"));
    cx.allow(&resource)?;
    if !names::is_repository(name) {
        return Err(faults::name_invalid(name));
    }
    let key = (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned());
    match REPOSITORIES.get(cx.tx, &key)? {
        Some(row) => Ok(Open { name: name.into(), key, row }),
        None => Err(faults::name_unknown(name, &cx.caller.account)),
    }
}

/// The digest that a tag stands for, or the digest itself; `None` if there is no such tag.
pub(super) fn digest_of(cx: &Cx<'_>, uid: &str, reference: &str) -> Result<Option<String>, Fault> {
    if names::is_digest(reference) {
        return Ok(Some(reference.to_owned()));
    }
    Ok(TAGS.get(cx.tx, &(uid, reference))?.map(|tag| tag.digest))
}

/// The manifest under a tag or digest.
pub fn manifest(cx: &mut Cx<'_>, name: &str, reference: &str) -> Result<Found, Fault> {
    let open = open(cx, name)?;
    let unknown = || faults::manifest_unknown(reference);
    let digest = digest_of(cx, &open.row.uid, reference)?.ok_or_else(unknown)?;
    let row = MANIFESTS.get(cx.tx, &(&open.row.uid, &digest))?.ok_or_else(unknown)?;
    Ok(Found { digest, media_type: row.media_type, body: row.body })
}

/// The manifest of an image for this architecture, under a tag or digest.
pub fn image(cx: &mut Cx<'_>, name: &str, reference: &str, architecture: &str) -> Result<Found, Fault> {
    let found = manifest(cx, name, reference)?;
    let document = Document::parse(&found.body)?;
    if document.manifests.is_empty() {
        return Ok(found);
    }
    let missing = || faults::manifest_unknown(&format!("{reference} for linux/{architecture}"));
    let wanted = document.for_platform(architecture).ok_or_else(missing)?;
    manifest(cx, name, &wanted.digest)
}

/// Keeps a manifest whose layers are there, under its digest and perhaps a tag; its digest.
pub fn put_manifest(
    cx: &mut Cx<'_>,
    name: &str,
    reference: &str,
    media_type: &str,
    body: &Bytes,
) -> Result<String, Fault> {
    let open = open(cx, name)?;
    let digest = format!("sha256:{}", sha256_hex(body));
    let tag = match names::is_digest(reference) {
        true if reference != digest => return Err(faults::digest_invalid(&digest)),
        true => None,
        false if names::is_tag(reference) => Some(reference),
        false => return Err(faults::manifest_invalid(format_args!("'{reference}' is no tag"))),
    };
    store(cx, &open, tag, media_type, body, &digest)?;
    Ok(digest)
}

/// A manifest that is there already gets the tag alone.
pub(super) fn store(
    cx: &mut Cx<'_>,
    open: &Open,
    tag: Option<&str>,
    media_type: &str,
    body: &Bytes,
    digest: &str,
) -> Result<(), Fault> {
    let uid = &open.row.uid;
    let known = MANIFESTS.get(cx.tx, &(uid.as_str(), digest))?;
    let mut row = match known {
        Some(row) => row,
        None => checked(cx, uid, media_type, body)?,
    };
    if let Some(tag) = tag {
        retag(cx, open, tag, digest)?;
        if !row.tags.iter().any(|own| own == tag) {
            row.tags.push(tag.to_owned());
        }
    }
    MANIFESTS.put(cx.tx, &(uid.as_str(), digest), &row);
    bus_events::tell(cx, open, Action::Push, digest, tag)
}

/// A new manifest's row, after it has been counted as a user of what it names.
fn checked(cx: &mut Cx<'_>, uid: &str, media_type: &str, body: &Bytes) -> Result<Manifest, Fault> {
    let document = Document::parse(body)?;
    let own = document.media_type.as_deref();
    let media_type = match (media_type, own) {
        ("", Some(own)) => own,
        ("", None) => return Err(faults::manifest_invalid("it has no media type")),
        (given, Some(own)) if given != own => {
            return Err(faults::manifest_invalid(format_args!("it is sent as {given} and says {own}")));
        }
        (given, _) => given,
    };
    if document.config.is_none() && document.layers.is_empty() && document.manifests.is_empty() {
        return Err(faults::manifest_invalid("it names nothing"));
    }
    let named = document.config.iter().chain(&document.layers).filter(|named| !is_foreign(named));
    let sizes: BTreeMap<&str, u64> = named.map(|named| (named.digest.as_str(), named.size)).collect();
    for (digest, size) in &sizes {
        let layer = LAYERS.get(cx.tx, &(uid, *digest))?;
        let layer = layer.ok_or_else(|| faults::manifest_blob_unknown(digest))?;
        if layer.size != *size {
            return Err(faults::manifest_invalid(format_args!("{digest} has {} bytes", layer.size)));
        }
        LAYERS.put(cx.tx, &(uid, *digest), &Layer { users: layer.users + 1, ..layer });
    }
    for child in &document.manifests {
        if !MANIFESTS.contains(cx.tx, &(uid, child.digest.as_str()))? {
            return Err(faults::manifest_unknown(&child.digest));
        }
    }
    let config_type = document.config.as_ref().map(|config| config.media_type.clone());
    Ok(Manifest {
        media_type: media_type.to_owned(),
        body: body.clone(),
        pushed_ms: cx.now.ms(),
        artifact_type: document.artifact_type.or(config_type).unwrap_or_default(),
        size: sizes.values().sum(),
        layers: sizes.into_keys().map(str::to_owned).collect(),
        manifests: document.manifests.into_iter().map(|child| child.digest).collect(),
        tags: Vec::new(),
    })
}

/// Moves the tag to this digest.
fn retag(cx: &mut Cx<'_>, open: &Open, tag: &str, digest: &str) -> Result<(), Fault> {
    let uid = open.row.uid.as_str();
    match TAGS.get(cx.tx, &(uid, tag))? {
        Some(old) if old.digest == digest => return Ok(()),
        Some(_) if open.row.immutable => return Err(faults::tag_taken(tag, &open.name)),
        Some(old) => forget_tag(cx, uid, tag, &old.digest)?,
        None => {}
    }
    TAGS.put(cx.tx, &(uid, tag), &Tag { digest: digest.to_owned() });
    Ok(())
}

fn forget_tag(cx: &mut Cx<'_>, uid: &str, tag: &str, digest: &str) -> Result<(), Fault> {
    if let Some(mut row) = MANIFESTS.get(cx.tx, &(uid, digest))? {
        row.tags.retain(|own| own != tag);
        MANIFESTS.put(cx.tx, &(uid, digest), &row);
    }
    Ok(())
}

/// Deletes the manifest with a digest, or a tag alone.
pub fn delete_manifest(cx: &mut Cx<'_>, name: &str, reference: &str) -> Result<(), Fault> {
    let open = open(cx, name)?;
    let (digest, tag) = match names::is_digest(reference) {
        true => (remove(cx, &open.row.uid, reference)?.map(|_| reference.to_owned()), None),
        false => (untag(cx, &open.row.uid, reference)?, Some(reference)),
    };
    let digest = digest.ok_or_else(|| faults::manifest_unknown(reference))?;
    bus_events::tell(cx, &open, Action::Delete, &digest, tag)
}

/// Takes a tag away; the digest that it stood for.
pub(super) fn untag(cx: &mut Cx<'_>, uid: &str, tag: &str) -> Result<Option<String>, Fault> {
    let Some(row) = TAGS.get(cx.tx, &(uid, tag))? else { return Ok(None) };
    TAGS.delete(cx.tx, &(uid, tag));
    forget_tag(cx, uid, tag, &row.digest)?;
    Ok(Some(row.digest))
}

/// Deletes a manifest with its tags. Layers that nothing names from now on go when their time is over.
pub(super) fn remove(cx: &mut Cx<'_>, uid: &str, digest: &str) -> Result<Option<Manifest>, Fault> {
    let Some(row) = MANIFESTS.get(cx.tx, &(uid, digest))? else { return Ok(None) };
    MANIFESTS.delete(cx.tx, &(uid, digest));
    for tag in &row.tags {
        TAGS.delete(cx.tx, &(uid, tag.as_str()));
    }
    for named in &row.layers {
        let Some(layer) = LAYERS.get(cx.tx, &(uid, named.as_str()))? else { continue };
        let users = layer.users.saturating_sub(1);
        LAYERS.put(cx.tx, &(uid, named.as_str()), &Layer { users, ..layer });
        if users == 0 {
            uploads::watch(cx, uid, named);
        }
    }
    Ok(Some(row))
}

/// The tags after `last`, and whether there are more.
pub fn tags(
    cx: &mut Cx<'_>,
    name: &str,
    last: Option<&str>,
    count: Option<usize>,
) -> Result<(Vec<String>, bool), Fault> {
    let open = open(cx, name)?;
    let (uid, limit) = (open.row.uid.as_str(), count.unwrap_or(TAGS_PER_PAGE).min(TAGS_PER_PAGE));
    let mut scan = Scan::prefix(&(uid,), limit + 1);
    if let Some(last) = last {
        scan = scan.after(&(uid, last));
    }
    let tags = TAGS.scan(cx.tx, scan)?.into_iter().map(|((_, tag), _)| tag).collect();
    let (tags, next) = paging::cut(tags, limit, |_| ());
    Ok((tags, next.is_some()))
}

/// The names of all repositories after `last`, and whether there are more.
pub fn catalog(
    cx: &mut Cx<'_>,
    last: Option<&str>,
    count: Option<usize>,
) -> Result<(Vec<String>, bool), Fault> {
    let resource = cx.arn("ecr", "repository/*");
    cx.allow(&resource)?;
    let (account, region) = (cx.caller.account.as_str(), cx.caller.region.as_str());
    let limit = count.unwrap_or(TAGS_PER_PAGE).min(TAGS_PER_PAGE);
    let mut scan = Scan::prefix(&(account, region), limit + 1);
    if let Some(last) = last {
        scan = scan.after(&(account, region, last));
    }
    let names = REPOSITORIES.scan(cx.tx, scan)?.into_iter().map(|((.., name), _)| name).collect();
    let (names, next) = paging::cut(names, limit, |_| ());
    Ok((names, next.is_some()))
}

/// The size of a layer or configuration.
pub fn blob(cx: &mut Cx<'_>, name: &str, digest: &str) -> Result<u64, Fault> {
    let open = open(cx, name)?;
    let row = LAYERS.get(cx.tx, &(open.row.uid.as_str(), digest))?;
    row.map(|row| row.size).ok_or_else(|| faults::blob_unknown(digest))
}

/// Deletes a layer that no manifest names.
pub fn delete_blob(cx: &mut Cx<'_>, name: &str, digest: &str) -> Result<(), Fault> {
    let open = open(cx, name)?;
    let key = (open.row.uid.as_str(), digest);
    let row = LAYERS.get(cx.tx, &key)?.ok_or_else(|| faults::blob_unknown(digest))?;
    if row.users > 0 {
        return Err(faults::in_use(digest));
    }
    LAYERS.delete(cx.tx, &key);
    blobs::release(cx, &layer_blob(digest))
}
