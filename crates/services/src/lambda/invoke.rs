//! Invoke, InvokeWithResponseStream and InvokeAsync.
//!
//! A synchronous invocation is handed to the binary with the version to run; an asynchronous one is a
//! delivery row in this transaction, so the 202 comes after it is durable.

use super::names::{self, Function};
use super::{check, faults, recursion, resolve};
use crate::Cx;
use crate::fabric::{Delivery, Target};
use crate::operation::{Answer, Content, Invoke, Reply};
use base64::Engine as _;
use bytes::Bytes;
use mayfly_kernel::Fault;
use mayfly_kernel::function::{Invocation, Version};
use mayfly_wire::Call;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The CloudEvents type of an event that a caller sent.
pub(super) const EVENT_TYPE: &str = "mayfly.invoke";

/// As it is sent.
const CLIENT_CONTEXT_BYTES: usize = 3583;

#[derive(Deserialize)]
pub(super) struct Input {
    #[serde(rename = "FunctionName")]
    function_name: String,
    #[serde(rename = "Qualifier")]
    qualifier: Option<String>,
    #[serde(rename = "x-amz-invocation-type")]
    invocation_type: Option<String>,
    #[serde(rename = "x-amz-log-type")]
    log_type: Option<String>,
    #[serde(rename = "x-amz-client-context")]
    client_context: Option<String>,
    #[serde(rename = "x-amzn-trace-id")]
    trace_id: Option<String>,
    #[serde(rename = "x-amz-tenant-id")]
    tenant_id: Option<String>,
}

pub(super) fn invoke(cx: &mut Cx<'_>, input: Input, call: &Call) -> Result<Reply, Fault> {
    answer(cx, input, call, Answer::Whole)
}

pub(super) fn invoke_streaming(cx: &mut Cx<'_>, input: Input, call: &Call) -> Result<Reply, Fault> {
    answer(cx, input, call, Answer::Stream)
}

fn answer(cx: &mut Cx<'_>, input: Input, call: &Call, answer: Answer) -> Result<Reply, Fault> {
    let invocation_type = input.invocation_type.as_deref().unwrap_or("RequestResponse");
    let types: &[&str] = match answer {
        Answer::Whole => &["Event", "RequestResponse", "DryRun"],
        Answer::Stream => &["RequestResponse", "DryRun"],
    };
    check::one_of(invocation_type, "invocationType", types)?;
    let log_type = input.log_type.as_deref().unwrap_or("None");
    check::one_of(log_type, "logType", &["None", "Tail"])?;
    let function = names::function(cx, &input.function_name, input.qualifier.as_deref())?;
    let limits = cx.limits;
    let limit =
        if invocation_type == "Event" { limits.async_event_bytes } else { limits.invoke_request_bytes };
    let event = event(&call.body, limit)?;
    let version = resolve::runnable(cx, &function)?;
    let tenant = tenant(&version, input.tenant_id)?;
    if invocation_type == "RequestResponse" {
        recursion::refuse(cx, &function)?;
    }
    let client_context = input.client_context.as_deref().map(client_context).transpose()?;
    match invocation_type {
        "DryRun" => Ok(Reply::status(204)),
        "Event" => accept(cx, &function, &event, tenant),
        _ => {
            let invocation = Invocation {
                request_id: cx.request_id.to_owned(),
                event: event.into(),
                event_type: EVENT_TYPE.into(),
                invoked_arn: function.named_arn().to_string(),
                client_context,
                trace_id: input.trace_id,
                tenant,
                depth: cx.caller.depth,
            };
            let invoke = Invoke { version, invocation, log_tail: log_type == "Tail", answer };
            Ok(Reply::status(200).content(Content::Invoke(Box::new(invoke))))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deprecated {
    function_name: String,
}

pub(super) fn invoke_async(cx: &mut Cx<'_>, input: Deprecated, call: &Call) -> Result<Reply, Fault> {
    let function = names::function(cx, &input.function_name, None)?;
    if call.body.is_empty() {
        return Err(faults::not_json("No content to map due to end-of-input"));
    }
    let event = event(&call.body, cx.limits.async_event_bytes)?;
    let version = resolve::runnable(cx, &function)?;
    let tenant = tenant(&version, None)?;
    accept(cx, &function, &event, tenant)
}

/// The tenant that an event is for: a function that keeps tenants apart has one for every event, any other
/// has none for any.
fn tenant(version: &Version, tenant: Option<String>) -> Result<Option<String>, Fault> {
    if let Some(tenant) = &tenant {
        check::length(tenant, "tenantId", 1, 256)?;
        if !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/=+-@ ".contains(&b)) {
            return Err(faults::pattern(tenant, "tenantId", r"[a-zA-Z0-9\._:\/=+\-@ ]+"));
        }
    }
    match (version.per_tenant, tenant) {
        (true, None) => Err(faults::no_tenant()),
        (false, Some(_)) => Err(faults::no_tenancy()),
        (_, tenant) => Ok(tenant),
    }
}

/// The client context as the function gets it: JSON on one line of ASCII, since it is a header there too.
fn client_context(encoded: &str) -> Result<String, Fault> {
    if encoded.len() > CLIENT_CONTEXT_BYTES {
        return Err(faults::context_too_large(CLIENT_CONTEXT_BYTES));
    }
    let json = base64::engine::general_purpose::STANDARD.decode(encoded);
    let json = json.ok().and_then(|json| serde_json::from_slice::<serde_json::Map<_, _>>(&json).ok());
    let json = serde_json::to_string(&json.ok_or_else(faults::bad_client_context)?);
    let json = json.map_err(|_| faults::bad_client_context())?;
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            _ => ascii += &format!("\\u{unit:04x}"),
        }
    }
    Ok(ascii)
}

/// The event of a body: no body is the empty event.
fn event(body: &Bytes, limit: u64) -> Result<Bytes, Fault> {
    if body.len() as u64 > limit {
        return Err(faults::request_too_large(limit, "InvokeFunction"));
    }
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    serde_json::from_slice::<IgnoredAny>(body).map_err(faults::not_json)?;
    Ok(body.clone())
}

fn accept(
    cx: &mut Cx<'_>,
    function: &Function,
    event: &[u8],
    tenant: Option<String>,
) -> Result<Reply, Fault> {
    let delivery = Delivery {
        target: Target::Function(function.named_arn()),
        event_type: EVENT_TYPE.into(),
        payload: event.to_vec(),
        source: function.named_arn().to_string(),
        // The caller reads this id in the answer, and the function in its context.
        id: Some(cx.request_id.to_owned()),
        due: None,
        depth: cx.caller.depth,
        tenant,
    };
    cx.deliver(delivery)?;
    Ok(Reply::status(202))
}
