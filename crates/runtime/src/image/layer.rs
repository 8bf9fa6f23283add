//! One layer on the disk: its files in a folder, and beside it what it hides of the layers below.
//!
//! Nothing of an archive is trusted. A path never leaves the folder and never leads through a link, so
//! nothing is written but where it seems to be; that a link leads anywhere is harmless, because it is only
//! ever followed with the image as the root. Files keep their right to be executed and no other, and nobody's
//! ownership.

use super::ImageError;
use super::tar::{Archive, Entry, Kind};
use flate2::read::MultiGzDecoder;
use mayfly_kernel::Limits;
use mayfly_kernel::function::ImageLayer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame of zstd that says something about others: some builders begin with one. Its first byte may vary.
const ZSTD_ASIDE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// How far back a zstd archive may refer, as a power of two: what every decoder allows, and what it may hold
/// in memory.
const ZSTD_WINDOW: u32 = 27;
/// A file of this name, `.wh.NAME`, says that NAME is not there any more.
const WHITEOUT: &[u8] = b".wh.";
/// Says that of all that the folder has held.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Of an older way to say such things, and to be passed over.
const RESERVED: &[u8] = b".wh..wh.";
/// An archive is longer than the files in it by a header, names and padding for each.
const OVERHEAD: u64 = 4096;

/// What is known of an unpacked layer besides its files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) bytes: u64,
    pub(super) files: u64,
    /// Paths that are not there any more.
    pub(super) hidden: Vec<Vec<u8>>,
    /// Folders that have lost what they held.
    pub(super) emptied: Vec<Vec<u8>>,
}

/// Unpacks the archive at `blob` below `into`, an empty folder.
pub(super) fn unpack(
    blob: &Path,
    layer: &ImageLayer,
    into: &Path,
    limits: &Limits,
) -> Result<About, ImageError> {
    let longest = limits.image_unpacked_bytes.saturating_add(limits.image_files.saturating_mul(OVERHEAD));
    let reader = Counted { reader: expanded(blob)?, sha256: Sha256::new(), left: longest };
    let mut unpacking = Unpacking { into, limits, about: About::default(), parent: None };
    let mut archive = Archive::new(reader);
    while let Some(entry) = archive.next()? {
        unpacking.take(&entry, &mut archive)?;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    let digest: String = rest.sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    match digest == layer.diff_id {
        true => Ok(unpacking.about),
        false => Err(ImageError::NotItself { digest: layer.digest.clone() }),
    }
}

/// The archive as it was before it was compressed; the media type is not asked, because some lie.
fn expanded(blob: &Path) -> Result<Box<dyn Read>, ImageError> {
    let mut file = BufReader::new(File::open(blob)?);
    let head = io::BufRead::fill_buf(&mut file)?;
    match head {
        [first, second, ..] if [*first, *second] == GZIP => Ok(Box::new(MultiGzDecoder::new(file))),
        head if head.starts_with(&ZSTD) || is_aside(head) => {
            let mut decoder = zstd::Decoder::with_buffer(file)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(file)),
    }
}

fn is_aside(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, rest @ ..] if rest.starts_with(&ZSTD_ASIDE))
}

/// Hashes what passes through, and lets only so much pass.
struct Counted<R> {
    reader: R,
    sha256: Sha256,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.sha256.update(&into[..count]);
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the archive inflates past every limit")
        })?;
        Ok(count)
    }
}

struct Unpacking<'a> {
    into: &'a Path,
    limits: &'a Limits,
    about: About,
    /// The last folder that is known to be one of ours, all the way up.
    parent: Option<PathBuf>,
}

