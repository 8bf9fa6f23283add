//! Who takes messages out of queues for the platform, and brings them on: event source mappings, and pipes.
//!
//! Both are rows with a plan; one task of the binary for each reads the source, gathers a batch, runs the
//! batch's errands (what has to be done outside of the store, one after another), and settles it in one
//! transaction. The lease of a batch is the queue's own visibility timeout: a batch in hand when the process
//! dies comes back by itself, so there is nothing to recover.
//!
//! Not here: waiting, calling functions and sending requests (the binary does), and what a batch means (its
//! owner's module does).

mod external;

pub use external::{Passage, Sink};

use crate::events::endpoints::{Letter, Request};
use crate::lambda::{NotRun, mappings};
use crate::operation::Pause;
use crate::pattern::Pattern;
use crate::sqs::{self, Lease, Lent};
use crate::{Cx, lambda, pipes, targets};
use mayfly_kernel::function::Version;
use mayfly_kernel::{Arn, Caller, Fault, Limits};
use mayfly_store::Store;
use serde_json::Value;
use std::time::Duration;

/// Account, region, and the id or name.
pub type Key = (String, String, String);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    Mapping(Key),
    Pipe(Key),
}

/// What whoever runs a reader has to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether it reads its source. One that does not finishes what it has.
    pub runs: bool,
    pub batch_size: usize,
    pub window: Duration,
    /// How many batches at once, if that is bounded.
    pub max_concurrency: Option<usize>,
    /// Names this plan in [`Reader::adopted`]; `None` if that was said.
    pub unsettled: Option<u64>,
    /// It is about to go, and what it has left at its source with it.
    pub ends: bool,
}

/// What was found for a reader.
#[derive(Debug)]
pub struct Step {
    pub messages: Vec<Lent>,
    /// Of these messages.
    pub lease: Option<Lease>,
    /// When to look again, if there was nothing.
    pub pause: Pause,
}

impl Step {
    pub(crate) fn nothing(pause: Pause) -> Step {
        Step { messages: Vec::new(), lease: None, pause }
    }
}

impl Reader {
    /// Every reader that reads its source, or is on its way to a state. Asked once, at start.
    pub fn unfinished(store: &Store) -> Result<Vec<Reader>, Fault> {
        let mappings = mappings::unfinished(store)?.into_iter().map(Reader::Mapping);
        Ok(mappings.chain(pipes::unfinished(store)?.into_iter().map(Reader::Pipe)).collect())
    }

    pub fn caller(&self) -> Caller {
        match self {
            Reader::Mapping(key) => Caller::service("lambda.amazonaws.com", &key.0, &key.1),
            Reader::Pipe(key) => Caller::service("pipes.amazonaws.com", &key.0, &key.1),
        }
    }

    /// The plan, if there is such a reader.
    pub fn plan(&self, cx: &mut Cx<'_>) -> Result<Option<Plan>, Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::plan(cx, key),
            Reader::Pipe(key) => pipes::plan(cx, key),
        }
    }

    /// Notes that a reader does as its plan says, unless there is a newer one.
    pub fn adopted(&self, cx: &mut Cx<'_>, generation: u64) -> Result<(), Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::adopted(cx, key, generation),
            Reader::Pipe(key) => pipes::adopted(cx, key, generation),
        }
    }

    /// Takes up to `most` messages of about `bytes` together.
    pub fn take(&self, cx: &mut Cx<'_>, most: usize, bytes: u64) -> Result<Step, Fault> {
        cx.allowed_by_policy();
        match self {
            Reader::Mapping(key) => mappings::take(cx, key, most, bytes),
            Reader::Pipe(key) => pipes::take(cx, key, most, bytes),
        }
    }

    /// Messages that were taken, on their way; or `None` if there is no such reader any more.
    pub fn batch(&self, cx: &mut Cx<'_>, messages: Vec<Lent>, lease: Lease) -> Result<Option<Batch>, Fault> {
        cx.allowed_by_policy();
        let work = match self {
            Reader::Mapping(key) => mappings::Work::read(cx, key)?.map(|work| Work::Mapping(Box::new(work))),
            Reader::Pipe(key) => {
                pipes::Work::of_messages(cx, key, &messages)?.map(|work| Work::Pipe(Box::new(work)))
            }
        };
        Ok(work.map(|work| Batch { messages, lease, work, answer: Vec::new() }))
    }
}

/// The messages of one round.
#[derive(Debug)]
pub struct Batch {
    pub messages: Vec<Lent>,
    pub lease: Lease,
    work: Work,
    /// What the last errand came to.
    answer: Vec<u8>,
}

#[derive(Debug)]
enum Work {
    Mapping(Box<mappings::Work>),
    Pipe(Box<pipes::Work>),
}

/// What has to be done outside of the store before a batch can go on.
#[derive(Debug)]
pub enum Errand {
    Invoke {
        function: Arn,
        event: Vec<u8>,
        event_type: &'static str,
    },
    /// A call of an API destination.
    Call(Call),
    /// Nothing any more: the batch can be settled.
    Settle,
    /// The batch cannot go on, and why; it comes back.
    GiveUp(String),
}

/// What is to be sent to an API destination.
#[derive(Debug)]
pub struct Call {
    pub(crate) destination: Arn,
    pub(crate) letter: Letter,
}

