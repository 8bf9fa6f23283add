//! Bringing what a rule, a schedule or a pipe has for its target to that target.
//!
//! A target that lives in the store gets it in the same commit: a message in a queue, an event on another
//! bus, a line in a log group. A function gets a delivery of the fabric, whose retries and destinations are
//! the function's own. What cannot be handed over goes to the dead-letter queue of whoever sent it, or else
//! is kept among the dead deliveries of the fabric, from where an operator may send it again: nothing is lost
//! in silence.
//!
//! An API destination gets a delivery too, whose attempts the sender's retry policy bounds (`calls.rs`): it
//! is the one target that may fail for a while.
//!
//! Not here: what is sent (the sender's input and transformer decide), and sending it to the outside.

mod calls;
mod letter;

pub(crate) use calls::request_for;
pub use calls::{Called, called, request};

use crate::access::{Agent, Refusal};
use crate::events::Unplaced;
use crate::events::endpoints::{HttpParameters, Letter};
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::sns::{Announcement, Unheard};
use crate::sqs::{self, Place, Post, Unreached};
use crate::{Cx, events, lambda, logs, sns};
use letter::{Exhausted, Tried};
use mayfly_kernel::{Arn, Fault, Time};
use prost::Message as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const RECURSIVE_LOOP: &str = "RECURSIVE_LOOP";

/// Something on its way to a target. Stored while it waits; tags are for ever.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Parcel {
    #[prost(string, tag = "1")]
    pub(crate) target: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) input: Vec<u8>,
    /// Of a FIFO queue.
    #[prost(string, tag = "3")]
    pub(crate) group: String,
    /// The queue for what cannot be handed over; empty if there is none.
    #[prost(string, tag = "4")]
    pub(crate) dead_letters: String,
    /// The ARN of the rule, schedule or pipe.
    #[prost(string, tag = "5")]
    pub(crate) source: String,
    #[prost(enumeration = "Sender", tag = "6")]
    pub(crate) sender: i32,
    #[prost(string, tag = "7")]
    pub(crate) event_type: String,
    /// How many deliveries and messages led to this one.
    #[prost(uint32, tag = "8")]
    pub(crate) depth: u32,
    /// Of the retry policy; without them, AWS's defaults.
    #[prost(uint32, optional, tag = "9")]
    pub(crate) retries: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub(crate) max_age_s: Option<u32>,
    /// Of a FIFO queue; empty for what the message holds.
    #[prost(string, tag = "11")]
    pub(crate) dedup: String,
    /// The next four are of an API destination. What stands for a part of the event is filled in.
    #[prost(message, optional, tag = "12")]
    pub(crate) http: Option<HttpParameters>,
    /// The event's as a CloudEvent.
    #[prost(btree_map = "string, string", tag = "13")]
    pub(crate) attributes: BTreeMap<String, String>,
    /// The input is an event of a bus as it is.
    #[prost(bool, tag = "14")]
    pub(crate) whole: bool,
    /// Of a log group; empty for the sender's name.
    #[prost(string, tag = "15")]
    pub(crate) stream: String,
    /// The last two are of a schedule: the id of this run, and the time that its expression names.
    #[prost(string, tag = "16")]
    pub(crate) execution: String,
    #[prost(string, tag = "17")]
    pub(crate) scheduled: String,
}

impl Parcel {
    /// The service that sends it, for the rule, schedule or pipe that it comes from.
    fn agent(&self) -> Agent<'_> {
        let service = match self.sender() {
            Sender::Schedule => "scheduler.amazonaws.com",
            Sender::Pipe => "pipes.amazonaws.com",
            Sender::Rule | Sender::Unspecified => "events.amazonaws.com",
        };
        Agent::new(service, &self.source, "")
    }

    fn into_letter(self) -> Letter {
        let Parcel { input, http, attributes, whole, .. } = self;
        Letter { body: input, parameters: http.unwrap_or_default(), attributes, whole }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Sender {
    Unspecified = 0,
    Rule = 1,
    Schedule = 2,
    Pipe = 3,
}

/// Why something could not be handed over: a code that dead letters name, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undelivered {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Undelivered {
    fn new(code: &'static str, message: impl Into<String>) -> Undelivered {
        Undelivered { code, message: message.into() }
    }

    fn denied(message: impl Into<String>) -> Undelivered {
        Undelivered::new("NO_PERMISSIONS", message)
    }

    fn missing(message: impl Into<String>) -> Undelivered {
        Undelivered::new("RESOURCE_NOT_FOUND", message)
    }
}

