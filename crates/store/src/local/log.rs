//! Appending to the write-ahead log: segments, groups, and what happens when the disk says no.
//!
//! A segment is filled with zeros and synced before use, so that a commit changes no file metadata and its sync
//! is one write to the device; used-up segments become spares and are used again.
//!
//! After a failed write or sync, nothing behind the last success in that segment is trusted again. The segment is
//! given up: the next one says from which record on its predecessors are void, and begins with the records that
//! were already visible (relaxed ones) but not yet synced. While that fails, commits fail too; the first one
//! after the disk has recovered goes through, with no restart.

use super::record::{RecordHeader, SEGMENT_HEADER, SegmentHeader, encode_record, record_len};
use crate::Version;
use crate::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Spares beyond this are deleted.
const SPARES_MAX: usize = 4;
static FILL: [u8; 64 * 1024] = [0; 64 * 1024];

pub(super) struct Log {
    archive: Arc<Archive>,
    current: Option<Segment>,
    next_id: u64,
    synced_seq: u64,
    synced_version: Version,
    /// In the current segment, or about to be written again into the next, but not known to be on the disk.
    unsynced: Vec<Pending>,
}

struct Segment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    id: u64,
    capacity: u64,
    end: u64,
    /// Everything before this is on the disk.
    synced_end: u64,
}

struct Pending {
    payload: Vec<u8>,
    last_version: Version,
}

/// Where an existing log goes on.
pub(super) struct Resume {
    pub(super) next_id: u64,
    pub(super) synced_seq: u64,
    pub(super) synced_version: Version,
    /// How much of the log had to be read.
    pub(super) read_bytes: u64,
}

impl Log {
    pub(super) fn new(archive: Arc<Archive>, resume: Resume) -> Log {
        Log {
            archive,
            current: None,
            next_id: resume.next_id,
            synced_seq: resume.synced_seq,
            synced_version: resume.synced_version,
            unsynced: Vec::new(),
        }
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Adds a record, and syncs it with all before it if told to. After an error the record is void, and will
    /// stay so as long as the process lives; records before it are not affected.
    pub(super) fn append(&mut self, payload: Vec<u8>, last_version: Version, sync: bool) -> io::Result<()> {
        let length = record_len(payload.len()) as u64;
        if self.current.as_ref().is_none_or(|segment| segment.end + length > segment.capacity) {
            self.rotate(length)?;
        }
        self.write(self.next_seq(), &payload)?;
        self.unsynced.push(Pending { payload, last_version });
        if sync && let Err(error) = self.sync() {
            self.unsynced.pop();
            return Err(error);
        }
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.current.is_none() && self.has_unsynced() {
            self.rotate(0)?;
        }
        let (Some(segment), Some(last)) = (&mut self.current, self.unsynced.last()) else { return Ok(()) };
        match segment.file.sync_data() {
            Ok(()) => {
                segment.synced_end = segment.end;
                self.synced_version = last.last_version;
                self.synced_seq += self.unsynced.len() as u64;
                self.unsynced.clear();
                Ok(())
            }
            Err(error) => {
                self.give_up_segment();
                Err(error)
            }
        }
    }

    fn next_seq(&self) -> u64 {
        self.synced_seq + self.unsynced.len() as u64 + 1
    }

    fn write(&mut self, seq: u64, payload: &[u8]) -> io::Result<()> {
        let synced_seq = self.synced_seq;
        let segment = self.current.as_mut().expect("a segment was just made");
        match segment.write(RecordHeader { segment: segment.id, seq, synced_seq }, payload) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up_segment();
                Err(error)
            }
        }
    }

    fn rotate(&mut self, length: u64) -> io::Result<()> {
        if self.current.is_some() {
            self.sync()?;
        }
        if let Some(full) = self.current.take() {
            self.archive.seal(full.path, full.capacity, self.synced_version);
        }
        let again: u64 = self.unsynced.iter().map(|pending| record_len(pending.payload.len()) as u64).sum();
        let id = self.next_id;
        self.next_id += 1;
        let header = SegmentHeader { id, first_seq: self.synced_seq + 1, base_version: self.synced_version };
        let mut segment = self.archive.make_segment(header, SEGMENT_HEADER as u64 + again + length)?;
        for (seq, pending) in (header.first_seq..).zip(&self.unsynced) {
            let record = RecordHeader { segment: id, seq, synced_seq: self.synced_seq };
            if let Err(error) = segment.write(record, &pending.payload) {
                let _ = self.archive.disk.remove(&segment.path);
                return Err(error);
            }
        }
        self.current = Some(segment);
        Ok(())
    }

    fn give_up_segment(&mut self) {
        let Some(segment) = self.current.take() else { return };
        // If this works, a crash before the next segment exists does not bring the failed group back either.
        let _ = segment.file.write_at(&[0; 64], segment.synced_end);
        let last_version = self.unsynced.last().map_or(self.synced_version, |pending| pending.last_version);
        tracing::warn!(segment = segment.id, "log segment given up");
        self.archive.seal(segment.path, segment.capacity, last_version);
    }

    /// How many bytes of the device the log takes, spares included.
    pub(super) fn current_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |segment| segment.capacity)
    }
}

