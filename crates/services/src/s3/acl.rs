//! Access lists, as far as they exist: the owner has full control, and nobody can change that.
//!
//! Buckets are as AWS makes them by default (`BucketOwnerEnforced`), where lists are off.

use super::buckets::{self, Nothing, Opened};
use super::element::Element;
use super::faults;
use super::metadata::with_version_id;
use super::objects::{self, Named};
use crate::{Cx, Reply};
use mayfly_kernel::Fault;
use mayfly_wire::Call;

fn owner_only(bucket: &Opened) -> Reply {
    let owner = || buckets::owner(&bucket.record.account);
    let grantee = Element::new()
        .text("@xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .text("@xsi:type", "CanonicalUser")
        .text("ID", &bucket.record.account)
        .text("DisplayName", &bucket.record.account);
    let grant = Element::new().child("Grantee", grantee).text("Permission", "FULL_CONTROL");
    Element::new()
        .child("Owner", owner())
        .child("AccessControlList", Element::new().child("Grant", grant))
        .reply("AccessControlPolicy")
}

pub(super) fn get_bucket(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    Ok(owner_only(&bucket))
}

pub(super) fn get_object(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let version = objects::find(cx, &bucket, &input)?;
    Ok(with_version_id(owner_only(&bucket), &version, bucket.versioning()))
}

/// The one list that changes nothing is taken.
fn change(call: &Call) -> Result<Reply, Fault> {
    match call.header("x-amz-acl") {
        Some("private" | "bucket-owner-full-control") if call.body.is_empty() => Ok(Reply::status(200)),
        _ => Err(faults::acl_not_supported()),
    }
}

pub(super) fn put_bucket(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    buckets::open(cx, call)?;
    change(call)
}

pub(super) fn put_object(cx: &mut Cx<'_>, input: Named, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    objects::find(cx, &bucket, &input)?;
    change(call)
}
