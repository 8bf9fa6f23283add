//! A stored value, and what names may be.

use super::{KEYS_MAX, faults};
use bytes::Bytes;
use mayfly_kernel::Fault;

pub(super) const BUCKET_BYTES: usize = 255;
const KEY_BYTES: usize = 2048;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Value {
    #[prost(bytes = "bytes", tag = "1")]
    pub bytes: Bytes,
    /// Drawn anew at every change, so that a key that was deleted and made again has another one.
    #[prost(fixed64, tag = "2")]
    pub revision: u64,
}

impl Value {
    pub(super) fn number(&self) -> Option<i64> {
        std::str::from_utf8(&self.bytes).ok()?.parse().ok()
    }
}

pub(super) fn check_key(key: &str) -> Result<(), Fault> {
    match (1..=KEY_BYTES).contains(&key.len()) {
        true => Ok(()),
        false => Err(faults::bad_key(KEY_BYTES)),
    }
}

pub(super) fn check_count(count: usize) -> Result<(), Fault> {
    match count <= KEYS_MAX {
        true => Ok(()),
        false => Err(faults::too_many_keys(KEYS_MAX)),
    }
}
