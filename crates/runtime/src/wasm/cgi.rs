//! How a WASI command meets HTTP: the Common Gateway Interface (RFC 3875).
//!
//! `_start` runs once for each request. The request's body is standard input; what the request says is in the
//! environment (RFC 3875 section 4.1), below the function's own variables, which win. Standard output is the
//! response: if its first line is one of CGI's own fields (`Content-Type:`, `Status:` or `Location:`), it
//! begins with a header block that ends at an empty line, as section 6 says; if not, all of it is the body of
//! a 200 answer. So a program that just prints its result is a function, and one that wants a status can give
//! it. Standard error goes to the log.
//!
//! Not here: local redirects, which would make one request run a second function; `Location` always goes to
//! the client.

use super::pipe::Output;
use bytes::{Buf as _, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::uri::Authority;
use http::{Response, StatusCode, request};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A header block longer than this is an error.
const HEADER_BYTES_MAX: usize = 64 * 1024;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Fields without a variable of their own name. The first two have one of another, and a client's `Proxy` is
/// left out because libraries take `HTTP_PROXY` for the operator's word.
static NOT_PASSED: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_LENGTH, HeaderName::from_static("proxy")];

const OPENING_FIELDS: [&str; 3] = ["content-type:", "status:", "location:"];

/// The meta-variables of one request, and before them the function's `own`, which stand in for those of the
/// same name.
pub(super) fn environment(
    request: &request::Parts,
    own: &BTreeMap<String, String>,
    mut set: impl FnMut(&str, &str),
) {
    for (name, value) in own {
        set(name, value);
    }
    let mut set = |name: &str, value: &str| {
        if !own.contains_key(name) {
            set(name, value);
        }
    };
    let header = |name: &HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = request.uri.authority().map(Authority::as_str);
    let host = authority.or_else(|| header(&HOST)).unwrap_or_default();
    let (server, port) = match host.rsplit_once(':') {
        Some((server, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (server, port),
        _ => (host, "80"),
    };
    let fixed: [(&str, &str); 11] = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "Mayfly"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_NAME", server),
        ("SERVER_PORT", port),
        ("REQUEST_METHOD", request.method.as_str()),
        ("REQUEST_URI", request.uri.path_and_query().map_or("/", |target| target.as_str())),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", &decode(request.uri.path())),
        ("QUERY_STRING", request.uri.query().unwrap_or_default()),
        ("REMOTE_ADDR", forwarded_for(&request.headers)),
    ];
    for (name, value) in fixed {
        set(name, value);
    }
    for (name, variable) in [(CONTENT_TYPE, "CONTENT_TYPE"), (CONTENT_LENGTH, "CONTENT_LENGTH")] {
        if request.headers.contains_key(&name) {
            set(variable, header(&name).unwrap_or_default());
        }
    }
    header_variables(&request.headers, set);
}

/// `HTTP_*`. The values of a field that comes several times are one, with commas between them; they follow
/// each other in the map.
fn header_variables(headers: &HeaderMap, mut set: impl FnMut(&str, &str)) {
    let mut variable = String::with_capacity(64);
    let mut fields = headers.iter().peekable();
    while let Some((name, first)) = fields.next() {
        let mut value = text(first);
        while let Some((_, next)) = fields.next_if(|(next, _)| *next == name) {
            value = value + ", " + text(next);
        }
        if NOT_PASSED.contains(name) {
            continue;
        }
        variable.clear();
        variable.push_str("HTTP_");
        variable.extend(name.as_str().bytes().map(|byte| match byte {
            b'-' => '_',
            byte => char::from(byte.to_ascii_uppercase()),
        }));
        set(&variable, &value);
    }
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn forwarded_for(headers: &HeaderMap) -> &str {
    let first = headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok()).and_then(|v| v.split(',').next());
    first.unwrap_or_default().trim()
}

/// Undoes percent-encoding, as RFC 3875 section 4.1.5 wants of `PATH_INFO`. What is no valid code stays as it
/// is.
fn decode(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = match bytes[at] {
            b'%' => digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2))),
            _ => None,
        };
        let code = code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        plain.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned().into()
}

/// Reads the head of the response off what a command prints. `None` if it ended without a word.
pub(super) async fn response(mut output: Output) -> Result<Option<Response<Output>>, String> {
    let mut seen = BytesMut::new();
    loop {
        let ended = match output.next().await {
            Some(bytes) => {
                // The first bytes, which are mostly all, are taken as they are.
                seen.unsplit(bytes);
                false
            }
            None => true,
        };
        match (opening(&seen), end_of_headers(&seen)) {
            (Opening::Body, _) => return Ok(Some(answer(Response::new(()), seen, output))),
            (Opening::Headers, Some(end)) => {
                let head = parse(&seen[..end])?;
                seen.advance(end);
                return Ok(Some(answer(head, seen, output)));
            }
            (Opening::Headers, None) if seen.len() > HEADER_BYTES_MAX => {
                return Err(format!("the header block is longer than {HEADER_BYTES_MAX} bytes"));
            }
            (Opening::Headers, None) if ended => return Err("the header block has no end".into()),
            (Opening::Unknown, _) if ended && seen.is_empty() => return Ok(None),
            (Opening::Unknown, _) if ended => {
                return Ok(Some(answer(Response::new(()), seen, output)));
            }
            (Opening::Headers | Opening::Unknown, _) => {}
        }
    }
}

fn answer(head: Response<()>, first: BytesMut, mut rest: Output) -> Response<Output> {
    rest.put_back(first);
    head.map(|()| rest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Headers,
    Body,
    /// Too little has been printed to tell.
    Unknown,
}

fn opening(seen: &[u8]) -> Opening {
    let starts = |field: &str| {
        let len = field.len().min(seen.len());
        field.as_bytes()[..len].eq_ignore_ascii_case(&seen[..len])
    };
    match OPENING_FIELDS.into_iter().find(|field| starts(field)) {
        Some(field) if seen.len() >= field.len() => Opening::Headers,
        Some(_) => Opening::Unknown,
        None => Opening::Body,
    }
}

/// Where the body begins: after the first empty line.
fn end_of_headers(seen: &[u8]) -> Option<usize> {
    let mut line = 0;
    while let Some(len) = seen[line..].iter().position(|&b| b == b'\n') {
        let next = line + len + 1;
        if matches!(&seen[line..next], b"\n" | b"\r\n") {
            return Some(next);
        }
        line = next;
    }
    None
}

fn parse(headers: &[u8]) -> Result<Response<()>, String> {
    let bad = |line: &[u8]| format!("not a CGI header: {}", String::from_utf8_lossy(line));
    let mut response = Response::new(());
    let mut status = None;
    for line in headers.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let colon = line.iter().position(|&b| b == b':').ok_or_else(|| bad(line))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.split(|&b| b == b' ').next().unwrap_or_default();
            let code = StatusCode::from_bytes(code).ok().filter(|code| !code.is_informational());
            status = Some(code.ok_or_else(|| bad(line))?);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| bad(line))?;
        response.headers_mut().append(name, HeaderValue::from_bytes(value).map_err(|_| bad(line))?);
    }
    let default = if response.headers().contains_key(LOCATION) { StatusCode::FOUND } else { StatusCode::OK };
    *response.status_mut() = status.unwrap_or(default);
    Ok(response)
}
