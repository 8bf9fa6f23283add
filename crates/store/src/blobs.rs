//! Bytes too large for a row: immutable files, written whole before the transaction that names them.
//!
//! A blob is written under `tmp/`, synced, renamed into its shard directory, and the directory is synced: it
//! is there whole or not at all, and once [`BlobWriter::finish`] has returned, a power cut does not take it.
//! Which blobs are still named is the store's knowledge; the collector asks for old ones shard by shard and
//! deletes what nothing names.
//!
//! Our own code rather than `object_store`'s local file system, for what the collector and recovery need:
//! that one stages uploads beside the objects and has no step that clears what a killed process left there,
//! and it lists a prefix only as a whole. The choice is about behaviour; neither was measured to be faster.
//!
//! Not here: deduplication, encryption, and the choice of ids.

use crate::Error;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use mayfly_kernel::Time;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;
use tokio::task::{JoinHandle, spawn_blocking};
use xxhash_rust::xxh3::xxh3_64;

/// How much a writer gathers before it goes to the disk, and how much a reader takes at once.
const PIECE_BYTES: usize = 512 * 1024;

/// The blobs of one directory. Clones are handles to the same one.
///
/// Ids are the caller's choice: 8 to 64 of `a-z`, `0-9` and `-`. An id should never be written twice.
#[derive(Clone)]
pub struct Blobs(Arc<Directory>);

struct Directory {
    root: PathBuf,
    next_temp: AtomicU64,
}

/// What the collector learns of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    pub id: String,
    pub size: u64,
    pub modified: Time,
}

impl Blobs {
    /// Opens the directory, makes what is missing of it, and removes what was being written when the process
    /// last stopped. Only one process may have it open; the store's lock sees to that.
    pub fn local(dir: &Path) -> Result<Blobs, Error> {
        let temps = dir.join("tmp");
        fs::create_dir_all(&temps)?;
        for entry in fs::read_dir(&temps)? {
            fs::remove_file(entry?.path())?;
        }
        for shard in 0..=u8::MAX {
            let path = dir.join(format!("{shard:02x}"));
            if !path.is_dir() {
                fs::create_dir(path)?;
            }
        }
        sync_dir(dir)?;
        Ok(Blobs(Arc::new(Directory { root: dir.to_path_buf(), next_temp: AtomicU64::new(0) })))
    }

    /// Begins a blob. Nothing touches the disk before the first full piece, or [`BlobWriter::finish`]; a bad
    /// id is reported there too.
    pub async fn create(&self, id: &str) -> BlobWriter {
        BlobWriter {
            blobs: self.clone(),
            id: id.to_owned(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            size: 0,
            state: Writing::Nothing,
        }
    }

    /// The bytes of `range`, as far as the blob goes, in pieces.
    pub async fn read(
        &self,
        id: &str,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, Error> {
        let (file, end) = self.open_at(id, range.clone()).await?;
        let left = end.saturating_sub(range.start);
        Ok(futures_util::stream::try_unfold((file, left), |(file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let (file, piece) = blocking(move || read_piece(file, left)).await?;
            let left = left - piece.len() as u64;
            Ok(Some((piece, (file, left))))
        }))
    }

    pub async fn read_all(&self, id: &str) -> Result<Bytes, Error> {
        let path = self.checked_path(id)?;
        let id = id.to_owned();
        match blocking(move || fs::read(path)).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(missing_or(error, &id)),
        }
    }

    pub async fn size(&self, id: &str) -> Result<u64, Error> {
        let path = self.checked_path(id)?;
        let id = id.to_owned();
        blocking(move || fs::metadata(path))
            .await
            .map(|meta| meta.len())
            .map_err(|error| missing_or(error, &id))
    }

    /// Deletes the blob if it is there. A power cut may bring it back; the collector will find it again.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let path = self.checked_path(id)?;
        match blocking(move || fs::remove_file(path)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes a blob appear under a second id, durably and without a copy; nothing happens if that id is
    /// taken.
    pub async fn link(&self, from: &str, to: &str) -> Result<(), Error> {
        let (source, target) = (self.checked_path(from)?, self.checked_path(to)?);
        let id = from.to_owned();
        let linked = blocking(move || {
            match fs::hard_link(source, &target) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            sync_dir(target.parent().expect("a blob lies in a shard directory"))
        });
        linked.await.map_err(|error| missing_or(error, &id))
    }

    /// The file of a blob, for those who can use a file as such; `None` if there is no such blob.
    pub fn path(&self, id: &str) -> Option<PathBuf> {
        self.checked_path(id).ok().filter(|path| path.is_file())
    }

    /// The blobs of one of the 256 shards that were last written before `cutoff`.
    pub async fn list_older_than(&self, shard: u8, cutoff: Time) -> Result<Vec<BlobInfo>, Error> {
        let path = self.0.root.join(format!("{shard:02x}"));
        Ok(blocking(move || list_directory(&path, cutoff)).await?)
    }

    fn checked_path(&self, id: &str) -> Result<PathBuf, Error> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(8..=96).contains(&id.len()) || !id.bytes().all(known) {
            return Err(Error::BadBlobId(id.to_owned()));
        }
        let [.., shard] = xxh3_64(id.as_bytes()).to_be_bytes();
        Ok(self.0.root.join(format!("{shard:02x}")).join(id))
    }

    async fn open_at(&self, id: &str, range: Range<u64>) -> Result<(File, u64), Error> {
        let path = self.checked_path(id)?;
        let id = id.to_owned();
        let opened = blocking(move || {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(range.start))?;
            Ok((file, range.end.min(size)))
        });
        opened.await.map_err(|error| missing_or(error, &id))
    }
}

