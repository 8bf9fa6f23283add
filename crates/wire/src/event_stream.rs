//! Event-stream framing: messages of headers and a payload, one after the other in a body.
//!
//! The contract is Smithy's "Amazon Event Stream specification": a prelude of two lengths and its CRC-32,
//! headers of typed values, the payload, and the CRC-32 of everything before it; all numbers big-endian.
//!
//! Not here: reading, signed messages, and header values other than strings. Nothing that Mayfly serves takes
//! them.

use crc_fast::{CrcAlgorithm, checksum};

/// Lengths and their checksum before the headers, and the checksum at the end.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;
const STRING: u8 = 7;

/// An event of this type. `payload` is the document, or the bytes, of its one payload member.
pub fn event(kind: &str, content_type: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [(":message-type", "event"), (":event-type", kind), (":content-type", content_type)];
    message(&headers, payload)
}

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let header_bytes: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total = PRELUDE + header_bytes + payload.len() + CHECKSUM;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&number(total).to_be_bytes());
    out.extend_from_slice(&number(header_bytes).to_be_bytes());
    seal(&mut out);
    for (name, value) in headers {
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
        out.push(STRING);
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    seal(&mut out);
    out
}

/// Our own headers are short, and a payload is a piece of an answer: neither comes near the width of its
/// length.
fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn seal(out: &mut Vec<u8>) {
    let sum = checksum(CrcAlgorithm::Crc32IsoHdlc, out);
    out.extend_from_slice(&u32::try_from(sum).unwrap_or_default().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own examples, without and with a header.
    #[test]
    fn messages_have_the_bytes_of_the_specification() {
        assert_eq!(hex::encode(message(&[], b"")), "000000100000000005c248eb7d98c8ff");
        let event = message(&[(":content-type", "application/json")], b"{'foo':'bar'}");
        assert_eq!(u32::from_be_bytes(event[..4].try_into().unwrap()), 16 + 33 + 13);
        assert_eq!(event.len(), 62);
        assert_eq!(&event[12..29], b"\x0d:content-type\x07\x00\x10");
    }
}
