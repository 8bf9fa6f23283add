//! Tags of APIs: `arn:aws:apigateway:REGION::/apis/ID`.

use super::model::Api;
use super::{apis, faults};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

fn find(cx: &mut Cx<'_>, arn: &str) -> Result<Api, Fault> {
    let id = arn.rsplit_once("/apis/").map(|(_, id)| id).unwrap_or_default();
    if id.is_empty() || id.contains('/') {
        return Err(faults::bad(format!("Invalid resource ARN: {arn}")));
    }
    apis::find(cx, id)
}

#[derive(Deserialize)]
pub(super) struct Tag {
    #[serde(rename = "resource-arn")]
    resource_arn: String,
    #[serde(default)]
    tags: HashMap<String, String>,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Tag) -> Result<(), Fault> {
    let mut api = find(cx, &input.resource_arn)?;
    api.tags.extend(input.tags);
    apis::check_tags(cx, &api.tags)?;
    apis::save(cx, &api);
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct Untag {
    #[serde(rename = "resource-arn")]
    resource_arn: String,
    #[serde(rename = "tagKeys")]
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    let mut api = find(cx, &input.resource_arn)?;
    api.tags.retain(|key, _| !input.tag_keys.contains(key));
    apis::save(cx, &api);
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct Get {
    #[serde(rename = "resource-arn")]
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Tags {
    tags: BTreeMap<String, String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Tags, Fault> {
    Ok(Tags { tags: find(cx, &input.resource_arn)?.tags.into_iter().collect() })
}
