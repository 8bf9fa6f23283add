//! Runs event source mappings and pipes: one task for each that is enabled or on its way to a state.
//!
//! Queues are read by `poller.rs`, sources outside of Mayfly by `external/`.
//!
//! All truth is in the store. A commit that changes one sends its name here; at start every one is read once.
//! The task of an idle one waits for its source to change, so it costs nothing but its memory.

mod external;
mod flight;
mod poller;

use crate::cloud::Cloud;
use mayfly_kernel::Fault;
use mayfly_services::readers::Reader;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::error;

/// What all batches of this node may hold in memory together.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// The driver's mailbox.
#[derive(Clone)]
pub(crate) struct Mappings(mpsc::UnboundedSender<Reader>);

pub(crate) struct Mailbox(mpsc::UnboundedReceiver<Reader>);

impl Mappings {
    pub(crate) fn channel() -> (Mappings, Mailbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Mappings(sender), Mailbox(receiver))
    }

    pub(crate) fn changed(&self, reader: Reader) {
        // The driver is gone only when the process ends, and the reader is in the store.
        let _ = self.0.send(reader);
    }
}

/// A reader's task.
struct Task {
    news: Arc<Notify>,
    /// It was told something, which it may not have heard before it ended.
    told: bool,
}

struct Driver {
    cloud: Arc<Cloud>,
    memory: Arc<Semaphore>,
    tasks: HashMap<Reader, Task>,
    running: JoinSet<Reader>,
}

pub(crate) async fn drive(cloud: Arc<Cloud>, mut mailbox: Mailbox) -> Result<(), Fault> {
    let unfinished = Reader::unfinished(cloud.runner.store())?;
    let memory = Arc::new(Semaphore::new(MEMORY_KIB_MAX as usize));
    let mut driver = Driver { cloud, memory, tasks: HashMap::new(), running: JoinSet::new() };
    for reader in unfinished {
        driver.changed(reader);
    }
    loop {
        tokio::select! {
            changed = mailbox.0.recv() => match changed {
                Some(reader) => driver.changed(reader),
                None => return Ok(()),
            },
            Some(ended) = driver.running.join_next() => match ended {
                Ok(reader) => driver.ended(reader),
                Err(failure) => error!(%failure, "a mapping or pipe has stopped until the next start"),
            },
        }
    }
}

impl Driver {
    fn changed(&mut self, reader: Reader) {
        if let Some(task) = self.tasks.get_mut(&reader) {
            task.told = true;
            task.news.notify_one();
            return;
        }
        let news = Arc::new(Notify::new());
        let task = run(self.cloud.clone(), reader.clone(), news.clone(), self.memory.clone());
        self.tasks.insert(reader, Task { news, told: false });
        self.running.spawn(task);
    }

    fn ended(&mut self, reader: Reader) {
        if self.tasks.remove(&reader).is_some_and(|task| task.told) {
            self.changed(reader);
        }
    }
}

async fn run(cloud: Arc<Cloud>, reader: Reader, news: Arc<Notify>, memory: Arc<Semaphore>) -> Reader {
    let caller = reader.caller();
    match cloud.runner.view(&caller, "", |cx| reader.is_external(cx)) {
        Ok(true) => external::run(cloud, reader, news, memory).await,
        Ok(false) => poller::run(cloud, reader, news, memory).await,
        Err(fault) => {
            error!(%fault, ?reader, "a mapping cannot be read, and rests until the next start");
            reader
        }
    }
}
