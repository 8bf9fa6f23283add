//! AWS Signature Version 4: who signed a request, and whether the signature is right.
//!
//! [`find`] reads what the request claims, without any secret; the caller looks up the secret of that key;
//! [`verify`] computes the signature again. Bodies in chunks carry signatures of their own, which
//! [`ChunkDecoder`] checks from the [`Seed`] that verification leaves. [`sign`] and [`presign`] are the other
//! side.
//!
//! The contract is "Signature Version 4 for API requests" in the IAM user guide and, for S3's differences,
//! "Authenticating requests" in the S3 API reference. Not here: where secrets are kept, SigV4A, and
//! what the policy of S3's form uploads says ([`crate::post_policy`]).

mod canonical;
mod chunked;
mod error;
mod parse;
mod sign;
mod verify;

pub use chunked::{ChunkDecoder, ChunkError};
pub use error::AuthError;
pub(crate) use error::S3_MISMATCH;
pub use parse::find;
pub use sign::{Signer, presign, sign};
pub(crate) use verify::sign_policy;
pub use verify::{Seed, verify};

use http::HeaderMap;
use mayfly_kernel::Time;
use std::time::Duration;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The SHA-256 of no bytes.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The parts of a request that a signature covers, as they were sent. Over HTTP/2 the host comes as
/// `:authority`; whoever builds this puts it among the headers as `host`.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// What a request claims about its signer. Nothing of it is proven before [`verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub access_key: String,
    /// `yyyymmdd` of the scope.
    pub date: String,
    pub region: String,
    pub service: String,
    /// Lower-case, in the order of the request.
    pub signed_headers: Vec<String>,
    /// Lower-case hexadecimal.
    pub signature: String,
    pub timestamp: Time,
    pub session_token: Option<String>,
    /// How long a presigned request is good for; `None` if the signature is in a header.
    pub expires: Option<Duration>,
    pub payload: Payload,
}

impl Credential {
    /// Whether S3's rules of canonical form apply.
    pub fn is_s3(&self) -> bool {
        is_s3(&self.service)
    }

    pub(crate) fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

pub(crate) fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3express" | "s3-outposts" | "s3-object-lambda")
}

/// What the signature says about the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Its SHA-256 in lower-case hexadecimal.
    Hash(String),
    /// Nothing. Only S3 takes this.
    Unsigned,
    /// It comes in aws-chunked form; the [`ChunkDecoder`] reads it.
    Streaming { trailer: bool, signed: bool },
    /// The request does not say, so the signature covers the hash of the body as it came.
    Absent,
}
