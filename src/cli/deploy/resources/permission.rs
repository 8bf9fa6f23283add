//! `AWS::Lambda::Permission`: a statement of a function's resource policy.

use super::function::path;
use super::properties::document;
use super::version::split;
use super::{Context, Made, Wanted};
use crate::cli::client::encode;
use crate::cli::deploy::stack::Deployed;
use http::Method;
use serde_json::json;

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    let from = wanted.properties();
    // The statement's name is ours, so nothing else of the function's policy is touched.
    let statement = wanted.generated_name(cx.place);
    let text = |name: &str| from.text(name).map(Into::into);
    let mut request = document([
        ("Action", text("Action")),
        ("Principal", text("Principal")),
        ("SourceArn", text("SourceArn")),
        ("SourceAccount", text("SourceAccount")),
        ("FunctionUrlAuthType", text("FunctionUrlAuthType")),
        ("EventSourceToken", text("EventSourceToken")),
        ("PrincipalOrgID", text("PrincipalOrgID")),
    ]);
    request["StatementId"] = json!(statement);
    let (function, qualifier) = split(&from.required("FunctionName")?);
    let path = format!("{}/policy{}", path(&function), query(qualifier.as_deref()));
    cx.client.rest("lambda", Method::POST, path, Some(request)).await?;
    Ok(Made::new(&statement, [("Id", statement.clone())]))
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    let function = gone.properties["FunctionName"].as_str().unwrap_or_default();
    let (function, qualifier) = split(function);
    let path =
        format!("{}/policy/{}{}", path(&function), encode(&gone.physical), query(qualifier.as_deref()));
    cx.client.rest("lambda", Method::DELETE, path, None).await.map(drop)
}

pub(super) fn query(qualifier: Option<&str>) -> String {
    qualifier.map(|qualifier| format!("?Qualifier={}", encode(qualifier))).unwrap_or_default()
}
