//! Keeps a deployment package: fetched, checked, and on disk under the name of its content.

use crate::cloud::Cloud;
use crate::images;
use base64::Engine as _;
use futures_util::TryStreamExt as _;
use mayfly_kernel::Fault;
use mayfly_kernel::function::PackageDigest;
use mayfly_runtime::{PackageError, inspect_package};
use mayfly_services::operation::{Package, PackageSource, Piece};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::sync::RwLockReadGuard;

/// An archive is written before its content, and with it its name, is known.
const UNNAMED: &str = "package-unnamed";
/// So much of an archive that is in memory is taken at once.
const PART_BYTES: usize = 512 * 1024;

/// The blob of a package.
pub(crate) fn blob_id(digest: &PackageDigest) -> String {
    format!("package-{}", digest.0)
}

/// A package, and the promise that nobody deletes its bytes before something holds them.
pub(super) struct Staged<'a> {
    pub(super) package: Option<Package>,
    _kept: RwLockReadGuard<'a, ()>,
}

pub(super) async fn stage(cloud: &Arc<Cloud>, source: Option<PackageSource>) -> Result<Staged<'_>, Fault> {
    // Another registry takes its time to answer, and whoever waits for the lock shall not wait for that.
    let (mut package, archive) = match source {
        Some(PackageSource::Image(image)) => (Some(images::resolve(cloud, *image).await?), None),
        archive => (None, archive),
    };
    let _kept = cloud.packages.read().await;
    if let Some(archive) = archive {
        package = Some(inspected(cloud, archive).await?);
    }
    Ok(Staged { package, _kept })
}

/// Checks the archive and keeps it. The same bytes are kept once, whoever sends them.
async fn inspected(cloud: &Arc<Cloud>, source: PackageSource) -> Result<Package, Fault> {
    let limits = cloud.runner.limits().clone();
    let (pieces, size, limit) = match source {
        PackageSource::Zip(bytes) => {
            let size = bytes.len() as u64;
            (vec![Piece::Inline(bytes)], size, limits.package_zip_bytes)
        }
        PackageSource::Stored { pieces, size } => (pieces, size, limits.package_unpacked_bytes),
        PackageSource::Image(_) => return Err(Fault::internal("stage a package", "an image has no archive")),
    };
    if size > limit {
        return Err(too_large(limit));
    }
    let sha256 = keep(cloud, pieces, |hex| Ok(blob_id(&PackageDigest(hex.to_owned())))).await?;
    let digest = PackageDigest(hex(&sha256));
    let path = cloud
        .blobs
        .path(&blob_id(&digest))
        .ok_or_else(|| Fault::internal("stage a package", "blobs are not local"))?;
    let inspected = tokio::task::spawn_blocking(move || inspect_package(&path, &limits)).await;
    let inspected = inspected.map_err(|e| Fault::internal("inspect a package", e))?;
    let info = inspected.map_err(|error| refused(&error))?;
    let sha256_base64 = base64::engine::general_purpose::STANDARD.encode(sha256);
    Ok(Package { digest, sha256_base64, size, unpacked_bytes: info.unpacked_bytes, image: None })
}

fn hex(sha256: &[u8]) -> String {
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn too_large(limit: u64) -> Fault {
    let text = format!("Request must be smaller than {limit} bytes for the CreateFunction operation");
    Fault::new(413, "RequestEntityTooLargeException", text)
}

fn refused(error: &PackageError) -> Fault {
    Fault::new(400, "InvalidParameterValueException", error.to_string()).with_field("Type", "User")
}

/// Writes the pieces to the disk one by one, so that their size costs no memory, as the blob that `name`
/// makes of the hexadecimal digest of the whole; the digest.
pub(super) async fn keep(
    cloud: &Cloud,
    pieces: Vec<Piece>,
    name: impl FnOnce(&str) -> Result<String, Fault>,
) -> Result<[u8; 32], Fault> {
    let failed = |error: mayfly_store::Error| Fault::unavailable("keep a package", error);
    let mut sha256 = Sha256::new();
    let mut writer = cloud.blobs.create(UNNAMED).await;
    for piece in pieces {
        match piece {
            Piece::Inline(mut bytes) => {
                while !bytes.is_empty() {
                    let part = bytes.split_to(bytes.len().min(PART_BYTES));
                    sha256.update(&part);
                    writer.write(part).await.map_err(failed)?;
                }
            }
            Piece::Blob { id, range } => {
                let broken = |error: std::io::Error| Fault::internal("read a package", error);
                let mut stream = Box::pin(cloud.blobs.read(&id, range).await?);
                while let Some(part) = stream.try_next().await.map_err(broken)? {
                    sha256.update(&part);
                    writer.write(part).await.map_err(failed)?;
                }
            }
        }
    }
    let sha256: [u8; 32] = sha256.finalize().into();
    writer.named(&name(&hex(&sha256))?).finish().await.map_err(failed)?;
    Ok(sha256)
}
