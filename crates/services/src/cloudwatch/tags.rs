//! Tags of alarms.

use super::faults;
use super::keys::{ALARMS, alarm_of};
use crate::Cx;
use crate::tags::{Tag, fit, kept, shown};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn checked(cx: &Cx<'_>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    let tags = kept(tags);
    match fit(&tags) && tags.len() <= cx.limits.tags_per_resource {
        true => Ok(tags),
        false => {
            let text = "At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.";
            Err(faults::bad_value(text))
        }
    }
}

/// Changes the tags of the alarm that the ARN names; gives them back as they are then.
fn change(
    cx: &mut Cx<'_>,
    text: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Fault> {
    let arn: Arn = text.parse().map_err(|_| faults::bad_value(format!("Invalid ARN: {text}")))?;
    cx.allow(&arn)?;
    let key = alarm_of(&arn).ok_or_else(|| faults::no_resource(text))?;
    let mut alarm = ALARMS.get(cx.tx, &key)?.ok_or_else(|| faults::no_resource(text))?;
    let before = alarm.tags.clone();
    change(&mut alarm.tags);
    if alarm.tags.len() > cx.limits.tags_per_resource {
        return Err(faults::bad_value("An alarm has at most 50 tags."));
    }
    if alarm.tags != before {
        ALARMS.put(cx.tx, &key, &alarm);
    }
    Ok(alarm.tags)
}

#[derive(Serialize)]
pub(super) struct Done {}

#[derive(Deserialize)]
pub(super) struct Add {
    #[serde(rename = "ResourceARN")]
    arn: String,
    #[serde(rename = "Tags")]
    tags: Vec<Tag>,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Done, Fault> {
    let new = checked(cx, input.tags)?;
    change(cx, &input.arn, |tags| tags.extend(new)).map(|_| Done {})
}

#[derive(Deserialize)]
pub(super) struct Remove {
    #[serde(rename = "ResourceARN")]
    arn: String,
    #[serde(rename = "TagKeys")]
    tag_keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    change(cx, &input.arn, |tags| tags.retain(|key, _| !input.tag_keys.contains(key))).map(|_| Done {})
}

#[derive(Deserialize)]
pub(super) struct List {
    #[serde(rename = "ResourceARN")]
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: Vec<Tag>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let tags = change(cx, &input.arn, |_| {})?;
    Ok(Listed { tags: shown(tags) })
}
