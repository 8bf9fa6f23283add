//! What can go wrong, and what the caller can do about it.

use std::io;

/// A read, or the decoding of what was read, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("storage failed: {0}")]
    Io(String),
    /// Blobs only: a transaction learns it from [`CommitError::Full`].
    #[error("no space left on the device")]
    Full,
    #[error("{what} cannot be decoded: {reason}")]
    Corrupt { what: &'static str, reason: String },
    /// Blobs only: a missing key is `None`.
    #[error("there is no blob {0}")]
    NoBlob(String),
    #[error("{0:?} is not a blob id: 8 to 96 of a-z, 0-9 and -")]
    BadBlobId(String),
}

impl Error {
    pub fn corrupt(what: &'static str, reason: impl ToString) -> Error {
        Error::Corrupt { what, reason: reason.to_string() }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        if is_full(&error) { Error::Full } else { Error::Io(error.to_string()) }
    }
}

/// What a commit lost over: a number that is the same for the same row, so that losers can take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over(pub u64);

/// A commit did not happen, and none of it will ever be seen.
///
/// After [`CommitError::Io`] and [`CommitError::Full`] a crash may still bring the commit back as a whole, as
/// with any database whose reply was lost; while the process lives it is not visible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Something it read has changed, or it took too long: run it again.
    #[error("a concurrent commit changed what this transaction read")]
    Conflict(Over),
    /// The disk is full. The store works again by itself once room returns.
    #[error("no space left on the device")]
    Full,
    #[error("storage failed: {0}")]
    Io(String),
    #[error("the store is closed")]
    Closed,
}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> CommitError {
        if is_full(&error) { CommitError::Full } else { CommitError::Io(error.to_string()) }
    }
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("another process holds the store")]
    Locked,
    /// Something that was once safely on the disk is no longer readable. Opening would lose it silently.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Corrupt { file: String, offset: u64, reason: String },
    #[error("the store was written in format {found}; this version reads up to {supported}")]
    Format { found: u32, supported: u32 },
    #[error("the store cannot be opened: {0}")]
    Io(#[from] io::Error),
    #[error("the store's tree cannot be opened: {0}")]
    Tree(String),
}

/// Whether the device, or the user's share of it, has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// To a caller of the services, a failing disk is our failure, and a full one is a reason to come back.
impl From<Error> for mayfly_kernel::Fault {
    fn from(error: Error) -> mayfly_kernel::Fault {
        match error {
            Error::Full => mayfly_kernel::Fault::unavailable("store", error),
            Error::Io(_) | Error::Corrupt { .. } | Error::NoBlob(_) | Error::BadBlobId(_) => {
                mayfly_kernel::Fault::internal("store", error)
            }
        }
    }
}
