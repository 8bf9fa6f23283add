//! Tags of applications and deployment groups.

use super::faults;
use super::keys::{APPLICATIONS, GROUPS, GroupKey, NamedKey};
use super::model::{Application, Group};
use crate::Cx;
use crate::tags::{self, Listed, Misfit, Tag, Tagged, Tags};
use mayfly_kernel::{Arn, Fault};
use serde::Deserialize;

pub(super) enum Row {
    Application(NamedKey, Application),
    Group(GroupKey, Group),
}

impl Tagged for Row {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, text: &str) -> Result<Row, Fault> {
        let arn: Arn = text.parse().map_err(|_| faults::bad_arn(text))?;
        if arn.service != "codedeploy" {
            return Err(faults::bad_arn(text));
        }
        cx.allow(&arn)?;
        let (account, region) = (arn.account, arn.region);
        if let Some(name) = arn.resource.strip_prefix("application:") {
            let key = (account, region, name.to_owned());
            let row = APPLICATIONS.get(cx.tx, &key)?.ok_or_else(|| faults::no_application(name))?;
            return Ok(Row::Application(key, row));
        }
        let group = arn.resource.strip_prefix("deploymentgroup:").and_then(|group| group.split_once('/'));
        let (application, name) = group.ok_or_else(|| faults::bad_arn(text))?;
        let key = (account, region, application.to_owned(), name.to_owned());
        let row = GROUPS.get(cx.tx, &key)?.ok_or_else(|| faults::no_group(name))?;
        Ok(Row::Group(key, row))
    }

    fn tags(&mut self) -> &mut Tags {
        match self {
            Row::Application(_, application) => &mut application.tags,
            Row::Group(_, group) => &mut group.tags,
        }
    }

    fn save(self, cx: &mut Cx<'_>) {
        match self {
            Row::Application(key, application) => APPLICATIONS.put(cx.tx, &key, &application),
            Row::Group(key, group) => GROUPS.put(cx.tx, &key, &group),
        }
    }

    fn refusal(_: &Misfit<'_>) -> Fault {
        faults::bad_tags()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    resource_arn: String,
    next_token: Option<String>,
}

/// All of them fit one page.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed<Vec<Tag>>, Fault> {
    match input.next_token {
        Some(_) => Err(faults::bad_token()),
        None => tags::read::<Row>(cx, &input.resource_arn).map(Listed::new),
    }
}