/// A blob that is being written. Dropping it leaves nothing behind.
pub struct BlobWriter {
    blobs: Blobs,
    id: String,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    size: u64,
    state: Writing,
}

enum Writing {
    Nothing,
    /// The last piece is on its way to the file.
    Piece(JoinHandle<io::Result<Temp>>),
    Failed,
}

impl BlobWriter {
    /// Decides on another id, for bytes whose name is only known when they are all there.
    #[must_use]
    pub fn named(self, id: &str) -> BlobWriter {
        BlobWriter { id: id.to_owned(), ..self }
    }

    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= PIECE_BYTES {
            let temp = self.file().await?;
            let pieces = std::mem::take(&mut self.gathered);
            self.gathered_bytes = 0;
            self.state = Writing::Piece(spawn_blocking(move || write_pieces(temp.open()?, &pieces)));
        }
        Ok(())
    }

    /// Makes the blob appear under its id, durably, and tells its size.
    pub async fn finish(mut self) -> Result<u64, Error> {
        let path = self.blobs.checked_path(&self.id)?;
        let temp = self.file().await?;
        let pieces = std::mem::take(&mut self.gathered);
        blocking(move || {
            let temp = write_pieces(temp.open()?, &pieces)?;
            temp.publish(&path)
        })
        .await?;
        Ok(self.size)
    }

    /// The file, once the piece before is in it.
    async fn file(&mut self) -> Result<Temp, Error> {
        match std::mem::replace(&mut self.state, Writing::Failed) {
            Writing::Nothing => {
                self.blobs.checked_path(&self.id)?;
                let number = self.blobs.0.next_temp.fetch_add(1, Ordering::Relaxed);
                let path = self.blobs.0.root.join("tmp").join(format!("{}.{number}", self.id));
                Ok(Temp { path, file: None })
            }
            Writing::Piece(task) => Ok(joined(task.await)?),
            Writing::Failed => Err(Error::Io("an earlier write of this blob failed".into())),
        }
    }
}

/// A file under `tmp/` that goes away unless it is published.
struct Temp {
    path: PathBuf,
    file: Option<File>,
}

impl Temp {
    fn open(mut self) -> io::Result<Temp> {
        if self.file.is_none() {
            self.file = Some(File::create_new(&self.path)?);
        }
        Ok(self)
    }

    fn publish(self, path: &Path) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        fs::rename(&self.path, path)?;
        sync_dir(path.parent().expect("a blob lies in a shard directory"))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // Once published there is nothing at this path; otherwise, what cannot be removed now goes at the
        // next open.
        let _ = fs::remove_file(&self.path);
    }
}

fn write_pieces(mut temp: Temp, pieces: &[Bytes]) -> io::Result<Temp> {
    if let Some(file) = &mut temp.file {
        for piece in pieces {
            file.write_all(piece)?;
        }
    }
    Ok(temp)
}

fn read_piece(mut file: File, left: u64) -> io::Result<(File, Bytes)> {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
    let mut piece = BytesMut::zeroed(length);
    file.read_exact(&mut piece)?;
    Ok((file, piece.freeze()))
}

fn list_directory(path: &Path, cutoff: Time) -> io::Result<Vec<BlobInfo>> {
    let mut blobs = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            // Deleted since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let since = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = Time::EPOCH + since;
        if modified < cutoff {
            let id = entry.file_name().to_string_lossy().into_owned();
            blobs.push(BlobInfo { id, size: meta.len(), modified });
        }
    }
    Ok(blobs)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn missing_or(error: io::Error, id: &str) -> Error {
    if error.kind() == io::ErrorKind::NotFound { Error::NoBlob(id.to_owned()) } else { error.into() }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    joined(spawn_blocking(work).await)
}

fn joined<T>(outcome: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    outcome.unwrap_or_else(|error| Err(io::Error::other(error)))
}
