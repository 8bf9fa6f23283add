//! Tags of queues.

use super::faults;
use super::keys::QUEUES;
use super::queues::{Named, open};
use crate::Cx;
use crate::tags::{Misfit, Tags, misfit};
use mayfly_kernel::{Fault, Limits};
use serde::{Deserialize, Serialize};

pub(super) fn check(tags: &Tags, limits: &Limits) -> Result<(), Fault> {
    Err(faults::invalid(match misfit(tags, limits.tags_per_resource) {
        None => return Ok(()),
        Some(Misfit::Count(limit)) => format!("Too many tags added for queue: at most {limit}."),
        Some(Misfit::Key(_) | Misfit::Value(_)) => {
            "Tag keys must be between 1 and 128 characters in length and not start with aws:, tag values at most \
             256."
                .to_owned()
        }
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    queue_url: String,
    tags: Tags,
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
    tags: Tags,
}

pub(super) fn list(cx: &mut Cx<'_>, input: Named) -> Result<Listed, Fault> {
    Ok(Listed { tags: open(cx, &input.queue_url)?.record.tags })
}
