//! Runs event source mappings: one task for each that is enabled or on its way to a state.
//!
//! All truth is in the store. A commit that changes a mapping sends its key here; at start every mapping is read
//! once. The task of an idle mapping waits for its queue to change, so it costs nothing but its memory.

mod flight;
mod poller;

use crate::cloud::Cloud;
use mayfly_kernel::Fault;
use mayfly_services::lambda::mappings::{self, Key};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::error;

/// What all batches of this node may hold in memory together.
const MEMORY_KIB: usize = 256 * 1024;

/// The driver's mailbox.
#[derive(Clone)]
pub(crate) struct Mappings(mpsc::UnboundedSender<Key>);

pub(crate) struct Mailbox(mpsc::UnboundedReceiver<Key>);

impl Mappings {
    pub(crate) fn channel() -> (Mappings, Mailbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Mappings(sender), Mailbox(receiver))
    }

    pub(crate) fn changed(&self, key: Key) {
        // The driver is gone only when the process ends, and the mapping is in the store.
        let _ = self.0.send(key);
    }
}

/// A mapping's task.
struct Task {
    news: Arc<Notify>,
    /// It was told something, which it may not have heard before it ended.
    told: bool,
}

struct Driver {
    cloud: Arc<Cloud>,
    memory: Arc<Semaphore>,
    tasks: HashMap<Key, Task>,
    running: JoinSet<Key>,
}

pub(crate) async fn drive(cloud: Arc<Cloud>, mut mailbox: Mailbox) -> Result<(), Fault> {
    let unfinished = mappings::unfinished(cloud.runner.store())?;
    let memory = Arc::new(Semaphore::new(MEMORY_KIB));
    let mut driver = Driver { cloud, memory, tasks: HashMap::new(), running: JoinSet::new() };
    for key in unfinished {
        driver.changed(key);
    }
    loop {
        tokio::select! {
            changed = mailbox.0.recv() => match changed {
                Some(key) => driver.changed(key),
                None => return Ok(()),
            },
            Some(ended) = driver.running.join_next() => match ended {
                Ok(key) => driver.ended(key),
                Err(failure) => error!(%failure, "an event source mapping has stopped until the next start"),
            },
        }
    }
}

impl Driver {
    fn changed(&mut self, key: Key) {
        if let Some(task) = self.tasks.get_mut(&key) {
            task.told = true;
            task.news.notify_one();
            return;
        }
        let news = Arc::new(Notify::new());
        let task = poller::run(self.cloud.clone(), key.clone(), news.clone(), self.memory.clone());
        self.tasks.insert(key, Task { news, told: false });
        self.running.spawn(task);
    }

    fn ended(&mut self, key: Key) {
        if self.tasks.remove(&key).is_some_and(|task| task.told) {
            self.changed(key);
        }
    }
}
