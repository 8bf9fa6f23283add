//! Tags of functions and mappings: TagResource, UntagResource, ListTags. They belong to the function, not to a
//! version.

use super::keys::TAGS;
use super::model::TagsRow;
use super::names::{self, Function};
use super::{faults, lookup, mappings};
use crate::Cx;
use crate::tags::{Misfit, Tags, misfit};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

const PATTERN: &str = concat!(
    r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0",
    r"-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9",
    r"a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0",
    r"-9-_]+)",
);

pub(super) fn of(cx: &Cx<'_>, function: &Function) -> Result<Tags, Fault> {
    Ok(TAGS.get(cx.tx, &function.key())?.unwrap_or_default().tags)
}

pub(super) fn check(cx: &Cx<'_>, tags: &Tags) -> Result<(), Fault> {
    Err(faults::parameter(match misfit(tags, cx.limits.tags_per_resource) {
        None => return Ok(()),
        Some(Misfit::Count(_)) => "Number of tags exceeds resource tag limit.".to_owned(),
        Some(Misfit::Key(key) | Misfit::Value(key)) => format!("The tag {key} is not valid."),
    }))
}

/// Replaces all tags.
pub(super) fn store(cx: &mut Cx<'_>, function: &Function, tags: Tags) -> Result<(), Fault> {
    check(cx, &tags)?;
    match tags.is_empty() {
        true => TAGS.delete(cx.tx, &function.key()),
        false => TAGS.put(cx.tx, &function.key(), &TagsRow { tags }),
    }
    Ok(())
}

/// What has tags.
enum Tagged {
    Function(Function),
    /// By its id.
    Mapping(String),
}

impl Tagged {
    /// A tag operation names functions by their whole, unqualified ARNs, and mappings by theirs.
    fn read(cx: &mut Cx<'_>, resource: &str) -> Result<Tagged, Fault> {
        if !resource.starts_with("arn:") {
            return Err(faults::pattern(resource, "resource", PATTERN));
        }
        if let Some((_, id)) = resource.split_once(":event-source-mapping:") {
            return Ok(Tagged::Mapping(id.to_owned()));
        }
        let function = names::function(cx, resource, None)?;
        if function.qualifier.is_some() {
            return Err(faults::parameter(
                "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            ));
        }
        lookup::function(cx, &function)?;
        Ok(Tagged::Function(function))
    }

    fn tags(&self, cx: &mut Cx<'_>) -> Result<Tags, Fault> {
        match self {
            Tagged::Function(function) => of(cx, function),
            Tagged::Mapping(id) => mappings::tags_of(cx, id),
        }
    }

    fn store(&self, cx: &mut Cx<'_>, tags: Tags) -> Result<(), Fault> {
        match self {
            Tagged::Function(function) => store(cx, function, tags),
            Tagged::Mapping(id) => {
                check(cx, &tags)?;
                mappings::store_tags(cx, id, tags)
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    resource: String,
    tags: Tags,
}

pub(super) fn tag(cx: &mut Cx<'_>, input: Tag) -> Result<(), Fault> {
    if input.tags.is_empty() {
        return Err(faults::parameter("An error occurred and the request cannot be processed."));
    }
    let tagged = Tagged::read(cx, &input.resource)?;
    let mut tags = tagged.tags(cx)?;
    tags.extend(input.tags);
    tagged.store(cx, tags)
}

#[derive(Deserialize)]
pub(super) struct Untag {
    #[serde(rename = "Resource")]
    resource: String,
    #[serde(rename = "tagKeys")]
    tag_keys: Vec<String>,
}

pub(super) fn untag(cx: &mut Cx<'_>, input: Untag) -> Result<(), Fault> {
    let tagged = Tagged::read(cx, &input.resource)?;
    let mut tags = tagged.tags(cx)?;
    tags.retain(|key, _| !input.tag_keys.contains(key));
    tagged.store(cx, tags)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    resource: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    tags: Tags,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let tagged = Tagged::read(cx, &input.resource)?;
    Ok(Listed { tags: tagged.tags(cx)? })
}
