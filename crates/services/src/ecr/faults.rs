//! Every fault of ECR's API in AWS's words, and those of the registry in the distribution protocol's.

use mayfly_kernel::Fault;
use std::fmt::Display;

pub(super) fn invalid(member: &str, constraint: impl Display) -> Fault {
    let text = format!("Invalid parameter at '{member}' failed to satisfy constraint: {constraint}");
    Fault::new(400, "InvalidParameterException", text)
}

pub(super) fn bad_tags(text: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidTagParameterException", text)
}

pub(super) fn too_many_tags(limit: usize) -> Fault {
    Fault::new(400, "TooManyTagsException", format!("A repository has at most {limit} tags"))
}

pub(super) fn no_repository(name: &str, account: &str) -> Fault {
    let text =
        format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
    Fault::new(400, "RepositoryNotFoundException", text)
}

pub(super) fn repository_exists(name: &str, account: &str) -> Fault {
    let text =
        format!("The repository with name '{name}' already exists in the registry with id '{account}'");
    Fault::new(400, "RepositoryAlreadyExistsException", text)
}

pub(super) fn not_empty(name: &str, account: &str) -> Fault {
    let text = format!(
        "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it \
         still contains images"
    );
    Fault::new(400, "RepositoryNotEmptyException", text)
}

pub(super) fn no_image(digest: Option<&str>, tag: Option<&str>, name: &str, account: &str) -> Fault {
    let shown = |part: Option<&str>| part.unwrap_or("null").to_owned();
    let text = format!(
        "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository \
         with name '{name}' in the registry with id '{account}'",
        shown(digest),
        shown(tag)
    );
    Fault::new(400, "ImageNotFoundException", text)
}

/// What the registry says of a manifest, in the words of PutImage.
pub(super) fn of_the_api(fault: Fault) -> Fault {
    let code = match fault.code.as_ref() {
        "MANIFEST_BLOB_UNKNOWN" => "LayersNotFoundException",
        "MANIFEST_UNKNOWN" => "ReferencedImagesNotFoundException",
        "DIGEST_INVALID" => "ImageDigestDoesNotMatchException",
        "TAG_INVALID" => "ImageTagAlreadyExistsException",
        "NAME_UNKNOWN" => "RepositoryNotFoundException",
        _ if fault.is_server() => return fault,
        _ => "InvalidParameterException",
    };
    Fault { status: 400, code: code.into(), ..fault }
}

pub(super) fn name_invalid(name: &str) -> Fault {
    Fault::new(400, "NAME_INVALID", format!("invalid repository name: {name}"))
}

pub(super) fn name_unknown(name: &str, account: &str) -> Fault {
    let fault = no_repository(name, account);
    Fault { status: 404, code: "NAME_UNKNOWN".into(), ..fault }
}

pub(super) fn manifest_unknown(reference: &str) -> Fault {
    Fault::new(404, "MANIFEST_UNKNOWN", format!("Requested image not found: {reference}"))
}

pub(super) fn manifest_invalid(why: impl Display) -> Fault {
    Fault::new(400, "MANIFEST_INVALID", format!("manifest invalid: {why}"))
}

pub(super) fn manifest_blob_unknown(digest: &str) -> Fault {
    Fault::new(404, "MANIFEST_BLOB_UNKNOWN", format!("the repository has no layer {digest}"))
}

pub(super) fn digest_invalid(why: impl Display) -> Fault {
    Fault::new(400, "DIGEST_INVALID", format!("provided digest did not match uploaded content: {why}"))
}

pub(super) fn tag_taken(tag: &str, name: &str) -> Fault {
    let text = format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because \
         the repository is immutable."
    );
    Fault::new(400, "TAG_INVALID", text)
}

pub(super) fn in_use(digest: &str) -> Fault {
    Fault::new(409, "DENIED", format!("an image names {digest}"))
}

pub(super) fn blob_unknown(digest: &str) -> Fault {
    Fault::new(404, "BLOB_UNKNOWN", format!("blob unknown to registry: {digest}"))
}

pub(super) fn upload_unknown() -> Fault {
    Fault::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

pub(super) fn out_of_order(size: u64) -> Fault {
    Fault::new(416, "RANGE_INVALID", format!("the upload has {size} bytes; the next chunk begins there"))
}

pub(super) fn size_invalid(limit: u64) -> Fault {
    Fault::new(413, "SIZE_INVALID", format!("a layer has at most {limit} bytes (registry_layer_bytes)"))
}
