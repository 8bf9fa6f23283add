//! From an event on a bus to the targets of the rules that want it, in one commit.

use super::cloudevents;
use super::index::{Compiled, Rule};
use super::input::{self, Facts};
use super::keys::{self, ARCHIVE_COUNTS, ARCHIVED, BusKey, RuleKey};
use super::model::{Archived, DEFAULT_BUS, Target};
use super::names::rule_arn;
use super::put::{envelope, seconds};
use crate::Cx;
use crate::access::{Agent, Document, Gate};
use crate::targets::{self, Parcel, Sender};
use mayfly_kernel::{Arn, Fault, Time, policy};
use serde_json::Value;
use std::sync::Arc;

/// The service as which buses send.
pub(super) const PRINCIPAL: &str = "events.amazonaws.com";

/// The bus as it is compiled, if there is one.
pub(super) fn compiled(cx: &Cx<'_>, bus: &BusKey) -> Result<Option<Arc<Compiled>>, Fault> {
    let recall = cx.recall;
    let found = recall.bus(bus, || keys::version(cx, bus), || Compiled::read(cx, bus))?;
    Ok(Some(found).filter(|bus| bus.exists))
}

/// Puts an event on a bus: into its archives, and to the targets of its rules, on behalf of the bus's
/// account.
pub(super) fn accept(
    cx: &mut Cx<'_>,
    bus: &BusKey,
    compiled: &Compiled,
    event: Value,
    depth: u32,
) -> Result<(), Fault> {
    for archive in compiled.archives.iter().filter(|archive| archive.wants(&event)) {
        let bytes = bytes_of(&event)?;
        ARCHIVE_COUNTS.add(cx.tx, &(archive.id, 0), 1);
        ARCHIVE_COUNTS.add(cx.tx, &(archive.id, 1), i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        let uid = cx.ids.number();
        ARCHIVED.put(cx.tx, &(archive.id, cx.now, uid), &Archived { event: bytes });
    }
    cx.on_behalf(PRINCIPAL, (&bus.0, &bus.1), |cx| tell(cx, bus, compiled, &event, depth, |_| true))
}

/// Puts an event that was archived on a bus again, for some of its rules or for all.
pub(super) fn replay(cx: &mut Cx<'_>, bus: &BusKey, event: &Value, rules: &[String]) -> Result<(), Fault> {
    let Some(compiled) = compiled(cx, bus)? else { return Ok(()) };
    let depth = cx.caller.depth;
    tell(cx, bus, &compiled, event, depth, |arn| rules.is_empty() || rules.iter().any(|rule| rule == arn))
}

fn tell(
    cx: &mut Cx<'_>,
    bus: &BusKey,
    compiled: &Compiled,
    event: &Value,
    depth: u32,
    meant: impl Fn(&str) -> bool,
) -> Result<(), Fault> {
    for Rule { name, targets, .. } in compiled.wanting(event) {
        let key = (bus.0.clone(), bus.1.clone(), bus.2.clone(), name.clone());
        let arn = rule_arn(&key).to_string();
        if meant(&arn) {
            for target in targets {
                send(cx, (&key, &arn), target, event, depth)?;
            }
        }
    }
    Ok(())
}

/// Sends an event to a target of a rule, in the form that the target wants.
pub(super) fn send(
    cx: &mut Cx<'_>,
    (rule, rule_arn): (&RuleKey, &str),
    target: &Target,
    event: &Value,
    depth: u32,
) -> Result<(), Fault> {
    let input = match (&target.input, &target.input_path, &target.transformer) {
        (Some(constant), ..) => constant.clone().into_bytes(),
        (None, Some(path), _) => bytes_of(input::at_path(event, path).unwrap_or(&Value::Null))?,
        (None, None, Some(transformer)) => {
            let ingested = seconds(cx.now);
            let facts = Facts { rule_arn, rule_name: &rule.3, ingested: &ingested };
            input::fill(&transformer.template, &transformer.paths, event, &facts).into_bytes()
        }
        (None, None, None) => bytes_of(event)?,
    };
    let mut parcel = Parcel {
        target: target.arn.clone(),
        input,
        group: target.group.clone(),
        dead_letters: target.dead_letters.clone(),
        source: rule_arn.to_owned(),
        sender: Sender::Rule.into(),
        event_type: event["detail-type"].as_str().unwrap_or_default().to_owned(),
        depth,
        retries: target.retries,
        max_age_s: target.max_age_s,
        ..Parcel::default()
    };
    if target.arn.contains(":api-destination/") {
        parcel.http = target.http.as_ref().map(|parameters| parameters.resolved(event));
        parcel.attributes = cloudevents::attributes(event);
        parcel.whole = target.input.is_none() && target.input_path.is_none() && target.transformer.is_none();
    }
    targets::deliver(cx, parcel)
}

fn bytes_of(value: &Value) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|e| Fault::internal("write an event", e))
}

