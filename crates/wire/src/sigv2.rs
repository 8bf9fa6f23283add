//! AWS Signature Version 2, as far as S3 in us-east-1 still takes it: presigned URLs and the policies of form
//! uploads.
//!
//! boto3 presigns this way unless told otherwise, so links that unmodified code makes must open. A signature
//! covers the method, Content-MD5, Content-Type, the expiry, the `x-amz-` headers, and the resource with its
//! sub-resources ("Signing and authenticating REST requests", S3 user guide). What a client cannot send as a
//! header of a link may stand in the query, and is signed as if it were one.
//!
//! Not here, and refused by [`crate::sigv4::find`]: Version 2 in an Authorization header, and any service but S3.

use crate::call::parse_query;
use crate::sigv4::{AuthError, SignedRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use mayfly_kernel::Time;
use sha1::Sha1;
use std::collections::BTreeMap;
use subtle::ConstantTimeEq as _;

/// What a presigned URL claims. Nothing of it is proven before [`verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    pub access_key: String,
    pub session_token: Option<String>,
    /// Base64.
    pub signature: String,
    pub expires: Time,
}

/// Query parameters that are part of the resource; all others are not signed.
const SIGNED_PARAMETERS: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Finds a presigned URL's signer; `None` if the request has no signature of this kind, or has one of another kind
/// as well, which [`crate::sigv4::find`] refuses.
pub fn find(req: &SignedRequest<'_>) -> Result<Option<Presigned>, AuthError> {
    let query = parse_query(req.query);
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let of_version_4 = query.iter().any(|(key, _)| key.to_ascii_lowercase().starts_with("x-amz-algorithm"));
    if of_version_4 || req.headers.contains_key(http::header::AUTHORIZATION) {
        return Ok(None);
    }
    match (value("AWSAccessKeyId"), value("Signature"), value("Expires")) {
        (None, None, _) => Ok(None),
        (Some(access_key), Some(signature), Some(expires)) => {
            let seconds = expires.parse().map_err(|_| AuthError::BadExpires(expires))?;
            let expires = Time::from_secs(seconds);
            let token = query.iter().find(|(key, _)| key.eq_ignore_ascii_case("x-amz-security-token"));
            let session_token = token.map(|(_, value)| value.clone());
            Ok(Some(Presigned { access_key, session_token, signature, expires }))
        }
        _ => Err(AuthError::IncompletePresigned),
    }
}

/// Computes the signature again. `resource` is the request's path as it was sent, with the bucket before it if the
/// host name carries the bucket.
pub fn verify(
    req: &SignedRequest<'_>,
    resource: &str,
    presigned: &Presigned,
    secret: &str,
    now: Time,
) -> Result<(), AuthError> {
    let to_sign = string_to_sign(req, resource, presigned);
    if !same(&sign(secret, &to_sign), &presigned.signature) {
        return Err(AuthError::MismatchV2 {
            access_key: presigned.access_key.clone(),
            string_to_sign: to_sign,
            provided: presigned.signature.clone(),
        });
    }
    match now > presigned.expires {
        true => Err(AuthError::ExpiredV2 { at: presigned.expires, now }),
        false => Ok(()),
    }
}

/// Base64 of HMAC-SHA1: signs a string to sign, and the policy of a form.
pub fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Compares in a time that does not depend on where the texts differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn string_to_sign(req: &SignedRequest<'_>, resource: &str, presigned: &Presigned) -> String {
    let query = parse_query(req.query);
    let standard = |name: &str| {
        let header = req.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let parameter = query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        header.or(parameter.map(|(_, value)| value.as_str())).unwrap_or_default().to_owned()
    };
    let (md5, media) = (standard("content-md5"), standard("content-type"));
    let expires = presigned.expires.ms() / 1000;
    let mut text = format!("{}\n{md5}\n{media}\n{expires}\n", req.method);
    for (name, value) in amz_headers(req.headers, &query) {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(resource);
    text.push_str(&subresources(&query));
    text
}

/// By name, several values joined by commas; those of the query where no header has the name.
fn amz_headers(headers: &HeaderMap, query: &[(String, String)]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in query {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-amz-") {
            found.insert(name, value.trim().to_owned());
        }
    }
    for name in headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")) {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
        found.insert(name.to_owned(), values.collect::<Vec<_>>().join(","));
    }
    found
}

/// The query's part of the resource, decoded and in the order of names.
fn subresources(query: &[(String, String)]) -> String {
    let mut signed: Vec<&(String, String)> =
        query.iter().filter(|(name, _)| SIGNED_PARAMETERS.contains(&name.as_str())).collect();
    signed.sort_by(|left, right| left.0.cmp(&right.0));
    let mut text = String::new();
    for (place, (name, value)) in signed.into_iter().enumerate() {
        text.push(if place == 0 { '?' } else { '&' });
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    // The keys and the request of "Query string request authentication alternative", S3 user guide.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const QUERY: &str = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D\
                         &Expires=1175139620";

    fn request<'a>(query: &'a str, headers: &'a HeaderMap) -> SignedRequest<'a> {
        SignedRequest { method: "GET", path: "/photos/puppy.jpg", query, headers }
    }

    fn check(query: &str, headers: &HeaderMap, now: u64) -> Result<(), AuthError> {
        let req = request(query, headers);
        let presigned = find(&req)?.expect("presigned");
        verify(&req, "/johnsmith/photos/puppy.jpg", &presigned, SECRET, Time::from_secs(now))
    }

    #[test]
    fn the_documented_url_is_verified_until_it_expires() {
        let none = HeaderMap::new();
        assert_eq!(check(QUERY, &none, 1_175_139_620), Ok(()));
        assert!(matches!(check(QUERY, &none, 1_175_139_621), Err(AuthError::ExpiredV2 { .. })));
    }

    #[test]
    fn whatever_is_signed_may_not_change() {
        let none = HeaderMap::new();
        let now = 1_175_139_000;
        let later = QUERY.replace("620", "999");
        for query in [later, format!("{QUERY}&versionId=7"), format!("{QUERY}&x-amz-acl=public-read")] {
            assert!(matches!(check(&query, &none, now), Err(AuthError::MismatchV2 { .. })), "{query}");
        }
        assert_eq!(check(&format!("{QUERY}&unsigned=1"), &none, now), Ok(()));
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-a", HeaderValue::from_static("1"));
        assert!(matches!(check(QUERY, &headers, now), Err(AuthError::MismatchV2 { .. })));
    }

    #[test]
    fn a_url_that_lacks_a_part_is_refused_and_other_kinds_are_not_found() {
        let none = HeaderMap::new();
        let incomplete = "AWSAccessKeyId=A&Signature=B";
        assert_eq!(find(&request(incomplete, &none)), Err(AuthError::IncompletePresigned));
        let bad = "AWSAccessKeyId=A&Signature=B&Expires=soon";
        assert_eq!(find(&request(bad, &none)), Err(AuthError::BadExpires("soon".into())));
        assert_eq!(find(&request("Expires=5&x=1", &none)), Ok(None));
        assert_eq!(find(&request(&format!("{QUERY}&X-Amz-Algorithm=x"), &none)), Ok(None));
    }
}
