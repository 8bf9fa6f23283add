//! The event that a notified function gets: "Event message structure", S3 user guide, version 2.1.

use super::buckets::Opened;
use super::element::url_encoded;
use super::model::Version;
use super::notifications::Event;
use crate::Cx;
use mayfly_wire::time;
use serde::Serialize;

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "Records")]
    records: [Record<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'static str,
    event_source: &'static str,
    aws_region: &'a str,
    event_time: String,
    event_name: &'static str,
    user_identity: Identity<'a>,
    request_parameters: Request,
    response_elements: Response<'a>,
    s3: Subject<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    principal_id: &'a str,
}

/// Empty: a handler does not know from where it is called.
#[derive(Serialize)]
struct Request {
    #[serde(rename = "sourceIPAddress")]
    source: &'static str,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(rename = "x-amz-request-id")]
    request: &'a str,
    #[serde(rename = "x-amz-id-2")]
    host: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    s3_schema_version: &'static str,
    configuration_id: &'a str,
    bucket: BucketPart<'a>,
    object: ObjectPart<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BucketPart<'a> {
    name: &'a str,
    owner_identity: Identity<'a>,
    arn: String,
}

/// A deletion says only the key, its version and its place.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectPart<'a> {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(rename = "eTag", skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version_id: &'a str,
    sequencer: String,
}

/// What a queue or a topic gets when a bucket is told to write to it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Test<'a> {
    service: &'static str,
    event: &'static str,
    time: String,
    bucket: &'a str,
    request_id: &'a str,
    host_id: &'a str,
}

pub(super) fn test(cx: &Cx<'_>, bucket: &Opened) -> Vec<u8> {
    let test = Test {
        service: "Amazon S3",
        event: "s3:TestEvent",
        time: time::iso8601(cx.now),
        bucket: &bucket.name,
        request_id: cx.request_id,
        host_id: cx.request_id,
    };
    serde_json::to_vec(&test).expect("text is always JSON")
}

/// Whoever has caused an event; a policy may let in callers without a signature.
pub(super) fn requester<'a>(cx: &Cx<'a>) -> &'a str {
    match cx.caller.account.as_str() {
        "" => "Anonymous",
        account => account,
    }
}

/// `version` is what was written; of a deletion only its id and place mean something.
pub(super) fn payload(
    cx: &Cx<'_>,
    bucket: &Opened,
    key: &str,
    event: Event,
    version: &Version,
    configuration: &str,
) -> Vec<u8> {
    let exists = !version.delete_marker;
    let message = Message {
        records: [Record {
            event_version: "2.1",
            event_source: "aws:s3",
            aws_region: &bucket.record.region,
            event_time: time::iso8601(cx.now),
            event_name: event.name(),
            user_identity: Identity { principal_id: requester(cx) },
            request_parameters: Request { source: "" },
            response_elements: Response { request: cx.request_id, host: cx.request_id },
            s3: Subject {
                s3_schema_version: "1.0",
                configuration_id: configuration,
                bucket: BucketPart {
                    name: &bucket.name,
                    owner_identity: Identity { principal_id: &bucket.record.account },
                    arn: bucket.arn().to_string(),
                },
                object: ObjectPart {
                    key: url_encoded(key),
                    size: exists.then_some(version.size),
                    etag: exists.then_some(&version.etag),
                    version_id: &version.id,
                    sequencer: format!("{:016X}", version.seq),
                },
            },
        }],
    };
    serde_json::to_vec(&message).expect("text and numbers are always JSON")
}
