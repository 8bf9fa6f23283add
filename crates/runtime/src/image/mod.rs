//! Container images on this machine: each layer unpacked once, each image a tree of links to its layers'
//! files.
//!
//! In the cache: `layers/DIGEST/` with `files/` and what [`layer::About`] says, `roots/CHAIN/` with `root/`
//! and the digests of its layers. All of it can be made again from the layers' archives, which the platform
//! keeps. What is there is whole, because it appears by a rename; it goes when the platform forgets a layer,
//! and a tree that an instance stands on only after that instance.

mod layer;
mod merge;
mod tar;
#[cfg(test)]
mod tests;

use crate::package;
use layer::About;
use mayfly_kernel::Limits;
use mayfly_kernel::function::{Image, ImageLayer};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

const ABOUT: &str = "about";
const FILES: &str = "files";
const ROOT: &str = "root";
const LAYERS: &str = "layers";

/// Why an image cannot be run here. The texts are what whoever deploys it reads.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("The image has more than {limit} layers")]
    TooManyLayers { limit: usize },
    #[error("The image's files take more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("The image has more than {limit} files")]
    TooManyFiles { limit: u64 },
    #[error("The image contains a path that leaves its folder: {name}")]
    LeavesFolder { name: String },
    #[error("The image contains a path that leads through a link: {name}")]
    ThroughLink { name: String },
    #[error("The image contains a hard link to what is not in its layer: {name}")]
    HardLink { name: String },
    #[error("The image contains a device: {name}")]
    Device { name: String },
    #[error("The layer sha256:{digest} is not what the image's configuration says it is")]
    NotItself { digest: String },
    #[error("cannot unpack the image: {0}")]
    Io(#[from] io::Error),
}

/// The images of one cache folder.
pub(crate) struct Images {
    layers: PathBuf,
    roots: PathBuf,
    limits: Limits,
    unique: AtomicU64,
    used: Mutex<HashMap<String, Weak<Root>>>,
}

/// A tree that instances stand on.
pub(crate) struct Root {
    folder: PathBuf,
    /// Where it is to be removed from, once nobody stands on it any more.
    doomed: Mutex<Option<PathBuf>>,
}

impl Root {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(ROOT)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(folder) = self.doomed.lock().take() {
            // Not here, where nobody may wait: this may be one of the server's own threads.
            std::thread::spawn(move || fs::remove_dir_all(folder));
        }
    }
}

