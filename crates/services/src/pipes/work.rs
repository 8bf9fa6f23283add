//! A batch on its way through a pipe: enriched, brought to the target, and settled.
//!
//! What a target of the store gets is part of the transaction that deletes the messages, or notes how far a
//! broker was read. What it does not take stays; of a FIFO queue and a broker so does everything after it. After an enrichment nobody can say
//! which message an event came from, so all go or all stay.

use super::model::Pipe;
use super::parameters::{self, BusTarget, EnrichmentParameters, LogsTarget, Reads, TargetParameters};
use super::template::{self, Facts, body_of, text_of};
use super::{PIPES, brokers, pipe_arn};
use crate::events::endpoints::{HttpParameters, Letter};
use crate::lambda::mappings::{Broker, Record};
use crate::readers::{Call, Errand, Key, reported_failures};
use crate::sqs::Lent;
use crate::targets::{self, Kind, Parcel, Sender, Undelivered};
use crate::{Cx, events};
use mayfly_kernel::{Arn, Fault, Time};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;

/// The type of what a pipe brings.
pub(super) const EVENT_TYPE: &str = "aws.pipes.event";

/// What becomes of a batch of a pipe.
#[derive(Debug)]
pub(crate) struct Work {
    key: Key,
    pipe: Pipe,
    items: Vec<Item>,
    /// Nothing overtakes what stays behind.
    ordered: bool,
    taken: Time,
    stage: Stage,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Enriching,
    Calling,
    /// What is left to do is done in the store.
    HandingOver,
}

/// What goes to a target, or why it cannot; and which of the events it is of.
type Outgoing = (Range<usize>, Result<Parcel, Undelivered>);

/// What is known of a message or record, beside what it says.
#[derive(Debug)]
struct Item {
    id: String,
    /// How many invocations and messages led to it.
    depth: u32,
}

/// An event on its way, and the message that it came from, if one can say.
#[derive(Debug)]
struct Event {
    value: Value,
    of: Option<usize>,
}

impl Work {
    /// `None` if there is no such pipe any more.
    pub(crate) fn of_messages(cx: &Cx<'_>, key: &Key, messages: &[Lent]) -> Result<Option<Work>, Fault> {
        let Some(pipe) = PIPES.get(cx.tx, key)? else { return Ok(None) };
        let source = pipe.source_arn()?;
        let item = |message: &Lent| {
            let item = Item { id: message.id().to_owned(), depth: message.depth() };
            Ok((item, message.record_value(&source)?))
        };
        let items = messages.iter().map(item).collect::<Result<_, Fault>>()?;
        Ok(Some(Work::new(cx, key, pipe, items)))
    }

    /// The same of records of a broker.
    pub(crate) fn of_records(
        cx: &Cx<'_>,
        key: &Key,
        line: &str,
        records: &[&Record],
    ) -> Result<Option<Work>, Fault> {
        let Some(pipe) = PIPES.get(cx.tx, key)? else { return Ok(None) };
        let Some(source) = pipe.external(key)? else { return Ok(None) };
        let item = |record: &&Record| {
            (Item { id: record.id.clone(), depth: 0 }, brokers::event(&source, line, record))
        };
        let items = records.iter().map(item).collect();
        Ok(Some(Work::new(cx, key, pipe, items)))
    }

    fn new(cx: &Cx<'_>, key: &Key, pipe: Pipe, items: Vec<(Item, Value)>) -> Work {
        let (items, values): (Vec<Item>, Vec<Value>) = items.into_iter().unzip();
        let event = |(index, value)| Event { value, of: Some(index) };
        let events = values.into_iter().enumerate().map(event).collect();
        let ordered = pipe.reads() != Reads::Queue;
        Work { key: key.clone(), pipe, items, ordered, taken: cx.now, stage: Stage::Enriching, events }
    }

    pub(crate) fn errand(&mut self) -> Result<Errand, Fault> {
        if self.pipe.enrichment.is_empty() {
            return self.go_to_target();
        }
        let arn = parameters::arn("enrichment", &self.pipe.enrichment)?;
        let EnrichmentParameters { input_template, http_parameters } = self.pipe.enrichment_parameters()?;
        let inputs = self.transformed(input_template.as_deref());
        match parameters::enrichment_kind(&arn)? {
            Kind::ApiDestination => self.call(arn, &inputs, http_parameters),
            _ => Ok(Errand::Invoke {
                function: arn,
                event: Value::Array(inputs).to_string().into_bytes(),
                event_type: EVENT_TYPE,
            }),
        }
    }

