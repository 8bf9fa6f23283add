//! TestEventPattern.

use super::faults;
use crate::Cx;
use crate::pattern::Pattern;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What every event has, and a tried one has to have.
const MEMBERS: [&str; 7] = ["id", "account", "source", "time", "region", "resources", "detail-type"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Test {
    event_pattern: String,
    event: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tested {
    result: bool,
}

pub(super) fn test(cx: &mut Cx<'_>, input: Test) -> Result<Tested, Fault> {
    let resource = cx.arn("events", "*");
    cx.allow(&resource)?;
    let pattern = Pattern::compile(&input.event_pattern).map_err(|e| faults::invalid_pattern(&e))?;
    let event: Value = serde_json::from_str(&input.event)
        .map_err(|_| faults::validation("Parameter Event is not valid."))?;
    if !event.is_object() || MEMBERS.iter().any(|member| event.get(member).is_none()) {
        return Err(faults::validation("Parameter Event is not valid."));
    }
    Ok(Tested { result: pattern.matches(&event) })
}
