//! Groups of schedules. A group is deleted with its schedules, which takes its time if there are many.

use super::faults;
use super::keys::{GROUPS, GroupKey, SWEEPS, group_arn};
use super::model::{DEFAULT_GROUP, Group, Mark};
use super::tags;
use crate::tags::Tag;
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

pub(super) const PAGE: usize = 100;

pub(super) fn key(cx: &Cx<'_>, name: &str) -> GroupKey {
    (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
}

/// The group of this name. The default group is always there.
pub(super) fn find(cx: &Cx<'_>, key: &GroupKey) -> Result<Group, Fault> {
    match GROUPS.get(cx.tx, key)? {
        Some(group) => Ok(group),
        None if key.2 == DEFAULT_GROUP => Ok(Group::default()),
        None => Err(faults::no_group(&key.2)),
    }
}

pub(super) fn check_name(member: &str, name: &str) -> Result<(), Fault> {
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match fits && (1..=64).contains(&name.len()) {
        true => Ok(()),
        false => {
            let rule = "Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]{1,64}";
            Err(faults::constraint(member, name, rule))
        }
    }
}

/// Calls are done once however often they are sent, by what they do, so that a token only has to be one.
pub(super) fn check_token(token: Option<&str>) -> Result<(), Fault> {
    let Some(token) = token else { return Ok(()) };
    let fits = token.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    match fits && (1..=64).contains(&token.len()) {
        true => Ok(()),
        false => {
            let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9-_]{1,64}";
            Err(faults::constraint("clientToken", token, rule))
        }
    }
}

/// What every listing takes: the beginning of names, and the place where the last page ended.
pub(super) fn check_listing(prefix: Option<&str>, token: Option<&str>) -> Result<(), Fault> {
    if let Some(prefix) = prefix {
        check_name("namePrefix", prefix)?;
    }
    match token {
        Some(token) if token.len() > 2048 => {
            let rule = "Member must have length less than or equal to 2048";
            Err(faults::constraint("nextToken", token, rule))
        }
        Some(_) | None => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    client_token: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    schedule_group_arn: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    check_name("name", &input.name)?;
    check_token(input.client_token.as_deref())?;
    let key = key(cx, &input.name);
    cx.allow(&group_arn(&key))?;
    if key.2 == DEFAULT_GROUP || GROUPS.contains(cx.tx, &key)? {
        return Err(faults::group_exists(&key.2));
    }
    let group = Group {
        created_ms: cx.now.ms(),
        tags: crate::tags::checked::<tags::Row>(cx, input.tags)?,
        deleting: false,
    };
    GROUPS.put(cx.tx, &key, &group);
    Ok(Created { schedule_group_arn: group_arn(&key).to_string() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    arn: String,
    name: String,
    state: &'static str,
    #[serde(with = "epoch_seconds")]
    creation_date: Time,
    #[serde(with = "epoch_seconds")]
    last_modification_date: Time,
}

fn shown(key: GroupKey, group: &Group) -> Shown {
    let created = Time::from_ms(group.created_ms);
    Shown {
        arn: group_arn(&key).to_string(),
        name: key.2,
        state: if group.deleting { "DELETING" } else { "ACTIVE" },
        creation_date: created,
        last_modification_date: created,
    }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let key = key(cx, &input.name);
    cx.allow(&group_arn(&key))?;
    let group = find(cx, &key)?;
    Ok(shown(key, &group))
}

#[derive(Serialize)]
pub(super) struct Done {}

#[derive(Deserialize)]
pub(super) struct Delete {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "clientToken")]
    token: Option<String>,
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<Done, Fault> {
    check_token(input.token.as_deref())?;
    let key = key(cx, &input.name);
    cx.allow(&group_arn(&key))?;
    if key.2 == DEFAULT_GROUP {
        return Err(faults::validation("The default schedule group cannot be deleted."));
    }
    let mut group = find(cx, &key)?;
    if group.deleting {
        return Err(faults::group_is_going(&key.2));
    }
    group.deleting = true;
    GROUPS.put(cx.tx, &key, &group);
    SWEEPS.put(cx.tx, &key, &Mark {});
    cx.signal(crate::Signal::Garbage);
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    schedule_groups: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn page(max: Option<usize>) -> Result<usize, Fault> {
    match max.unwrap_or(PAGE) {
        size @ 1..=PAGE => Ok(size),
        size => {
            let rule = "Member must have value between 1 and 100";
            Err(faults::constraint("maxResults", &size.to_string(), rule))
        }
    }
}

/// The default group comes in its place, whether or not it has a row.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("scheduler", "schedule-group/*");
    cx.allow(&resource)?;
    check_listing(input.name_prefix.as_deref(), input.next_token.as_deref())?;
    let limit = page(input.max_results)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, limit + 2).from(&key(cx, &prefix));
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(cx, token));
    }
    let rows = GROUPS.scan(cx.tx, scan)?.into_iter().take_while(|(key, _)| key.2.starts_with(&prefix));
    let mut rows: Vec<(GroupKey, Group)> = rows.collect();
    let after = input.next_token.as_deref().unwrap_or_default();
    let wanted = DEFAULT_GROUP.starts_with(&prefix) && after < DEFAULT_GROUP;
    if wanted && !rows.iter().any(|(key, _)| key.2 == DEFAULT_GROUP) {
        rows.push((key(cx, DEFAULT_GROUP), Group::default()));
        rows.sort_by(|(a, _), (b, _)| a.2.cmp(&b.2));
    }
    let (rows, next_token) = paging::cut(rows, limit, |(key, _)| key.2.clone());
    let schedule_groups = rows.into_iter().map(|(key, group)| shown(key, &group)).collect();
    Ok(Listed { schedule_groups, next_token })
}
