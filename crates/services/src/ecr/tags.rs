//! Tags of repositories: `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`.

use super::faults;
use super::keys::REPOSITORIES;
use super::repositories::{self, Open};
use crate::Cx;
use crate::tags::{self, Misfit, Tag, Tagged, Tags};
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};

impl Tagged for Open {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Open, Fault> {
        let parsed: Option<Arn> = arn.parse().ok();
        let name = parsed.as_ref().filter(|arn| arn.service == "ecr");
        let name = name.and_then(|arn| arn.resource.strip_prefix("repository/"));
        match name {
            Some(name) => repositories::open(cx, name, parsed.as_ref().map(|arn| arn.account.as_str())),
            None => {
                Err(faults::invalid("resourceArn", format_args!("'{arn}' is not the ARN of a repository")))
            }
        }
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.row.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        REPOSITORIES.put(cx.tx, &self.key, &self.row);
    }

    fn refusal(misfit: &Misfit<'_>) -> Fault {
        match misfit {
            Misfit::Key(key) => faults::bad_tags(format!("The key of a tag is not valid: {key}")),
            Misfit::Value(key) => {
                faults::bad_tags(format!("The value of the tag {key} is longer than 256 characters"))
            }
            Misfit::Count(limit) => faults::too_many_tags(*limit),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    resource_arn: String,
    tags: Vec<Tag>,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Add) -> Result<(), Fault> {
    tags::extend::<Open>(cx, &input.resource_arn, input.tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Untag {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    tags::remove::<Open>(cx, &input.resource_arn, &input.tag_keys)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Listed {
    tags: Vec<Tag>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: Named) -> Result<Listed, Fault> {
    tags::read::<Open>(cx, &input.resource_arn).map(|tags| Listed { tags })
}
