//! Applications: what deployment groups belong to.

use super::keys::{APPLICATIONS, GROUPS, NamedKey, application_arn};
use super::model::Application;
use super::{faults, groups, tags};
use crate::tags::Tag;
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

pub(super) const PAGE: usize = 100;
const PLATFORM: &str = "Lambda";
/// How many groups are deleted with their application; one with more is emptied first.
const GROUPS_MAX: usize = 1000;

pub(super) fn key(cx: &Cx<'_>, name: &str) -> NamedKey {
    (cx.caller.account.clone(), cx.caller.region.clone(), name.to_owned())
}

/// An application that the caller may use.
pub(super) fn open(cx: &mut Cx<'_>, name: &str) -> Result<(NamedKey, Application), Fault> {
    check_name(name)?;
    let key = key(cx, name);
    cx.allow(&application_arn(&key))?;
    let found = APPLICATIONS.get(cx.tx, &key)?.ok_or_else(|| faults::no_application(name))?;
    Ok((key, found))
}

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=100).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(faults::bad_application_name(name)),
    }
}

/// AWS deploys to servers if nothing is said; here that is refused by name.
pub(super) fn check_platform(platform: Option<&str>) -> Result<(), Fault> {
    match platform {
        Some(PLATFORM) => Ok(()),
        Some(other @ ("Server" | "ECS")) => Err(faults::no_platform(other)),
        None => Err(faults::no_platform("Server")),
        Some(other) => Err(faults::bad_platform(other)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    application_name: String,
    compute_platform: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    application_id: String,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    check_name(&input.application_name)?;
    check_platform(input.compute_platform.as_deref())?;
    let key = key(cx, &input.application_name);
    cx.allow(&application_arn(&key))?;
    if APPLICATIONS.contains(cx.tx, &key)? {
        return Err(faults::application_exists(&input.application_name));
    }
    let tags = crate::tags::checked::<tags::Row>(cx, input.tags)?;
    let made = Application { id: cx.ids.uuid(), created_ms: cx.now.ms(), tags };
    APPLICATIONS.put(cx.tx, &key, &made);
    Ok(Created { application_id: made.id })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    application_name: String,
}

#[derive(Serialize)]
pub(super) struct Got {
    application: Shown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    application_id: String,
    application_name: String,
    #[serde(with = "epoch_seconds")]
    create_time: Time,
    linked_to_git_hub: bool,
    compute_platform: &'static str,
}

impl Shown {
    fn new(name: String, row: Application) -> Shown {
        Shown {
            application_id: row.id,
            application_name: name,
            create_time: Time::from_ms(row.created_ms),
            linked_to_git_hub: false,
            compute_platform: PLATFORM,
        }
    }
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Got, Fault> {
    let (key, row) = open(cx, &input.application_name)?;
    Ok(Got { application: Shown::new(key.2, row) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    application_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    applications_info: Vec<Shown>,
}

pub(super) fn batch(cx: &mut Cx<'_>, input: Batch) -> Result<Found, Fault> {
    if input.application_names.len() > PAGE {
        return Err(faults::batch_too_long(PAGE));
    }
    let resource = cx.arn("codedeploy", "application:*");
    cx.allow(&resource)?;
    let mut applications_info = Vec::new();
    for name in input.application_names {
        let (key, row) = open(cx, &name)?;
        applications_info.push(Shown::new(key.2, row));
    }
    Ok(Found { applications_info })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    applications: Vec<String>,
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("codedeploy", "application:*");
    cx.allow(&resource)?;
    let mut scan = Scan::prefix(&(cx.caller.account.clone(), cx.caller.region.clone()), PAGE + 1);
    if let Some(token) = &input.next_token {
        scan = scan.after(&key(cx, token));
    }
    let names = APPLICATIONS.scan(cx.tx, scan)?.into_iter().map(|(key, _)| key.2).collect();
    let (applications, next_token) = paging::cut(names, PAGE, String::clone);
    Ok(Listed { applications, next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rename {
    application_name: Option<String>,
    new_application_name: Option<String>,
}

/// An application without groups takes another name; its deployments' history hangs on the old one.
pub(super) fn rename(cx: &mut Cx<'_>, input: Rename) -> Result<(), Fault> {
    let name = input.application_name.unwrap_or_default();
    let (old, row) = open(cx, &name)?;
    let Some(new) = input.new_application_name.filter(|new| *new != name) else { return Ok(()) };
    check_name(&new)?;
    let key = key(cx, &new);
    if APPLICATIONS.contains(cx.tx, &key)? {
        return Err(faults::application_exists(&new));
    }
    if !GROUPS.scan(cx.tx, Scan::prefix(&old, 1))?.is_empty() {
        return Err(Fault::not_implemented("a new name for an application that has deployment groups"));
    }
    APPLICATIONS.delete(cx.tx, &old);
    APPLICATIONS.put(cx.tx, &key, &row);
    Ok(())
}

/// Its groups and their history go with it. Deleting one that is not there succeeds, as AWS's does.
pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    check_name(&input.application_name)?;
    let key = key(cx, &input.application_name);
    cx.allow(&application_arn(&key))?;
    for (group, _) in GROUPS.scan(cx.tx, Scan::prefix(&key, GROUPS_MAX))? {
        groups::remove(cx, &group)?;
    }
    APPLICATIONS.delete(cx.tx, &key);
    Ok(())
}
