//! The request that an API destination gets: the event as its body, or as a CloudEvent, and who sends it.
//!
//! The form of a CloudEvent is asked for by a header, of the target or of the connection: `Content-Type:
//! application/cloudevents+json` asks for the structured mode, `ce-specversion: 1.0` for the binary mode ("HTTP
//! Protocol Binding for CloudEvents", version 1.0.2). Attributes that the headers name themselves are taken from there.
//!
//! Pure: from rows and an event to a request.

use super::destinations::Endpoint;
use super::model::{Authorization, Connection, Parameter, Parameters, Secrets};
use super::parameters::HttpParameters;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What stands for itself in a query and in a path's segment.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a CloudEvent's header: all that can be seen, but for quotes and percent signs.
const UNSEEN: &AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'%');
const USER_AGENT: &str = "Amazon/EventBridge/ApiDestinations";
const JSON: &str = "application/json; charset=utf-8";
const STRUCTURED: &str = "application/cloudevents+json";

/// What is to be sent to an API destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) body: Vec<u8>,
    pub(crate) parameters: HttpParameters,
    /// Of the event as a CloudEvent.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The body is an event of a bus as it is: as a CloudEvent, its data is the event's detail.
    pub(crate) whole: bool,
}

/// A request to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose calls count together, and how many there may be in a second.
    pub destination: String,
    pub rate: u32,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The request shows a token, which this one gets.
    pub token: Option<TokenRequest>,
}

/// How an OAuth client gets a token (RFC 6749, section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Names the credentials that the token is for.
    pub key: String,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Headers whatever their case; what is set later stands.
#[derive(Default)]
struct Headers(BTreeMap<String, String>);

impl Headers {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_ascii_lowercase(), value.into());
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn set_default(&mut self, name: &str, value: impl Into<String>) {
        self.0.entry(name.to_owned()).or_insert_with(|| value.into());
    }
}

pub(crate) fn request(endpoint: &Endpoint, letter: Letter) -> Request {
    let Endpoint { destination, connection, secrets } = endpoint;
    let none = Parameters::default();
    let own = secrets.invocation.as_ref().unwrap_or(&none);
    let mut headers = Headers::default();
    for (name, value) in &letter.parameters.header_parameters {
        headers.set(name, value);
    }
    // What the connection says stands before what the target does.
    for parameter in &own.headers {
        headers.set(&parameter.key, &parameter.value);
    }
    let mut query: BTreeMap<&str, &str> =
        letter.parameters.query_string_parameters.iter().map(|(key, value)| (&**key, &**value)).collect();
    query.extend(own.query.iter().map(|one| (&*one.key, &*one.value)));
    let url = url(&destination.url, &letter.parameters.path_parameter_values, &query);
    let mut body = match destination.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => Vec::new(),
        _ => in_form(letter, &mut headers),
    };
    if !body.is_empty() {
        body = with_members(body, &own.body);
    }
    headers.set_default("content-type", JSON);
    headers.set_default("user-agent", USER_AGENT);
    let token = show(connection, secrets, &mut headers);
    Request {
        destination: destination.id.clone(),
        rate: destination.rate,
        method: destination.method.clone(),
        url,
        headers: headers.0.into_iter().collect(),
        body,
        token,
    }
}

/// Shows who sends a request; an OAuth client does so with a token.
fn show(connection: &Connection, secrets: &Secrets, headers: &mut Headers) -> Option<TokenRequest> {
    match connection.authorization() {
        Authorization::Basic => {
            let pair = STANDARD.encode(format!("{}:{}", connection.principal, secrets.secret));
            headers.set("authorization", format!("Basic {pair}"));
            None
        }
        Authorization::ApiKey => {
            headers.set(&connection.principal, &secrets.secret);
            None
        }
        Authorization::OAuth | Authorization::Unspecified => Some(token_request(connection, secrets)),
    }
}

/// The client shows itself in the form; a `grant_type` of the connection's own stands before ours.
pub(super) fn token_request(connection: &Connection, secrets: &Secrets) -> TokenRequest {
    let none = Parameters::default();
    let own = secrets.token.as_ref().unwrap_or(&none);
    let mut form: BTreeMap<&str, &str> = BTreeMap::from([
        ("grant_type", "client_credentials"),
        ("client_id", &connection.principal),
        ("client_secret", &secrets.secret),
    ]);
    form.extend(own.body.iter().map(|one| (&*one.key, &*one.value)));
    let mut query: BTreeMap<&str, &str> = own.query.iter().map(|one| (&*one.key, &*one.value)).collect();
    let mut headers = Headers::default();
    headers.set("accept", "application/json");
    headers.set("user-agent", USER_AGENT);
    let body = match connection.token_method.as_str() {
        "GET" => {
            query.extend(form);
            Vec::new()
        }
        _ => {
            headers.set("content-type", "application/x-www-form-urlencoded");
            pairs(&form).into_bytes()
        }
    };
    for Parameter { key, value, .. } in &own.headers {
        headers.set(key, value);
    }
    TokenRequest {
        key: format!("{}/{}", connection.id, connection.generation),
        method: connection.token_method.clone(),
        url: url(&connection.token_endpoint, &[], &query),
        headers: headers.0.into_iter().collect(),
        body,
    }
}

