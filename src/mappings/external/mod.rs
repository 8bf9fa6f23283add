//! Runs the mappings and pipes of external sources: a task for each line of each.
//!
//! A line that is in trouble says so in its mapping's `LastProcessingResult` or its pipe's `StateReason`, and
//! is opened again, later each time. A change of a mapping stops its lines: each finishes the call it is in,
//! and what it holds beside that comes again.

mod access;
mod body;
mod kafka;
mod line;
mod mqtt;
mod nats;
mod postgres;
mod rabbit;
mod redis;
mod tunnel;
mod worker;

use crate::cloud::Cloud;
use line::{Line, Trouble};
use mayfly_kernel::{Caller, Fault};
use mayfly_services::lambda::mappings::{self, Broker};
use mayfly_services::readers::{Plan, Reader, Sink};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{error, warn};
use worker::{End, Worker};

/// When the store refuses: not before this long.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Between two tries to open a line: from the first to the last.
const REOPEN_MIN: Duration = Duration::from_millis(500);
const REOPEN_MAX: Duration = Duration::from_secs(10);
/// A line is open within this time, beside what it takes to find a server that is there.
const OPEN_WITHIN: Duration = Duration::from_secs(20);

/// What every line of a mapping shares.
struct Desk {
    cloud: Arc<Cloud>,
    caller: Caller,
    reader: Reader,
    plan: Plan,
    sink: Sink,
    memory: Arc<Semaphore>,
    status: Status,
    stop: watch::Receiver<bool>,
}

impl Desk {
    fn name(&self) -> &str {
        match &self.reader {
            Reader::Mapping(key) | Reader::Pipe(key) => &key.2,
        }
    }

    /// How long it may take until a line is open, or left.
    fn open_within(&self) -> Duration {
        OPEN_WITHIN + line::GRACE * u32::try_from(self.sink.source().endpoints.len()).unwrap_or(1)
    }
}

/// What was last said of a mapping.
#[derive(Default)]
struct Status(Mutex<String>);

impl Status {
    async fn say(&self, desk: &Desk, text: &str) {
        let mut last = self.0.lock().await;
        if *last == text {
            return;
        }
        let noted = desk.cloud.transact_relaxed(&desk.caller, |cx| desk.reader.note(cx, text)).await;
        match noted {
            Ok(()) => text.clone_into(&mut last),
            Err(fault) => warn!(%fault, "cannot note how a mapping goes"),
        }
    }

