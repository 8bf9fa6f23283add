//! What a mapping takes of its queue, the event that it makes of a batch, and what the function's answer
//! means.

use super::model::{Key, MappingRow};
use crate::fabric::{self, Delivery, Target};
use crate::lambda::keys::{ALIASES, FUNCTIONS, MAPPINGS, VERSIONS};
use crate::lambda::{recursion, resolve};
use crate::operation::Pause;
use crate::readers::{Errand, Filters, Step, without_failures};
use crate::sqs::{self, Lent};
use crate::{Cx, events};
use mayfly_kernel::{Arn, Fault};
use serde::Serialize;

/// What becomes of a batch of a mapping.
#[derive(Debug)]
pub(crate) struct Work {
    source: Arn,
    function: Arn,
    reports_failures: bool,
}

fn row(cx: &Cx<'_>, key: &Key) -> Result<Option<MappingRow>, Fault> {
    Ok(MAPPINGS.get(cx.tx, key)?)
}

/// Takes messages for a mapping. While there is no function to run, none are: a receive would count against
/// them.
pub(crate) fn take(cx: &mut Cx<'_>, key: &Key, most: usize, bytes: u64) -> Result<Step, Fault> {
    let never = |watch| Pause { watch, due: None, wait: std::time::Duration::MAX };
    let Some(row) = row(cx, key)? else { return Ok(Step::nothing(never(Vec::new()))) };
    let function = resolve::of_arn(&row.function()?)?;
    if resolve::runnable(cx, &function).is_err() {
        let of_function = function.key();
        let watch =
            vec![FUNCTIONS.key(&of_function), VERSIONS.prefix(&of_function), ALIASES.prefix(&of_function)];
        return Ok(Step::nothing(never(watch)));
    }
    let source = row.source()?;
    let loan = match sqs::lend(cx, &source, most, bytes)? {
        Ok(loan) => loan,
        Err(pause) => return Ok(Step::nothing(pause)),
    };
    let filters = Filters::compile(&row.filters)?;
    let mut messages = Vec::with_capacity(loan.messages.len());
    for message in loan.messages {
        if !filters.want(&message, &source)? {
            sqs::consume(cx, &message)?;
        } else if recursion::is_cut(cx, &function, message.depth())? {
            cut(cx, &row, &source, &message)?;
        } else {
            messages.push(message);
        }
    }
    Ok(Step { messages, lease: Some(loan.lease), pause: loan.pause })
}

/// Ends a recursive loop: the message goes to the dead letters, or is kept as a dead delivery.
fn cut(cx: &mut Cx<'_>, row: &MappingRow, source: &Arn, message: &Lent) -> Result<(), Fault> {
    events::chain_cut(cx, &row.function()?, &source.to_string(), message.depth())?;
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

impl Work {
    /// `None` if there is no such mapping any more.
    pub(crate) fn read(cx: &Cx<'_>, key: &Key) -> Result<Option<Work>, Fault> {
        let Some(row) = row(cx, key)? else { return Ok(None) };
        let (source, function) = (row.source()?, row.function()?);
        Ok(Some(Work { source, function, reports_failures: row.reports_failures }))
    }

    pub(crate) fn errand(&self, messages: &[Lent]) -> Result<Errand, Fault> {
        let event = event_of(&self.source, messages)?;
        Ok(Errand::Invoke { function: self.function.clone(), event, event_type: EVENT_TYPE })
    }

    /// Which messages are done after an answer; none is, if the answer makes no sense.
    pub(crate) fn done<'a>(&self, messages: &'a [Lent], answer: &[u8]) -> Vec<&'a Lent> {
        match self.reports_failures {
            true => without_failures(messages, answer).unwrap_or_default(),
            false => messages.iter().collect(),
        }
    }
}
