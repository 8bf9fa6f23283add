//! Log groups: their life, retention and tags.

use super::faults;
use super::keys::{GROUPS, RETAINED, SWEEPS};
use super::model::{Group, RETENTION_DAYS, Retained, Sweep, check_group_name, check_name_part};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

type Key = (String, String, String);

/// How many groups are looked at for one page of a search by substring.
const SEARCH_PAGE: usize = 10_000;
const STANDARD: &str = "STANDARD";
const CLASSES: [&str; 3] = [STANDARD, "INFREQUENT_ACCESS", "DELIVERY"];

fn arn(cx: &Cx<'_>, group: &str) -> Arn {
    cx.arn("logs", format!("log-group:{group}"))
}

fn key(cx: &Cx<'_>, group: &str) -> Key {
    (cx.caller.account.clone(), cx.caller.region.clone(), group.into())
}

/// The group of this name, if the caller may use it.
pub(super) fn find(cx: &mut Cx<'_>, group: &str) -> Result<Group, Fault> {
    let resource = arn(cx, group);
    cx.allow(&resource)?;
    GROUPS.get(cx.tx, &key(cx, group))?.ok_or_else(faults::no_group)
}

/// The group's name, from its name or its ARN.
pub(super) fn name_of(name: Option<String>, identifier: Option<String>) -> Result<String, Fault> {
    let text = name
        .or(identifier)
        .ok_or_else(|| faults::invalid("logGroupName or logGroupIdentifier is required"))?;
    let name = match text.split_once(":log-group:") {
        Some((_, name)) => name.trim_end_matches(":*").to_owned(),
        None => text,
    };
    check_group_name(&name)?;
    Ok(name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    log_group_name: String,
    #[serde(default)]
    tags: HashMap<String, String>,
    log_group_class: Option<String>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<(), Fault> {
    check_group_name(&input.log_group_name)?;
    if input.log_group_class.is_some_and(|class| class != STANDARD) {
        return Err(Fault::not_implemented("log group classes other than STANDARD"));
    }
    let resource = arn(cx, &input.log_group_name);
    cx.allow(&resource)?;
    if GROUPS.contains(cx.tx, &key(cx, &input.log_group_name))? {
        return Err(faults::group_exists());
    }
    add(cx, &input.log_group_name, input.tags);
    Ok(())
}

/// Writes a new group down.
pub(super) fn add(cx: &mut Cx<'_>, name: &str, tags: HashMap<String, String>) -> Group {
    let group = Group { id: cx.ids.number(), created_ms: cx.now.ms(), retention_days: 0, tags };
    let key = key(cx, name);
    GROUPS.put(cx.tx, &key, &group);
    group
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    log_group_name: String,
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let group = find(cx, &input.log_group_name)?;
    let key = key(cx, &input.log_group_name);
    GROUPS.delete(cx.tx, &key);
    SWEEPS.put(cx.tx, &(group.id,), &Sweep { whole: true });
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

impl Describe {
    fn check(&self) -> Result<(), Fault> {
        if let Some(prefix) = &self.log_group_name_prefix {
            check_name_part("logGroupNamePrefix", prefix)?;
        }
        if let Some(pattern) = self.log_group_name_pattern.as_ref().filter(|pattern| !pattern.is_empty()) {
            check_name_part("logGroupNamePattern", pattern)?;
        }
        if self.log_group_name_prefix.is_some() && self.log_group_name_pattern.is_some() {
            return Err(faults::invalid(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            ));
        }
        if let Some(class) = self.log_group_class.as_ref().filter(|class| !CLASSES.contains(&class.as_str()))
        {
            let rule = format!("Member must satisfy enum value set: [{}]", CLASSES.join(", "));
            return Err(faults::constraint("logGroupClass", class, &rule));
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupView {
    log_group_name: String,
    creation_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_in_days: Option<u32>,
    metric_filter_count: u32,
    arn: String,
    log_group_arn: String,
    log_group_class: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    log_groups: Vec<GroupView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let resource = arn(cx, "*");
    cx.allow(&resource)?;
    let limit = page_size(input.limit)?;
    input.check()?;
    if input.log_group_class.as_ref().is_some_and(|class| class != STANDARD) {
        return Ok(Described { log_groups: Vec::new(), next_token: None });
    }
    let (account, region, _) = key(cx, "");
    let prefix = input.log_group_name_prefix.unwrap_or_default();
    let wanted = |name: &str| {
        name.starts_with(&prefix)
            && input.log_group_name_pattern.as_ref().is_none_or(|pattern| name.contains(pattern.as_str()))
    };
    let page = if input.log_group_name_pattern.is_some() { SEARCH_PAGE } else { limit + 1 };
    let start = (account.clone(), region.clone(), prefix.clone());
    let mut scan = Scan::prefix(&(account.clone(), region.clone()), page).from(&start);
    if let Some(token) = &input.next_token {
        scan = scan.after(&(account, region, token.clone()));
    }
    let mut groups = Vec::new();
    let mut next_token = None;
    for ((_, _, name), group) in GROUPS.scan(cx.tx, scan)? {
        if !name.starts_with(&prefix) {
            break;
        }
        if !wanted(&name) {
            continue;
        }
        if groups.len() == limit {
            next_token = groups.last().map(|last: &GroupView| last.log_group_name.clone());
            break;
        }
        groups.push(view(cx, name, &group));
    }
    Ok(Described { log_groups: groups, next_token })
}

fn view(cx: &Cx<'_>, name: String, group: &Group) -> GroupView {
    let arn = arn(cx, &name).to_string();
    GroupView {
        log_group_name: name,
        creation_time: group.created_ms,
        retention_in_days: (group.retention_days > 0).then_some(group.retention_days),
        metric_filter_count: 0,
        arn: format!("{arn}:*"),
        log_group_arn: arn,
        log_group_class: STANDARD,
    }
}

/// One to fifty, fifty by default.
pub(super) fn page_size(limit: Option<usize>) -> Result<usize, Fault> {
    match limit.unwrap_or(50) {
        limit @ 1..=50 => Ok(limit),
        other => Err(faults::constraint(
            "limit",
            &other.to_string(),
            "Member must have value less than or equal to 50",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutRetention {
    log_group_name: String,
    retention_in_days: u32,
}

pub(super) fn put_retention(cx: &mut Cx<'_>, input: PutRetention) -> Result<(), Fault> {
    let mut group = find(cx, &input.log_group_name)?;
    if !RETENTION_DAYS.contains(&input.retention_in_days) {
        return Err(faults::invalid(format!("Invalid retention value: {}", input.retention_in_days)));
    }
    group.retention_days = input.retention_in_days;
    let key = key(cx, &input.log_group_name);
    GROUPS.put(cx.tx, &key, &group);
    let (account, region, name) = key;
    let retained = Retained { account, region, name, days: group.retention_days };
    RETAINED.put(cx.tx, &(cx.now, group.id), &retained);
    Ok(())
}

pub(super) fn delete_retention(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let mut group = find(cx, &input.log_group_name)?;
    group.retention_days = 0;
    let key = key(cx, &input.log_group_name);
    GROUPS.put(cx.tx, &key, &group);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tag {
    resource_arn: String,
    tags: HashMap<String, String>,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Tag) -> Result<(), Fault> {
    let name = name_of(Some(input.resource_arn), None)?;
    let mut group = find(cx, &name)?;
    group.tags.extend(input.tags);
    if group.tags.len() > cx.limits.tags_per_resource {
        let text = format!("A resource may have at most {} tags.", cx.limits.tags_per_resource);
        return Err(Fault::new(400, "TooManyTagsException", text));
    }
    let key = key(cx, &name);
    GROUPS.put(cx.tx, &key, &group);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    let name = name_of(Some(input.resource_arn), None)?;
    let mut group = find(cx, &name)?;
    group.tags.retain(|key, _| !input.tag_keys.contains(key));
    let key = key(cx, &name);
    GROUPS.put(cx.tx, &key, &group);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListTags {
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Tags {
    tags: BTreeMap<String, String>,
}

pub(super) fn list_tags(cx: &mut Cx<'_>, input: ListTags) -> Result<Tags, Fault> {
    let name = name_of(Some(input.resource_arn), None)?;
    Ok(Tags { tags: find(cx, &name)?.tags.into_iter().collect() })
}