/// The kinds of targets that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Queue,
    Topic,
    Bus,
    LogGroup,
    ApiDestination,
}

impl Kind {
    /// `None`: a service that Mayfly does not deliver to.
    pub(crate) fn of(arn: &Arn) -> Option<Kind> {
        match arn.service.as_str() {
            "lambda" if arn.resource.starts_with("function:") => Some(Kind::Function),
            "sqs" => Some(Kind::Queue),
            "sns" => Some(Kind::Topic),
            "events" if arn.resource.starts_with("event-bus/") => Some(Kind::Bus),
            "events" if arn.resource.starts_with("api-destination/") => Some(Kind::ApiDestination),
            "logs" if arn.resource.starts_with("log-group:") => Some(Kind::LogGroup),
            _ => None,
        }
    }
}

/// Hands over in this transaction, or writes down what becomes of it.
pub(crate) fn deliver(cx: &mut Cx<'_>, parcel: Parcel) -> Result<(), Fault> {
    match hand_over(cx, &parcel)? {
        Ok(()) => Ok(()),
        Err(why) => {
            if why.code == RECURSIVE_LOOP
                && let Ok(target) = parcel.target.parse()
            {
                events::chain_cut(cx, &target, &parcel.source, parcel.depth)?;
            }
            letter::give_up(cx, parcel, &why, Tried::default())
        }
    }
}

/// What comes too late to be handed over goes where undelivered things go.
pub(crate) fn too_old(cx: &mut Cx<'_>, parcel: Parcel) -> Result<(), Fault> {
    let why = Undelivered::new("EVENT_AGE_EXCEEDED", "it is older than its retry policy lets it grow");
    let tried = Tried { retries: 0, exhausted: Some(Exhausted::EventAge) };
    letter::give_up(cx, parcel, &why, tried)
}

/// Hands over in this transaction, or says why it cannot.
pub(crate) fn hand_over(cx: &mut Cx<'_>, parcel: &Parcel) -> Result<Result<(), Undelivered>, Fault> {
    let Ok(arn) = parcel.target.parse::<Arn>() else {
        return Ok(Err(Undelivered::missing("The target is no ARN")));
    };
    if parcel.depth > cx.limits.delivery_depth {
        let text =
            format!("more than delivery_depth ({}) events follow one another", cx.limits.delivery_depth);
        return Ok(Err(Undelivered::new(RECURSIVE_LOOP, text)));
    }
    match Kind::of(&arn) {
        // These have no policy that could let somebody else in.
        Some(Kind::LogGroup | Kind::ApiDestination) if parcel.agent().account != arn.account => {
            let action =
                if arn.service == "logs" { "logs:PutLogEvents" } else { "events:InvokeApiDestination" };
            let text = Refusal::Silent.text(parcel.agent().service, action, &arn);
            Ok(Err(Undelivered::denied(text)))
        }
        Some(Kind::Function) => to_function(cx, parcel, arn),
        Some(Kind::Queue) => to_queue(cx, parcel, &arn),
        Some(Kind::Topic) => to_topic(cx, parcel, &arn),
        Some(Kind::Bus) => to_bus(cx, parcel, &arn),
        Some(Kind::LogGroup) => to_log_group(cx, parcel, &arn),
        Some(Kind::ApiDestination) => to_api_destination(cx, parcel, arn),
        None => {
            Ok(Err(Undelivered::new("SDK_CLIENT_ERROR", format!("Mayfly does not deliver to {arn} yet"))))
        }
    }
}

fn to_function(cx: &mut Cx<'_>, parcel: &Parcel, arn: Arn) -> Result<Result<(), Undelivered>, Fault> {
    if !lambda::exists(cx, &arn)? {
        return Ok(Err(Undelivered::missing(format!("Function not found: {arn}"))));
    }
    // Schedules and pipes act in a role of their account; a rule only with the function's own leave.
    let agent = parcel.agent();
    let asks = parcel.sender() == Sender::Rule || agent.account != arn.account;
    if asks && let Err(why) = lambda::permits(cx, &arn, agent.service, agent.source)? {
        return Ok(Err(Undelivered::denied(why)));
    }
    cx.deliver(Delivery {
        target: Target::Function(arn),
        event_type: parcel.event_type.clone(),
        payload: parcel.input.clone(),
        source: parcel.source.clone(),
        id: None,
        due: None,
        depth: parcel.depth,
        tenant: None,
    })?;
    Ok(Ok(()))
}