    /// What follows an errand that has come to this.
    pub(crate) fn go_on(&mut self, answer: &[u8]) -> Result<Errand, Fault> {
        if self.stage != Stage::Enriching {
            return Ok(Errand::Settle);
        }
        let answer = serde_json::from_slice(answer)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(answer).into_owned()));
        let values = match answer {
            Value::Null => Vec::new(),
            Value::String(text) if text.is_empty() => Vec::new(),
            Value::Object(members) if members.is_empty() => Vec::new(),
            Value::Array(values) => values,
            value => vec![value],
        };
        self.events = values.into_iter().map(|value| Event { value, of: None }).collect();
        self.go_to_target()
    }

    fn go_to_target(&mut self) -> Result<Errand, Fault> {
        let target = parameters::arn("target", &self.pipe.target)?;
        let kind = parameters::target_kind(&target)?;
        self.stage = Stage::HandingOver;
        if self.events.is_empty() {
            return Ok(Errand::Settle);
        }
        if self.events.len() > parameters::batch_max(kind) as usize {
            return Ok(Errand::GiveUp(format!("the enrichment made more events than {target} takes")));
        }
        let wanted = self.pipe.target_parameters()?;
        let inputs = self.transformed(wanted.input_template.as_deref());
        match kind {
            Kind::ApiDestination => {
                self.stage = Stage::Calling;
                self.call(target, &inputs, wanted.http_parameters)
            }
            Kind::Function if !wanted.fires_and_forgets() => {
                self.stage = Stage::Calling;
                let event = Value::Array(inputs).to_string().into_bytes();
                Ok(Errand::Invoke { function: target, event, event_type: EVENT_TYPE })
            }
            Kind::Function | Kind::Queue | Kind::Topic | Kind::Bus | Kind::LogGroup => Ok(Errand::Settle),
        }
    }

    /// The events as a template makes them, in their order.
    fn transformed(&self, template: Option<&str>) -> Vec<Value> {
        let ingested = mayfly_wire::time::iso8601(self.taken);
        let arn = pipe_arn(&self.key).to_string();
        let facts = Facts {
            pipe_arn: &arn,
            pipe_name: &self.key.2,
            source_arn: &self.pipe.source,
            enrichment_arn: &self.pipe.enrichment,
            target_arn: &self.pipe.target,
            ingested: &ingested,
        };
        self.events.iter().map(|event| template::made(template, &event.value, &facts)).collect()
    }

    /// A batch for an API destination has one event.
    fn call(
        &self,
        destination: Arn,
        inputs: &[Value],
        parameters: Option<HttpParameters>,
    ) -> Result<Errand, Fault> {
        let (Some(event), [input]) = (self.events.first(), inputs) else {
            return Ok(Errand::GiveUp(format!("{destination} takes one event at a time")));
        };
        let inside = template::looked_into(&event.value);
        let letter = Letter {
            body: body_of(input),
            parameters: parameters.unwrap_or_default().resolved(&inside),
            attributes: self.attributes(event),
            whole: false,
        };
        Ok(Errand::Call(Call { destination, letter }))
    }

    /// The event as a CloudEvent: it comes from the source, and has the id of its message.
    fn attributes(&self, event: &Event) -> BTreeMap<String, String> {
        let id = event.of.map_or(self.key.2.as_str(), |index| &self.items[index].id);
        let time = mayfly_wire::time::iso8601(self.taken);
        let pairs = [
            ("specversion", "1.0"),
            ("id", id),
            ("source", &self.pipe.source),
            ("type", EVENT_TYPE),
            ("time", &time),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Brings what is for the store to its target, and says of each message whether it is done.
    pub(crate) fn settle(&self, cx: &mut Cx<'_>, answer: &[u8]) -> Result<Vec<bool>, Fault> {
        if self.stage == Stage::Calling {
            return Ok(self.done_by(answer));
        }
        let mut done = vec![true; self.items.len()];
        for index in self.hand_over(cx)? {
            match index {
                Some(index) => done[index] = false,
                None => return Ok(vec![false; self.items.len()]),
            }
        }
        Ok(done)
    }

    /// What a target that was waited for has done: all, unless it says in the documented form what it has
    /// not.
    fn done_by(&self, answer: &[u8]) -> Vec<bool> {
        let reports = serde_json::from_slice::<Value>(answer)
            .is_ok_and(|answer| answer.get("batchItemFailures").is_some_and(Value::is_array));
        if !(reports && self.pipe.target.contains(":function:")) {
            return vec![true; self.items.len()];
        }
        let known = |id: &String| self.items.iter().any(|item| item.id == *id);
        match reported_failures(answer).filter(|failed| failed.iter().all(known)) {
            Some(failed) => self.items.iter().map(|item| !failed.contains(&item.id)).collect(),
            None => vec![false; self.items.len()],
        }
    }

    /// The messages of the events that the target does not take.
    fn hand_over(&self, cx: &mut Cx<'_>) -> Result<Vec<Option<usize>>, Fault> {
        if self.events.is_empty() {
            return Ok(Vec::new());
        }
        let target = parameters::arn("target", &self.pipe.target)?;
        let kind = parameters::target_kind(&target)?;
        let wanted = self.pipe.target_parameters()?;
        let inputs = self.transformed(wanted.input_template.as_deref());
        let mut refused = Vec::new();
        for (events, parcel) in self.parcels(cx, kind, &wanted, inputs)? {
            let unsent = match parcel {
                Ok(parcel) => targets::hand_over(cx, &parcel)?.err(),
                Err(why) => Some(why),
            };
            if let Some(why) = unsent {
                tracing::warn!(
                    pipe = self.key.2,
                    code = why.code,
                    why = why.message,
                    "a target takes no event"
                );
                refused.extend(events.map(|index| self.events[index].of));
            }
            if self.ordered
                && let Some(first) = refused.first().copied()
            {
                let first = first.unwrap_or(0);
                return Ok((first..self.items.len()).map(Some).collect());
            }
        }
        Ok(refused)
    }

    /// What goes to the target, and which events each parcel is of.
    fn parcels(
        &self,
        cx: &Cx<'_>,
        kind: Kind,
        wanted: &TargetParameters,
        inputs: Vec<Value>,
    ) -> Result<Vec<Outgoing>, Fault> {
        let deepest = self.items.iter().map(|item| item.depth).max().unwrap_or(0);
        let depth = |event: &Event| event.of.map_or(deepest, |index| self.items[index].depth);
        let base = |input: Vec<u8>, depth: u32| Parcel {
            target: self.pipe.target.clone(),
            input,
            source: pipe_arn(&self.key).to_string(),
            sender: Sender::Pipe.into(),
            event_type: EVENT_TYPE.into(),
            depth,
            ..Parcel::default()
        };
        if kind == Kind::Function {
            let pieces = in_pieces(inputs, cx.limits.async_event_bytes);
            return Ok(pieces.into_iter().map(|(range, input)| (range, Ok(base(input, deepest)))).collect());
        }
        let mut parcels = Vec::with_capacity(inputs.len());
        for (index, (input, event)) in inputs.iter().zip(&self.events).enumerate() {
            let mut parcel = base(body_of(input), depth(event));
            let addressed = match kind {
                Kind::Queue => address_queue(wanted, event, &mut parcel),
                Kind::Bus => self.address_bus(cx, wanted, event, input, &mut parcel),
                Kind::LogGroup => {
                    self.address_log(wanted, event, cx.now, &mut parcel);
                    Ok(())
                }
                Kind::Topic | Kind::Function | Kind::ApiDestination => Ok(()),
            };
            parcels.push((index..index + 1, addressed.map(|()| parcel)));
        }
        Ok(parcels)
    }

    /// A bus gets an event whose detail is the input.
    fn address_bus(
        &self,
        cx: &Cx<'_>,
        wanted: &TargetParameters,
        event: &Event,
        input: &Value,
        parcel: &mut Parcel,
    ) -> Result<(), Undelivered> {
        if !input.is_object() {
            return Err(unfit("the detail of an event must be a JSON object"));
        }
        let none = BusTarget::default();
        let BusTarget { detail_type, source, resources, time } =
            wanted.event_bridge_event_bus_parameters.as_ref().unwrap_or(&none);
        let text = |parameter: &Option<String>, otherwise: String| match parameter {
            Some(parameter) => text_of(parameter, &event.value).unwrap_or(otherwise),
            None => otherwise,
        };
        let came_from = brokers::broker(&self.pipe.source).map_or("aws:sqs", Broker::event_source);
        let kind = text(detail_type, format!("Event from {came_from}"));
        let source = text(source, format!("Pipe {}", self.key.2));
        if source.starts_with("aws.") {
            return Err(unfit("the source of an event must not begin with aws."));
        }
        let resources: Vec<String> =
            resources.iter().flatten().filter_map(|one| text_of(one, &event.value)).collect();
        let time = time.as_ref().and_then(|path| text_of(path, &event.value));
        let time = time.and_then(|text| mayfly_wire::time::parse_iso8601(&text));
        let made = events::event_at(cx, (&source, &kind), time, json!(resources), input.clone());
        parcel.input = made.to_string().into_bytes();
        Ok(())
    }

    fn address_log(&self, wanted: &TargetParameters, event: &Event, now: Time, parcel: &mut Parcel) {
        let none = LogsTarget::default();
        let LogsTarget { log_stream_name, timestamp } =
            wanted.cloud_watch_logs_parameters.as_ref().unwrap_or(&none);
        let stream = log_stream_name.as_ref().and_then(|name| text_of(name, &event.value));
        parcel.stream = stream.unwrap_or_else(|| self.key.2.clone());
        let text = timestamp.as_ref().and_then(|path| text_of(path, &event.value));
        let at = text.and_then(|text| match text.parse() {
            Ok(ms) => Some(Time::from_ms(ms)),
            Err(_) => mayfly_wire::time::parse_iso8601(&text),
        });
        let message = String::from_utf8_lossy(&parcel.input).into_owned();
        let at = at.unwrap_or(now);
        parcel.input = json!({ "timestamp": at.ms(), "message": message }).to_string().into_bytes();
    }
}

fn unfit(text: &str) -> Undelivered {
    Undelivered { code: "SDK_CLIENT_ERROR", message: text.to_owned() }
}

/// A FIFO queue's group and deduplication id.
fn address_queue(wanted: &TargetParameters, event: &Event, parcel: &mut Parcel) -> Result<(), Undelivered> {
    let Some(sqs) = &wanted.sqs_queue_parameters else { return Ok(()) };
    let text = |parameter: &Option<String>| match parameter {
        Some(parameter) => match text_of(parameter, &event.value).filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => Err(unfit(&format!("the event has nothing at {parameter}"))),
        },
        None => Ok(String::new()),
    };
    parcel.group = text(&sqs.message_group_id)?;
    parcel.dedup = text(&sqs.message_deduplication_id)?;
    Ok(())
}

