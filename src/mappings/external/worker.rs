//! One line at work: gathers its records to a batch, brings that to its sink, and acknowledges it.
//!
//! One batch at a time, so a line stays in order and a slow function makes the source wait. What is in memory
//! is one batch of at most an event's size, beside what the broker's client has read ahead.

mod sink;

use super::Desk;
use super::line::{self, Line, Trouble, Want};
use crate::mappings::MEMORY_KIB_MAX;
use crate::mappings::flight;
use mayfly_kernel::{Fault, Time};
use mayfly_services::lambda::mappings::{self, Course, Loss, Lost, Next, Record};
use mayfly_services::readers::Sink;
use sink::Went;
use std::future::Future;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tracing::warn;

/// How often a line is told that its records are still in hand.
const HOLD_EVERY: Duration = Duration::from_secs(5);
/// About how much larger an event is than its records.
const ENVELOPE_BYTES: u64 = 4096;

/// Why a line stops to work.
pub(super) enum End {
    Stopped,
    /// The node is going down.
    Draining,
}

struct Held {
    record: Record,
    wanted: bool,
    /// When it was written, or else when it came.
    since: Time,
}

/// A batch on its way.
struct Flight {
    held: Vec<Held>,
    course: Course,
    pause: Duration,
}

pub(super) struct Worker<'a, L> {
    pub(super) desk: &'a Desk,
    pub(super) line: L,
}

impl<'a, L: Line> Worker<'a, L> {
    /// Works until it is told to stop, or the source is in trouble.
    pub(super) async fn work(&mut self) -> Result<End, Trouble> {
        let mut stop = self.desk.stop.clone();
        loop {
            let held = tokio::select! {
                biased;
                () = super::stopped(&mut stop) => return Ok(End::Stopped),
                held = self.gather() => held?,
            };
            let bytes: u64 = held.iter().map(|held| held.record.bytes).sum();
            let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
            let Some(_memory) = self.room(kib.min(MEMORY_KIB_MAX)).await? else { return Ok(End::Stopped) };
            let course = Course::new(held.len(), self.desk.sink.patience());
            if let Some(end) = self.fly(Flight { held, course, pause: flight::PAUSE_MIN }).await? {
                return Ok(end);
            }
        }
    }

