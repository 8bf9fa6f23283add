//! The bytes of objects: who holds them, and how to take stretches out of them. Pure but for the holders'
//! count.

use super::model::{Body, BodyPart, StoredPiece};
use crate::operation::{Piece, Upload};
use crate::{Cx, blobs};
use mayfly_kernel::Fault;
use std::ops::Range;

impl Body {
    /// An object that came in one piece.
    pub(super) fn single(upload: &Upload) -> Body {
        let pieces: Vec<StoredPiece> = upload.piece.iter().map(StoredPiece::of).collect();
        if pieces.is_empty() {
            return Body::default();
        }
        Body { parts: vec![BodyPart { number: 0, size: upload.size, checksum: String::new(), pieces }] }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &StoredPiece> {
        self.parts.iter().flat_map(|part| &part.pieces)
    }

    /// The stretch `range` of the whole.
    pub(super) fn slice(&self, range: Range<u64>) -> Vec<StoredPiece> {
        let (mut found, mut offset) = (Vec::new(), 0);
        for piece in self.pieces() {
            let end = offset + piece.len();
            let (from, to) = (range.start.max(offset), range.end.min(end));
            if from < to {
                found.push(piece.cut(from - offset..to - offset));
            }
            offset = end;
            if offset >= range.end {
                break;
            }
        }
        found
    }

    /// Where the part at this index, counted from zero, begins and ends.
    pub(super) fn part_range(&self, index: usize) -> Option<Range<u64>> {
        let start: u64 = self.parts.get(..index)?.iter().map(|part| part.size).sum();
        Some(start..start + self.parts.get(index)?.size)
    }
}

impl StoredPiece {
    fn cut(&self, range: Range<u64>) -> StoredPiece {
        if !self.blob.is_empty() {
            let (start, end) = (self.start + range.start, self.start + range.end);
            return StoredPiece { start, end, ..self.clone() };
        }
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        StoredPiece {
            inline: self.inline.slice(place(range.start)..place(range.end)),
            ..StoredPiece::default()
        }
    }
}

/// The form in which the binary sends them.
pub(super) fn to_send(pieces: Vec<StoredPiece>) -> Vec<Piece> {
    let convert = |piece: StoredPiece| match piece.blob.is_empty() {
        true => Piece::Inline(piece.inline),
        false => Piece::Blob { id: piece.blob, range: piece.start..piece.end },
    };
    pieces.into_iter().map(convert).collect()
}

/// Counts a holder more for every blob among them.
pub(super) fn hold<'a>(
    cx: &mut Cx<'_>,
    pieces: impl IntoIterator<Item = &'a StoredPiece>,
) -> Result<(), Fault> {
    for piece in pieces {
        if !piece.blob.is_empty() {
            blobs::hold(cx, &piece.blob, piece.len())?;
        }
    }
    Ok(())
}

/// Counts a holder less for every blob among them.
pub(super) fn release<'a>(
    cx: &mut Cx<'_>,
    pieces: impl IntoIterator<Item = &'a StoredPiece>,
) -> Result<(), Fault> {
    for piece in pieces {
        if !piece.blob.is_empty() {
            blobs::release(cx, &piece.blob)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(sizes: &[&str]) -> Body {
        let part = |text: &&str| BodyPart {
            number: 1,
            size: text.len() as u64,
            checksum: String::new(),
            pieces: vec![StoredPiece::of(&Piece::Inline((*text).to_owned().into()))],
        };
        Body { parts: sizes.iter().map(part).collect() }
    }

    fn text(pieces: &[StoredPiece]) -> String {
        pieces.iter().map(|piece| std::str::from_utf8(&piece.inline).unwrap()).collect()
    }

    #[test]
    fn a_stretch_crosses_pieces_and_never_leaves_the_body() {
        let body = body(&["abc", "defg", "h"]);
        let whole = "abcdefgh";
        for start in 0..=8 {
            for end in start..=10 {
                let wanted = &whole[start.min(8)..end.min(8)];
                assert_eq!(text(&body.slice(start as u64..end as u64)), wanted, "{start}..{end}");
            }
        }
        assert_eq!(body.part_range(1), Some(3..7));
        assert_eq!(body.part_range(3), None);
    }

    #[test]
    fn a_stretch_of_a_blob_counts_from_where_the_piece_begins() {
        let piece = StoredPiece::of(&Piece::Blob { id: "blob".into(), range: 100..200 });
        let part = BodyPart { number: 1, size: 100, checksum: String::new(), pieces: vec![piece] };
        let cut = Body { parts: vec![part] }.slice(10..20);
        assert_eq!((cut[0].start, cut[0].end), (110, 120));
    }
}
