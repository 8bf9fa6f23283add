//! Sandboxes as the server holds them: the link to the launcher, and what each sandbox hands over.
//!
//! A [`Sandbox`] that is dropped is killed. If the launcher dies, its sandboxes die with it (their first
//! processes ask the kernel for that), and the next spawn starts a new launcher.
//! What is forked from a template is made over a link of the template's own ([`Forks`]).

use crate::host::LauncherCommand;
use crate::launcher::protocol::{
    Attachment, ControlGroup, END_COMMAND, Event, Exit, Failure, Freeze, GroupVersion, Reply, Request,
    START_COMMAND, Spec, WANT_SOCKET, receive, send,
};
use crate::layers::Layers;
use crate::readiness::watched;
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Building a sandbox takes milliseconds; one that takes this long will never stand.
const BUILD_LIMIT: Duration = Duration::from_secs(10);

/// The launcher, whichever process that is at the moment.
pub(crate) struct Launcher {
    command: LauncherCommand,
    /// An empty folder that roots are built on.
    root: PathBuf,
    ids: AtomicU64,
    link: tokio::sync::Mutex<Arc<Link>>,
    stopped: AtomicBool,
}

/// A running launcher process, or a template's keeper.
struct Link {
    layers: Layers,
    /// Whether instances can be forked.
    forks: bool,
    outbox: Outbox,
    waiting: Mutex<HashMap<u64, Waiting>>,
    /// Told to end the conversation; it then waits for the process.
    stop: Notify,
    conversation: Mutex<Option<JoinHandle<()>>>,
}

type Outbox = mpsc::UnboundedSender<(Request, Vec<OwnedFd>)>;

struct Waiting {
    spawned: Option<oneshot::Sender<Result<Spawned, Failure>>>,
    attached: Option<oneshot::Sender<Result<(), Failure>>>,
    life: watch::Sender<Life>,
    freeze: Option<Freeze>,
}

struct Spawned {
    pid: i32,
    group: Option<ControlGroup>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Gone { out_of_memory: bool, memory_peak: u64 },
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("cannot {0}")]
    Failed(Failure),
    #[error("the launcher is gone")]
    LauncherGone,
    #[error("the sandbox did not stand in time")]
    Timeout,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How a sandbox ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exited(Exit),
    NotExecutable(Failure),
    OutOfMemory,
}

#[derive(Default)]
struct Mailbox {
    end: Option<Event>,
    helpers: VecDeque<(u32, Result<Exit, Failure>)>,
    sockets: VecDeque<Vec<OwnedFd>>,
}

impl Mailbox {
    fn put(&mut self, event: Event, descriptors: Vec<OwnedFd>) {
        match event {
            Event::Exited(_) | Event::NotExecutable(_) => self.end = Some(event),
            Event::Helper { helper, ended } => self.helpers.push_back((helper, ended)),
            Event::Socket => self.sockets.push_back(descriptors),
            Event::Ready | Event::Failed(_) => {}
        }
    }
}

pub(crate) struct Sandbox {
    id: u64,
    pid: i32,
    control: AsyncFd<OwnedFd>,
    /// What the first process has told and nobody has asked for yet.
    mailbox: Mutex<Mailbox>,
    /// Something was put there.
    mail: Notify,
    has_helpers: bool,
    group: Option<ControlGroup>,
    /// The file of the most memory that was held, which is read after every invocation.
    peak: OnceLock<Option<std::fs::File>>,
    life: watch::Receiver<Life>,
    link: Arc<Link>,
}

/// What comes out of a new sandbox.
pub(crate) struct Doors {
    pub runtime_api: TcpListener,
    pub platform: TcpListener,
    /// Standard output and error; not blocking.
    pub log: OwnedFd,
    /// The same of the helpers, if there are any.
    pub helpers_log: Option<OwnedFd>,
}

/// Makes sandboxes by forking from a template. The template's own sandbox must live for as long as they do.
#[derive(Clone)]
pub(crate) struct Forks {
    link: Arc<Link>,
}

impl Forks {
    /// Forks one with this id; its command goes on where the template stands.
    pub(crate) async fn fork(&self, id: u64) -> Result<(Sandbox, Doors), SpawnError> {
        let made = self.link.clone().make(id, false, None, || Request::Fork { id });
        tokio::time::timeout(BUILD_LIMIT, made).await.map_err(|_| SpawnError::Timeout)?
    }
}