    /// Waits until the node has memory for a batch; `None` if there is to be none.
    async fn room(&mut self, kib: u32) -> Result<Option<SemaphorePermit<'a>>, Trouble> {
        let mut stop = self.desk.stop.clone();
        let mut room = Box::pin(self.desk.memory.acquire_many(kib));
        loop {
            tokio::select! {
                () = super::stopped(&mut stop) => return Ok(None),
                // The semaphore is never closed.
                room = &mut room => return Ok(Some(room?)),
                () = tokio::time::sleep(HOLD_EVERY) => self.hold().await?,
            }
        }
    }

    /// Waits for records, and then for more of them as long as the mapping says.
    async fn gather(&mut self) -> Result<Vec<Held>, Trouble> {
        let plan = &self.desk.plan;
        let room = self.desk.cloud.runner.limits().invoke_request_bytes.saturating_sub(ENVELOPE_BYTES);
        let (mut held, mut wanted, mut bytes) = (Vec::new(), 0, 0);
        let mut until: Option<Instant> = None;
        let mut hold_at = Instant::now() + HOLD_EVERY;
        loop {
            let left = until.map_or(HOLD_EVERY, |until| until.saturating_duration_since(Instant::now()));
            let want = Want { records: plan.batch_size - wanted, within: left.min(HOLD_EVERY) };
            let records = line::answered(want.within, self.line.read(want)).await?;
            let none = records.is_empty();
            let now = self.desk.cloud.runner.clock().now();
            for record in records {
                let is_wanted = self.desk.sink.wants(&record);
                wanted += usize::from(is_wanted);
                bytes += record.bytes;
                let since = record.at.unwrap_or(now);
                held.push(Held { record, wanted: is_wanted, since });
            }
            if wanted == 0 {
                self.acknowledge(held.len()).await?;
                held.clear();
                bytes = 0;
                continue;
            }
            let until = *until.get_or_insert_with(|| Instant::now() + plan.window);
            let over = Instant::now() >= until && (none || !plan.window.is_zero());
            if over || wanted >= plan.batch_size || bytes >= room {
                return Ok(held);
            }
            if Instant::now() >= hold_at {
                self.hold().await?;
                hold_at = Instant::now() + HOLD_EVERY;
            }
        }
    }

    /// Brings a batch to its end; says why, if that will not be.
    async fn fly(&mut self, mut flight: Flight) -> Result<Option<End>, Trouble> {
        let desk = self.desk;
        while let Some(part) = flight.course.part() {
            let held = &flight.held[..part];
            let old = self.too_old(held);
            if old > 0 {
                self.give_up(&mut flight, old, Loss::TooOld, "").await?;
                continue;
            }
            if !held.iter().any(|held| held.wanted) {
                self.keep_cursor(part).await;
                self.finish(&mut flight, part).await?;
                continue;
            }
            let request_id = desk.cloud.runner.request_id();
            let went = match &desk.sink {
                Sink::Function(contract) => self.through_function(contract, held, &request_id).await?,
                Sink::Pipe(_) => self.through_pipe(held, &request_id).await?,
            };
            let why = match went {
                Went::Through(done) => {
                    if done > 0 {
                        self.finish(&mut flight, done).await?;
                    }
                    if done == part {
                        desk.status.say(desk, mappings::OK).await;
                        continue;
                    }
                    sink::unfinished(&desk.sink).to_owned()
                }
                Went::TooLarge => {
                    if !flight.course.cut() {
                        self.give_up(&mut flight, part, Loss::TooLarge, "").await?;
                    }
                    continue;
                }
                Went::Failed(why) => why,
                Went::Draining => return Ok(Some(End::Draining)),
                Went::Later(why) => {
                    desk.status.say(desk, &format!("PROBLEM: {why}")).await;
                    if self.rest(&mut flight.pause).await? {
                        return Ok(Some(End::Stopped));
                    }
                    continue;
                }
            };
            desk.status.say(desk, &format!("PROBLEM: {why}")).await;
            match flight.course.failed() {
                Next::Smaller => {}
                Next::GiveUp => {
                    let rest = flight.course.part().unwrap_or(0);
                    self.give_up(&mut flight, rest, Loss::RetriesExhausted, &request_id).await?;
                }
                Next::Again => {
                    if self.rest(&mut flight.pause).await? {
                        return Ok(Some(End::Stopped));
                    }
                }
            }
        }
        Ok(None)
    }

    /// How many of the first records are older than they may be.
    fn too_old(&self, held: &[Held]) -> usize {
        let Some(max_age) = self.desk.sink.patience().max_age else { return 0 };
        let now = self.desk.cloud.runner.clock().now();
        held.iter().take_while(|held| now.since(held.since) > max_age).count()
    }

    /// Keeps the records in hand as long as work with them takes.
    async fn holding<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                () = tokio::time::sleep(HOLD_EVERY) => {}
            }
            // The work is worth its end, whatever the source says meanwhile.
            if let Err(trouble) = self.hold().await {
                warn!(mapping = self.desk.name(), "cannot hold records: {trouble:#}");
            }
        }
    }

    /// Waits, longer each time; true if there is to be no more.
    async fn rest(&mut self, pause: &mut Duration) -> Result<bool, Trouble> {
        let mut stop = self.desk.stop.clone();
        let until = Instant::now() + *pause;
        *pause = (*pause * 2).min(flight::PAUSE_MAX);
        loop {
            let step = until.min(Instant::now() + HOLD_EVERY);
            tokio::select! {
                () = super::stopped(&mut stop) => return Ok(true),
                () = tokio::time::sleep_until(step) => {}
            }
            if step == until {
                return Ok(false);
            }
            self.hold().await?;
        }
    }

    /// The first records are done, and that is written down where the broker does not keep it.
    async fn finish(&mut self, flight: &mut Flight, records: usize) -> Result<(), Trouble> {
        line::answered(Duration::ZERO, self.line.acknowledge(records)).await?;
        flight.went(records);
        Ok(())
    }

    async fn hold(&mut self) -> Result<(), Trouble> {
        line::answered(Duration::ZERO, self.line.hold()).await
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        if records == 0 {
            return Ok(());
        }
        self.keep_cursor(records).await;
        line::answered(Duration::ZERO, self.line.acknowledge(records)).await
    }

    /// Writes down that the first records are done, where the broker does not keep that.
    async fn keep_cursor(&mut self, records: usize) {
        let Some(next) = self.line.cursor(records) else { return };
        let Desk { cloud, caller, reader, .. } = self.desk;
        let name = self.line.name().to_owned();
        flight::persist(cloud, caller, |cx| reader.advance(cx, &name, next)).await;
    }

    /// The first records go where what is given up goes, and only then are they acknowledged.
    async fn give_up(
        &mut self,
        flight: &mut Flight,
        records: usize,
        loss: Loss,
        request_id: &str,
    ) -> Result<(), Trouble> {
        let Desk { cloud, caller, reader, sink, .. } = self.desk;
        let wanted: Vec<&Record> =
            flight.held[..records].iter().filter(|held| held.wanted).map(|held| &held.record).collect();
        let (cursor, line) = (self.line.cursor(records), self.line.name().to_owned());
        let lost =
            Lost { line: &line, records: &wanted, loss, request_id, attempts: flight.course.failures() };
        warn!(mapping = self.desk.name(), line, records, ?loss, "records are given up");
        flight::persist(cloud, caller, |cx| -> Result<(), Fault> {
            if !wanted.is_empty() {
                sink.gave_up(cx, lost)?;
            }
            cursor.map_or(Ok(()), |next| reader.advance(cx, &line, next))
        })
        .await;
        self.finish(flight, records).await
    }
}

impl Flight {
    fn went(&mut self, records: usize) {
        self.held.drain(..records);
        self.course.done(records);
        self.pause = flight::PAUSE_MIN;
    }
}
