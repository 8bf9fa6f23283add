//! Tags of applications and deployment groups.

use super::faults;
use super::keys::{APPLICATIONS, GROUPS, GroupKey, NamedKey};
use crate::Cx;
use crate::tags::{Tag, fit, kept, shown};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) fn checked(cx: &Cx<'_>, tags: Vec<Tag>) -> Result<BTreeMap<String, String>, Fault> {
    let tags = kept(tags);
    match fit(&tags) && tags.len() <= cx.limits.tags_per_resource {
        true => Ok(tags),
        false => Err(faults::bad_tags()),
    }
}

enum Tagged {
    Application(NamedKey),
    Group(GroupKey),
}

fn tagged(cx: &mut Cx<'_>, text: &str) -> Result<Tagged, Fault> {
    let arn: Arn = text.parse().map_err(|_| faults::bad_arn(text))?;
    if arn.service != "codedeploy" {
        return Err(faults::bad_arn(text));
    }
    cx.allow(&arn)?;
    let (account, region) = (arn.account, arn.region);
    if let Some(name) = arn.resource.strip_prefix("application:") {
        return Ok(Tagged::Application((account, region, name.to_owned())));
    }
    let group = arn.resource.strip_prefix("deploymentgroup:").and_then(|group| group.split_once('/'));
    let (application, name) = group.ok_or_else(|| faults::bad_arn(text))?;
    Ok(Tagged::Group((account, region, application.to_owned(), name.to_owned())))
}

/// Changes the tags of what the ARN names; gives them back as they are then.
fn change(
    cx: &mut Cx<'_>,
    arn: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, Fault> {
    let within =
        |cx: &Cx<'_>, tags: &BTreeMap<String, String>| match tags.len() <= cx.limits.tags_per_resource {
            true => Ok(()),
            false => Err(faults::bad_tags()),
        };
    match tagged(cx, arn)? {
        Tagged::Application(key) => {
            let found = APPLICATIONS.get(cx.tx, &key)?;
            let mut row = found.ok_or_else(|| faults::no_application(&key.2))?;
            let before = row.tags.clone();
            change(&mut row.tags);
            within(cx, &row.tags)?;
            if row.tags != before {
                APPLICATIONS.put(cx.tx, &key, &row);
            }
            Ok(row.tags)
        }
        Tagged::Group(key) => {
            let mut row = GROUPS.get(cx.tx, &key)?.ok_or_else(|| faults::no_group(&key.3))?;
            let before = row.tags.clone();
            change(&mut row.tags);
            within(cx, &row.tags)?;
            if row.tags != before {
                GROUPS.put(cx.tx, &key, &row);
            }
            Ok(row.tags)
        }
    }
}

#[derive(Serialize)]
pub(super) struct Done {}

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
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: Vec<Tag>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    if input.next_token.is_some() {
        return Err(faults::bad_token());
    }
    let tags = change(cx, &input.resource_arn, |_| {})?;
    Ok(Listed { tags: shown(tags) })
}
