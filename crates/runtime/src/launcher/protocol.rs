//! What the server, the launcher and the first process of a sandbox say to each other.
//!
//! Two kinds of sockets, both `SOCK_SEQPACKET`, one postcard message per packet, descriptors beside it:
//! server and launcher speak [`Request`] and [`Reply`] over the launcher's standard input, and so do the
//! server and the keeper of a template; server and sandbox speak [`Event`] over a pair that the server
//! makes for each sandbox. A sandbox is never trusted: the server takes nothing from it but these events,
//! and a malformed one ends the sandbox.

use crate::layers::Layers;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::path::PathBuf;

/// The longest message. A specification carries a function's whole environment, and little else that grows.
const MESSAGE_BYTES: usize = 128 * 1024;
/// The most descriptors beside one message.
const DESCRIPTORS: usize = 8;

/// What a sandbox is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub id: u64,
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// A folder that is the root, in place of the host's programs and libraries.
    pub root: Option<PathBuf>,
    /// Where the command starts.
    pub directory: PathBuf,
    /// Host folders and what they are inside, read-only.
    pub binds: Vec<Bind>,
    /// Several layers merged into one `/opt`, lowest first. One layer alone is a bind.
    pub opt: Vec<PathBuf>,
    pub tmp_bytes: u64,
    /// What the processes may hold, `/tmp` included. The function's own share is watched by the host.
    pub memory_bytes: u64,
    pub max_processes: u32,
    pub kind: Kind,
    /// Programs that run beside the command: a function's extensions. With any, the command starts only when
    /// it is told to, and its end is not the sandbox's.
    pub helpers: Vec<PathBuf>,
}

/// What is still to come for a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Nothing: it has all that it needs.
    Whole,
    /// Its code is attached later.
    Waits,
    /// Its command is a template, from which other sandboxes are forked.
    Template,
}

/// What a sandbox that waits is given once it is known which version it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub binds: Vec<Bind>,
    pub tmp_bytes: u64,
    pub memory_bytes: u64,
    pub max_processes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
}

/// From the server to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// With the log pipe's write end, the sandbox's end of its control pair, and the write end of the
    /// helpers' pipe if there are any. For a template, the keeper's end of a pair instead of the last.
    Spawn(Box<Spec>),
    Attach {
        id: u64,
        attachment: Attachment,
    },
    /// To a keeper: another sandbox like the template's, whose command goes on where the template stands.
    /// With the log pipe's write end and the sandbox's end of its control pair.
    Fork {
        id: u64,
    },
    Kill {
        id: u64,
    },
}

/// From the launcher to the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Once, at start.
    Ready {
        layers: Layers,
        /// Whether instances can be forked from a template here.
        forks: bool,
    },
    Spawned {
        id: u64,
        pid: i32,
        control_group: Option<ControlGroup>,
    },
    /// No process was made.
    Failed {
        id: u64,
        failure: Failure,
    },
    Attached {
        id: u64,
        outcome: Result<(), Failure>,
    },
    /// Every process of the sandbox is gone, and so is its control group.
    Gone {
        id: u64,
        out_of_memory: bool,
        memory_peak: u64,
    },
}

/// From the first process of a sandbox to the server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The walls stand and the runtime starts. With the listeners of the Runtime API and of the platform.
    Ready,
    Failed(Failure),
    /// The command could not be executed.
    NotExecutable(Failure),
    Exited(Exit),
    /// The helper of this number has ended, or could not be executed.
    Helper {
        helper: u32,
        ended: Result<Exit, Failure>,
    },
    /// With a TCP socket that lives in the sandbox's network.
    Socket,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Exit {
    Status(i32),
    Signal(i32),
}

/// A step that did not work, and the system's error number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub step: String,
    pub errno: i32,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, cause: &io::Error) -> Failure {
        Failure { step: step.into(), errno: cause.raw_os_error().unwrap_or(0) }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, io::Error::from_raw_os_error(self.errno))
    }
}

/// Where the figures of a sandbox can be read and its processor share be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlGroup {
    pub version: GroupVersion,
    pub memory: Option<PathBuf>,
    pub cpu: Option<PathBuf>,
    pub freeze: Option<Freeze>,
}

/// Where a sandbox can be frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Freeze {
    pub version: GroupVersion,
    pub folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GroupVersion {
    V1,
    V2,
}

/// From the first process of a template's sandbox to the keeper.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// The sandbox has its user. With descriptors of its name spaces of users and of processes.
    Stands,
    /// The template runs. With a descriptor of its process.
    Command,
    /// A child that lost its parent has ended; the pid is that of the template's name space.
    Ended { pid: i32, exit: Exit },
}

/// With a descriptor of the sandbox's mount namespace, from its first process to the launcher. Not empty: an
/// empty packet reads like the other end's close.
pub(crate) const NAMESPACE: u8 = 1;

/// Asks the first process of a sandbox for a [`Event::Socket`].
pub(crate) const WANT_SOCKET: &[u8] = b"s";
/// Tells it to start the command that waited for its helpers.
pub(crate) const START_COMMAND: &[u8] = b"g";
/// Tells it to ask the command to end.
pub(crate) const END_COMMAND: &[u8] = b"t";

/// Sends one message; `descriptors` arrive with it or not at all.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if bytes.len() > MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long for the launcher"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message, or `None` when the other end is closed.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
    }
    let message = postcard::from_bytes(&bytes[..received.bytes])
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some((message, descriptors)))
}
