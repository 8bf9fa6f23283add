//! What a request claims about its signer: from the Authorization header, or from the query of a presigned
//! URL.

use super::{ALGORITHM, AuthError, Credential, Payload, SignedRequest, UNSIGNED_PAYLOAD, is_s3};
use crate::call::parse_query;
use crate::time;
use http::HeaderMap;
use mayfly_kernel::Time;
use std::time::Duration;

const WEEK_SECONDS: u64 = 604_800;

/// Finds the signer of a request; `None` if it has no signature at all.
///
/// Whatever has a signature that is not a well-formed Signature Version 4 is refused, never taken for
/// anonymous.
pub fn find(req: &SignedRequest<'_>) -> Result<Option<Credential>, AuthError> {
    let query = parse_query(req.query);
    let has = |name: &str| query.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let presigned = has("X-Amz-Algorithm") || has("X-Amz-Credential") || has("X-Amz-Signature");
    let presigned_v2 = has("AWSAccessKeyId") && has("Signature");
    let mut headers = req.headers.get_all(http::header::AUTHORIZATION).iter();
    match (headers.next(), presigned, presigned_v2) {
        (None, false, false) => Ok(None),
        (None, false, true) => Err(AuthError::SignatureV2),
        (None, true, false) => from_query(req, &query).map(Some),
        (Some(value), false, false) if headers.next().is_none() => {
            let value = value.to_str().map_err(|_| AuthError::UnsupportedAuthorization)?;
            from_header(req, value).map(Some)
        }
        _ => Err(AuthError::SeveralMechanisms),
    }
}

fn from_header(req: &SignedRequest<'_>, value: &str) -> Result<Credential, AuthError> {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    match scheme {
        ALGORITHM => {}
        "AWS" => return Err(AuthError::SignatureV2),
        _ => return Err(AuthError::UnsupportedAuthorization),
    }
    let part = |name: &'static str| {
        let mut found = rest.split(',').filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        match (found.next(), found.next()) {
            (Some(text), None) if !text.is_empty() => Ok(text),
            _ => Err(AuthError::MissingComponent(name)),
        }
    };
    let (credential, signed, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let scope = scope(credential).map_err(AuthError::MalformedHeader)?;
    let signed_headers = names(signed).ok_or(AuthError::MissingComponent("SignedHeaders"))?;
    let signature = hex_signature(signature).ok_or(AuthError::MissingComponent("Signature"))?;
    let timestamp = header_time(req.headers)?;
    if time::basic(timestamp)[..8] != *scope.date {
        let sent = time::basic(timestamp);
        return Err(AuthError::MalformedHeader(format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
            scope.date,
            &sent[..8]
        )));
    }
    check_signed(req.headers, &signed_headers)?;
    let payload = payload_of_header(req.headers, is_s3(scope.service))?;
    let session_token = text_header(req.headers, "x-amz-security-token");
    Ok(scope.credential(signed_headers, signature, timestamp, session_token, None, payload))
}

fn from_query(req: &SignedRequest<'_>, query: &[(String, String)]) -> Result<Credential, AuthError> {
    let value = |name: &str| {
        let mut found = query.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value.as_str()),
            _ => None,
        }
    };
    let required = |name: &str| value(name).ok_or_else(|| AuthError::MalformedQuery(ALL_REQUIRED.to_owned()));
    let malformed = |text: &str| AuthError::MalformedQuery(text.to_owned());
    let algorithm = required("X-Amz-Algorithm")?;
    let (credential, signature) = (required("X-Amz-Credential")?, required("X-Amz-Signature")?);
    let (date, signed) = (required("X-Amz-Date")?, required("X-Amz-SignedHeaders")?);
    if algorithm != ALGORITHM {
        return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let scope = scope(credential).map_err(|cause| {
        AuthError::MalformedQuery(format!("Error parsing the X-Amz-Credential parameter; {cause}"))
    })?;
    let timestamp = time::parse_basic(date)
        .ok_or_else(|| malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""))?;
    if date[..8] != *scope.date {
        return Err(AuthError::MalformedQuery(format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
            scope.date,
            &date[..8]
        )));
    }
    let expires = match value("X-Amz-Expires") {
        Some(text) => expiry(text)?,
        // Other services' presigned requests, such as STS's, may leave it out; they are good for the clock
        // skew.
        None if !is_s3(scope.service) => Duration::from_secs(900),
        None => return Err(malformed(ALL_REQUIRED)),
    };
    let signed_headers = names(signed).ok_or_else(|| malformed(ALL_REQUIRED))?;
    let signature = hex_signature(signature).ok_or_else(|| malformed(ALL_REQUIRED))?;
    check_signed(req.headers, &signed_headers)?;
    let payload = match value("X-Amz-Content-Sha256") {
        Some(claimed) => payload(claimed, is_s3(scope.service))?,
        None if signed_headers.iter().any(|name| name == "x-amz-content-sha256") => {
            payload_of_header(req.headers, is_s3(scope.service))?
        }
        None if is_s3(scope.service) => Payload::Unsigned,
        None => Payload::Absent,
    };
    let session_token = value("X-Amz-Security-Token").map(str::to_owned);
    Ok(scope.credential(signed_headers, signature, timestamp, session_token, Some(expires), payload))
}

