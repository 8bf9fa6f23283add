//! Links that open one thing for a while: whoever has the link needs no key.
//!
//! AWS hands out presigned URLs of buckets of its own where an answer is too large for a document, such as a
//! function's package. Here the seal of the installation signs the path and the time; the gateway checks it.

use hmac::{Hmac, KeyInit, Mac};
use mayfly_kernel::Time;
use sha2::Sha256;
use std::fmt;

/// Makes links, and knows those it made.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSeal(Vec<u8>);

impl fmt::Debug for LinkSeal {
    /// Without the key, which signs anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSeal")
    }
}

impl LinkSeal {
    pub fn new(seal: &[u8]) -> LinkSeal {
        LinkSeal(seal.to_vec())
    }

    fn mac(&self, path: &str, expires_s: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("link:{expires_s}:{path}").as_bytes());
        mac
    }

    /// The path with the query that opens it until then.
    pub fn link(&self, path: &str, expires: Time) -> String {
        let expires_s = expires.ms() / 1000;
        let signature = hex::encode(self.mac(path, expires_s).finalize().into_bytes());
        format!("{path}?expires={expires_s}&signature={signature}")
    }

    /// Whether this is the signature of a link to `path` that is good until `expires_s`, however late it is.
    pub fn is_mine(&self, path: &str, expires_s: u64, signature: &str) -> bool {
        hex::decode(signature).is_ok_and(|bytes| self.mac(path, expires_s).verify_slice(&bytes).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_its_own_path_alone() {
        let seal = LinkSeal::new(b"seal");
        let link = seal.link("/a/b", Time::from_secs(600));
        let signature = link.strip_prefix("/a/b?expires=600&signature=").unwrap();
        assert!(seal.is_mine("/a/b", 600, signature));
        assert!(!seal.is_mine("/a/c", 600, signature));
        assert!(!seal.is_mine("/a/b", 601, signature));
        assert!(!seal.is_mine("/a/b", 600, &signature[2..]));
        assert!(!seal.is_mine("/a/b", 600, "no hex"));
        assert!(!LinkSeal::new(b"other").is_mine("/a/b", 600, signature));
    }
}
