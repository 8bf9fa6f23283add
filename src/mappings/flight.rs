//! A batch in flight: its errands are run, and what is done is deleted.
//!
//! While somebody works on the batch it stays hidden, however long that takes, so no other batch of a FIFO
//! group starts meanwhile. What cannot start yet (throttled, no room) is tried again, later each time, until
//! its lease ends.

use crate::cloud::Cloud;
use mayfly_kernel::function::{Invocation, Outcome, Refusal, Version};
use mayfly_kernel::{Arn, Caller, Fault};
use mayfly_services::Cx;
use mayfly_services::lambda::NotRun;
use mayfly_services::readers::{self, Batch, Call, Errand};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

pub(super) const PAUSE_MIN: Duration = Duration::from_millis(200);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How a flight ended.
pub(super) enum Flown {
    Done,
    /// It failed, or some messages could not be handled: they come back when their visibility ends.
    Failed,
    Throttled,
    /// The node is going down, and the batch is back in its queue.
    Draining,
}

pub(super) async fn fly(cloud: &Arc<Cloud>, caller: &Caller, mut batch: Batch) -> Flown {
    let mut errand = batch.errand();
    loop {
        let answer = match errand {
            Ok(Errand::Settle) => return settle(cloud, caller, &batch).await,
            Ok(Errand::Invoke { function, event, event_type }) => {
                let invocation = Invoked { function, event, event_type };
                invocation.make(cloud, caller, &mut batch).await
            }
            Ok(Errand::Call(call)) => {
                let called = hidden(cloud, caller, &mut batch, ask(cloud, caller, &call)).await;
                called.ok_or(Flown::Failed)
            }
            Ok(Errand::GiveUp(why)) => {
                warn!(why, "a batch cannot go on");
                return Flown::Failed;
            }
            Err(fault) => {
                warn!(%fault, "cannot go on with a batch");
                return Flown::Failed;
            }
        };
        errand = match answer {
            Ok(answer) => batch.go_on(answer),
            Err(Flown::Draining) => {
                persist(cloud, caller, |cx| readers::give_back(cx, &batch.messages)).await;
                return Flown::Draining;
            }
            Err(flown) => return flown,
        };
    }
}

fn version(cloud: &Cloud, caller: &Caller, function: &Arn, request_id: &str) -> Result<Version, NotRun> {
    let found = cloud.runner.view(caller, request_id, |cx| readers::version(cx, function));
    found.unwrap_or_else(|fault| Err(NotRun::Later(fault.to_string())))
}

/// How one try to call a function went.
pub(super) enum Attempt {
    Ran(Outcome),
    /// Its instance could not be made ready, by its own fault.
    Failed,
    /// It has not begun, and why.
    Later(String),
    /// The node is going down.
    Draining,
}

/// Calls a function once.
pub(super) async fn attempt(
    cloud: &Arc<Cloud>,
    caller: &Caller,
    function: &Arn,
    invocation: Invocation,
) -> Attempt {
    let version = match version(cloud, caller, function, &invocation.request_id) {
        Ok(version) => version,
        Err(NotRun::Gone) => return Attempt::Later(format!("Function not found: {function}")),
        Err(NotRun::Later(why) | NotRun::Unrunnable(why) | NotRun::Tenancy(why)) => {
            return Attempt::Later(why);
        }
        Err(NotRun::Recursive) => return Attempt::Later("Recursive loop".into()),
    };
    match cloud.run_event(version, invocation).await {
        Ok(outcome) => Attempt::Ran(outcome),
        Err(Refusal::RestoreFailed | Refusal::RestoreTimeout) => Attempt::Failed,
        Err(Refusal::Draining) => Attempt::Draining,
        Err(Refusal::Unrunnable(why)) => Attempt::Later(why),
        Err(Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull) => {
            Attempt::Later("Function call throttled".into())
        }
    }
}

async fn rest(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSE_MAX);
}

/// An invocation that a batch asks for.
struct Invoked {
    function: Arn,
    event: Vec<u8>,
    event_type: &'static str,
}

