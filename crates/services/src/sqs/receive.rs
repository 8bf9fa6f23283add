//! ReceiveMessage.
//!
//! Hands out up to ten visible messages. Whoever waits is run again when a row of the queue's order changes, or
//! when the next hidden message becomes visible.

use super::body::{self, Value};
use super::counts::{self, Kind};
use super::handle::Handle;
use super::keys::{QUEUES, TURNS, VISIBLE};
use super::model::{Attribute, BATCH, VISIBILITY_MAX_S, WAIT_MAX_S, check_token};
use super::queues::{Opened, open};
use super::send::sequence;
use super::standard::{Catch, Taken, Wish};
use super::{faults, fifo, standard};
use crate::Cx;
use crate::operation::{Pause, Polled};
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How soon to look again after passing over messages that others were about to take.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<usize>,
    visibility_timeout: Option<u32>,
    wait_time_seconds: Option<u32>,
    receive_request_attempt_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Received {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<String, Value>,
}

pub(super) fn receive(cx: &mut Cx<'_>, input: Receive) -> Result<Polled<Received>, Fault> {
    let queue = open(cx, &input.queue_url)?;
    let wanted = Wanted::read(&queue, &input)?;
    let caught = catch(cx, &queue, &wanted, &input)?;
    let messages = caught.taken.iter().map(|taken| message(&queue, taken, &input)).collect();
    let output = Received { messages };
    if !output.messages.is_empty() || wanted.wait.is_zero() {
        return Ok(Polled::Ready(output));
    }
    let pause = pause(cx, &queue, wanted.wait, caught.passed_over)?;
    Ok(Polled::Wait { empty: output, pause })
}

/// When a queue in which nothing was found is worth another look.
pub(super) fn pause(cx: &Cx<'_>, queue: &Opened, wait: Duration, soon: bool) -> Result<Pause, Fault> {
    let id = queue.record.id;
    let (order, due) = match queue.record.fifo {
        true => (TURNS.prefix(&(id,)), fifo::next_due(cx, id)?),
        false => (VISIBLE.prefix(&(id,)), standard::next_due(cx, id)?),
    };
    let due = if soon { Some(cx.now + LOOK_AGAIN) } else { due };
    // A purge gives the queue another order to watch.
    Ok(Pause { watch: vec![order, QUEUES.key(&queue.key)], due, wait })
}

struct Wanted {
    most: usize,
    visibility: Duration,
    wait: Duration,
}

impl Wanted {
    fn read(queue: &Opened, input: &Receive) -> Result<Wanted, Fault> {
        let most = input.max_number_of_messages.unwrap_or(1);
        if !(1..=BATCH).contains(&most) {
            let reason = "Must be between 1 and 10, if provided.";
            return Err(faults::parameter("MaxNumberOfMessages", most, reason));
        }
        let wait = input.wait_time_seconds.unwrap_or(queue.record.wait_s);
        if wait > WAIT_MAX_S {
            let reason = "Must be >= 0 and <= 20, if provided.";
            return Err(faults::parameter("WaitTimeSeconds", wait, reason));
        }
        let visibility = input.visibility_timeout.unwrap_or(queue.record.visibility_s);
        if visibility > VISIBILITY_MAX_S {
            let reason = "Must be between 0 and 43200, if provided.";
            return Err(faults::parameter("VisibilityTimeout", visibility, reason));
        }
        if let Some(attempt) = &input.receive_request_attempt_id {
            if !queue.record.fifo {
                let reason = "The request include parameter that is not valid for this queue type.";
                return Err(faults::parameter("ReceiveRequestAttemptId", attempt, reason));
            }
            check_token("ReceiveRequestAttemptId", attempt)?;
        }
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(Wanted { most, visibility: seconds(visibility), wait: seconds(wait) })
    }
}