const ALL_REQUIRED: &str = "Query-string authentication version 4 requires the X-Amz-Algorithm, \
X-Amz-Credential, \
     X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";

fn expiry(text: &str) -> Result<Duration, AuthError> {
    let refuse = |text: &str| Err(AuthError::MalformedQuery(text.to_owned()));
    match text.parse::<i64>() {
        Err(_) => refuse("X-Amz-Expires should be a number"),
        Ok(seconds) => match u64::try_from(seconds) {
            Err(_) => refuse("X-Amz-Expires must be non-negative"),
            Ok(seconds) if seconds > WEEK_SECONDS => refuse(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given \
                X-Amz-Expires must be \
                 less than 604800 seconds",
            ),
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
        },
    }
}

/// `AKID/yyyymmdd/region/service/aws4_request`.
struct Scope<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
}

impl Scope<'_> {
    fn credential(
        &self,
        signed_headers: Vec<String>,
        signature: String,
        timestamp: Time,
        session_token: Option<String>,
        expires: Option<Duration>,
        payload: Payload,
    ) -> Credential {
        Credential {
            access_key: self.access_key.to_owned(),
            date: self.date.to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
            signed_headers,
            signature,
            timestamp,
            session_token,
            expires,
            payload,
        }
    }
}

/// The error is the sentence that says what is wrong, without its beginning.
fn scope(text: &str) -> Result<Scope<'_>, String> {
    const SHAPE: &str =
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
    // An access key may hold slashes itself, so the scope is counted from the end.
    let mut parts = text.rsplitn(5, '/');
    let mut next = || parts.next().ok_or_else(|| SHAPE.to_owned());
    let (end, service, region, date, access_key) = (next()?, next()?, next()?, next()?, next()?);
    if end != "aws4_request" || service.is_empty() || region.is_empty() {
        return Err(SHAPE.to_owned());
    }
    if access_key.is_empty() {
        return Err("a non-empty Access Key (AKID) must be provided in the credential.".to_owned());
    }
    if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "incorrect date format \"{date}\". This date in the credential must be in the format \
            \"yyyyMMdd\"."
        ));
    }
    Ok(Scope { access_key, date, region, service })
}

/// Header names must come lower-case, sorted and once each; otherwise the canonical form would not be one.
fn names(list: &str) -> Option<Vec<String>> {
    let names: Vec<String> = list.split(';').map(str::to_owned).collect();
    let plain = |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let sorted = names.windows(2).all(|pair| pair[0] < pair[1]);
    (sorted && names.iter().all(plain)).then_some(names)
}

fn hex_signature(text: &str) -> Option<String> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == 64 && digits).then(|| text.to_owned())
}

fn header_time(headers: &HeaderMap) -> Result<Time, AuthError> {
    let read = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(text) = read("x-amz-date") {
        return time::parse_basic(text.trim()).ok_or(AuthError::MissingDate);
    }
    let date = read("date").ok_or(AuthError::MissingDate)?;
    time::parse_basic(date.trim()).or_else(|| time::parse_http_date(date)).ok_or(AuthError::MissingDate)
}

/// A header that changes what a request means must be signed: the host, and all that start with `x-amz-`.
fn check_signed(headers: &HeaderMap, signed: &[String]) -> Result<(), AuthError> {
    let is_signed = |name: &str| signed.iter().any(|signed| signed == name);
    let mut unsigned: Vec<String> = Vec::new();
    if !is_signed("host") {
        unsigned.push("host".to_owned());
    }
    for name in headers.keys().map(http::HeaderName::as_str) {
        // What this header says is a line of the canonical request in any case.
        let exempt = name == "x-amz-content-sha256";
        if name.starts_with("x-amz-") && !is_signed(name) && !exempt {
            unsigned.push(name.to_owned());
        }
    }
    if unsigned.is_empty() { Ok(()) } else { Err(AuthError::UnsignedHeaders(unsigned)) }
}

fn payload_of_header(headers: &HeaderMap, s3: bool) -> Result<Payload, AuthError> {
    match text_header(headers, "x-amz-content-sha256") {
        Some(claimed) => payload(&claimed, s3),
        None if s3 => Err(AuthError::MissingContentHash),
        None => Ok(Payload::Absent),
    }
}

fn payload(claimed: &str, s3: bool) -> Result<Payload, AuthError> {
    let is_hash = claimed.len() == 64 && claimed.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(match claimed {
        hash if is_hash => Payload::Hash(hash.to_owned()),
        // Elsewhere a payload is always signed: what else the header says is no excuse.
        _ if !s3 => Payload::Absent,
        UNSIGNED_PAYLOAD => Payload::Unsigned,
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Payload::Streaming { trailer: false, signed: true },
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Payload::Streaming { trailer: true, signed: true },
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Streaming { trailer: true, signed: false },
        _ => return Err(AuthError::BadContentHash),
    })
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|text| text.trim().to_owned())
}
