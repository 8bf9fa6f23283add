//! What the default event bus is told of images: "Amazon ECR events and EventBridge", ECR user guide.

use super::repositories::Open;
use crate::{Cx, events};
use mayfly_kernel::Fault;
use serde_json::json;

#[derive(Clone, Copy)]
pub(super) enum Action {
    Push,
    Delete,
}

pub(super) fn tell(
    cx: &mut Cx<'_>,
    open: &Open,
    action: Action,
    digest: &str,
    tag: Option<&str>,
) -> Result<(), Fault> {
    let mut detail = json!({
        "action-type": match action {
            Action::Push => "PUSH",
            Action::Delete => "DELETE",
        },
        "result": "SUCCESS",
        "repository-name": open.name,
        "image-digest": digest,
    });
    if let Some(tag) = tag {
        detail["image-tag"] = json!(tag);
    }
    let place = (open.key.0.as_str(), open.key.1.as_str());
    events::emit(cx, place, ("aws.ecr", "ECR Image Action"), json!([]), detail)
}
