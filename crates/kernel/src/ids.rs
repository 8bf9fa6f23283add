//! Where identifiers come from.
//!
//! Nothing draws randomness by itself: it is handed [`Ids`]. On a server they stand on the kernel's entropy,
//! in a test on a seed, and then the same run draws the same ids.

use std::sync::{Arc, Mutex, PoisonError};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A source of random bytes.
pub trait Entropy: Send {
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's generator, read through a buffer so that an id costs no system call.
pub struct SystemEntropy {
    pool: Vec<u8>,
}

impl SystemEntropy {
    const POOL_BYTES: usize = 4096;

    pub fn new() -> SystemEntropy {
        SystemEntropy { pool: Vec::new() }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        SystemEntropy::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(Self::POOL_BYTES) {
            if self.pool.len() < part.len() {
                self.pool = read_urandom(Self::POOL_BYTES);
            }
            let left = self.pool.len() - part.len();
            part.copy_from_slice(&self.pool[left..]);
            self.pool.truncate(left);
        }
    }
}

fn read_urandom(count: usize) -> Vec<u8> {
    use std::io::Read as _;
    let mut pool = vec![0; count];
    // Without randomness no key or id is safe to hand out, so there is nothing better to do than stop.
    let mut device = std::fs::File::open("/dev/urandom").expect("/dev/urandom opens on every Linux");
    device.read_exact(&mut pool).expect("/dev/urandom never ends");
    pool
}

/// Reproducible bytes from a seed (splitmix64). For tests and simulation, never for keys.
pub struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Draws identifiers in the forms that the services use. Clones draw from the same source.
#[derive(Clone)]
pub struct Ids(Arc<Mutex<dyn Entropy>>);

impl Ids {
    pub fn system() -> Ids {
        Ids(Arc::new(Mutex::new(SystemEntropy::new())))
    }

    pub fn seeded(seed: u64) -> Ids {
        Ids(Arc::new(Mutex::new(Seeded(seed))))
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut bytes);
        bytes
    }

    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A random (version 4) UUID in its hyphenated form: request ids, revision ids.
    pub fn uuid(&self) -> String {
        let mut b: [u8; 16] = self.bytes();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let mut text = String::with_capacity(36);
        for (i, byte) in b.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// `len` lower-case hexadecimal digits.
    pub fn hex(&self, len: usize) -> String {
        self.pick(len, DIGITS)
    }

    /// `len` lower-case letters and digits: API ids, function URL ids.
    pub fn lower(&self, len: usize) -> String {
        self.pick(len, b"abcdefghijklmnopqrstuvwxyz0123456789")
    }

    /// `len` characters of `alphabet`, each equally likely.
    pub fn pick(&self, len: usize, alphabet: &[u8]) -> String {
        let fair = 256 - 256 % alphabet.len();
        let mut text = String::with_capacity(len);
        while text.len() < len {
            let [byte] = self.bytes::<1>();
            if usize::from(byte) < fair {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_ids_again() {
        assert_eq!(Ids::seeded(7).uuid(), Ids::seeded(7).uuid());
        assert_ne!(Ids::seeded(7).uuid(), Ids::seeded(8).uuid());
    }

    #[test]
    fn uuids_are_of_version_4() {
        let id = Ids::system().uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
    }
}
