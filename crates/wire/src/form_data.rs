//! `multipart/form-data` (RFC 7578) as browsers send it to S3: small fields, then one file of any size.
//!
//! Sans I/O: bytes go in as they arrive, and what they mean comes out; the file's content is passed through, so
//! memory stays flat. Whatever follows the file is not looked at, as S3 documents.

use bytes::{Bytes, BytesMut};

/// Fields before the file, their heads included.
const FIELDS_BYTES_MAX: usize = 20 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Field {
        name: String,
        value: String,
    },
    /// The file begins; its content follows.
    File {
        filename: String,
    },
    Content(Bytes),
    /// The file is whole.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No form, or one that breaks off.
    Form,
    /// The fields before the file are larger than they may be.
    TooMuchBefore,
}

enum Place {
    /// At a boundary: what is behind it says whether another part comes.
    Boundary,
    Part,
    File,
    Done,
}

pub struct Reader {
    /// With the line break before it, which belongs to the boundary and not to the part.
    boundary: Vec<u8>,
    buffer: BytesMut,
    place: Place,
    before_file: usize,
}

impl Reader {
    /// `None` if the media type is not that of a form.
    pub fn new(content_type: &str) -> Option<Reader> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let parameters = parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='));
        let mut boundaries = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("boundary"));
        let boundary = boundaries.next()?.1.trim_matches('"');
        // The first boundary begins the body, with no line before it: this stands for that line's end.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let boundary = format!("\r\n--{boundary}").into_bytes();
        let whole = (5..=74).contains(&boundary.len());
        whole.then_some(Reader { boundary, buffer, place: Place::Boundary, before_file: 0 })
    }

    pub fn push(&mut self, data: &[u8]) -> Result<Vec<Piece>, Malformed> {
        let mut pieces = Vec::new();
        if matches!(self.place, Place::Done) {
            return Ok(pieces);
        }
        if !matches!(self.place, Place::File) {
            self.before_file += data.len();
        }
        self.buffer.extend_from_slice(data);
        while let Some(piece) = self.step()? {
            let end = piece == Piece::End;
            pieces.push(piece);
            if end {
                break;
            }
        }
        if !matches!(self.place, Place::File | Place::Done) && self.before_file > FIELDS_BYTES_MAX {
            return Err(Malformed::TooMuchBefore);
        }
        Ok(pieces)
    }

    /// The next piece that is whole; `None` if more must come first.
    fn step(&mut self) -> Result<Option<Piece>, Malformed> {
        match self.place {
            Place::Boundary => self.boundary(),
            Place::Part => self.part(),
            Place::File => Ok(self.content()),
            Place::Done => Ok(None),
        }
    }

    fn boundary(&mut self) -> Result<Option<Piece>, Malformed> {
        let end = self.boundary.len() + 2;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let line = self.buffer.split_to(end);
        match line.strip_prefix(&self.boundary[..]) {
            Some(b"\r\n") => {
                self.place = Place::Part;
                self.part()
            }
            // A form without a file ends here.
            _ => Err(Malformed::Form),
        }
    }

    fn part(&mut self) -> Result<Option<Piece>, Malformed> {
        let Some(head) = find(&self.buffer, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(|_| Malformed::Form)?;
        let lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
        let disposition = found.next().ok_or(Malformed::Form)?.1;
        let name = parameter(disposition, "name").ok_or(Malformed::Form)?;
        if name.eq_ignore_ascii_case("file") {
            let filename = parameter(disposition, "filename").unwrap_or_default();
            let _ = self.buffer.split_to(head + 4);
            self.place = Place::File;
            return Ok(Some(Piece::File { filename }));
        }
        let Some(length) = find(&self.buffer[head + 4..], &self.boundary) else { return Ok(None) };
        let value = self.buffer[head + 4..head + 4 + length].to_vec();
        let value = String::from_utf8(value).map_err(|_| Malformed::Form)?;
        let _ = self.buffer.split_to(head + 4 + length);
        self.place = Place::Boundary;
        Ok(Some(Piece::Field { name, value }))
    }

    /// All of the buffer that cannot be the beginning of the boundary.
    fn content(&mut self) -> Option<Piece> {
        if let Some(end) = find(&self.buffer, &self.boundary) {
            if end == 0 {
                self.place = Place::Done;
                return Some(Piece::End);
            }
            return Some(Piece::Content(self.buffer.split_to(end).freeze()));
        }
        let sure = (self.buffer.len() + 1).saturating_sub(self.boundary.len());
        (sure > 0).then(|| Piece::Content(self.buffer.split_to(sure).freeze()))
    }

    /// Whether the file has come to its end.
    pub fn is_done(&self) -> bool {
        matches!(self.place, Place::Done)
    }
}

/// Both of our needles begin with a line break, which is rare in most files: looking for it alone is fast.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(place) = text[from..].iter().position(|byte| *byte == b'\r') {
        if text[from + place..].starts_with(needle) {
            return Some(from + place);
        }
        from += place + 1;
    }
    None
}

/// A parameter of a Content-Disposition, quoted as browsers quote it.
fn parameter(disposition: &str, wanted: &str) -> Option<String> {
    let mut rest = disposition;
    while let Some((_, parameters)) = rest.split_once(';') {
        let (name, value) = parameters.split_once('=')?;
        let quoted = value.trim_start().strip_prefix('"');
        let (value, after) = match quoted {
            Some(text) => text.split_once('"')?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim().replace("%22", "\""));
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\na/${filename}\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x;y.txt\"\r\ncontent-type: text/plain\r\n\r\n\
        one\r\n--not\r\rtwo\r\n--b\r\ncontent-disposition: form-data; name=\"late\"\r\n\r\n1\r\n--b--\r\n";

    fn read(pieces: usize) -> (Vec<Piece>, Vec<u8>, bool) {
        let mut reader = Reader::new("multipart/form-data; boundary=\"b\"").unwrap();
        let (mut said, mut content) = (Vec::new(), Vec::new());
        for data in FORM.chunks(pieces) {
            for piece in reader.push(data).unwrap() {
                match piece {
                    Piece::Content(bytes) => content.extend_from_slice(&bytes),
                    piece => said.push(piece),
                }
            }
        }
        (said, content, reader.is_done())
    }

    #[test]
    fn a_form_reads_the_same_however_it_is_cut() {
        for size in 1..=FORM.len() {
            let (said, content, done) = read(size);
            assert!(done, "{size}");
            assert_eq!(content, b"one\r\n--not\r\rtwo", "{size}");
            let field = Piece::Field { name: "key".into(), value: "a/${filename}".into() };
            let file = Piece::File { filename: "x;y.txt".into() };
            assert_eq!(said, [field, file, Piece::End], "{size}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let reader = || Reader::new("multipart/form-data; boundary=b").unwrap();
        assert!(Reader::new("application/json").is_none());
        assert!(Reader::new("multipart/form-data; x=1").is_none());
        assert_eq!(reader().push(b"hello world, no form"), Err(Malformed::Form));
        let no_file = b"--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\nk\r\n--b--\r\n";
        assert_eq!(reader().push(no_file), Err(Malformed::Form));
        let large = [b"--b\r\nx: ".to_vec(), vec![b'a'; FIELDS_BYTES_MAX]].concat();
        assert_eq!(reader().push(&large), Err(Malformed::TooMuchBefore));
    }
}
