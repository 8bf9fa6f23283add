//! Drives the fabric: claims what is due, performs it, and settles it.
//!
//! All truth is in the store. The driver keeps, per lane, when its next delivery falls due and how many are
//! in flight; commits send it hints, and at start it reads the lanes once. It sleeps until the earliest due
//! time, so an idle fabric costs nothing.

use crate::cloud::Cloud;
use crate::images;
use mayfly_kernel::function::{Invocation, Outcome, Refusal, Report};
use mayfly_kernel::{Caller, Fault, Time};
use mayfly_runtime::{Snapshot, Unmade};
use mayfly_services::fabric::{self, Record, Target};
use mayfly_services::{autoscaling, cloudwatch, codedeploy, events, lambda, scheduler, sns, sqs, targets};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{error, warn};

/// How many deliveries of a lane one transaction claims at most.
const CLAIM_BATCH: usize = 16;
/// How many stranded deliveries one transaction puts back at start.
const RECOVER_PAGE: usize = 1000;
/// When a claim could not be written: not before this long.
const RETRY_CLAIM: std::time::Duration = std::time::Duration::from_millis(500);

/// The driver's mailbox.
#[derive(Clone)]
pub(crate) struct Lanes(mpsc::UnboundedSender<Note>);

impl Lanes {
    pub(crate) fn channel() -> (Lanes, Mailbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Lanes(sender), Mailbox(receiver))
    }

    /// Work of this lane falls due then.
    pub(crate) fn hint(&self, lane: String, due: Time) {
        // The driver is gone only when the process ends, and the work is in the store.
        let _ = self.0.send(Note::Due(lane, due));
    }
}

pub(crate) struct Mailbox(mpsc::UnboundedReceiver<Note>);

enum Note {
    Due(String, Time),
    /// A claim of this lane took so many; if fewer than wanted, the next falls due then.
    Claimed {
        lane: String,
        taken: usize,
        next: Option<Time>,
    },
    Settled(String),
}

#[derive(Default)]
struct Lane {
    due: Option<Time>,
    claiming: bool,
    in_flight: usize,
}

/// Puts back what the last process left in flight, then drives until the mailbox closes.
pub(crate) async fn drive(cloud: Arc<Cloud>, mut mailbox: Mailbox) -> Result<(), Fault> {
    let platform = platform(&cloud);
    while cloud.transact(&platform, "", |cx| fabric::recover(cx, RECOVER_PAGE)).await? == RECOVER_PAGE {}
    let mut lanes: HashMap<String, Lane> = HashMap::new();
    for (lane, due) in fabric::lanes(cloud.runner.store())? {
        lanes.entry(lane).or_default().due = Some(due);
    }
    loop {
        let next = claim_due(&cloud, &mut lanes);
        let note = tokio::select! {
            note = mailbox.0.recv() => note,
            () = sleep_until(&cloud, next) => continue,
        };
        match note {
            None => return Ok(()),
            Some(note) => take(&mut lanes, note),
        }
        while let Ok(note) = mailbox.0.try_recv() {
            take(&mut lanes, note);
        }
    }
}

fn platform(cloud: &Cloud) -> Caller {
    let site = cloud.runner.site();
    Caller::service("fabric.mayfly", &site.account, &site.region)
}

async fn sleep_until(cloud: &Cloud, due: Option<Time>) {
    match due {
        None => std::future::pending().await,
        Some(due) => tokio::time::sleep(due.since(cloud.runner.clock().now())).await,
    }
}

fn take(lanes: &mut HashMap<String, Lane>, note: Note) {
    let earlier = |known: Option<Time>, due: Time| Some(known.map_or(due, |known| known.min(due)));
    match note {
        Note::Due(lane, due) => {
            let lane = lanes.entry(lane).or_default();
            lane.due = earlier(lane.due, due);
        }
        Note::Claimed { lane: name, taken, next } => {
            let lane = lanes.entry(name).or_default();
            lane.claiming = false;
            lane.in_flight += taken;
            if let Some(next) = next {
                lane.due = earlier(lane.due, next);
            }
        }
        Note::Settled(name) => {
            if let Some(lane) = lanes.get_mut(&name) {
                lane.in_flight -= 1;
                if lane.in_flight == 0 && lane.due.is_none() && !lane.claiming {
                    lanes.remove(&name);
                }
            }
        }
    }
}