impl Launcher {
    pub(crate) async fn start(command: LauncherCommand, root: PathBuf) -> io::Result<Launcher> {
        let link = tokio::sync::Mutex::new(Link::start(&command, &root).await?);
        Ok(Launcher { command, root, ids: AtomicU64::new(1), link, stopped: AtomicBool::new(false) })
    }

    pub(crate) async fn layers(&self) -> Layers {
        self.link.lock().await.layers.clone()
    }

    /// Whether instances can be forked from templates here.
    pub(crate) async fn forks(&self) -> bool {
        self.link.lock().await.forks
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the sandbox and starts its command.
    pub(crate) async fn spawn(&self, spec: Spec) -> Result<(Sandbox, Doors), SpawnError> {
        let link = self.link().await?;
        tokio::time::timeout(BUILD_LIMIT, link.spawn(spec, None)).await.map_err(|_| SpawnError::Timeout)?
    }

    /// Makes the sandbox of a template, and what forks from it.
    pub(crate) async fn spawn_template(&self, spec: Spec) -> Result<(Sandbox, Doors, Forks), SpawnError> {
        let launcher = self.link().await?;
        let (ours, theirs) = pair()?;
        let (outbox, inbox) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(launcher.layers.clone(), true, outbox));
        let socket = asynchronous(ours)?;
        tokio::spawn(converse(Arc::downgrade(&link), socket, inbox, None));
        let made = launcher.spawn(spec, Some(theirs));
        let made = tokio::time::timeout(BUILD_LIMIT, made).await.map_err(|_| SpawnError::Timeout)?;
        made.map(|(sandbox, doors)| (sandbox, doors, Forks { link }))
    }

    /// Ends the launcher, and with it every sandbox; comes back when nothing of them is left.
    pub(crate) async fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let link = self.link.lock().await;
        link.stop.notify_one();
        let conversation = link.conversation.lock().take();
        if let Some(conversation) = conversation {
            let _ = conversation.await;
        }
    }

    /// The launcher that lives, or a new one.
    async fn link(&self) -> io::Result<Arc<Link>> {
        let mut link = self.link.lock().await;
        if self.stopped.load(Ordering::Acquire) {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        }
        if link.outbox.is_closed() {
            tracing::warn!("the launcher was gone; starting another");
            *link = Link::start(&self.command, &self.root).await?;
        }
        Ok(link.clone())
    }
}

