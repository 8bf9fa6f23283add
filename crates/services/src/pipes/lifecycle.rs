//! From what was asked of a pipe to what it does, and what it takes from its queue.

use super::model::{Phase, Pipe};
use super::{PIPES, brokers, pipe_arn};
use crate::fabric::{self, Delivery, Target};
use crate::lambda::mappings::{External, Record};
use crate::operation::Pause;
use crate::readers::{Filters, Key, Plan, Step};
use crate::sqs::{self, Lent};
use crate::targets::{Parcel, Sender};
use crate::{Cx, events};
use mayfly_kernel::{Arn, Fault};
use mayfly_store::{Scan, Store};
use prost::Message as _;
use serde_json::Value;
use std::time::Duration;

pub(crate) fn plan(cx: &Cx<'_>, key: &Key) -> Result<Option<Plan>, Fault> {
    let Some(pipe) = PIPES.get(cx.tx, key)? else { return Ok(None) };
    let parameters = pipe.source_parameters()?;
    Ok(Some(Plan {
        runs: pipe.running && pipe.phase() != Phase::Deleting,
        batch_size: parameters.batch_size(pipe.reads(), pipe.batch_max()?) as usize,
        window: Duration::from_secs(parameters.window_s().into()),
        max_concurrency: None,
        unsettled: (pipe.phase() != Phase::Settled).then_some(pipe.generation),
        ends: pipe.phase() == Phase::Deleting,
    }))
}

pub(crate) fn adopted(cx: &mut Cx<'_>, key: &Key, generation: u64) -> Result<(), Fault> {
    let Some(mut pipe) = PIPES.get(cx.tx, key)?.filter(|pipe| pipe.generation == generation) else {
        return Ok(());
    };
    if pipe.phase() == Phase::Deleting {
        PIPES.delete(cx.tx, key);
        return brokers::forget(cx, key);
    }
    pipe.set_phase(Phase::Settled);
    PIPES.put(cx.tx, key, &pipe);
    Ok(())
}

pub(crate) fn unfinished(store: &Store) -> Result<Vec<Key>, Fault> {
    let rows = PIPES.scan(&store.view(), Scan::all(usize::MAX))?;
    let works = |pipe: &Pipe| pipe.running || pipe.phase() != Phase::Settled;
    Ok(rows.into_iter().filter(|(_, pipe)| works(pipe)).map(|(key, _)| key).collect())
}

/// Takes messages for a pipe; those that its filters do not want are deleted.
pub(crate) fn take(cx: &mut Cx<'_>, key: &Key, most: usize, bytes: u64) -> Result<Step, Fault> {
    let nothing = || Pause { watch: Vec::new(), due: None, wait: Duration::MAX };
    let Some(pipe) = PIPES.get(cx.tx, key)? else { return Ok(Step::nothing(nothing())) };
    let source = pipe.source_arn()?;
    let loan = match sqs::lend(cx, &source, most, bytes)? {
        Ok(loan) => loan,
        Err(pause) => return Ok(Step::nothing(pause)),
    };
    let filters = Filters::compile(&pipe.source_parameters()?.patterns())?;
    let mut messages = Vec::with_capacity(loan.messages.len());
    for message in loan.messages {
        if !filters.want(&message, &source)? {
            sqs::consume(cx, &message)?;
        } else if message.depth() >= cx.limits.delivery_depth {
            cut(cx, key, &pipe, &source, &message)?;
        } else {
            messages.push(message);
        }
    }
    Ok(Step { messages, lease: Some(loan.lease), pause: loan.pause })
}

/// Ends a chain that has become too long: the message goes to the dead letters, or is kept as a dead
/// delivery.
fn cut(cx: &mut Cx<'_>, key: &Key, pipe: &Pipe, source: &Arn, message: &Lent) -> Result<(), Fault> {
    events::chain_cut(cx, &pipe_arn(key), &pipe.source, message.depth())?;
    if sqs::bury(cx, source, message)? {
        return Ok(());
    }
    let reason = format!("Recursive loop: more than delivery_depth ({}) events", cx.limits.delivery_depth);
    keep(cx, key, pipe, &message.record_value(source)?, message.depth(), reason)?;
    sqs::consume(cx, message)
}

/// Keeps records of a broker that no event has room for, as dead deliveries: the broker may not have them any more.
pub(crate) fn gave_up(
    cx: &mut Cx<'_>,
    source: &External,
    line: &str,
    records: &[&Record],
) -> Result<(), Fault> {
    let Some(pipe) = PIPES.get(cx.tx, &source.key)? else { return Ok(()) };
    records.iter().try_for_each(|record| {
        let event = brokers::event(source, line, record);
        keep(cx, &source.key, &pipe, &event, 0, "the record is larger than an event may be".into())
    })
}

/// Keeps an event that does not go on as a dead delivery.
fn keep(
    cx: &mut Cx<'_>,
    key: &Key,
    pipe: &Pipe,
    event: &Value,
    depth: u32,
    why: String,
) -> Result<(), Fault> {
    let parcel = Parcel {
        target: pipe.target.clone(),
        input: event.to_string().into_bytes(),
        source: pipe_arn(key).to_string(),
        sender: Sender::Pipe.into(),
        event_type: super::work::EVENT_TYPE.into(),
        depth,
        ..Parcel::default()
    };
    let target: Arn = pipe.target.parse().map_err(|e| Fault::internal("read a pipe's target", e))?;
    let delivery = Delivery {
        target: Target::Parcel(target),
        event_type: parcel.event_type.clone(),
        payload: parcel.encode_to_vec(),
        source: parcel.source.clone(),
        id: None,
        due: None,
        depth: parcel.depth,
        tenant: None,
    };
    fabric::keep_as_dead(cx, delivery, why);
    Ok(())
}
