//! The sandbox of an instance that is yet to be forked: its name spaces, and their first process.
//!
//! It stands on the template's mounts, with a `/tmp`, a `/proc`, a network and a control group of its own.
//! All of its name spaces belong to a user name space below the template's, so that what is forked from the
//! template may be moved in ([`super::keeper`]). Its process ids lie below the template's: the kernel moves
//! nobody sideways.
//!
//! The first process is the launcher's own code, behind the same walls as any sandbox's. It reaps, and ends
//! when the server closes the control socket.

use super::Launcher;
use super::attach::tmp_options;
use super::cgroup::Group;
use super::init::{OPEN_FILES, step};
use super::network::{PLATFORM_PORT, RUNTIME_API_PORT, listen, loopback_up};
use super::privileges;
use super::protocol::{END_COMMAND, Event, Failure, receive, send};
use super::sys::{Side, clone_beside_into_own_namespaces, exit_now, fork};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{MountFlags, mount};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpid, pidfd_open,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit, setsid, wait, waitpid,
};
use std::io;
use std::net::TcpListener;

/// In the order in which they are entered: the first gives the right to the others.
pub(super) const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("pid", CloneFlags::CLONE_NEWPID),
];

/// What all sandboxes that are forked from one template have in common.
pub(super) struct Ground {
    /// The template's mount and user name spaces.
    pub(super) mounts: OwnedFd,
    pub(super) users: OwnedFd,
    pub(super) outer_id: Option<u32>,
    pub(super) tmp_bytes: u64,
    pub(super) memory_bytes: u64,
    pub(super) max_processes: u32,
}

pub(super) struct Nest {
    pub(super) pid: nix::unistd::Pid,
    pub(super) group: Group,
    /// Takes the sandbox's end of its control pair.
    pub(super) door: OwnedFd,
    /// As [`NAMESPACES`] lists them.
    pub(super) namespaces: Vec<OwnedFd>,
}

impl Nest {
    /// Makes one. The caller's children are born into the process ids of the template.
    pub(super) fn raise(launcher: &Launcher, ground: &Ground, number: u64) -> Result<Nest, Failure> {
        let group = launcher.groups.create(number).map_err(step("make the control group"))?;
        let made = group
            .limit(ground.memory_bytes, ground.max_processes)
            .map_err(step("set the limits"))
            .and_then(|()| hatch(launcher, ground, &group));
        match made {
            Ok((pid, door, namespaces)) => Ok(Nest { pid, group, door, namespaces }),
            Err(failure) => {
                let _ = group.remove();
                Err(failure)
            }
        }
    }
}

fn hatch(
    launcher: &Launcher,
    ground: &Ground,
    group: &Group,
) -> Result<(nix::unistd::Pid, OwnedFd, Vec<OwnedFd>), Failure> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (door, inside) = pair.map_err(|e| step("make a door")(e.into()))?;
    match fork().map_err(step("fork"))? {
        Side::Child => {
            let First { failure } = First::enter(launcher, ground, group, &inside);
            let _ = send(&inside, &Err::<(), _>(failure), &[]);
            exit_now(1)
        }
        Side::Parent(helper) => {
            drop(inside);
            let helper = Pid::from_raw(helper.as_raw());
            let _ = waitpid(helper, WaitOptions::empty());
        }
    }
    let gone = || step("raise a sandbox")(io::Error::from_raw_os_error(libc::ESRCH));
    let (stands, mut descriptors) =
        receive::<Result<(), Failure>>(&door).map_err(step("hear of a sandbox"))?.ok_or_else(gone)?;
    stands?;
    let own = descriptors.pop().ok_or_else(gone)?;
    let pid = pid_of(launcher, &own).map_err(step("find a sandbox"))?;
    Ok((pid, door, descriptors))
}

