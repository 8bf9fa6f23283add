//! S3: objects in buckets.
//!
//! Metadata and small bodies are rows of the store; larger bodies stream to blobs beside it and are held by
//! reference count, so a copy or a completed upload moves no bytes. An object and the notifications that it
//! causes are one commit. No operation's cost grows with what is stored: listings seek, versions are found
//! by their id.
//!
//! Deliberately absent, and answered with NotImplemented: encryption, object lock, lifecycle, replication,
//! access lists that say more than "the owner", storage classes, website hosting and select. A
//! request for one of these, or with a header that its operation does not read, never falls through to the
//! operation of the same path ([`refusals`]).
//!
//! Keys, in `keys.rs`: `BUCKETS(bucket)`, `OWNED(account, bucket)`, `CONFIG(bucket, kind)`,
//! `OBJECTS(bucket, key)`, `VERSIONS(bucket, key, newest first)`, `NULLS(bucket, key)`, `BODIES(bucket,
//! key, seq)`, `UPLOADS(bucket, key, upload)`, `PARTS(upload, number)`.

mod acl;
mod attributes;
mod bodies;
mod buckets;
mod bus_events;
mod checksums;
mod conditions;
mod copy;
pub mod cors;
mod deletes;
mod element;
mod events;
mod faults;
mod history;
mod keys;
mod listing;
mod lists;
mod metadata;
mod model;
mod multipart;
mod notifications;
mod objects;
mod policy;
mod ranges;
mod refusals;
mod tagging;
#[cfg(test)]
mod tests;
mod versioning;

pub use ranges::parse as parse_range;

use policy::Ask;

use crate::operation::Piece;
use crate::{Cx, Service};
use mayfly_kernel::{Fault, Time};

const BUCKET_TAGS_MAX: usize = 50;

pub fn service() -> Service {
    let service = Service::rest_xml("s3", element::XMLNS);
    objects_of(buckets_of(service))
}

fn buckets_of(service: Service) -> Service {
    service
        .http("ListBuckets", "GET /", buckets::list)
        .http("CreateBucket", "PUT /{Bucket}", buckets::create)
        .http("HeadBucket", "HEAD /{Bucket}", buckets::head)
        .http("DeleteBucket", "DELETE /{Bucket} 204", buckets::delete)
        .http("GetBucketLocation", "GET /{Bucket}?location", buckets::location)
        .http("ListObjects", "GET /{Bucket}", lists::objects)
        .http("ListObjectsV2", "GET /{Bucket}?list-type=2", lists::objects_v2)
        .http("ListObjectVersions", "GET /{Bucket}?versions", lists::versions)
        .http("ListMultipartUploads", "GET /{Bucket}?uploads", lists::uploads)
        .http("DeleteObjects", "POST /{Bucket}?delete", deletes::delete_objects)
        .http("PutBucketVersioning", "PUT /{Bucket}?versioning", versioning::put)
        .http("GetBucketVersioning", "GET /{Bucket}?versioning", versioning::get)
        .http("PutBucketTagging", "PUT /{Bucket}?tagging", tagging::put_bucket)
        .http("GetBucketTagging", "GET /{Bucket}?tagging", tagging::get_bucket)
        .http("DeleteBucketTagging", "DELETE /{Bucket}?tagging 204", tagging::delete_bucket)
        .http("PutBucketCors", "PUT /{Bucket}?cors", cors::put)
        .http("GetBucketCors", "GET /{Bucket}?cors", cors::get)
        .http("DeleteBucketCors", "DELETE /{Bucket}?cors 204", cors::delete)
        .http("PutBucketNotificationConfiguration", "PUT /{Bucket}?notification", notifications::put)
        .http("GetBucketNotificationConfiguration", "GET /{Bucket}?notification", notifications::get)
        .http("PutBucketPolicy", "PUT /{Bucket}?policy 204", policy::put)
        .http("GetBucketPolicy", "GET /{Bucket}?policy", policy::get)
        .http("DeleteBucketPolicy", "DELETE /{Bucket}?policy 204", policy::delete)
        .http("PutBucketAcl", "PUT /{Bucket}?acl", acl::put_bucket)
        .http("GetBucketAcl", "GET /{Bucket}?acl", acl::get_bucket)
}

