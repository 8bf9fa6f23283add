//! The aws-chunked form of a body: chunks that may each carry a signature, and trailers after the last.
//!
//! ```text
//! 10000;chunk-signature=ad80…\r\n
//! <65536 bytes>\r\n
//! 0;chunk-signature=b6c6…\r\n
//! x-amz-checksum-crc32c:sOO8/Q==\r\n
//! x-amz-trailer-signature:d811…\r\n
//! \r\n
//! ```
//!
//! Data is handed on as it arrives, so that a chunk of any size costs no memory; a signature can only be
//! checked at the end of its chunk. What was handed on is therefore good only once [`ChunkDecoder::finish`]
//! has said so.

use super::EMPTY_SHA256;
use super::verify::{Seed, same};
use crate::checksum::sha256_hex;
use bytes::{Buf as _, Bytes};
use mayfly_kernel::Fault;
use sha2::{Digest as _, Sha256};

/// The longest line: a size, a signature, and a trailer's name and value with room to spare.
const LINE_MAX: usize = 1024;
const TRAILERS_MAX: usize = 16;
/// No chunk is larger than the largest part.
const CHUNK_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Why a body in chunks is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A chunk or the trailers are not the ones that were signed.
    Signature,
    /// Not in aws-chunked form.
    Malformed(&'static str),
    /// The trailers are not well-formed.
    Trailer,
    /// The body ended before its last chunk or its trailers did.
    Truncated,
    /// The chunks hold more or less than `x-amz-decoded-content-length` said.
    Length { declared: u64 },
}

impl ChunkError {
    /// S3's fault, the only service that takes such bodies.
    pub fn to_fault(&self) -> Fault {
        match self {
            ChunkError::Signature => Fault::new(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                Check your key \
                 and signing method.",
            ),
            ChunkError::Malformed(cause) => {
                Fault::new(400, "InvalidRequest", format!("The body is not in aws-chunked form: {cause}."))
            }
            ChunkError::Trailer => Fault::new(
                400,
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to \
                our published \
                 schema.",
            ),
            ChunkError::Truncated => {
                Fault::new(400, "IncompleteBody", "The request body terminated unexpectedly")
            }
            ChunkError::Length { .. } => Fault::new(
                400,
                "IncompleteBody",
                "You did not provide the number of bytes specified by the \
                x-amz-decoded-content-length HTTP header",
            ),
        }
    }
}

#[derive(Debug)]
enum State {
    /// Reading the line with a chunk's size.
    Head,
    /// Inside a chunk's data.
    Data {
        remaining: u64,
    },
    /// Reading the empty line after a chunk's data.
    DataEnd,
    /// Reading the lines after the last chunk.
    Tail,
    Done,
}

/// Reads an aws-chunked body piece by piece, however it is split.
#[derive(Debug)]
pub struct ChunkDecoder {
    /// Of the signatures to check; `None` if chunks are not signed. Its signature moves on with every chunk.
    seed: Option<Seed>,
    trailer: bool,
    declared: Option<u64>,
    decoded: u64,
    state: State,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    /// What the current chunk claims as its signature, and the hash of its data so far.
    claimed: String,
    hash: Sha256,
    trailers: Vec<(String, String)>,
    trailers_verified: bool,
    failed: Option<ChunkError>,
}

impl ChunkDecoder {
    /// `seed` as [`super::verify`] left it if the payload is signed; `decoded_length` is the header
    /// `x-amz-decoded-content-length`.
    pub fn new(seed: Option<Seed>, trailer: bool, decoded_length: Option<u64>) -> ChunkDecoder {
        ChunkDecoder {
            seed,
            trailer,
            declared: decoded_length,
            decoded: 0,
            state: State::Head,
            line: Vec::new(),
            claimed: String::new(),
            hash: Sha256::new(),
            trailers: Vec::new(),
            trailers_verified: false,
            failed: None,
        }
    }

