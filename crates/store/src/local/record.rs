//! The bytes of the write-ahead log. They are on disks: changing them means a new [`FORMAT`].
//!
//! A segment begins with a header, then records follow, each padded to eight bytes. All integers little endian.
//!
//! | segment header, 48 bytes | | record header, 48 bytes | |
//! |---|---|---|---|
//! | 0 | `MFWALSEG` | 0 | `MFLR` |
//! | 8 | format, u32; then 4 zero bytes | 4 | length of the payload, u32 |
//! | 16 | segment id | 8 | segment id |
//! | 24 | sequence number of the first record | 16 | sequence number |
//! | 32 | version before the first record | 24 | sequence number known to be synced |
//! | 40 | xxh3-64 of bytes 0–39 | 32 | xxh3-64 of the payload |
//! | | | 40 | xxh3-64 of bytes 0–39 |
//!
//! The id in every record is what lets a segment be used again without being wiped: what an earlier use left
//! behind carries another id. The synced number tells a torn tail from damage: a record that a later one knew
//! to be synced can only have been lost by damage.
//!
//! A payload is one group of commits, whole or not at all: the first commit's version, u64, and the number of
//! commits, u32; for each commit the number of its writes, u32; for each write the key's length, u32, and bytes,
//! then 0 to delete, or 1 and the value's length, u32, and bytes. Versions within a group count up by one.

use crate::Version;
use crate::engine::Writes;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) const FORMAT: u32 = 1;
pub(crate) const SEGMENT_HEADER: usize = 48;
pub(crate) const RECORD_HEADER: usize = 48;
const SEGMENT_MAGIC: &[u8; 8] = b"MFWALSEG";
const RECORD_MAGIC: &[u8; 4] = b"MFLR";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: u64,
    /// The records of earlier segments from this number on are void.
    pub(crate) first_seq: u64,
    pub(crate) base_version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) segment: u64,
    pub(crate) seq: u64,
    pub(crate) synced_seq: u64,
}

/// Why a segment's header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// It was never written, or not wholly.
    Unwritten,
    Format(u32),
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were cut"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were cut"))
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.base_version.to_le_bytes());
        let sum = xxh3_64(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, BadHeader> {
        if bytes.len() < SEGMENT_HEADER
            || &bytes[..8] != SEGMENT_MAGIC
            || u64_at(bytes, 40) != xxh3_64(&bytes[..40])
        {
            return Err(BadHeader::Unwritten);
        }
        match u32_at(bytes, 8) {
            FORMAT => Ok(SegmentHeader {
                id: u64_at(bytes, 16),
                first_seq: u64_at(bytes, 24),
                base_version: u64_at(bytes, 32),
            }),
            other => Err(BadHeader::Format(other)),
        }
    }
}

/// The whole record, padding included.
pub(crate) fn encode_record(header: RecordHeader, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&length(payload.len()).to_le_bytes());
    out.extend_from_slice(&header.segment.to_le_bytes());
    out.extend_from_slice(&header.seq.to_le_bytes());
    out.extend_from_slice(&header.synced_seq.to_le_bytes());
    out.extend_from_slice(&xxh3_64(payload).to_le_bytes());
    let sum = xxh3_64(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + record_len(payload.len()), 0);
}

/// How many bytes a record with such a payload takes in a segment.
pub(crate) fn record_len(payload: usize) -> usize {
    RECORD_HEADER + payload.next_multiple_of(8)
}

/// The record at the front of `bytes` if it is whole, belongs to `segment`, and nothing of it has changed.
pub(crate) fn decode_record(bytes: &[u8], segment: u64) -> Option<(RecordHeader, &[u8])> {
    if bytes.len() < RECORD_HEADER || &bytes[..4] != RECORD_MAGIC || u64_at(bytes, 8) != segment {
        return None;
    }
    if u64_at(bytes, 40) != xxh3_64(&bytes[..40]) {
        return None;
    }
    let length = usize::try_from(u32_at(bytes, 4)).ok()?;
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER + length)?;
    let header = RecordHeader { segment, seq: u64_at(bytes, 16), synced_seq: u64_at(bytes, 24) };
    (u64_at(bytes, 32) == xxh3_64(payload)).then_some((header, payload))
}

