//! Tags of scalable targets.

use super::faults;
use super::keys::{TARGETS, TargetKey, target_arn};
use super::model::Target;
use super::targets::Done;
use crate::Cx;
use crate::tags::fit;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PAGE: usize = 500;

pub(super) fn checked(
    cx: &Cx<'_>,
    tags: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Fault> {
    match (fit(&tags), tags.len() <= cx.limits.tags_per_resource) {
        (true, true) => Ok(tags),
        (false, _) => Err(faults::validation("A tag's key has 1 to 128 characters, its value at most 256.")),
        (true, false) => Err(faults::too_many_tags()),
    }
}

/// The target with this ARN. Its id is looked for among all: tags are changed seldom, and targets are few.
fn find(cx: &mut Cx<'_>, text: &str) -> Result<(TargetKey, Target), Fault> {
    let arn: Arn = text.parse().map_err(|_| faults::no_resource(text))?;
    cx.allow(&arn)?;
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, PAGE);
    loop {
        let rows = TARGETS.scan(cx.tx, scan)?;
        let Some((last, _)) = rows.last().cloned() else { return Err(faults::no_resource(text)) };
        if let Some(found) = rows.into_iter().find(|(key, target)| target_arn(key, &target.id) == arn) {
            return Ok(found);
        }
        scan = Scan::prefix(&place, PAGE).after(&last);
    }
}

#[derive(Deserialize)]
pub(super) struct Add {
    #[serde(rename = "ResourceARN")]
    arn: String,
    #[serde(rename = "Tags")]
    tags: BTreeMap<String, String>,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Done, Fault> {
    let new = checked(cx, input.tags)?;
    let (key, mut target) = find(cx, &input.arn)?;
    target.tags.extend(new);
    if target.tags.len() > cx.limits.tags_per_resource {
        return Err(faults::too_many_tags());
    }
    TARGETS.put(cx.tx, &key, &target);
    Ok(Done {})
}

#[derive(Deserialize)]
pub(super) struct Remove {
    #[serde(rename = "ResourceARN")]
    arn: String,
    #[serde(rename = "TagKeys")]
    tag_keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    let (key, mut target) = find(cx, &input.arn)?;
    target.tags.retain(|name, _| !input.tag_keys.contains(name));
    TARGETS.put(cx.tx, &key, &target);
    Ok(Done {})
}

#[derive(Deserialize)]
pub(super) struct List {
    #[serde(rename = "ResourceARN")]
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: BTreeMap<String, String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let (_, target) = find(cx, &input.arn)?;
    Ok(Listed { tags: target.tags })
}
