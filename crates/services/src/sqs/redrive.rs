//! Dead letters: where messages go that were received too often, and the tasks that bring them back.
//!
//! A task is a row, and its work a delivery of the fabric that moves some messages in each transaction, so it
//! goes on after a crash where it was, and no message is ever in both queues or in neither.

use super::counts;
use super::keys::{DLQ_SOURCES, MOVES};
use super::model::{Message, Move, MoveStatus, Queue, State};
use super::queues::{self, Opened, find, open, open_arn};
use super::send::Draft;
use super::{attributes, faults, fifo, policy, receive, send, standard};
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::{Cx, paging};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many messages one transaction of a task moves.
const STEP: usize = 100;
const PER_SECOND_MAX: u32 = 500;
const LISTED_MAX: usize = 10;

/// Whether a message was received as often as its queue allows.
pub(super) fn is_dead(queue: &Opened, message: &Message, state: Option<State>) -> bool {
    let here = state.map_or(0, |state| state.receives.saturating_sub(message.receives_before));
    queue.record.redrive.as_ref().is_some_and(|redrive| here >= redrive.max_receives)
}

/// Writes a dead message into its queue's dead-letter queue, under a time and a number. False if there is
/// none any more: then it stays.
pub(super) fn bury(
    cx: &mut Cx<'_>,
    queue: &Opened,
    (sent, uid): (Time, u64),
    message: &Message,
    state: Option<State>,
) -> Result<bool, Fault> {
    let Some(redrive) = &queue.record.redrive else { return Ok(false) };
    let target: Arn = redrive.target_arn.parse().map_err(|e| Fault::internal("read a redrive policy", e))?;
    let source = queue.arn().to_string();
    let admits =
        |record: &Queue| record.fifo == queue.record.fifo && attributes::admits_source(record, &source);
    let Some(dead_letters) = find(cx, &target)?.filter(|target| admits(&target.record)) else {
        return Ok(false);
    };
    let id = dead_letters.record.id;
    let mut letter = Message {
        arrived_ms: cx.now.ms(),
        delay_s: 0,
        dead_letter_source: source,
        receives_before: state.map_or(message.receives_before, |state| state.receives),
        first_received_ms: state.map_or(message.first_received_ms, |state| state.first_received_ms),
        ..message.clone()
    };
    if dead_letters.record.fifo {
        letter.seq = fifo::next_seq(cx, id, &letter.group)?;
        fifo::append(cx, id, sent, uid, &letter);
    } else {
        standard::insert(cx, id, sent, uid, &letter);
    }
    Ok(true)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sources {
    queue_url: String,
    next_token: Option<String>,
    max_results: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct SourceUrls {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn sources(cx: &mut Cx<'_>, input: Sources) -> Result<SourceUrls, Fault> {
    let queue = open(cx, &input.queue_url)?;
    let size = queues::page(input.max_results)?;
    let (account, region, name) = queue.key;
    let prefix = (account.clone(), region.clone(), name.clone());
    let mut scan = Scan::prefix(&prefix, size + 1);
    if let Some(token) = input.next_token {
        scan = scan.after(&(account, region, name, token));
    }
    let (rows, next_token) = paging::cut(DLQ_SOURCES.scan(cx.tx, scan)?, size, |(key, _)| key.3.clone());
    let url = |((account, region, _, source), _)| queues::url(cx.site, &(account, region, source));
    Ok(SourceUrls { queue_urls: rows.into_iter().map(url).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Start {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    task_handle: String,
}

/// What a task's handle says: base64 of this.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskHandle {
    task_id: String,
    source_arn: String,
    started: u64,
}

impl TaskHandle {
    fn write(&self) -> Result<String, Fault> {
        let json = serde_json::to_vec(self).map_err(|e| Fault::internal("write a task handle", e))?;
        Ok(STANDARD.encode(json))
    }

    fn read(text: &str) -> Result<TaskHandle, Fault> {
        let json = STANDARD.decode(text).ok();
        let handle = json.and_then(|json| serde_json::from_slice(&json).ok());
        handle.ok_or_else(|| faults::parameter("TaskHandle", text, "It is not a valid task handle."))
    }
}

fn source(cx: &mut Cx<'_>, text: &str) -> Result<Opened, Fault> {
    let arn: Arn = text
        .parse()
        .ok()
        .filter(|arn: &Arn| arn.service == "sqs")
        .ok_or_else(|| faults::parameter("SourceArn", text, "It is not the ARN of a queue."))?;
    let queue = find(cx, &arn)?;
    policy::admit(cx, &arn, queue.as_ref())?;
    let none =
        || faults::no_resource("The resource that you specified for the SourceArn parameter doesn't exist.");
    queue.ok_or_else(none)
}

pub(super) fn start(cx: &mut Cx<'_>, input: Start) -> Result<Started, Fault> {
    let queue = source(cx, &input.source_arn)?;
    let (account, region, name) = &queue.key;
    let is_target =
        DLQ_SOURCES.scan(cx.tx, Scan::prefix(&(account.clone(), region.clone(), name.clone()), 1))?;
    if is_target.is_empty() {
        return Err(faults::invalid("Source queue must be configured as a Dead Letter Queue."));
    }
    if let Some(destination) = &input.destination_arn {
        let gone = "The resource that you specified for the DestinationArn parameter doesn't exist.";
        let arn: Arn = destination.parse().map_err(|_| faults::no_resource(gone))?;
        let target = open_arn(cx, &arn).map_err(|_| faults::no_resource(gone))?;
        if target.record.fifo != queue.record.fifo || target.key == queue.key {
            return Err(faults::invalid(
                "Destination queue must be another queue of the same type as the source.",
            ));
        }
    }
    let per_second = input.max_number_of_messages_per_second;
    if let Some(bad) = per_second.filter(|rate| !(1..=PER_SECOND_MAX).contains(rate)) {
        let reason = "It must be between 1 and 500.";
        return Err(faults::parameter("MaxNumberOfMessagesPerSecond", bad, reason));
    }
    let tasks = MOVES.scan(cx.tx, Scan::prefix(&(queue.record.birth,), LISTED_MAX).reverse())?;
    if tasks.iter().any(|(_, task)| is_active(task)) {
        return Err(faults::unsupported(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        ));
    }
    let task = cx.ids.uuid();
    let row = Move {
        source_arn: input.source_arn.clone(),
        destination_arn: input.destination_arn.unwrap_or_default(),
        per_second: per_second.unwrap_or_default(),
        status: MoveStatus::Running.into(),
        to_move: counts::of(cx.tx, queue.record.id, cx.now)?.visible,
        started_ms: cx.now.ms(),
        ..Move::default()
    };
    MOVES.put(cx.tx, &(queue.record.birth, cx.now, task.clone()), &row);
    let handle = TaskHandle { task_id: task, source_arn: input.source_arn, started: cx.now.ms() }.write()?;
    cx.deliver(Delivery {
        target: Target::Redrive(queue.arn()),
        event_type: "mayfly.redrive".into(),
        payload: handle.clone().into_bytes(),
        source: queue.arn().to_string(),
        id: None,
        due: None,
        depth: 0,
        tenant: None,
    })?;
    Ok(Started { task_handle: handle })
}

fn is_active(task: &Move) -> bool {
    matches!(task.status(), MoveStatus::Running | MoveStatus::Cancelling)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    source_arn: String,
    max_results: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    results: Vec<Task>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: &'static str,
    source_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    destination_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    failure_reason: String,
    started_timestamp: u64,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let queue = source(cx, &input.source_arn)?;
    let limit = input.max_results.unwrap_or(1);
    if !(1..=LISTED_MAX).contains(&limit) {
        return Err(faults::parameter("MaxResults", limit, "It must be between 1 and 10."));
    }
    let rows = MOVES.scan(cx.tx, Scan::prefix(&(queue.record.birth,), limit).reverse())?;
    let task = |((_, started, id), row): ((u64, Time, String), Move)| {
        let handle = TaskHandle { task_id: id, source_arn: row.source_arn.clone(), started: started.ms() };
        let running = row.status() == MoveStatus::Running;
        Ok(Task {
            task_handle: running.then(|| handle.write()).transpose()?,
            status: match row.status() {
                MoveStatus::Running => "RUNNING",
                MoveStatus::Completed => "COMPLETED",
                MoveStatus::Cancelling => "CANCELLING",
                MoveStatus::Cancelled => "CANCELLED",
                MoveStatus::Failed | MoveStatus::Unspecified => "FAILED",
            },
            source_arn: row.source_arn,
            destination_arn: row.destination_arn,
            max_number_of_messages_per_second: Some(row.per_second).filter(|rate| *rate > 0),
            approximate_number_of_messages_moved: row.moved,
            approximate_number_of_messages_to_move: row.to_move,
            failure_reason: row.failure,
            started_timestamp: row.started_ms,
        })
    };
    Ok(Listed { results: rows.into_iter().map(task).collect::<Result<_, Fault>>()? })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancel {
    task_handle: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancelled {
    approximate_number_of_messages_moved: u64,
}

pub(super) fn cancel(cx: &mut Cx<'_>, input: Cancel) -> Result<Cancelled, Fault> {
    let handle = TaskHandle::read(&input.task_handle)?;
    let queue = source(cx, &handle.source_arn)?;
    let key = (queue.record.birth, Time::from_ms(handle.started), handle.task_id);
    let none = || faults::no_resource("Task does not exist.");
    let mut row = MOVES.get(cx.tx, &key)?.ok_or_else(none)?;
    if row.status() != MoveStatus::Running {
        return Err(faults::unsupported("Only active tasks can be cancelled."));
    }
    row.set_status(MoveStatus::Cancelling);
    MOVES.put(cx.tx, &key, &row);
    Ok(Cancelled { approximate_number_of_messages_moved: row.moved })
}

/// Moves the next messages of a task, and says with the delivery's end whether there is more to do.
pub fn step(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let handle = TaskHandle::read(&String::from_utf8_lossy(&record.payload))?;
    let Target::Redrive(arn) = record.target()? else {
        return Err(Fault::internal("move messages", "the delivery is not a task's"));
    };
    let Some(queue) = find(cx, &arn)? else {
        return fabric::settle(cx, record.clone(), Verdict::Done);
    };
    let key = (queue.record.birth, Time::from_ms(handle.started), handle.task_id);
    let Some(mut row) = MOVES.get(cx.tx, &key)?.filter(is_active) else {
        return fabric::settle(cx, record.clone(), Verdict::Done);
    };
    let mut verdict = Verdict::Done;
    if row.status() == MoveStatus::Cancelling {
        row.set_status(MoveStatus::Cancelled);
    } else {
        match move_some(cx, &queue, &row)? {
            Ok(moved) => {
                row.moved += moved as u64;
                if moved == 0 || row.moved >= row.to_move {
                    row.set_status(MoveStatus::Completed);
                } else {
                    let pause = 1000 * moved as u64 / u64::from(row.per_second.max(1));
                    let pause = if row.per_second == 0 { 0 } else { pause };
                    verdict = Verdict::Postpone { at: cx.now + Duration::from_millis(pause) };
                }
            }
            Err(failure) => {
                row.set_status(MoveStatus::Failed);
                row.failure = failure;
            }
        }
    }
    MOVES.put(cx.tx, &key, &row);
    fabric::settle(cx, record.clone(), verdict)
}

/// How many it moved, or why it cannot.
fn move_some(cx: &mut Cx<'_>, queue: &Opened, task: &Move) -> Result<Result<usize, String>, Fault> {
    let most = if task.per_second == 0 { STEP } else { STEP.min(task.per_second as usize) };
    let wish = standard::Wish { most, bytes: u64::MAX, visibility: Duration::ZERO };
    let taken = receive::take(cx, queue, &wish)?.taken;
    for (place, one) in taken.iter().enumerate() {
        let message = &one.message;
        let target = match task.destination_arn.as_str() {
            "" => &message.dead_letter_source,
            destination => destination,
        };
        let arn: Option<Arn> = target.parse().ok();
        let found = match arn {
            Some(arn) => find(cx, &arn)?.filter(|target| target.record.fifo == queue.record.fifo),
            None => None,
        };
        let Some(target) = found else {
            // What this transaction has moved before stays moved; the rest stays here.
            let why = if target.is_empty() {
                "CouldNotDetermineMessageSource"
            } else {
                "AWS.SimpleQueueService.NonExistentQueue"
            };
            return Ok(if place == 0 { Err(why.to_owned()) } else { Ok(place) });
        };
        erase(cx, queue, one)?;
        let draft = Draft {
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            trace: message.trace.clone(),
            group: message.group.clone(),
            dedup: message.dedup.clone(),
            delay_s: target.record.delay_s,
            // Whoever brings it back starts a new chain.
            depth: 0,
        };
        send::put_again(cx, &target, draft)?;
    }
    Ok(Ok(taken.len()))
}

/// Deletes a message that was just taken.
pub(super) fn erase(cx: &mut Cx<'_>, queue: &Opened, taken: &standard::Taken) -> Result<(), Fault> {
    match queue.record.fifo {
        true => fifo::erase(cx, taken.key, &taken.message, Some(taken.state)),
        false => {
            standard::erase(cx, taken.key, &taken.message, Some(taken.state));
            Ok(())
        }
    }
}
