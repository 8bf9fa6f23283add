//! Signing, for Mayfly's own command line and for tests.

use super::canonical::{self, PathForm};
use super::verify::{Seed, signing_key, string_to_sign};
use super::{ALGORITHM, SignedRequest, UNSIGNED_PAYLOAD, is_s3};
use crate::time;
use http::{HeaderMap, HeaderValue};
use mayfly_kernel::Time;
use std::time::Duration;

/// A key and where its signatures are good.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub access_key: &'a str,
    pub secret: &'a str,
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    pub service: &'a str,
}

impl Signer<'_> {
    fn form(&self) -> PathForm {
        if is_s3(self.service) { PathForm::AsSent } else { PathForm::Normalized }
    }

    fn scope(&self, timestamp: &str) -> String {
        format!("{}/{}/{}/aws4_request", &timestamp[..8], self.region, self.service)
    }

    /// The seed of a canonical request's signature: the signature itself, and what chunks go on from.
    fn seed(&self, timestamp: &str, canonical_request: &str) -> Seed {
        let key = signing_key(self.secret, &timestamp[..8], self.region, self.service);
        let scope = self.scope(timestamp);
        let to_sign = string_to_sign(timestamp, &scope, canonical_request);
        let mut seed = Seed { key, signature: String::new(), timestamp: timestamp.to_owned(), scope };
        seed.signature = seed.sign(&to_sign);
        seed
    }
}

/// Adds `x-amz-date`, `x-amz-security-token`, for S3 `x-amz-content-sha256`, and `authorization` to the
/// headers, among which `host` must already be. All headers that are there are signed.
///
/// `payload` is the hexadecimal SHA-256 of the body or one of the words that stand for it. The seed is for
/// bodies in signed chunks.
pub fn sign(
    signer: &Signer<'_>,
    method: &str,
    path: &str,
    query: &str,
    headers: &mut HeaderMap,
    payload: &str,
    now: Time,
) -> Result<Seed, http::header::InvalidHeaderValue> {
    let timestamp = time::basic(now);
    headers.remove(http::header::AUTHORIZATION);
    headers.insert("x-amz-date", HeaderValue::from_str(&timestamp)?);
    if let Some(token) = signer.session_token {
        headers.insert("x-amz-security-token", HeaderValue::from_str(token)?);
    }
    if is_s3(signer.service) {
        headers.insert("x-amz-content-sha256", HeaderValue::from_str(payload)?);
    }
    let mut signed: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    signed.sort_unstable();
    let req = SignedRequest { method, path, query, headers };
    let seed = signer.seed(&timestamp, &canonical::request(&req, signer.form(), &signed, payload, None));
    let value = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
        signer.access_key,
        seed.scope,
        signed.join(";"),
        seed.signature
    );
    headers.insert(http::header::AUTHORIZATION, HeaderValue::from_str(&value)?);
    Ok(seed)
}

/// The query of a URL that anyone may use for `expires`: `query` with the signature's parameters added.
pub fn presign(
    signer: &Signer<'_>,
    method: &str,
    path: &str,
    query: &str,
    host: &str,
    expires: Duration,
    now: Time,
) -> Result<String, http::header::InvalidHeaderValue> {
    let timestamp = time::basic(now);
    let credential = format!("{}/{}", signer.access_key, signer.scope(&timestamp));
    let mut query = query.to_owned();
    let mut add = |name: &str, value: &str| {
        let separator = if query.is_empty() { "" } else { "&" };
        query.push_str(&format!("{separator}{name}={}", canonical::encode(value)));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", &timestamp);
    add("X-Amz-Expires", &expires.as_secs().to_string());
    add("X-Amz-SignedHeaders", "host");
    if let Some(token) = signer.session_token {
        add("X-Amz-Security-Token", token);
    }
    let mut headers = HeaderMap::new();
    headers.insert(http::header::HOST, HeaderValue::from_str(host)?);
    let req = SignedRequest { method, path, query: &query, headers: &headers };
    let payload = if is_s3(signer.service) { UNSIGNED_PAYLOAD } else { super::EMPTY_SHA256 };
    let canonical = canonical::request(&req, signer.form(), &["host".to_owned()], payload, None);
    let seed = signer.seed(&timestamp, &canonical);
    Ok(format!("{query}&X-Amz-Signature={}", seed.signature))
}
