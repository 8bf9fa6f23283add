//! Deployment packages: from a folder, a file or a few lines of source to the zip archive that a function is.
//!
//! A package is known by the digest of its contents, not of the archive. So whether it changed is learned by
//! reading it, and it is compressed only if it has to be sent. The archive is the same for the same contents:
//! sorted names, one fixed date.

use crate::cli::client::hex;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;

/// Folders and files that are never part of a package: what tools leave behind, and our own build folder.
const EXCLUDED: [&str; 9] = [
    ".mayfly",
    ".git",
    ".aws-sam",
    ".DS_Store",
    "__pycache__",
    ".venv",
    ".pytest_cache",
    ".mypy_cache",
    ".cache",
];

/// Whether a file or folder of that name is never part of a package.
pub(crate) fn is_excluded(name: &str) -> bool {
    EXCLUDED.contains(&name)
}

/// What makes a package, read from where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) digest: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Files(Vec<File>),
    /// An archive already: a `.zip` or `.jar`, or one that the server had.
    Archive(Bytes),
}

#[derive(Clone, Debug)]
struct File {
    /// Inside the package, with `/` between its parts.
    name: String,
    source: Source,
    executable: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Path(PathBuf),
    Text(String),
    Link(String),
}

impl Package {
    /// The contents of a folder, an archive as it is, or any other file as the one file of the package.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Package> {
        let found =
            std::fs::metadata(path).with_context(|| format!("no such file or folder: {}", path.display()))?;
        if found.is_dir() {
            return Package::folder(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if extension == "zip" || extension == "jar" {
            let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
            return Ok(Package::archive(bytes.into()));
        }
        let executable = found.permissions().mode() & 0o111 != 0;
        Package::of(vec![File { name, source: Source::Path(path.to_owned()), executable }])
    }

    pub(crate) fn archive(bytes: Bytes) -> Package {
        Package { digest: hex(&Sha256::digest(&bytes)), content: Content::Archive(bytes) }
    }

    /// One source file, as templates hold it inline.
    pub(crate) fn inline(name: &str, text: &str) -> anyhow::Result<Package> {
        let source = Source::Text(text.to_owned());
        Package::of(vec![File { name: name.to_owned(), source, executable: false }])
    }

    fn folder(root: &Path) -> anyhow::Result<Package> {
        let ignored = Ignored::read(root)?;
        let mut files = Vec::new();
        walk(root, "", &ignored, &mut files)?;
        if files.is_empty() {
            bail!("{} has no files to deploy", root.display());
        }
        Package::of(files)
    }

    fn of(mut files: Vec<File>) -> anyhow::Result<Package> {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let mut digest = Sha256::new();
        for file in &files {
            // Lengths keep one name's end apart from the next one's beginning.
            digest.update(file.name.len().to_le_bytes());
            digest.update(&file.name);
            digest.update([u8::from(file.executable), u8::from(matches!(file.source, Source::Link(_)))]);
            let bytes = file.bytes()?;
            digest.update(bytes.len().to_le_bytes());
            digest.update(&bytes);
        }
        Ok(Package { digest: hex(&digest.finalize()), content: Content::Files(files) })
    }

    /// The archive.
    pub(crate) fn zip(&self) -> anyhow::Result<Bytes> {
        let files = match &self.content {
            Content::Archive(bytes) => return Ok(bytes.clone()),
            Content::Files(files) => files,
        };
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for file in files {
            let options = SimpleFileOptions::default()
                .last_modified_time(zip::DateTime::default())
                .unix_permissions(if file.executable { 0o755 } else { 0o644 });
            if let Source::Link(target) = &file.source {
                archive.add_symlink(&file.name, target, options)?;
                continue;
            }
            archive.start_file(&file.name, options)?;
            archive.write_all(&file.bytes()?)?;
        }
        Ok(archive.finish()?.into_inner().into())
    }
}

impl File {
    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        match &self.source {
            Source::Path(path) => std::fs::read(path).with_context(|| format!("read {}", path.display())),
            Source::Text(text) | Source::Link(text) => Ok(text.clone().into_bytes()),
        }
    }
}

