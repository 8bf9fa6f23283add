//! The HTTP client of the command line: signs as any AWS SDK does, so it works on every server that its user
//! has a key for, near or far.
//!
//! Not here: retries (a person is waiting and sees the error), TLS, and bodies that do not fit into memory.

use super::settings::Settings;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mayfly_kernel::Clock as _;
use mayfly_kernel::time::SystemClock;
use mayfly_wire::sigv4::Signer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What a URL's path or query may hold as it is (RFC 3986, "unreserved").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One piece of a path, or a name or value of a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    settings: Settings,
    authority: String,
}

/// One request. The path and query are already encoded.
#[derive(Default)]
pub(crate) struct Call<'a> {
    /// The service's name in signatures.
    pub(crate) service: &'a str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An error that the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => write!(f, "{} ({})", self.code, self.status.as_u16()),
            false => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for ApiError {}

/// The server's own error code, if it was the server that failed the call.
pub(crate) fn code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<ApiError>().map(|error| error.code.as_str())
}

/// Whether the server says that what was asked for is not there.
pub(crate) fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().is_some_and(|error| {
        error.status == StatusCode::NOT_FOUND
            || matches!(&*error.code, "ResourceNotFoundException" | "QueueDoesNotExist" | "NotFound")
    })
}

impl Client {
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Client> {
        let uri: http::Uri = settings
            .endpoint
            .parse()
            .with_context(|| format!("the server's address `{}` is not a URL", settings.endpoint))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!("the command line does not speak TLS yet; use an http:// address"),
            _ => bail!("the server's address `{}` must begin with http://", settings.endpoint),
        }
        let Some(authority) = uri.authority().map(ToString::to_string) else {
            bail!("the server's address `{}` names no host", settings.endpoint);
        };
        let mut connector = HttpConnector::new();
        // A request's head and body are two writes; the second must not wait for the first one's
        // acknowledgement.
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Client { http, settings, authority })
    }

    pub(crate) fn region(&self) -> &str {
        &self.settings.region
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Signs and sends a request. A status of 300 or more is an [`ApiError`].
    pub(crate) async fn send(&self, call: Call<'_>) -> anyhow::Result<Reply> {
        let hash = hex(&Sha256::digest(&call.body));
        let mut headers = HeaderMap::new();
        headers.insert(http::header::HOST, HeaderValue::from_str(&self.authority)?);
        for (name, value) in call.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value)?);
        }
        let signer = Signer {
            access_key: &self.settings.access_key,
            secret: &self.settings.secret_key,
            session_token: self.settings.session_token.as_deref(),
            region: &self.settings.region,
            service: call.service,
        };
        let method = call.method.as_str();
        let now = SystemClock.now();
        mayfly_wire::sigv4::sign(&signer, method, &call.path, &call.query, &mut headers, &hash, now)?;

        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let uri = format!("http://{}{}{query}", self.authority, call.path);
        let mut request = http::Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri.parse().with_context(|| format!("`{uri}` is not a URL"))?;
        *request.headers_mut() = headers;
        let reply = self.receive(request).await?;
        Ok(Reply { headers: reply.0, body: reply.1 })
    }

    /// Fetches a URL as it is, without a signature of ours.
    pub(crate) async fn fetch(&self, url: &str) -> anyhow::Result<Bytes> {
        let mut request = http::Request::new(Full::default());
        *request.uri_mut() = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
        Ok(self.receive(request).await?.1)
    }

    async fn receive(&self, request: http::Request<Full<Bytes>>) -> anyhow::Result<(HeaderMap, Bytes)> {
        let response = self.http.request(request).await.map_err(|error| match error.is_connect() {
            true => anyhow::anyhow!(
                "no server answers at {}. Start one with `mayfly up`, or name another with --endpoint",
                self.settings.endpoint
            ),
            false => anyhow::Error::new(error).context("the connection to the server failed"),
        })?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the server's answer ended early")?.to_bytes();
        if head.status.as_u16() >= 300 {
            return Err(read_error(head.status, &head.headers, &body).into());
        }
        Ok((head.headers, body))
    }

    /// A call of a REST-JSON API.
    pub(crate) async fn rest(
        &self,
        service: &str,
        method: Method,
        path: impl Into<String>,
        body: Option<Json>,
    ) -> anyhow::Result<Json> {
        let path = path.into();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let headers = match body {
            Some(_) => vec![("content-type", "application/json".to_owned())],
            None => Vec::new(),
        };
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let (path, query) = (path.to_owned(), query.to_owned());
        let reply = self.send(Call { service, method, path, query, headers, body }).await?;
        document(&reply.body)
    }

    /// A call of a JSON 1.1 API; `target` is `Prefix.Operation`.
    pub(crate) async fn json(&self, service: &str, target: &str, body: &Json) -> anyhow::Result<Json> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        let body = Bytes::from(body.to_string());
        let call = Call { service, method: Method::POST, path: "/".into(), headers, body, ..Call::default() };
        document(&self.send(call).await?.body)
    }

    /// A call of a query API; the answer's XML.
    pub(crate) async fn form(
        &self,
        service: &str,
        action: &str,
        members: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let pairs = [("Action", action)].into_iter().chain(members.iter().copied());
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = Bytes::from(pairs.join("&"));
        let call = Call { service, method: Method::POST, path: "/".into(), headers, body, ..Call::default() };
        Ok(String::from_utf8_lossy(&self.send(call).await?.body).into_owned())
    }

    /// The number of the account that the key belongs to.
    pub(crate) async fn account(&self) -> anyhow::Result<String> {
        let text = self.form("sts", "GetCallerIdentity", &[("Version", "2011-06-15")]).await?;
        element(&text, "Account").map(str::to_owned).context("the server did not say whose key this is")
    }
}

