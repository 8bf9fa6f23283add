//! The end of an instance whose extensions have registered: they are told, and get a moment.
//!
//! As AWS documents it: the runtime is asked to end (`SIGTERM`), extensions get `SHUTDOWN` with the reason,
//! and after two seconds, or half a second if there are internal ones alone, whatever is left is killed.

use crate::extensions::{Extensions, Shutdown};
use crate::freezer::Freezer;
use crate::logs::LogPipe;
use crate::sandbox::Sandbox;
use mayfly_kernel::Clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const EXTERNAL: Duration = Duration::from_millis(2000);
const INTERNAL: Duration = Duration::from_millis(500);

/// What is left of an instance that nobody uses any more.
pub(crate) struct Parting {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) extensions: Arc<Extensions>,
    pub(crate) freezer: Option<Arc<Freezer>>,
    /// What it prints.
    pub(crate) pipes: Vec<Arc<LogPipe>>,
    /// Its conversations go on until it is gone.
    pub(crate) tasks: JoinSet<()>,
}

/// All that are under way.
pub(crate) struct Farewells {
    clock: Arc<dyn Clock>,
    running: Mutex<JoinSet<()>>,
}

impl Farewells {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Farewells {
        Farewells { clock, running: Mutex::default() }
    }

    /// Tells the extensions in the background; the sandbox ends when they have, or when their time is up.
    pub(crate) fn say(&self, parting: Parting, reason: Shutdown) {
        // An instance may be dropped with the last of the server, where nothing can be waited for any more.
        let Ok(_context) = tokio::runtime::Handle::try_current() else { return };
        let clock = self.clock.clone();
        let mut running = self.running.lock();
        while running.try_join_next().is_some() {}
        running.spawn(part(parting, reason, clock));
    }

    /// Comes back when all that were begun are over.
    pub(crate) async fn done(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        running.join_all().await;
    }
}

async fn part(parting: Parting, reason: Shutdown, clock: Arc<dyn Clock>) {
    let Parting { sandbox, extensions, freezer, pipes, tasks } = parting;
    if let Some(freezer) = freezer {
        freezer.wake();
    }
    let within = if extensions.has_external() { EXTERNAL } else { INTERNAL };
    // Whoever does not hear it is gone already.
    let _ = sandbox.end_command().await;
    extensions.shut_down(reason, (clock.now() + within).ms());
    let over = async {
        match extensions.external() {
            0 => drop(sandbox.ended().await),
            programs => {
                for _ in 0..programs {
                    // However it ended.
                    let _ = sandbox.helper_ended().await;
                }
            }
        }
    };
    let _ = tokio::time::timeout(within, over).await;
    sandbox.kill();
    // Its last words, which nobody may have read yet.
    for pipe in pipes {
        let _ = pipe.drain();
    }
    drop(tasks);
}