/// The process that a descriptor stands for, by the ids of this process.
pub(super) fn pid_of(launcher: &Launcher, pidfd: &OwnedFd) -> io::Result<nix::unistd::Pid> {
    use std::os::fd::AsRawFd as _;
    let text = read_at(&launcher.proc, &format!("self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = line.and_then(|rest| rest.trim().parse().ok()).filter(|pid| *pid > 0);
    pid.map(nix::unistd::Pid::from_raw).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

pub(super) fn read_at(folder: &OwnedFd, path: &str) -> io::Result<String> {
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    io::read_to_string(std::fs::File::from(file))
}

/// The first process, on its way.
struct First {
    failure: Failure,
}

impl First {
    /// Comes back only if it did not work.
    fn enter(launcher: &Launcher, ground: &Ground, group: &Group, door: &OwnedFd) -> First {
        match First::cross(launcher, ground, group) {
            Err(failure) => First { failure },
            // The one that is wanted is this process's sibling.
            Ok(Side::Parent(_)) => exit_now(0),
            Ok(Side::Child) => match stand(launcher, ground, door) {
                Err(failure) => First { failure },
                Ok(listeners) => {
                    let _ = serve(launcher, door, &listeners);
                    exit_now(0)
                }
            },
        }
    }

    fn cross(launcher: &Launcher, ground: &Ground, group: &Group) -> Result<Side, Failure> {
        let enter = |space: &OwnedFd, kind| setns(space.as_fd(), kind).map_err(io::Error::from);
        group.enter().map_err(step("enter the control group"))?;
        enter(&ground.mounts, CloneFlags::CLONE_NEWNS).map_err(step("enter the template's mounts"))?;
        if let Some(id) = ground.outer_id {
            privileges::become_user(id).map_err(step("become the template's user"))?;
        }
        enter(&ground.users, CloneFlags::CLONE_NEWUSER).map_err(step("enter the template's users"))?;
        if launcher.counts_processes_by_user() {
            limit(Resource::Nproc, u64::from(ground.max_processes))?;
        }
        clone_beside_into_own_namespaces().map_err(step("make name spaces"))
    }
}

fn limit(resource: Resource, value: u64) -> Result<(), Failure> {
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(|cause| step("set a limit")(cause.into()))
}

/// Builds what is this sandbox's own, gives up every privilege, and tells the keeper.
fn stand(launcher: &Launcher, ground: &Ground, door: &OwnedFd) -> Result<[TcpListener; 2], Failure> {
    let inner = privileges::INNER_ID;
    privileges::map_ids(launcher.proc.as_fd(), inner, inner, inner).map_err(step("map the user"))?;
    setsid().map_err(|e| step("start a session")(e.into()))?;
    rustix::system::sethostname(b"sandbox").map_err(|e| step("name the host")(e.into()))?;
    loopback_up().map_err(step("turn the loopback interface on"))?;
    let sealed = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount("proc", "/proc", "proc", sealed, None).map_err(|e| step("mount /proc")(e.into()))?;
    let tmp = tmp_options(ground.tmp_bytes).map_err(step("mount /tmp"))?;
    mount("tmpfs", "/tmp", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(tmp.as_c_str()))
        .map_err(|e| step("mount /tmp")(e.into()))?;
    let listeners = [
        listen(RUNTIME_API_PORT).map_err(step("listen for the Runtime API"))?,
        listen(PLATFORM_PORT).map_err(step("listen for the platform"))?,
    ];
    use_up_an_id().map_err(step("use up a process id"))?;
    let mut descriptors = own_namespaces(launcher).map_err(step("open the name spaces"))?;
    descriptors.push(pidfd_open(getpid(), PidfdFlags::empty()).map_err(|e| step("open itself")(e.into()))?);
    limit(Resource::Nofile, OPEN_FILES)?;
    limit(Resource::Core, 0)?;
    harmless(launcher).map_err(step("give up privileges"))?;
    launcher.filters.install().map_err(step("filter system calls"))?;
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
    send(door, &Ok::<(), Failure>(()), &descriptors).map_err(step("tell the keeper"))?;
    Ok(listeners)
}

/// What is forked notices that it is another process by its id, and draws fresh randomness then: it must not
/// get the template's, which is the first after the sandbox's own.
fn use_up_an_id() -> io::Result<()> {
    match fork()? {
        Side::Child => exit_now(0),
        Side::Parent(pid) => {
            waitpid(Pid::from_raw(pid.as_raw()), WaitOptions::empty())?;
            Ok(())
        }
    }
}

fn own_namespaces(launcher: &Launcher) -> io::Result<Vec<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open =
        |(name, _): &(&str, _)| Ok(openat(&launcher.proc, format!("self/ns/{name}"), flags, Mode::empty())?);
    NAMESPACES.iter().map(open).collect()
}

fn harmless(launcher: &Launcher) -> io::Result<()> {
    privileges::drop_capabilities()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut launcher = [PollFd::new(&launcher.own, PollFlags::IN)];
    match poll(&mut launcher, Some(&Timespec::default()))? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Stays until the server lets go.
fn serve(launcher: &Launcher, door: &OwnedFd, listeners: &[TcpListener; 2]) -> io::Result<()> {
    SigSet::all().thread_block()?;
    let signals = super::child_signals()?;
    // Without a control socket this nest is not wanted any more.
    let Some((_, mut descriptors)) = receive::<u8>(door)? else { return Ok(()) };
    let Some(control) = descriptors.pop() else { return Ok(()) };
    send(&control, &Event::Ready, &[listeners[0].as_fd(), listeners[1].as_fd()])?;
    rustix::stdio::dup2_stdout(&launcher.null)?;
    rustix::stdio::dup2_stderr(&launcher.null)?;
    loop {
        let mut ready = [PollFd::new(&control, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        poll(&mut ready, None)?;
        let (asked, ended) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
        if ended {
            signals.read_signal()?;
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
        if asked {
            let mut request = [0_u8; 8];
            let (length, _) = recv(&control, &mut request[..], RecvFlags::empty())?;
            match &request[..length] {
                [] => return Ok(()),
                END_COMMAND => end_all(),
                _ => {}
            }
        }
    }
}

/// Asks whatever runs in here to end.
fn end_all() {
    let all = nix::unistd::Pid::from_raw(-1);
    let _ = nix::sys::signal::kill(all, nix::sys::signal::Signal::SIGTERM);
}
