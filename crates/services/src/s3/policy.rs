//! A bucket's policy: whom it lets in to the bucket and its objects, and whom it keeps out.
//!
//! It is part of the bucket's row, which every operation reads anyway. A call may ask for several actions (an
//! object with tags wants `s3:PutObjectTagging` besides `s3:PutObject`), and is let in if it may do all. A
//! call that deletes several objects is asked for each.
//!
//! Whoever is of another account, or nobody, is told no more than "Access Denied", as S3 does.
//!
//! Not here: GetBucketPolicyStatus, and blocks of public access.

use super::buckets::{self, Nothing, Opened};
use super::faults;
use super::keys::BUCKETS;
use crate::access::{self, Document, Gate};
use crate::{Cx, Reply};
use mayfly_kernel::policy::Facts;
use mayfly_kernel::{Arn, Fault, Policy};
use mayfly_wire::Call;

/// What is asked for.
pub(super) enum Ask<'a> {
    /// What the operation of a call does.
    Call(&'a Call),
    /// To read an object, or one of its versions by its id.
    Read { key: &'a str, by_id: bool },
    /// To delete one.
    Delete { key: &'a str, by_id: bool },
    /// To list the objects.
    List,
}

impl Ask<'_> {
    fn key(&self) -> Option<&str> {
        match self {
            Ask::Call(call) => call.label("Key"),
            Ask::Read { key, .. } | Ask::Delete { key, .. } => Some(key),
            Ask::List => None,
        }
    }

    /// The names of the actions, each of which must be allowed.
    fn actions(&self) -> Vec<String> {
        match self {
            Ask::Call(call) => of_call(call),
            Ask::Read { by_id, .. } => vec![of_version("GetObject", *by_id, "")],
            Ask::Delete { by_id, .. } => vec![of_version("DeleteObject", *by_id, "")],
            Ask::List => vec!["ListBucket".to_owned()],
        }
    }

    /// What S3's own keys say of a call, and those of HTTP.
    fn facts(&self) -> Facts {
        let Ask::Call(call) = self else { return Facts::default() };
        let queries = [
            ("s3:prefix", "prefix"),
            ("s3:delimiter", "delimiter"),
            ("s3:max-keys", "max-keys"),
            ("s3:VersionId", "versionId"),
        ];
        let headers = [
            ("s3:x-amz-acl", "x-amz-acl"),
            ("s3:x-amz-copy-source", "x-amz-copy-source"),
            ("s3:x-amz-metadata-directive", "x-amz-metadata-directive"),
            ("aws:Referer", "referer"),
            ("aws:UserAgent", "user-agent"),
        ];
        let said = queries.into_iter().map(|(key, name)| (key, query(call, name)));
        let said = said.chain(headers.into_iter().map(|(key, name)| (key, call.header(name))));
        said.fold(Facts::default(), |facts, (key, value)| match value {
            Some(value) => facts.with(key, value),
            None => facts,
        })
    }
}

fn query<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Versions that are named by their ids have actions of their own.
fn of_version(verb: &str, by_id: bool, what: &str) -> String {
    let version = if by_id { "Version" } else { "" };
    format!("{verb}{version}{what}")
}

/// "Required permissions for Amazon S3 API operations", where they are not the operations' names.
fn of_call(call: &Call) -> Vec<String> {
    let by_id = query(call, "versionId").is_some();
    let read = || of_version("GetObject", by_id, "");
    let one = |name: &str| vec![name.to_owned()];
    match call.operation.as_str() {
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => one("ListBucket"),
        "ListObjectVersions" => one("ListBucketVersions"),
        "ListMultipartUploads" => one("ListBucketMultipartUploads"),
        "ListParts" => one("ListMultipartUploadParts"),
        "GetBucketCors" => one("GetBucketCORS"),
        "PutBucketCors" | "DeleteBucketCors" => one("PutBucketCORS"),
        "DeleteBucketTagging" => one("PutBucketTagging"),
        "GetBucketNotificationConfiguration" => one("GetBucketNotification"),
        "PutBucketNotificationConfiguration" => one("PutBucketNotification"),
        "GetObject" | "HeadObject" => vec![read()],
        "GetObjectAttributes" => vec![read(), of_version("GetObject", by_id, "Attributes")],
        "DeleteObject" => vec![of_version("DeleteObject", by_id, "")],
        "GetObjectTagging" => vec![of_version("GetObject", by_id, "Tagging")],
        "PutObjectTagging" => vec![of_version("PutObject", by_id, "Tagging")],
        "DeleteObjectTagging" => vec![of_version("DeleteObject", by_id, "Tagging")],
        "GetObjectAcl" => vec![of_version("GetObject", by_id, "Acl")],
        "PutObjectAcl" => vec![of_version("PutObject", by_id, "Acl")],
        "PutObject"
        | "PostObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload" => {
            let tags = call.header("x-amz-tagging").map(|_| "PutObjectTagging".to_owned());
            one("PutObject").into_iter().chain(tags).collect()
        }
        named => one(named),
    }
}

/// By which an account gets back into a bucket that it has locked, and which are for nobody else.
fn is_of_policy(action: &str) -> bool {
    matches!(action, "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy")
}

/// Asks whether the caller may do this to a bucket or its object.
pub(super) fn admit(cx: &mut Cx<'_>, bucket: &Opened, ask: &Ask<'_>) -> Result<(), Fault> {
    let (owner, policy) = (&bucket.record.account, &bucket.record.policy);
    if access::is_free(cx, &Arn { account: owner.clone(), ..bucket.arn() }, policy) {
        return Ok(());
    }
    let by_key = matches!(ask, Ask::Call(call) if call.operation == "DeleteObjects");
    if by_key && !policy.is_empty() {
        cx.allowed_by_policy();
        return Ok(());
    }
    let resource = match ask.key() {
        Some(key) => buckets::arn(&format!("{}/{key}", bucket.name)),
        None => bucket.arn(),
    };
    let own = *owner == cx.caller.account;
    for action in ask.actions() {
        let gate = Gate {
            resource: &resource,
            owner,
            action: &format!("s3:{action}"),
            policy: Document::Text(policy),
            facts: ask.facts(),
            keeps_root_in: is_of_policy(&action),
        };
        gate.caller(cx).map_err(|why| if own { faults::denied(why) } else { faults::access_denied() })?;
        if !own && is_of_policy(&action) {
            return Err(faults::not_the_owners());
        }
    }
    Ok(())
}

/// Whether everything that a resource of a document means is this bucket or in it.
fn is_within(resource: &str, bucket: &Opened) -> bool {
    let rest = resource.strip_prefix(&bucket.arn().to_string());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']))
}

fn checked(cx: &Cx<'_>, bucket: &Opened, body: &[u8]) -> Result<String, Fault> {
    let no_json = || faults::malformed_policy("Policies must be valid JSON and the first byte must be '{'");
    if body.len() > cx.limits.resource_policy_bytes {
        return Err(faults::malformed_policy("Policy exceeds the maximum allowed document size."));
    }
    let text = std::str::from_utf8(body).ok().filter(|text| text.starts_with('{')).ok_or_else(no_json)?;
    serde_json::from_str::<serde_json::Value>(text).map_err(|_| no_json())?;
    let policy: Policy = serde_json::from_str(text).map_err(|e| faults::malformed_policy(e.to_string()))?;
    let is_ours = |action: String| action == "*" || action.to_ascii_lowercase().starts_with("s3:");
    if !policy.actions().all(is_ours) {
        return Err(faults::malformed_policy("Policy has invalid action"));
    }
    match policy.resources().all(|resource| is_within(&resource, bucket)) {
        true => Ok(text.to_owned()),
        false => Err(faults::malformed_policy("Policy has invalid resource")),
    }
}

fn store(cx: &mut Cx<'_>, mut bucket: Opened, policy: String) -> Reply {
    if bucket.record.policy != policy {
        bucket.record.policy = policy;
        BUCKETS.put(cx.tx, &(&bucket.name,), &bucket.record);
    }
    Reply::status(204)
}

pub(super) fn put(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    let policy = checked(cx, &bucket, &call.body)?;
    Ok(store(cx, bucket, policy))
}

pub(super) fn get(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    match bucket.record.policy.is_empty() {
        true => Err(faults::no_bucket_policy()),
        false => Ok(Reply::status(200).body("application/json", bucket.record.policy)),
    }
}

/// Deleting a policy that is not there succeeds.
pub(super) fn delete(cx: &mut Cx<'_>, _: Nothing, call: &Call) -> Result<Reply, Fault> {
    let bucket = buckets::open(cx, call)?;
    Ok(store(cx, bucket, String::new()))
}
