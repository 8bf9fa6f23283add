//! The checksums of S3: computed while a body streams by, written as base64, combined over parts.
//!
//! The contract is "Checking object integrity" in the S3 user guide. CRCs of parts combine into the CRC of
//! the whole object; SHA and MD5 do not, so a multipart object has the hash of its parts' hashes, marked with
//! `-N`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Crc32,
    Crc32c,
    Crc64Nvme,
}

impl Algorithm {
    pub const ALL: [Algorithm; 6] = [
        Algorithm::Md5,
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
    ];

    /// The header that carries the base64 digest, in requests, trailers and answers. MD5 has none of this
    /// kind: it is the ETag, and `content-md5` in requests.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Algorithm::Md5 => None,
            Algorithm::Sha1 => Some("x-amz-checksum-sha1"),
            Algorithm::Sha256 => Some("x-amz-checksum-sha256"),
            Algorithm::Crc32 => Some("x-amz-checksum-crc32"),
            Algorithm::Crc32c => Some("x-amz-checksum-crc32c"),
            Algorithm::Crc64Nvme => Some("x-amz-checksum-crc64nvme"),
        }
    }

    /// The name in `ChecksumAlgorithm` members and `x-amz-sdk-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
        }
    }

    /// The member of XML documents that carries the base64 digest.
    pub fn member(self) -> &'static str {
        match self {
            Algorithm::Md5 => "ChecksumMD5",
            Algorithm::Sha1 => "ChecksumSHA1",
            Algorithm::Sha256 => "ChecksumSHA256",
            Algorithm::Crc32 => "ChecksumCRC32",
            Algorithm::Crc32c => "ChecksumCRC32C",
            Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
        }
    }

    /// The algorithm of this name, in whatever case.
    pub fn parse(name: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The algorithm whose header this is, in whatever case.
    pub fn of_header(header: &str) -> Option<Algorithm> {
        let is =
            |algorithm: &Algorithm| algorithm.header().is_some_and(|own| own.eq_ignore_ascii_case(header));
        Algorithm::ALL.into_iter().find(is)
    }

    pub fn digest_len(self) -> usize {
        match self {
            Algorithm::Md5 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme => 8,
        }
    }

    /// Reads the base64 form; `None` if it is not base64 or not of this algorithm's length.
    pub fn decode(self, base64: &str) -> Option<Vec<u8>> {
        from_base64(base64).filter(|digest| digest.len() == self.digest_len())
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Algorithm::Md5 | Algorithm::Sha1 | Algorithm::Sha256 => None,
        }
    }
}

pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The lower-case hexadecimal SHA-256 of `bytes`, the form of `x-amz-content-sha256`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Crc(Algorithm, crc_fast::Digest),
}

/// Several checksums over one stream of bytes.
pub struct Checksums {
    states: Vec<State>,
    len: u64,
}

impl Checksums {
    /// Computes exactly `algorithms`, each once, however often it is named.
    pub fn new(algorithms: &[Algorithm]) -> Checksums {
        let mut wanted = algorithms.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let states = wanted.into_iter().map(|algorithm| match (algorithm.crc(), algorithm) {
            (Some(crc), _) => State::Crc(algorithm, crc_fast::Digest::new(crc)),
            (None, Algorithm::Md5) => State::Md5(Md5::new()),
            (None, Algorithm::Sha1) => State::Sha1(Sha1::new()),
            (None, _) => State::Sha256(Sha256::new()),
        });
        Checksums { states: states.collect(), len: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        for state in &mut self.states {
            match state {
                State::Md5(digest) => digest.update(bytes),
                State::Sha1(digest) => digest.update(bytes),
                State::Sha256(digest) => digest.update(bytes),
                State::Crc(_, digest) => digest.update(bytes),
            }
        }
    }

    pub fn finish(self) -> Digests {
        let digests = self.states.into_iter().map(|state| match state {
            State::Md5(digest) => (Algorithm::Md5, digest.finalize().to_vec()),
            State::Sha1(digest) => (Algorithm::Sha1, digest.finalize().to_vec()),
            State::Sha256(digest) => (Algorithm::Sha256, digest.finalize().to_vec()),
            State::Crc(algorithm, digest) => (algorithm, crc_bytes(algorithm, digest.finalize())),
        });
        Digests { len: self.len, digests: digests.collect() }
    }
}

/// The low bytes of a CRC, most significant first.
fn crc_bytes(algorithm: Algorithm, crc: u64) -> Vec<u8> {
    crc.to_be_bytes()[8 - algorithm.digest_len()..].to_vec()
}

/// What [`Checksums`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// How many bytes went by.
    pub len: u64,
    digests: Vec<(Algorithm, Vec<u8>)>,
}

