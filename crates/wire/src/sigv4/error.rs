//! Why a signature is refused, in the words of S3 and in those of the other services.

use crate::call::Protocol;
use crate::time;
use mayfly_kernel::{Fault, Time};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No signature where one is needed.
    MissingToken,
    /// A header and a presigned query, or two headers, or Signature Version 2 beside 4.
    SeveralMechanisms,
    /// Version 2 in a header, or for a service that never takes it.
    SignatureV2,
    /// A presigned URL of Version 2 that lacks one of its parts.
    IncompletePresigned,
    /// The expiry of a presigned URL of Version 2, which is no number.
    BadExpires(String),
    MismatchV2 {
        access_key: String,
        string_to_sign: String,
        provided: String,
    },
    ExpiredV2 {
        at: Time,
        now: Time,
    },
    /// An Authorization header of a scheme that AWS does not know.
    UnsupportedAuthorization,
    /// The Authorization header lacks a part or has it in an impossible form.
    MissingComponent(&'static str),
    /// The rest of S3's sentence "The authorization header is malformed; …".
    MalformedHeader(String),
    /// The sentence of S3's AuthorizationQueryParametersError.
    MalformedQuery(String),
    /// No date, or one in no known form.
    MissingDate,
    MissingContentHash,
    BadContentHash,
    /// Headers that must be signed and are not.
    UnsignedHeaders(Vec<String>),
    Mismatch {
        access_key: String,
        string_to_sign: String,
        canonical_request: String,
        provided: String,
    },
    /// The body is not the one that was signed.
    BodyMismatch {
        claimed: String,
        computed: String,
    },
    Skewed {
        signed: Time,
        now: Time,
        skew: Duration,
    },
    /// A presigned request came too late, or, with [`AuthError::NotYetValid`], too early.
    Expired {
        expires: Duration,
        at: Time,
        now: Time,
    },
    NotYetValid,
    UnknownKey {
        access_key: String,
    },
    /// The session token is not the one that came with the key, or the key needs one.
    InvalidToken,
    ExpiredToken,
    WrongRegion {
        claimed: String,
        expected: String,
    },
    WrongService {
        claimed: String,
        expected: String,
    },
}

pub(crate) const S3_MISMATCH: &str = "The request signature we calculated does not match the signature you \
provided. Check your \
     key and signing method.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you \
provided. Check your \
     AWS Secret Access Key and signing method. Consult the service documentation for details.";

impl AuthError {
    /// The fault that an SDK of the protocol's services expects.
    pub fn to_fault(&self, protocol: Protocol) -> Fault {
        match protocol {
            Protocol::RestXml => self.s3_fault(),
            Protocol::Query => {
                let (status, json_code, message) = self.general();
                let code = match json_code {
                    "InvalidSignatureException" => "SignatureDoesNotMatch",
                    "UnrecognizedClientException" => "InvalidClientTokenId",
                    "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
                    "IncompleteSignatureException" => "IncompleteSignature",
                    "ExpiredTokenException" => "ExpiredToken",
                    other => other,
                };
                Fault::new(status, code, message)
            }
            // JSON services over one path answer 400 to everything; those with paths keep HTTP's meaning.
            Protocol::Json10 | Protocol::Json11 => {
                let (_, code, message) = self.general();
                Fault::new(400, code, message)
            }
            Protocol::RestJson | Protocol::Cbor => {
                let (_, code, message) = self.general();
                Fault::new(403, code, message)
            }
        }
    }