impl Images {
    pub(crate) fn new(dir: &Path, limits: Limits) -> io::Result<Images> {
        package::of_this_boot(dir)?;
        let (layers, roots) = (dir.join("layers"), dir.join("roots"));
        for folder in [&layers, &roots] {
            fs::create_dir_all(folder)?;
            // What a process that was killed left half done.
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    fs::remove_dir_all(entry.path())?;
                }
            }
        }
        Ok(Images { layers, roots, limits, unique: AtomicU64::new(0), used: Mutex::default() })
    }

    /// The tree of an image; `archive` says where a layer's archive is. Blocks.
    pub(crate) fn root(
        &self,
        image: &Image,
        archive: impl Fn(&str) -> io::Result<PathBuf>,
    ) -> Result<Arc<Root>, ImageError> {
        if image.layers.len() > self.limits.image_layers {
            return Err(ImageError::TooManyLayers { limit: self.limits.image_layers });
        }
        let digests: Vec<&str> = image.layers.iter().map(|layer| layer.digest.as_str()).collect();
        let chain: String =
            Sha256::digest(digests.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.roots.join(&chain);
        if !folder.is_dir() {
            let layers = image.layers.iter().map(|layer| self.layer(layer, &archive));
            let layers = layers.collect::<Result<Vec<_>, _>>()?;
            self.check_sizes(&layers)?;
            self.appear(&folder, |fresh| {
                let root = fresh.join(ROOT);
                layer::folder(&root)?;
                for (files, about) in &layers {
                    merge::lay(about, files, &root)?;
                }
                merge::finish(&root)?;
                Ok(fs::write(fresh.join(LAYERS), digests.join("\n"))?)
            })?;
        }
        let mut used = self.used.lock();
        if let Some(root) = used.get(&chain).and_then(Weak::upgrade) {
            return Ok(root);
        }
        let root = Arc::new(Root { folder, doomed: Mutex::default() });
        used.insert(chain, Arc::downgrade(&root));
        Ok(root)
    }

    /// A layer's archive is gone, so nothing names it: it goes, and with it every tree that it is part of.
    /// Blocks.
    pub(crate) fn forget(&self, digest: &str) -> io::Result<()> {
        for entry in fs::read_dir(&self.roots)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let layers = fs::read_to_string(entry.path().join(LAYERS)).unwrap_or_default();
            if layers.lines().any(|line| line == digest) {
                self.drop_root(&entry.path(), &entry.file_name().to_string_lossy())?;
            }
        }
        let folder = self.layers.join(digest);
        match folder.is_dir() {
            true => fs::remove_dir_all(folder),
            false => Ok(()),
        }
    }

    /// Takes a tree out of the way at once: its name may be wanted again. A mount of it does not mind.
    fn drop_root(&self, folder: &Path, chain: &str) -> io::Result<()> {
        let aside = self.aside(folder);
        fs::rename(folder, &aside)?;
        let used = self.used.lock().remove(chain).and_then(|root| root.upgrade());
        match used {
            Some(root) => {
                *root.doomed.lock() = Some(aside);
                Ok(())
            }
            None => fs::remove_dir_all(aside),
        }
    }

    /// A name beside a folder's that nothing has.
    fn aside(&self, folder: &Path) -> PathBuf {
        let number = self.unique.fetch_add(1, Ordering::Relaxed);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        folder.with_file_name(format!(".{}-{number}-{name}", std::process::id()))
    }

    /// The files of a layer, unpacked now if they are not there yet.
    fn layer(
        &self,
        layer: &ImageLayer,
        archive: &impl Fn(&str) -> io::Result<PathBuf>,
    ) -> Result<(PathBuf, About), ImageError> {
        let folder = self.layers.join(&layer.digest);
        if !folder.is_dir() {
            let blob = archive(&layer.digest)?;
            self.appear(&folder, |fresh| {
                let files = fresh.join(FILES);
                layer::folder(&files)?;
                let about = layer::unpack(&blob, layer, &files, &self.limits)?;
                let about = postcard::to_stdvec(&about).map_err(io::Error::other)?;
                Ok(fs::write(fresh.join(ABOUT), about)?)
            })?;
        }
        let about = postcard::from_bytes(&fs::read(folder.join(ABOUT))?).map_err(io::Error::other)?;
        Ok((folder.join(FILES), about))
    }

    fn check_sizes(&self, layers: &[(PathBuf, About)]) -> Result<(), ImageError> {
        let (bytes, files) = (self.limits.image_unpacked_bytes, self.limits.image_files);
        if layers.iter().map(|(_, about)| about.bytes).sum::<u64>() > bytes {
            return Err(ImageError::TooLarge { limit: bytes });
        }
        match layers.iter().map(|(_, about)| about.files).sum::<u64>() > files {
            true => Err(ImageError::TooManyFiles { limit: files }),
            false => Ok(()),
        }
    }

    /// Makes a folder that appears whole or not at all.
    fn appear(
        &self,
        folder: &Path,
        make: impl FnOnce(&Path) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let fresh = self.aside(folder);
        fs::create_dir(&fresh)?;
        let made = make(&fresh).and_then(|()| match fs::rename(&fresh, folder) {
            // Another thread was faster with the same bytes.
            Err(_) if folder.is_dir() => Ok(fs::remove_dir_all(&fresh)?),
            renamed => Ok(renamed?),
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&fresh);
        }
        made
    }
}