impl Digests {
    /// `None` if the algorithm was not asked for.
    pub fn get(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.digests.iter().find(|(of, _)| *of == algorithm).map(|(_, digest)| digest.as_slice())
    }

    pub fn base64(&self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(to_base64)
    }

    pub fn hex(&self, algorithm: Algorithm) -> Option<String> {
        self.get(algorithm).map(hex::encode)
    }
}

/// The checksum of a multipart object as the checksum of its parts' digests: `base64-N`.
pub fn composite<'a>(algorithm: Algorithm, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (digest, count) = digest_of_digests(algorithm, parts);
    format!("{}-{count}", to_base64(&digest))
}

/// The ETag of a multipart object, from the MD5 of each part: hexadecimal, `-N`, without quotes.
pub fn multipart_etag<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (digest, count) = digest_of_digests(Algorithm::Md5, parts);
    format!("{}-{count}", hex::encode(digest))
}

fn digest_of_digests<'a>(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, usize) {
    let mut outer = Checksums::new(&[algorithm]);
    let mut count = 0;
    for part in parts {
        outer.update(part);
        count += 1;
    }
    let digest = outer.finish().get(algorithm).map(<[u8]>::to_vec);
    (digest.expect("it was asked for"), count)
}

/// The CRC of the whole object from the CRC and length of each part, in order. `None` if the algorithm is no
/// CRC or a digest has the wrong length.
pub fn full_object<'a>(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = (&'a [u8], u64)>,
) -> Option<Vec<u8>> {
    let crc = algorithm.crc()?;
    let mut whole = crc_fast::checksum(crc, b"");
    for (digest, len) in parts {
        if digest.len() != algorithm.digest_len() {
            return None;
        }
        let part = digest.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        whole = crc_fast::checksum_combine(crc, whole, part, len);
    }
    Some(crc_bytes(algorithm, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(bytes: &[u8]) -> Digests {
        let mut sums = Checksums::new(&Algorithm::ALL);
        bytes.chunks(3).for_each(|chunk| sums.update(chunk));
        sums.finish()
    }

    /// The check values of the CRC catalogue, and of RFC 1321 and FIPS 180-4 for "123456789".
    #[test]
    fn published_check_values_come_out() {
        let digests = digests(b"123456789");
        let hex = |algorithm| digests.hex(algorithm).unwrap();
        assert_eq!(digests.len, 9);
        assert_eq!(hex(Algorithm::Crc32), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(hex(Algorithm::Md5), "25f9e794323b453885f5181f1b624d0b");
        assert_eq!(hex(Algorithm::Sha1), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert_eq!(
            hex(Algorithm::Sha256),
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"
        );
    }

    #[test]
    fn parts_combine_to_the_whole() {
        let whole = digests(b"one body in three parts");
        let parts = [b"one body".as_slice(), b" in three", b" parts"].map(digests);
        for algorithm in Algorithm::ALL {
            let of_parts = parts.iter().map(|part| (part.get(algorithm).unwrap(), part.len));
            let combined = full_object(algorithm, of_parts);
            assert_eq!(combined.as_deref(), whole.get(algorithm).filter(|_| algorithm.crc().is_some()));
        }
        assert_eq!(full_object(Algorithm::Crc32, [(b"12345".as_slice(), 5)]), None);
    }

    #[test]
    fn a_multipart_object_has_the_digest_of_digests() {
        let parts = [digests(b"a"), digests(b"b")];
        let md5 = parts.iter().map(|part| part.get(Algorithm::Md5).unwrap());
        assert_eq!(multipart_etag(md5), "96e024ba2074fe77e8e965ba43a704be-2");
        let crc = parts.iter().map(|part| part.get(Algorithm::Crc32).unwrap());
        assert!(composite(Algorithm::Crc32, crc).ends_with("==-2"));
    }

    #[test]
    fn a_digest_has_its_length() {
        assert_eq!(Algorithm::Crc32.decode("y/Q5Jg==").unwrap(), [0xcb, 0xf4, 0x39, 0x26]);
        assert_eq!(Algorithm::Crc64Nvme.decode("y/Q5Jg=="), None);
        assert_eq!(Algorithm::Crc32.decode("?"), None);
        assert_eq!(Algorithm::parse("crc64nvme"), Some(Algorithm::Crc64Nvme));
    }
}
