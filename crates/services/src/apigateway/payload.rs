//! Between HTTP and the events that functions get: payload formats 1.0 and 2.0 of HTTP APIs and function
//! URLs.
//!
//! Pure: a request's parts in, JSON out; JSON in, an answer's parts out.

use crate::identity::Identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Caller, Time};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// A request, and where it arrived.
pub struct Request<'a> {
    pub method: &'a str,
    /// As it was sent, still encoded.
    pub raw_path: &'a str,
    pub raw_query: &'a str,
    /// Names in lower case, in the order sent.
    pub headers: Vec<(String, String)>,
    pub body: &'a [u8],
    pub source_ip: String,
    pub request_id: &'a str,
    pub at: Time,
    pub account: &'a str,
    /// The API's or function URL's id.
    pub api_id: &'a str,
    pub domain: &'a str,
    pub route_key: &'a str,
    pub stage: &'a str,
    pub path_parameters: &'a BTreeMap<String, String>,
    pub stage_variables: &'a HashMap<String, String>,
    /// Who signed it, where a signature is asked for.
    pub caller: Option<&'a Caller>,
}

/// What goes back to the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request<'_> {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    fn query(&self) -> Vec<(String, String)> {
        mayfly_wire::parse_query(self.raw_query)
    }

    /// The body as the event carries it, and whether that is base64.
    fn body(&self) -> (Option<String>, bool) {
        if self.body.is_empty() {
            return (None, false);
        }
        let kind =
            self.header("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let textual = kind.starts_with("text/")
            || kind.ends_with("json")
            || kind.ends_with("xml")
            || kind.ends_with("javascript")
            || kind == "application/x-www-form-urlencoded"
            || kind.is_empty();
        match std::str::from_utf8(self.body) {
            Ok(text) if textual => (Some(text.to_owned()), false),
            Ok(_) | Err(_) => (Some(STANDARD.encode(self.body)), true),
        }
    }

    /// `12/Mar/2020:19:03:58 +0000`.
    fn log_time(&self) -> String {
        let at =
            jiff::Timestamp::from_millisecond(i64::try_from(self.at.ms()).unwrap_or(0)).unwrap_or_default();
        at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }

    fn domain_prefix(&self) -> &str {
        self.domain.split('.').next().unwrap_or_default()
    }
}

/// Joins the values of a name by commas, as format 2.0 does.
fn joined(pairs: &[(String, String)]) -> Map<String, Value> {
    let mut map: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        match map.get_mut(name) {
            Some(Value::String(text)) => {
                text.push(',');
                text.push_str(value);
            }
            Some(_) | None => {
                map.insert(name.clone(), Value::String(value.clone()));
            }
        }
    }
    map
}

fn or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map) }
}

/// The event in format 2.0.
pub fn event_v2(request: &Request<'_>) -> Value {
    let (body, encoded) = request.body();
    let cookies: Vec<&str> = request
        .headers
        .iter()
        .filter(|(name, _)| name == "cookie")
        .flat_map(|(_, value)| value.split("; "))
        .collect();
    let plain: Vec<(String, String)> =
        request.headers.iter().filter(|(name, _)| name != "cookie").cloned().collect();
    let mut event = json!({
        "version": "2.0",
        "routeKey": request.route_key,
        "rawPath": request.raw_path,
        "rawQueryString": request.raw_query,
        "headers": joined(&plain),
        "requestContext": {
            "accountId": request.account,
            "apiId": request.api_id,
            "domainName": request.domain,
            "domainPrefix": request.domain_prefix(),
            "http": {
                "method": request.method,
                "path": request.raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": request.header("user-agent"),
            },
            "requestId": request.request_id,
            "routeKey": request.route_key,
            "stage": request.stage,
            "time": request.log_time(),
            "timeEpoch": request.at.ms(),
        },
        "isBase64Encoded": encoded,
    });
    // Members without content are left away in this format.
    let optional = [
        ("cookies", (!cookies.is_empty()).then(|| json!(cookies))),
        ("queryStringParameters", Some(or_null(joined(&request.query())))),
        ("pathParameters", Some(json!(request.path_parameters))),
        ("stageVariables", Some(json!(request.stage_variables))),
        ("body", body.map(Value::String)),
    ];
    if let Some(caller) = request.caller {
        event["requestContext"]["authorizer"] = json!({ "iam": iam(caller) });
    }
    for (name, value) in optional {
        match value {
            Some(Value::Object(map)) if map.is_empty() => {}
            Some(Value::Null) | None => {}
            Some(value) => event[name] = value,
        }
    }
    event
}

fn iam(caller: &Caller) -> Value {
    let identity = Identity::of(caller);
    json!({
        "accessKey": caller.access_key,
        "accountId": caller.account,
        "callerId": identity.user_id,
        "cognitoIdentity": null,
        "principalOrgId": null,
        "userArn": identity.arn.to_string(),
        "userId": identity.user_id,
    })
}

