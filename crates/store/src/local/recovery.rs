//! Reading the log back: every record in order, to the first that was never wholly written.
//!
//! What is missing must be provably harmless. A bad record at the very end is a torn write that nobody was told
//! of, and is cut. A bad record that a later one knew to be synced, a gap between segments, or a lost header is
//! damage, and the store refuses to open rather than to forget.

use super::log::{Archive, Resume, Sealed, is_spare, segment_id};
use super::record::{BadHeader, FORMAT, RECORD_HEADER, SEGMENT_HEADER, SegmentHeader};
use super::record::{decode_group, decode_record, record_len};
use crate::disk::{Disk, DiskFile};
use crate::engine::Writes;
use crate::{OpenError, Version};
use std::path::{Path, PathBuf};

/// A segment as it lies on the disk.
struct Found {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: SegmentHeader,
}

/// Hands every commit after `flushed` to `replay`, oldest first, and tells the archive what lies around.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    archive: &Archive,
    flushed: Version,
    mut replay: impl FnMut(Version, &Writes),
) -> Result<Resume, OpenError> {
    let files = disk.list(dir)?;
    let spares: Vec<PathBuf> = files.iter().filter(|path| is_spare(path)).cloned().collect();
    let mut ids: Vec<(u64, PathBuf)> =
        files.iter().filter_map(|path| Some((segment_id(path)?, path.clone()))).collect();
    ids.sort();
    let mut next_id = ids.last().map_or(1, |(id, _)| id + 1);
    for spare in &spares {
        // What a spare was used for must not look like the segment that it becomes.
        next_id = next_id.max(former_id(disk, spare)? + 1);
    }

    let mut segments = Vec::new();
    for (id, path) in ids {
        match find(disk, id, &path)? {
            Some(found) => segments.push(found),
            None => disk.remove(&path)?,
        }
    }
    let needed = match segments.iter().rposition(|segment| segment.header.base_version <= flushed) {
        Some(needed) => needed,
        None => match segments.first() {
            Some(first) => return Err(damage(&first.path, 0, "the log begins after the tree ends")),
            None => 0,
        },
    };
    let covered: Vec<Found> = segments.drain(..needed).collect();

    let mut state = Replay { flushed, last_version: flushed, next_seq: 1, replay: &mut replay };
    let mut sealed: Vec<Sealed> = Vec::new();
    for segment in covered {
        sealed.push(Sealed { bytes: segment.file.len()?, path: segment.path, last_version: flushed });
    }
    if let Some(first) = segments.first() {
        state.next_seq = first.header.first_seq;
    }
    for (index, segment) in segments.iter().enumerate() {
        let void_from = segments.get(index + 1).map(|next| next.header.first_seq);
        state.segment(segment, void_from)?;
        // A process that died may have left records in the page cache alone; what follows will build on them.
        segment.file.sync_data()?;
        sealed.push(Sealed {
            path: segment.path.clone(),
            bytes: segment.file.len()?,
            last_version: state.last_version,
        });
    }
    let read_bytes =
        sealed.iter().filter(|segment| segment.last_version > flushed).map(|segment| segment.bytes);
    let resume = Resume {
        next_id,
        synced_seq: state.next_seq - 1,
        synced_version: state.last_version,
        read_bytes: read_bytes.sum(),
    };
    archive.adopt(sealed, spares);
    archive.retire(flushed);
    Ok(resume)
}

/// The id under which a spare was a segment; 0 if it never was one.
fn former_id(disk: &dyn Disk, spare: &Path) -> Result<u64, OpenError> {
    let file = disk.open(spare)?;
    let mut bytes = vec![0; SEGMENT_HEADER];
    if file.len()? >= SEGMENT_HEADER as u64 {
        file.read_at(&mut bytes, 0)?;
    }
    Ok(SegmentHeader::decode(&bytes).map_or(0, |header| header.id))
}

/// Reads a segment's header. `None` if the segment was being made when the process stopped.
fn find(disk: &dyn Disk, id: u64, path: &Path) -> Result<Option<Found>, OpenError> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; SEGMENT_HEADER];
    if file.len()? >= SEGMENT_HEADER as u64 {
        file.read_at(&mut bytes, 0)?;
    }
    match SegmentHeader::decode(&bytes) {
        Ok(header) if header.id == id => Ok(Some(Found { path: path.to_path_buf(), file, header })),
        Err(BadHeader::Format(found)) => Err(OpenError::Format { found, supported: FORMAT }),
        Ok(_) | Err(BadHeader::Unwritten) => {
            // A header is synced before the first record is written, so records prove that there was one.
            let contents = read_all(&*file)?;
            match later_records(&contents, 0, id).next() {
                Some(_) => Err(damage(path, 0, "its header is lost")),
                None => Ok(None),
            }
        }
    }
}

struct Replay<'a> {
    flushed: Version,
    last_version: Version,
    next_seq: u64,
    replay: &'a mut dyn FnMut(Version, &Writes),
}

impl Replay<'_> {
    /// Reads on to the segment's last valid record; `void_from` is where the next segment takes over.
    fn segment(&mut self, segment: &Found, void_from: Option<u64>) -> Result<(), OpenError> {
        if segment.header.first_seq > self.next_seq {
            return Err(damage(&segment.path, 0, "records before it are missing"));
        }
        let contents = read_all(&*segment.file)?;
        let id = segment.header.id;
        let mut at = SEGMENT_HEADER;
        while void_from != Some(self.next_seq) {
            let rest = contents.get(at..).unwrap_or_default();
            let Some((_, payload)) =
                decode_record(rest, id).filter(|(header, _)| header.seq == self.next_seq)
            else {
                return self.end(segment, &contents, at, void_from);
            };
            let group = decode_group(payload)
                .ok_or_else(|| damage(&segment.path, at as u64, "a record's payload makes no sense"))?;
            for (version, writes) in group {
                if version > self.flushed {
                    (self.replay)(version, &writes);
                }
                self.last_version = self.last_version.max(version);
            }
            self.next_seq += 1;
            at += record_len(payload.len());
        }
        Ok(())
    }

    /// Decides whether the bad record at `at` is the log's end or damage.
    fn end(
        &self,
        segment: &Found,
        contents: &[u8],
        at: usize,
        void_from: Option<u64>,
    ) -> Result<(), OpenError> {
        if void_from.is_some() {
            return Err(damage(&segment.path, at as u64, "a record is damaged, and later segments follow"));
        }
        if later_records(contents, at, segment.header.id).any(|synced_seq| synced_seq >= self.next_seq) {
            return Err(damage(&segment.path, at as u64, "a record is damaged, and later records follow"));
        }
        Ok(())
    }
}

/// The synced sequence numbers of the valid records of segment `id` from `from` on, wherever they begin.
fn later_records(contents: &[u8], from: usize, id: u64) -> impl Iterator<Item = u64> {
    // Records begin at multiples of eight, as both header and records do.
    (from.next_multiple_of(8)..contents.len().saturating_sub(RECORD_HEADER))
        .step_by(8)
        .filter_map(move |at| decode_record(&contents[at..], id).map(|(header, _)| header.synced_seq))
}

fn read_all(file: &dyn DiskFile) -> Result<Vec<u8>, OpenError> {
    let length = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
    let mut contents = vec![0; length];
    file.read_at(&mut contents, 0)?;
    Ok(contents)
}

fn damage(path: &Path, offset: u64, reason: &str) -> OpenError {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    OpenError::Corrupt { file, offset, reason: reason.to_owned() }
}