fn objects_of(service: Service) -> Service {
    const PART: &str = "PUT /{Bucket}/{Key+}?partNumber&uploadId";
    const PART_COPY: &str = "PUT /{Bucket}/{Key+}?partNumber&uploadId with x-amz-copy-source";
    service
        .upload("PutObject", "PUT /{Bucket}/{Key+}", objects::admit_put, objects::put)
        .http("GetObject", "GET /{Bucket}/{Key+}", objects::get)
        .http("HeadObject", "HEAD /{Bucket}/{Key+}", objects::head)
        .http("DeleteObject", "DELETE /{Bucket}/{Key+} 204", objects::delete)
        .http("CopyObject", "PUT /{Bucket}/{Key+} with x-amz-copy-source", copy::copy)
        .http("GetObjectAttributes", "GET /{Bucket}/{Key+}?attributes", attributes::get)
        .http("PutObjectTagging", "PUT /{Bucket}/{Key+}?tagging", tagging::put_object)
        .http("GetObjectTagging", "GET /{Bucket}/{Key+}?tagging", tagging::get_object)
        .http("DeleteObjectTagging", "DELETE /{Bucket}/{Key+}?tagging 204", tagging::delete_object)
        .http("PutObjectAcl", "PUT /{Bucket}/{Key+}?acl", acl::put_object)
        .http("GetObjectAcl", "GET /{Bucket}/{Key+}?acl", acl::get_object)
        .http("CreateMultipartUpload", "POST /{Bucket}/{Key+}?uploads", multipart::create)
        .upload("UploadPart", PART, multipart::admit_part, multipart::put_part)
        .http("UploadPartCopy", PART_COPY, multipart::copy_part)
        .http("CompleteMultipartUpload", "POST /{Bucket}/{Key+}?uploadId", multipart::complete)
        .http("AbortMultipartUpload", "DELETE /{Bucket}/{Key+}?uploadId 204", multipart::abort)
        .http("ListParts", "GET /{Bucket}/{Key+}?uploadId", multipart::list_parts)
}

/// The bytes of an object, for a deployment package, and their number.
pub(crate) fn package(
    cx: &mut Cx<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<(Vec<Piece>, u64), Fault> {
    let ask = Ask::Read { key, by_id: version.is_some() };
    let bucket = buckets::open_as(cx, bucket, None, &ask)?;
    let named = objects::Named { key: key.to_owned(), version_id: version.map(str::to_owned) };
    let version = objects::find(cx, &bucket, &named)?;
    let body = bucket.slot(key).body(cx, &version)?;
    Ok((bodies::to_send(body.slice(0..version.size)), version.size))
}

/// When a bucket was made.
pub fn made(cx: &mut Cx<'_>, bucket: &str) -> Result<Time, Fault> {
    let bucket = buckets::open_as(cx, bucket, None, &Ask::List)?;
    Ok(Time::from_ms(bucket.record.created_ms))
}

/// An object's size, and when it was written.
pub fn info(cx: &mut Cx<'_>, bucket: &str, key: &str) -> Result<(u64, Time), Fault> {
    let bucket = buckets::open_as(cx, bucket, None, &Ask::Read { key, by_id: false })?;
    let named = objects::Named { key: key.to_owned(), version_id: None };
    let version = objects::find(cx, &bucket, &named)?;
    Ok((version.size, version.modified()))
}

/// A page of a bucket's keys behind this one, in their order, and whether there are more.
pub fn names(cx: &mut Cx<'_>, bucket: &str, after: &str) -> Result<(Vec<String>, bool), Fault> {
    let bucket = buckets::open_as(cx, bucket, None, &Ask::List)?;
    lists::keys(cx, &bucket, after)
}

pub use tagging::of_document as tags_of_document;

/// A bucket's cross-origin rules, which anybody may learn; see [`cors::respond`].
pub fn cors_for(cx: &mut Cx<'_>, bucket: &str) -> Result<Vec<cors::Rule>, Fault> {
    cors::rules(cx, bucket)
}
