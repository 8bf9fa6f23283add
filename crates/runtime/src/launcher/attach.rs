//! Attaching code to a sandbox that stands already: mounts are cloned here and moved into its mount namespace.
//!
//! A helper process does it, because whoever enters a mount namespace has left its own. The sandbox's user namespace is
//! not entered: what is in there has no more power over the new mounts than over those that it was built with.

use super::protocol::{Attachment, NAMESPACE, receive};
use super::sys::{Side, exit_now, fork, make_read_only};
use super::template::c_path;
use nix::sched::{CloneFlags, setns};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount_remount, move_mount, open_tree};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::CString;
use std::io;
use std::path::Path;

/// What is mounted on `/tmp`, as a tmpfs takes it.
pub(super) fn tmp_options(bytes: u64) -> io::Result<CString> {
    CString::new(format!("size={bytes},mode=1777,nr_inodes={}", bytes / 4096)).map_err(io::Error::other)
}

/// The mount namespace of a sandbox, whose first process sends it through its door before anything else.
pub(super) fn namespace(door: &OwnedFd) -> io::Result<OwnedFd> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let (NAMESPACE, descriptors) = receive(door)?.ok_or_else(gone)? else { return Err(gone()) };
    <[OwnedFd; 1]>::try_from(descriptors).map(|[namespace]| namespace).map_err(|_| gone())
}

/// Gives the sandbox with this mount namespace what it waited for.
pub(super) fn attach(namespace: &OwnedFd, attachment: &Attachment) -> io::Result<()> {
    match fork()? {
        Side::Child => {
            let cause = attempt(namespace, attachment).err();
            exit_now(cause.map_or(0, |cause| cause.raw_os_error().unwrap_or(libc::EIO)))
        }
        Side::Parent(pid) => {
            let pid = Pid::from_raw(pid.as_raw());
            match waitpid(pid, WaitOptions::empty())?.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(()),
                Some(errno) => Err(io::Error::from_raw_os_error(errno)),
                None => Err(io::Error::from_raw_os_error(libc::EINTR)),
            }
        }
    }
}

fn attempt(namespace: &OwnedFd, attachment: &Attachment) -> io::Result<()> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mut trees = Vec::new();
    for bind in &attachment.binds {
        trees.push((open_tree(CWD, &bind.source, clone)?, &bind.target));
    }
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS)?;
    for (tree, target) in trees {
        move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        make_read_only(&c_path(target)?, true, false)?;
    }
    let harmless = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount_remount(Path::new("/tmp"), harmless, tmp_options(attachment.tmp_bytes)?.as_c_str())?)
}
