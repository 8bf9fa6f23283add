//! What the default event bus is told of stacks: "CloudFormation events detail reference", user guide.

use crate::{Cx, events};
use mayfly_kernel::{Arn, Fault};
use serde::Deserialize;
use serde_json::json;

const SOURCE: &str = "aws.cloudformation";
/// What one write tells at most.
const CHANGES_MAX: usize = 1000;

/// What a stack or a resource has come to, such as `UPDATE_COMPLETE`, and why.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Status {
    status: String,
    #[serde(default)]
    reason: String,
}

/// What has happened to a resource of a stack.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Change {
    logical_resource_id: String,
    #[serde(default)]
    physical_resource_id: String,
    resource_type: String,
    #[serde(flatten)]
    status: Status,
}

pub(super) fn all(
    cx: &mut Cx<'_>,
    (account, region, name): &(String, String, String),
    id: &str,
    status: Option<&Status>,
    changes: &[Change],
) -> Result<(), Fault> {
    if changes.len() > CHANGES_MAX {
        let text = format!("A write tells at most {CHANGES_MAX} changes");
        return Err(Fault::new(400, "ValidationException", text));
    }
    let stack = Arn::new("cloudformation", region, account, format!("stack/{name}/{id}")).to_string();
    let details = |status: &Status| json!({ "status": status.status, "status-reason": status.reason });
    let mut tell = |kind, detail| events::emit(cx, (account, region), (SOURCE, kind), json!([stack]), detail);
    // A stack begins before its resources do, and has come to an end after them.
    let begins = |status: &&Status| status.status.ends_with("_IN_PROGRESS");
    let of_stack = |status: &Status| json!({ "stack-id": stack, "status-details": details(status), "client-request-token": "" });
    if let Some(status) = status.filter(begins) {
        tell("CloudFormation Stack Status Change", of_stack(status))?;
    }
    for change in changes {
        let detail = json!({
            "stack-id": stack,
            "logical-resource-id": change.logical_resource_id,
            "physical-resource-id": change.physical_resource_id,
            "status-details": details(&change.status),
            "resource-type": change.resource_type,
            "client-request-token": "",
        });
        tell("CloudFormation Resource Status Change", detail)?;
    }
    match status.filter(|status| !begins(status)) {
        Some(status) => tell("CloudFormation Stack Status Change", of_stack(status)),
        None => Ok(()),
    }
}
