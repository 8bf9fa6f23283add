//! The keeper of a template: forks instances from it, and moves each into a sandbox of its own.
//!
//! A template is a sandbox like any other whose command has imported a function's code and waits. For every
//! instance its process forks twice. The first child is moved: while it stands at its gate
//! ([`super::trace`]) it is put into the instance's control group, session and name spaces, and loses the
//! privileges that the latter came with. The second is born inside and becomes the instance.
//!
//! The keeper is a child of the launcher, one for each template, so that a template that does not behave
//! holds up nobody else. It speaks the launcher's protocol with the server on a socket of their own. It
//! believes nothing that the template says: a fork that does not come, or asks for anything but its gate,
//! is killed, and the template with it.

use super::nest::{Ground, NAMESPACES, Nest, pid_of, read_at};
use super::protocol::{Event, Exit, Failure, Reply, Request, Spec, Told, receive, send};
use super::trace::{Driven, Stop, Tracee};
use super::{Launcher, NOBODY, Running, sys};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::set_parent_process_death_signal;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

/// A fork takes a millisecond or two.
const FORK_LIMIT: Duration = Duration::from_secs(5);
/// Numbers of a keeper's control groups lie above the launcher's.
const GROUPS_OF_A_KEEPER: u32 = 32;
/// Each of the six numbers that come with the gate.
const BITS_OF_A_DESCRIPTOR: usize = 10;
/// The version of the structure that `capset` takes, with two words for each set.
const CAPABILITY_VERSION: u64 = 0x2008_0522;

/// Takes every capability out of the bounding set, in x86-64 machine code:
/// `for (ebx = 0; ebx != 41; ebx++) prctl(PR_CAPBSET_DROP, ebx); int3`
const EMPTY_BOUNDING_SET: [u64; 3] = [
    u64::from_le_bytes([0x31, 0xdb, 0xb8, 0x9d, 0, 0, 0, 0xbf]),
    u64::from_le_bytes([0x18, 0, 0, 0, 0x89, 0xde, 0x0f, 0x05]),
    u64::from_le_bytes([0xff, 0xc3, 0x83, 0xfb, 41, 0x75, 0xeb, 0xcc]),
];

/// What ties a keeper to others.
pub(super) struct Ties {
    server: OwnedFd,
    /// Where the template waits for the word to fork, for as long as it does.
    commands: Option<OwnedFd>,
    /// What the first process of the template's sandbox tells.
    told: OwnedFd,
}

impl Ties {
    /// Takes the server's socket out of what came with a request, and puts in what the template needs.
    pub(super) fn tie(descriptors: &mut Vec<OwnedFd>) -> io::Result<Ties> {
        let missing = || io::Error::from(io::ErrorKind::InvalidData);
        let server = descriptors.pop().ok_or_else(missing)?;
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let ((commands, commands_inside), (told, told_inside)) = (pair()?, pair()?);
        descriptors.extend([commands_inside, told_inside]);
        Ok(Ties { server, commands: Some(commands), told })
    }
}

struct Keeper<'a> {
    launcher: &'a Launcher,
    ties: Ties,
    /// The first process of the template's sandbox.
    init: Pid,
    /// The template itself, once it runs.
    template: Option<Pid>,
    /// Whether it has said that it waits.
    spoken: bool,
    about: About,
    ground: Option<Ground>,
    nests: HashMap<Pid, Held>,
    /// Which nest a process belongs to, by its id in the template's sandbox.
    functions: HashMap<i32, Pid>,
    spare: Option<Nest>,
    number: u64,
    made: u64,
}

/// What the template's sandbox was made of.
struct About {
    mounts: Option<OwnedFd>,
    /// Its users and its processes.
    stands: Option<(OwnedFd, OwnedFd)>,
    outer_id: Option<u32>,
    tmp_bytes: u64,
    memory_bytes: u64,
    max_processes: u32,
}

struct Held {
    running: Running,
    control: Option<OwnedFd>,
}

