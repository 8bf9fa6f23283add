//! Tags of topics.

use super::faults;
use super::keys::TOPICS;
use super::topics::{Opened, find, read_arn};
use crate::Cx;
use crate::tags::fit;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// Tags as they are kept.
pub(super) fn read(cx: &Cx<'_>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    let tags: BTreeMap<_, _> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if tags.len() > cx.limits.tags_per_resource {
        return Err(faults::too_many_tags());
    }
    match fit(&tags) {
        true => Ok(tags),
        false => Err(faults::invalid("Tags Reason: a key or value is not valid")),
    }
}

fn tagged(cx: &mut Cx<'_>, arn: &str) -> Result<Opened, Fault> {
    let arn = read_arn(arn, "ResourceArn")?;
    cx.allow(&arn)?;
    find(cx, &arn)?.ok_or_else(faults::no_resource)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Serialize)]
pub(super) struct Done {}

pub(super) fn tag(cx: &mut Cx<'_>, input: Put) -> Result<Done, Fault> {
    let mut topic = tagged(cx, &input.resource_arn)?;
    topic.record.tags.extend(read(cx, input.tags)?);
    if topic.record.tags.len() > cx.limits.tags_per_resource {
        return Err(faults::too_many_tags());
    }
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<Done, Fault> {
    let mut topic = tagged(cx, &input.resource_arn)?;
    topic.record.tags.retain(|key, _| !input.tag_keys.contains(key));
    TOPICS.put(cx.tx, &topic.key, &topic.record);
    Ok(Done {})
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
    let topic = tagged(cx, &input.resource_arn)?;
    let tags = topic.record.tags.into_iter().map(|(key, value)| Tag { key, value });
    Ok(Listed { tags: tags.collect() })
}
