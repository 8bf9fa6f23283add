//! Tags of pipes.

use super::{Key, PIPES, Pipe, faults, operations};
use crate::Cx;
use crate::tags::{self, Done, Misfit, Tagged, Tags};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

pub(super) struct Row(Key, Pipe);

impl Tagged for Row {
    type Form = Tags;

    fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Row, Fault> {
        let name = arn.split_once(":pipe/").map(|(_, name)| name);
        let name = name.ok_or_else(|| faults::validation(format!("Invalid resource ARN: {arn}")))?;
        operations::open(cx, name).map(|(key, pipe)| Row(key, pipe))
    }

    fn tags(&mut self) -> &mut Tags {
        &mut self.1.tags
    }

    fn save(self, cx: &mut Cx<'_>) {
        PIPES.put(cx.tx, &self.0, &self.1);
    }

    fn refusal(_: &Misfit<'_>) -> Fault {
        faults::validation("At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    resource_arn: String,
    tags: Tags,
}

pub(super) fn add(cx: &mut Cx<'_>, input: Add) -> Result<Done, Fault> {
    tags::extend::<Row>(cx, &input.resource_arn, input.tags).map(|()| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(super) fn remove(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    tags::remove::<Row>(cx, &input.resource_arn, &input.tag_keys).map(|()| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Listed {
    tags: Tags,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    tags::read::<Row>(cx, &input.resource_arn).map(|tags| Listed { tags })
}
