//! The statements that AddPermission writes. What they mean is for [`mayfly_kernel::policy`].

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    pub(super) sid: String,
    pub(super) effect: String,
    pub(super) principal: Principal,
    pub(super) action: String,
    pub(super) resource: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) condition: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Principal {
    Service {
        #[serde(rename = "Service")]
        service: String,
    },
    Aws {
        #[serde(rename = "AWS")]
        aws: String,
    },
    /// `*`.
    Anyone(String),
}