impl Unpacking<'_> {
    fn take<R: Read>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), ImageError> {
        let name = || String::from_utf8_lossy(&entry.path).into_owned();
        let inside = inner(&entry.path).ok_or_else(|| ImageError::LeavesFolder { name: name() })?;
        // The folder of the image itself.
        let Some(own) = inside.file_name().map(OsStr::as_bytes) else { return Ok(()) };
        self.count()?;
        if own.starts_with(WHITEOUT) {
            return self.hide(&inside, own, name);
        }
        if entry.kind == Kind::Special {
            // Devices are ours to give, and ours are laid over these.
            return match inside.starts_with("dev") {
                true => Ok(()),
                false => Err(ImageError::Device { name: name() }),
            };
        }
        if !self.has_parents(&inside)? {
            return Err(ImageError::ThroughLink { name: name() });
        }
        let target = self.into.join(&inside);
        if entry.kind == Kind::Folder {
            return Ok(folder(&target)?);
        }
        self.make_room(&target)?;
        match entry.kind {
            Kind::File => self.file(entry, archive, &target),
            Kind::Link => Ok(symlink(OsStr::from_bytes(&entry.target), &target)?),
            Kind::HardLink => {
                let other = inner(&entry.target).filter(|other| other.file_name().is_some());
                let other = other.ok_or_else(|| ImageError::LeavesFolder { name: name() })?;
                let there = self.has_parents(&other)?;
                let other = self.into.join(other);
                match there && other.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
                    true => Ok(fs::hard_link(other, target)?),
                    false => Err(ImageError::HardLink { name: name() }),
                }
            }
            Kind::Folder | Kind::Special => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), ImageError> {
        self.about.files += 1;
        match self.about.files > self.limits.image_files {
            true => Err(ImageError::TooManyFiles { limit: self.limits.image_files }),
            false => Ok(()),
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
        target: &Path,
    ) -> Result<(), ImageError> {
        self.about.bytes = self.about.bytes.saturating_add(entry.size);
        if self.about.bytes > self.limits.image_unpacked_bytes {
            return Err(ImageError::TooLarge { limit: self.limits.image_unpacked_bytes });
        }
        let mut file = File::create_new(target)?;
        archive.copy(&mut file)?;
        let executable = entry.mode & 0o111 != 0;
        file.set_permissions(Permissions::from_mode(if executable { 0o555 } else { 0o444 }))?;
        Ok(())
    }

    fn hide(&mut self, inside: &Path, own: &[u8], name: impl Fn() -> String) -> Result<(), ImageError> {
        let folder = inside.parent().unwrap_or(Path::new(""));
        if own == OPAQUE {
            self.about.emptied.push(folder.as_os_str().as_bytes().to_vec());
            return Ok(());
        }
        if own.starts_with(RESERVED) {
            return Ok(());
        }
        match &own[WHITEOUT.len()..] {
            b"" | b"." | b".." => Err(ImageError::LeavesFolder { name: name() }),
            hidden => {
                let path = folder.join(OsStr::from_bytes(hidden));
                self.about.hidden.push(path.into_os_string().as_bytes().to_vec());
                Ok(())
            }
        }
    }

    /// Makes the folders above a path where they are missing; `false` if one of them is something else.
    fn has_parents(&mut self, inside: &Path) -> Result<bool, ImageError> {
        let parent = inside.parent().unwrap_or(Path::new(""));
        if self.parent.as_deref() == Some(parent) {
            return Ok(true);
        }
        let mut path = self.into.to_owned();
        for component in parent.components() {
            path.push(component);
            match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.count()?;
                    folder(&path)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.parent = Some(parent.to_owned());
        Ok(true)
    }

    /// An archive may name a path twice; what comes last holds.
    fn make_room(&mut self, target: &Path) -> io::Result<()> {
        match target.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {
                self.parent = None;
                fs::remove_dir_all(target)
            }
            Ok(_) => fs::remove_file(target),
            Err(_) => Ok(()),
        }
    }
}

/// A folder that everyone may read, in place of whatever else is there.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::DirBuilder::new().mode(0o755).create(path)?;
    // Whatever the process's mask leaves of the mode above.
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// A path below the image's root; `None` if it steps upwards.
pub(super) fn inner(path: &[u8]) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}
