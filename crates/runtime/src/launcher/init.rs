//! The first process of a sandbox: it builds the walls around itself, starts the command inside them, and
//! stays to reap.
//!
//! What is alike for every sandbox is done before there is a specification, and the rest when it has come.
//!
//! When it ends, the kernel kills whatever else runs in the sandbox. It ends when the command does, when the
//! server closes the control socket (or dies), and when the launcher dies. It runs with the same walls as the
//! command, and is not dumpable, so that the command cannot look into it although they share a user.

use super::Launcher;
use super::attach::tmp_options;
use super::cgroup::Group;
use super::network::{PLATFORM_PORT, RUNTIME_API_PORT, listen, loopback_up};
use super::privileges;
use super::protocol::{
    END_COMMAND, Event, Exit, Failure, Kind, NAMESPACE, START_COMMAND, Spec, Told, WANT_SOCKET, receive, send,
};
use super::sys::{Side, fork, make_read_only};
use super::template::c_path;
use crate::layers::Layer;
use nix::sys::signal::SigSet;
use nix::unistd::execve;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, move_mount, open_tree,
    unmount,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit,
    kill_process, pidfd_open, set_dumpable_behavior, set_parent_process_death_signal, setrlimit, setsid,
    wait,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may be held open by who has forked while it was written, and how often that is looked at.
const BEING_WRITTEN_MAX: Duration = Duration::from_secs(2);
const BEING_WRITTEN_POLL: Duration = Duration::from_millis(5);

/// Open files of a function, as on AWS.
pub(super) const OPEN_FILES: u64 = 1024;
/// All that is forked from a template counts as its user's; each sandbox has a limit of its own.
const SANDBOXES_OF_A_USER: u64 = 256;

/// What the first process takes over from the launcher.
pub(super) struct Init<'a> {
    pub launcher: &'a Launcher,
    pub group: &'a Group,
    pub outer_id: Option<u32>,
    /// Where the specification comes from.
    pub door: OwnedFd,
}

/// A sandbox that has been asked for.
struct Asked<'a> {
    launcher: &'a Launcher,
    outer_id: Option<u32>,
    spec: Spec,
    log: OwnedFd,
    control: OwnedFd,
    /// Where helpers print to.
    helpers_log: Option<OwnedFd>,
    keeper: Option<Keeper>,
}

/// The ends of what leads to a template's keeper.
struct Keeper {
    /// For the template, which waits there for the word to fork.
    commands: OwnedFd,
    told: OwnedFd,
}

/// The processes that are started for a sandbox.
struct Started {
    command: Option<Pid>,
    /// By their numbers.
    helpers: Vec<Pid>,
}

/// What extensions are not told of the function's environment, as AWS documents it.
const WITHHELD: [&str; 6] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
];

impl Init<'_> {
    /// Runs in the new namespaces from the first instruction to the last.
    pub(super) fn run(self) -> ! {
        let prepared = self.prepare();
        // Without a specification the launcher is gone, or has no use for this sandbox any more.
        let code = match receive::<Spec>(&self.door) {
            Ok(Some((spec, descriptors))) => {
                let mut rest = descriptors.into_iter();
                let (Some(log), Some(control)) = (rest.next(), rest.next()) else { super::sys::exit_now(1) };
                let (helpers_log, keeper) = match (spec.kind, rest.next(), rest.next()) {
                    (Kind::Template, Some(commands), Some(told)) => (None, Some(Keeper { commands, told })),
                    (_, helpers_log, _) => (helpers_log, None),
                };
                let Init { launcher, outer_id, .. } = self;
                Asked { launcher, outer_id, spec, log, control, helpers_log, keeper }.run(prepared)
            }
            Ok(None) | Err(_) => 1,
        };
        // Not `exit`: what the launcher registered to run at its end is not this process's to run.
        super::sys::exit_now(code)
    }

    /// Whatever is alike for all sandboxes.
    fn prepare(&self) -> Result<[TcpListener; 2], Failure> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| step("be bound to the launcher")(e.into()))?;
        // For what may be attached later.
        self.send_namespace().map_err(step("send the mount namespace"))?;
        setsid().map_err(|e| step("start a session")(e.into()))?;
        self.group.enter().map_err(step("enter the control group"))?;
        rustix::system::sethostname(b"sandbox").map_err(|e| step("name the host")(e.into()))?;
        loopback_up().map_err(step("turn the loopback interface on"))?;
        let sealed = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        mount("proc", self.launcher.template.root().join("proc"), "proc", sealed, None)
            .map_err(|e| step("mount /proc")(e.into()))?;
        Ok([
            listen(RUNTIME_API_PORT).map_err(step("listen for the Runtime API"))?,
            listen(PLATFORM_PORT).map_err(step("listen for the platform"))?,
        ])
    }

    fn send_namespace(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = openat(&self.launcher.proc, "self/ns/mnt", flags, Mode::empty())?;
        send(&self.door, &NAMESPACE, &[namespace.as_fd()])
    }
}