    /// The source can be read again; what was wrong with it need not be told any more.
    async fn recovered(&self, desk: &Desk) {
        let mut last = self.0.lock().await;
        let noted = desk.cloud.transact_relaxed(&desk.caller, |cx| desk.reader.recovered(cx)).await;
        match noted {
            Ok(true) => mappings::OK.clone_into(&mut last),
            Ok(false) => {}
            Err(fault) => warn!(%fault, "cannot note that a source is there again"),
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever may say so is gone only when it has said so.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Does as the mapping's plan says until there is none, or none to do; its name is for the driver.
pub(super) async fn run(
    cloud: Arc<Cloud>,
    reader: Reader,
    news: Arc<Notify>,
    memory: Arc<Semaphore>,
) -> Reader {
    let caller = reader.caller();
    loop {
        match follow_plan(&cloud, &caller, &reader, &news, &memory).await {
            Ok(true) => {}
            Ok(false) => return reader,
            Err(fault) => {
                warn!(%fault, ?reader, "an event source mapping cannot go on yet");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// False once there is nothing more to do.
async fn follow_plan(
    cloud: &Arc<Cloud>,
    caller: &Caller,
    reader: &Reader,
    news: &Notify,
    memory: &Arc<Semaphore>,
) -> Result<bool, Fault> {
    let found = cloud.runner.view(caller, "", |cx| Ok(reader.plan(cx)?.zip(reader.sink(cx)?)))?;
    let Some((plan, sink)) = found else { return Ok(false) };
    let (stopper, stop) = watch::channel(false);
    let (cloud, caller, memory, status) = (cloud.clone(), caller.clone(), memory.clone(), Status::default());
    let desk = Desk { cloud, caller, reader: reader.clone(), plan, sink, memory, status, stop };
    if desk.plan.ends {
        forget(&desk).await;
    }
    if let Some(generation) = desk.plan.unsettled {
        desk.cloud.transact(&desk.caller, "", |cx| reader.adopted(cx, generation)).await?;
    }
    if !desk.plan.runs {
        return Ok(false);
    }
    let desk = Arc::new(desk);
    let mut work = Box::pin(work(desk));
    let draining = tokio::select! {
        draining = &mut work => draining,
        () = news.notified() => {
            stopper.send_replace(true);
            work.await
        }
    };
    Ok(!draining)
}

/// Takes away what the mapping leaves at its source.
async fn forget(desk: &Desk) {
    if !desk.sink.source().owns_group {
        return;
    }
    let forgotten = tokio::time::timeout(desk.open_within(), async {
        match desk.sink.source().broker {
            Broker::Nats => nats::forget(desk).await,
            Broker::Redis => redis::forget(desk).await,
            Broker::PostgreSql => postgres::forget(desk).await,
            Broker::Mqtt => mqtt::forget(desk).await,
            Broker::Unspecified | Broker::Kafka | Broker::RabbitMq => Ok(()),
        }
    });
    match forgotten.await.unwrap_or_else(|_| Err(silent())) {
        Ok(()) => {}
        Err(trouble) => warn!(mapping = desk.name(), "cannot remove what is left at its source: {trouble:#}"),
    }
}

/// Runs every line until all have stopped; true if that is because the node is going down.
async fn work(desk: Arc<Desk>) -> bool {
    if desk.sink.source().broker == Broker::Kafka {
        return kafka::work(desk).await;
    }
    let mut lines = JoinSet::new();
    for _ in 0..desk.plan.max_concurrency.unwrap_or(1) {
        let desk = desk.clone();
        match desk.sink.source().broker {
            Broker::Unspecified | Broker::Kafka => continue,
            Broker::RabbitMq => lines.spawn(keep(desk, async |desk: &Desk| rabbit::Queue::open(desk).await)),
            Broker::Nats => lines.spawn(keep(desk, async |desk: &Desk| nats::Subject::open(desk).await)),
            Broker::Redis => lines.spawn(keep(desk, async |desk: &Desk| redis::Stream::open(desk).await)),
            Broker::PostgreSql => {
                lines.spawn(keep(desk, async |desk: &Desk| postgres::Slot::open(desk).await))
            }
            Broker::Mqtt => lines.spawn(keep(desk, async |desk: &Desk| mqtt::Subscription::open(desk).await)),
        };
    }
    let mut draining = false;
    while let Some(ended) = lines.join_next().await {
        draining |= has_drained(&desk, ended).await;
    }
    draining
}

/// Whether a line has ended because the node is going down.
async fn has_drained(desk: &Desk, ended: Result<End, JoinError>) -> bool {
    match ended {
        Ok(end) => matches!(end, End::Draining),
        Err(failure) if failure.is_cancelled() => false,
        Err(failure) => {
            error!(%failure, mapping = desk.name(), "a line has broken off");
            // Its mapping begins again, but not at once for ever.
            tokio::time::sleep(TRY_AGAIN).await;
            false
        }
    }
}

fn silent() -> Trouble {
    anyhow::anyhow!("the broker does not answer")
}

async fn trouble(desk: &Desk, trouble: &Trouble) {
    warn!(mapping = desk.name(), "{trouble:#}");
    desk.status.say(desk, &format!("PROBLEM: {trouble:#}")).await;
}

/// Keeps one line open and at work.
async fn keep<L: Line>(desk: Arc<Desk>, open: impl AsyncFn(&Desk) -> Result<L, Trouble>) -> End {
    let mut pause = REOPEN_MIN;
    let mut stop = desk.stop.clone();
    loop {
        let began = tokio::time::Instant::now();
        let opened = tokio::select! {
            () = stopped(&mut stop) => return End::Stopped,
            opened = tokio::time::timeout(desk.open_within(), open(&desk)) => opened,
        };
        match opened {
            Ok(Ok(line)) => {
                desk.status.recovered(&desk).await;
                let mut worker = Worker { desk: &desk, line };
                let worked = worker.work().await;
                if let Err(why) = &worked {
                    trouble(&desk, why).await;
                }
                // What it cannot be told now, the broker finds out.
                let _ = tokio::time::timeout(line::GRACE, worker.line.release()).await;
                if let Ok(end) = worked {
                    return end;
                }
            }
            Ok(Err(why)) => trouble(&desk, &why).await,
            Err(_) => trouble(&desk, &silent()).await,
        }
        if began.elapsed() > REOPEN_MAX {
            pause = REOPEN_MIN;
        }
        tokio::select! {
            () = stopped(&mut stop) => return End::Stopped,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(REOPEN_MAX);
    }
}
