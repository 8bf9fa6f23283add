//! Buckets: made, found, listed and deleted; and the door through which every other operation enters one.

use super::element::Element;
use super::history::Slot;
use super::keys::{BUCKETS, CONFIGS, OBJECTS, OWNED, Owned, PARTS, TAGS, UPLOADS, VERSIONS};
use super::model::{self, Bucket, Versioning};
use super::policy::{self, Ask};
use super::{bodies, faults, metadata, tagging};
use crate::{Cx, Reply};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::{Call, time, xml};
use serde::Deserialize;

/// A deletion takes along this many parts of uploads that nobody finished; with more, it asks to abort them
/// first.
const PARTS_DELETED_MAX: usize = 1000;
const BUCKETS_PER_PAGE: usize = 10_000;

/// A bucket that the caller may use.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) record: Bucket,
}

impl Opened {
    pub(super) fn slot<'a>(&'a self, key: &'a str) -> Slot<'a> {
        Slot::new(&self.name, key, &self.record)
    }

    pub(super) fn versioning(&self) -> Versioning {
        self.record.versioning()
    }

    pub(super) fn arn(&self) -> Arn {
        arn(&self.name)
    }

    pub(super) fn row(&self, config: u8) -> (&str, u8) {
        (&self.name, config)
    }
}

pub(super) fn arn(bucket: &str) -> Arn {
    Arn::new("s3", "", "", bucket)
}

/// Finds the bucket that a call names and asks whether the caller may.
pub(super) fn open(cx: &mut Cx<'_>, call: &Call) -> Result<Opened, Fault> {
    super::refusals::check(call)?;
    let name = call.label("Bucket").unwrap_or_default();
    open_as(cx, name, call.header("x-amz-expected-bucket-owner"), &Ask::Call(call))
}

/// The same for a bucket that is named elsewhere, such as a copy's source.
pub(super) fn open_as(
    cx: &mut Cx<'_>,
    name: &str,
    expected_owner: Option<&str>,
    ask: &Ask<'_>,
) -> Result<Opened, Fault> {
    let Some(record) = BUCKETS.get(cx.tx, &(name,))? else {
        cx.allow(&arn(name)).map_err(|_| faults::access_denied())?;
        return Err(faults::no_such_bucket(name));
    };
    let bucket = Opened { name: name.to_owned(), record };
    policy::admit(cx, &bucket, ask)?;
    match expected_owner.is_some_and(|owner| owner != bucket.record.account) {
        true => Err(faults::access_denied()),
        false => Ok(bucket),
    }
}

/// The owner of everything in an account, as S3's documents name it.
pub(super) fn owner(account: &str) -> Element {
    Element::new().text("ID", account).text("DisplayName", account)
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Creation {
    location_constraint: Option<String>,
    tags: tagging::TagSet,
}

pub(super) fn create(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let name = call.label("Bucket").unwrap_or_default();
    cx.allow(&arn(name)).map_err(|_| faults::access_denied())?;
    super::refusals::check(call)?;
    if !model::valid_bucket_name(name) {
        return Err(faults::invalid_bucket_name(name));
    }
    metadata::refuse_unsupported(call)?;
    if call.header("x-amz-bucket-object-lock-enabled").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(Fault::not_implemented("object lock"));
    }
    let ownership = call.header("x-amz-object-ownership");
    if ownership.is_some_and(|value| value != "BucketOwnerEnforced") {
        return Err(Fault::not_implemented("object ownership other than BucketOwnerEnforced"));
    }
    let creation: Creation =
        if call.body.is_empty() { Creation::default() } else { xml::from_bytes(&call.body)? };
    if let Some(location) =
        creation.location_constraint.filter(|at| !at.is_empty() && *at != cx.caller.region)
    {
        return Err(faults::incompatible_location(&location));
    }
    let location = format!("/{name}");
    if let Some(existing) = BUCKETS.get(cx.tx, &(name,))? {
        return match (existing.account == cx.caller.account, cx.caller.region.as_str()) {
            (false, _) => Err(faults::bucket_taken(name)),
            // The oldest region answers as if the bucket had just been made.
            (true, "us-east-1") => Ok(Reply::status(200).header("location", location)),
            (true, _) => Err(faults::bucket_already_yours(name)),
        };
    }
    let account = cx.caller.account.clone();
    let most = cx.limits.buckets_per_account;
    if OWNED.scan(cx.tx, Scan::prefix(&(&account,), most))?.len() >= most {
        return Err(faults::too_many_buckets());
    }
    let tags = tagging::of_bucket(creation.tags)?;
    let region = cx.caller.region.clone();
    let record = Bucket {
        account,
        region,
        created_ms: cx.now.ms(),
        versioning: Versioning::Never.into(),
        policy: String::new(),
    };
    OWNED.put(cx.tx, &(&record.account, name), &Owned {});
    BUCKETS.put(cx.tx, &(name,), &record);
    if !tags.tags.is_empty() {
        TAGS.put(cx.tx, &(name, super::keys::TAGS_CONFIG), &tags);
    }
    Ok(Reply::status(200).header("location", location))
}

