//! The archives that were deployed last, kept beside the template: what a rollback puts back.
//!
//! Only a convenience: a deployment whose archive is not here goes ahead, and says that its code cannot be rolled
//! back. So nothing here is an error.

use bytes::Bytes;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(crate) struct Archives(PathBuf);

impl Archives {
    pub(crate) fn beside(root: &Path) -> Archives {
        Archives(root.join(".mayfly/packages"))
    }

    fn file(&self, digest: &str) -> PathBuf {
        self.0.join(format!("{digest}.zip"))
    }

    pub(crate) fn find(&self, digest: &str) -> Option<Bytes> {
        std::fs::read(self.file(digest)).ok().map(Bytes::from)
    }

    pub(crate) fn keep(&self, digest: &str, archive: &[u8]) {
        let (file, fresh) = (self.file(digest), self.0.join(format!("{digest}.{}", std::process::id())));
        // Renamed into place, so that a half-written archive is never found.
        let kept = std::fs::create_dir_all(&self.0)
            .and_then(|()| std::fs::write(&fresh, archive))
            .and_then(|()| std::fs::rename(&fresh, &file));
        if kept.is_err() {
            let _ = std::fs::remove_file(&fresh);
        }
    }

    pub(crate) fn forget(&self, digest: &str) {
        let _ = std::fs::remove_file(self.file(digest));
    }
}
