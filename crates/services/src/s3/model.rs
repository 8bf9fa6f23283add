//! Stored records and the pure rules about names.
//!
//! Field tags are for ever. What a listing shows is in [`Version`]; bytes and the places of bytes are in
//! [`Body`], a row of its own, so that listings never read them.

use super::faults;
use crate::operation::Piece;
use bytes::Bytes;
use mayfly_kernel::{Fault, Time};
use mayfly_wire::checksum::Algorithm;

/// A bucket. Its configurations are rows of their own.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Bucket {
    #[prost(string, tag = "1")]
    pub(super) account: String,
    #[prost(string, tag = "2")]
    pub(super) region: String,
    #[prost(uint64, tag = "3")]
    pub(super) created_ms: u64,
    #[prost(enumeration = "Versioning", tag = "4")]
    pub(super) versioning: i32,
    /// Empty for none.
    #[prost(string, tag = "5")]
    pub(super) policy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Versioning {
    /// A bucket that has been versioned once never comes back to this.
    Never = 0,
    Enabled = 1,
    Suspended = 2,
}

/// An entry of a map whose order is kept: user metadata, tags.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Pair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// One version of an object, or a delete marker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Version {
    /// Its place among the versions of its key: later versions have greater numbers.
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    /// Empty for the null version.
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(bool, tag = "3")]
    pub(super) delete_marker: bool,
    #[prost(uint64, tag = "4")]
    pub(super) size: u64,
    /// Without quotes.
    #[prost(string, tag = "5")]
    pub(super) etag: String,
    #[prost(uint64, tag = "6")]
    pub(super) modified_ms: u64,
    #[prost(message, required, tag = "7")]
    pub(super) metadata: Metadata,
    #[prost(message, repeated, tag = "8")]
    pub(super) tags: Vec<Pair>,
    #[prost(message, optional, tag = "9")]
    pub(super) checksum: Option<Checksum>,
    /// How many parts it was uploaded in; zero if in one piece.
    #[prost(uint32, tag = "10")]
    pub(super) parts: u32,
    /// The multipart upload that it came from, so that a completion that is sent again finds what it made.
    #[prost(string, tag = "11")]
    pub(super) upload_id: String,
}

impl Version {
    pub(super) fn modified(&self) -> Time {
        Time::from_ms(self.modified_ms)
    }

    /// The id as callers see it.
    pub(super) fn public_id(&self) -> &str {
        if self.id.is_empty() { NULL_VERSION } else { &self.id }
    }

    pub(super) fn quoted_etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }
}

/// What a listing shows of a [`Version`]: fields of the same record, which is ten times as large.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Brief {
    #[prost(uint64, tag = "4")]
    pub(super) size: u64,
    #[prost(string, tag = "5")]
    pub(super) etag: String,
    #[prost(uint64, tag = "6")]
    pub(super) modified_ms: u64,
    #[prost(message, optional, tag = "9")]
    pub(super) checksum: Option<Checksum>,
}

/// What a client says about an object and gets back with it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Metadata {
    #[prost(string, optional, tag = "1")]
    pub(super) content_type: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) content_encoding: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(super) content_disposition: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(super) content_language: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(super) cache_control: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub(super) expires: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(super) redirect: Option<String>,
    /// Names without `x-amz-meta-`, lower-case.
    #[prost(message, repeated, tag = "8")]
    pub(super) user: Vec<Pair>,
}

/// An object's checksum, one algorithm per object.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Checksum {
    #[prost(enumeration = "ChecksumAlgorithm", tag = "1")]
    pub(super) algorithm: i32,
    /// Base64; of a composite one with `-N` behind it.
    #[prost(string, tag = "2")]
    pub(super) value: String,
    /// A checksum of the parts' checksums rather than of the bytes.
    #[prost(bool, tag = "3")]
    pub(super) composite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ChecksumAlgorithm {
    Unspecified = 0,
    Crc32 = 1,
    Crc32c = 2,
    Crc64Nvme = 3,
    Sha1 = 4,
    Sha256 = 5,
}

impl ChecksumAlgorithm {
    pub(super) fn of(algorithm: Algorithm) -> ChecksumAlgorithm {
        match algorithm {
            Algorithm::Crc32 => ChecksumAlgorithm::Crc32,
            Algorithm::Crc32c => ChecksumAlgorithm::Crc32c,
            Algorithm::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
            Algorithm::Sha1 => ChecksumAlgorithm::Sha1,
            Algorithm::Sha256 => ChecksumAlgorithm::Sha256,
            Algorithm::Md5 => ChecksumAlgorithm::Unspecified,
        }
    }

