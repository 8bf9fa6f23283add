//! What no request may ask for: sub-resources that do not exist, headers that the operation does not read,
//! and a document other than the one whose checksum was sent.
//!
//! S3's inputs are spread over path, query, headers and a document, so that the rule of the other services (a
//! member that nobody reads is refused) needs a list here: which headers each operation reads.

use super::{checksums, faults};
use mayfly_kernel::Fault;
use mayfly_wire::Call;
use mayfly_wire::checksum::{Algorithm, Checksums};

/// Operations whose route asks for nothing in the query, so that every sub-resource would lead to them.
const PLAIN: [&str; 10] = [
    "CopyObject",
    "CreateBucket",
    "DeleteBucket",
    "DeleteObject",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListObjects",
    "ListObjectsV2",
    "PutObject",
];

/// Every sub-resource of S3's API: a query parameter that makes another operation of the same path.
const SUBRESOURCES: [&str; 42] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
    "append",
];

/// Headers of the signature, of the transfer, and of conditions that hold for every operation. Nobody pays
/// here, so whoever agrees to pay is served like anyone else.
const ANYWHERE: [&str; 10] = [
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// What describes a new object.
const DESCRIPTION: [&str; 4] =
    ["x-amz-acl", "x-amz-storage-class", "x-amz-tagging", "x-amz-website-redirect-location"];

const COPY: [&str; 6] = [
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-source-expected-bucket-owner",
];

/// Further headers that an operation reads.
fn own(operation: &str) -> &'static [&'static str] {
    match operation {
        "CreateBucket" => &["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"],
        "PutBucketAcl" | "PutObjectAcl" => &["x-amz-acl"],
        // Whoever sets a policy is of the account, which can never lock itself out.
        "PutBucketPolicy" => &["x-amz-confirm-remove-self-bucket-access"],
        "PutBucketNotificationConfiguration" => &["x-amz-skip-destination-validation"],
        "GetObject" | "HeadObject" => &["x-amz-checksum-mode"],
        "GetObjectAttributes" => &["x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker"],
        "CopyObject" => &["x-amz-checksum-algorithm", "x-amz-metadata-directive", "x-amz-tagging-directive"],
        "UploadPartCopy" => &["x-amz-copy-source-range"],
        "CreateMultipartUpload" => &["x-amz-checksum-algorithm", "x-amz-checksum-type"],
        "CompleteMultipartUpload" => &["x-amz-checksum-type", "x-amz-mp-object-size"],
        // Only objects in archives have a status to be told.
        "ListObjects" | "ListObjectsV2" | "ListObjectVersions" => &["x-amz-optional-object-attributes"],
        _ => &[],
    }
}

fn reads(operation: &str, header: &str) -> bool {
    let creates = matches!(operation, "PutObject" | "PostObject" | "CopyObject" | "CreateMultipartUpload");
    let copies = matches!(operation, "CopyObject" | "UploadPartCopy");
    ANYWHERE.contains(&header)
        || Algorithm::of_header(header).is_some()
        || own(operation).contains(&header)
        || creates && (DESCRIPTION.contains(&header) || header.starts_with("x-amz-meta-"))
        || copies && COPY.contains(&header)
}

/// Refuses what would be accepted and then ignored.
pub(super) fn check(call: &Call) -> Result<(), Fault> {
    subresources(call)?;
    for name in call.headers.keys().map(http::HeaderName::as_str) {
        if name.starts_with("x-amz-grant-") {
            return Err(faults::acl_not_supported());
        }
        if name.starts_with("x-amz-") && !reads(&call.operation, name) {
            return Err(Fault::not_implemented(&format!("the header {name} of {}", call.operation)));
        }
    }
    // The checksum of a completion is that of the object.
    match call.body.is_empty() || call.operation == "CompleteMultipartUpload" {
        true => Ok(()),
        false => document(call),
    }
}

/// Whether a document is the one that the client computed a checksum of.
fn document(call: &Call) -> Result<(), Fault> {
    let claimed = checksums::claimed(call)?.map(|(algorithm, _)| algorithm);
    let md5 = call.header("content-md5").map(|_| Algorithm::Md5);
    let algorithms: Vec<Algorithm> = claimed.into_iter().chain(md5).collect();
    let mut sums = Checksums::new(&algorithms);
    sums.update(&call.body);
    checksums::verify(call, &sums.finish())
}

/// Deleting a bucket's lifecycle must not delete the bucket.
fn subresources(call: &Call) -> Result<(), Fault> {
    if !PLAIN.contains(&call.operation.as_str()) {
        return Ok(());
    }
    match call.query.iter().find(|(name, _)| SUBRESOURCES.contains(&name.as_str())) {
        Some((name, _)) => Err(Fault::not_implemented(&format!("this method of the sub-resource ?{name}"))),
        None => Ok(()),
    }
}
