//! Keeps a deployment package: fetched, checked, and on disk under the name of its content.

use crate::cloud::Cloud;
use base64::Engine as _;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use mayfly_kernel::Fault;
use mayfly_kernel::function::PackageDigest;
use mayfly_runtime::{PackageError, inspect_package};
use mayfly_services::operation::{Package, PackageSource, Piece};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The blob of a package.
pub(crate) fn blob_id(digest: &PackageDigest) -> String {
    format!("package-{}", digest.0)
}

/// Checks the archive and keeps it. The same bytes are kept once, whoever sends them.
pub(super) async fn stage(cloud: &Arc<Cloud>, source: PackageSource) -> Result<Package, Fault> {
    let limit = cloud.runner.limits().package_zip_bytes;
    let bytes = match source {
        PackageSource::Zip(bytes) if bytes.len() as u64 > limit => return Err(too_large(limit)),
        PackageSource::Zip(bytes) => bytes,
        PackageSource::Stored { size, .. } if size > cloud.runner.limits().package_unpacked_bytes => {
            return Err(too_large(cloud.runner.limits().package_unpacked_bytes));
        }
        PackageSource::Stored { pieces, .. } => fetch(cloud, pieces).await?,
    };
    let sha256 = Sha256::digest(&bytes);
    let digest = PackageDigest(sha256.iter().map(|byte| format!("{byte:02x}")).collect());
    let size = bytes.len() as u64;
    let id = blob_id(&digest);
    keep(cloud, &id, bytes).await?;
    let path =
        cloud.blobs.path(&id).ok_or_else(|| Fault::internal("stage a package", "blobs are not local"))?;
    let limits = cloud.runner.limits().clone();
    let inspected = tokio::task::spawn_blocking(move || inspect_package(&path, &limits)).await;
    let inspected = inspected.map_err(|e| Fault::internal("inspect a package", e))?;
    let info = inspected.map_err(|error| refused(&error))?;
    let sha256_base64 = base64::engine::general_purpose::STANDARD.encode(sha256);
    Ok(Package { digest, sha256_base64, size, unpacked_bytes: info.unpacked_bytes })
}

fn too_large(limit: u64) -> Fault {
    let text = format!("Request must be smaller than {limit} bytes for the CreateFunction operation");
    Fault::new(413, "RequestEntityTooLargeException", text)
}

fn refused(error: &PackageError) -> Fault {
    Fault::new(400, "InvalidParameterValueException", error.to_string()).with_field("Type", "User")
}

async fn fetch(cloud: &Cloud, pieces: Vec<Piece>) -> Result<Bytes, Fault> {
    let mut gathered = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Inline(bytes) => gathered.extend_from_slice(&bytes),
            Piece::Blob { id, range } => {
                let broken = |error: std::io::Error| Fault::internal("read a package", error);
                let mut stream = Box::pin(cloud.blobs.read(&id, range).await?);
                while let Some(bytes) = stream.try_next().await.map_err(broken)? {
                    gathered.extend_from_slice(&bytes);
                }
            }
        }
    }
    Ok(gathered.into())
}

async fn keep(cloud: &Cloud, id: &str, bytes: Bytes) -> Result<(), Fault> {
    let failed = |error: mayfly_store::Error| Fault::unavailable("keep a package", error);
    let mut writer = cloud.blobs.create(id).await;
    writer.write(bytes).await.map_err(failed)?;
    writer.finish().await.map_err(failed)?;
    Ok(())
}
