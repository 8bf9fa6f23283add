//! Start-up snapshots of the Node.js client, one for each interpreter and heap size.
//!
//! With a heap size among its flags Node.js does not use the compiled code that it carries for its own parts.
//! A snapshot that was made under the same flags brings its own. It fits one build of one interpreter on one
//! processor alone, and whoever starts from another ends at once. So it is named by all that, and tried out
//! before it is used.

use crate::interpreters::CLIENT;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many are kept. Each takes some megabytes of disk.
const MOST: usize = 32;
/// How long one may take to ask for its assignment when it is tried out.
const TRIAL: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
pub(crate) const SNAPSHOT_FLAG: &str = "--snapshot-blob";
const FOLDER: &str = "snapshots";
const ASKS: &[u8] = b"GET /2018-06-01/runtime/assignment ";

#[derive(Default)]
pub(crate) struct Snapshots {
    /// Which of them are there, by name.
    known: Mutex<HashMap<String, bool>>,
    /// The names of those that were made, or could not be. Held while one is made.
    tried: Mutex<HashSet<String>>,
}

impl Snapshots {
    /// Where an instance finds the snapshot for this interpreter and these flags, if there is one.
    pub(crate) fn find(&self, client: &Path, node: &Path, flags: &str) -> Option<String> {
        let name = name(node, flags)?;
        let mut known = self.known.lock();
        let there = *known.entry(name.clone()).or_insert_with(|| client.join(FOLDER).join(&name).exists());
        there.then(|| format!("{CLIENT}/{FOLDER}/{name}"))
    }

    /// Makes it unless it is there or cannot be made. Blocks.
    pub(crate) fn make(&self, client: &Path, node: &Path, flags: &str) {
        let Some(name) = name(node, flags) else { return };
        // The second of two who want the same finds it.
        let mut tried = self.tried.lock();
        if self.find(client, node, flags).is_some() || !tried.insert(name.clone()) {
            return;
        }
        match build(client, node, flags, &name) {
            Ok(()) => drop(self.known.lock().insert(name, true)),
            Err(error) => tracing::warn!(%error, "Node.js starts without a snapshot"),
        }
    }
}

/// Names what a snapshot depends on: the program, its flags, and the machine since it was started.
fn name(node: &Path, flags: &str) -> Option<String> {
    let program = fs::metadata(node).ok()?;
    let (size, time) = (program.len(), program.mtime());
    Some(format!("{}{flags}-{size:x}-{time:x}.blob", boot()?))
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().replace('-', ""))
}

fn build(client: &Path, node: &Path, flags: &str, name: &str) -> io::Result<()> {
    let folder = client.join(FOLDER);
    fs::create_dir_all(&folder)?;
    make_room(&folder)?;
    let fresh = folder.join(format!(".{name}"));
    let mut command = Command::new(node);
    command.arg(flags).arg(SNAPSHOT_FLAG).arg(&fresh);
    command.arg("--build-snapshot").arg(client.join("snapshot.cjs"));
    let done = command.env_clear().stdin(Stdio::null()).output()?;
    if !done.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
    }
    let tried = attempt(client, node, flags, &fresh);
    if tried.is_err() {
        fs::remove_file(&fresh)?;
    }
    tried?;
    fs::rename(&fresh, folder.join(name))
}

/// Removes what was made before the machine was started, and refuses when there are too many all the same.
fn make_room(folder: &Path) -> io::Result<()> {
    let boot = boot().unwrap_or_default();
    let mut kept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name().to_string_lossy().starts_with(&boot) {
            true => kept += 1,
            false => fs::remove_file(entry.path())?,
        }
    }
    if kept < MOST { Ok(()) } else { Err(io::Error::other("there are too many")) }
}

/// Starts from a snapshot, and sees whether it gets as far as to ask what it is to become.
fn attempt(client: &Path, node: &Path, flags: &str, snapshot: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut command = Command::new(node);
    command.arg(flags).arg(SNAPSHOT_FLAG).arg(snapshot);
    command.arg(client.join("bootstrap.cjs")).arg(crate::interpreters::WAIT).env_clear();
    command.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = silent.spawn()?;
    let asked = asked(&listener);
    child.kill()?;
    child.wait()?;
    match asked? {
        true => Ok(()),
        false => Err(io::Error::other("what starts from the snapshot does not work")),
    }
}

fn asked(listener: &TcpListener) -> io::Result<bool> {
    if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&TRIAL))? == 0 {
        return Ok(false);
    }
    let (mut connection, _) = listener.accept()?;
    let mut request = [0; ASKS.len()];
    connection.read_exact(&mut request)?;
    Ok(request == ASKS)
}