/// Lengths are bounded long before: a transaction has at most [`super::TRANSACTION_BYTES_MAX`].
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a group is bounded well below 4 GiB")
}

/// Builds the payload of one group.
pub(crate) struct GroupEncoder(Vec<u8>);

impl GroupEncoder {
    pub(crate) fn new(first_version: Version, commits: usize) -> GroupEncoder {
        let mut bytes = first_version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&length(commits).to_le_bytes());
        GroupEncoder(bytes)
    }

    pub(crate) fn commit(&mut self, writes: &Writes) {
        self.number(writes.len());
        for (key, value) in writes {
            self.bytes(key);
            match value {
                None => self.0.push(0),
                Some(value) => {
                    self.0.push(1);
                    self.bytes(value);
                }
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&length(number).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// The commits of a payload with their versions; `None` if it is not a payload, though its checksum was right.
pub(crate) fn decode_group(payload: &[u8]) -> Option<Vec<(Version, Writes)>> {
    let mut rest = payload;
    let first = u64::from_le_bytes(*take(&mut rest)?);
    let commits = number(&mut rest)?;
    let mut group = Vec::new();
    for version in first..first + commits as u64 {
        let mut writes = Writes::new();
        for _ in 0..number(&mut rest)? {
            let key = bytes(&mut rest)?;
            let value = match take(&mut rest)? {
                [0] => None,
                [1] => Some(bytes(&mut rest)?),
                [_] => return None,
            };
            writes.insert(key, value);
        }
        group.push((version, writes));
    }
    rest.is_empty().then_some(group)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (part, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(part)
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*take(rest)?)).ok()
}

/// Copied, so that a small row does not hold a whole segment in memory.
fn bytes(rest: &mut &[u8]) -> Option<Bytes> {
    let length = number(rest)?;
    let (part, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Bytes::copy_from_slice(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Vec<u8> {
        let mut writes = Writes::new();
        writes.insert("k".into(), Some("value".into()));
        writes.insert("gone".into(), None);
        let mut group = GroupEncoder::new(7, 1);
        group.commit(&writes);
        group.finish()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.chunks(8).map(|row| row.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect()
    }

    #[test]
    fn headers_and_records_have_these_bytes_for_ever() {
        let header = SegmentHeader { id: 3, first_seq: 9, base_version: 6 };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        assert_eq!(hex(&header.encode()), GOLDEN_SEGMENT);
        let mut record = Vec::new();
        encode_record(RecordHeader { segment: 3, seq: 9, synced_seq: 8 }, &group(), &mut record);
        assert_eq!(hex(&record), GOLDEN_RECORD);
    }

    const GOLDEN_SEGMENT: &str = "\
        4d4657414c534547\n\
        0100000000000000\n\
        0300000000000000\n\
        0900000000000000\n\
        0600000000000000\n\
        a3e24f881d774201\n";
    const GOLDEN_RECORD: &str = "\
        4d464c5228000000\n\
        0300000000000000\n\
        0900000000000000\n\
        0800000000000000\n\
        46364be94362c9c4\n\
        c08179a61246a8ed\n\
        0700000000000000\n\
        0100000002000000\n\
        04000000676f6e65\n\
        00010000006b0105\n\
        00000076616c7565\n";

    #[test]
    fn any_changed_bit_is_noticed() {
        let mut record = Vec::new();
        encode_record(RecordHeader { segment: 3, seq: 9, synced_seq: 8 }, &group(), &mut record);
        let (_, payload) = decode_record(&record, 3).unwrap();
        assert_eq!(decode_group(payload).unwrap()[0].0, 7);
        assert!(decode_record(&record, 4).is_none());
        for bit in 0..(RECORD_HEADER + payload.len()) * 8 {
            let mut broken = record.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(&broken, 3).is_none(), "bit {bit}");
        }
        for cut in 0..RECORD_HEADER + payload.len() {
            assert!(decode_record(&record[..cut], 3).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn damaged_payloads_are_refused_without_a_panic() {
        let payload = group();
        for cut in 0..payload.len() {
            assert!(decode_group(&payload[..cut]).is_none(), "cut at {cut}");
        }
    }
}