impl Link {
    async fn start(command: &LauncherCommand, root: &PathBuf) -> io::Result<Arc<Link>> {
        let (ours, theirs) = pair()?;
        let mut child = tokio::process::Command::new(&command.program)
            .args(&command.args)
            .arg(root)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let socket = asynchronous(ours)?;
        let Some((Reply::Ready { layers, forks }, _)) = next::<Reply>(&socket).await? else {
            let status = child.wait().await?;
            return Err(io::Error::other(format!("the launcher ended at once: {status}")));
        };
        let (outbox, inbox) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(layers, forks, outbox));
        let conversation = tokio::spawn(converse(Arc::downgrade(&link), socket, inbox, Some(child)));
        *link.conversation.lock() = Some(conversation);
        Ok(link)
    }

    fn new(layers: Layers, forks: bool, outbox: Outbox) -> Link {
        let (waiting, conversation) = (Mutex::default(), Mutex::default());
        Link { layers, forks, outbox, waiting, stop: Notify::new(), conversation }
    }

    async fn spawn(
        self: Arc<Link>,
        spec: Spec,
        keeper: Option<OwnedFd>,
    ) -> Result<(Sandbox, Doors), SpawnError> {
        let (id, has_helpers) = (spec.id, !spec.helpers.is_empty());
        self.make(id, has_helpers, keeper, || Request::Spawn(Box::new(spec))).await
    }

    /// Asks for a sandbox, and takes in what comes out of it.
    async fn make(
        self: Arc<Link>,
        id: u64,
        has_helpers: bool,
        keeper: Option<OwnedFd>,
        request: impl FnOnce() -> Request,
    ) -> Result<(Sandbox, Doors), SpawnError> {
        let (log, log_inside) = log_pipe()?;
        let (helpers_log, helpers_log_inside) = match has_helpers {
            true => log_pipe().map(|(log, inside)| (Some(log), Some(inside)))?,
            false => (None, None),
        };
        let (control, control_inside) = pair()?;
        let control = asynchronous(control)?;
        let (spawned_sender, spawned) = oneshot::channel();
        let (life_sender, life) = watch::channel(Life::Running);
        self.waiting.lock().insert(
            id,
            Waiting { spawned: Some(spawned_sender), attached: None, life: life_sender, freeze: None },
        );
        let descriptors = [log_inside, control_inside].into_iter().chain(helpers_log_inside).chain(keeper);
        let request = (request(), descriptors.collect());
        self.outbox.send(request).map_err(|_| SpawnError::LauncherGone)?;
        let Spawned { pid, group } =
            spawned.await.map_err(|_| SpawnError::LauncherGone)?.map_err(SpawnError::Failed)?;
        // From here on a drop kills what was made.
        let (mailbox, mail) = (Mutex::default(), Notify::new());
        let peak = OnceLock::new();
        let sandbox = Sandbox { id, pid, control, mailbox, mail, has_helpers, group, peak, life, link: self };
        match next::<Event>(&sandbox.control).await? {
            Some((Event::Ready, descriptors)) => {
                let Ok([runtime_api, platform]) = <[OwnedFd; 2]>::try_from(descriptors) else {
                    return Err(SpawnError::Io(io::Error::from(io::ErrorKind::InvalidData)));
                };
                let (runtime_api, platform) = (listener(runtime_api)?, listener(platform)?);
                let doors = Doors { runtime_api, platform, log, helpers_log };
                Ok((sandbox, doors))
            }
            Some((Event::Failed(failure), _)) => Err(SpawnError::Failed(failure)),
            Some(_) => Err(SpawnError::Io(io::Error::from(io::ErrorKind::InvalidData))),
            None => Err(SpawnError::LauncherGone),
        }
    }

    fn take_in(&self, reply: Reply) {
        let mut waiting = self.waiting.lock();
        match reply {
            Reply::Ready { .. } => {}
            Reply::Spawned { id, pid, control_group } => {
                let freeze = control_group.as_ref().and_then(|group| group.freeze.clone());
                let one = waiting.get_mut(&id);
                let sender = one.and_then(|one| {
                    one.freeze = freeze;
                    one.spawned.take()
                });
                if let Some(sender) = sender {
                    let spawned = Spawned { pid, group: control_group };
                    if sender.send(Ok(spawned)).is_err() {
                        let _ = self.outbox.send((Request::Kill { id }, Vec::new()));
                    }
                }
            }
            Reply::Failed { id, failure } => {
                if let Some(sender) = waiting.remove(&id).and_then(|one| one.spawned) {
                    let _ = sender.send(Err(failure));
                }
            }
            Reply::Attached { id, outcome } => {
                if let Some(sender) = waiting.get_mut(&id).and_then(|one| one.attached.take()) {
                    let _ = sender.send(outcome);
                }
            }
            Reply::Gone { id, out_of_memory, memory_peak } => {
                if let Some(one) = waiting.remove(&id) {
                    one.life.send_replace(Life::Gone { out_of_memory, memory_peak });
                }
            }
        }
    }
}

