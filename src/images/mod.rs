//! Container images for functions: what a reference means, and an image's layers brought here.
//!
//! An image is resolved while the call that names it waits: its manifest and configuration are read, from our
//! own registry's rows or from another registry, and the call fails if they are not to be had. The layers
//! come afterwards, while the version is pending, and lie under their digests beside those that were pushed.

mod challenge;
mod client;
mod credentials;

pub(crate) use credentials::{Registries, RegistryConfig};

use crate::cloud::Cloud;
use bytes::Bytes;
use client::{NotPulled, Remote};
use futures_util::TryStreamExt as _;
use futures_util::stream;
use mayfly_kernel::Fault;
use mayfly_kernel::function::{Image, ImageLayer, Origin, PackageDigest};
use mayfly_services::ecr::registry::{Descriptor, Document};
use mayfly_services::ecr::{Located, is_digest, layer_blob};
use mayfly_services::lambda::{NotReady, Why};
use mayfly_services::operation::{ImageSource, Package, StagedImage};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Layers of one image that are on their way here at once.
const AT_ONCE: usize = 3;
/// An image's configuration is a short document, whatever its descriptor says.
const CONFIG_BYTES: u64 = 1024 * 1024;

/// The configuration of an image, as far as running it needs.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    config: Option<Container>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bare(digest: &str) -> String {
    digest.trim_start_matches("sha256:").to_owned()
}

/// Reads what an image is.
pub(crate) async fn resolve(cloud: &Arc<Cloud>, source: ImageSource) -> Result<Package, Fault> {
    let refused = |why: &NotPulled| {
        let text = format!("Source image {} {why}. Provide a valid source image.", source.uri);
        match why {
            NotPulled::Denied(_) => Fault::new(403, "AccessDeniedException", text),
            _ => Fault::new(400, "InvalidParameterValueException", text).with_field("Type", "User"),
        }
    };
    let read = match &source.found {
        Some(found) => {
            let document = Document::parse(&found.body)?;
            own_config(cloud, &document).await.map(|config| (bare(&found.digest), document, config))
        }
        None => elsewhere(cloud, &source).await,
    };
    let (digest, document, config) = read.map_err(|why| refused(&why))?;
    let image = staged(&source, &digest, &document, &config).map_err(|why| refused(&why))?;
    // Lambda's CodeSha256 of an image is the digest as it stands, and its CodeSize is nothing.
    let sha256_base64 = digest.clone();
    Ok(Package {
        digest: PackageDigest(digest),
        sha256_base64,
        size: 0,
        unpacked_bytes: 0,
        image: Some(Box::new(image)),
    })
}

async fn own_config(cloud: &Cloud, document: &Document) -> Result<Bytes, NotPulled> {
    let config = config_of(document)?;
    let bytes = cloud.blobs.read_all(&layer_blob(&config.digest)).await;
    bytes.map_err(|error| NotPulled::Invalid(error.to_string()))
}

fn config_of(document: &Document) -> Result<&Descriptor, NotPulled> {
    match &document.config {
        Some(config) if config.size <= CONFIG_BYTES => Ok(config),
        Some(_) => Err(NotPulled::Invalid("its configuration is too long".into())),
        None => Err(NotPulled::Invalid("it has no configuration".into())),
    }
}

async fn elsewhere(cloud: &Cloud, source: &ImageSource) -> Result<(String, Document, Bytes), NotPulled> {
    let limits = cloud.runner.limits();
    let Located { registry, repository, reference } = &source.located;
    let remote = remote(cloud, registry.as_deref().unwrap_or_default(), repository).await?;
    let invalid = |fault: Fault| NotPulled::Invalid(fault.message);
    let mut body = remote.manifest(reference, limits.registry_manifest_bytes).await?;
    let mut document = Document::parse(&body).map_err(invalid)?;
    if !document.manifests.is_empty() {
        let wanted = document.for_platform(source.architecture);
        let wanted =
            wanted.ok_or_else(|| NotPulled::Invalid(no_platform(source.architecture)))?.digest.clone();
        body = remote.manifest(&wanted, limits.registry_manifest_bytes).await?;
        document = Document::parse(&body).map_err(invalid)?;
    }
    let config = config_of(&document)?;
    let bytes = remote.blob(&config.digest, config.size).await?;
    Ok((hex(&body), document, bytes))
}