fn pairs(query: &BTreeMap<&str, &str>) -> String {
    let encode = |text| utf8_percent_encode(text, PLAIN);
    let pairs = query.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// An endpoint's URL, each `*` in its path replaced by the next of these values.
fn url(endpoint: &str, path: &[String], query: &BTreeMap<&str, &str>) -> String {
    let (base, old_query) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let mut values = path.iter();
    let mut url = String::with_capacity(endpoint.len());
    for c in base.chars() {
        match values.as_slice().first() {
            Some(value) if c == '*' => {
                values.next();
                url.extend(utf8_percent_encode(value, PLAIN));
            }
            Some(_) | None => url.push(c),
        }
    }
    let query = [old_query.to_owned(), pairs(query)];
    let query: Vec<String> = query.into_iter().filter(|part| !part.is_empty()).collect();
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query.join("&"));
    }
    url
}

/// The body in the form that the headers ask for.
fn in_form(letter: Letter, headers: &mut Headers) -> Vec<u8> {
    let media = headers.get("content-type").unwrap_or_default();
    let structured =
        media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(STRUCTURED));
    let binary = headers.get("ce-specversion").is_some();
    if letter.attributes.is_empty() || !(structured || binary) {
        return letter.body;
    }
    let mut data = Data::of(&letter);
    let mut attributes = letter.attributes;
    let kind = attributes.remove("datacontenttype");
    if !structured {
        for (name, value) in attributes {
            let value = utf8_percent_encode(&value, UNSEEN).to_string();
            headers.set_default(&format!("ce-{name}"), value);
        }
        headers.set_default("content-type", kind.unwrap_or_else(|| JSON.to_owned()));
        return data.bytes();
    }
    let mut event: Map<String, Value> =
        attributes.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    let named: Vec<String> =
        headers.0.keys().filter_map(|name| name.strip_prefix("ce-")).map(str::to_owned).collect();
    for name in named {
        // In this mode the attributes are members, and nowhere else.
        let value = headers.0.remove(&format!("ce-{name}")).unwrap_or_default();
        event.insert(name, Value::from(value));
    }
    event.insert("specversion".into(), Value::from("1.0"));
    event
        .insert("datacontenttype".into(), Value::from(kind.unwrap_or_else(|| "application/json".to_owned())));
    let (name, value) = data.member();
    event.insert(name.into(), value);
    Value::Object(event).to_string().into_bytes()
}

/// The data of a CloudEvent.
enum Data {
    Json(Value),
    Bytes(Vec<u8>),
}

impl Data {
    fn of(letter: &Letter) -> Data {
        match serde_json::from_slice::<Value>(&letter.body) {
            Ok(mut event) if letter.whole => Data::of_detail(event["detail"].take()),
            Ok(value) => Data::Json(value),
            Err(_) => Data::Bytes(letter.body.clone()),
        }
    }

