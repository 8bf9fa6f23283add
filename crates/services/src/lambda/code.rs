//! Where a function's code comes from, and UpdateFunctionCode.

use super::configuration::{self, Configuration, check_revision, check_sizes};
use super::model::{ImageLayerRow, ImageRow, PackageRef, VersionRow};
use super::{check, faults, lifecycle, lookup, names, versions};
use crate::Cx;
use crate::ecr::{self, registry};
use crate::operation::{ImageSource, Package, PackageSource, StagedImage};
use base64::Engine as _;
use mayfly_kernel::Fault;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::function::ImageLayer;
use mayfly_wire::tree::Unread;
use serde::Deserialize;
use std::time::Duration;

/// The members that say where a package comes from, of functions and of layers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Code {
    zip_file: Option<String>,
    s3_bucket: Option<String>,
    s3_key: Option<String>,
    s3_object_version: Option<String>,
    image_uri: Option<String>,
}

impl Code {
    pub(super) fn source(&self, cx: &mut Cx<'_>) -> Result<PackageSource, Fault> {
        if self.image_uri.is_some() {
            return Err(faults::parameter("An ImageUri is for functions of package type Image."));
        }
        match (&self.zip_file, &self.s3_bucket, &self.s3_key) {
            (Some(zip), None, None) => inline(cx, zip),
            (None, Some(bucket), Some(key)) => {
                check::length(bucket, "s3Bucket", 3, 63)?;
                check::length(key, "s3Key", 1, 1024)?;
                let version = self.s3_object_version.as_deref();
                let (pieces, size) = crate::s3::package(cx, bucket, key, version)?;
                Ok(PackageSource::Stored { pieces, size })
            }
            (Some(_), _, _) => Err(faults::parameter(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            )),
            (None, Some(_), None) => Err(faults::parameter("Please provide an S3Key.")),
            (None, None, _) => Err(faults::parameter("Please provide a source for function code.")),
        }
    }
}

impl Code {
    /// The image for a machine of this architecture.
    pub(super) fn image(&self, cx: &mut Cx<'_>, architecture: &str) -> Result<PackageSource, Fault> {
        let Some(uri) = &self.image_uri else {
            return Err(faults::parameter("Please provide ImageUri for a function of package type Image."));
        };
        if self.zip_file.is_some() || self.s3_bucket.is_some() || self.s3_key.is_some() {
            return Err(faults::parameter(
                "Please do not provide other FunctionCode parameters when providing an ImageUri.",
            ));
        }
        let located = ecr::locate(cx.site, &cx.caller.account, uri).ok_or_else(|| faults::bad_image(uri))?;
        let architecture = if architecture == "arm64" { "arm64" } else { "amd64" };
        let found = match (&located.registry, &cx.caller.principal) {
            (None, _) => {
                let image = registry::image(cx, &located.repository, &located.reference, architecture);
                Some(image.map_err(|fault| faults::no_image(uri, fault))?)
            }
            // What a function names, the server would fetch: a way out that its sandbox does not have.
            (Some(_), Principal::Function(_)) => {
                let text = "Functions may name images of Mayfly's own registry alone.";
                return Err(Fault::new(403, "AccessDeniedException", text));
            }
            (Some(_), Principal::Root | Principal::Service(_) | Principal::Anonymous) => None,
        };
        Ok(PackageSource::Image(Box::new(ImageSource { uri: uri.clone(), located, architecture, found })))
    }
}

