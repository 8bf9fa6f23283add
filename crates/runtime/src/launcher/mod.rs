//! The launcher: a small process that makes sandboxes, so that the cost of a clone never grows with the server's heap.
//!
//! It has one thread and no runtime. It reads [`Request`]s from its standard input, a socket; gives each [`Spec`] to a
//! clone of itself in new namespaces, where [`init`] takes over; reaps what has ended; and tells the server. It ends
//! when the server closes the socket, and takes every sandbox with it.
//!
//! One clone is always made ahead, and has done all that is alike for every sandbox: moving a process into a control
//! group and turning a network interface on wait for the kernel's grace periods, which are longer than the rest.
//!
//! As an ordinary user it first enters a user namespace of its own, in which it may mount; from there on both are alike.

mod attach;
mod cgroup;
mod init;
mod keeper;
mod nest;
mod network;
mod privileges;
pub(crate) mod protocol;
mod seccomp;
mod spare;
mod sys;
mod template;
mod trace;

pub(crate) use network::{PLATFORM_PORT, RUNTIME_API_PORT};

use crate::layers::{Layer, Layers};
use cgroup::{Group, Groups};
use init::Init;
use keeper::Ties;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use protocol::{Attachment, Failure, Kind, Reply, Request, Spec, receive, send};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::thread::CapabilitySet;
use spare::Spare;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::Path;
use sys::Side;
use template::Template;

/// Host users that stand for sandboxes: far above the ids that people and services have, one for each sandbox. Each
/// launcher begins somewhere else, or two servers of one machine would have the same ones.
const FIRST_OUTER_ID: u32 = 0x4000_0000;
const OUTER_IDS: u64 = 0x1000_0000;
/// The server counts its sandboxes from one.
const NOBODY: u64 = 0;

/// The whole of the hidden `launcher` command: `launcher ROOT`, where ROOT is an empty folder to build roots on.
/// Its standard input is the server's control socket.
pub fn launcher_main() -> ! {
    crate::memory::default_pages();
    let root = std::env::args_os().next_back().unwrap_or_default();
    let code = match Launcher::start(Path::new(&root)).and_then(Launcher::serve) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mayfly launcher: {error}");
            1
        }
    };
    std::process::exit(code)
}

struct Launcher {
    control: OwnedFd,
    signals: SignalFd,
    /// The host's `/proc`, in which a child can still write its id maps after it has left the host's root.
    proc: OwnedFd,
    null: OwnedFd,
    /// This very process, by which a child can see whether it still lives.
    own: OwnedFd,
    filters: seccomp::Filters,
    groups: Groups,
    template: Template,
    layers: Layers,
    /// Whether sandboxes can be given host users of their own.
    chooses_ids: bool,
    running: HashMap<Pid, Running>,
    /// Of templates that live.
    keepers: HashSet<Pid>,
    keepers_made: u64,
    spare: Option<Spare>,
    /// How many sandboxes there have been; names the next one's groups and user.
    made: u64,
    /// Where the host users of its sandboxes begin.
    first_offset: u64,
}

struct Running {
    id: u64,
    group: Group,
    /// The mount namespace of a sandbox that waits.
    namespace: Option<OwnedFd>,
}

/// Tells of children that have ended, from here on; not to be inherited by what is executed.
fn child_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?)
}

fn doing(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |cause| io::Error::new(cause.kind(), format!("cannot {what}: {cause}"))
}

