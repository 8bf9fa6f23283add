//! STS: who am I?

use crate::Cx;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub(super) struct GetCallerIdentity {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CallerIdentity {
    arn: String,
    user_id: String,
    account: String,
}

pub(super) fn get_caller_identity(
    cx: &mut Cx<'_>,
    _input: GetCallerIdentity,
) -> Result<CallerIdentity, Fault> {
    let account = cx.caller.account.clone();
    let (arn, user_id) = match &cx.caller.principal {
        Principal::Function(function) => {
            let name = function.resource.trim_start_matches("function:");
            let arn = Arn::new("sts", "", &account, format!("assumed-role/{name}/{name}"));
            (arn, format!("{}:{name}", cx.caller.access_key))
        }
        Principal::Root | Principal::Service(_) | Principal::Anonymous => {
            (Arn::new("iam", "", &account, "root"), account.clone())
        }
    };
    cx.allow(&arn)?;
    Ok(CallerIdentity { arn: arn.to_string(), user_id, account })
}
