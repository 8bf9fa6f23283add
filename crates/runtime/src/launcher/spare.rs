//! A sandbox that is yet to be asked for: its first process, which has built whatever needs no specification.

use super::cgroup::Group;
use super::sys::{Side, clone_into_namespaces};
use nix::unistd::Pid;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;

pub(super) struct Spare {
    pub(super) pid: Pid,
    pub(super) group: Group,
    /// Who it is on the host, if it is to be somebody of its own.
    pub(super) outer_id: Option<u32>,
    /// Takes the specification, and with it the log pipe and the sandbox's end of its control pair.
    pub(super) door: OwnedFd,
}

impl Spare {
    /// Clones the launcher. Each side gets a value of its own: the child's pid is nobody's and its door the inner end.
    pub(super) fn clone(group: Group, outer_id: Option<u32>) -> io::Result<(Side, Spare)> {
        let made = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)
            .and_then(|doors| Ok((clone_into_namespaces()?, doors)));
        match made {
            Ok((Side::Parent(pid), (door, _))) => {
                Ok((Side::Parent(pid), Spare { pid, group, outer_id, door }))
            }
            Ok((Side::Child, (_, door))) => {
                Ok((Side::Child, Spare { pid: Pid::from_raw(0), group, outer_id, door }))
            }
            Err(cause) => {
                let _ = group.remove();
                Err(cause)
            }
        }
    }
}
