//! The system calls that no safe wrapper exists for. The launcher's `unsafe` is here and in `trace`.
#![expect(unsafe_code, reason = "clone, fork and mount_setattr have no safe form; each says why it holds")]

use nix::unistd::{ForkResult, Pid};
use std::ffi::CStr;
use std::io;

/// Which side of a clone we are on.
pub(crate) enum Side {
    Parent(Pid),
    Child,
}

/// A child in new mount, process, network, IPC and host name spaces.
///
/// The child is a copy of the caller, as after `fork`. Callable only while the process has one thread, which the
/// launcher always has: then no lock can be held by a thread that the child lacks.
pub(crate) fn clone_into_namespaces() -> io::Result<Side> {
    clone(NAMESPACES)
}

/// The same in a user name space of its own, which owns the others; a child of this process's parent.
pub(crate) fn clone_beside_into_own_namespaces() -> io::Result<Side> {
    clone(NAMESPACES | libc::CLONE_NEWUSER | libc::CLONE_PARENT)
}

const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

fn clone(flags: libc::c_int) -> io::Result<Side> {
    let flags = flags | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork(): the child gets its own copy of memory and runs on
    // its copy of this stack. The process is single-threaded, so the copy is consistent. The remaining arguments are
    // ignored without the flags that give them meaning.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(flags), 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?))),
    }
}

/// A plain child, under the same condition of a single thread.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: the process has one thread, so that every lock of the child's copy is free.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent(child)),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Makes a mount, and with `recursive` all mounts below it, read-only, without set-user-id programs and devices.
///
/// Unlike a remount this adds to the flags that are there, so it works on mounts whose flags are locked.
pub(crate) fn make_read_only(path: &CStr, recursive: bool, devices: bool) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;
    if !devices {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` ends with a nul byte and `attributes` has the size that is passed; the kernel only reads both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process without running what was registered for its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}