/// Starts the keeper of a template whose sandbox is being made; its pid.
pub(super) fn start(
    launcher: &mut Launcher,
    ties: Ties,
    (init, outer_id, mounts): (Pid, Option<u32>, OwnedFd),
    spec: &Spec,
) -> io::Result<Pid> {
    launcher.keepers_made += 1;
    let number = launcher.keepers_made;
    match sys::fork()? {
        sys::Side::Parent(pid) => Ok(pid),
        sys::Side::Child => {
            // Otherwise others would not notice the launcher's end.
            match launcher.null.try_clone() {
                Ok(null) => launcher.control = null,
                Err(_) => sys::exit_now(1),
            }
            (launcher.spare, launcher.running) = (None, HashMap::new());
            let about = About {
                mounts: Some(mounts),
                stands: None,
                outer_id,
                tmp_bytes: spec.tmp_bytes,
                memory_bytes: spec.memory_bytes,
                max_processes: spec.max_processes,
            };
            let keeper = Keeper {
                launcher,
                number,
                ties,
                init,
                template: None,
                spoken: false,
                about,
                ground: None,
                nests: HashMap::new(),
                functions: HashMap::new(),
                spare: None,
                made: 0,
            };
            let kept = keeper.serve();
            sys::exit_now(i32::from(kept.is_err()))
        }
    }
}

fn doing(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |cause| Failure::new(what, &cause)
}