pub(super) fn step(name: &'static str) -> impl Fn(io::Error) -> Failure {
    move |cause| Failure::new(name, &cause)
}

impl Asked<'_> {
    /// Ends with the process's exit status.
    fn run(self, prepared: Result<[TcpListener; 2], Failure>) -> i32 {
        match prepared.and_then(|listeners| self.build().map(|()| listeners)) {
            Err(failure) => {
                let _ = send(&self.control, &Event::Failed(failure), &[]);
                1
            }
            Ok(listeners) => self.supervise(&listeners).unwrap_or(1),
        }
    }

    fn build(&self) -> Result<(), Failure> {
        self.root()?;
        self.unprivileged().map_err(step("give up privileges"))?;
        if self.launcher.layers.contains(&Layer::Seccomp) {
            let filters = &self.launcher.filters;
            let installed = match self.spec.kind {
                Kind::Template => filters.install_in_template(),
                Kind::Whole | Kind::Waits => filters.install(),
            };
            installed.map_err(step("filter system calls"))?;
        }
        Ok(())
    }

    /// Adds this sandbox's own mounts to the template, and makes it the only thing there is.
    fn root(&self) -> Result<(), Failure> {
        let root = self.launcher.template.root();
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let failed = |what: String| move |cause: io::Error| Failure::new(what, &cause);
        if let Some(image) = &self.spec.root {
            stand_on(image, root).map_err(failed("mount the image".into()))?;
        }
        for bind in &self.spec.binds {
            let what = || failed(format!("mount {}", bind.target.display()));
            let inside = at(&bind.target.to_string_lossy());
            mount_bind(&bind.source, &inside).map_err(|e| what()(e.into()))?;
            c_path(&inside).and_then(|path| make_read_only(&path, true, false)).map_err(what())?;
        }
        self.opt(&at("opt")).map_err(failed("mount the layers".into()))?;
        let harmless = MountFlags::NOSUID | MountFlags::NODEV;
        let tmp = tmp_options(self.spec.tmp_bytes).map_err(failed("mount /tmp".into()))?;
        mount("tmpfs", at("tmp"), "tmpfs", harmless, Some(tmp.as_c_str()))
            .map_err(|e| Failure::new("mount /tmp", &e.into()))?;
        enter_root(root).map_err(failed("change the root".into()))
    }

    fn opt(&self, target: &Path) -> io::Result<()> {
        match self.spec.opt.as_slice() {
            [] => Ok(()),
            [only] => {
                mount_bind(only, target)?;
                make_read_only(&c_path(target)?, true, false)
            }
            many => {
                // The first named is the topmost.
                let lower: Vec<_> = many.iter().rev().map(|path| path.to_string_lossy()).collect();
                let options =
                    CString::new(format!("lowerdir={}", lower.join(":"))).map_err(io::Error::other)?;
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
                Ok(mount("overlay", target, "overlay", flags, Some(options.as_c_str()))?)
            }
        }
    }

    fn unprivileged(&self) -> io::Result<()> {
        let limit =
            |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
        limit(Resource::Nofile, OPEN_FILES)?;
        limit(Resource::Core, 0)?;
        if !self.launcher.layers.contains(&Layer::MemoryCgroup) {
            limit(Resource::Data, self.spec.memory_bytes)?;
        }
        // Counted by user, so of use only where no control group counts better: the user is the sandbox's own
        // among this server's sandboxes, and another server's on the same machine may have it too.
        let by_user = self.launcher.counts_processes_by_user();
        if let Some(id) = self.outer_id {
            if by_user {
                limit(Resource::Nproc, self.processes_of_the_user())?;
            }
            privileges::become_user(id)?;
        }
        if self.launcher.layers.contains(&Layer::UserNamespace) {
            privileges::enter_user_namespace(self.launcher.proc.as_fd())?;
            if self.outer_id.is_none() && by_user && counts_by_namespace() {
                // In here the count begins anew, although the user is the server's own.
                limit(Resource::Nproc, self.processes_of_the_user())?;
            }
        }
        if let Some(Keeper { told, .. }) = &self.keeper {
            // From here on nobody but this process may open them.
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let open = |name| openat(&self.launcher.proc, name, flags, Mode::empty());
            let (users, processes) = (open("self/ns/user")?, open("self/ns/pid")?);
            send(told, &Told::Stands, &[users.as_fd(), processes.as_fd()])?;
        }
        privileges::drop_capabilities()?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        // Again, because the change of user has cleared it; the launcher may have died in between.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let mut launcher = [PollFd::new(&self.launcher.own, PollFlags::IN)];
        match poll(&mut launcher, Some(&Timespec::default()))? {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    fn processes_of_the_user(&self) -> u64 {
        let most = u64::from(self.spec.max_processes);
        match self.spec.kind {
            // No more than the server may have itself.
            Kind::Template => {
                let own = getrlimit(Resource::Nproc).maximum.unwrap_or(u64::MAX);
                own.min(most * SANDBOXES_OF_A_USER)
            }
            Kind::Whole | Kind::Waits => most,
        }
    }

    fn supervise(&self, listeners: &[TcpListener; 2]) -> io::Result<i32> {
        // The kernel keeps signals from inside away from a first process only where it has no handler, and
        // the standard library has some, for stack overflows. The command's own process starts with none
        // blocked.
        SigSet::all().thread_block()?;
        let signals = super::child_signals()?;
        // Before any other process is there, which may have something to say at once.
        send(&self.control, &Event::Ready, &[listeners[0].as_fd(), listeners[1].as_fd()])?;
        let mut started = Started { command: None, helpers: Vec::new() };
        for (number, program) in (0..).zip(&self.spec.helpers) {
            started.helpers.push(self.start(|| self.execute_helper(number, program))?);
        }
        if started.helpers.is_empty() {
            let command = self.start(|| self.execute())?;
            started.command = Some(command);
            if let Some(Keeper { told, .. }) = &self.keeper {
                let process = pidfd_open(command, PidfdFlags::empty())?;
                send(told, &Told::Command, &[process.as_fd()])?;
            }
        }
        dup2_stdout(&self.launcher.null)?;
        dup2_stderr(&self.launcher.null)?;
        loop {
            let mut ready = [PollFd::new(&self.control, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
            poll(&mut ready, None)?;
            let (asked, ended) = (!ready[0].revents().is_empty(), !ready[1].revents().is_empty());
            if ended {
                signals.read_signal()?;
                if self.reap(&mut started)? {
                    return Ok(0);
                }
            }
            if asked && !self.answer(&mut started)? {
                return Ok(0);
            }
        }
    }

    fn start(&self, execute: impl FnOnce()) -> io::Result<Pid> {
        match fork()? {
            Side::Child => {
                execute();
                super::sys::exit_now(127)
            }
            Side::Parent(pid) => {
                Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
            }
        }
    }

    /// Collects ended children and tells of those that matter; whether that is the sandbox's end.
    fn reap(&self, started: &mut Started) -> io::Result<bool> {
        loop {
            let (pid, exit) = match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => (pid, exit_of(status)),
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            if started.command == Some(pid) {
                started.command = None;
                send(&self.control, &Event::Exited(exit), &[])?;
                // What was forked from a template outlives it.
                if started.helpers.is_empty() && self.keeper.is_none() {
                    return Ok(true);
                }
            } else if let Some(place) = started.helpers.iter().position(|helper| *helper == pid) {
                let helper = u32::try_from(place).unwrap_or(u32::MAX);
                send(&self.control, &Event::Helper { helper, ended: Ok(exit) }, &[])?;
            } else if let Some(Keeper { told, .. }) = &self.keeper {
                send(told, &Told::Ended { pid: pid.as_raw_nonzero().get(), exit }, &[])?;
            }
        }
    }

    /// Does one thing that the server asks for; `false` when there is no server any more.
    fn answer(&self, started: &mut Started) -> io::Result<bool> {
        let mut request = [0_u8; 8];
        let (length, _) = recv(&self.control, &mut request[..], RecvFlags::empty())?;
        match &request[..length] {
            WANT_SOCKET => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
                send(&self.control, &Event::Socket, &[socket.as_fd()])?;
                Ok(true)
            }
            START_COMMAND => {
                if started.command.is_none() {
                    started.command = Some(self.start(|| self.execute())?);
                }
                Ok(true)
            }
            END_COMMAND => {
                if let Some(command) = started.command {
                    // One that has just ended is told of anyway.
                    let _ = kill_process(command, Signal::TERM);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Becomes the command, or says why not.
    fn execute(&self) {
        let command = || {
            let mut words = self.spec.command.iter().map(|one| text(one)).collect::<io::Result<Vec<_>>>()?;
            if let Some(Keeper { commands, .. }) = &self.keeper {
                rustix::io::fcntl_setfd(commands, rustix::io::FdFlags::empty())?;
                words.push(text(&commands.as_raw_fd().to_string())?);
            }
            self.become_program(&words, &[], &self.spec.directory, &self.log)
        };
        if let Err(cause) = command() {
            let _ = send(&self.control, &Event::NotExecutable(Failure::new("execute", &cause)), &[]);
        }
    }

    fn execute_helper(&self, helper: u32, program: &Path) {
        let log = self.helpers_log.as_ref().unwrap_or(&self.log);
        let root = Path::new("/");
        let command = || self.become_program(&[text(&program.to_string_lossy())?], &WITHHELD, root, log);
        if let Err(cause) = command() {
            let failure = Failure::new(format!("execute {}", program.display()), &cause);
            let _ = send(&self.control, &Event::Helper { helper, ended: Err(failure) }, &[]);
        }
    }

    /// Where the command may be: as it is written, or if it is a name alone, in the folders of its own search
    /// path.
    fn programs(&self, name: &str) -> Vec<String> {
        if name.contains('/') {
            return vec![name.to_owned()];
        }
        let path = self.spec.environment.iter().find(|(name, _)| name == "PATH");
        let folders = path.map(|(_, folders)| folders.as_str()).unwrap_or_default().split(':');
        folders.filter(|folder| !folder.is_empty()).map(|folder| format!("{folder}/{name}")).collect()
    }

    fn become_program(
        &self,
        command: &[CString],
        withheld: &[&str],
        folder: &Path,
        log: &OwnedFd,
    ) -> io::Result<()> {
        let environment = self.spec.environment.iter().filter(|(name, _)| !withheld.contains(&name.as_str()));
        let environment = environment
            .map(|(name, value)| text(&format!("{name}={value}")))
            .collect::<io::Result<Vec<_>>>()?;
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let name = command.first().ok_or_else(missing)?;
        SigSet::empty().thread_set_mask()?;
        rustix::process::chdir(folder)?;
        dup2_stdin(&self.launcher.null)?;
        dup2_stdout(log)?;
        dup2_stderr(log)?;
        let mut cause = missing();
        for program in self.programs(&name.to_string_lossy()) {
            // Comes back only if that was not the program.
            cause = match execute(&text(&program)?, command, &environment) {
                Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => continue,
                Err(other) => other.into(),
                Ok(never) => match never {},
            };
        }
        Err(cause)
    }
}

/// Turns into a program, also into one that was written a moment ago: a process that the server has forked
/// meanwhile may hold it open for writing until it turns into a program of its own.
fn execute(program: &CStr, command: &[CString], environment: &[CString]) -> nix::Result<Infallible> {
    let patience = Instant::now() + BEING_WRITTEN_MAX;
    loop {
        match execve(program, command, environment) {
            Err(nix::errno::Errno::ETXTBSY) if Instant::now() < patience => thread::sleep(BEING_WRITTEN_POLL),
            other => return other,
        }
    }
}

fn text(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::other)
}

/// Whether the kernel counts a user's processes within a user namespace, as Linux does since 5.14.
fn counts_by_namespace() -> bool {
    let about = rustix::system::uname();
    let release = about.release().to_string_lossy();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(5), Some(14))
}

/// Puts an image in the template's place, with the template's `/proc` and `/dev` in it.
fn stand_on(image: &Path, root: &Path) -> io::Result<()> {
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let proc = open_tree(CWD, root.join("proc"), clone)?;
    let devices = open_tree(CWD, root.join("dev"), clone)?;
    mount_bind(image, root)?;
    make_read_only(&c_path(root)?, true, false)?;
    for (tree, place) in [(proc, "proc"), (devices, "dev")] {
        move_mount(&tree, "", CWD, root.join(place), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    // The devices below are mounts of their own, and stay what they are.
    make_read_only(&c_path(&root.join("dev"))?, false, false)
}

/// Makes `root` the root and lets go of everything outside it.
fn enter_root(root: &Path) -> io::Result<()> {
    rustix::process::chdir(root)?;
    // With both places the same, the old root ends up on top of the new one, and is then taken away.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    make_read_only(c"/", false, true)
}

fn exit_of(status: WaitStatus) -> Exit {
    match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Status(status.exit_status().unwrap_or(1)),
    }
}