pub(super) fn head(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = open(cx, call)?;
    let reply = Reply::status(200).header("x-amz-bucket-region", bucket.record.region);
    Ok(reply.header("x-amz-access-point-alias", "false"))
}

pub(super) fn location(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let region = open(cx, call)?.record.region;
    // The oldest region has no name here.
    let region = if region == "us-east-1" { String::new() } else { region };
    Ok(Element::new().text("$text", region).reply("LocationConstraint"))
}

pub(super) fn delete(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = open(cx, call)?;
    let name = &bucket.name;
    if !OBJECTS.scan(cx.tx, Scan::prefix(&(name,), 1))?.is_empty() {
        return Err(faults::bucket_not_empty(name));
    }
    if !VERSIONS.scan(cx.tx, Scan::prefix(&(name,), 1))?.is_empty() {
        return Err(faults::versions_left(name));
    }
    abandon_uploads(cx, name)?;
    for config in CONFIGS {
        TAGS.delete(cx.tx, &bucket.row(config));
    }
    OWNED.delete(cx.tx, &(&bucket.record.account, name));
    BUCKETS.delete(cx.tx, &(name,));
    Ok(Reply::status(204))
}

/// Uploads that nobody finished do not keep a bucket alive.
fn abandon_uploads(cx: &mut Cx<'_>, bucket: &str) -> Result<(), Fault> {
    let mut room = PARTS_DELETED_MAX;
    let uploads = UPLOADS.scan(cx.tx, Scan::prefix(&(bucket,), room + 1))?;
    for ((_, key, upload), _) in uploads {
        let parts = PARTS.scan(cx.tx, Scan::prefix(&(&upload,), room + 1))?;
        room = room.checked_sub(parts.len().max(1)).ok_or_else(|| faults::bucket_not_empty(bucket))?;
        for (row, part) in parts {
            bodies::release(cx, &part.pieces)?;
            PARTS.delete(cx.tx, &row);
        }
        UPLOADS.delete(cx.tx, &(bucket, &key, &upload));
    }
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct List {
    #[serde(rename = "max-buckets")]
    max: Option<usize>,
    prefix: Option<String>,
    #[serde(rename = "continuation-token")]
    token: Option<String>,
    #[serde(rename = "bucket-region")]
    region: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List, _: &Call) -> Result<Reply, Fault> {
    let account = cx.caller.account.clone();
    let everything = Arn { account: account.clone(), ..arn("*") };
    cx.allow(&everything).map_err(|_| faults::access_denied())?;
    let max = input.max.unwrap_or(BUCKETS_PER_PAGE);
    if !(1..=BUCKETS_PER_PAGE).contains(&max) {
        let text = "Argument max-buckets must be an integer between 1 and 10000";
        return Err(faults::invalid_argument("max-buckets", &max.to_string(), text));
    }
    let prefix = input.prefix.clone().unwrap_or_default();
    let from = input.token.unwrap_or_default().max(prefix.clone());
    let scan = Scan::prefix(&(&account,), max + 1).from(&(&account, &from));
    let mut names: Vec<String> = OWNED.scan(cx.tx, scan)?.into_iter().map(|((_, name), _)| name).collect();
    names.retain(|name| name.starts_with(&prefix));
    let next = (names.len() > max).then(|| names.remove(max));
    let mut buckets = Vec::new();
    for name in names {
        let record = BUCKETS.get(cx.tx, &(&name,))?.unwrap_or_default();
        if input.region.as_ref().is_none_or(|region| *region == record.region) {
            let created = time::iso8601(Time::from_ms(record.created_ms));
            let bucket = Element::new().text("Name", &name).text("CreationDate", created);
            let bucket = bucket.text("BucketRegion", record.region).text("BucketArn", arn(&name));
            buckets.push(bucket);
        }
    }
    Ok(Element::new()
        .child("Owner", owner(&account))
        .child("Buckets", Element::new().each("Bucket", buckets))
        .text_opt("ContinuationToken", next)
        .text_opt("Prefix", input.prefix)
        .reply("ListAllMyBucketsResult"))
}