pub(crate) fn no_platform(architecture: &str) -> String {
    format!("it has nothing for linux/{architecture}")
}

fn staged(
    source: &ImageSource,
    digest: &str,
    document: &Document,
    config: &[u8],
) -> Result<StagedImage, NotPulled> {
    let invalid =
        |error: serde_json::Error| NotPulled::Invalid(format!("its configuration is broken: {error}"));
    let config: ConfigFile = serde_json::from_slice(config).map_err(invalid)?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != document.layers.len() || !diff_ids.iter().all(|id| is_digest(id)) {
        return Err(NotPulled::Invalid("its configuration is not that of its layers".into()));
    }
    let layer = |(layer, diff_id): (&Descriptor, String)| ImageLayer {
        digest: bare(&layer.digest),
        diff_id: bare(&diff_id),
        size: layer.size,
    };
    let container = config.config.unwrap_or_default();
    let Located { registry, repository, .. } = &source.located;
    let name = source.uri.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    Ok(StagedImage {
        uri: source.uri.clone(),
        resolved: format!("{name}@sha256:{digest}"),
        layers: document.layers.iter().zip(diff_ids).map(layer).collect(),
        entry_point: container.entrypoint.unwrap_or_default(),
        command: container.cmd.unwrap_or_default(),
        environment: container.env.unwrap_or_default(),
        working_directory: container.working_dir.unwrap_or_default(),
        origin: registry.clone().map(|registry| Origin { registry, repository: repository.clone() }),
    })
}

async fn remote(cloud: &Cloud, registry: &str, repository: &str) -> Result<Remote, NotPulled> {
    Remote::new(&cloud.trust, &cloud.registries, registry, repository).await
}

/// Brings those layers here that are not here yet.
pub(crate) async fn fetch(cloud: &Arc<Cloud>, image: &Image) -> Result<(), NotReady> {
    let missing = |layer: &&ImageLayer| cloud.blobs.path(&layer_blob(&layer.digest)).is_none();
    let missing: Vec<&ImageLayer> = image.layers.iter().filter(missing).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let Some(origin) = &image.origin else {
        let reason = format!("The layer sha256:{} is gone from the registry", first.digest);
        return Err(NotReady { why: Why::ImageDeleted, reason });
    };
    let within = Duration::from_secs(cloud.runner.limits().image_pull_seconds);
    let pulled = tokio::time::timeout(within, pull(cloud, origin, &missing)).await;
    pulled.unwrap_or_else(|_| {
        let reason = format!("The image did not come within {} s (image_pull_seconds)", within.as_secs());
        Err(NotReady { why: Why::Internal, reason })
    })
}

async fn pull(cloud: &Arc<Cloud>, origin: &Origin, layers: &[&ImageLayer]) -> Result<(), NotReady> {
    let limit = cloud.runner.limits().registry_layer_bytes;
    if layers.iter().any(|layer| layer.size > limit) {
        return Err(format!("A layer of the image has more than {limit} bytes (registry_layer_bytes)").into());
    }
    let Origin { registry, repository } = origin;
    let whole = format!("The image {registry}/{repository}");
    let remote = &remote(cloud, registry, repository).await.map_err(|why| why.of_layer(&whole))?;
    let layers = stream::iter(layers.iter().map(Ok));
    let pull = layers.try_for_each_concurrent(AT_ONCE, |layer| async move {
        let digest = format!("sha256:{}", layer.digest);
        let writer = cloud.blobs.create(&layer_blob(&layer.digest)).await;
        let pulled = remote.keep(&digest, layer.size, writer).await;
        let about = format!("The layer {digest} of {registry}/{repository}");
        pulled.map_err(|why| why.of_layer(&about))
    });
    pull.await
}