/// Starts a claim on every lane that is due and has room; says when the next of the others falls due.
fn claim_due(cloud: &Arc<Cloud>, lanes: &mut HashMap<String, Lane>) -> Option<Time> {
    let now = cloud.runner.clock().now();
    let most = cloud.runner.limits().async_in_flight_per_function;
    let mut next = None;
    for (name, lane) in lanes.iter_mut() {
        let Some(due) = lane.due else { continue };
        let room = most.saturating_sub(lane.in_flight).min(CLAIM_BATCH);
        if lane.claiming || room == 0 {
            continue;
        }
        if due > now {
            next = Some(next.map_or(due, |next: Time| next.min(due)));
            continue;
        }
        lane.claiming = true;
        // What is hinted from now on is news to the claim that starts here.
        lane.due = None;
        tokio::spawn(claim(cloud.clone(), name.clone(), room));
    }
    next
}

async fn claim(cloud: Arc<Cloud>, lane: String, room: usize) {
    let caller = platform(&cloud);
    let store = cloud.runner.store();
    let claimed = cloud.transact_relaxed(&caller, |cx| fabric::claim(cx, store, &lane, room)).await;
    let (records, next) = match claimed {
        Ok(records) => match fabric::next_due(store, &lane) {
            Ok(next) => (records, next),
            Err(fault) => {
                error!(%fault, lane, "cannot read a lane");
                (records, Some(cloud.runner.clock().now() + RETRY_CLAIM))
            }
        },
        Err(fault) => {
            warn!(%fault, lane, "cannot claim deliveries");
            (Vec::new(), Some(cloud.runner.clock().now() + RETRY_CLAIM))
        }
    };
    let note = Note::Claimed { lane: lane.clone(), taken: records.len(), next };
    let _ = cloud.lanes.0.send(note);
    for record in records {
        tokio::spawn(fly(cloud.clone(), lane.clone(), record));
    }
}

async fn fly(cloud: Arc<Cloud>, lane: String, record: Record) {
    let caller = record.caller();
    match record.target() {
        Ok(Target::Function(_)) => invoke(&cloud, &caller, record).await,
        Ok(Target::Prepare { function, version }) => {
            let prepared = prepare(&cloud, &caller, &record).await;
            settle(&cloud, &caller, |cx| {
                lambda::prepared(cx, &function, &version, &prepared)?;
                fabric::settle(cx, record.clone(), fabric::Verdict::Done)
            })
            .await;
        }
        Ok(Target::Webhook { .. } | Target::Mail { .. } | Target::Text { .. } | Target::Push { .. }) => {
            send_outside(&cloud, &caller, &record).await
        }
        Ok(Target::Call(arn)) if arn.resource.starts_with("connection/") => {
            authorize(&cloud, &caller, &record).await;
        }
        Ok(Target::Call(_)) => call(&cloud, &caller, &record).await,
        Ok(Target::Redrive(_)) => settle(&cloud, &caller, |cx| sqs::redrive_step(cx, &record)).await,
        Ok(Target::Parcel(_)) => settle(&cloud, &caller, |cx| targets::perform(cx, &record)).await,
        Ok(Target::Timer(arn)) => {
            let fire = match arn.service.as_str() {
                "scheduler" => scheduler::fire,
                "codedeploy" => codedeploy::fire,
                "cloudwatch" => cloudwatch::fire,
                "application-autoscaling" => autoscaling::fire,
                _ => events::fire,
            };
            settle(&cloud, &caller, |cx| fire(cx, &record)).await;
        }
        Ok(Target::Replay(_)) => settle(&cloud, &caller, |cx| events::replay_step(cx, &record)).await,
        Err(fault) => {
            let reason = fault.to_string();
            let verdict = fabric::Verdict::Dead { reason };
            settle(&cloud, &caller, |cx| fabric::settle(cx, record.clone(), verdict.clone())).await;
        }
    }
    let _ = cloud.lanes.0.send(Note::Settled(lane));
}

/// Sends a message to the outside, if it is still wanted there.
async fn send_outside(cloud: &Arc<Cloud>, caller: &Caller, record: &Record) {
    let sent = match cloud.runner.view(caller, &record.id, |cx| sns::errand(cx, record)) {
        Ok(sns::Errand::Send(outgoing)) => cloud.outlets.send(outgoing).await,
        Ok(sns::Errand::Refuse(refused)) => Err(refused),
        Ok(sns::Errand::Forget) => Ok(()),
        Err(fault) => Err(sns::Refused::Later(fault.to_string())),
    };
    settle(cloud, caller, |cx| sns::settled(cx, record, sent.as_ref())).await;
}

/// Calls an API destination, if it is still there.
async fn call(cloud: &Arc<Cloud>, caller: &Caller, record: &Record) {
    let called = match cloud.runner.view(caller, &record.id, |cx| targets::request(cx, record)) {
        Ok(Some(request)) => Some(cloud.destinations.call(&request).await.called),
        Ok(None) => None,
        Err(fault) => {
            error!(%fault, destination = record.arn, "cannot make a request");
            Some(targets::Called::Unanswered("The request could not be made.".to_owned()))
        }
    };
    settle(cloud, caller, |cx| targets::called(cx, record, called.as_ref())).await;
}

