//! Tags of pipes.

use super::{PIPES, faults, operations};
use crate::Cx;
use crate::tags::fit;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn checked(
    cx: &Cx<'_>,
    tags: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Fault> {
    match fit(&tags) && tags.len() <= cx.limits.tags_per_resource {
        true => Ok(tags),
        false => {
            let text = "At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.";
            Err(faults::validation(text))
        }
    }
}

/// Changes the tags of the pipe that the ARN names; gives them back as they are then.
fn change(
    cx: &mut Cx<'_>,
    arn: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Fault> {
    let name = arn.split_once(":pipe/").map(|(_, name)| name);
    let name = name.ok_or_else(|| faults::validation(format!("Invalid resource ARN: {arn}")))?;
    let (key, mut pipe) = operations::open(cx, name)?;
    let before = pipe.tags.clone();
    change(&mut pipe.tags);
    pipe.tags = checked(cx, pipe.tags)?;
    if pipe.tags != before {
        PIPES.put(cx.tx, &key, &pipe);
    }
    Ok(pipe.tags)
}

#[derive(Deserialize)]
pub(super) struct Add {
    #[serde(rename = "resourceArn")]
    resource: String,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(super) struct Done {}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Done, Fault> {
    change(cx, &input.resource, |tags| tags.extend(input.tags)).map(|_| Done {})
}

#[derive(Deserialize)]
pub(super) struct Remove {
    #[serde(rename = "resourceArn")]
    resource: String,
    #[serde(rename = "tagKeys")]
    keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    change(cx, &input.resource, |tags| tags.retain(|key, _| !input.keys.contains(key))).map(|_| Done {})
}

#[derive(Deserialize)]
pub(super) struct List {
    #[serde(rename = "resourceArn")]
    resource: String,
}

#[derive(Serialize)]
pub(super) struct Listed {
    tags: BTreeMap<String, String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    Ok(Listed { tags: change(cx, &input.resource, |_| {})? })
}
