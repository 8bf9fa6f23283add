//! What is made of a package once, ahead of its instances, rather than by each of them anew: compiled modules.
//!
//! Nothing outside of a sandbox reads or runs what strangers wrote, so it is made in a sandbox of its own, without a
//! network and without the function's variables. What comes of it depends on the package's bytes alone and lies
//! within the unpacked package, so whoever uses the package may have it.
//!
//! - `python`: the bytecode of all modules, where Python looks for it.
//! - `made`: what a run of the initialisation leaves behind. For Java an archive of the classes that it loaded, for
//!   Node.js the compiled code of its modules.
//!
//! In the background and one package at a time: until it is done, instances do without.

mod made;
mod python;

pub(crate) use made::{FOLDER, folder, java_archive, node_cache};

use crate::instance::{Files, Place};
use crate::interpreters::Boot;
use crate::launcher::protocol::{Bind, Kind, Spec};
use crate::sandbox::Launcher;
use mayfly_kernel::function::{Runtime, Version};
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one package may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is tried: a machine may be short of memory or processes for a moment.
const TRIES: u32 = 3;
/// A file costs this much beside its bytes, so that many empty ones come to an end too.
const FILE_BYTES: u64 = 512;

pub(crate) struct Ahead {
    /// All results of one package together.
    limit: u64,
    known: Mutex<Known>,
    turn: tokio::sync::Mutex<()>,
}

/// What was begun or found, by its marks.
#[derive(Default)]
struct Known {
    begun: HashSet<PathBuf>,
    failures: HashMap<PathBuf, u32>,
}

impl Known {
    /// The next start that could use it has it tried again, unless it was in vain too often.
    fn failed(&mut self, mark: PathBuf) {
        let failures = self.failures.entry(mark.clone()).or_default();
        *failures += 1;
        if *failures < TRIES {
            self.begun.remove(&mark);
        }
    }
}

/// Something to make of a package, unless it was made before.
struct Plan {
    package: PathBuf,
    /// Lies beside the package, because what lies in it is seen by functions.
    mark: PathBuf,
    /// Looks at the package; nothing if it is not worth it. Blocks.
    order: Box<dyn FnOnce() -> io::Result<Option<Order>> + Send>,
}

/// What is run in the sandbox, and what takes in the results that it prints.
struct Order {
    command: Vec<String>,
    environment: Vec<(String, String)>,
    /// The folders of the layers that it may load from, lowest first.
    layers: Vec<PathBuf>,
    binds: Vec<Bind>,
    tmp_bytes: u64,
    memory_bytes: u64,
    processes: u32,
    /// Answers how many files it wrote. What comes from a sandbox is not trusted: it may lie about its own
    /// package's code, and about nothing else.
    take_in: Box<TakeIn>,
}

type TakeIn = dyn FnOnce(&mut dyn Read, u64) -> io::Result<usize> + Send;

impl Ahead {
    /// `limit` is the most that an unpacked package may hold.
    pub(crate) fn new(limit: u64) -> Ahead {
        Ahead { limit, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Makes all that shortens the starts of a version whose package and layers are unpacked in `folders`.
    pub(crate) async fn make(
        &self,
        version: &Version,
        boot: &Boot,
        folders: &[PathBuf],
        launcher: &Launcher,
    ) {
        let plans: Vec<Plan> = match &version.runtime {
            Runtime::Python(_) => folders.iter().filter_map(|folder| python::plan(folder, boot)).collect(),
            Runtime::Node(_) => made::node(folders, version, boot).into_iter().collect(),
            Runtime::Java(_) => made::java(folders, version, boot).into_iter().collect(),
            Runtime::Provided(_) | Runtime::Web | Runtime::Wasm | Runtime::Image => Vec::new(),
        };
        for plan in plans {
            self.follow(plan, launcher).await;
        }
    }

    async fn follow(&self, plan: Plan, launcher: &Launcher) {
        let Plan { package, mark, order } = plan;
        if !self.known.lock().begun.insert(mark.clone()) {
            return;
        }
        let _one = self.turn.lock().await;
        let known = mark.clone();
        let order = move || if known.exists() { Ok(None) } else { order() };
        let made = match tokio::task::spawn_blocking(order).await.map_err(io::Error::from).flatten() {
            Ok(None) => return,
            Ok(Some(order)) => match tokio::time::timeout(LIMIT, self.run(&package, order, launcher)).await {
                Ok(made) => made,
                Err(late) => Err(late.into()),
            },
            Err(error) => Err(error),
        };
        match made.and_then(|count| fs::write(&mark, "").map(|()| count)) {
            Ok(count) => tracing::debug!(count, "compiled a package"),
            Err(error) => {
                tracing::warn!(%error, "a package is not compiled ahead");
                self.known.lock().failed(mark);
            }
        }
    }

    async fn run(&self, package: &Path, order: Order, launcher: &Launcher) -> io::Result<usize> {
        let files = Files::Package { code: package.to_owned(), layers: order.layers };
        let Place { mut binds, opt, root, directory } = files.place();
        binds.extend(order.binds);
        let spec = Spec {
            id: launcher.next_id(),
            command: order.command,
            environment: order.environment,
            root,
            directory,
            binds,
            opt,
            tmp_bytes: order.tmp_bytes,
            memory_bytes: order.memory_bytes,
            max_processes: order.processes,
            kind: Kind::Whole,
            helpers: Vec::new(),
        };
        let (_sandbox, doors) = launcher.spawn(spec).await.map_err(io::Error::other)?;
        rustix::io::ioctl_fionbio(&doors.log, false)?;
        let (results, limit, take_in): (OwnedFd, _, _) = (doors.log, self.limit, order.take_in);
        // Ends with the sandbox at the latest.
        let reading =
            tokio::task::spawn_blocking(move || take_in(&mut BufReader::new(File::from(results)), limit));
        reading.await?
    }
}

/// The mark that a package has been compiled for an interpreter.
fn mark(package: &Path, boot: &Boot, what: &str) -> Option<PathBuf> {
    let interpreter = boot.command.first()?.replace('/', "_");
    Some(package.with_file_name(format!(".{}{interpreter}{what}", package.file_name()?.to_str()?)))
}

/// Takes a file's share out of what is left of a package's limit.
fn spend(left: &mut u64, bytes: u64) -> io::Result<()> {
    *left = left
        .checked_sub(bytes.saturating_add(FILE_BYTES))
        .ok_or(io::Error::from(io::ErrorKind::FileTooLarge))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_begun_again_but_not_for_ever() {
        let (mut known, mark) = (Known::default(), PathBuf::from("/a/.mark"));
        for _ in 0..TRIES {
            assert!(known.begun.insert(mark.clone()), "it is tried again");
            assert!(!known.begun.insert(mark.clone()), "and not twice at once");
            known.failed(mark.clone());
        }
        assert!(!known.begun.insert(mark), "it was in vain too often");
    }
}
