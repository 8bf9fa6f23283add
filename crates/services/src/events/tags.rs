//! Tags of buses and rules.

use super::faults;
use super::keys::RULES;
use super::names::{self, open_bus};
use super::{buses, model};
use crate::Cx;
use crate::tags::{Tag, fit, kept, shown};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn checked(cx: &Cx<'_>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    let tags = kept(tags);
    if !fit(&tags) {
        let text = "Tag keys must be 1 to 128 characters and not start with aws:, tag values at most 256.";
        return Err(faults::validation(text));
    }
    match tags.len() <= cx.limits.tags_per_resource {
        true => Ok(tags),
        false => {
            Err(faults::validation(format!("A resource has at most {} tags.", cx.limits.tags_per_resource)))
        }
    }
}

/// Changes the tags of what the ARN names; gives them back as they are then.
fn change(
    cx: &mut Cx<'_>,
    arn: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Fault> {
    let parsed: Arn =
        arn.parse().map_err(|_| faults::validation(format!("Parameter {arn} is not valid.")))?;
    if parsed.resource.starts_with("event-bus/") {
        let (key, mut bus) = open_bus(cx, Some(arn))?;
        let before = bus.tags.clone();
        change(&mut bus.tags);
        if bus.tags != before {
            buses::put(cx, &key, &mut bus);
        }
        return Ok(bus.tags);
    }
    let key = names::rule_of(&parsed)
        .ok_or_else(|| faults::validation(format!("Parameter {arn} is not valid.")))?;
    cx.allow(&parsed)?;
    let mut rule: model::Rule = RULES.get(cx.tx, &key)?.ok_or_else(|| faults::no_rule(&key.3, &key.2))?;
    let before = rule.tags.clone();
    change(&mut rule.tags);
    if rule.tags != before {
        RULES.put(cx.tx, &key, &rule);
    }
    Ok(rule.tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Add {
    #[serde(rename = "ResourceARN")]
    resource: String,
    tags: Vec<Tag>,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<(), Fault> {
    let new = checked(cx, input.tags)?;
    let all = change(cx, &input.resource, |tags| tags.extend(new))?;
    match all.len() <= cx.limits.tags_per_resource {
        true => Ok(()),
        false => {
            Err(faults::validation(format!("A resource has at most {} tags.", cx.limits.tags_per_resource)))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Remove {
    #[serde(rename = "ResourceARN")]
    resource: String,
    tag_keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<(), Fault> {
    change(cx, &input.resource, |tags| tags.retain(|key, _| !input.tag_keys.contains(key))).map(drop)
}

#[derive(Deserialize)]
pub(super) struct List {
    #[serde(rename = "ResourceARN")]
    resource: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: Vec<Tag>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let tags = change(cx, &input.resource, |_| {})?;
    Ok(Listed { tags: shown(tags) })
}
