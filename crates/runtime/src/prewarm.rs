//! Pre-warmed sandboxes: an interpreter that has booted and waits to be told for which version.
//!
//! There is one for each way of booting that was used lately; it is made in the background after a start, so a machine
//! on which no function uses an interpreter has none. What waits holds no code, no credentials and no log, and runs
//! nothing but our own client.

use crate::instance::{DEFAULTS, PROCESSES};
use crate::interpreters::{Boot, Start, WAIT};
use crate::launcher::RUNTIME_API_PORT;
use crate::launcher::protocol::Spec;
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
}

#[derive(Default)]
struct State {
    making: Vec<Boot>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    boot: Boot,
    since: Instant,
    prewarmed: Prewarmed,
}

impl Prewarm {
    pub(crate) fn new(limits: &Limits) -> Prewarm {
        let idle = Duration::from_secs(limits.idle_instance_seconds);
        Prewarm { state: Mutex::default(), limit: limits.prewarmed_instances, idle }
    }

    /// One for this version, if there is one that it can have.
    pub(crate) fn take(&self, start: &Start, version: &Version) -> Option<Prewarmed> {
        // Several layers are merged by a mount of their own, which is not attached but built in.
        if !start.waits || version.layers.len() > 1 || version.environment.keys().any(|name| is_early(name)) {
            return None;
        }
        let mut state = self.state.lock();
        let place = state.waiting.iter().position(|one| one.boot == start.boot)?;
        let taken = state.waiting.remove(place);
        drop(state);
        taken.prewarmed.sandbox.is_alive().then_some(taken.prewarmed)
    }

    /// How many wait.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.state.lock().waiting.len()).unwrap_or(u32::MAX)
    }

    /// Makes one for the next start like this one, unless it is there. Comes back when it has gone again unused.
    pub(crate) async fn refill(&self, start: &Start, launcher: &Launcher) {
        {
            let mut state = self.state.lock();
            let there = state.waiting.iter().map(|one| &one.boot).chain(&state.making);
            if !start.waits || self.limit == 0 || there.into_iter().any(|boot| *boot == start.boot) {
                return;
            }
            state.making.push(start.boot.clone());
        }
        let made = tokio::time::timeout(BOOT_LIMIT, make(&start.boot, launcher)).await;
        let since = Instant::now();
        let mut evicted = None;
        {
            let mut state = self.state.lock();
            state.making.retain(|boot| *boot != start.boot);
            let Ok(Ok(prewarmed)) = made else { return };
            if state.waiting.len() >= self.limit {
                evicted = Some(state.waiting.remove(0));
            }
            state.waiting.push(Waiting { boot: start.boot.clone(), since, prewarmed });
        }
        drop(evicted);
        tokio::time::sleep(self.idle).await;
        let gone: Vec<Waiting> = self.state.lock().waiting.extract_if(.., |one| one.since == since).collect();
        drop(gone);
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
        binds: boot.binds.clone(),
        opt: Vec::new(),
        tmp_bytes: WAITING_TMP_BYTES,
        memory_bytes: WAITING_BYTES,
        max_processes: PROCESSES,
        waits: true,
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