    /// Takes the next piece of the body and gives the data in it, without copying. After an error only errors
    /// follow.
    pub fn push(&mut self, mut piece: Bytes) -> Result<Vec<Bytes>, ChunkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut data = Vec::new();
        while !piece.is_empty() {
            if let Err(error) = self.step(&mut piece, &mut data) {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(data)
    }

    /// The body has ended: tells whether all of it arrived, and its trailers, names in lower case, without
    /// their signature.
    pub fn finish(self) -> Result<Vec<(String, String)>, ChunkError> {
        match (self.failed, self.state, self.declared) {
            (Some(error), ..) => Err(error),
            (None, State::Done, Some(declared)) if declared != self.decoded => {
                Err(ChunkError::Length { declared })
            }
            (None, State::Done, _) => Ok(self.trailers),
            _ => Err(ChunkError::Truncated),
        }
    }

    fn step(&mut self, piece: &mut Bytes, data: &mut Vec<Bytes>) -> Result<(), ChunkError> {
        match self.state {
            State::Data { remaining } => {
                let here = usize::try_from(remaining).unwrap_or(usize::MAX).min(piece.len());
                let part = piece.split_to(here);
                if self.seed.is_some() {
                    self.hash.update(&part);
                }
                data.push(part);
                let remaining = remaining - here as u64;
                self.state = if remaining == 0 { State::DataEnd } else { State::Data { remaining } };
                Ok(())
            }
            State::Done => Err(ChunkError::Malformed("bytes after the end")),
            State::Head | State::DataEnd | State::Tail => {
                let Some(line) = self.take_line(piece)? else { return Ok(()) };
                match self.state {
                    State::Head => self.head(&line),
                    State::DataEnd if !line.is_empty() => {
                        Err(ChunkError::Malformed("a chunk is longer than its size"))
                    }
                    State::DataEnd => self.end_chunk(),
                    _ => self.tail(&line),
                }
            }
        }
    }

    /// The next line without its end, if all of it has arrived.
    fn take_line(&mut self, piece: &mut Bytes) -> Result<Option<String>, ChunkError> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let here = end.unwrap_or(piece.len());
        if self.line.len() + here > LINE_MAX {
            return Err(ChunkError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&piece[..here]);
        piece.advance(here + usize::from(end.is_some()));
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|_| ChunkError::Malformed("a line is not text"))
    }

    fn head(&mut self, line: &str) -> Result<(), ChunkError> {
        let (size, extensions) = line.split_once(';').unwrap_or((line, ""));
        let digits = (1..=16).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|size| digits && *size <= CHUNK_MAX);
        let size = size.ok_or(ChunkError::Malformed("a chunk's size is not a number in range"))?;
        if self.seed.is_some() {
            let mut extensions = extensions.split(';');
            let claimed = extensions.find_map(|extension| extension.strip_prefix("chunk-signature="));
            claimed.ok_or(ChunkError::Signature)?.clone_into(&mut self.claimed);
        }
        self.decoded = self.decoded.saturating_add(size);
        if let Some(declared) = self.declared
            && self.decoded > declared
        {
            return Err(ChunkError::Length { declared });
        }
        if size > 0 {
            self.state = State::Data { remaining: size };
            return Ok(());
        }
        self.verify_chunk()?;
        self.state = State::Tail;
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), ChunkError> {
        self.verify_chunk()?;
        self.state = State::Head;
        Ok(())
    }

    /// Each chunk's signature covers the one before it, so none can be left out, repeated or moved.
    fn verify_chunk(&mut self) -> Result<(), ChunkError> {
        let data = hex::encode(self.hash.finalize_reset());
        let Some(seed) = &mut self.seed else { return Ok(()) };
        let expected = seed.sign(&format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{EMPTY_SHA256}\n{data}",
            seed.timestamp, seed.scope, seed.signature
        ));
        if !same(&expected, &self.claimed) {
            return Err(ChunkError::Signature);
        }
        seed.signature = expected;
        Ok(())
    }

    fn tail(&mut self, line: &str) -> Result<(), ChunkError> {
        let signed = self.trailer && self.seed.is_some();
        if line.is_empty() {
            // The documentation's example, and clients written after it, put an empty line before the
            // signature.
            if !signed || self.trailers_verified {
                self.state = State::Done;
            }
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or(ChunkError::Trailer)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !self.trailer || name.is_empty() || self.trailers_verified || self.trailers.len() == TRAILERS_MAX {
            return Err(ChunkError::Trailer);
        }
        if signed && name == "x-amz-trailer-signature" {
            return self.verify_trailers(value);
        }
        if self.trailers.iter().any(|(other, _)| *other == name) {
            return Err(ChunkError::Trailer);
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn verify_trailers(&mut self, claimed: &str) -> Result<(), ChunkError> {
        let Some(seed) = &self.seed else { return Err(ChunkError::Trailer) };
        let lines: String = self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let expected = seed.sign(&format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
            seed.timestamp,
            seed.scope,
            seed.signature,
            sha256_hex(lines.as_bytes())
        ));
        if !same(&expected, claimed) {
            return Err(ChunkError::Signature);
        }
        self.trailers_verified = true;
        Ok(())
    }
}
