//! One mapping or pipe at work: takes messages, gathers them to batches, and has as many batches in flight as
//! go well.
//!
//! It begins with a few batches at once. Every batch that succeeds makes room for one more, which doubles the number
//! from round to round while there is a backlog; every one that is throttled halves it.

use super::flight::{self, Flown};
use crate::cloud::Cloud;
use futures_util::future::select_all;
use mayfly_kernel::{Caller, Fault, Time};
use mayfly_services::Cx;
use mayfly_services::readers::{self, Plan, Reader, Step};
use mayfly_services::sqs::{Lease, Lent};
use mayfly_store::Watch;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tracing::warn;

/// Batches at once to begin with.
const PACE: usize = 5;
/// When the store refuses: not before this long.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How many messages one transaction takes.
const TAKEN_AT_ONCE: usize = 1000;

/// Messages that wait for more of them.
struct Gathered {
    messages: Vec<Lent>,
    bytes: u64,
    since: Time,
    lease: Lease,
}

impl Gathered {
    /// When it is no use waiting for more: the window is over, or half of the time for which they are hidden.
    fn until(&self, window: Duration) -> Time {
        (self.since + window).min(self.lease.until - self.lease.length / 2)
    }
}

struct Poller {
    cloud: Arc<Cloud>,
    caller: Caller,
    reader: Reader,
    news: Arc<Notify>,
    memory: Arc<Semaphore>,
    flights: JoinSet<Flown>,
    pace: usize,
    gathered: Option<Gathered>,
    watched: Vec<(Vec<u8>, Watch)>,
}

/// Why a reader stops to work.
enum End {
    News,
    /// The node is going down.
    Draining,
}

