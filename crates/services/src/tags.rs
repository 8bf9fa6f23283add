//! Tags: pairs of a key and a value on whatever a service calls a resource.
//!
//! The rules and the operations are the same everywhere. A service says what of it has tags ([`Tagged`]): how
//! a row is found by its ARN and kept, in which form it takes and shows them, and its words for what does not
//! fit. Where members are spelled as most services do, the operations are those here; where they are not,
//! inputs are the service's own and call [`extend`], [`remove`] and [`read`].

use crate::Cx;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As they are kept.
pub(crate) type Tags = BTreeMap<String, String>;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// Tags as a service takes and shows them.
pub(crate) trait Form {
    /// Of a key that comes twice the last.
    fn kept(self) -> Tags;
    fn shown(tags: Tags) -> Self;
}

impl Form for Vec<Tag> {
    fn kept(self) -> Tags {
        self.into_iter().map(|tag| (tag.key, tag.value)).collect()
    }

    fn shown(tags: Tags) -> Vec<Tag> {
        tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
    }
}

impl Form for Tags {
    fn kept(self) -> Tags {
        self
    }

    fn shown(tags: Tags) -> Tags {
        tags
    }
}

/// What of tags AWS does not take.
pub(crate) enum Misfit<'a> {
    /// It has not 1 to 128 characters, or is one of AWS's own.
    Key(&'a str),
    /// The value of this key has more than 256 characters.
    Value(&'a str),
    /// There are more than so many.
    Count(usize),
}

pub(crate) fn misfit(tags: &Tags, limit: usize) -> Option<Misfit<'_>> {
    let misfit = tags.iter().find_map(|(key, value)| match key.chars().count() {
        1..=128 if key.starts_with("aws:") => Some(Misfit::Key(key)),
        1..=128 if value.chars().count() > 256 => Some(Misfit::Value(key)),
        1..=128 => None,
        _ => Some(Misfit::Key(key)),
    });
    misfit.or_else(|| (tags.len() > limit).then_some(Misfit::Count(limit)))
}

/// A row that has tags.
pub(crate) trait Tagged: Sized {
    type Form: Form;
    /// Finds the row that the ARN names, and asks whether the caller may do this to it.
    fn open(cx: &mut Cx<'_>, arn: &str) -> Result<Self, Fault>;
    fn tags(&mut self) -> &mut Tags;
    fn save(self, cx: &mut Cx<'_>);
    fn refusal(misfit: &Misfit<'_>) -> Fault;
}

/// Tags of something new, or to be added.
pub(crate) fn checked<T: Tagged>(cx: &Cx<'_>, tags: T::Form) -> Result<Tags, Fault> {
    let tags = tags.kept();
    match misfit(&tags, cx.limits.tags_per_resource) {
        Some(misfit) => Err(T::refusal(&misfit)),
        None => Ok(tags),
    }
}

pub(crate) fn extend<T: Tagged>(cx: &mut Cx<'_>, arn: &str, tags: T::Form) -> Result<(), Fault> {
    let new = checked::<T>(cx, tags)?;
    let mut row = T::open(cx, arn)?;
    row.tags().extend(new);
    let limit = cx.limits.tags_per_resource;
    if row.tags().len() > limit {
        return Err(T::refusal(&Misfit::Count(limit)));
    }
    row.save(cx);
    Ok(())
}

/// Keys that are not there are no fault.
pub(crate) fn remove<T: Tagged>(cx: &mut Cx<'_>, arn: &str, keys: &[String]) -> Result<(), Fault> {
    let mut row = T::open(cx, arn)?;
    let before = row.tags().len();
    row.tags().retain(|key, _| !keys.contains(key));
    if row.tags().len() < before {
        row.save(cx);
    }
    Ok(())
}

pub(crate) fn read<T: Tagged>(cx: &mut Cx<'_>, arn: &str) -> Result<T::Form, Fault> {
    Ok(T::Form::shown(std::mem::take(T::open(cx, arn)?.tags())))
}

#[derive(Serialize)]
pub(crate) struct Done {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Add<F> {
    #[serde(alias = "ResourceARN")]
    resource_arn: String,
    tags: F,
}

pub(crate) fn tag<T: Tagged>(cx: &mut Cx<'_>, input: Add<T::Form>) -> Result<Done, Fault> {
    extend::<T>(cx, &input.resource_arn, input.tags).map(|()| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Remove {
    #[serde(alias = "ResourceARN")]
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(crate) fn untag<T: Tagged>(cx: &mut Cx<'_>, input: Remove) -> Result<Done, Fault> {
    remove::<T>(cx, &input.resource_arn, &input.tag_keys).map(|()| Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    #[serde(alias = "ResourceARN")]
    resource_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed<F> {
    tags: F,
}

impl<F> Listed<F> {
    pub(crate) fn new(tags: F) -> Listed<F> {
        Listed { tags }
    }
}

pub(crate) fn list<T: Tagged>(cx: &mut Cx<'_>, input: List) -> Result<Listed<T::Form>, Fault> {
    read::<T>(cx, &input.resource_arn).map(Listed::new)
}
