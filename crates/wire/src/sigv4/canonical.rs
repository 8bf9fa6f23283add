//! The canonical form of a request: the text that both sides sign.

use super::SignedRequest;
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Which of the two canonical forms of a path applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathForm {
    /// S3: as it was sent; keys may hold `..` and `//`.
    AsSent,
    /// Everyone else: dot segments and repeated slashes resolved, then encoded once more.
    Normalized,
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The canonical request, hashed into the string to sign. `skip` names the query parameter that holds the
/// signature.
pub(super) fn request(
    req: &SignedRequest<'_>,
    form: PathForm,
    signed_headers: &[String],
    payload: &str,
    skip: Option<&str>,
) -> String {
    let path = match form {
        PathForm::AsSent => as_sent(req.path),
        PathForm::Normalized => utf8_percent_encode(&normalized(req.path), ENCODED_IN_PATH).to_string(),
    };
    let query = query(req.query, skip);
    let mut text = format!("{}\n{path}\n{query}\n", req.method);
    for name in signed_headers {
        text.push_str(name);
        text.push(':');
        text.push_str(&header(req.headers, name));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(payload);
    text
}

/// Keeps what is encoded, and encodes what should have been: browsers and curl send `(` and `é` as they are.
fn as_sent(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = if path.is_empty() { "/" } else { path };
    while let Some(place) = rest.find('%') {
        let (before, escape) = rest.split_at(place);
        text.extend(utf8_percent_encode(before, ENCODED_IN_PATH));
        match escape.as_bytes() {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push_str(&escape[..3].to_ascii_uppercase());
                rest = &escape[3..];
            }
            _ => {
                text.push_str("%25");
                rest = &escape[1..];
            }
        }
    }
    text.extend(utf8_percent_encode(rest, ENCODED_IN_PATH));
    text
}

/// RFC 3986's removal of dot segments, and of empty ones; a slash at the end stays.
fn normalized(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let ends = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let slash = if ends && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

/// Decoded, encoded in the one canonical way, and sorted.
fn query(raw: &str, skip: Option<&str>) -> String {
    let canonical = |text: &str| {
        let spaced = text.replace('+', " ");
        let bytes: Vec<u8> = percent_decode_str(&spaced).collect();
        percent_encoding::percent_encode(&bytes, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = raw
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (canonical(name), canonical(value)))
        .filter(|(name, _)| skip != Some(name.as_str()))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// All values of a header, trimmed, with runs of spaces made one, joined by commas.
fn header(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}