fn inline(cx: &Cx<'_>, zip: &str) -> Result<PackageSource, Fault> {
    let limit = cx.limits.package_zip_bytes;
    if (zip.len() as u64) / 4 * 3 > limit + 2 {
        return Err(faults::zip_too_large(limit));
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(zip)
        .map_err(|_| Fault::new(400, "SerializationException", "zipFile is not valid base64"))?;
    match bytes.len() as u64 {
        0 => Err(faults::parameter("Uploaded file must be a non-empty zip")),
        size if size > limit => Err(faults::zip_too_large(limit)),
        _ => Ok(PackageSource::Zip(bytes.into())),
    }
}

impl From<&Package> for PackageRef {
    fn from(package: &Package) -> PackageRef {
        PackageRef {
            digest: package.digest.0.clone(),
            sha256_base64: package.sha256_base64.clone(),
            size: package.size,
            unpacked_bytes: package.unpacked_bytes,
        }
    }
}

/// Where the gateway serves packages; the digest follows.
pub const PACKAGE_PATH: &str = "/_mayfly/packages/";
/// How long a link to a package is good for.
const LINK_LIFETIME: Duration = Duration::from_secs(600);

/// A link from which anyone may load the package's archive for ten minutes.
pub(super) fn link(cx: &Cx<'_>, package: &PackageRef) -> String {
    let path = format!("{PACKAGE_PATH}{}", package.digest);
    let link = cx.site.links.link(&path, cx.now + LINK_LIFETIME);
    format!("{}://{}{link}", cx.site.scheme(), cx.site.authority)
}

/// Puts the code of an operation that always has some into the version.
pub(super) fn install(row: &mut VersionRow, package: Option<&Package>) -> Result<(), Fault> {
    row.package = staged(package)?;
    row.image = package.and_then(|package| package.image.as_deref()).map(ImageRow::from);
    Ok(())
}

impl From<&StagedImage> for ImageRow {
    fn from(image: &StagedImage) -> ImageRow {
        let layer = |layer: &ImageLayer| ImageLayerRow {
            digest: layer.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: layer.size,
        };
        let origin = image.origin.as_ref();
        ImageRow {
            uri: image.uri.clone(),
            resolved: image.resolved.clone(),
            layers: image.layers.iter().map(layer).collect(),
            entry_point: image.entry_point.clone(),
            command: image.command.clone(),
            environment: image.environment.clone(),
            working_directory: image.working_directory.clone(),
            registry: origin.map(|origin| origin.registry.clone()).unwrap_or_default(),
            repository: origin.map(|origin| origin.repository.clone()).unwrap_or_default(),
        }
    }
}

/// The package of an operation that always has one.
pub(super) fn staged(package: Option<&Package>) -> Result<PackageRef, Fault> {
    package.map(PackageRef::from).ok_or_else(|| Fault::internal("install a package", "none was staged"))
}

/// The one architecture of a list that may have one.
pub(super) fn architecture(list: Option<&Vec<String>>) -> Result<Option<String>, Fault> {
    match list.map(Vec::as_slice) {
        None => Ok(None),
        Some([one]) if matches!(one.as_str(), "x86_64" | "arm64") => Ok(Some(one.clone())),
        Some([one]) => Err(faults::invalid(
            format_args!("[{one}]"),
            "architectures",
            "Member must satisfy constraint: \
             [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
        )),
        Some([]) => {
            Err(faults::invalid("[]", "architectures", "Member must have length greater than or equal to 1"))
        }
        Some(many) => Err(faults::invalid(
            format_args!("[{}]", many.join(", ")),
            "architectures",
            "Member must have length less than or equal to 1",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateCode {
    function_name: String,
    #[serde(flatten)]
    code: Code,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    dry_run: bool,
    revision_id: Option<String>,
    architectures: Option<Vec<String>>,
    #[serde(flatten)]
    _rest: Unread,
}

pub(super) fn update_source(cx: &mut Cx<'_>, input: UpdateCode) -> Result<Option<PackageSource>, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    let latest = lookup::latest(cx, &function)?;
    check_revision(input.revision_id.as_deref(), &latest.revision_id)?;
    match (latest.image.is_some(), input.code.image_uri.is_some()) {
        (true, true) => {
            let architecture = architecture(input.architectures.as_ref())?.unwrap_or(latest.architecture);
            input.code.image(cx, &architecture).map(Some)
        }
        (true, false) => {
            Err(faults::parameter("Please provide ImageUri when updating a function with packageType Image."))
        }
        (false, true) => Err(faults::parameter(
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        )),
        (false, false) => input.code.source(cx).map(Some),
    }
}

pub(super) fn update(
    cx: &mut Cx<'_>,
    input: UpdateCode,
    package: Option<&Package>,
) -> Result<Configuration, Fault> {
    let function = names::unqualified(cx, &input.function_name)?;
    let old = lookup::latest(cx, &function)?;
    check_revision(input.revision_id.as_deref(), &old.revision_id)?;
    let mut row = lifecycle::begin_update(&function, &old)?;
    install(&mut row, package)?;
    if let Some(architecture) = architecture(input.architectures.as_ref())? {
        row.architecture = architecture;
    }
    check_sizes(cx, &row)?;
    if input.dry_run {
        return Ok(Configuration::new(&function.name, function.arn(), row));
    }
    let row = lifecycle::finish_update(cx, &function, &old, row)?;
    if input.publish {
        let published = versions::publish_latest(cx, &function, &row, None)?;
        return Ok(configuration::qualified(&function, published));
    }
    Ok(Configuration::new(&function.name, function.arn(), row))
}
