//! Images as the AWS API tells of them: PutImage, ListImages, DescribeImages, BatchGetImage,
//! BatchDeleteImage, BatchCheckLayerAvailability.

use super::bus_events::{self, Action};
use super::keys::{LAYERS, MANIFESTS};
use super::model::Manifest;
use super::repositories::{self, Open, page_size};
use super::{faults, names, registry};
use crate::{Cx, paging};
use bytes::Bytes;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::checksum::sha256_hex;
use serde::{Deserialize, Serialize};

const BATCH: usize = 100;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    image_digest: Option<String>,
    image_tag: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    registry_id: String,
    repository_name: String,
    image_id: ImageId,
    image_manifest: String,
    image_manifest_media_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    image_id: ImageId,
    failure_code: &'static str,
    failure_reason: &'static str,
}

fn failure(image_id: ImageId, (failure_code, failure_reason): Why) -> Failure {
    Failure { image_id, failure_code, failure_reason }
}

/// A failure's code and reason.
type Why = (&'static str, &'static str);

const MISSING: Why = ("ImageNotFound", "Requested image not found");
const NEITHER: Why =
    ("MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null");
const DIFFERENT: Why = ("ImageTagDoesNotMatchDigest", "Image tag does not match image digest");
const BAD_DIGEST: Why = ("InvalidImageDigest", "Invalid request parameters: image digest");
const REFERENCED: Why = ("ImageReferencedByManifestList", "Requested image is referenced by a manifest list");

fn check_ids(ids: &[ImageId]) -> Result<(), Fault> {
    if !(1..=BATCH).contains(&ids.len()) {
        return Err(faults::invalid("imageIds", "must have length between 1 and 100"));
    }
    let long = |tag: &String| !(1..=300).contains(&tag.len());
    match ids.iter().any(|id| id.image_tag.as_ref().is_some_and(long)) {
        true => Err(faults::invalid("imageIds.imageTag", "must have length between 1 and 300")),
        false => Ok(()),
    }
}

