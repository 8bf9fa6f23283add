//! Tags of groups; schedules have none.

use super::faults;
use super::groups::{self, Done};
use super::keys::{GROUPS, group_arn};
use crate::Cx;
use crate::tags::{Tag, fit, kept, shown};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn checked(cx: &Cx<'_>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    let tags = kept(tags);
    match fit(&tags) && tags.len() <= cx.limits.tags_per_resource {
        true => Ok(tags),
        false => {
            let text = "At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.";
            Err(faults::validation(text))
        }
    }
}

/// Changes the tags of the group that the ARN names; gives them back as they are then.
fn change(
    cx: &mut Cx<'_>,
    arn: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Fault> {
    let name = arn.split_once(":schedule-group/").map(|(_, name)| name);
    let name = name.ok_or_else(|| faults::validation(format!("Invalid resource ARN: {arn}")))?;
    let key = groups::key(cx, name);
    cx.allow(&group_arn(&key))?;
    let mut group = groups::find(cx, &key)?;
    let before = group.tags.clone();
    change(&mut group.tags);
    if group.tags.len() > cx.limits.tags_per_resource {
        return Err(faults::validation("A schedule group has at most 50 tags."));
    }
    if group.tags != before {
        GROUPS.put(cx.tx, &key, &group);
    }
    Ok(group.tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Done, Fault> {
    let new = checked(cx, input.tags)?;
    change(cx, &input.resource_arn, |tags| tags.extend(new)).map(|_| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    change(cx, &input.resource_arn, |tags| tags.retain(|key, _| !input.tag_keys.contains(key)))
        .map(|_| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    resource_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: Vec<Tag>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let tags = change(cx, &input.resource_arn, |_| {})?;
    Ok(Listed { tags: shown(tags) })
}
