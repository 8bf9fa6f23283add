//! Descriptors that tell the event loop when they are ready.
#![expect(unsafe_code, reason = "tokio asks its callers to promise that a descriptor stays the same")]

use rustix::fd::OwnedFd;
use std::io;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor that does not block.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names one open descriptor for as long as it lives, and the `AsyncFd` owns it.
    let registered = unsafe { AsyncFd::register(descriptor) };
    Ok(registered?)
}