impl Invoked {
    /// What the function answers, or how the flight ends without an answer.
    async fn make(self, cloud: &Arc<Cloud>, caller: &Caller, batch: &mut Batch) -> Result<Vec<u8>, Flown> {
        let request_id = cloud.runner.request_id();
        let mut pause = PAUSE_MIN;
        loop {
            if cloud.runner.clock().now() >= batch.lease.until {
                return Err(Flown::Throttled);
            }
            let version = match version(cloud, caller, &self.function, &request_id) {
                Ok(version) => version,
                Err(NotRun::Gone | NotRun::Tenancy(_)) => return Err(Flown::Failed),
                Err(_) => {
                    rest(&mut pause).await;
                    continue;
                }
            };
            let invocation = Invocation {
                request_id: request_id.clone(),
                event: self.event.clone(),
                event_type: self.event_type.into(),
                invoked_arn: self.function.to_string(),
                client_context: None,
                trace_id: None,
                tenant: None,
                depth: batch.depth(),
            };
            let call = cloud.run_event(version, invocation);
            match hidden(cloud, caller, batch, call).await {
                Ok(Outcome { result: Ok(answer), .. }) => return Ok(answer),
                Ok(Outcome { result: Err(_), .. })
                | Err(Refusal::RestoreFailed | Refusal::RestoreTimeout) => {
                    return Err(Flown::Failed);
                }
                Err(Refusal::Draining) => return Err(Flown::Draining),
                Err(Refusal::Unrunnable(why)) => {
                    warn!(function = %self.function, why, "a batch cannot run");
                    rest(&mut pause).await;
                }
                Err(Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull) => {
                    rest(&mut pause).await;
                }
            }
        }
    }
}

/// What an API destination answers, if it takes what it is given.
pub(super) async fn ask(cloud: &Arc<Cloud>, caller: &Caller, call: &Call) -> Option<Vec<u8>> {
    let request = match cloud.runner.view(caller, "", |cx| call.request(cx)) {
        Ok(Some(request)) => request,
        Ok(None) => {
            warn!("the API destination of a pipe is not there, or not authorized");
            return None;
        }
        Err(fault) => {
            warn!(%fault, "cannot make the request of a pipe");
            return None;
        }
    };
    let answer = cloud.destinations.call(&request).await;
    match answer.called.succeeded() {
        true => Some(answer.body.to_vec()),
        false => {
            warn!(called = ?answer.called, "an API destination has not taken what a pipe brought");
            None
        }
    }
}

/// Waits for what is done with a batch, and keeps the batch hidden as long as that takes.
async fn hidden<T>(
    cloud: &Arc<Cloud>,
    caller: &Caller,
    batch: &mut Batch,
    work: impl Future<Output = T>,
) -> T {
    // Little may be left of a lease, and it must not end while the work begins.
    if cloud.runner.clock().now() + batch.lease.length / 2 > batch.lease.until {
        hold_on(cloud, caller, batch).await;
    }
    tokio::select! {
        outcome = work => outcome,
        never = keep_hidden(cloud, caller, batch) => match never {},
    }
}

async fn keep_hidden(cloud: &Arc<Cloud>, caller: &Caller, batch: &mut Batch) -> Infallible {
    let now = || cloud.runner.clock().now();
    let half = batch.lease.length / 2;
    let mut due = batch.lease.until - half;
    loop {
        tokio::time::sleep(due.since(now())).await;
        due = now() + half;
        hold_on(cloud, caller, batch).await;
    }
}

/// Begins the lease of a batch anew.
async fn hold_on(cloud: &Arc<Cloud>, caller: &Caller, batch: &mut Batch) {
    let until = cloud.runner.clock().now() + batch.lease.length;
    match cloud.transact(caller, "", |cx| batch.hold_on(cx)).await {
        Ok(()) => batch.lease.until = until,
        Err(fault) => warn!(%fault, "cannot keep a batch hidden"),
    }
}

async fn settle(cloud: &Arc<Cloud>, caller: &Caller, batch: &Batch) -> Flown {
    let mut left = 0;
    persist(cloud, caller, |cx| {
        left = batch.settle(cx)?;
        Ok(())
    })
    .await;
    if left == 0 { Flown::Done } else { Flown::Failed }
}

/// Writes an end down, however long the disk refuses.
pub(super) async fn persist(
    cloud: &Cloud,
    caller: &Caller,
    mut f: impl FnMut(&mut Cx<'_>) -> Result<(), Fault>,
) {
    let mut pause = Duration::from_millis(100);
    loop {
        match cloud.transact(caller, "", &mut f).await {
            Ok(()) => return,
            Err(fault) => warn!(%fault, "cannot settle a batch, trying again"),
        }
        rest(&mut pause).await;
    }
}
