//! A batch on its way: taken from the queue, made an event, and settled by what the function said.

use super::model::{Key, MappingRow};
use crate::Cx;
use crate::fabric::{self, Delivery, Target};
use crate::lambda::keys::{ALIASES, FUNCTIONS, MAPPINGS, VERSIONS};
use crate::lambda::{NotRun, recursion, resolve, settle};
use crate::operation::Pause;
use crate::pattern::Pattern;
use crate::sqs::{self, Lease, Lent};
use mayfly_kernel::function::Version;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// What was found for a mapping.
#[derive(Debug)]
pub struct Step {
    pub messages: Vec<Lent>,
    /// Of these messages.
    pub lease: Option<Lease>,
    /// When to look again, if there was nothing.
    pub pause: Pause,
}

/// The messages of one invocation.
#[derive(Debug)]
pub struct Batch {
    pub messages: Vec<Lent>,
    pub lease: Lease,
    source: Arn,
    pub function: Arn,
    reports_failures: bool,
}

fn row(cx: &Cx<'_>, key: &Key) -> Result<Option<MappingRow>, Fault> {
    Ok(MAPPINGS.get(cx.tx, key)?)
}

fn nothing(pause: Pause) -> Step {
    Step { messages: Vec::new(), lease: None, pause }
}

/// Takes messages for a mapping. While there is no function to run, none are: a receive would count against
/// them.
pub fn take(cx: &mut Cx<'_>, key: &Key, most: usize, bytes: u64) -> Result<Step, Fault> {
    cx.allowed_by_policy();
    let never = |watch| Pause { watch, due: None, wait: std::time::Duration::MAX };
    let Some(row) = row(cx, key)? else { return Ok(nothing(never(Vec::new()))) };
    let function = resolve::of_arn(&row.function()?)?;
    if resolve::runnable(cx, &function).is_err() {
        let of_function = function.key();
        let watch =
            vec![FUNCTIONS.key(&of_function), VERSIONS.prefix(&of_function), ALIASES.prefix(&of_function)];
        return Ok(nothing(never(watch)));
    }
    let source = row.source()?;
    let loan = match sqs::lend(cx, &source, most, bytes)? {
        Ok(loan) => loan,
        Err(pause) => return Ok(nothing(pause)),
    };
    let wanted = Wanted::of(&row)?;
    let mut messages = Vec::with_capacity(loan.messages.len());
    for message in loan.messages {
        if !wanted.wants(&message, &source)? {
            sqs::consume(cx, &message)?;
        } else if recursion::is_cut(cx, &function, message.depth())? {
            cut(cx, &row, &source, &message)?;
        } else {
            messages.push(message);
        }
    }
    Ok(Step { messages, lease: Some(loan.lease), pause: loan.pause })
}

/// The filters of a mapping.
struct Wanted(Vec<Pattern>);

impl Wanted {
    fn of(row: &MappingRow) -> Result<Wanted, Fault> {
        let read = |text: &String| Pattern::compile(text).map_err(|e| Fault::internal("read a filter", e));
        Ok(Wanted(row.filters.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether the function is to have a message. A body that is JSON is compared as such; what nobody wants
    /// is deleted.
    fn wants(&self, message: &Lent, source: &Arn) -> Result<bool, Fault> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let record = serde_json::to_value(message.record(source));
        let mut record = record.map_err(|e| Fault::internal("filter a message", e))?;
        if let Some(body) = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()) {
            record["body"] = body;
        }
        Ok(self.0.iter().any(|pattern| pattern.matches(&record)))
    }
}

/// Ends a recursive loop: the message goes to the dead letters, or is kept as a dead delivery.
fn cut(cx: &mut Cx<'_>, row: &MappingRow, source: &Arn, message: &Lent) -> Result<(), Fault> {
    if sqs::bury(cx, source, message)? {
        return Ok(());
    }
    let reason =
        format!("Recursive loop: more than delivery_depth ({}) invocations", cx.limits.delivery_depth);
    let delivery = Delivery {
        target: Target::Function(row.function()?),
        event_type: EVENT_TYPE.into(),
        payload: event_of(source, std::slice::from_ref(message))?,
        source: source.to_string(),
        id: None,
        due: None,
        depth: message.depth(),
        tenant: None,
    };
    fabric::keep_as_dead(cx, delivery, reason);
    sqs::consume(cx, message)
}

/// The type of a batch as an event.
const EVENT_TYPE: &str = "aws.sqs.batch";

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "Records")]
    records: Vec<sqs::EventRecord<'a>>,
}

