//! What request headers say about an object, what of it is refused, and how it is said again in answers.

use super::faults;
use super::model::{Metadata, Pair, STORAGE_CLASS, Version, Versioning};
use crate::Reply;
use mayfly_kernel::Fault;
use mayfly_wire::{Call, time};

/// "User-defined object metadata": names and values together.
const USER_METADATA_BYTES_MAX: usize = 2048;
const USER_PREFIX: &str = "x-amz-meta-";
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

impl Metadata {
    pub(super) fn from_call(call: &Call) -> Result<Metadata, Fault> {
        let text = |name: &str| call.header(name).map(str::to_owned);
        let mut user: Vec<Pair> = call
            .headers_with_prefix(USER_PREFIX)
            .into_iter()
            .map(|(name, value)| Pair { name, value })
            .collect();
        user.sort_by(|a, b| a.name.cmp(&b.name));
        let size = user.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
        if size > USER_METADATA_BYTES_MAX {
            return Err(faults::metadata_too_large(size, USER_METADATA_BYTES_MAX));
        }
        Ok(Metadata {
            content_type: text("content-type"),
            content_encoding: call.header("content-encoding").and_then(stored_encoding),
            content_disposition: text("content-disposition"),
            content_language: text("content-language"),
            cache_control: text("cache-control"),
            expires: text("expires"),
            redirect: text("x-amz-website-redirect-location"),
            user,
        })
    }
}

/// `aws-chunked` describes the way here, not the object.
fn stored_encoding(sent: &str) -> Option<String> {
    let kept: Vec<&str> = sent.split(',').map(str::trim).filter(|name| *name != "aws-chunked").collect();
    let kept = kept.join(",");
    (!kept.is_empty()).then_some(kept)
}

/// Refuses access lists and storage classes that would be promises without effect.
pub(super) fn refuse_unsupported(call: &Call) -> Result<(), Fault> {
    if call.header("x-amz-acl").is_some_and(|acl| acl != "private" && acl != "bucket-owner-full-control") {
        return Err(faults::acl_not_supported());
    }
    match call.header("x-amz-storage-class") {
        None | Some(STORAGE_CLASS) => Ok(()),
        Some(class) => Err(faults::invalid_storage_class(class)),
    }
}

/// The headers that every answer about a version has.
pub(super) fn describe(reply: Reply, version: &Version, versioning: Versioning) -> Reply {
    let metadata = &version.metadata;
    let tags = (!version.tags.is_empty()).then(|| version.tags.len().to_string());
    let mut reply = identify(reply, version, versioning)
        .header("content-type", metadata.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE))
        .header("accept-ranges", "bytes")
        .header_opt("content-encoding", metadata.content_encoding.as_deref())
        .header_opt("content-disposition", metadata.content_disposition.as_deref())
        .header_opt("content-language", metadata.content_language.as_deref())
        .header_opt("cache-control", metadata.cache_control.as_deref())
        .header_opt("expires", metadata.expires.as_deref())
        .header_opt("x-amz-website-redirect-location", metadata.redirect.as_deref())
        .header_opt("x-amz-tagging-count", tags);
    let user = metadata.user.iter();
    reply.user_headers =
        user.map(|pair| (format!("{USER_PREFIX}{}", pair.name), pair.value.clone())).collect();
    reply
}

/// What an answer has that says only which version is meant, such as 304.
pub(super) fn identify(reply: Reply, version: &Version, versioning: Versioning) -> Reply {
    let reply = reply.header("etag", version.quoted_etag());
    with_version_id(reply.header("last-modified", time::http_date(version.modified())), version, versioning)
}

/// The version's id, in buckets that ever had versions.
pub(super) fn with_version_id(reply: Reply, version: &Version, versioning: Versioning) -> Reply {
    match versioning {
        Versioning::Never => reply,
        Versioning::Enabled | Versioning::Suspended => reply.header("x-amz-version-id", version.public_id()),
    }
}

/// `response-content-type` and its like, which a signed request may ask for.
pub(super) fn overridden(mut reply: Reply, call: &Call) -> Reply {
    const OVERRIDES: [(&str, &str); 6] = [
        ("response-cache-control", "cache-control"),
        ("response-content-disposition", "content-disposition"),
        ("response-content-encoding", "content-encoding"),
        ("response-content-language", "content-language"),
        ("response-content-type", "content-type"),
        ("response-expires", "expires"),
    ];
    for (parameter, header) in OVERRIDES {
        if let Some(value) = call.query(parameter) {
            reply.headers.retain(|(name, _)| *name != header);
            reply = reply.header(header, value);
        }
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_the_transfer_is_not_stored() {
        assert_eq!(stored_encoding("aws-chunked"), None);
        assert_eq!(stored_encoding("aws-chunked, gzip"), Some("gzip".into()));
        assert_eq!(stored_encoding("gzip,br"), Some("gzip,br".into()));
    }
}
