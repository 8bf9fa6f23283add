//! Deployment packages: looks into a zip archive that a stranger sent, and unpacks it into the cache.
//!
//! Sizes are counted while inflating, never believed; names and links must stay inside. What is unpacked is readable
//! by everyone and writable by nobody, because it is mounted into sandboxes.

use mayfly_kernel::Limits;
use mayfly_kernel::function::PackageDigest;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zip::ZipArchive;
use zip::read::ZipFile;

/// A link's target is a short text.
const LINK_BYTES: u64 = 4096;
const FILE_KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// What a package that passed inspection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageInfo {
    /// The archive's own size.
    pub code_size: u64,
    pub unpacked_bytes: u64,
    pub files: u64,
}

/// Why a package is refused. The texts are what the caller reads; the first two are AWS's own.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("Could not unzip uploaded file. Please check your file, then try to upload again.")]
    NotAZip(#[source] io::Error),
    #[error("Unzipped size must be smaller than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("The package has more than {limit} files")]
    TooManyFiles { limit: u64 },
    #[error("The package contains an encrypted file: {name}")]
    Encrypted { name: String },
    #[error("The package contains a path that leaves its folder: {name}")]
    LeavesFolder { name: String },
    #[error("The package contains a link that leaves its folder: {name}")]
    LinkLeavesFolder { name: String },
    #[error("cannot read or unpack the package: {0}")]
    Io(#[from] io::Error),
}

/// Reads the whole archive once, without writing anything, and counts what it really inflates to.
pub fn inspect_package(zip: &Path, limits: &Limits) -> Result<PackageInfo, PackageError> {
    walk(zip, limits, None)
}

/// Unpacked packages, by digest. Rebuilt from their archives at need.
pub(crate) struct PackageCache {
    dir: PathBuf,
    limits: Limits,
    unique: AtomicU64,
}

impl PackageCache {
    pub(crate) fn new(dir: PathBuf, limits: Limits) -> io::Result<PackageCache> {
        of_this_boot(&dir)?;
        Ok(PackageCache { dir, limits, unique: AtomicU64::new(0) })
    }

    /// The folder of a package that is unpacked already.
    pub(crate) fn unpacked(&self, digest: &PackageDigest) -> Option<PathBuf> {
        let folder = self.dir.join(&digest.0);
        folder.is_dir().then_some(folder)
    }

    /// Unpacks an archive. The folder appears whole or not at all, so that a crash leaves nothing half there.
    pub(crate) fn unpack(&self, digest: &PackageDigest, zip: &Path) -> Result<PathBuf, PackageError> {
        let folder = self.dir.join(&digest.0);
        let number = self.unique.fetch_add(1, Ordering::Relaxed);
        let fresh = self.dir.join(format!(".{}-{number}-{}", std::process::id(), digest.0));
        fs::create_dir(&fresh)?;
        if let Err(error) = walk(zip, &self.limits, Some(&fresh)) {
            let _ = fs::remove_dir_all(&fresh);
            return Err(error);
        }
        match fs::rename(&fresh, &folder) {
            Ok(()) => Ok(folder),
            // Another thread was faster with the same bytes.
            Err(_) if folder.is_dir() => {
                let _ = fs::remove_dir_all(&fresh);
                Ok(folder)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Sees to a folder of what can be made again. Nothing in it is synced, so what is left from before a restart of the
/// machine may be hollow: it goes.
pub(crate) fn of_this_boot(dir: &Path) -> io::Result<()> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mark = dir.join(".boot");
    if fs::read(&mark).unwrap_or_default() != boot {
        let _ = fs::remove_dir_all(dir);
    }
    fs::create_dir_all(dir)?;
    fs::write(mark, boot)
}

/// Visits every entry; writes it below `into` if there is one.
fn walk(zip: &Path, limits: &Limits, into: Option<&Path>) -> Result<PackageInfo, PackageError> {
    let file = File::open(zip)?;
    let code_size = file.metadata()?.len();
    let broken = |error: zip::result::ZipError| PackageError::NotAZip(io::Error::other(error));
    let mut archive = ZipArchive::new(file).map_err(broken)?;
    let files = archive.len() as u64;
    if files > limits.package_files {
        return Err(PackageError::TooManyFiles { limit: limits.package_files });
    }
    let mut left = limits.package_unpacked_bytes;
    let mut links = BTreeMap::new();
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let raw = archive.by_index_raw(index).map_err(broken)?;
        let name = raw.name().map_err(broken)?.into_owned();
        if raw.encrypted() {
            return Err(PackageError::Encrypted { name });
        }
        drop(raw);
        let mut entry = archive.by_index(index).map_err(broken)?;
        let Some(inside) = inner_path(&name) else { return Err(PackageError::LeavesFolder { name }) };
        if entry.unix_mode().is_some_and(|mode| mode & FILE_KIND == LINK) {
            let target = link_target(&mut entry, &inside, &name)?;
            links.insert(inside.clone(), target);
            names.push(inside);
            continue;
        }
        let target = into.map(|root| root.join(&inside));
        names.push(inside);
        if entry.is_dir() {
            if let Some(target) = target {
                fs::create_dir_all(target)?;
            }
            continue;
        }
        let written = copy(&mut entry, target.as_deref(), left)?;
        left = left
            .checked_sub(written)
            .ok_or(PackageError::TooLarge { limit: limits.package_unpacked_bytes })?;
    }
    // An entry below a link would be written to wherever that link leads.
    if let Some(name) = names.iter().find(|name| name.ancestors().skip(1).any(|up| links.contains_key(up))) {
        return Err(PackageError::LinkLeavesFolder { name: name.display().to_string() });
    }
    if let Some(root) = into {
        // Links come last, so that no entry can be written through one.
        for (inside, target) in links {
            let link = root.join(inside);
            fs::create_dir_all(link.parent().unwrap_or(root))?;
            symlink(target, link)?;
        }
    }
    Ok(PackageInfo { code_size, unpacked_bytes: limits.package_unpacked_bytes - left, files })
}

/// A relative path without any step upwards; `None` for all others.
pub(crate) fn inner_path(name: &str) -> Option<PathBuf> {
    if name.contains(['\0', '\\']) {
        return None;
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// Where a link leads: upwards first, not above the package, and then down. A step upwards after one down is refused,
/// because what lies there may itself be a link, and above where that leads may be anything.
fn link_target(entry: &mut ZipFile<'_, File>, inside: &Path, name: &str) -> Result<PathBuf, PackageError> {
    let mut text = Vec::new();
    entry.by_ref().take(LINK_BYTES).read_to_end(&mut text).map_err(PackageError::NotAZip)?;
    let target = PathBuf::from(String::from_utf8_lossy(&text).into_owned());
    let leaves = || PackageError::LinkLeavesFolder { name: name.to_owned() };
    let mut depth = inside.components().count() - 1;
    let mut down = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if down => return Err(leaves()),
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(leaves)?,
            Component::RootDir | Component::Prefix(_) => return Err(leaves()),
        }
    }
    Ok(target)
}

/// Inflates one file, at most one byte more than is left; how many bytes it has.
fn copy(entry: &mut ZipFile<'_, File>, target: Option<&Path>, left: u64) -> Result<u64, PackageError> {
    let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
    let mut limited = entry.by_ref().take(left.saturating_add(1));
    let Some(target) = target else {
        return io::copy(&mut limited, &mut io::sink()).map_err(PackageError::NotAZip);
    };
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(target)?;
    let mut written = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = limited.read(&mut buffer).map_err(PackageError::NotAZip)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])?;
        written += count as u64;
    }
    file.set_permissions(fs::Permissions::from_mode(if executable { 0o555 } else { 0o444 }))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::write::SimpleFileOptions;

    fn archive(build: impl FnOnce(&mut zip::ZipWriter<File>)) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = zip::ZipWriter::new(file.reopen().unwrap());
        build(&mut writer);
        writer.finish().unwrap();
        file
    }

    fn plain() -> SimpleFileOptions {
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated)
    }

    #[test]
    fn a_package_is_unpacked_once_with_its_executable_bits() {
        let zip = archive(|zip| {
            zip.start_file("bootstrap", plain().unix_permissions(0o700)).unwrap();
            zip.write_all(b"#!/bin/sh").unwrap();
            zip.start_file("lib/a.py", plain().unix_permissions(0o600)).unwrap();
            zip.write_all(b"x = 1").unwrap();
            zip.add_symlink("lib/b.py", "a.py", plain()).unwrap();
        });
        let dir = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(dir.path().join("packages"), Limits::default()).unwrap();
        let digest = PackageDigest("d".into());
        let folder = cache.unpack(&digest, zip.path()).unwrap();
        assert_eq!(cache.unpack(&digest, zip.path()).unwrap(), folder);
        assert_eq!(fs::metadata(folder.join("bootstrap")).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(fs::metadata(folder.join("lib/a.py")).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(fs::read(folder.join("lib/b.py")).unwrap(), b"x = 1");
    }

    #[test]
    fn hostile_packages_are_refused() {
        let limits = Limits { package_unpacked_bytes: 1 << 20, package_files: 10, ..Limits::default() };
        let inspect = |zip: &tempfile::NamedTempFile| inspect_package(zip.path(), &limits);
        for name in ["../evil", "/etc/evil", "a/../../evil"] {
            let zip = archive(|zip| zip.start_file(name, plain()).unwrap());
            assert!(matches!(inspect(&zip), Err(PackageError::LeavesFolder { .. })), "{name}");
        }
        for target in ["/etc/passwd", "../../etc/passwd"] {
            let zip = archive(|zip| zip.add_symlink("dir/link", target, plain()).unwrap());
            assert!(matches!(inspect(&zip), Err(PackageError::LinkLeavesFolder { .. })), "{target}");
        }
        // Each of these stays inside by its letters: only one link's way through another leaves the folder.
        let around = archive(|zip| {
            zip.add_symlink("a/b/c/up", "../../..", plain()).unwrap();
            zip.add_symlink("out", "a/b/c/up/../..", plain()).unwrap();
        });
        assert!(matches!(inspect(&around), Err(PackageError::LinkLeavesFolder { .. })));
        let below = archive(|zip| {
            zip.add_symlink("dir", "other", plain()).unwrap();
            zip.start_file("dir/file", plain()).unwrap();
        });
        assert!(matches!(inspect(&below), Err(PackageError::LinkLeavesFolder { .. })));
        let bomb = archive(|zip| {
            zip.start_file("zeros", plain()).unwrap();
            zip.write_all(&vec![0; 2 << 20]).unwrap();
        });
        assert!(matches!(inspect(&bomb), Err(PackageError::TooLarge { .. })));
        let many = archive(|zip| (0..11).for_each(|n| zip.start_file(format!("{n}"), plain()).unwrap()));
        assert!(matches!(inspect(&many), Err(PackageError::TooManyFiles { limit: 10 })));
        let mut junk = tempfile::NamedTempFile::new().unwrap();
        junk.write_all(b"not a zip").unwrap();
        assert!(matches!(inspect(&junk), Err(PackageError::NotAZip(_))));
    }
}
