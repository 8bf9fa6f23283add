//! Who signed a request, and what the signature says of its body.

use super::Peer;
use crate::cloud::Cloud;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use mayfly_kernel::caller::Principal;
use mayfly_kernel::{Caller, Fault};
use mayfly_wire::sigv4::{self, AuthError, ChunkDecoder, Seed, SignedRequest};
use mayfly_wire::{Protocol, parse_query, sigv2};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// What is known of a body before it is read.
pub(super) enum Payload {
    /// It must have this SHA-256, in hexadecimal.
    Sha256(String),
    /// It comes in `aws-chunked` form.
    Chunked(Box<ChunkDecoder>),
    Unsigned,
}

/// What a request claims about its signer.
pub(super) enum Credential {
    V4(sigv4::Credential),
    /// A link to S3 that was presigned with Version 2, and the resource that it names: the path as it was
    /// sent, with the bucket in it.
    V2 {
        presigned: sigv2::Presigned,
        resource: String,
    },
}

impl Credential {
    /// The service that the signature is for.
    pub(super) fn service(&self) -> &str {
        match self {
            Credential::V4(credential) => &credential.service,
            Credential::V2 { .. } => "s3",
        }
    }

    fn key(&self) -> (&str, Option<&str>) {
        match self {
            Credential::V4(credential) => (&credential.access_key, credential.session_token.as_deref()),
            Credential::V2 { presigned, .. } => (&presigned.access_key, presigned.session_token.as_deref()),
        }
    }

    /// Whether the signature is in the URL, so that what else would be a header may be there too.
    fn is_presigned(&self) -> bool {
        match self {
            Credential::V4(credential) => credential.expires.is_some(),
            Credential::V2 { .. } => true,
        }
    }

    /// The headers of a call: those that were sent, and of a presigned one what its URL says in their place,
    /// such as the metadata of an object.
    pub(super) fn headers(&self, parts: &Parts) -> HeaderMap {
        let mut headers = parts.headers.clone();
        if !self.is_presigned() {
            return headers;
        }
        for (name, value) in parse_query(parts.uri.query().unwrap_or_default()) {
            let name = name.to_ascii_lowercase();
            let stands_for_a_header = name.starts_with("x-amz-") && !OF_SIGNATURES.contains(&name.as_str())
                || matches!(name.as_str(), "content-type" | "content-md5");
            if let (true, Ok(name), Ok(value)) =
                (stands_for_a_header, HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.entry(name).or_insert(value);
            }
        }
        headers
    }
}

/// Parameters that say how a URL is signed.
const OF_SIGNATURES: [&str; 7] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The signature of a request, read but not yet checked. `path` is the one that is routed.
pub(super) fn credential(parts: &Parts, path: &str, protocol: Protocol) -> Result<Option<Credential>, Fault> {
    let found = match sigv2::find(&signed(parts)) {
        Ok(Some(presigned)) => Ok(Some(Credential::V2 { presigned, resource: path.to_owned() })),
        Ok(None) => sigv4::find(&signed(parts)).map(|found| found.map(Credential::V4)),
        Err(error) => Err(error),
    };
    found.map_err(|error| error.to_fault(protocol))
}

fn signed(parts: &Parts) -> SignedRequest<'_> {
    SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    }
}

/// Whose key it is, and its secret.
pub(super) fn owner(
    cloud: &Cloud,
    access_key: &str,
    token: Option<&str>,
    protocol: Protocol,
) -> Result<(String, Caller), Fault> {
    let now = cloud.runner.clock().now();
    cloud.keyring.find(access_key, token, now).ok_or_else(|| {
        let error = match token {
            None => AuthError::UnknownKey { access_key: access_key.to_owned() },
            Some(_) => AuthError::InvalidToken,
        };
        error.to_fault(protocol)
    })
}

/// Checks the signature and says who made it, and how the body that follows is to be taken. `body_hash` is
/// the hexadecimal SHA-256 of a body that has been read.
pub(super) fn verify(
    cloud: &Cloud,
    parts: &Parts,
    credential: &Credential,
    protocol: Protocol,
    body_hash: Option<&str>,
) -> Result<(Caller, Payload), Fault> {
    let now = cloud.runner.clock().now();
    let (access_key, token) = credential.key();
    let (secret, caller) = owner(cloud, access_key, token, protocol)?;
    let refuse = |error: AuthError| error.to_fault(protocol);
    match credential {
        Credential::V2 { presigned, resource } => {
            sigv2::verify(&signed(parts), resource, presigned, &secret, now).map_err(refuse)?;
            Ok((caller, Payload::Unsigned))
        }
        Credential::V4(credential) => {
            let skew = Duration::from_secs(cloud.runner.limits().clock_skew_seconds);
            let seed =
                sigv4::verify(&signed(parts), credential, &secret, now, skew, body_hash).map_err(refuse)?;
            let caller = Caller { region: credential.region.clone(), ..caller };
            Ok((caller, payload(credential, seed, parts)))
        }
    }
}

/// Who signed a request for `scope` that is no call of an API; its body is at hand.
pub(super) fn signer(cloud: &Cloud, parts: &Parts, scope: &str, body: &[u8]) -> Result<Caller, Fault> {
    let protocol = Protocol::RestJson;
    let missing = || Fault::new(403, "AccessDeniedException", "Forbidden");
    let credential = credential(parts, parts.uri.path(), protocol)?.ok_or_else(missing)?;
    if credential.service() != scope {
        let claimed = credential.service().to_owned();
        return Err(AuthError::WrongService { expected: scope.into(), claimed }.to_fault(protocol));
    }
    verify(cloud, parts, &credential, protocol, Some(&sha256_hex(body))).map(|(caller, _)| caller)
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A call without a signature.
pub(super) fn anonymous(cloud: &Cloud) -> Caller {
    let site = cloud.runner.site();
    Caller {
        account: String::new(),
        region: site.region.clone(),
        principal: Principal::Anonymous,
        access_key: String::new(),
        depth: 0,
        address: None,
    }
}

/// A function may only be itself: the socket it calls on must agree with the credentials it uses.
pub(super) fn agrees(peer: &Peer, caller: &Caller) -> bool {
    match (peer, &caller.principal) {
        (Peer::Client(_), _) | (Peer::Function { .. }, Principal::Anonymous | Principal::Root) => true,
        (Peer::Function { arn, .. }, Principal::Function(claimed)) => arn == claimed,
        (Peer::Function { .. }, Principal::Service(_)) => false,
    }
}

/// How the body that follows is to be taken, once the head's signature holds.
fn payload(credential: &sigv4::Credential, seed: Seed, parts: &Parts) -> Payload {
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