/// The digest that an id means, or why it means none.
fn digest_of(cx: &Cx<'_>, uid: &str, id: &ImageId) -> Result<Result<String, Why>, Fault> {
    Ok(match (&id.image_digest, &id.image_tag) {
        (None, None) => Err(NEITHER),
        (Some(digest), _) if !names::is_digest(digest) => Err(BAD_DIGEST),
        (Some(digest), None) => Ok(digest.clone()),
        (digest, Some(tag)) => match (registry::digest_of(cx, uid, tag)?, digest) {
            (None, _) => Err(MISSING),
            (Some(found), Some(wanted)) if found != *wanted => Err(DIFFERENT),
            (Some(found), _) => Ok(found),
        },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    registry_id: Option<String>,
    repository_name: String,
    image_manifest: String,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Serialize)]
pub(super) struct PutDone {
    image: Image,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<PutDone, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    let limit = cx.limits.registry_manifest_bytes;
    if input.image_manifest.is_empty() || input.image_manifest.len() as u64 > limit {
        return Err(faults::invalid("imageManifest", format_args!("must have length between 1 and {limit}")));
    }
    let (body, tag) = (Bytes::from(input.image_manifest), input.image_tag);
    if tag.as_ref().is_some_and(|tag| !names::is_tag(tag)) {
        return Err(faults::invalid(
            "imageTag",
            "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'",
        ));
    }
    let digest = format!("sha256:{}", sha256_hex(&body));
    if input.image_digest.as_ref().is_some_and(|wanted| *wanted != digest) {
        let text =
            "The specified image digest does not match the digest that Amazon ECR calculated for the image.";
        return Err(Fault::new(400, "ImageDigestDoesNotMatchException", text));
    }
    let known = MANIFESTS.get(cx.tx, &(open.row.uid.as_str(), digest.as_str()))?;
    let tagged = |row: &Manifest| tag.as_ref().is_none_or(|tag| row.tags.contains(tag));
    if known.as_ref().is_some_and(tagged) {
        let text =
            format!("Image with digest '{digest}' and tag '{}' already exists", tag.unwrap_or_default());
        return Err(Fault::new(400, "ImageAlreadyExistsException", text));
    }
    let media_type = input.image_manifest_media_type.unwrap_or_default();
    registry::store(cx, &open, tag.as_deref(), &media_type, &body, &digest).map_err(faults::of_the_api)?;
    let id = ImageId { image_digest: Some(digest.clone()), image_tag: tag };
    let row = MANIFESTS.get(cx.tx, &(open.row.uid.as_str(), digest.as_str()))?.unwrap_or_default();
    Ok(PutDone { image: image(cx, &open, id, row) })
}

fn image(cx: &Cx<'_>, open: &Open, image_id: ImageId, row: Manifest) -> Image {
    Image {
        registry_id: cx.caller.account.clone(),
        repository_name: open.name.clone(),
        image_id,
        // Only JSON is ever kept.
        image_manifest: String::from_utf8_lossy(&row.body).into_owned(),
        image_manifest_media_type: row.media_type,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    registry_id: Option<String>,
    repository_name: String,
    next_token: Option<String>,
    max_results: Option<i64>,
    filter: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    tag_status: Option<String>,
}

impl Filter {
    fn admits(filter: Option<&Filter>, tagged: bool) -> Result<bool, Fault> {
        match filter.and_then(|filter| filter.tag_status.as_deref()) {
            None | Some("ANY") => Ok(true),
            Some("TAGGED") => Ok(tagged),
            Some("UNTAGGED") => Ok(!tagged),
            Some(_) => Err(faults::invalid("filter.tagStatus", "must be one of TAGGED, UNTAGGED, ANY")),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    image_ids: Vec<ImageId>,
    next_token: Option<String>,
}

/// Manifests by their digests, and the token for the next ones.
type Page = (Vec<(String, Manifest)>, Option<String>);

fn page(cx: &Cx<'_>, open: &Open, token: Option<&str>, limit: usize) -> Result<Page, Fault> {
    let uid = open.row.uid.as_str();
    let mut scan = Scan::prefix(&(uid,), limit + 1);
    if let Some(token) = token {
        scan = scan.after(&(uid, token));
    }
    let rows = MANIFESTS.scan(cx.tx, scan)?.into_iter().map(|((_, digest), row)| (digest, row)).collect();
    Ok(paging::cut(rows, limit, |(digest, _)| digest.clone()))
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    let (tagged, untagged) =
        (Filter::admits(input.filter.as_ref(), true)?, Filter::admits(input.filter.as_ref(), false)?);
    let (rows, next_token) = page(cx, &open, input.next_token.as_deref(), page_size(input.max_results)?)?;
    let mut image_ids = Vec::new();
    for (digest, row) in rows {
        let id = |image_tag| ImageId { image_digest: Some(digest.clone()), image_tag };
        match row.tags.is_empty() {
            true if untagged => image_ids.push(id(None)),
            false if tagged => image_ids.extend(row.tags.into_iter().map(|tag| id(Some(tag)))),
            _ => {}
        }
    }
    Ok(Listed { image_ids, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Option<Vec<ImageId>>,
    next_token: Option<String>,
    max_results: Option<i64>,
    filter: Option<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    registry_id: String,
    repository_name: String,
    image_digest: String,
    image_tags: Option<Vec<String>>,
    image_size_in_bytes: u64,
    #[serde(with = "mayfly_wire::with::epoch_seconds")]
    image_pushed_at: Time,
    image_manifest_media_type: String,
    artifact_media_type: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    image_details: Vec<Detail>,
    next_token: Option<String>,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    let limit = page_size(input.max_results)?;
    let (mut rows, mut next_token) = (Vec::new(), None);
    match &input.image_ids {
        None => (rows, next_token) = page(cx, &open, input.next_token.as_deref(), limit)?,
        Some(ids) => {
            check_ids(ids)?;
            for id in ids {
                let (digest, tag) = (id.image_digest.as_deref(), id.image_tag.as_deref());
                let missing = || faults::no_image(digest, tag, &open.name, &cx.caller.account);
                let digest = match digest_of(cx, &open.row.uid, id)? {
                    Ok(digest) => digest,
                    Err(NEITHER | BAD_DIGEST) => return Err(faults::invalid("imageIds", "must name images")),
                    Err(_) => return Err(missing()),
                };
                let row = MANIFESTS.get(cx.tx, &(open.row.uid.as_str(), digest.as_str()))?;
                rows.push((digest, row.ok_or_else(missing)?));
            }
        }
    }
    let mut image_details = Vec::new();
    for (image_digest, row) in rows {
        if Filter::admits(input.filter.as_ref(), !row.tags.is_empty())? {
            image_details.push(Detail {
                registry_id: cx.caller.account.clone(),
                repository_name: open.name.clone(),
                image_digest,
                image_tags: (!row.tags.is_empty()).then_some(row.tags),
                image_size_in_bytes: row.size,
                image_pushed_at: Time::from_ms(row.pushed_ms),
                image_manifest_media_type: row.media_type,
                artifact_media_type: (!row.artifact_type.is_empty()).then_some(row.artifact_type),
            });
        }
    }
    Ok(Described { image_details, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Vec<ImageId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchGet {
    registry_id: Option<String>,
    repository_name: String,
    image_ids: Vec<ImageId>,
    accepted_media_types: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Images {
    images: Vec<Image>,
    failures: Vec<Failure>,
}

/// Every image in the form in which it was pushed, whatever forms the caller would accept.
pub(super) fn batch_get(cx: &mut Cx<'_>, input: BatchGet) -> Result<Images, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    if input.accepted_media_types.is_some_and(|types| !(1..=BATCH).contains(&types.len())) {
        return Err(faults::invalid("acceptedMediaTypes", "must have length between 1 and 100"));
    }
    check_ids(&input.image_ids)?;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids {
        let digest = match digest_of(cx, &open.row.uid, &id)? {
            Ok(digest) => digest,
            Err(why) => {
                failures.push(failure(id, why));
                continue;
            }
        };
        match MANIFESTS.get(cx.tx, &(open.row.uid.as_str(), digest.as_str()))? {
            Some(row) => {
                let id = ImageId { image_digest: Some(digest), ..id };
                images.push(image(cx, &open, id, row));
            }
            None => failures.push(failure(id, MISSING)),
        }
    }
    Ok(Images { images, failures })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deleted {
    image_ids: Vec<ImageId>,
    failures: Vec<Failure>,
}

/// With a tag alone only that goes, and the image with its last tag; with a digest the image goes with all
/// its tags.
pub(super) fn batch_delete(cx: &mut Cx<'_>, input: Batch) -> Result<Deleted, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    check_ids(&input.image_ids)?;
    let uid = open.row.uid.as_str();
    let (mut image_ids, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids {
        let digest = match digest_of(cx, uid, &id)? {
            Ok(digest) => digest,
            Err(why) => {
                failures.push(failure(id, why));
                continue;
            }
        };
        let Some(row) = MANIFESTS.get(cx.tx, &(uid, digest.as_str()))? else {
            failures.push(failure(id, MISSING));
            continue;
        };
        let whole = id.image_digest.is_some() || row.tags.len() <= 1;
        if whole && is_referenced(cx, uid, &digest)? {
            failures.push(failure(id, REFERENCED));
            continue;
        }
        let image_digest = Some(digest.clone());
        match (&id.image_tag, whole) {
            (Some(tag), false) => {
                registry::untag(cx, uid, tag)?;
                image_ids.push(ImageId { image_digest, image_tag: Some(tag.clone()) });
            }
            _ => {
                registry::remove(cx, uid, &digest)?;
                let tags: Vec<Option<String>> = match row.tags.is_empty() {
                    true => vec![None],
                    false => row.tags.into_iter().map(Some).collect(),
                };
                let gone = |image_tag| ImageId { image_digest: image_digest.clone(), image_tag };
                image_ids.extend(tags.into_iter().map(gone));
            }
        }
    }
    for id in &image_ids {
        let digest = id.image_digest.as_deref().unwrap_or_default();
        bus_events::tell(cx, &open, Action::Delete, digest, id.image_tag.as_deref())?;
    }
    Ok(Deleted { image_ids, failures })
}

/// Whether an index of the repository names this manifest.
fn is_referenced(cx: &Cx<'_>, uid: &str, digest: &str) -> Result<bool, Fault> {
    let mut scan = Scan::prefix(&(uid,), BATCH);
    loop {
        let rows = MANIFESTS.scan(cx.tx, scan)?;
        if rows.iter().any(|(_, row)| row.manifests.iter().any(|child| child == digest)) {
            return Ok(true);
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => scan = Scan::prefix(&(uid,), BATCH).after(key),
            _ => return Ok(false),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckLayers {
    registry_id: Option<String>,
    repository_name: String,
    layer_digests: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerState {
    layer_digest: String,
    layer_availability: &'static str,
    layer_size: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerFailure {
    layer_digest: String,
    failure_code: &'static str,
    failure_reason: &'static str,
}

#[derive(Serialize)]
pub(super) struct LayerStates {
    layers: Vec<LayerState>,
    failures: Vec<LayerFailure>,
}

pub(super) fn check_layers(cx: &mut Cx<'_>, input: CheckLayers) -> Result<LayerStates, Fault> {
    let open = repositories::open(cx, &input.repository_name, input.registry_id.as_deref())?;
    if !(1..=BATCH).contains(&input.layer_digests.len()) {
        return Err(faults::invalid("layerDigests", "must have length between 1 and 100"));
    }
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for layer_digest in input.layer_digests {
        if layer_digest.len() > 1000 {
            return Err(faults::invalid("layerDigests", "must have length less than or equal to 1000"));
        }
        if !names::is_digest(&layer_digest) {
            let (failure_code, failure_reason) = ("InvalidLayerDigest", "Invalid layer digest");
            failures.push(LayerFailure { layer_digest, failure_code, failure_reason });
            continue;
        }
        let row = LAYERS.get(cx.tx, &(open.row.uid.as_str(), layer_digest.as_str()))?;
        let layer_availability = if row.is_some() { "AVAILABLE" } else { "UNAVAILABLE" };
        layers.push(LayerState { layer_digest, layer_availability, layer_size: row.map(|row| row.size) });
    }
    Ok(LayerStates { layers, failures })
}
