//! Every error of the S3 API that Mayfly answers, with AWS's codes and sentences ("Error responses", S3 API
//! reference, and what the service sends where that page is silent).

use super::model::{KEY_BYTES_MAX, Version};
use mayfly_kernel::Fault;

pub(super) fn no_such_bucket(bucket: &str) -> Fault {
    Fault::new(404, "NoSuchBucket", "The specified bucket does not exist").with_field("BucketName", bucket)
}

pub(super) fn no_such_key(key: &str) -> Fault {
    Fault::new(404, "NoSuchKey", "The specified key does not exist.").with_field("Key", key)
}

pub(super) fn no_such_version(key: &str, version: &str) -> Fault {
    Fault::new(404, "NoSuchVersion", "The specified version does not exist.")
        .with_field("Key", key)
        .with_field("VersionId", version)
}

pub(super) fn no_such_upload(upload: &str) -> Fault {
    const TEXT: &str = "The specified upload does not exist. The upload ID may be invalid, or the upload may have \
                        been aborted or completed.";
    Fault::new(404, "NoSuchUpload", TEXT).with_field("UploadId", upload)
}

pub(super) fn no_such_tag_set(bucket: &str) -> Fault {
    Fault::new(404, "NoSuchTagSet", "The TagSet does not exist").with_field("BucketName", bucket)
}