/// Gets a connection its first token, if it still waits for one.
async fn authorize(cloud: &Arc<Cloud>, caller: &Caller, record: &Record) {
    let got = match cloud.runner.view(caller, &record.id, |cx| events::token_of(cx, record)) {
        Ok(Some(wanted)) => cloud.destinations.token(&wanted).await.map(drop),
        Ok(None) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    };
    settle(cloud, caller, |cx| events::authorized(cx, record, &got)).await;
}

async fn invoke(cloud: &Arc<Cloud>, caller: &Caller, record: Record) {
    let performed = perform(cloud, caller, &record).await;
    if matches!(performed, Err(lambda::NotRun::Recursive)) {
        warn!(function = record.arn, source = record.source, depth = record.depth, "a recursive loop is cut");
    }
    settle(cloud, caller, |cx| lambda::settled(cx, &record, performed.as_ref())).await;
}

/// Runs the function once; what could not even start is an error in words.
async fn perform(cloud: &Arc<Cloud>, caller: &Caller, record: &Record) -> Result<Outcome, lambda::NotRun> {
    let version = match cloud.runner.view(caller, &record.id, |cx| lambda::version_to_run(cx, record)) {
        Ok(version) => version?,
        Err(fault) => return Err(lambda::NotRun::Later(fault.to_string())),
    };
    let invocation = Invocation {
        request_id: record.id.clone(),
        event: record.payload.clone(),
        event_type: record.event_type.clone(),
        invoked_arn: record.arn.clone(),
        client_context: None,
        trace_id: None,
        tenant: record.tenant.clone(),
        depth: record.depth,
    };
    match cloud.run_event(version, invocation).await {
        Ok(outcome) => Ok(outcome),
        Err(Refusal::Unrunnable(why)) => Err(lambda::NotRun::Unrunnable(why)),
        Err(refusal) => match refusal.of_the_function() {
            Some(error) => {
                let report = Report { started: cloud.runner.clock().now(), ..Report::default() };
                Ok(Outcome { result: Err(error), log_tail: Vec::new(), report })
            }
            None => Err(lambda::NotRun::Later(format!("{refusal:?}"))),
        },
    }
}

async fn prepare(
    cloud: &Arc<Cloud>,
    caller: &Caller,
    record: &Record,
) -> Result<lambda::Prepared, lambda::NotReady> {
    let version = cloud.runner.view(caller, &record.id, |cx| lambda::version_for(cx, record));
    let version = match version {
        Ok(Some(version)) => version,
        Ok(None) => return Ok(lambda::Prepared::default()),
        Err(fault) => return Err(fault.to_string().into()),
    };
    if let Some(image) = &version.image {
        images::fetch(cloud, image).await?;
    }
    let host = cloud.host().clone();
    let version = Arc::new(version);
    let (preparing, wanted) = (host.clone(), version.clone());
    let prepared = tokio::task::spawn_blocking(move || preparing.prepare(&wanted)).await;
    let prepared = match prepared {
        Ok(Ok(prepared)) => prepared,
        Ok(Err(failure)) => return Err(failure.to_string().into()),
        Err(panic) => return Err(panic.to_string().into()),
    };
    let mut prepared = lambda::Prepared { warnings: prepared.warnings, snapshot: false };
    if version.snap_start {
        match host.snapshot(&version).await.map_err(failed_to_initialise)? {
            Snapshot::Taken => prepared.snapshot = true,
            Snapshot::NotTaken(why) => {
                prepared.warnings.push(format!("Instances do not start from a snapshot: {why}"));
            }
        }
    }
    Ok(prepared)
}

/// The reason of a version's state when its module code does not run.
fn failed_to_initialise(unmade: Unmade) -> lambda::NotReady {
    match unmade {
        Unmade::Unrunnable(reason) => reason.into(),
        Unmade::Failed { error, timed_out } => {
            let why = if timed_out { lambda::Why::InitTimeout } else { lambda::Why::InitError };
            let reason = format!("{}: {}", error.error_type, String::from_utf8_lossy(&error.payload));
            lambda::NotReady { why, reason }
        }
    }
}

/// Writes the end of a flight, however long the disk refuses: until then the delivery stays in flight, and a
/// restart performs it again.
async fn settle(
    cloud: &Cloud,
    caller: &Caller,
    mut f: impl FnMut(&mut mayfly_services::Cx<'_>) -> Result<(), Fault>,
) {
    let mut pause = std::time::Duration::from_millis(100);
    loop {
        match cloud.transact(caller, "", &mut f).await {
            Ok(()) => return,
            Err(fault) => warn!(%fault, "cannot settle a delivery, trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(std::time::Duration::from_secs(10));
    }
}