/// Carries messages both ways until the launcher or the server is done.
async fn converse(
    link: std::sync::Weak<Link>,
    socket: AsyncFd<OwnedFd>,
    mut inbox: mpsc::UnboundedReceiver<(Request, Vec<OwnedFd>)>,
    child: Option<tokio::process::Child>,
) {
    loop {
        let stopped = async {
            match link.upgrade() {
                Some(link) => link.stop.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped => break,
            outgoing = inbox.recv() => {
                let Some((request, descriptors)) = outgoing else { break };
                let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                let speak = |socket: &OwnedFd| send(socket, &request, &borrowed);
                let sent = socket.async_io(Interest::WRITABLE, speak).await;
                if let Err(error) = sent {
                    tracing::warn!(%error, "cannot speak to the launcher");
                    // Too long a message is one spawn's fault; any other error is the end of the link.
                    let Request::Spawn(spec) = request else { break };
                    if error.kind() != io::ErrorKind::InvalidInput {
                        break;
                    }
                    if let Some(link) = link.upgrade() {
                        let failure = Failure::new("send the specification", &error);
                        link.take_in(Reply::Failed { id: spec.id, failure });
                    }
                }
            }
            incoming = next::<Reply>(&socket) => {
                let (Ok(Some((reply, _))), Some(link)) = (incoming, link.upgrade()) else { break };
                link.take_in(reply);
            }
        }
    }
    inbox.close();
    if let Some(link) = link.upgrade() {
        // Whoever waits for one of these learns that nothing will come. Sandboxes die with their launcher,
        // but the frozen ones only when they are thawed.
        for (_, one) in std::mem::take(&mut *link.waiting.lock()) {
            let _ = one.freeze.map(|freeze| freeze.write(false));
        }
    }
    drop(socket);
    if let Some(mut child) = child {
        let _ = child.wait().await;
    }
}

impl Sandbox {
    /// Gives a sandbox that waits what it was made for.
    pub(crate) async fn attach(&self, attachment: Attachment) -> Result<(), SpawnError> {
        let (sender, attached) = oneshot::channel();
        match self.link.waiting.lock().get_mut(&self.id) {
            Some(waiting) => waiting.attached = Some(sender),
            None => return Err(SpawnError::LauncherGone),
        }
        let request = (Request::Attach { id: self.id, attachment }, Vec::new());
        self.link.outbox.send(request).map_err(|_| SpawnError::LauncherGone)?;
        attached.await.map_err(|_| SpawnError::LauncherGone)?.map_err(SpawnError::Failed)
    }

    /// Resolves when nothing runs in the sandbox any more, with how it came to that. With helpers, already
    /// when the command has ended.
    pub(crate) async fn ended(&self) -> End {
        let mut life = self.life.clone();
        if self.has_helpers {
            let told = self.told(|mailbox| mailbox.end.clone());
            tokio::select! {
                _ = life.wait_for(|life| *life != Life::Running) => {}
                end = told => match end {
                    // Who killed it is known only when all is gone.
                    Ok(Event::Exited(Exit::Signal(libc::SIGKILL))) | Err(_) => self.kill(),
                    Ok(Event::Exited(exit)) => return End::Exited(exit),
                    Ok(Event::NotExecutable(failure)) => return End::NotExecutable(failure),
                    Ok(_) => {}
                }
            }
        }
        let gone = life.wait_for(|life| *life != Life::Running).await.map(|life| *life);
        if matches!(gone, Ok(Life::Gone { out_of_memory: true, .. })) {
            return End::OutOfMemory;
        }
        let mut mailbox = self.mailbox.lock();
        while mailbox.end.is_none() {
            match receive::<Event>(self.control.get_ref()) {
                Ok(Some((event, descriptors))) => mailbox.put(event, descriptors),
                Ok(None) | Err(_) => break,
            }
        }
        match mailbox.end.take() {
            Some(Event::Exited(exit)) => End::Exited(exit),
            Some(Event::NotExecutable(failure)) => End::NotExecutable(failure),
            // Killed from outside before it could say anything.
            _ => End::Exited(Exit::Signal(libc::SIGKILL)),
        }
    }

    /// Resolves when a helper has ended: its number, and how.
    pub(crate) async fn helper_ended(&self) -> (u32, Result<Exit, Failure>) {
        if self.has_helpers
            && let Ok(ended) = self.told(|mailbox| mailbox.helpers.pop_front()).await
        {
            return ended;
        }
        std::future::pending().await
    }

    /// Waits for what `take` finds in the mailbox. Several may wait at once: whoever reads something that is
    /// not its own puts it there.
    async fn told<T>(&self, take: impl Fn(&mut Mailbox) -> Option<T>) -> io::Result<T> {
        loop {
            let mut changed = std::pin::pin!(self.mail.notified());
            changed.as_mut().enable();
            if let Some(found) = take(&mut self.mailbox.lock()) {
                return Ok(found);
            }
            tokio::select! {
                () = changed => {}
                event = next::<Event>(&self.control) => {
                    let Some((event, descriptors)) = event? else {
                        return Err(io::Error::from(io::ErrorKind::NotConnected));
                    };
                    self.mailbox.lock().put(event, descriptors);
                    self.mail.notify_waiters();
                }
            }
        }
    }

    /// Starts the command of a sandbox with helpers.
    pub(crate) async fn start_command(&self) -> io::Result<()> {
        self.say(START_COMMAND).await
    }

    /// Asks the command to end.
    pub(crate) async fn end_command(&self) -> io::Result<()> {
        self.say(END_COMMAND).await
    }

    async fn say(&self, what: &[u8]) -> io::Result<()> {
        let send = |control: &OwnedFd| Ok(rustix::net::send(control, what, SendFlags::NOSIGNAL)?);
        self.control.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// Whether the sandbox still stands, as far as is known.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.has_changed().is_ok() && *self.life.borrow() == Life::Running
    }

    /// Connects to a port inside the sandbox: the sandbox gives a socket of its network, we connect it.
    pub(crate) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.say(WANT_SOCKET).await?;
        let descriptors = self.told(|mailbox| mailbox.sockets.pop_front()).await?;
        let Ok([socket]) = <[OwnedFd; 1]>::try_from(descriptors) else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
        let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The most memory that the sandbox has held, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        if let Life::Gone { memory_peak, .. } = *self.life.borrow() {
            return memory_peak;
        }
        let Some((version, folder)) = self.memory() else { return resident_peak(self.pid) };
        let file = match version {
            GroupVersion::V1 => "memory.max_usage_in_bytes",
            GroupVersion::V2 => "memory.peak",
        };
        let file = self.peak.get_or_init(|| std::fs::File::open(folder.join(file)).ok());
        let mut text = [0; 32];
        let length = file.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        std::str::from_utf8(&text[..length]).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// What the processes hold now, files of `/tmp` and cached files not counted.
    /// Reads the costly figure only when the cheap one, which counts those too, is above `limit`.
    pub(crate) fn exceeds(&self, limit: u64) -> bool {
        let Some((version, folder)) = self.memory() else { return false };
        let (total, own) = match version {
            GroupVersion::V1 => ("memory.usage_in_bytes", "total_rss "),
            GroupVersion::V2 => ("memory.current", "anon "),
        };
        if read_number(&folder.join(total)).unwrap_or(0) <= limit {
            return false;
        }
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let held = stat.lines().find_map(|line| line.strip_prefix(own)?.parse::<u64>().ok());
        held.unwrap_or(0) > limit
    }

    /// Gives the sandbox its share of processor time. Before this it may use what is free, so that it starts
    /// fast.
    pub(crate) fn limit_cpu(&self, memory_mib: u32) {
        /// So much memory comes with one whole processor, as on AWS.
        const MIB_PER_CPU: u64 = 1769;
        const PERIOD_US: u64 = 100_000;
        let quota = (PERIOD_US * u64::from(memory_mib) / MIB_PER_CPU).max(1000);
        let Some(ControlGroup { version, cpu: Some(folder), .. }) = &self.group else { return };
        let written = match version {
            GroupVersion::V1 => std::fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string()),
            GroupVersion::V2 => std::fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_US}")),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "cannot limit an instance's processor time");
        }
    }

    /// How it can be frozen, where the machine allows that.
    pub(crate) fn freeze(&self) -> Option<Freeze> {
        self.group.as_ref()?.freeze.clone()
    }

    pub(crate) fn kill(&self) {
        let _ = self.link.outbox.send((Request::Kill { id: self.id }, Vec::new()));
    }

    fn memory(&self) -> Option<(GroupVersion, &PathBuf)> {
        let group = self.group.as_ref()?;
        group.memory.as_ref().map(|folder| (group.version, folder))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Without a control group: the command's own peak, from the child of the first process.
fn resident_peak(pid: i32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let Some(child) = children.split_whitespace().next() else { return 0 };
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn read_number(path: &std::path::Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn log_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (log, inside) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&log, true)?;
    Ok((log, inside))
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn asynchronous(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    watched(socket)
}

async fn next<T: serde::de::DeserializeOwned>(
    socket: &AsyncFd<OwnedFd>,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    socket.async_io(Interest::READABLE, |socket| receive(socket)).await
}

fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}
