//! Receipt handles: which message, and which of its receives.

use super::faults;
use super::keys::MessageKey;
use super::queues::Opened;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Fault, Time};

const VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) sent: Time,
    pub(super) uid: u64,
    pub(super) nonce: u64,
}

impl Handle {
    /// Its text, for the queue that was first known by `birth`.
    pub(super) fn write(&self, birth: u64) -> String {
        let mut bytes = vec![VERSION];
        for number in [birth, self.sent.ms(), self.uid, self.nonce] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        STANDARD.encode(bytes)
    }

    pub(super) fn read(text: &str, queue: &Opened) -> Result<Handle, Fault> {
        let numbers = || {
            let bytes = STANDARD.decode(text).ok()?;
            let (version, rest) = bytes.split_first()?;
            let (numbers, rest) = rest.as_chunks::<8>();
            let known = *version == VERSION && rest.is_empty();
            <[u64; 4]>::try_from(numbers.iter().map(|b| u64::from_be_bytes(*b)).collect::<Vec<_>>())
                .ok()
                .filter(|numbers| known && numbers[0] == queue.record.birth)
        };
        let [_, sent, uid, nonce] = numbers().ok_or_else(|| faults::bad_handle(text))?;
        Ok(Handle { sent: Time::from_ms(sent), uid, nonce })
    }

    /// Where the message is. Before a purge it was elsewhere, and nothing is found, as it should be.
    pub(super) fn key(&self, queue: &Opened) -> MessageKey {
        (queue.record.id, self.sent, self.uid)
    }
}