    pub(super) fn known(self) -> Option<Algorithm> {
        match self {
            ChecksumAlgorithm::Unspecified => None,
            ChecksumAlgorithm::Crc32 => Some(Algorithm::Crc32),
            ChecksumAlgorithm::Crc32c => Some(Algorithm::Crc32c),
            ChecksumAlgorithm::Crc64Nvme => Some(Algorithm::Crc64Nvme),
            ChecksumAlgorithm::Sha1 => Some(Algorithm::Sha1),
            ChecksumAlgorithm::Sha256 => Some(Algorithm::Sha256),
        }
    }
}

impl Checksum {
    pub(super) fn full(algorithm: Algorithm, value: String) -> Checksum {
        Checksum { algorithm: ChecksumAlgorithm::of(algorithm).into(), value, composite: false }
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.composite { "COMPOSITE" } else { "FULL_OBJECT" }
    }
}

/// Where the bytes of one version are.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Body {
    #[prost(message, repeated, tag = "1")]
    pub(super) parts: Vec<BodyPart>,
}

/// A part as it was uploaded; an object that came in one piece is a single part.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct BodyPart {
    #[prost(uint32, tag = "1")]
    pub(super) number: u32,
    #[prost(uint64, tag = "2")]
    pub(super) size: u64,
    /// Of the object's algorithm, base64; empty if it is not known.
    #[prost(string, tag = "3")]
    pub(super) checksum: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) pieces: Vec<StoredPiece>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct StoredPiece {
    /// The bytes themselves, if `blob` is empty.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) inline: Bytes,
    #[prost(string, tag = "2")]
    pub(super) blob: String,
    #[prost(uint64, tag = "3")]
    pub(super) start: u64,
    #[prost(uint64, tag = "4")]
    pub(super) end: u64,
}

impl StoredPiece {
    pub(super) fn of(piece: &Piece) -> StoredPiece {
        match piece {
            Piece::Inline(bytes) => StoredPiece { inline: bytes.clone(), ..StoredPiece::default() },
            Piece::Blob { id, range } => {
                StoredPiece { inline: Bytes::new(), blob: id.clone(), start: range.start, end: range.end }
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        if self.blob.is_empty() { self.inline.len() as u64 } else { self.end - self.start }
    }
}

/// A multipart upload under way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Upload {
    #[prost(uint64, tag = "1")]
    pub(super) initiated_ms: u64,
    #[prost(message, required, tag = "2")]
    pub(super) metadata: Metadata,
    #[prost(message, repeated, tag = "3")]
    pub(super) tags: Vec<Pair>,
    /// Unspecified if the client did not ask for one.
    #[prost(enumeration = "ChecksumAlgorithm", tag = "4")]
    pub(super) algorithm: i32,
    #[prost(bool, tag = "5")]
    pub(super) composite: bool,
}

/// An uploaded part of an upload under way.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Part {
    #[prost(uint64, tag = "1")]
    pub(super) size: u64,
    /// Without quotes.
    #[prost(string, tag = "2")]
    pub(super) etag: String,
    #[prost(uint64, tag = "3")]
    pub(super) modified_ms: u64,
    /// Of the upload's algorithm, base64; empty for a copied stretch, whose bytes nobody has read.
    #[prost(string, tag = "4")]
    pub(super) checksum: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) pieces: Vec<StoredPiece>,
}

/// A list of tags on a bucket.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Tags {
    #[prost(message, repeated, tag = "1")]
    pub(super) tags: Vec<Pair>,
}

/// The place of a key's null version among its versions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct NullVersion {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
}

pub(super) const NULL_VERSION: &str = "null";
pub(super) const STORAGE_CLASS: &str = "STANDARD";
pub(super) const KEY_BYTES_MAX: usize = 1024;

/// The rules of "General purpose bucket naming rules" in the S3 user guide.
pub(super) fn valid_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let ends = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let starts = ["xn--", "sthree-", "amzn-s3-demo-"];
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !starts.iter().any(|start| name.starts_with(start))
        && !ends.iter().any(|end| name.ends_with(end))
}

pub(super) fn check_key(key: &str) -> Result<(), Fault> {
    if key.len() > KEY_BYTES_MAX { Err(faults::key_too_long(key.len())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_published_rules() {
        for name in ["abc", "my.bucket-1", "0ab", &"a".repeat(63)] {
            assert!(valid_bucket_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["ab", &long, "Abc", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "xn--abc", "abc--x-s3", "ab/c", ""]
        {
            assert!(!valid_bucket_name(name), "{name}");
        }
    }
}
