//! STS: who am I?

use crate::Cx;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Arn, Caller, Fault};
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
    let identity = Identity::of(cx.caller);
    cx.allow(&identity.arn)?;
    let account = cx.caller.account.clone();
    Ok(CallerIdentity { arn: identity.arn.to_string(), user_id: identity.user_id, account })
}

/// A caller as IAM names it.
pub struct Identity {
    pub arn: Arn,
    pub user_id: String,
}

impl Identity {
    pub fn of(caller: &Caller) -> Identity {
        let account = &caller.account;
        match &caller.principal {
            Principal::Function(function) => {
                let name = function.resource.trim_start_matches("function:");
                let arn = Arn::new("sts", "", account, format!("assumed-role/{name}/{name}"));
                Identity { arn, user_id: format!("{}:{name}", caller.access_key) }
            }
            Principal::Root | Principal::Service(_) | Principal::Anonymous => {
                Identity { arn: Arn::new("iam", "", account, "root"), user_id: account.clone() }
            }
        }
    }
}