pub(super) fn no_such_cors(bucket: &str) -> Fault {
    Fault::new(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
        .with_field("BucketName", bucket)
}

pub(super) fn access_denied() -> Fault {
    Fault::new(403, "AccessDenied", "Access Denied")
}

/// The same with the reason, for the bucket's own account.
pub(super) fn denied(why: String) -> Fault {
    Fault::new(403, "AccessDenied", why)
}

/// A bucket's policy is its own account's, whomever it lets in.
pub(super) fn not_the_owners() -> Fault {
    let text = "The specified method is not allowed against this resource.";
    Fault::new(405, "MethodNotAllowed", text)
}

pub(super) fn malformed_policy(text: impl Into<String>) -> Fault {
    Fault::new(400, "MalformedPolicy", text)
}

pub(super) fn no_bucket_policy() -> Fault {
    Fault::new(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
}

pub(super) fn bucket_taken(bucket: &str) -> Fault {
    const TEXT: &str = "The requested bucket name is not available. The bucket namespace is shared by all users of \
                        the system. Please select a different name and try again.";
    Fault::new(409, "BucketAlreadyExists", TEXT).with_field("BucketName", bucket)
}

pub(super) fn bucket_already_yours(bucket: &str) -> Fault {
    const TEXT: &str = "Your previous request to create the named bucket succeeded and you already own it.";
    Fault::new(409, "BucketAlreadyOwnedByYou", TEXT).with_field("BucketName", bucket)
}

pub(super) fn bucket_not_empty(bucket: &str) -> Fault {
    Fault::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
        .with_field("BucketName", bucket)
}

pub(super) fn versions_left(bucket: &str) -> Fault {
    const TEXT: &str =
        "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
    Fault::new(409, "BucketNotEmpty", TEXT).with_field("BucketName", bucket)
}

pub(super) fn invalid_bucket_name(bucket: &str) -> Fault {
    Fault::new(400, "InvalidBucketName", "The specified bucket is not valid.")
        .with_field("BucketName", bucket)
}

pub(super) fn too_many_buckets() -> Fault {
    Fault::new(400, "TooManyBuckets", "You have attempted to create more buckets than allowed")
}

pub(super) fn incompatible_location(location: &str) -> Fault {
    let text = format!(
        "The {location} location constraint is incompatible for the region specific endpoint this request was sent to."
    );
    Fault::new(400, "IllegalLocationConstraintException", text)
}

pub(super) fn key_too_long(size: usize) -> Fault {
    Fault::new(400, "KeyTooLongError", "Your key is too long")
        .with_field("Size", size.to_string())
        .with_field("MaxSizeAllowed", KEY_BYTES_MAX.to_string())
}

pub(super) fn entity_too_large(size: u64, max: u64) -> Fault {
    Fault::new(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        .with_field("ProposedSize", size.to_string())
        .with_field("MaxSizeAllowed", max.to_string())
}

pub(super) fn entity_too_small(size: u64, min: u64, number: u32, etag: &str) -> Fault {
    Fault::new(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        .with_field("ProposedSize", size.to_string())
        .with_field("MinSizeAllowed", min.to_string())
        .with_field("PartNumber", number.to_string())
        .with_field("ETag", etag)
}

pub(super) fn metadata_too_large(size: usize, max: usize) -> Fault {
    Fault::new(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
        .with_field("Size", size.to_string())
        .with_field("MaxSizeAllowed", max.to_string())
}

pub(super) fn invalid_argument(name: &'static str, value: &str, text: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidArgument", text)
        .with_field("ArgumentName", name)
        .with_field("ArgumentValue", value)
}

pub(super) fn invalid_request(text: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidRequest", text)
}

pub(super) fn malformed_xml() -> Fault {
    const TEXT: &str =
        "The XML you provided was not well-formed or did not validate against our published schema";
    Fault::new(400, "MalformedXML", TEXT)
}

pub(super) fn invalid_version_id(version: &str) -> Fault {
    invalid_argument("versionId", version, "Invalid version id specified")
}

pub(super) fn precondition_failed(condition: &'static str) -> Fault {
    Fault::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        .with_field("Condition", condition)
}

/// A condition that S3 knows on reads and not on this operation.
pub(super) fn condition_not_implemented(header: &'static str) -> Fault {
    Fault::new(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        .with_field("Header", header)
}

pub(super) fn invalid_range(range: &str, size: u64) -> Fault {
    Fault::new(416, "InvalidRange", "The requested range is not satisfiable")
        .with_field("RangeRequested", range)
        .with_field("ActualObjectSize", size.to_string())
}

pub(super) fn invalid_part_number(number: u32, count: u32) -> Fault {
    Fault::new(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
        .with_field("PartNumberRequested", number.to_string())
        .with_field("ActualPartCount", count.to_string())
}

pub(super) fn invalid_part(upload: &str, number: u32, etag: &str) -> Fault {
    const TEXT: &str = "One or more of the specified parts could not be found.  The part may not have been uploaded, \
                        or the specified entity tag may not match the part's entity tag.";
    Fault::new(400, "InvalidPart", TEXT)
        .with_field("UploadId", upload)
        .with_field("PartNumber", number.to_string())
        .with_field("ETag", etag)
}

pub(super) fn invalid_part_order(upload: &str) -> Fault {
    const TEXT: &str = "The list of parts was not in ascending order. Parts must be ordered by part number.";
    Fault::new(400, "InvalidPartOrder", TEXT).with_field("UploadId", upload)
}

pub(super) fn invalid_digest(sent: &str) -> Fault {
    Fault::new(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        .with_field("Content-MD5", sent)
}

pub(super) fn bad_md5(expected: &str, calculated: &str) -> Fault {
    Fault::new(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
        .with_field("ExpectedDigest", expected)
        .with_field("CalculatedDigest", calculated)
}

pub(super) fn bad_checksum(algorithm: &str) -> Fault {
    Fault::new(
        400,
        "BadDigest",
        format!("The {algorithm} you specified did not match the calculated checksum."),
    )
}

pub(super) fn invalid_checksum_header(header: &str) -> Fault {
    invalid_request(format!("Value for {header} header is invalid."))
}

pub(super) fn checksum_mismatch(expected: &str, actual: &str) -> Fault {
    invalid_request(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        expected.to_lowercase(),
        actual.to_lowercase()
    ))
}

pub(super) fn invalid_tag(text: &str) -> Fault {
    Fault::new(400, "InvalidTag", text)
}

pub(super) fn too_many_tags(max: usize) -> Fault {
    Fault::new(400, "BadRequest", format!("Object tags cannot be greater than {max}"))
}

pub(super) fn invalid_storage_class(class: &str) -> Fault {
    Fault::new(400, "InvalidStorageClass", "The storage class you specified is not valid")
        .with_field("StorageClassRequested", class)
}

pub(super) fn acl_not_supported() -> Fault {
    Fault::new(400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
}

pub(super) fn illegal_versioning() -> Fault {
    Fault::new(400, "IllegalVersioningConfigurationException", "The Versioning element must be specified")
}

pub(super) fn copy_onto_itself() -> Fault {
    invalid_request(
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
         metadata, storage class, website redirect location or encryption attributes.",
    )
}

pub(super) fn bad_copy_source(source: &str) -> Fault {
    const TEXT: &str = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
    invalid_argument("x-amz-copy-source", source, TEXT)
}

pub(super) fn copy_source_is_marker() -> Fault {
    invalid_request(
        "The source of a copy request may not specifically refer to a delete marker by version id.",
    )
}

/// A delete marker was named by its version: it has nothing to read.
pub(super) fn marker_has_no_content(method: &'static str, marker: &Version) -> Fault {
    Fault::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        .with_field("Method", method)
        .with_field("ResourceType", "DeleteMarker")
        .with_detail(format!("version {}", marker.public_id()))
}