/// Arrays of the events, none larger than an asynchronous invocation may be unless one event is.
fn in_pieces(events: Vec<Value>, most: u64) -> Vec<(Range<usize>, Vec<u8>)> {
    let mut pieces: Vec<(Range<usize>, Vec<u8>)> = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let text = event.to_string();
        match pieces.last_mut() {
            Some((range, piece)) if (piece.len() + text.len() + 2) as u64 <= most => {
                range.end = index + 1;
                piece.push(b',');
                piece.extend_from_slice(text.as_bytes());
            }
            Some(_) | None => pieces.push((index..index + 1, format!("[{text}").into_bytes())),
        }
    }
    for (_, piece) in &mut pieces {
        piece.push(b']');
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::in_pieces;
    use serde_json::json;

    #[test]
    fn a_large_batch_is_several_invocations() {
        let pieces = in_pieces((0..5).map(|n| json!({ "n": n })).collect(), 17);
        let texts: Vec<&str> = pieces.iter().map(|(_, piece)| std::str::from_utf8(piece).unwrap()).collect();
        assert_eq!(texts, [r#"[{"n":0},{"n":1}]"#, r#"[{"n":2},{"n":3}]"#, r#"[{"n":4}]"#].map(|text| text));
        assert_eq!(pieces.iter().map(|(range, _)| range.clone()).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
    }
}