fn catch(cx: &mut Cx<'_>, queue: &Opened, wanted: &Wanted, input: &Receive) -> Result<Catch, Fault> {
    let attempt = input.receive_request_attempt_id.as_deref();
    if let Some(attempt) = attempt
        && let Some(taken) = fifo::given_again(cx, queue, attempt, wanted.visibility)?
    {
        return Ok(Catch::of(taken));
    }
    if !has_room(cx, queue)? {
        if !queue.record.fifo && wanted.wait.is_zero() {
            let most = cx.limits.sqs_in_flight;
            return Err(faults::over_limit("Messages in flight", "sqs_in_flight", most));
        }
        return Ok(Catch::default());
    }
    let wish = Wish { most: wanted.most, bytes: u64::MAX, visibility: wanted.visibility };
    let caught = take(cx, queue, &wish)?;
    if let Some(attempt) = attempt
        && !caught.taken.is_empty()
    {
        fifo::remember(cx, queue.record.id, attempt, &caught.taken);
    }
    Ok(caught)
}

/// Takes messages out of a queue of either kind.
pub(super) fn take(cx: &mut Cx<'_>, queue: &Opened, wish: &Wish) -> Result<Catch, Fault> {
    match queue.record.fifo {
        true => fifo::take(cx, queue, wish),
        false => standard::take(cx, queue, wish),
    }
}

/// Whether more messages may be in flight. The sum is made only if there are that many messages at all.
pub(super) fn has_room(cx: &Cx<'_>, queue: &Opened) -> Result<bool, Fault> {
    let limit = if queue.record.fifo { cx.limits.sqs_in_flight_fifo } else { cx.limits.sqs_in_flight };
    let id = queue.record.id;
    Ok(counts::total(cx.tx, id)? < limit || counts::hidden(cx.tx, id, Kind::InFlight, cx.now)? < limit)
}

pub(super) fn handle(queue: &Opened, taken: &Taken) -> String {
    let (_, sent, uid) = taken.key;
    Handle { sent, uid, nonce: taken.state.nonce }.write(queue.record.birth)
}

fn message(queue: &Opened, taken: &Taken, input: &Receive) -> Message {
    let message = &taken.message;
    let wanted = |name: &str| {
        let mut names = input.attribute_names.iter().chain(&input.message_system_attribute_names);
        names.any(|asked| asked == "All" || asked == name)
    };
    let all = system_attributes(queue.record.fifo, taken);
    let chosen: Vec<&Attribute> = message
        .attributes
        .iter()
        .filter(|attribute| input.message_attribute_names.iter().any(|asked| names(asked, &attribute.name)))
        .collect();
    Message {
        message_id: message.id.clone(),
        receipt_handle: handle(queue, taken),
        md5_of_body: body::md5(&message.body),
        body: String::from_utf8_lossy(&message.body).into_owned(),
        attributes: all.into_iter().filter(|(name, _)| wanted(name)).collect(),
        md5_of_attributes: body::md5_of_attributes(chosen.iter().copied()),
        message_attributes: chosen.iter().map(|one| (one.name.clone(), Value::from(*one))).collect(),
    }
}

/// Whether a wish, such as `All`, `order.*` or a whole name, means the attribute.
fn names(asked: &str, name: &str) -> bool {
    match asked.strip_suffix(".*") {
        _ if asked == "All" => true,
        Some(prefix) => name.starts_with(prefix),
        None => asked == name,
    }
}

pub(super) fn system_attributes(fifo: bool, taken: &Taken) -> Vec<(&'static str, String)> {
    let (message, state) = (&taken.message, &taken.state);
    let mut all = vec![
        ("SenderId", message.sender.clone()),
        ("SentTimestamp", taken.key.1.ms().to_string()),
        ("ApproximateReceiveCount", state.receives.to_string()),
        ("ApproximateFirstReceiveTimestamp", state.first_received_ms.to_string()),
    ];
    if fifo {
        all.push(("SequenceNumber", sequence(message.seq)));
    }
    let optional = [
        ("MessageGroupId", &message.group),
        ("MessageDeduplicationId", &message.dedup),
        ("AWSTraceHeader", &message.trace),
        ("DeadLetterQueueSourceArn", &message.dead_letter_source),
    ];
    all.extend(
        optional.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, text.clone())),
    );
    all
}
