//! Integrations: the functions behind routes.

use super::keys::{INTEGRATIONS, ROUTES};
use super::model::{INTEGRATIONS_PER_API, Integration, ROUTES_PER_API};
use super::paging::{List, Page};
use super::{apis, faults};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};
use mayfly_store::Scan;
use mayfly_wire::tree::Unread;
use serde::{Deserialize, Serialize};

const TYPE: &str = "AWS_PROXY";
const METHOD: &str = "POST";
const CONNECTION: &str = "INTERNET";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IntegrationView {
    #[serde(flatten)]
    integration: Integration,
    integration_type: &'static str,
    integration_method: &'static str,
    connection_type: &'static str,
}

fn view(integration: Integration) -> IntegrationView {
    IntegrationView {
        integration,
        integration_type: TYPE,
        integration_method: METHOD,
        connection_type: CONNECTION,
    }
}

/// The function's ARN, written plain or inside the ARN of its invocation path.
fn function_arn(uri: &str) -> Result<String, Fault> {
    let plain = uri.split_once(":lambda:path/2015-03-31/functions/");
    let arn = plain.map_or(uri, |(_, rest)| rest.strip_suffix("/invocations").unwrap_or(rest));
    match arn.parse::<Arn>() {
        Ok(parsed) if parsed.service == "lambda" => Ok(arn.to_owned()),
        Ok(_) | Err(_) => Err(faults::bad(format!("Invalid Integration URI specified: {uri}"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    api_id: String,
    integration_uri: Option<String>,
    payload_format_version: Option<String>,
    timeout_in_millis: Option<u64>,
    description: Option<String>,
    #[serde(flatten)]
    fixed: Fixed,
    #[serde(flatten)]
    _rest: Unread,
}

/// What has one value only for an integration that calls a function.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fixed {
    integration_type: Option<String>,
    integration_method: Option<String>,
    connection_type: Option<String>,
}

impl Fixed {
    fn check(&self) -> Result<(), Fault> {
        let kind = self.integration_type.as_deref().unwrap_or(TYPE);
        if kind != TYPE {
            return Err(Fault::not_implemented(&format!("integrations of type {kind}")));
        }
        if self.integration_method.as_ref().is_some_and(|method| method != METHOD) {
            return Err(faults::bad("HttpMethod must be POST for AWS_PROXY IntegrationType."));
        }
        let connection = self.connection_type.as_deref().unwrap_or(CONNECTION);
        match connection == CONNECTION {
            true => Ok(()),
            false => Err(Fault::not_implemented(&format!("integrations with connection type {connection}"))),
        }
    }
}

fn check_timeout(cx: &Cx<'_>, timeout_ms: Option<u64>) -> Result<u64, Fault> {
    let most = cx.limits.http_integration_timeout_ms;
    match timeout_ms.unwrap_or(most) {
        timeout if (50..=most).contains(&timeout) => Ok(timeout),
        _ => Err(faults::bad(format!("TimeoutInMillis must be between 50 and {most}"))),
    }
}

fn check_version(version: Option<String>) -> Result<String, Fault> {
    match version.as_deref() {
        None => Err(faults::bad("PayloadFormatVersion is a required parameter for integration")),
        Some("1.0" | "2.0") => Ok(version.unwrap_or_default()),
        Some(other) => Err(faults::bad(format!("Invalid PayloadFormatVersion specified: {other}"))),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<IntegrationView, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    input.fixed.check()?;
    if input.fixed.integration_type.is_none() {
        return Err(faults::bad("IntegrationType is a required parameter for integration"));
    }
    let uri = input.integration_uri.ok_or_else(|| faults::bad("IntegrationUri is required"))?;
    let integration = Integration {
        id: cx.ids.lower(7),
        uri: function_arn(&uri)?,
        payload_format_version: check_version(input.payload_format_version)?,
        timeout_ms: check_timeout(cx, input.timeout_in_millis)?,
        description: input.description,
    };
    if all(cx, &api)?.len() >= INTEGRATIONS_PER_API {
        return Err(faults::too_many("integrations", INTEGRATIONS_PER_API));
    }
    INTEGRATIONS.put(cx.tx, &(api, integration.id.clone()), &integration);
    Ok(view(integration))
}

/// The integration of quick create; its id.
pub(super) fn add(cx: &mut Cx<'_>, api: &str, target: &str) -> Result<String, Fault> {
    let integration = Integration {
        id: cx.ids.lower(7),
        uri: function_arn(target)?,
        payload_format_version: "2.0".into(),
        timeout_ms: cx.limits.http_integration_timeout_ms,
        description: None,
    };
    INTEGRATIONS.put(cx.tx, &(api.to_owned(), integration.id.clone()), &integration);
    Ok(integration.id)
}

/// All integrations of an API.
pub(super) fn all(cx: &Cx<'_>, api: &str) -> Result<Vec<Integration>, Fault> {
    let rows = INTEGRATIONS.scan(cx.tx, Scan::prefix(&(api.to_owned(),), INTEGRATIONS_PER_API))?;
    Ok(rows.into_iter().map(|(_, integration)| integration).collect())
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Page<IntegrationView>, Fault> {
    let api = apis::find(cx, &input.api_id)?.id;
    input.page(all(cx, &api)?, |integration| &integration.id, view)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    api_id: String,
    integration_id: String,
}

fn find(cx: &mut Cx<'_>, api: &str, id: &str) -> Result<Integration, Fault> {
    apis::find(cx, api)?;
    let integration = INTEGRATIONS.get(cx.tx, &(api.to_owned(), id.to_owned()))?;
    integration.ok_or_else(|| faults::not_found("Integration", id))
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<IntegrationView, Fault> {
    find(cx, &input.api_id, &input.integration_id).map(view)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    api_id: String,
    integration_id: String,
    integration_uri: Option<String>,
    payload_format_version: Option<String>,
    timeout_in_millis: Option<u64>,
    description: Option<String>,
    #[serde(flatten)]
    fixed: Fixed,
    #[serde(flatten)]
    _rest: Unread,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<IntegrationView, Fault> {
    let mut integration = find(cx, &input.api_id, &input.integration_id)?;
    input.fixed.check()?;
    if let Some(uri) = input.integration_uri {
        integration.uri = function_arn(&uri)?;
    }
    if input.payload_format_version.is_some() {
        integration.payload_format_version = check_version(input.payload_format_version)?;
    }
    if input.timeout_in_millis.is_some() {
        integration.timeout_ms = check_timeout(cx, input.timeout_in_millis)?;
    }
    integration.description = input.description.or(integration.description);
    INTEGRATIONS.put(cx.tx, &(input.api_id, integration.id.clone()), &integration);
    Ok(view(integration))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let integration = find(cx, &input.api_id, &input.integration_id)?;
    let target = format!("integrations/{}", integration.id);
    let routes = ROUTES.scan(cx.tx, Scan::prefix(&(input.api_id.clone(),), ROUTES_PER_API))?;
    if let Some((_, route)) = routes.into_iter().find(|(_, route)| route.target.as_ref() == Some(&target)) {
        let text =
            format!("Cannot delete Integration '{}' due to Route dependencies: {}", integration.id, route.id);
        return Err(faults::conflict(text));
    }
    INTEGRATIONS.delete(cx.tx, &(input.api_id, integration.id));
    Ok(())
}