    /// What came in as a CloudEvent goes out with the data that it came with.
    fn of_detail(mut detail: Value) -> Data {
        let alone = detail.as_object().is_some_and(|members| members.len() == 1);
        if alone
            && let Some(bytes) = detail.get("data_base64").and_then(Value::as_str)
            && let Ok(bytes) = STANDARD.decode(bytes)
        {
            return Data::Bytes(bytes);
        }
        match alone && detail.get("data").is_some_and(|data| !data.is_object()) {
            true => Data::Json(detail["data"].take()),
            false => Data::Json(detail),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self {
            Data::Json(value) => value.to_string().into_bytes(),
            Data::Bytes(bytes) => std::mem::take(bytes),
        }
    }

    fn member(self) -> (&'static str, Value) {
        match self {
            Data::Json(value) => ("data", value),
            Data::Bytes(bytes) => match String::from_utf8(bytes) {
                Ok(text) => ("data", Value::from(text)),
                Err(bytes) => ("data_base64", Value::from(STANDARD.encode(bytes.as_bytes()))),
            },
        }
    }
}

/// A body that is a JSON object, with these members in it.
fn with_members(body: Vec<u8>, members: &[Parameter]) -> Vec<u8> {
    if members.is_empty() {
        return body;
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&body) else { return body };
    for Parameter { key, value, .. } in members {
        object.insert(key.clone(), Value::from(value.as_str()));
    }
    Value::Object(object).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::endpoints::model::Destination;
    use serde_json::json;

    fn endpoint(url: &str, invocation: Parameters) -> Endpoint {
        Endpoint {
            destination: Destination { url: url.into(), method: "POST".into(), ..Destination::default() },
            connection: Connection {
                authorization: Authorization::ApiKey.into(),
                principal: "X-Key".into(),
                ..Connection::default()
            },
            secrets: Secrets { secret: "s3cret".into(), invocation: Some(invocation), token: None },
        }
    }

    fn one(key: &str, value: &str) -> Parameter {
        Parameter { key: key.into(), value: value.into(), is_secret: false }
    }

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let event = json!({ "id": "1", "source": "shop", "detail-type": "Order", "detail": { "n": 1 } });
        let attributes =
            [("id", "1"), ("source", "shop"), ("type", "Order"), ("subject", "o ü"), ("specversion", "1.0")];
        Letter {
            body: event.to_string().into_bytes(),
            parameters: HttpParameters {
                path_parameter_values: vec!["a/b".into(), "c".into()],
                header_parameters: headers.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
                query_string_parameters: BTreeMap::from([("q".to_owned(), "1 2".to_owned())]),
            },
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            whole: true,
        }
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_connection_stands_before_the_target_and_paths_are_filled() {
        let own = Parameters {
            headers: vec![one("X-Tenant", "of the connection")],
            query: vec![one("k", "&")],
            body: vec![one("token", "t")],
        };
        let made = request(
            &endpoint("https://x.test/*/v1/*?old=1", own),
            letter(&[("x-tenant", "of the target"), ("X-Mine", "m")]),
        );
        assert_eq!(made.url, "https://x.test/a%2Fb/v1/c?old=1&k=%26&q=1%202");
        assert_eq!(header(&made, "x-tenant"), Some("of the connection"));
        assert_eq!((header(&made, "x-mine"), header(&made, "x-key")), (Some("m"), Some("s3cret")));
        assert_eq!(header(&made, "content-type"), Some(JSON));
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        assert_eq!((&body["token"], &body["detail"]), (&json!("t"), &json!({ "n": 1 })));
    }

    #[test]
    fn a_cloudevent_goes_out_in_the_mode_that_the_headers_ask_for() {
        let to = endpoint("https://x.test/", Parameters::default());
        let binary = request(&to, letter(&[("ce-specversion", "1.0"), ("Ce-Type", "order.made")]));
        assert_eq!(binary.body, br#"{"n":1}"#);
        assert_eq!((header(&binary, "ce-id"), header(&binary, "ce-type")), (Some("1"), Some("order.made")));
        assert_eq!(header(&binary, "ce-subject"), Some("o%20%C3%BC"));
        let structured = request(&to, letter(&[("Content-Type", STRUCTURED), ("ce-tenant", "t")]));
        assert_eq!(
            serde_json::from_slice::<Value>(&structured.body).unwrap(),
            json!({ "specversion": "1.0", "id": "1", "source": "shop", "type": "Order", "subject": "o ü",
                "tenant": "t", "datacontenttype": "application/json", "data": { "n": 1 } })
        );
        assert_eq!((header(&structured, "ce-tenant"), header(&structured, "ce-id")), (None, None));
        let bytes = Letter {
            body: br#"{"detail":{"data_base64":"/wA="}}"#.to_vec(),
            ..letter(&[("ce-specversion", "1.0")])
        };
        assert_eq!(request(&to, bytes).body, b"\xff\x00");
    }

    #[test]
    fn a_client_asks_for_its_token_in_a_form() {
        let connection = Connection {
            id: "id".into(),
            generation: 3,
            principal: "me".into(),
            token_endpoint: "https://x.test/token".into(),
            token_method: "POST".into(),
            ..Connection::default()
        };
        let token =
            Parameters { headers: Vec::new(), query: vec![one("q", "1")], body: vec![one("scope", "a b")] };
        let secrets = Secrets { secret: "s&".into(), invocation: None, token: Some(token) };
        let asked = token_request(&connection, &secrets);
        let form = "client_id=me&client_secret=s%26&grant_type=client_credentials&scope=a%20b";
        assert_eq!(asked.body, form.as_bytes());
        assert_eq!((asked.url.as_str(), asked.key.as_str()), ("https://x.test/token?q=1", "id/3"));
        let get = Connection { token_method: "GET".into(), ..connection };
        assert_eq!(
            token_request(&get, &secrets).url,
            format!(
                "https://x.test/token?{}",
                "client_id=me&client_secret=s%26&grant_type=client_credentials&q=1&scope=a%20b"
            )
        );
    }
}
