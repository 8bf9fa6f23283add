//! Tags of queues.

use super::faults;
use super::keys::QUEUES;
use super::queues::{Named, open};
use crate::Cx;
use mayfly_kernel::{Fault, Limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn check(tags: &BTreeMap<String, String>, limits: &Limits) -> Result<(), Fault> {
    if tags.len() > limits.tags_per_resource {
        let text = format!("Too many tags added for queue: at most {}.", limits.tags_per_resource);
        return Err(faults::invalid(text));
    }
    let fits = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 && !key.starts_with("aws:")
    };
    match tags.iter().all(fits) {
        true => Ok(()),
        false => Err(faults::invalid(
            "Tag keys must be between 1 and 128 characters in length and not start with aws:, tag values at most \
             256.",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    queue_url: String,
    tags: BTreeMap<String, String>,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Tag) -> Result<(), Fault> {
    let mut queue = open(cx, &input.queue_url)?;
    queue.record.tags.extend(input.tags);
    check(&queue.record.tags, cx.limits)?;
    QUEUES.put(cx.tx, &queue.key, &queue.record);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Untag {
    queue_url: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    let mut queue = open(cx, &input.queue_url)?;
    queue.record.tags.retain(|key, _| !input.tag_keys.contains(key));
    QUEUES.put(cx.tx, &queue.key, &queue.record);
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: BTreeMap<String, String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: Named) -> Result<Listed, Fault> {
    Ok(Listed { tags: open(cx, &input.queue_url)?.record.tags })
}
