//! The key that signs messages of topics, and its certificate.
//!
//! It is made when something is first to be signed, kept in the store, and followed by another one after a
//! year. Certificates stay: a message may rest in a queue or with its reader for long after the key was
//! replaced.

use mayfly_kernel::{Clock, Fault, Time};
use mayfly_runtime::RsaKey;
use mayfly_services::sns::{self, Digest, Signed, Signer, SigningKey};
use mayfly_store::{CommitError, Durability, Store};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const REPLACED_AFTER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Longer than the key signs: what it signed last is verified later.
const CERTIFICATE_YEARS: i32 = 2;

pub(crate) struct MessageKeys {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Held while a key is made, so that all who sign then wait for that one.
    current: Mutex<Option<Arc<Current>>>,
}

struct Current {
    id: String,
    key: RsaKey,
    until: Time,
}

impl fmt::Debug for MessageKeys {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKeys")
    }
}

impl Signer for MessageKeys {
    fn sign(&self, digest: Digest, text: &[u8]) -> Result<Signed, Fault> {
        let current = self.current()?;
        let digest = match digest {
            Digest::Sha1 => mayfly_runtime::Digest::Sha1,
            Digest::Sha256 => mayfly_runtime::Digest::Sha256,
        };
        let failed = || Fault::internal("sign a message", "the library refused");
        let signature = current.key.sign(digest, text).ok_or_else(failed)?;
        Ok(Signed { signature, certificate: current.id.clone() })
    }
}

impl MessageKeys {
    pub(crate) fn new(store: &Store, clock: Arc<dyn Clock>) -> MessageKeys {
        MessageKeys { store: store.clone(), clock, current: Mutex::new(None) }
    }

    fn current(&self) -> Result<Arc<Current>, Fault> {
        let now = self.clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(good) if now < good.until => Ok(good.clone()),
            Some(_) | None => Ok(current.insert(Arc::new(self.find_or_make(now)?)).clone()),
        }
    }

    fn find_or_make(&self, now: Time) -> Result<Current, Fault> {
        let newest = sns::newest_key(&self.store)?;
        if let Some(kept) = newest.as_ref().filter(|kept| now < until(kept)) {
            return opened(kept);
        }
        let made = make(now).map_err(|error| Fault::internal("make a signing key", error))?;
        let mut tx = self.store.begin();
        if sns::keep_key(&mut tx, newest.as_ref(), &made)? {
            match tx.commit(Durability::Durable).wait() {
                Ok(_) => return opened(&made),
                Err(CommitError::Conflict(_)) => {}
                Err(failure) => return Err(Fault::unavailable("keep a signing key", failure)),
            }
        }
        // Somebody else on the same store was first.
        let first = sns::newest_key(&self.store)?;
        opened(&first.ok_or_else(|| Fault::internal("keep a signing key", "it is not there"))?)
    }
}

fn until(key: &SigningKey) -> Time {
    Time::from_ms(key.made_ms) + REPLACED_AFTER
}

fn opened(kept: &SigningKey) -> Result<Current, Fault> {
    let unread = || Fault::internal("read a signing key", "it is none");
    let key = RsaKey::from_pkcs8(&kept.pkcs8).ok_or_else(unread)?;
    Ok(Current { id: kept.id.clone(), key, until: until(kept) })
}

/// A new key with a certificate that it vouches for itself.
fn make(now: Time) -> anyhow::Result<SigningKey> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut about = CertificateParams::new(vec!["sns.mayfly".to_owned()])?;
    about.distinguished_name = DistinguishedName::new();
    about.distinguished_name.push(DnType::CommonName, "sns.mayfly");
    let today = mayfly_wire::time::iso8601(now);
    let (year, month, day): (i32, u8, u8) =
        (today[..4].parse()?, today[5..7].parse()?, today[8..10].parse()?);
    about.not_before = rcgen::date_time_ymd(year, month, day);
    // Every month has a 28th.
    about.not_after = rcgen::date_time_ymd(year + CERTIFICATE_YEARS, month, day.min(28));
    let certificate = about.self_signed(&key)?;
    let id = hex::encode(&Sha256::digest(certificate.der())[..16]);
    Ok(SigningKey { id, pkcs8: key.serialize_der(), certificate: certificate.pem(), made_ms: now.ms() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_kernel::time::ManualClock;

    #[test]
    fn a_key_is_made_once_and_followed_by_another_one_after_a_year() {
        let store = Store::memory();
        let clock = Arc::new(ManualClock::at(Time::from_secs(1_767_225_600)));
        let sign = |keys: &MessageKeys| keys.sign(Digest::Sha256, b"text").unwrap();
        let keys = MessageKeys::new(&store, clock.clone());
        let first = sign(&keys);
        assert_eq!(sign(&keys), first);
        assert_eq!(sign(&MessageKeys::new(&store, clock.clone())), first, "it is kept");
        assert_ne!(keys.sign(Digest::Sha1, b"text").unwrap().signature, first.signature);
        clock.advance(REPLACED_AFTER);
        let second = sign(&keys);
        assert_ne!(second.certificate, first.certificate);
        for id in [&first.certificate, &second.certificate] {
            let pem = sns::certificate(&store, id).unwrap().unwrap();
            assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        }
        assert_eq!(sns::certificate(&store, "other").unwrap(), None);
    }
}