impl Segment {
    fn write(&mut self, header: RecordHeader, payload: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(record_len(payload.len()));
        encode_record(header, payload, &mut record);
        self.file.write_at(&record, self.end)?;
        self.end += record.len() as u64;
        Ok(())
    }
}

/// The segments that are not being written: those that still hold what the tree has not, and spares.
pub(super) struct Archive {
    pub(super) disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// Oldest first.
    sealed: VecDeque<Sealed>,
    spares: Vec<PathBuf>,
    next_spare: u64,
}

pub(super) struct Sealed {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Once the tree has this version, the segment is not needed any more.
    pub(super) last_version: Version,
}

impl Archive {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> Archive {
        Archive { disk, dir: dir.to_path_buf(), segment_bytes, files: Mutex::default() }
    }

    /// Takes over the segments that recovery has read, and the spares it has found.
    pub(super) fn adopt(&self, sealed: Vec<Sealed>, spares: Vec<PathBuf>) {
        let mut files = self.files.lock();
        files.sealed.extend(sealed);
        for spare in spares {
            let usable =
                self.disk.open(&spare).and_then(|file| file.len()).is_ok_and(|len| len == self.segment_bytes);
            if usable && files.spares.len() < SPARES_MAX {
                let number = spare.extension().and_then(|number| number.to_str()?.parse().ok()).unwrap_or(0);
                files.next_spare = files.next_spare.max(number + 1);
                files.spares.push(spare);
            } else {
                let _ = self.disk.remove(&spare);
            }
        }
    }

    fn seal(&self, path: PathBuf, bytes: u64, last_version: Version) {
        self.files.lock().sealed.push_back(Sealed { path, bytes, last_version });
    }

    /// Lets go of the segments whose records are all in the tree.
    pub(super) fn retire(&self, flushed: Version) {
        loop {
            let mut files = self.files.lock();
            let Some(done) = files.sealed.pop_front_if(|sealed| sealed.last_version <= flushed) else {
                return;
            };
            if done.bytes == self.segment_bytes && files.spares.len() < SPARES_MAX {
                let spare = files.spare_path(&self.dir);
                if self.disk.rename(&done.path, &spare).is_ok() {
                    files.spares.push(spare);
                    continue;
                }
            }
            drop(files);
            if let Err(error) = self.disk.remove(&done.path) {
                tracing::warn!(%error, path = %done.path.display(), "log segment left behind");
            }
        }
    }

    pub(super) fn lacks_spare(&self) -> bool {
        self.files.lock().spares.is_empty()
    }

    /// Makes a spare ahead of need, so that no commit has to wait for one to be filled.
    pub(super) fn prepare_spare(&self) -> io::Result<()> {
        let path = self.files.lock().spare_path(&self.dir);
        match self.fill(&path, self.segment_bytes) {
            Ok(_) => {
                self.files.lock().spares.push(path);
                Ok(())
            }
            Err(error) => {
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let files = self.files.lock();
        files.sealed.iter().map(|sealed| sealed.bytes).sum::<u64>()
            + files.spares.len() as u64 * self.segment_bytes
    }

    fn make_segment(&self, header: SegmentHeader, at_least: u64) -> io::Result<Segment> {
        let path = self.dir.join(segment_name(header.id));
        let capacity = self.segment_bytes.max(at_least);
        let made = self.make_file(&path, capacity).and_then(|file| {
            file.write_at(&header.encode(), 0)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        });
        match made {
            Ok(file) => {
                let end = SEGMENT_HEADER as u64;
                Ok(Segment { path, file, id: header.id, capacity, end, synced_end: end })
            }
            Err(error) => {
                // Gives the space back, and keeps a half-made segment out of the next recovery's way.
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    fn make_file(&self, path: &Path, capacity: u64) -> io::Result<Box<dyn DiskFile>> {
        if capacity == self.segment_bytes {
            let spare = self.files.lock().spares.pop();
            if let Some(spare) = spare {
                self.disk.rename(&spare, path)?;
                return self.disk.open(path);
            }
        }
        self.fill(path, capacity)
    }

    fn fill(&self, path: &Path, capacity: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.open(path)?;
        let mut at = 0;
        while at < capacity {
            let piece = usize::try_from(capacity - at).unwrap_or(usize::MAX).min(FILL.len());
            file.write_at(&FILL[..piece], at)?;
            at += piece as u64;
        }
        file.sync_data()?;
        Ok(file)
    }
}

impl Files {
    fn spare_path(&mut self, dir: &Path) -> PathBuf {
        let number = self.next_spare;
        self.next_spare += 1;
        dir.join(format!("spare.{number}"))
    }
}

pub(super) fn segment_name(id: u64) -> String {
    format!("log.{id:016x}")
}

/// The id of a segment from its file name.
pub(super) fn segment_id(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("log.")?;
    u64::from_str_radix(digits, 16).ok()
}

pub(super) fn is_spare(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("spare."))
}
