//! Whether a signature is right.

use super::canonical::{self, PathForm};
use super::{ALGORITHM, AuthError, Credential, EMPTY_SHA256, Payload, SignedRequest, UNSIGNED_PAYLOAD};
use crate::checksum::sha256_hex;
use crate::time;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mayfly_kernel::Time;
use sha2::Sha256;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// What the signatures of a body's chunks start from.
#[derive(Clone)]
pub struct Seed {
    pub(super) key: [u8; 32],
    pub(super) signature: String,
    pub(super) timestamp: String,
    pub(super) scope: String,
}

impl std::fmt::Debug for Seed {
    /// Without the key, which signs anything for a day.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seed").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Seed {
    /// The signature of whatever text, in lower-case hexadecimal.
    pub(super) fn sign(&self, text: &str) -> String {
        hex::encode(hmac(&self.key, text.as_bytes()))
    }
}

pub(super) fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The key that a secret gives for one day, region and service.
pub(super) fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> [u8; 32] {
    let day = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    let in_region = hmac(&day, region.as_bytes());
    let in_service = hmac(&in_region, service.as_bytes());
    hmac(&in_service, b"aws4_request")
}

/// The signature of a form's policy, which is its own string to sign.
pub(crate) fn sign_policy(secret: &str, date: &str, region: &str, policy: &str) -> String {
    hex::encode(hmac(&signing_key(secret, date, region, "s3"), policy.as_bytes()))
}

pub(super) fn string_to_sign(timestamp: &str, scope: &str, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", sha256_hex(canonical_request.as_bytes()))
}

/// Compares in a time that does not depend on where the texts differ.
pub(super) fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

/// Computes the signature again from the `secret` of the credential's key.
///
/// `body_hash` is the SHA-256 of the body, in hexadecimal, if the body is at hand. A request whose signature
/// names the hash may be verified before its body is read ([`Payload::Hash`]); then it is the reader who
/// compares. One that names none ([`Payload::Absent`]) cannot: without `body_hash` its body must be empty.
pub fn verify(
    req: &SignedRequest<'_>,
    credential: &Credential,
    secret: &str,
    now: Time,
    skew: Duration,
    body_hash: Option<&str>,
) -> Result<Seed, AuthError> {
    let payload = payload_text(&credential.payload, body_hash);
    let form = if credential.is_s3() { PathForm::AsSent } else { PathForm::Normalized };
    let skip = credential.expires.is_some().then_some("X-Amz-Signature");
    let canonical = canonical::request(req, form, &credential.signed_headers, payload, skip);
    let timestamp = time::basic(credential.timestamp);
    let scope = credential.scope();
    let to_sign = string_to_sign(&timestamp, &scope, &canonical);
    let key = signing_key(secret, &credential.date, &credential.region, &credential.service);
    let seed = Seed { key, signature: credential.signature.clone(), timestamp, scope };
    if !same(&seed.sign(&to_sign), &credential.signature) {
        return Err(AuthError::Mismatch {
            access_key: credential.access_key.clone(),
            string_to_sign: to_sign,
            canonical_request: canonical,
            provided: credential.signature.clone(),
        });
    }
    check_time(credential, now, skew)?;
    match (&credential.payload, body_hash) {
        (Payload::Hash(claimed), Some(computed)) if !claimed.eq_ignore_ascii_case(computed) => {
            Err(AuthError::BodyMismatch { claimed: claimed.clone(), computed: computed.to_owned() })
        }
        _ => Ok(seed),
    }
}

/// The last line of the canonical request.
fn payload_text<'a>(payload: &'a Payload, body_hash: Option<&'a str>) -> &'a str {
    match payload {
        Payload::Hash(claimed) => claimed,
        Payload::Unsigned => UNSIGNED_PAYLOAD,
        Payload::Streaming { trailer: false, .. } => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        Payload::Streaming { trailer: true, signed: true } => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        Payload::Streaming { trailer: true, signed: false } => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        Payload::Absent => body_hash.unwrap_or(EMPTY_SHA256),
    }
}

fn check_time(credential: &Credential, now: Time, skew: Duration) -> Result<(), AuthError> {
    let signed = credential.timestamp;
    match credential.expires {
        Some(_) if signed.since(now) > skew => Err(AuthError::NotYetValid),
        Some(expires) if now.since(signed) > expires => {
            Err(AuthError::Expired { expires, at: signed + expires, now })
        }
        None if signed.since(now) > skew || now.since(signed) > skew => {
            Err(AuthError::Skewed { signed, now, skew })
        }
        _ => Ok(()),
    }
}