impl Keeper<'_> {
    fn serve(mut self) -> io::Result<()> {
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        loop {
            let Ties { server, commands, told } = &self.ties;
            let mut ready = vec![
                PollFd::new(server, PollFlags::IN),
                PollFd::new(told, PollFlags::IN),
                PollFd::new(&self.launcher.signals, PollFlags::IN),
            ];
            ready.extend(commands.as_ref().map(|commands| PollFd::new(commands, PollFlags::IN)));
            poll(&mut ready, None)?;
            let heard = |place: usize| ready.get(place).is_some_and(|one| !one.revents().is_empty());
            let [asked, tells, ended, speaks] = [0, 1, 2, 3].map(heard);
            drop(ready);
            if ended {
                self.launcher.signals.read_signal()?;
            }
            self.reap();
            // First of all, because whoever asks for something may have to know it.
            if (tells && !self.hear()?) || (asked && !self.answer()) {
                self.stop();
                return Ok(());
            }
            if speaks && !asked {
                self.template_speaks();
            }
        }
    }

    /// The template says one thing of itself: that forks may be asked for. Anything else ends it.
    fn template_speaks(&mut self) {
        let Some(commands) = &self.ties.commands else { return };
        match receive::<u8>(commands) {
            Ok(Some(_)) if !self.spoken => {
                self.spoken = true;
                if self.settle().is_ok() {
                    self.spare = self.raise().ok();
                }
            }
            Ok(_) | Err(_) => self.give_up(),
        }
    }

    /// Ends the template; what was forked lives on.
    fn give_up(&mut self) {
        if let Some(template) = self.template.take() {
            let _ = kill(template, Signal::SIGKILL);
        }
        self.ties.commands = None;
    }

    /// Opens what nests stand on, and has children born below the template from here on.
    fn settle(&mut self) -> Result<&Ground, Failure> {
        if self.ground.is_none() {
            let gone = || doing("find the template's name spaces")(io::Error::from_raw_os_error(libc::ESRCH));
            let (users, processes) = self.about.stands.take().ok_or_else(gone)?;
            let mounts = self.about.mounts.take().ok_or_else(gone)?;
            setns(processes.as_fd(), CloneFlags::CLONE_NEWPID)
                .map_err(|cause| doing("enter the template's processes")(cause.into()))?;
            let About { outer_id, tmp_bytes, memory_bytes, max_processes, .. } = self.about;
            self.ground = Some(Ground { mounts, users, outer_id, tmp_bytes, memory_bytes, max_processes });
        }
        self.ground.as_ref().ok_or_else(|| doing("settle")(io::Error::from_raw_os_error(libc::ESRCH)))
    }

    fn raise(&mut self) -> Result<Nest, Failure> {
        self.made += 1;
        let number = (self.number << GROUPS_OF_A_KEEPER) + self.made;
        let launcher = self.launcher;
        Nest::raise(launcher, self.settle()?, number)
    }

    /// Hears one thing from the first process of the template's sandbox; `false` when that is gone.
    fn hear(&mut self) -> io::Result<bool> {
        match receive::<Told>(&self.ties.told) {
            Ok(Some((Told::Stands, descriptors))) => {
                let [users, processes] = <[OwnedFd; 2]>::try_from(descriptors)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                self.about.stands = Some((users, processes));
            }
            Ok(Some((Told::Command, descriptors))) => {
                let pid = descriptors.first().map(|one| pid_of(self.launcher, one)).transpose()?;
                self.template = pid;
            }
            Ok(Some((Told::Ended { pid, exit }, _))) => {
                if let Some(nest) = self.functions.remove(&pid) {
                    self.function_ended(nest, exit);
                }
            }
            Ok(None) | Err(_) => return Ok(false),
        }
        Ok(true)
    }

    fn function_ended(&self, nest: Pid, exit: Exit) {
        if let Some(Held { running, control: Some(control) }) = self.nests.get(&nest) {
            let _ = send(control, &Event::Exited(exit), &[]);
            let _ = kill(nest, Signal::SIGKILL);
            running.group.thaw();
        }
    }

    fn answer(&mut self) -> bool {
        let Ok(Some((request, descriptors))) = receive::<Request>(&self.ties.server) else { return false };
        match request {
            Request::Fork { id } => {
                let reply = match self.fork(id, descriptors) {
                    Ok((pid, held)) => {
                        let control_group = held.running.group.public();
                        self.nests.insert(pid, held);
                        Reply::Spawned { id, pid: pid.as_raw(), control_group }
                    }
                    Err(failure) => Reply::Failed { id, failure },
                };
                let told = send(&self.ties.server, &reply, &[]).is_ok();
                self.reap();
                if self.template.is_some() && self.spare.is_none() {
                    self.spare = self.raise().ok();
                }
                told
            }
            Request::Kill { id } => {
                if let Some((pid, held)) = self.nests.iter().find(|(_, held)| held.running.id == id) {
                    let _ = kill(*pid, Signal::SIGKILL);
                    held.running.group.thaw();
                }
                true
            }
            // For the launcher alone.
            Request::Spawn(_) | Request::Attach { .. } => false,
        }
    }

    fn fork(&mut self, id: u64, descriptors: Vec<OwnedFd>) -> Result<(Pid, Held), Failure> {
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        let template = self.template.ok_or_else(|| doing("find the template")(gone()))?;
        let mut descriptors = descriptors.into_iter();
        let (Some(log), Some(control)) = (descriptors.next(), descriptors.next()) else {
            return Err(doing("take the request")(gone()));
        };
        let nest = match self.spare.take() {
            Some(nest) => nest,
            None => self.raise()?,
        };
        let Nest { pid, group, door, namespaces } = nest;
        let forked = self
            .move_in(template, &group, (&namespaces, &log))
            .and_then(|function| send(&door, &1_u8, &[control.as_fd()]).map(|()| function));
        let running = |id, group| Running { id, group, namespace: None };
        match forked {
            Ok(function) => {
                self.functions.insert(function, pid);
                Ok((pid, Held { running: running(id, group), control: Some(control) }))
            }
            Err(cause) => {
                let _ = kill(pid, Signal::SIGKILL);
                self.nests.insert(pid, Held { running: running(NOBODY, group), control: None });
                self.give_up();
                Err(doing("fork from the template")(cause))
            }
        }
    }

    /// Has the template fork, and moves what comes of it; its id in the template's sandbox.
    fn move_in(
        &self,
        template: Pid,
        group: &super::cgroup::Group,
        (namespaces, log): (&[OwnedFd], &OwnedFd),
    ) -> io::Result<i32> {
        let (signals, by) = (&self.launcher.signals, Instant::now() + FORK_LIMIT);
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        let commands = self.ties.commands.as_ref().ok_or_else(gone)?;
        let template = Tracee::seize(template)?;
        rustix::net::send(commands, b"f", SendFlags::NOSIGNAL)?;
        // Meant for the child, and there before it asks.
        let mut descriptors: Vec<_> = namespaces.iter().map(OwnedFd::as_fd).collect();
        descriptors.push(log.as_fd());
        send(commands, &1_u8, &descriptors)?;
        let mover = child_of(template, signals, by)?;
        // From here on whoever stands is killed on the way out, unless all went well.
        let moved = Doomed(Some(mover));
        let mover = moved.tracee()?;
        group.take(mover.pid)?;
        mover.go_on(0)?;
        let gate = Driven::at_gate(mover, signals, by)?;
        privileged_part(&gate)?;
        gate.pass()?;
        let function = match mover.until(|stop| matches!(stop, Stop::Forked(_)), signals, by)? {
            Stop::Forked(function) => Doomed(Some(Tracee::born(function, signals, by)?)),
            _ => return Err(io::Error::from_raw_os_error(libc::EPROTO)),
        };
        let id = id_in_template(self.launcher, function.tracee()?.pid)?;
        function.spare()?;
        moved.spare()?;
        Ok(id)
    }

    /// Looks after sandboxes that have ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, _))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            let pid = Pid::from_raw(pid.as_raw_pid());
            if let Some(nest) = self.spare.take_if(|nest| nest.pid == pid) {
                let _ = nest.group.remove();
            }
            let Some(Held { running, .. }) = self.nests.remove(&pid) else { continue };
            self.functions.retain(|_, nest| *nest != pid);
            let (out_of_memory, memory_peak) = (running.group.out_of_memory(), running.group.memory_peak());
            let _ = running.group.remove();
            let reply = Reply::Gone { id: running.id, out_of_memory, memory_peak };
            let _ = send(&self.ties.server, &reply, &[]);
        }
    }

    /// The template's sandbox or the server is gone, and nothing that was forked may stay.
    fn stop(mut self) {
        if let Some(Nest { pid, group, .. }) = self.spare.take() {
            let running = Running { id: NOBODY, group, namespace: None };
            self.nests.insert(pid, Held { running, control: None });
        }
        let _ = kill(self.init, Signal::SIGKILL);
        for (pid, held) in &self.nests {
            let _ = kill(*pid, Signal::SIGKILL);
            held.running.group.thaw();
        }
        let end = Instant::now() + FORK_LIMIT;
        while !self.nests.is_empty() && Instant::now() < end {
            let mut ready = [PollFd::new(&self.launcher.signals, PollFlags::IN)];
            let _ = poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 }));
            if !ready[0].revents().is_empty() {
                let _ = self.launcher.signals.read_signal();
            }
            self.reap();
        }
    }
}

