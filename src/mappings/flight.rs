//! A batch in flight: its function is called, and what it has done is deleted.
//!
//! While the function works the batch stays hidden, however long that takes, so no other batch of a FIFO group starts
//! meanwhile. What cannot start yet (throttled, no room) is tried again, later each time, until its lease ends.

use crate::cloud::Cloud;
use mayfly_kernel::function::{Invocation, Outcome, Refusal, Version};
use mayfly_kernel::{Caller, Fault, Time};
use mayfly_services::Cx;
use mayfly_services::lambda::NotRun;
use mayfly_services::lambda::mappings::{self, Batch};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How a flight ended.
pub(super) enum Flown {
    Done,
    /// The function failed, or could not handle some: they come back when their visibility ends.
    Failed,
    Throttled,
    /// The node is going down, and the batch is back in its queue.
    Draining,
}

pub(super) async fn fly(cloud: &Arc<Cloud>, caller: &Caller, batch: Batch) -> Flown {
    let request_id = cloud.runner.request_id();
    let event = match batch.event() {
        Ok(event) => event,
        Err(fault) => {
            warn!(%fault, "cannot write the event of a batch");
            return Flown::Failed;
        }
    };
    let mut pause = PAUSE_MIN;
    loop {
        if cloud.runner.clock().now() >= batch.lease.until {
            return Flown::Throttled;
        }
        let version = match cloud.runner.view(caller, &request_id, |cx| mappings::version(cx, &batch)) {
            Ok(Ok(version)) => version,
            Ok(Err(NotRun::Gone | NotRun::Tenancy(_))) => return Flown::Failed,
            Ok(Err(_)) | Err(_) => {
                rest(&mut pause).await;
                continue;
            }
        };
        let invocation = Invocation {
            request_id: request_id.clone(),
            event: event.clone(),
            event_type: Batch::EVENT_TYPE.into(),
            invoked_arn: batch.function.to_string(),
            client_context: None,
            trace_id: None,
            tenant: None,
            depth: batch.depth(),
        };
        match invoke(cloud, caller, &batch, version, invocation).await {
            Ok(Outcome { result: Ok(answer), .. }) => return settle(cloud, caller, &batch, &answer).await,
            Ok(Outcome { result: Err(_), .. }) | Err(Refusal::RestoreFailed | Refusal::RestoreTimeout) => {
                return Flown::Failed;
            }
            Err(Refusal::Draining) => {
                persist(cloud, caller, |cx| mappings::draining(cx, &batch.messages)).await;
                return Flown::Draining;
            }
            Err(Refusal::Unrunnable(why)) => {
                warn!(function = %batch.function, why, "a batch cannot run");
                rest(&mut pause).await;
            }
            Err(Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull) => {
                rest(&mut pause).await;
            }
        }
    }
}

async fn rest(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSE_MAX);
}

/// Calls the function, and keeps the batch hidden as long as that takes.
async fn invoke(
    cloud: &Arc<Cloud>,
    caller: &Caller,
    batch: &Batch,
    version: Version,
    invocation: Invocation,
) -> Result<Outcome, Refusal> {
    let now = || cloud.runner.clock().now();
    let half = batch.lease.length / 2;
    let mut extend_at: Time = batch.lease.until - half;
    let mut call = Box::pin(cloud.host().invoke(Arc::new(version), invocation));
    loop {
        tokio::select! {
            outcome = &mut call => return outcome,
            () = tokio::time::sleep(extend_at.since(now())) => {}
        }
        if let Err(fault) = cloud.transact(caller, "", |cx| mappings::hold_on(cx, batch)).await {
            warn!(%fault, "cannot keep a batch hidden");
        }
        extend_at = now() + half;
    }
}

async fn settle(cloud: &Arc<Cloud>, caller: &Caller, batch: &Batch, answer: &[u8]) -> Flown {
    let mut left = 0;
    persist(cloud, caller, |cx| {
        left = mappings::settled(cx, batch, answer)?;
        Ok(())
    })
    .await;
    if left == 0 { Flown::Done } else { Flown::Failed }
}

/// Writes an end down, however long the disk refuses.
async fn persist(cloud: &Cloud, caller: &Caller, mut f: impl FnMut(&mut Cx<'_>) -> Result<(), Fault>) {
    let mut pause = Duration::from_millis(100);
    loop {
        match cloud.transact(caller, "", &mut f).await {
            Ok(()) => return,
            Err(fault) => warn!(%fault, "cannot settle a batch, trying again"),
        }
        rest(&mut pause).await;
    }
}
