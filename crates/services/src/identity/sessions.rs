//! Session credentials that need no row: the token carries the session and its seal.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Arn, Time};
use prost::Message as _;
use sha2::Sha256;
use std::time::Duration;

/// How long credentials hold. An instance outlives this only if it is never idle for a month.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// What an instance signs its calls with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub access_key: String,
    pub secret_key: String,
    pub token: String,
}

pub(super) struct Opened {
    pub(super) function: Arn,
    pub(super) account: String,
    pub(super) secret_key: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Claims {
    #[prost(string, tag = "1")]
    access_key: String,
    #[prost(string, tag = "2")]
    function: String,
    #[prost(uint64, tag = "3")]
    expires_ms: u64,
}

fn mac(seal: &[u8], purpose: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(seal).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac.update(text);
    mac
}

/// The secret of an access key: nobody without the seal can make it.
fn secret(seal: &[u8], access_key: &str) -> String {
    STANDARD.encode(&mac(seal, b"secret:", access_key.as_bytes()).finalize().into_bytes()[..30])
}

pub(super) fn seal(seal: &[u8], ids: &Ids, function: &Arn, now: Time) -> Session {
    let access_key = format!("ASIA{}", ids.pick(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
    let claims = Claims {
        access_key: access_key.clone(),
        function: function.to_string(),
        expires_ms: (now + LIFETIME).ms(),
    }
    .encode_to_vec();
    let tag = mac(seal, b"token:", &claims).finalize().into_bytes();
    let token = format!("{}.{}", URL_SAFE_NO_PAD.encode(&claims), URL_SAFE_NO_PAD.encode(tag));
    Session { secret_key: secret(seal, &access_key), access_key, token }
}

/// The session of a token that this installation sealed for this access key and that has not expired.
pub(super) fn open(seal: &[u8], access_key: &str, token: &str, now: Time) -> Option<Opened> {
    let (claims, tag) = token.split_once('.')?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    mac(seal, b"token:", &claims).verify_slice(&tag).ok()?;
    let claims = Claims::decode(&claims[..]).ok()?;
    if claims.access_key != access_key || Time::from_ms(claims.expires_ms) < now {
        return None;
    }
    let function: Arn = claims.function.parse().ok()?;
    Some(Opened { account: function.account.clone(), function, secret_key: secret(seal, access_key) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_whole_in_time_and_with_its_own_key() {
        let function = Arn::new("lambda", "us-east-1", "000000000000", "function:f");
        let start = Time::from_secs(1_000_000);
        let session = seal(b"seal", &Ids::seeded(1), &function, start);
        let opened = open(b"seal", &session.access_key, &session.token, start).unwrap();
        assert_eq!((&opened.function, &opened.secret_key), (&function, &session.secret_key));

        assert!(open(b"other", &session.access_key, &session.token, start).is_none());
        assert!(open(b"seal", "ASIAOTHER", &session.token, start).is_none());
        let late = start + LIFETIME + Duration::from_millis(1);
        assert!(open(b"seal", &session.access_key, &session.token, late).is_none());
        for cut in 0..session.token.len() {
            assert!(open(b"seal", &session.access_key, &session.token[..cut], start).is_none());
        }
    }
}