fn document(body: &[u8]) -> anyhow::Result<Json> {
    match body.is_empty() {
        true => Ok(Json::Null),
        false => serde_json::from_slice(body).context("the server's answer is not JSON"),
    }
}

/// An error in any of AWS's three forms: a header with JSON, `__type` in JSON, or XML.
fn read_error(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let text = String::from_utf8_lossy(body);
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let member = |names: [&str; 2]| names.iter().find_map(|name| json.get(name)?.as_str()).map(str::to_owned);
    let code = headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
        .or_else(|| member(["__type", "code"]))
        .or_else(|| element(&text, "Code").map(str::to_owned));
    // `aws.prefix#Code:http://…` is `Code`.
    let code = code.as_deref().map(|code| code.rsplit('#').next().unwrap_or(code));
    let code = code.map(|code| code.split(':').next().unwrap_or(code).to_owned());
    let message = member(["message", "Message"]).or_else(|| element(&text, "Message").map(str::to_owned));
    ApiError {
        status,
        code: code.unwrap_or_else(|| status.canonical_reason().unwrap_or("Error").to_owned()),
        message: message.unwrap_or_default(),
    }
}

/// The text of the first element of that name; enough for the two documents that are read here.
pub(crate) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_every_form() {
        let read = |header: Option<&'static str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("x-amzn-errortype", HeaderValue::from_static(value));
            }
            let error = read_error(StatusCode::BAD_REQUEST, &headers, body.as_bytes());
            (error.code, error.message)
        };
        let pair = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(read(Some("NoFn:http://x/"), r#"{"Message":"gone"}"#), pair("NoFn", "gone"));
        assert_eq!(read(None, r#"{"__type":"a.b#NoGroup","message":"no"}"#), pair("NoGroup", "no"));
        let xml = "<?xml version='1.0'?><Error><Code>NoSuchBucket</Code><Message>none</Message></Error>";
        assert_eq!(read(None, xml), pair("NoSuchBucket", "none"));
        assert_eq!(read(None, ""), pair("Bad Request", ""));
    }
}