fn walk(folder: &Path, prefix: &str, ignored: &Ignored, files: &mut Vec<File>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("read the folder {}", folder.display()))?;
        let Ok(own) = entry.file_name().into_string() else {
            bail!("the name of {} is not UTF-8", entry.path().display());
        };
        let name = format!("{prefix}{own}");
        let kind = entry.file_type()?;
        if ignored.holds(&name, &own) {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &format!("{name}/"), ignored, files)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            let source = Source::Link(target.to_string_lossy().into_owned());
            files.push(File { name, source, executable: true });
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            files.push(File { name, source: Source::Path(entry.path()), executable });
        }
    }
    Ok(())
}

/// What is left out of a folder: the usual leavings, and what its `.mayflyignore` names, one path or name a
/// line, `*.suffix` for all files that end so.
pub(crate) struct Ignored(Vec<String>);

impl Ignored {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Ignored> {
        let file = root.join(".mayflyignore");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Ignored(lines.map(|line| line.trim_matches('/').to_owned()).collect()))
    }

    /// Whether the path inside the folder, whose last part is `own`, is left out.
    pub(crate) fn holds(&self, path: &str, own: &str) -> bool {
        is_excluded(own)
            || own == ".mayflyignore"
            || self.0.iter().any(|line| match line.strip_prefix('*') {
                Some(suffix) => own.ends_with(suffix),
                None => line == path || line == own,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("app.py", "def handler(e, c): pass");
        write("lib/x.py", "x = 1");
        write("bootstrap", "#!/bin/sh");
        write("lib/__pycache__/x.pyc", "no");
        write("node_modules/left/index.js", "yes");
        write("notes.md", "no");
        write("data/big.bin", "no");
        write(".mayflyignore", "# not these\n*.md\n/data/\n");
        let bootstrap = root.path().join("bootstrap");
        std::fs::set_permissions(bootstrap, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("app.py", root.path().join("link.py")).unwrap();
        root
    }

    #[test]
    fn a_folder_is_packed_the_same_way_twice() {
        let (one, two) = (folder(), folder());
        let (first, second) = (Package::read(one.path()).unwrap(), Package::read(two.path()).unwrap());
        assert_eq!(first.digest, second.digest);
        assert_eq!(first.zip().unwrap(), second.zip().unwrap());

        let mut archive = zip::ZipArchive::new(Cursor::new(first.zip().unwrap())).unwrap();
        let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["app.py", "bootstrap", "lib/x.py", "link.py", "node_modules/left/index.js"]);
        let mode =
            |archive: &mut zip::ZipArchive<_>, name| archive.by_name(name).unwrap().unix_mode().unwrap();
        assert_eq!(mode(&mut archive, "bootstrap") & 0o777, 0o755);
        assert_eq!(mode(&mut archive, "app.py") & 0o777, 0o644);
        assert!(archive.by_name("link.py").unwrap().is_symlink());
    }

    #[test]
    fn every_change_of_the_contents_changes_the_digest() {
        let root = folder();
        let digest = || Package::read(root.path()).unwrap().digest;
        let first = digest();
        std::fs::write(root.path().join("app.py"), "def handler(e, c): return 1").unwrap();
        let second = digest();
        std::fs::set_permissions(root.path().join("app.py"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let third = digest();
        assert!(first != second && second != third);
        std::fs::write(root.path().join("notes.md"), "left out, so nothing changes").unwrap();
        assert_eq!(digest(), third);
    }

    #[test]
    fn one_file_is_a_package_too() {
        let root = tempfile::tempdir().unwrap();
        let wasm = root.path().join("thumb.wasm");
        std::fs::write(&wasm, "\0asm").unwrap();
        let archive = Package::read(&wasm).unwrap().zip().unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        assert_eq!(archive.by_name("thumb.wasm").unwrap().size(), 4);
        assert!(
            Package::read(&root.path().join("nothing")).unwrap_err().to_string().contains("no such file")
        );
        let inline = Package::inline("index.py", "x = 1").unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(inline.zip().unwrap())).unwrap();
        assert_eq!(archive.by_name("index.py").unwrap().size(), 5);
    }
}