    /// Status, code and sentence of the services other than S3.
    fn general(&self) -> (u16, &'static str, String) {
        let incomplete = |sentence: String| (400, "IncompleteSignatureException", sentence);
        let invalid = |sentence: String| (403, "InvalidSignatureException", sentence);
        match self {
            AuthError::MissingToken => {
                (403, "MissingAuthenticationTokenException", "Missing Authentication Token".into())
            }
            AuthError::SeveralMechanisms => incomplete(
                "A request is signed in its Authorization header or in its query, not in both.".into(),
            ),
            AuthError::SignatureV2
            | AuthError::IncompletePresigned
            | AuthError::BadExpires(_)
            | AuthError::MismatchV2 { .. }
            | AuthError::ExpiredV2 { .. }
            | AuthError::UnsupportedAuthorization => {
                incomplete("Unsupported AWS 'algorithm': only 'AWS4-HMAC-SHA256' is supported.".into())
            }
            AuthError::MissingComponent(name) => {
                incomplete(format!("Authorization header requires '{name}' parameter."))
            }
            AuthError::MalformedHeader(cause) => incomplete(format!("Credential is malformed: {cause}")),
            AuthError::MalformedQuery(sentence) => incomplete(sentence.clone()),
            AuthError::MissingDate => incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into(),
            ),
            AuthError::MissingContentHash | AuthError::BadContentHash => {
                incomplete("'X-Amz-Content-Sha256' must be the SHA-256 of the body.".into())
            }
            AuthError::UnsignedHeaders(names) => {
                let name = names.first().map_or("host", String::as_str);
                let name =
                    if name == "host" { "'Host' or ':authority'".to_owned() } else { format!("'{name}'") };
                invalid(format!("{name} must be a 'SignedHeader' in the AWS Authorization."))
            }
            AuthError::Mismatch { .. } | AuthError::BodyMismatch { .. } => invalid(MISMATCH.into()),
            AuthError::Skewed { signed, now, skew } => invalid(skewed(*signed, *now, *skew)),
            AuthError::Expired { at, now, .. } => invalid(format!(
                "Signature expired: {} is now earlier than {}",
                time::basic(*at),
                time::basic(*now)
            )),
            AuthError::NotYetValid => invalid("Signature not yet current".into()),
            AuthError::UnknownKey { .. } | AuthError::InvalidToken => (
                403,
                "UnrecognizedClientException",
                "The security token included in the request is invalid.".into(),
            ),
            AuthError::ExpiredToken => {
                (403, "ExpiredTokenException", "The security token included in the request is expired".into())
            }
            AuthError::WrongRegion { .. } => invalid("Credential should be scoped to a valid region.".into()),
            AuthError::WrongService { expected, .. } => {
                invalid(format!("Credential should be scoped to correct service: '{expected}'."))
            }
        }
    }

    fn s3_fault(&self) -> Fault {
        let malformed = |cause: &str| {
            let sentence = format!("The authorization header is malformed; {cause}");
            Fault::new(400, "AuthorizationHeaderMalformed", sentence)
        };
        match self {
            AuthError::MissingToken => Fault::new(403, "AccessDenied", "Access Denied"),
            AuthError::SeveralMechanisms => Fault::new(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, \
                Signature query string \
                 parameter or the Authorization header should be specified",
            ),
            AuthError::SignatureV2 => Fault::new(
                400,
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use \
                AWS4-HMAC-SHA256.",
            ),
            AuthError::IncompletePresigned => Fault::new(
                403,
                "AccessDenied",
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
            ),
            AuthError::BadExpires(text) => {
                let sentence = format!("Invalid date (should be seconds since epoch): {text}");
                Fault::new(403, "AccessDenied", sentence)
            }
            AuthError::UnsupportedAuthorization => {
                Fault::new(400, "InvalidArgument", "Unsupported Authorization Type")
                    .with_field("ArgumentName", "Authorization")
            }
            AuthError::MissingComponent(name) => {
                malformed(&format!("the authorization component \"{name}=...\" is missing or malformed."))
            }
            AuthError::MalformedHeader(cause) => malformed(cause),
            AuthError::MalformedQuery(sentence) => {
                Fault::new(400, "AuthorizationQueryParametersError", sentence)
            }
            AuthError::MissingDate => Fault::new(
                403,
                "AccessDenied",
                "AWS authentication requires a valid Date or x-amz-date header",
            ),
            AuthError::MissingContentHash => Fault::new(
                400,
                "InvalidRequest",
                "Missing required header for this request: x-amz-content-sha256",
            ),
            AuthError::BadContentHash => Fault::new(
                400,
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid \
                 sha256 value.",
            ),
            AuthError::UnsignedHeaders(names) => Fault::new(
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed",
            )
            .with_field("HeadersNotSigned", names.join(", ")),
            AuthError::WrongRegion { claimed, expected } => {
                malformed(&format!("the region '{claimed}' is wrong; expecting '{expected}'"))
                    .with_field("Region", expected)
            }
            AuthError::WrongService { claimed, expected } => malformed(&format!(
                "incorrect service \"{claimed}\". This endpoint belongs to \"{expected}\"."
            )),
            AuthError::Mismatch { .. }
            | AuthError::MismatchV2 { .. }
            | AuthError::ExpiredV2 { .. }
            | AuthError::BodyMismatch { .. }
            | AuthError::UnknownKey { .. }
            | AuthError::InvalidToken
            | AuthError::ExpiredToken
            | AuthError::Skewed { .. }
            | AuthError::Expired { .. }
            | AuthError::NotYetValid => self.s3_refusal(),
        }
    }

    /// Of a signature that is well-formed but not good: its key, its time, or the request is another.
    fn s3_refusal(&self) -> Fault {
        match self {
            AuthError::Mismatch { access_key, string_to_sign, canonical_request, provided } => {
                Fault::new(403, "SignatureDoesNotMatch", S3_MISMATCH)
                    .with_field("AWSAccessKeyId", access_key)
                    .with_field("StringToSign", string_to_sign)
                    .with_field("SignatureProvided", provided)
                    .with_field("CanonicalRequest", canonical_request)
            }
            AuthError::MismatchV2 { access_key, string_to_sign, provided } => {
                Fault::new(403, "SignatureDoesNotMatch", S3_MISMATCH)
                    .with_field("AWSAccessKeyId", access_key)
                    .with_field("StringToSign", string_to_sign)
                    .with_field("SignatureProvided", provided)
            }
            AuthError::ExpiredV2 { at, now } => Fault::new(403, "AccessDenied", "Request has expired")
                .with_field("Expires", time::iso8601(*at))
                .with_field("ServerTime", time::iso8601(*now)),
            AuthError::BodyMismatch { claimed, computed } => Fault::new(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
            .with_field("ClientComputedContentSHA256", claimed)
            .with_field("S3ComputedContentSHA256", computed),
            AuthError::UnknownKey { access_key } => Fault::new(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .with_field("AWSAccessKeyId", access_key),
            AuthError::InvalidToken => {
                Fault::new(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
            }
            AuthError::ExpiredToken => Fault::new(400, "ExpiredToken", "The provided token has expired."),
            AuthError::Skewed { signed, now, skew } => Fault::new(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
            .with_field("RequestTime", time::basic(*signed))
            .with_field("ServerTime", time::iso8601(*now))
            .with_field("MaxAllowedSkewMilliseconds", skew.as_millis().to_string()),
            AuthError::Expired { expires, at, now } => Fault::new(403, "AccessDenied", "Request has expired")
                .with_field("X-Amz-Expires", expires.as_secs().to_string())
                .with_field("Expires", time::iso8601(*at))
                .with_field("ServerTime", time::iso8601(*now)),
            _ => Fault::new(403, "AccessDenied", "Request is not valid yet"),
        }
    }
}

fn skewed(signed: Time, now: Time, skew: Duration) -> String {
    let minutes = skew.as_secs() / 60;
    let (text, here) = (time::basic(signed), time::basic(now));
    if now > signed {
        let oldest = time::basic(now - skew);
        format!("Signature expired: {text} is now earlier than {oldest} ({here} - {minutes} min.)")
    } else {
        let newest = time::basic(now + skew);
        format!("Signature not yet current: {text} is still later than {newest} ({here} + {minutes} min.)")
    }
}