impl Launcher {
    fn start(root: &Path) -> io::Result<Launcher> {
        let control = io::stdin().as_fd().try_clone_to_owned()?;
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = open("/proc", directory, Mode::empty())?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        let groups = Groups::find();
        groups.sweep(false);
        let chooses_ids = rustix::process::geteuid().is_root();
        if chooses_ids {
            unshare(CloneFlags::CLONE_NEWNS).map_err(|e| doing("make a mount namespace")(e.into()))?;
        } else {
            let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
                .map_err(|e| doing("make a user namespace")(e.into()))?;
            privileges::map_ids(proc.as_fd(), 0, uid, gid)?;
        }
        let template = Template::mount(root).map_err(doing("build the root of sandboxes"))?;
        let signals = child_signals()?;
        let mut layers = groups.layers();
        layers.insert(Layer::Namespaces);
        layers.insert(Layer::Seccomp);
        if user_namespaces_allowed(proc.as_fd()) {
            layers.insert(Layer::UserNamespace);
        }
        let filters = seccomp::Filters::compile()?;
        let forks = can_fork(&layers, proc.as_fd());
        let launcher = Launcher {
            control,
            signals,
            proc,
            null,
            own,
            filters,
            groups,
            template,
            layers,
            chooses_ids,
            running: HashMap::new(),
            keepers: HashSet::new(),
            keepers_made: 0,
            spare: None,
            made: 0,
            first_offset: RandomState::new().build_hasher().finish(),
        };
        send(&launcher.control, &Reply::Ready { layers: launcher.layers.clone(), forks }, &[])?;
        Ok(launcher)
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            // What is asked for comes first; a spare is made when there is nothing else to do.
            let mut heard = if self.spare.is_none() { self.hear(Some(&Timespec::default()))? } else { None };
            if heard.is_none() {
                if self.spare.is_none() {
                    // Tried again after the next request.
                    self.spare = self.raise().ok();
                }
                heard = self.hear(None)?;
            }
            let Some((asked, ended)) = heard else { continue };
            if ended {
                self.signals.read_signal()?;
                self.reap();
            }
            if asked && !self.answer() {
                return self.stop();
            }
        }
    }

    /// Whether the server asks for something, and whether a child has ended; `None` if neither within the time.
    fn hear(&self, within: Option<&Timespec>) -> io::Result<Option<(bool, bool)>> {
        let mut ready =
            [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        let heard = poll(&mut ready, within)? > 0;
        Ok(heard.then(|| (!ready[0].revents().is_empty(), !ready[1].revents().is_empty())))
    }

    /// Does one request; `false` when the server is gone.
    fn answer(&mut self) -> bool {
        let Ok(Some((request, descriptors))) = receive::<Request>(&self.control) else { return false };
        match request {
            Request::Spawn(spec) => {
                let id = spec.id;
                let reply = match self.spawn(&spec, descriptors) {
                    Ok((pid, running)) => {
                        let control_group = running.group.public();
                        self.running.insert(pid, running);
                        Reply::Spawned { id, pid: pid.as_raw(), control_group }
                    }
                    Err(failure) => Reply::Failed { id, failure },
                };
                send(&self.control, &reply, &[]).is_ok()
            }
            Request::Attach { id, attachment } => {
                let outcome = self.attach(id, &attachment);
                send(&self.control, &Reply::Attached { id, outcome }, &[]).is_ok()
            }
            Request::Kill { id } => {
                // An id that is not there has ended already, and the server has been or will be told.
                if let Some((pid, running)) = self.running.iter().find(|(_, running)| running.id == id) {
                    let _ = kill(*pid, Signal::SIGKILL);
                    running.group.thaw();
                }
                true
            }
            // For a keeper alone.
            Request::Fork { .. } => false,
        }
    }

    fn spawn(&mut self, spec: &Spec, mut descriptors: Vec<OwnedFd>) -> Result<(Pid, Running), Failure> {
        let ties = match spec.kind {
            Kind::Template => Some(Ties::tie(&mut descriptors)),
            Kind::Whole | Kind::Waits => None,
        };
        let mut ties = ties.transpose().map_err(|cause| Failure::new("tie a keeper", &cause))?;
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        for bind in &spec.binds {
            self.template
                .place(&bind.source, &bind.target)
                .map_err(|cause| Failure::new(format!("make {}", bind.target.display()), &cause))?;
        }
        loop {
            let (Spare { pid, group, outer_id, door }, fresh) = match self.spare.take() {
                Some(spare) => (spare, false),
                None => (self.raise()?, true),
            };
            let given = group
                .limit(spec.memory_bytes, spec.max_processes)
                .and_then(|()| send(&door, spec, &descriptors))
                // Taken in any case: a door that closes with something unread loses what was sent through it.
                .and_then(|()| attach::namespace(&door));
            let kept = given.and_then(|namespace| match (spec.kind, ties.take()) {
                (Kind::Template, Some(ties)) => {
                    let keeper = keeper::start(self, ties, (pid, outer_id, namespace), spec)?;
                    self.keepers.insert(keeper);
                    Ok(None)
                }
                (Kind::Waits, _) => Ok(Some(namespace)),
                (Kind::Whole | Kind::Template, _) => Ok(None),
            });
            let cause = match kept {
                Ok(namespace) => return Ok((pid, Running { id: spec.id, group, namespace })),
                Err(cause) => cause,
            };
            // Reaped as if it had been somebody's. One that lay ready may have been killed; a new one has no excuse.
            let _ = kill(pid, Signal::SIGKILL);
            self.running.insert(pid, Running { id: NOBODY, group, namespace: None });
            if fresh || (spec.kind == Kind::Template && ties.is_none()) {
                return Err(Failure::new("hand over the specification", &cause));
            }
        }
    }

    fn attach(&self, id: u64, attachment: &Attachment) -> Result<(), Failure> {
        let running = self.running.values().find(|running| running.id == id);
        let Some(Running { group, namespace: Some(namespace), .. }) = running else {
            return Err(Failure::new("find the sandbox", &io::Error::from_raw_os_error(libc::ESRCH)));
        };
        group
            .limit(attachment.memory_bytes, attachment.max_processes)
            .map_err(|cause| Failure::new("set the limits", &cause))?;
        attach::attach(namespace, attachment).map_err(|cause| Failure::new("attach the code", &cause))
    }

    /// Whether nothing bounds the number of a sandbox's processes but the limits of its user.
    fn counts_processes_by_user(&self) -> bool {
        !self.layers.contains(&Layer::PidsCgroup)
    }

    /// Makes the first process of a sandbox that is yet to be asked for.
    fn raise(&mut self) -> Result<Spare, Failure> {
        self.made += 1;
        let group =
            self.groups.create(self.made).map_err(|cause| Failure::new("make the control group", &cause))?;
        let offset = u32::try_from(self.first_offset.wrapping_add(self.made) % OUTER_IDS).unwrap_or_default();
        let outer_id = self.chooses_ids.then_some(FIRST_OUTER_ID + offset);
        match Spare::clone(group, outer_id) {
            Ok((Side::Parent(_), spare)) => Ok(spare),
            Ok((Side::Child, Spare { group, door, .. })) => {
                // Otherwise the server would not notice the launcher's end while a sandbox lives.
                match self.null.try_clone() {
                    Ok(null) => self.control = null,
                    Err(_) => sys::exit_now(1),
                }
                Init { launcher: self, group: &group, outer_id, door }.run()
            }
            Err(cause) => Err(Failure::new("make namespaces", &cause)),
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, _))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            let pid = Pid::from_raw(pid.as_raw_pid());
            if let Some(spare) = self.spare.take_if(|spare| spare.pid == pid) {
                let _ = spare.group.remove();
            }
            self.keepers.remove(&pid);
            let Some(running) = self.running.remove(&pid) else { continue };
            let out_of_memory = running.group.out_of_memory();
            let memory_peak = running.group.memory_peak();
            // The first process ends last, so the group is empty.
            if let Err(error) = running.group.remove() {
                let _ = writeln!(io::stderr(), "mayfly launcher: cannot remove a control group: {error}");
            }
            let _ = send(&self.control, &Reply::Gone { id: running.id, out_of_memory, memory_peak }, &[]);
        }
    }

    /// The server is gone: nothing that it started may outlive it.
    fn stop(mut self) -> io::Result<()> {
        if let Some(Spare { pid, group, .. }) = self.spare.take() {
            self.running.insert(pid, Running { id: NOBODY, group, namespace: None });
        }
        for (pid, running) in &self.running {
            let _ = kill(*pid, Signal::SIGKILL);
            running.group.thaw();
        }
        // A keeper ends with its template, after what was forked.
        while !self.running.is_empty() || !self.keepers.is_empty() {
            match rustix::process::wait(rustix::process::WaitOptions::empty())? {
                Some((pid, _)) => {
                    let pid = Pid::from_raw(pid.as_raw_pid());
                    self.keepers.remove(&pid);
                    if let Some(running) = self.running.remove(&pid) {
                        let _ = running.group.remove();
                    }
                }
                None => break,
            }
        }
        self.groups.sweep(true);
        Ok(())
    }
}