/// The event in format 1.0.
pub fn event_v1(request: &Request<'_>) -> Value {
    let (body, encoded) = request.body();
    let last = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    };
    let multi = |pairs: &[(String, String)]| -> Map<String, Value> {
        let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in pairs {
            map.entry(name).or_default().push(value);
        }
        map.into_iter().map(|(name, values)| (name.to_owned(), json!(values))).collect()
    };
    let query = request.query();
    let resource = request.route_key.split_once(' ').map_or("$default", |(_, path)| path);
    let null_if_empty = |value: Value| match value.as_object() {
        Some(map) if map.is_empty() => Value::Null,
        Some(_) | None => value,
    };
    json!({
        "version": "1.0",
        "resource": resource,
        "path": request.raw_path,
        "httpMethod": request.method,
        "headers": last(&request.headers),
        "multiValueHeaders": multi(&request.headers),
        "queryStringParameters": or_null(last(&query)),
        "multiValueQueryStringParameters": or_null(multi(&query)),
        "requestContext": {
            "accountId": request.account,
            "apiId": request.api_id,
            "domainName": request.domain,
            "domainPrefix": request.domain_prefix(),
            "extendedRequestId": request.request_id,
            "httpMethod": request.method,
            "identity": {"sourceIp": request.source_ip, "userAgent": request.header("user-agent")},
            "path": request.raw_path,
            "protocol": "HTTP/1.1",
            "requestId": request.request_id,
            "requestTime": request.log_time(),
            "requestTimeEpoch": request.at.ms(),
            "resourceId": request.route_key,
            "resourcePath": resource,
            "stage": request.stage,
        },
        "pathParameters": null_if_empty(json!(request.path_parameters)),
        "stageVariables": null_if_empty(json!(request.stage_variables)),
        "body": body,
        "isBase64Encoded": encoded,
    })
}

/// Reads what a function returned. `None`: it is not an answer that the format allows, which clients see as
/// 500.
pub fn answer(version: &str, payload: &[u8]) -> Option<Answer> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    match value.get("statusCode") {
        Some(status) => structured(status, &value),
        None if version == "2.0" => {
            let body = match value {
                Value::String(text) => text.into_bytes(),
                other => serde_json::to_vec(&other).ok()?,
            };
            Some(Answer {
                status: 200,
                headers: vec![("content-type".into(), "application/json".into())],
                body,
            })
        }
        None => None,
    }
}

/// The head of an answer that streams: what an `application/vnd.awslambda.http-integration-response` says
/// before its body. `None`: it is not one.
pub fn prelude(payload: &[u8]) -> Option<Answer> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let members = value.as_object()?;
    let status = members.get("statusCode").cloned().unwrap_or(json!(200));
    let typed = members
        .get("headers")
        .and_then(Value::as_object)
        .is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")));
    let mut answer = structured(&status, &value)?;
    if !typed {
        answer.headers.retain(|(name, _)| name != "content-type");
        answer.headers.push(("content-type".into(), "application/octet-stream".into()));
    }
    answer.body.clear();
    Some(answer)
}

fn structured(status: &Value, value: &Value) -> Option<Answer> {
    let status = match status {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    if !(100..=599).contains(&status) {
        return None;
    }
    let mut headers = Vec::new();
    let multi = value.get("multiValueHeaders").and_then(Value::as_object);
    for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
        if multi.is_none_or(|multi| !multi.contains_key(name)) {
            headers.push((name.to_ascii_lowercase(), text(value)?));
        }
    }
    for (name, values) in multi.into_iter().flatten() {
        for value in values.as_array()? {
            headers.push((name.to_ascii_lowercase(), text(value)?));
        }
    }
    for cookie in value.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.push(("set-cookie".into(), cookie.as_str()?.to_owned()));
    }
    if !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".into(), "text/plain; charset=utf-8".into()));
    }
    let body = match value.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if value.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            STANDARD.decode(text).ok()?
        }
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(_) => return None,
    };
    Some(Answer { status, headers, body })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_structured_or_inferred() {
        let full = br#"{"statusCode":201,"headers":{"X-A":1},"cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true}"#;
        let answer_full = answer("2.0", full).unwrap();
        assert_eq!((answer_full.status, answer_full.body.as_slice()), (201, b"hi".as_slice()));
        let cookies = answer_full.headers.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!(cookies, 2);
        assert_eq!(answer("2.0", br#"{"a":1}"#).unwrap().body, br#"{"a":1}"#);
        assert!(answer("1.0", br#"{"a":1}"#).is_none());
        assert!(answer("2.0", br#"{"statusCode":9999}"#).is_none());
        assert!(answer("2.0", b"not json").is_none());
    }
}
