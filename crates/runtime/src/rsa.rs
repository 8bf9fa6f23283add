//! Signatures of RSA keys (PKCS #1 v1.5) over SHA-1 and SHA-256.
//!
//! It is here for its `unsafe` alone: the library that everything else of ours takes its cryptography from
//! has no safe face for SHA-1, which the first version of a topic's signatures is made of. Nobody should
//! choose it for anything new.
#![expect(unsafe_code, reason = "signing with SHA-1 has no safe face in the library")]

use aws_lc_sys as lc;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// What is signed of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Sha1,
    Sha256,
}

/// A private key.
pub struct RsaKey(NonNull<lc::EVP_PKEY>);

// SAFETY: the library says that keys may be used by several threads at once while none changes them, and
// nothing here does after the key is made.
unsafe impl Send for RsaKey {}
// SAFETY: as above.
unsafe impl Sync for RsaKey {}

impl Drop for RsaKey {
    fn drop(&mut self) {
        // SAFETY: the key is ours alone, and this is its end.
        unsafe { lc::EVP_PKEY_free(self.0.as_ptr()) };
    }
}

/// What one signature is made with.
struct Context(NonNull<lc::EVP_MD_CTX>);

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is ours alone, and this is its end.
        unsafe { lc::EVP_MD_CTX_free(self.0.as_ptr()) };
    }
}

impl RsaKey {
    /// From its PKCS #8 form; `None` if the bytes are no RSA key.
    pub fn from_pkcs8(bytes: &[u8]) -> Option<RsaKey> {
        let mut reader = MaybeUninit::<lc::CBS>::uninit();
        // SAFETY: the reader is made before it is read from, and it and its bytes outlive the call; what
        // comes back is null or ours.
        let key = unsafe {
            lc::CBS_init(reader.as_mut_ptr(), bytes.as_ptr(), bytes.len());
            NonNull::new(lc::EVP_parse_private_key(reader.as_mut_ptr())).map(RsaKey)
        }?;
        // SAFETY: the key lives; the answer is borrowed, and only looked at.
        let is_rsa = unsafe { !lc::EVP_PKEY_get0_RSA(key.0.as_ptr()).is_null() };
        is_rsa.then_some(key)
    }

    /// The signature of a text; `None` if the library has no memory left, or will not use the key.
    pub fn sign(&self, digest: Digest, text: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: what comes back is null or ours.
        let context = Context(NonNull::new(unsafe { lc::EVP_MD_CTX_new() })?);
        let none = std::ptr::null_mut();
        // SAFETY: the digests are statics of the library; context and key live, and the context takes no hold
        // of anything that ends before it.
        let begun = unsafe {
            let algorithm = match digest {
                Digest::Sha1 => lc::EVP_sha1(),
                Digest::Sha256 => lc::EVP_sha256(),
            };
            lc::EVP_DigestSignInit(context.0.as_ptr(), none, algorithm, std::ptr::null_mut(), self.0.as_ptr())
        };
        if begun != 1 {
            return None;
        }
        // SAFETY: the key lives.
        let mut length = usize::try_from(unsafe { lc::EVP_PKEY_size(self.0.as_ptr()) }).ok()?;
        let mut signature = vec![0; length];
        // SAFETY: the signature has room for as many bytes as `length` says, and the text for as many as are
        // read.
        let signed = unsafe {
            lc::EVP_DigestSign(
                context.0.as_ptr(),
                signature.as_mut_ptr(),
                &raw mut length,
                text.as_ptr(),
                text.len(),
            )
        };
        signature.truncate(length);
        (signed == 1).then_some(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(RsaKey::from_pkcs8(b"").is_none());
        assert!(RsaKey::from_pkcs8(b"no key").is_none());
    }
}