fn to_queue(cx: &mut Cx<'_>, parcel: &Parcel, arn: &Arn) -> Result<Result<(), Undelivered>, Fault> {
    // A queue that tells messages apart by their ids is given what one that does so by their bodies would
    // find.
    let dedup = || match parcel.dedup.is_empty() {
        true => hex::encode(Sha256::digest(&parcel.input)),
        false => parcel.dedup.clone(),
    };
    let place = (!parcel.group.is_empty()).then(|| Place { group: parcel.group.clone(), dedup: dedup() });
    let post = Post { place, ..Post::new(parcel.input.clone(), parcel.depth + 1) };
    Ok(sqs::post(cx, arn, &parcel.agent(), post)?.map_err(|why| match why {
        Unreached::Denied(why) => Undelivered::denied(why),
        Unreached::NoSuchQueue => Undelivered::missing(why.to_string()),
        Unreached::Fifo | Unreached::TooLarge | Unreached::NotText => {
            Undelivered::new("SDK_CLIENT_ERROR", why.to_string())
        }
    }))
}

fn to_topic(cx: &mut Cx<'_>, parcel: &Parcel, arn: &Arn) -> Result<Result<(), Undelivered>, Fault> {
    let (body, depth) = (parcel.input.clone(), parcel.depth + 1);
    let said = Announcement { subject: "", body, attributes: &[], depth };
    Ok(sns::announce(cx, arn, &parcel.agent(), said)?.map_err(|why| match why {
        Unheard::NoSuchTopic => Undelivered::missing(why.to_string()),
        Unheard::TooLarge => Undelivered::new("SDK_CLIENT_ERROR", why.to_string()),
        Unheard::Denied(why) => Undelivered::denied(why),
    }))
}

fn to_bus(cx: &mut Cx<'_>, parcel: &Parcel, arn: &Arn) -> Result<Result<(), Undelivered>, Fault> {
    let event = serde_json::from_slice(&parcel.input).map_err(|e| Fault::internal("read an event", e))?;
    Ok(events::pass_on(cx, arn, &parcel.agent(), event, parcel.depth + 1)?.map_err(|why| match why {
        Unplaced::NoSuchBus => Undelivered::missing(format!("Event bus not found: {arn}")),
        Unplaced::Denied(why) => Undelivered::denied(why),
    }))
}

fn to_log_group(cx: &mut Cx<'_>, parcel: &Parcel, arn: &Arn) -> Result<Result<(), Undelivered>, Fault> {
    let group = arn.resource.trim_start_matches("log-group:").trim_end_matches(":*").to_owned();
    let stream = match parcel.stream.is_empty() {
        true => parcel.source.rsplit('/').next().unwrap_or_default().to_owned(),
        false => parcel.stream.clone(),
    };
    let line = line_of(&parcel.input, cx.now);
    match logs::append_to_existing(cx, &group, &stream, &[line])? {
        true => Ok(Ok(())),
        false => Ok(Err(Undelivered::missing(format!("Log group not found: {arn}")))),
    }
}

/// An input of this shape says when its line was written and what it says; any other is the line itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamped {
    timestamp: u64,
    message: String,
}

fn line_of(input: &[u8], now: Time) -> logs::Line {
    match serde_json::from_slice(input) {
        Ok(Stamped { timestamp, message }) => logs::Line { at: Time::from_ms(timestamp), message },
        Err(_) => logs::Line { at: now, message: String::from_utf8_lossy(input).into_owned() },
    }
}

fn to_api_destination(cx: &mut Cx<'_>, parcel: &Parcel, arn: Arn) -> Result<Result<(), Undelivered>, Fault> {
    if let Err(why) = request_for(cx, &arn, Letter::default())? {
        return Ok(Err(why));
    }
    cx.deliver(Delivery {
        target: Target::Call(arn),
        event_type: parcel.event_type.clone(),
        payload: parcel.encode_to_vec(),
        source: parcel.source.clone(),
        id: None,
        due: None,
        depth: parcel.depth,
        tenant: None,
    })?;
    Ok(Ok(()))
}

/// Performs a delivery that was kept as dead and is sent again.
pub fn perform(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let parcel = Parcel::decode(&record.payload[..]).map_err(|e| Fault::internal("read a parcel", e))?;
    let verdict = match hand_over(cx, &parcel)? {
        Ok(()) => Verdict::Done,
        Err(why) => Verdict::Dead { reason: letter::reason(&why) },
    };
    fabric::settle(cx, record.clone(), verdict)
}
