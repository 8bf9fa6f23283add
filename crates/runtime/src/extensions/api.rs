//! The HTTP side of extensions, on the address of the Runtime API: registering, the next event, errors, and
//! subscriptions to telemetry and logs.

use super::telemetry::{Schema, Subscription};
use super::{Extensions, Refused};
use crate::body::{Body, full};
use crate::runtime_api::{Taken, failure, refuse, take_in};
use crate::sandbox::Sandbox;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use std::sync::{Arc, Weak};

/// What an extension sends is short.
const BODY_BYTES: u64 = 64 * 1024;
const IDENTIFIER: &str = "lambda-extension-identifier";

/// Answers a request to one of the extensions' paths; `None` if it is not one.
pub(crate) async fn answer(
    extensions: &Arc<Extensions>,
    sandbox: &Weak<Sandbox>,
    request: Request<Incoming>,
) -> Option<Response<Body>> {
    let path = request.uri().path().to_owned();
    let answer = match (request.method(), path.as_str()) {
        (&Method::POST, "/2020-01-01/extension/register") => register(extensions, request).await,
        (&Method::GET, "/2020-01-01/extension/event/next") => next(extensions, &request).await,
        (&Method::POST, "/2020-01-01/extension/init/error") => {
            fail(extensions, request, "Extension.InitError").await
        }
        (&Method::POST, "/2020-01-01/extension/exit/error") => {
            fail(extensions, request, "Extension.ExitError").await
        }
        (&Method::PUT, "/2022-07-01/telemetry") => {
            subscribe(extensions, sandbox, request, Schema::Telemetry).await
        }
        (&Method::PUT, "/2020-08-15/logs") => subscribe(extensions, sandbox, request, Schema::Logs).await,
        _ => return None,
    };
    Some(answer)
}

fn header(request: &Request<Incoming>, name: &str) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn forbidden(kind: &str, message: &str) -> Response<Body> {
    refuse(StatusCode::FORBIDDEN, kind, message)
}

/// The identifier of a known extension and its name, or the refusal.
fn known(
    extensions: &Extensions,
    request: &Request<Incoming>,
) -> Result<(String, String), Box<Response<Body>>> {
    let Some(id) = header(request, IDENTIFIER) else {
        let refusal = forbidden("Extension.MissingExtensionIdentifier", "Missing extension identifier");
        return Err(Box::new(refusal));
    };
    match extensions.name_of(&id) {
        Some(name) => Ok((id, name)),
        None => {
            let refusal = forbidden("Extension.UnknownExtensionIdentifier", "Unknown extension identifier");
            Err(Box::new(refusal))
        }
    }
}

async fn register(extensions: &Extensions, request: Request<Incoming>) -> Response<Body> {
    let Some(name) = header(&request, "lambda-extension-name").filter(|name| !name.is_empty()) else {
        return forbidden("Extension.MissingExtensionName", "Missing extension name");
    };
    let features = header(&request, "lambda-extension-accept-feature").unwrap_or_default();
    let body = match take_in(request.into_body(), BODY_BYTES, None).await {
        Taken::All(body) => body,
        Taken::TooLarge(_) | Taken::Failed(_) | Taken::Broken => {
            return refuse(StatusCode::BAD_REQUEST, "InvalidRequestFormat", "Broken body");
        }
    };
    let events: Option<Vec<String>> = match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(document) => serde_json::from_value(document["events"].clone()).ok(),
        Err(_) if body.is_empty() => Some(Vec::new()),
        Err(_) => None,
    };
    let Some(events) = events else {
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestFormat", "Could not parse the list of events");
    };
    let id = match extensions.register(&name, &events) {
        Ok(id) => id,
        Err(refused) => {
            let (kind, message) = match refused {
                Refused::Closed => ("Extension.RegistrationClosed", "Extension registration closed already"),
                Refused::AlreadyRegistered => {
                    ("Extension.AlreadyRegistered", "Extension with this name already registered")
                }
                Refused::TooMany => ("Extension.TooManyExtensions", "Extension limit (10) reached"),
                Refused::InvalidEvent => ("Extension.InvalidEventType", "Invalid event type"),
                Refused::ShutdownOfInternal => (
                    "Extension.InvalidEventType",
                    "The SHUTDOWN event is not supported for internal extensions",
                ),
            };
            return forbidden(kind, message);
        }
    };
    let version = &extensions.version;
    let mut document = json!({
        "functionName": version.name,
        "functionVersion": version.label,
        "handler": version.handler,
    });
    if features.split(',').any(|feature| feature.trim() == "accountId") {
        document["accountId"] = json!(version.function.account);
    }
    json_with(IDENTIFIER, &id, &document)
}

async fn next(extensions: &Extensions, request: &Request<Incoming>) -> Response<Body> {
    let id = match known(extensions, request) {
        Ok((id, _)) => id,
        Err(refusal) => return *refusal,
    };
    let event = match extensions.next(&id) {
        Some((event, event_id)) => event.await.ok().map(|event| (event, event_id)),
        None => None,
    };
    match event {
        Some((event, event_id)) => json_with("lambda-extension-event-identifier", &event_id, &event),
        None => refuse(StatusCode::GONE, "Shutdown", "The instance is stopping"),
    }
}

fn json_with(name: &'static str, value: &str, document: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(document.to_string()));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Ok(value) = http::HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
    response
}

async fn fail(extensions: &Extensions, request: Request<Incoming>, fallback: &str) -> Response<Body> {
    if let Err(refusal) = known(extensions, &request) {
        return *refusal;
    }
    let kind = header(&request, "lambda-extension-function-error-type");
    let payload = match take_in(request.into_body(), BODY_BYTES, None).await {
        Taken::All(body) => body.to_vec(),
        Taken::TooLarge(_) | Taken::Failed(_) | Taken::Broken => Vec::new(),
    };
    extensions.fail(failure(kind.or_else(|| Some(fallback.to_owned())), payload));
    let mut response = Response::new(full(r#"{"status":"OK"}"#));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

async fn subscribe(
    extensions: &Arc<Extensions>,
    sandbox: &Weak<Sandbox>,
    request: Request<Incoming>,
    schema: Schema,
) -> Response<Body> {
    let name = match known(extensions, &request) {
        Ok((_, name)) => name,
        Err(refusal) => return *refusal,
    };
    let body = match take_in(request.into_body(), BODY_BYTES, None).await {
        Taken::All(body) => body,
        Taken::TooLarge(_) | Taken::Failed(_) | Taken::Broken => {
            return refuse(StatusCode::BAD_REQUEST, "ValidationError", "Broken body");
        }
    };
    match Subscription::parse(&body, schema) {
        Ok(subscription) => {
            extensions.telemetry.subscribe(&name, subscription, sandbox.clone());
            Response::new(full("\"OK\""))
        }
        Err(message) => refuse(StatusCode::BAD_REQUEST, "ValidationError", &message),
    }
}
