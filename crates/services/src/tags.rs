//! Tags as most services take and show them: pairs of `Key` and `Value`, kept as a map.
//!
//! Each service says in its own words what it refuses. Older services with other shapes have their own.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    key: String,
    value: String,
}

/// As they are kept; of a key that comes twice the last.
pub(crate) fn kept(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub(crate) fn shown(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Whether every key and value is as AWS allows it: 1 to 128 characters, not AWS's own, and at most 256.
pub(crate) fn fit(tags: &BTreeMap<String, String>) -> bool {
    tags.iter().all(|(key, value)| {
        (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256 && !key.starts_with("aws:")
    })
}
