//! What the default event bus is told of objects: "Amazon S3 event message structure" for EventBridge, S3 user guide.

use super::buckets::Opened;
use super::model::Version;
use super::notifications::Event;
use crate::{Cx, events};
use mayfly_kernel::Fault;
use serde_json::{Value, json};

/// What happened, as the detail's type, and by which operation.
fn kind(event: Event) -> (&'static str, &'static str) {
    match event {
        Event::Put => ("Object Created", "PutObject"),
        Event::Post => ("Object Created", "POST Object"),
        Event::Copy => ("Object Created", "CopyObject"),
        Event::CompleteMultipartUpload => ("Object Created", "CompleteMultipartUpload"),
        Event::Delete | Event::DeleteMarkerCreated => ("Object Deleted", "DeleteObject"),
        Event::TaggingPut => ("Object Tags Added", ""),
        Event::TaggingDelete => ("Object Tags Deleted", ""),
    }
}

pub(super) fn tell(
    cx: &mut Cx<'_>,
    bucket: &Opened,
    key: &str,
    event: Event,
    version: &Version,
) -> Result<(), Fault> {
    let (detail_type, reason) = kind(event);
    let mut object = json!({ "key": key, "sequencer": format!("{:016X}", version.seq) });
    if !version.delete_marker && event != Event::Delete {
        object["size"] = json!(version.size);
        object["etag"] = json!(version.etag);
    }
    if !version.id.is_empty() {
        object["version-id"] = json!(version.id);
    }
    let mut detail = json!({
        "version": "0",
        "bucket": { "name": bucket.name },
        "object": object,
        "request-id": cx.request_id,
        "requester": super::events::requester(cx),
        "source-ip-address": "",
    });
    if !reason.is_empty() {
        detail["reason"] = json!(reason);
    }
    match event {
        Event::Delete => detail["deletion-type"] = json!("Permanently Deleted"),
        Event::DeleteMarkerCreated => detail["deletion-type"] = json!("Delete Marker Created"),
        Event::Put
        | Event::Post
        | Event::Copy
        | Event::CompleteMultipartUpload
        | Event::TaggingPut
        | Event::TaggingDelete => {}
    }
    let resources: Value = json!([bucket.arn().to_string()]);
    let place = (bucket.record.account.as_str(), bucket.record.region.as_str());
    events::emit(cx, place, ("aws.s3", detail_type), resources, detail)
}
