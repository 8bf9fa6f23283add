//! An image's layers as one tree, made of hard links to the files of each: no byte of a shared layer is there
//! twice, on the disk or in the page cache, and a sandbox needs one mount however many layers there are.
//!
//! An overlay mount for each sandbox was the other way. It takes time at every start instead of once, its
//! options hold only so many layers, and what it needs of an ordinary user's kernel (devices or attributes as
//! marks of what is hidden) is not everywhere.

use super::ImageError;
use super::layer::{About, folder, inner};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Places that every sandbox mounts over.
const PLACES: [&str; 3] = ["proc", "dev", "tmp"];

/// Lays a layer over what `into` holds of those below.
pub(super) fn lay(about: &About, files: &Path, into: &Path) -> Result<(), ImageError> {
    for path in about.hidden.iter().filter_map(|path| inner(path)) {
        if let Some(path) = within(into, &path) {
            remove(&path)?;
        }
    }
    for path in about.emptied.iter().filter_map(|path| inner(path)) {
        let Some(path) = within(into, &path).filter(|path| is_folder(path)) else { continue };
        for entry in fs::read_dir(path)? {
            remove(&entry?.path())?;
        }
    }
    let mut todo = vec![(files.to_owned(), into.to_owned())];
    while let Some((from, to)) = todo.pop() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                folder(&target)?;
                todo.push((source, target));
                continue;
            }
            remove(&target)?;
            link(&source, &target)?;
        }
    }
    Ok(())
}

/// What a sandbox needs of any root.
pub(super) fn finish(root: &Path) -> io::Result<()> {
    for place in PLACES {
        folder(&root.join(place))?;
    }
    let etc = root.join("etc");
    if etc.symlink_metadata().is_err() {
        folder(&etc)?;
    }
    if !is_folder(&etc) {
        return Ok(());
    }
    // Other runtimes write these for each container, so images have them empty or not at all.
    for (name, text) in [("hosts", "127.0.0.1 localhost\n"), ("resolv.conf", "")] {
        let path = etc.join(name);
        if path.symlink_metadata().is_ok_and(|meta| meta.len() > 0) {
            continue;
        }
        // Never written through: the file belongs to every image with that layer.
        remove(&path)?;
        fs::write(&path, text)?;
    }
    Ok(())
}

/// A path of the tree, unless it leads through something that is no folder.
fn within(root: &Path, inside: &Path) -> Option<PathBuf> {
    let mut path = root.to_owned();
    for component in inside.parent()?.components() {
        path.push(component);
        if !is_folder(&path) {
            return None;
        }
    }
    Some(root.join(inside))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// A file has only so many links; an empty one may have reached that.
fn link(source: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(source, target) {
        Err(error) if error.raw_os_error() == Some(libc::EMLINK) => {
            if source.symlink_metadata()?.is_symlink() {
                return std::os::unix::fs::symlink(fs::read_link(source)?, target);
            }
            fs::copy(source, target).map(|_| ())
        }
        done => done,
    }
}
