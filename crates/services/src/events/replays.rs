//! Replays: archived events come onto their bus again, in the order in which they came, for some rules or for all.
//!
//! A replay goes step by step, each step a delivery of the fabric. The events of a step and the place that it has
//! come to are one commit, so a kill neither leaves events out nor has them twice.

use super::archives::{self, archive_arn};
use super::keys::{ARCHIVED, ARCHIVES, BusKey, REPLAYS};
use super::model::{Replay, ReplayState};
use super::names::{self, bus_arn, bus_key};
use super::{buses, faults, route};
use crate::Cx;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many events one step puts on the bus.
const STEP: usize = 64;

const STATES: [&str; 6] = ["STARTING", "RUNNING", "CANCELLING", "COMPLETED", "CANCELLED", "FAILED"];

fn replay_arn(key: &BusKey) -> Arn {
    Arn::new("events", &key.1, &key.0, format!("replay/{}", key.2))
}

fn open(cx: &mut Cx<'_>, name: &str) -> Result<(BusKey, Replay), Fault> {
    let key = bus_key(cx.caller, name);
    cx.allow(&replay_arn(&key))?;
    match REPLAYS.get(cx.tx, &key)? {
        Some(replay) => Ok((key, replay)),
        None => Err(faults::missing(format!("Replay {name} does not exist."))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Start {
    replay_name: String,
    description: Option<String>,
    event_source_arn: String,
    #[serde(with = "epoch_seconds")]
    event_start_time: Time,
    #[serde(with = "epoch_seconds")]
    event_end_time: Time,
    destination: Destination,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    arn: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filter_arns: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    replay_arn: String,
    state: &'static str,
    #[serde(with = "epoch_seconds")]
    replay_start_time: Time,
}

pub(super) fn start(cx: &mut Cx<'_>, input: Start) -> Result<Started, Fault> {
    names::check("replayName", &input.replay_name, 64, false)?;
    let key = bus_key(cx.caller, &input.replay_name);
    cx.allow(&replay_arn(&key))?;
    let archive = input.event_source_arn.split_once(":archive/").map(|(_, name)| name.to_owned());
    let Some(archive) = archive else {
        let text = "Parameter EventSourceArn is not valid. Reason: Must contain an archive ARN.";
        return Err(faults::validation(text));
    };
    let (_, found) = archives::open(cx, &archive)?;
    if input.event_start_time >= input.event_end_time {
        let text = "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.";
        return Err(faults::validation(text));
    }
    if names::bus_name(Some(&input.destination.arn)) != found.bus {
        let text = "Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.";
        return Err(faults::validation(text));
    }
    if REPLAYS.contains(cx.tx, &key)? {
        return Err(faults::exists(format!("Replay {} already exists.", input.replay_name)));
    }
    let replay = Replay {
        archive,
        bus: found.bus,
        rules: input.destination.filter_arns,
        description: input.description.unwrap_or_default(),
        from_ms: input.event_start_time.ms(),
        to_ms: input.event_end_time.ms(),
        state: ReplayState::Starting.into(),
        started_ms: cx.now.ms(),
        ..Replay::default()
    };
    REPLAYS.put(cx.tx, &key, &replay);
    let arn = replay_arn(&key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Target::Replay(arn.clone()),
        event_type: "mayfly.replay".into(),
        payload: Vec::new(),
        id: None,
        due: None,
        depth: 0,
        tenant: None,
    })?;
    Ok(Started { replay_arn: arn.to_string(), state: "STARTING", replay_start_time: cx.now })
}

/// Takes a replay one step further.
pub fn replay_step(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let Target::Replay(arn) = record.target()? else {
        return Err(Fault::internal("replay", "the delivery is not a replay's"));
    };
    let name = arn.resource.trim_start_matches("replay/").to_owned();
    let key = (arn.account, arn.region, name);
    let Some(mut replay) = REPLAYS.get(cx.tx, &key)? else {
        return fabric::settle(cx, record.clone(), Verdict::Done);
    };
    let verdict = match replay.state() {
        ReplayState::Starting | ReplayState::Running => go_on(cx, &key, &mut replay)?,
        ReplayState::Cancelling => {
            finish(cx, &mut replay, ReplayState::Cancelled);
            Verdict::Done
        }
        ReplayState::Completed | ReplayState::Cancelled | ReplayState::Failed | ReplayState::Unspecified => {
            Verdict::Done
        }
    };
    REPLAYS.put(cx.tx, &key, &replay);
    fabric::settle(cx, record.clone(), verdict)
}

fn finish(cx: &Cx<'_>, replay: &mut Replay, state: ReplayState) {
    replay.set_state(state);
    replay.ended_ms = cx.now.ms();
}

fn go_on(cx: &mut Cx<'_>, key: &BusKey, replay: &mut Replay) -> Result<Verdict, Fault> {
    let place = |name: &str| (key.0.clone(), key.1.clone(), name.to_owned());
    let Some(archive) = ARCHIVES.get(cx.tx, &place(&replay.archive))? else {
        replay.reason = "The archive does not exist any more.".into();
        finish(cx, replay, ReplayState::Failed);
        return Ok(Verdict::Done);
    };
    replay.set_state(ReplayState::Running);
    let (from, to) = (Time::from_ms(replay.from_ms), Time::from_ms(replay.to_ms));
    let mut scan = Scan::prefix(&(archive.id,), STEP).until(&(archive.id, to));
    scan = match replay.last_ms {
        0 => scan.from(&(archive.id, from)),
        last => scan.after(&(archive.id, Time::from_ms(last), replay.last_uid)),
    };
    let rows = ARCHIVED.scan(cx.tx, scan)?;
    let done = rows.len() < STEP;
    let bus = place(&replay.bus);
    for ((_, at, uid), row) in rows {
        let mut event: Value =
            serde_json::from_slice(&row.event).map_err(|e| Fault::internal("read an archived event", e))?;
        event["replay-name"] = Value::from(key.2.as_str());
        route::replay(cx, &bus, &event, &replay.rules)?;
        (replay.last_ms, replay.last_uid) = (at.ms(), uid);
    }
    if done {
        finish(cx, replay, ReplayState::Completed);
        return Ok(Verdict::Done);
    }
    Ok(Verdict::Postpone { at: cx.now })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    replay_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancelled {
    replay_arn: String,
    state: &'static str,
}

pub(super) fn cancel(cx: &mut Cx<'_>, input: Named) -> Result<Cancelled, Fault> {
    let (key, mut replay) = open(cx, &input.replay_name)?;
    if !matches!(replay.state(), ReplayState::Starting | ReplayState::Running) {
        let text = format!("Replay {} is not in a valid state for this operation.", key.2);
        return Err(Fault::new(400, "IllegalStatusException", text));
    }
    replay.set_state(ReplayState::Cancelling);
    REPLAYS.put(cx.tx, &key, &replay);
    Ok(Cancelled { replay_arn: replay_arn(&key).to_string(), state: "CANCELLING" })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    replay_name: String,
    replay_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    state_reason: String,
    event_source_arn: String,
    destination: Destination,
    #[serde(with = "epoch_seconds")]
    event_start_time: Time,
    #[serde(with = "epoch_seconds")]
    event_end_time: Time,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    event_last_replayed_time: Option<Time>,
    #[serde(with = "epoch_seconds")]
    replay_start_time: Time,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    replay_end_time: Option<Time>,
}

fn state(replay: &Replay) -> &'static str {
    match replay.state() {
        ReplayState::Starting | ReplayState::Unspecified => "STARTING",
        ReplayState::Running => "RUNNING",
        ReplayState::Completed => "COMPLETED",
        ReplayState::Cancelling => "CANCELLING",
        ReplayState::Cancelled => "CANCELLED",
        ReplayState::Failed => "FAILED",
    }
}

fn shown(key: BusKey, replay: Replay) -> Shown {
    let place = |name: &str| (key.0.clone(), key.1.clone(), name.to_owned());
    let time = |ms: u64| (ms > 0).then(|| Time::from_ms(ms));
    Shown {
        replay_arn: replay_arn(&key).to_string(),
        state: state(&replay),
        event_source_arn: archive_arn(&place(&replay.archive)).to_string(),
        destination: Destination { arn: bus_arn(&place(&replay.bus)).to_string(), filter_arns: replay.rules },
        replay_name: key.2,
        description: replay.description,
        state_reason: replay.reason,
        event_start_time: Time::from_ms(replay.from_ms),
        event_end_time: Time::from_ms(replay.to_ms),
        event_last_replayed_time: time(replay.last_ms),
        replay_start_time: Time::from_ms(replay.started_ms),
        replay_end_time: time(replay.ended_ms),
    }
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, replay) = open(cx, &input.replay_name)?;
    Ok(shown(key, replay))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    state: Option<String>,
    event_source_arn: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    replays: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("events", "replay/*");
    cx.allow(&resource)?;
    names::check_listing(input.name_prefix.as_deref(), (64, false), input.next_token.as_deref())?;
    names::check_source(input.event_source_arn.as_deref())?;
    names::check_state(input.state.as_deref(), &STATES)?;
    let limit = buses::limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let (mut rows, next_token) = names::page(cx, &REPLAYS, &prefix, input.next_token.as_deref(), limit)?;
    rows.retain(|(_, replay)| {
        let of_archive = |arn: &String| arn.ends_with(&format!(":archive/{}", replay.archive));
        input.state.as_ref().is_none_or(|wanted| wanted == state(replay))
            && input.event_source_arn.as_ref().is_none_or(of_archive)
    });
    Ok(Listed { replays: rows.into_iter().map(|(key, replay)| shown(key, replay)).collect(), next_token })
}