/// Waits until a process has forked, and lets it go; its child stands.
fn child_of(parent: Tracee, signals: &nix::sys::signalfd::SignalFd, by: Instant) -> io::Result<Tracee> {
    match parent.until(|stop| matches!(stop, Stop::Forked(_)), signals, by)? {
        Stop::Forked(child) => {
            let child = Tracee::born(child, signals, by)?;
            parent.let_go()?;
            Ok(child)
        }
        _ => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

/// What the function's code never does itself: enters the sandbox, and gives up what that brought.
fn privileged_part(gate: &Driven<'_>) -> io::Result<()> {
    const MASK: u64 = (1 << BITS_OF_A_DESCRIPTOR) - 1;
    let packed = gate.number();
    // A signal to its process group must not reach the template.
    gate.call(libc::SYS_setsid, [0; 5])?;
    for (place, (_, kind)) in NAMESPACES.iter().enumerate() {
        let descriptor = packed >> (place * BITS_OF_A_DESCRIPTOR) & MASK;
        let kind = u64::from(kind.bits().unsigned_abs());
        gate.call(libc::SYS_setns, [descriptor, kind, 0, 0, 0])?;
    }
    gate.run(&EMPTY_BOUNDING_SET)?;
    let header = gate.lay_down(&[CAPABILITY_VERSION, 0, 0, 0])?;
    gate.call(libc::SYS_capset, [header, header + 8, 0, 0, 0])?;
    // A change of privileges hides a process's own files in /proc from it.
    let dumpable = u64::try_from(libc::PR_SET_DUMPABLE).map_err(io::Error::other)?;
    gate.call(libc::SYS_prctl, [dumpable, 1, 0, 0, 0])
}

/// The id of a process in the name space of the template, which is the second after ours.
fn id_in_template(launcher: &Launcher, pid: Pid) -> io::Result<i32> {
    let status = read_at(&launcher.proc, &format!("{pid}/status"))?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let id = ids.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
    id.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// A traced process that is killed unless it is spared.
struct Doomed(Option<Tracee>);

impl Doomed {
    fn tracee(&self) -> io::Result<&Tracee> {
        self.0.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    fn spare(mut self) -> io::Result<()> {
        match self.0.take() {
            Some(tracee) => tracee.let_go(),
            None => Ok(()),
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(tracee) = &self.0 {
            let _ = kill(tracee.pid, Signal::SIGKILL);
        }
    }
}
