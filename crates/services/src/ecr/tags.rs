//! Tags of repositories: `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`.

use super::faults;
use super::keys::REPOSITORIES;
use super::repositories::{self, Open};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Deserialize, Serialize)]
pub(super) struct Pair {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value")]
    value: String,
}

/// Adds pairs to what is there, within the rules.
pub(super) fn add(cx: &Cx<'_>, to: &mut BTreeMap<String, String>, pairs: Vec<Pair>) -> Result<(), Fault> {
    for Pair { key, value } in pairs {
        if !(1..=128).contains(&key.chars().count()) || key.starts_with("aws:") {
            return Err(faults::bad_tags(format!("The key of a tag is not valid: {key}")));
        }
        if value.chars().count() > 256 {
            return Err(faults::bad_tags(format!(
                "The value of the tag {key} is longer than 256 characters"
            )));
        }
        to.insert(key, value);
    }
    match cx.limits.tags_per_resource {
        limit if to.len() > limit => Err(faults::too_many_tags(limit)),
        _ => Ok(()),
    }
}

fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Open, Fault> {
    let parsed: Option<Arn> = arn.parse().ok();
    let name = parsed.as_ref().filter(|arn| arn.service == "ecr");
    let name = name.and_then(|arn| arn.resource.strip_prefix("repository/"));
    match name {
        Some(name) => repositories::open(cx, name, parsed.as_ref().map(|arn| arn.account.as_str())),
        None => Err(faults::invalid("resourceArn", format_args!("'{arn}' is not the ARN of a repository"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tag {
    resource_arn: String,
    tags: Vec<Pair>,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Tag) -> Result<(), Fault> {
    let mut open = open(cx, &input.resource_arn)?;
    add(cx, &mut open.row.tags, input.tags)?;
    REPOSITORIES.put(cx.tx, &open.key, &open.row);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    let mut open = open(cx, &input.resource_arn)?;
    open.row.tags.retain(|key, _| !input.tag_keys.contains(key));
    REPOSITORIES.put(cx.tx, &open.key, &open.row);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Listed {
    tags: Vec<Pair>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: Named) -> Result<Listed, Fault> {
    let open = open(cx, &input.resource_arn)?;
    let pair = |(key, value)| Pair { key, value };
    Ok(Listed { tags: open.row.tags.into_iter().map(pair).collect() })
}