/// Whether what is forked from a template can be moved into a sandbox of its own: that takes a name space
/// of users below the template's, and the right to trace it.
fn can_fork(layers: &Layers, proc: BorrowedFd<'_>) -> bool {
    let capabilities = rustix::thread::capabilities(None);
    let may_trace = capabilities.is_ok_and(|sets| {
        let wanted = CapabilitySet::SYS_PTRACE | CapabilitySet::SYS_ADMIN;
        sets.effective.contains(wanted)
    });
    // Where this is 3, nobody may.
    let scope = OFlags::RDONLY | OFlags::CLOEXEC;
    let scope = openat(proc, "sys/kernel/yama/ptrace_scope", scope, Mode::empty());
    let scope = scope.map_err(io::Error::from).and_then(|file| io::read_to_string(std::fs::File::from(file)));
    let forbidden = scope.is_ok_and(|text| text.trim() == "3");
    trace::SUPPORTED && layers.contains(&Layer::UserNamespace) && may_trace && !forbidden
}

/// Whether an unprivileged child may make a user namespace; some systems refuse that. Asked of a child, by trying.
fn user_namespaces_allowed(proc: BorrowedFd<'_>) -> bool {
    let attempt = || -> io::Result<()> {
        if rustix::process::geteuid().is_root() && rustix::process::getuid().is_root() {
            // In a namespace of one user this fails, and the user stays who it is.
            let _ = privileges::become_user(FIRST_OUTER_ID);
        }
        privileges::enter_user_namespace(proc)
    };
    match sys::fork() {
        Ok(Side::Child) => sys::exit_now(i32::from(attempt().is_err())),
        Ok(Side::Parent(pid)) => {
            let pid = rustix::process::Pid::from_raw(pid.as_raw());
            let ended = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
            matches!(ended, Ok(Some((_, status))) if status.exit_status() == Some(0))
        }
        Err(_) => false,
    }
}
