//! Pre-warmed sandboxes: an interpreter that has booted and waits to be told for which version.
//!
//! There is one for each way of booting that was used lately, and one more for each start that found none.
//! They are made in the background after a start, so a machine on which no function uses an interpreter has
//! none, and one that is short of memory none either. What waits holds no code, no credentials and no log,
//! and runs nothing but our own client.

use crate::instance::{DEFAULTS, PROCESSES, TASK};
use crate::interpreters::{Boot, Start, WAIT};
use crate::launcher::RUNTIME_API_PORT;
use crate::launcher::protocol::{Kind, Spec};
use crate::pool::Gauge;
use crate::sandbox::{Doors, Launcher, Sandbox, SpawnError};
use mayfly_kernel::Limits;
use mayfly_kernel::function::Version;
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Names of variables that begin so are read by an interpreter or its libraries when they start.
const READ_AT_START: [&str; 9] =
    ["PYTHON", "NODE_", "LD_", "LC_", "LANG", "GLIBC_", "MALLOC_", "OPENSSL_", "UV_"];
/// An interpreter that has not booted by then never will.
const BOOT_LIMIT: Duration = Duration::from_secs(20);
/// What a waiting sandbox may hold. It runs only our own client, and a limit can always be lowered.
const WAITING_BYTES: u64 = 64 << 30;
const WAITING_TMP_BYTES: u64 = 1 << 20;
/// How often memory pressure is looked at while one waits.
const WATCH_PRESSURE: Duration = Duration::from_secs(5);

pub(crate) struct Prewarmed {
    pub(crate) sandbox: Sandbox,
    pub(crate) doors: Doors,
    /// On which the client asks for its assignment.
    pub(crate) first: TcpStream,
}

/// All that wait.
pub(crate) struct Prewarm {
    state: Mutex<State>,
    limit: usize,
    idle: Duration,
    pressure: Gauge,
}

#[derive(Default)]
struct State {
    making: Vec<Boot>,
    waiting: Vec<Waiting>,
    /// How many are to wait of each kind: one more for each start that found none, one fewer for each unused.
    wanted: Vec<(Boot, usize)>,
}

struct Waiting {
    boot: Boot,
    since: Instant,
    prewarmed: Prewarmed,
}

impl Prewarm {
    pub(crate) fn new(limits: &Limits) -> Prewarm {
        let idle = Duration::from_secs(limits.idle_instance_seconds);
        let (state, pressure) = (Mutex::default(), Gauge::default());
        Prewarm { state, limit: limits.prewarmed_instances, idle, pressure }
    }

    /// Whether this version can have one at all.
    pub(crate) fn serves(start: &Start, version: &Version) -> bool {
        // Several layers are merged by a mount of their own, which is not attached but built in.
        start.waits
            // Whether its hooks run is for the command line to say, and this one's is written.
            && !version.snap_start
            && version.layers.len() <= 1
            && !version.environment.keys().any(|name| is_early(name))
    }

    /// One for this version, if there is one that it can have.
    pub(crate) fn take(&self, start: &Start, version: &Version) -> Option<Prewarmed> {
        if !Prewarm::serves(start, version) {
            return None;
        }
        let mut state = self.state.lock();
        let Some(place) = state.waiting.iter().position(|one| one.boot == start.boot) else {
            state.was_missed(&start.boot, self.limit);
            return None;
        };
        let taken = state.waiting.remove(place);
        drop(state);
        taken.prewarmed.sandbox.is_alive().then_some(taken.prewarmed)
    }

    /// How many wait.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.state.lock().waiting.len()).unwrap_or(u32::MAX)
    }

    /// Makes one for the next start like this, unless there are enough. Comes back when it has gone again.
    pub(crate) async fn refill(&self, start: &Start, launcher: &Launcher) {
        {
            let mut state = self.state.lock();
            let there = state.waiting.iter().map(|one| &one.boot).chain(&state.making);
            let there = there.filter(|boot| **boot == start.boot).count();
            if there >= state.wanted(&start.boot).min(self.limit) {
                return;
            }
            state.making.push(start.boot.clone());
        }
        let asked = Instant::now();
        while self.pressure.pressed() && asked.elapsed() < self.idle {
            tokio::time::sleep(WATCH_PRESSURE).await;
        }
        let made = match self.pressure.pressed() {
            true => None,
            false => tokio::time::timeout(BOOT_LIMIT, make(&start.boot, launcher)).await.ok(),
        };
        let since = Instant::now();
        let mut evicted = None;
        {
            let mut state = self.state.lock();
            if let Some(place) = state.making.iter().position(|boot| *boot == start.boot) {
                state.making.swap_remove(place);
            }
            let Some(Ok(prewarmed)) = made else { return };
            if state.waiting.len() >= self.limit {
                evicted = Some(state.waiting.remove(0));
            }
            state.waiting.push(Waiting { boot: start.boot.clone(), since, prewarmed });
        }
        drop(evicted);
        while since.elapsed() < self.idle && !self.pressure.pressed() {
            let left = self.idle.saturating_sub(since.elapsed());
            tokio::time::sleep(left.min(WATCH_PRESSURE)).await;
            if !self.state.lock().waiting.iter().any(|one| one.since == since) {
                return;
            }
        }
        let gone = self.state.lock().take_unused(since);
        drop(gone);
    }
}

impl State {
    /// At least one, because whoever asks has just had a start of this kind.
    fn wanted(&self, boot: &Boot) -> usize {
        self.wanted.iter().find(|(kind, _)| kind == boot).map_or(1, |(_, count)| *count)
    }

    fn was_missed(&mut self, boot: &Boot, limit: usize) {
        match self.wanted.iter_mut().find(|(kind, _)| kind == boot) {
            Some((_, count)) => *count = limit.min(*count + 1),
            None => self.wanted.push((boot.clone(), limit.min(1))),
        }
    }

    /// Takes out the one that waits since then, and wants one less like it.
    fn take_unused(&mut self, since: Instant) -> Option<Waiting> {
        let place = self.waiting.iter().position(|one| one.since == since)?;
        let gone = self.waiting.remove(place);
        if let Some((_, count)) = self.wanted.iter_mut().find(|(kind, _)| *kind == gone.boot) {
            *count = count.saturating_sub(1);
        }
        self.wanted.retain(|(_, count)| *count > 0);
        Some(gone)
    }
}

async fn make(boot: &Boot, launcher: &Launcher) -> Result<Prewarmed, SpawnError> {
    let mut command = boot.command.clone();
    command.push(WAIT.into());
    let mut environment: Vec<(String, String)> =
        DEFAULTS.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    environment.push(("AWS_LAMBDA_RUNTIME_API".into(), format!("127.0.0.1:{RUNTIME_API_PORT}")));
    let spec = Spec {
        id: launcher.next_id(),
        command,
        environment,
        root: None,
        directory: TASK.into(),
        binds: boot.binds.clone(),
        opt: Vec::new(),
        tmp_bytes: WAITING_TMP_BYTES,
        memory_bytes: WAITING_BYTES,
        max_processes: PROCESSES,
        kind: Kind::Waits,
        helpers: Vec::new(),
    };
    let (sandbox, doors) = launcher.spawn(spec).await?;
    let (first, _) = doors.runtime_api.accept().await?;
    // It connects to ask; that it has asked is the sign that it has booted.
    first.readable().await?;
    Ok(Prewarmed { sandbox, doors, first })
}

fn is_early(name: &str) -> bool {
    name != "NODE_ENV" && READ_AT_START.iter().any(|prefix| name.starts_with(prefix))
}
