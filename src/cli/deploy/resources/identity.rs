//! `AWS::IAM::Role` and policies: named, so that templates that refer to them work. Nothing is enforced yet.

use super::{Context, Made, Wanted};

pub(super) fn name(cx: &Context<'_>, wanted: &Wanted<'_>) -> Made {
    let account = &cx.place.account;
    match wanted.kind {
        "AWS::IAM::ManagedPolicy" => {
            let name = wanted.name("ManagedPolicyName", cx.place);
            let arn = format!("arn:aws:iam::{account}:policy/{name}");
            Made::new(&arn, [("PolicyArn", arn.clone())])
        }
        "AWS::IAM::Policy" => {
            let name = wanted.name("PolicyName", cx.place);
            Made::new(&name, [("Id", name.clone())])
        }
        _ => {
            let name = wanted.name("RoleName", cx.place);
            let arn = format!("arn:aws:iam::{account}:role/{name}");
            Made::new(&name, [("Arn", arn), ("RoleId", name.clone())])
        }
    }
}
