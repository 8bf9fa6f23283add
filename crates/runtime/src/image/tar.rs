//! Reads tar archives that a stranger wrote: POSIX (`ustar`, `pax`) and GNU headers, as layers have them.
//!
//! Our own, because it is small and every size in it is bounded: a name or an extended header that claims
//! gigabytes is refused, not read into memory. Sparse files are refused; no builder of images writes them.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
/// The longest name in a GNU header of its own, and the longest extended header.
const EXTENDED_BYTES: u64 = 64 * 1024;
const COPY_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    HardLink,
    Link,
    Folder,
    /// A device or a named pipe.
    Special,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    /// Where a link leads.
    pub(super) target: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u64,
}

pub(super) struct Archive<R> {
    reader: R,
    /// Of the present entry, what has not been read yet, and how its last block is filled up.
    left: u64,
    padding: u64,
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive is broken: {what}"))
}

impl<R: Read> Archive<R> {
    pub(super) fn new(reader: R) -> Archive<R> {
        Archive { reader, left: 0, padding: 0 }
    }

    /// What the archive is read from, to be read to its end.
    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// The next entry; what was not read of the one before is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            self.skip()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let size = number(&block[124..136]).ok_or_else(|| broken("a size is no number"))?;
            let kind = block[156];
            match kind {
                b'L' | b'K' => {
                    let mut name = self.extension(size)?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    match kind {
                        b'L' => extended.path = Some(name),
                        _ => extended.target = Some(name),
                    }
                }
                b'x' => self.pax(size, &mut extended)?,
                // Says something of all entries that follow; nothing that matters here.
                b'g' => _ = self.extension(size)?,
                _ => return self.entry(&block, kind, size, extended).map(Some),
            }
        }
    }

    fn entry(&mut self, block: &[u8; BLOCK], kind: u8, size: u64, extended: Extended) -> io::Result<Entry> {
        let kind = match kind {
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Link,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Folder,
            b'S' => return Err(broken("sparse files are not supported")),
            other => return Err(broken(&format!("there is no entry of kind {}", char::from(other)))),
        };
        let size = extended.size.unwrap_or(size);
        // Only files have bytes; what others claim is nonsense, and some writers write nonsense.
        let size = if kind == Kind::File { size } else { 0 };
        self.expect(size);
        Ok(Entry {
            kind,
            path: extended.path.unwrap_or_else(|| name(block)),
            target: extended.target.unwrap_or_else(|| text(&block[157..257]).to_vec()),
            size,
            mode: number(&block[100..108]).unwrap_or(0),
        })
    }

    /// Passes the bytes of the present entry on.
    pub(super) fn copy(&mut self, into: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![0; COPY_BYTES];
        while self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            self.reader.read_exact(&mut buffer[..most])?;
            into.write_all(&buffer[..most])?;
            self.left -= most as u64;
        }
        Ok(())
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip(&mut self) -> io::Result<()> {
        self.copy(&mut io::sink())?;
        let mut padding = [0; BLOCK];
        let count = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.reader.read_exact(&mut padding[..count])
    }

    /// The next header; `None` at the end, which is an empty block or, from careless writers, nothing at all.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(broken("it ends in the middle of a header")),
                count => filled += count,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let own = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) };
        let sum: u64 = block.iter().enumerate().map(own).sum();
        match number(&block[148..156]) {
            Some(told) if told == sum => Ok(Some(block)),
            _ => Err(broken("a header's checksum does not match")),
        }
    }

    /// The bytes of an entry that is about the next one.
    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENDED_BYTES {
            return Err(broken("an extended header is too long"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.copy(&mut bytes)?;
        Ok(bytes)
    }

    /// Records of the form `LENGTH KEY=VALUE` and a line feed.
    fn pax(&mut self, size: u64, extended: &mut Extended) -> io::Result<()> {
        let bytes = self.extension(size)?;
        let mut rest = bytes.as_slice();
        let bad = || broken("an extended header is not readable");
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok());
            let length: usize =
                length.filter(|length| (space + 2..=rest.len()).contains(length)).ok_or_else(bad)?;
            let record = &rest[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    extended.size = Some(size.ok_or_else(bad)?);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(broken("sparse files are not supported"));
                }
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

/// A field up to its first zero byte.
fn text(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

fn name(block: &[u8; BLOCK]) -> Vec<u8> {
    let prefix = match &block[257..263] {
        b"ustar\0" => text(&block[345..500]),
        _ => b"",
    };
    let own = text(&block[..100]);
    if prefix.is_empty() { own.to_vec() } else { [prefix, b"/", own].concat() }
}

/// Octal digits, or since sizes grew beyond them, big-endian bytes marked by the highest bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        return fits.then(|| low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let digits = text(field);
    let digits = std::str::from_utf8(digits).ok()?.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Archive, BLOCK, Entry, Kind, number};
    use std::io;

    /// One entry as an archive has it.
    pub(in crate::image) fn entry(kind: u8, path: &str, target: &str, data: &[u8]) -> Vec<u8> {
        let mut block = [0; BLOCK];
        block[..path.len().min(100)].copy_from_slice(&path.as_bytes()[..path.len().min(100)]);
        block[100..107].copy_from_slice(b"0000755");
        let size = format!("{:011o}", data.len());
        block[124..135].copy_from_slice(size.as_bytes());
        block[156] = kind;
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let padding = vec![0; data.len().wrapping_neg() % BLOCK];
        [&block[..], data, &padding].concat()
    }

    fn all(archive: &[u8]) -> io::Result<Vec<(Entry, Vec<u8>)>> {
        let mut archive = Archive::new(archive);
        let mut found = Vec::new();
        while let Some(entry) = archive.next()? {
            let mut data = Vec::new();
            archive.copy(&mut data)?;
            found.push((entry, data));
        }
        Ok(found)
    }

    #[test]
    fn every_form_of_a_header_is_read() {
        let long = "d/".repeat(80) + "name";
        let record = format!(" path={long}\n");
        let record = format!("{}{record}", record.len() + 3);
        let archive = [
            entry(b'0', "a", "", b"one"),
            entry(b'L', "././@LongLink", "", format!("{long}\0").as_bytes()),
            entry(b'0', "cut", "", b""),
            entry(b'x', "pax", "", record.as_bytes()),
            entry(b'5', "cut", "", b""),
            entry(b'2', "link", "a", b""),
            vec![0; 1024],
        ]
        .concat();
        let found = all(&archive).unwrap();
        let paths: Vec<_> = found.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path)).collect();
        assert_eq!(paths, ["a", &long, &long, "link"]);
        assert_eq!((found[0].1.as_slice(), found[2].0.kind), (&b"one"[..], Kind::Folder));
        assert_eq!((found[3].0.kind, found[3].0.target.as_slice()), (Kind::Link, &b"a"[..]));
    }

    #[test]
    fn what_is_broken_is_told_and_never_believed() {
        let mut flipped = entry(b'0', "a", "", b"x");
        flipped[0] ^= 1;
        let mut endless = entry(b'x', "pax", "", b"");
        endless[124..135].copy_from_slice(b"77777777777");
        let sum: u32 = endless
            .iter()
            .enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        endless[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let short = entry(b'0', "a", "", b"long enough")[..515].to_vec();
        for archive in
            [flipped, endless, short, entry(b'S', "a", "", b""), entry(b'x', "p", "", b"99 path=a\n")]
        {
            all(&archive).unwrap_err();
        }
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(b"\xff\0\0\0\0\0\0\0\0\0\x01\0"), None);
    }
}