fn event_of(source: &Arn, messages: &[Lent]) -> Result<Vec<u8>, Fault> {
    let records = messages.iter().map(|message| message.record(source)).collect();
    serde_json::to_vec(&Event { records }).map_err(|e| Fault::internal("write an event", e))
}

impl Batch {
    /// Messages that were taken for a mapping, or `None` if there is no such mapping any more.
    pub fn new(
        cx: &mut Cx<'_>,
        key: &Key,
        messages: Vec<Lent>,
        lease: Lease,
    ) -> Result<Option<Batch>, Fault> {
        cx.allowed_by_policy();
        let Some(row) = row(cx, key)? else { return Ok(None) };
        let (source, function) = (row.source()?, row.function()?);
        Ok(Some(Batch { messages, lease, source, function, reports_failures: row.reports_failures }))
    }

    pub const EVENT_TYPE: &'static str = EVENT_TYPE;

    /// The event, JSON.
    pub fn event(&self) -> Result<Vec<u8>, Fault> {
        event_of(&self.source, &self.messages)
    }

    /// That of the message with the longest way behind it.
    pub fn depth(&self) -> u32 {
        self.messages.iter().map(Lent::depth).max().unwrap_or(0)
    }

    /// Which messages are done after an answer; `None` if none is, because the answer makes no sense.
    fn done(&self, answer: &[u8]) -> Option<Vec<&Lent>> {
        if !self.reports_failures {
            return Some(self.messages.iter().collect());
        }
        let failed = failures(answer)?;
        let known: HashSet<&str> = self.messages.iter().map(Lent::id).collect();
        if !failed.iter().all(|id| known.contains(id.as_str())) {
            return None;
        }
        Some(self.messages.iter().filter(|message| !failed.contains(message.id())).collect())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    batch_item_failures: Option<Vec<Failure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

/// The ids that a function reports ("Reporting batch item failures"): an empty answer, an empty list and null
/// say that all went well; anything that cannot be read says that nothing did.
fn failures(answer: &[u8]) -> Option<HashSet<String>> {
    let text = answer.trim_ascii();
    if text.is_empty() || text == b"\"\"" {
        return Some(HashSet::new());
    }
    let report: Option<Report> = serde_json::from_slice(text).ok()?;
    let ids = report.unwrap_or_default().batch_item_failures.unwrap_or_default();
    let ids: HashSet<String> = ids.into_iter().map(|failure| failure.item_identifier).collect();
    (!ids.contains("")).then_some(ids)
}

/// The version that a batch runs, drawn anew each time.
pub fn version(cx: &mut Cx<'_>, batch: &Batch) -> Result<Result<Version, NotRun>, Fault> {
    cx.allowed_by_policy();
    match resolve::runnable(cx, &resolve::of_arn(&batch.function)?) {
        Ok(version) => Ok(settle::for_tenant(version, None)),
        Err(fault) if fault.status == 404 => Ok(Err(NotRun::Gone)),
        Err(fault) if fault.is_server() => Err(fault),
        Err(fault) => Ok(Err(NotRun::Later(fault.message))),
    }
}

/// Hides a batch for another visibility timeout while its function still works on it.
pub fn hold_on(cx: &mut Cx<'_>, batch: &Batch) -> Result<(), Fault> {
    cx.allowed_by_policy();
    sqs::extend(cx, &batch.messages, cx.now + batch.lease.length)
}

/// Puts a batch back that this process will not bring to its function any more.
pub fn draining(cx: &mut Cx<'_>, messages: &[Lent]) -> Result<(), Fault> {
    cx.allowed_by_policy();
    sqs::give_back(cx, messages)
}

/// Deletes what the function has done. The rest comes back once its visibility ends. Says how many are left.
pub fn settled(cx: &mut Cx<'_>, batch: &Batch, answer: &[u8]) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let done = batch.done(answer).unwrap_or_default();
    for message in &done {
        sqs::consume(cx, message)?;
    }
    Ok(batch.messages.len() - done.len())
}

#[cfg(test)]
mod tests {
    use super::failures;

    #[test]
    fn reports_are_read_as_documented() {
        let count = |answer: &str| failures(answer.as_bytes()).map(|ids| ids.len());
        for fine in ["", "null", "\"\"", "{}", r#"{"batchItemFailures":[]}"#, r#"{"batchItemFailures":null}"#]
        {
            assert_eq!(count(fine), Some(0), "{fine}");
        }
        let two = r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}"#;
        assert_eq!(count(two), Some(2));
        for bad in [
            "not JSON",
            "[1]",
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"id":"a"}]}"#,
        ] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }
}