impl Call {
    /// `None` if there is nobody to send it to.
    pub fn request(&self, cx: &mut Cx<'_>) -> Result<Option<Request>, Fault> {
        cx.allowed_by_policy();
        Ok(targets::request_for(cx, &self.destination, self.letter.clone())?.ok())
    }
}

impl Batch {
    /// What is to be done first.
    pub fn errand(&mut self) -> Result<Errand, Fault> {
        match &mut self.work {
            Work::Mapping(work) => work.errand(&self.messages),
            Work::Pipe(work) => work.errand(),
        }
    }

    /// What is to be done next, after an errand that has come to this.
    pub fn go_on(&mut self, answer: Vec<u8>) -> Result<Errand, Fault> {
        self.answer = answer;
        match &mut self.work {
            Work::Mapping(_) => Ok(Errand::Settle),
            Work::Pipe(work) => work.go_on(&self.answer),
        }
    }

    /// That of the message with the longest way behind it.
    pub fn depth(&self) -> u32 {
        self.messages.iter().map(Lent::depth).max().unwrap_or(0)
    }

    /// Hides the messages for another visibility timeout while they are still worked on.
    pub fn hold_on(&self, cx: &mut Cx<'_>) -> Result<(), Fault> {
        cx.allowed_by_policy();
        sqs::extend(cx, &self.messages, cx.now + self.lease.length)
    }

    /// Deletes what is done. The rest comes back once its visibility ends. Says how many are left.
    pub fn settle(&self, cx: &mut Cx<'_>) -> Result<usize, Fault> {
        cx.allowed_by_policy();
        let done = match &self.work {
            Work::Mapping(work) => work.done(&self.messages, &self.answer),
            Work::Pipe(work) => {
                let done = work.settle(cx, &self.answer)?;
                self.messages.iter().zip(done).filter(|(_, done)| *done).map(|(message, _)| message).collect()
            }
        };
        for message in &done {
            sqs::consume(cx, message)?;
        }
        Ok(self.messages.len() - done.len())
    }
}

/// How much an event grows by one message at most: all of it may be characters that JSON writes as two.
pub fn message_bytes(limits: &Limits) -> u64 {
    limits.sqs_message_bytes * 2 + 4096
}

/// Puts messages back that this process will not bring on any more.
pub fn give_back(cx: &mut Cx<'_>, messages: &[Lent]) -> Result<(), Fault> {
    cx.allowed_by_policy();
    sqs::give_back(cx, messages)
}

/// The version that an invocation of a function runs, drawn anew each time.
pub fn version(cx: &mut Cx<'_>, function: &Arn) -> Result<Result<Version, NotRun>, Fault> {
    cx.allowed_by_policy();
    lambda::version_now(cx, function)
}

/// Patterns of which a message must match one; none wants everything.
#[derive(Debug)]
pub(crate) struct Filters(Vec<Pattern>);

impl Filters {
    pub(crate) fn compile(patterns: &[String]) -> Result<Filters, Fault> {
        let read = |text: &String| Pattern::compile(text).map_err(|e| Fault::internal("read a filter", e));
        Ok(Filters(patterns.iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether a message is wanted. A body that is JSON is compared as such; what nobody wants is deleted.
    pub(crate) fn want(&self, message: &Lent, source: &Arn) -> Result<bool, Fault> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let mut record = message.record_value(source)?;
        if let Some(body) = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()) {
            record["body"] = body;
        }
        Ok(self.admit(|| record))
    }

    /// Whether a record is wanted that is read only if there is a filter.
    pub(crate) fn admit(&self, record: impl FnOnce() -> Value) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let record = record();
        self.0.iter().any(|pattern| pattern.matches(&record))
    }
}

/// The ids that a consumer reports ("Reporting batch item failures"): an empty answer, an empty list and null say
/// that all went well; anything that cannot be read says that nothing did.
pub(crate) fn reported_failures(answer: &[u8]) -> Option<std::collections::HashSet<String>> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        batch_item_failures: Option<Vec<Failure>>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: String,
    }
    let text = answer.trim_ascii();
    if text.is_empty() || text == b"\"\"" {
        return Some(Default::default());
    }
    let report: Option<Report> = serde_json::from_slice(text).ok()?;
    let ids = report.unwrap_or_default().batch_item_failures.unwrap_or_default();
    let ids: std::collections::HashSet<String> =
        ids.into_iter().map(|failure| failure.item_identifier).collect();
    (!ids.contains("")).then_some(ids)
}

/// Which messages are not among those that failed; `None` if a failure is none of them.
pub(crate) fn without_failures<'a>(messages: &'a [Lent], answer: &[u8]) -> Option<Vec<&'a Lent>> {
    let failed = reported_failures(answer)?;
    let known = |id: &String| messages.iter().any(|message| message.id() == id);
    let done = || messages.iter().filter(|message| !failed.contains(message.id())).collect();
    failed.iter().all(known).then(done)
}

#[cfg(test)]
mod tests {
    use super::reported_failures;

    #[test]
    fn reports_are_read_as_documented() {
        let count = |answer: &str| reported_failures(answer.as_bytes()).map(|ids| ids.len());
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
