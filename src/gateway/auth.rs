//! Who signed a request, and what the signature says of its body.

use super::Peer;
use crate::cloud::Cloud;
use http::request::Parts;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Caller, Fault};
use mayfly_wire::Protocol;
use mayfly_wire::sigv4::{self, AuthError, ChunkDecoder, Credential, Seed, SignedRequest};
use std::time::Duration;

/// What is known of a body before it is read.
pub(super) enum Payload {
    /// It must have this SHA-256, in hexadecimal.
    Sha256(String),
    /// It comes in `aws-chunked` form.
    Chunked(Box<ChunkDecoder>),
    Unsigned,
}

/// The signature of a request, read but not yet checked.
pub(super) fn credential(parts: &Parts, protocol: Protocol) -> Result<Option<Credential>, Fault> {
    sigv4::find(&signed(parts)).map_err(|error| error.to_fault(protocol))
}

fn signed(parts: &Parts) -> SignedRequest<'_> {
    SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    }
}

/// Checks the signature and says who made it. `body_hash` is the hexadecimal SHA-256 of a body that has been read.
pub(super) fn verify(
    cloud: &Cloud,
    parts: &Parts,
    credential: &Credential,
    protocol: Protocol,
    body_hash: Option<&str>,
) -> Result<(Caller, Seed), Fault> {
    let now = cloud.runner.clock().now();
    let token = credential.session_token.as_deref();
    let Some((secret, caller)) = cloud.keyring.find(&credential.access_key, token, now) else {
        let error = match token {
            None => AuthError::UnknownKey { access_key: credential.access_key.clone() },
            Some(_) => AuthError::InvalidToken,
        };
        return Err(error.to_fault(protocol));
    };
    let skew = Duration::from_secs(cloud.runner.limits().clock_skew_seconds);
    let seed = sigv4::verify(&signed(parts), credential, &secret, now, skew, body_hash)
        .map_err(|error| error.to_fault(protocol))?;
    Ok((Caller { region: credential.region.clone(), ..caller }, seed))
}

/// A call without a signature.
pub(super) fn anonymous(cloud: &Cloud) -> Caller {
    let site = cloud.runner.site();
    Caller {
        account: String::new(),
        region: site.region.clone(),
        principal: Principal::Anonymous,
        access_key: String::new(),
    }
}

/// A function may only be itself: the socket it calls on must agree with the credentials it uses.
pub(super) fn agrees(peer: &Peer, caller: &Caller) -> bool {
    match (peer, &caller.principal) {
        (Peer::Client, _) | (Peer::Function(_), Principal::Anonymous | Principal::Root) => true,
        (Peer::Function(socket), Principal::Function(claimed)) => socket == claimed,
        (Peer::Function(_), Principal::Service(_)) => false,
    }
}

/// How the body that follows is to be taken, once the head's signature holds.
pub(super) fn payload(credential: &Credential, seed: Seed, parts: &Parts) -> Payload {
    let decoded = parts.headers.get("x-amz-decoded-content-length");
    let decoded = decoded.and_then(|length| length.to_str().ok()?.parse().ok());
    match &credential.payload {
        sigv4::Payload::Hash(hex) => Payload::Sha256(hex.clone()),
        sigv4::Payload::Streaming { trailer, signed } => {
            Payload::Chunked(Box::new(ChunkDecoder::new(signed.then_some(seed), *trailer, decoded)))
        }
        sigv4::Payload::Unsigned | sigv4::Payload::Absent => Payload::Unsigned,
    }
}
