//! Giving up every privilege: what a sandbox's first process does last.

use nix::sched::{CloneFlags, unshare};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use rustix::{fs::Gid, fs::Uid};
use std::io;

/// The user and group that a function sees itself as.
pub(crate) const INNER_ID: u32 = 993;

/// Becomes `outer_id` on the host, if the launcher may choose ids at all. Each sandbox has an id of its own, so that
/// what the kernel counts or shares by user is never shared between sandboxes.
pub(crate) fn become_user(outer_id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(outer_id), Gid::from_raw(outer_id));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // A change of user makes a process's own files in /proc unwritable to it, and the maps are among them.
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// Enters a user namespace in which the present user is [`INNER_ID`] and nobody else exists.
///
/// The namespaces that the sandbox stands on belong to the namespace outside, so that not even a full set of
/// capabilities in here would give power over them. `proc` is a `/proc` that can be written to.
pub(crate) fn enter_user_namespace(proc: BorrowedFd<'_>) -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_ids(proc, INNER_ID, uid, gid)
}

/// Maps one user and one group of the new user namespace to those outside.
pub(crate) fn map_ids(proc: BorrowedFd<'_>, inner: u32, uid: u32, gid: u32) -> io::Result<()> {
    write_at(proc, "self/setgroups", "deny")?;
    write_at(proc, "self/uid_map", &format!("{inner} {uid} 1"))?;
    write_at(proc, "self/gid_map", &format!("{inner} {gid} 1"))
}

fn write_at(dir: BorrowedFd<'_>, path: &str, text: &str) -> io::Result<()> {
    let file = openat(dir, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

/// Leaves no capability in any set, and no way to get one back by executing a file.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    set_no_new_privs(true)?;
    for bit in 0..CapabilitySet::CHECKPOINT_RESTORE.bits().trailing_zeros() + 1 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            // Without the right to change the bounding set there is also nothing that the set could let through.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}