/// Does as the reader's plan says until there is none, or none to do; its name is for the driver.
pub(super) async fn run(
    cloud: Arc<Cloud>,
    reader: Reader,
    news: Arc<Notify>,
    memory: Arc<Semaphore>,
) -> Reader {
    let caller = reader.caller();
    let mut poller = Poller {
        cloud,
        caller,
        reader,
        news,
        memory,
        flights: JoinSet::new(),
        pace: PACE,
        gathered: None,
        watched: Vec::new(),
    };
    loop {
        match poller.follow_plan().await {
            Ok(true) => {}
            Ok(false) => return poller.reader,
            Err(fault) => {
                warn!(%fault, reader = ?poller.reader, "a mapping or pipe cannot go on yet");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

impl Poller {
    /// False once there is nothing more to do.
    async fn follow_plan(&mut self) -> Result<bool, Fault> {
        let plan = self.cloud.runner.view(&self.caller, "", |cx| self.reader.plan(cx))?;
        let Some(plan) = plan else { return Ok(false) };
        if !plan.runs {
            self.finish().await?;
        }
        if let Some(generation) = plan.unsettled {
            let adopt = |cx: &mut Cx<'_>| self.reader.adopted(cx, generation);
            self.cloud.transact(&self.caller, "", adopt).await?;
        }
        Ok(plan.runs && matches!(self.work(&plan).await?, End::News))
    }

    /// Puts back what is not in flight, and waits for what is.
    async fn finish(&mut self) -> Result<(), Fault> {
        if let Some(gathered) = &self.gathered {
            let back = |cx: &mut Cx<'_>| readers::give_back(cx, &gathered.messages);
            self.cloud.transact(&self.caller, "", back).await?;
            self.gathered = None;
        }
        while self.flights.join_next().await.is_some() {}
        Ok(())
    }

    async fn work(&mut self, plan: &Plan) -> Result<End, Fault> {
        loop {
            let now = self.cloud.runner.clock().now();
            if self.is_due(plan, now) {
                self.launch().await?;
                continue;
            }
            let mut wake = self.gathered.as_ref().map(|gathered| gathered.until(plan.window));
            let has_room = self.flights.len() < self.pace.min(plan.max_concurrency.unwrap_or(usize::MAX));
            if has_room {
                let step = self.take(plan).await?;
                if !step.messages.is_empty() {
                    self.gather(step, now);
                    continue;
                }
                if self.watch(step.pause.watch) {
                    continue;
                }
                wake = [wake, step.pause.due].into_iter().flatten().min();
            }
            tokio::select! {
                () = self.news.notified() => return Ok(End::News),
                Some(flown) = self.flights.join_next() => {
                    if let End::Draining = self.note(flown.unwrap_or(Flown::Failed)) {
                        return Ok(End::Draining);
                    }
                }
                () = changed(&mut self.watched), if has_room => {}
                () = sleep_until(wake.map(|wake| wake.since(now))) => {}
            }
        }
    }

    async fn take(&self, plan: &Plan) -> Result<Step, Fault> {
        let (had, bytes) =
            self.gathered.as_ref().map_or((0, 0), |gathered| (gathered.messages.len(), gathered.bytes));
        let most = (plan.batch_size - had).min(TAKEN_AT_ONCE);
        let room = self.event_bytes().saturating_sub(bytes);
        let take = |cx: &mut Cx<'_>| self.reader.take(cx, most, room);
        self.cloud.transact_relaxed(&self.caller, take).await
    }

    /// When an event holds so much it takes no more: what comes last may be as large as a message can be.
    fn event_bytes(&self) -> u64 {
        let limits = self.cloud.runner.limits();
        limits.invoke_request_bytes.saturating_sub(readers::message_bytes(limits)).max(1)
    }

    fn gather(&mut self, step: Step, now: Time) {
        let Some(lease) = step.lease else { return };
        let new = || Gathered { messages: Vec::new(), bytes: 0, since: now, lease };
        let gathered = self.gathered.get_or_insert_with(new);
        gathered.bytes += step.messages.iter().map(Lent::bytes).sum::<u64>();
        gathered.messages.extend(step.messages);
    }

    fn is_due(&self, plan: &Plan, now: Time) -> bool {
        self.gathered.as_ref().is_some_and(|gathered| {
            gathered.messages.len() >= plan.batch_size
                || gathered.bytes >= self.event_bytes()
                || gathered.until(plan.window) <= now
        })
    }

    /// Sends what was gathered on its way, once there is memory for it.
    async fn launch(&mut self) -> Result<(), Fault> {
        let Some(gathered) = self.gathered.take() else { return Ok(()) };
        let kib = u32::try_from(gathered.bytes / 1024 + 1).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let memory = self.memory.clone().acquire_many_owned(kib).await.ok();
        let Gathered { messages, lease, .. } = gathered;
        let batch = self.cloud.runner.view(&self.caller, "", |cx| self.reader.batch(cx, messages, lease))?;
        if let Some(batch) = batch {
            let (cloud, caller) = (self.cloud.clone(), self.caller.clone());
            self.flights.spawn(async move {
                let flown = flight::fly(&cloud, &caller, batch).await;
                drop(memory);
                flown
            });
        }
        Ok(())
    }

    fn note(&mut self, flown: Flown) -> End {
        match flown {
            Flown::Done => self.pace = (self.pace + 1).min(self.most_at_once()),
            Flown::Failed => {}
            Flown::Throttled => self.pace = (self.pace / 2).max(1),
            Flown::Draining => return End::Draining,
        }
        End::News
    }

    fn most_at_once(&self) -> usize {
        self.cloud.runner.limits().mapping_batches.max(1)
    }

    /// True if this changes what is watched: then what was read before must be read again.
    fn watch(&mut self, prefixes: Vec<Vec<u8>>) -> bool {
        if self.watched.iter().map(|(prefix, _)| prefix).eq(&prefixes) {
            return false;
        }
        let store = self.cloud.runner.store();
        self.watched = prefixes.into_iter().map(|prefix| (prefix.clone(), store.watch(&prefix))).collect();
        true
    }
}

async fn changed(watched: &mut [(Vec<u8>, Watch)]) {
    if watched.is_empty() {
        return std::future::pending().await;
    }
    select_all(watched.iter_mut().map(|(_, watch)| Box::pin(watch.changed()))).await;
}

async fn sleep_until(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