/// Why an event cannot come onto a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unplaced {
    NoSuchBus,
    /// Its policy does not let the sender in, in the words of IAM.
    Denied(String),
}

/// An event that comes from another bus, from a schedule, or from what a service acts for.
pub(crate) fn pass_on(
    cx: &mut Cx<'_>,
    bus: &Arn,
    agent: &Agent<'_>,
    event: Value,
    depth: u32,
) -> Result<Result<(), Unplaced>, Fault> {
    let key = key_of(bus);
    let Some(compiled) = compiled(cx, &key)? else { return Ok(Err(Unplaced::NoSuchBus)) };
    let gate = Gate {
        resource: bus,
        owner: &bus.account,
        action: "events:PutEvents",
        policy: Document::Read(compiled.policy.as_ref()),
        facts: policy::Facts::default(),
        keeps_root_in: false,
    };
    if let Err(why) = gate.agent(cx, agent) {
        return Ok(Err(Unplaced::Denied(why)));
    }
    accept(cx, &key, &compiled, event, depth)?;
    Ok(Ok(()))
}

fn key_of(bus: &Arn) -> BusKey {
    let name = bus.resource.trim_start_matches("event-bus/").to_owned();
    (bus.account.clone(), bus.region.clone(), name)
}

/// An event of the platform itself, on the default bus of an account in a region. No policy keeps it out.
pub(crate) fn emit(
    cx: &mut Cx<'_>,
    place: (&str, &str),
    kind: (&str, &str),
    resources: Value,
    detail: Value,
) -> Result<(), Fault> {
    emit_at(cx, place, kind, resources, detail, cx.caller.depth)
}

/// The same for what does not follow from what the caller does.
pub(super) fn emit_at(
    cx: &mut Cx<'_>,
    (account, region): (&str, &str),
    kind: (&str, &str),
    resources: Value,
    detail: Value,
    depth: u32,
) -> Result<(), Fault> {
    let bus = Arn::new("events", region, account, format!("event-bus/{DEFAULT_BUS}"));
    let (event, key) = (of_platform(cx, &bus, kind, resources, detail), key_of(&bus));
    match compiled(cx, &key)? {
        Some(compiled) => accept(cx, &key, &compiled, event, depth),
        None => Ok(()),
    }
}

fn of_platform(cx: &Cx<'_>, bus: &Arn, kind: (&str, &str), resources: Value, detail: Value) -> Value {
    let mut event = envelope(cx, kind, cx.now, resources, detail);
    event["account"] = Value::from(bus.account.as_str());
    event["region"] = Value::from(bus.region.as_str());
    event
}

/// An event that a service makes for a resource, on any bus.
pub(crate) fn put_on(
    cx: &mut Cx<'_>,
    bus: &Arn,
    agent: &Agent<'_>,
    kind: (&str, &str),
    (resources, detail): (Value, Value),
    depth: u32,
) -> Result<Result<(), Unplaced>, Fault> {
    let event = of_platform(cx, bus, kind, resources, detail);
    pass_on(cx, bus, agent, event, depth)
}

/// What a target that is a bus gets, if a schedule or a pipe makes an event for it.
pub(crate) fn event_at(
    cx: &Cx<'_>,
    kind: (&str, &str),
    time: Option<Time>,
    resources: Value,
    detail: Value,
) -> Value {
    envelope(cx, kind, time.unwrap_or(cx.now), resources, detail)
}
