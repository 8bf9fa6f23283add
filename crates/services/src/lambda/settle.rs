//! What follows from an asynchronous invocation: another attempt, a word to a destination, or the end.
//!
//! A function that failed is tried again, by default twice, after one and after two minutes. What could not
//! even start (throttled, no room, nothing to run it with) does not count as an attempt and comes back until
//! the event is too old. Whoever gives up tells the destination in the same transaction.

use super::model::AsyncRow;
use super::names::Function;
use super::{async_config, faults, lookup, permissions, recursion, resolve};
use crate::Cx;
use crate::access::Agent;
use crate::events::Unplaced;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::sns::Announcement;
use crate::sqs::{self, Attribute, Post};
use crate::{events, sns};
use mayfly_kernel::function::{FunctionError, Outcome, Version};
use mayfly_kernel::{Arn, Fault};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The service as which functions send to their destinations.
const PRINCIPAL: &str = "lambda.amazonaws.com";
const RETRIES: u32 = 2;
const MAX_AGE_S: u32 = 6 * 3600;
/// How much of an error a dead letter says.
const ERROR_MESSAGE_BYTES: usize = 1024;
const POSTPONE_MIN: Duration = Duration::from_secs(1);
const POSTPONE_MAX: Duration = Duration::from_secs(300);

/// Why an invocation did not even begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// The function, version or alias does not exist any more.
    Gone,
    /// This machine cannot run it as it is; an operator may change that.
    Unrunnable(String),
    /// Throttled, or the node is full or draining.
    Later(String),
    /// It goes on with a chain of invocations that has become too long.
    Recursive,
    /// The function keeps tenants apart and the event names none, or the other way round.
    Tenancy(String),
}

/// The version for a delivery to a function, or why it does not run.
pub fn version_to_run(cx: &mut Cx<'_>, record: &Record) -> Result<Result<Version, NotRun>, Fault> {
    if recursion::cuts(cx, record)? {
        cx.allowed_by_policy();
        return Ok(Err(NotRun::Recursive));
    }
    let Some(version) = resolve::version_for(cx, record)? else { return Ok(Err(NotRun::Gone)) };
    Ok(for_tenant(version, record.tenant.as_deref()))
}

/// The version, if it keeps tenants apart exactly when the event is for one.
pub(super) fn for_tenant(version: Version, tenant: Option<&str>) -> Result<Version, NotRun> {
    match (version.per_tenant, tenant) {
        (true, None) => Err(NotRun::Tenancy(faults::no_tenant().message)),
        (false, Some(_)) => Err(NotRun::Tenancy(faults::no_tenancy().message)),
        (true, Some(_)) | (false, None) => Ok(version),
    }
}

/// Ends a flight to a function: decides what follows and writes all of it.
pub fn settled(cx: &mut Cx<'_>, record: &Record, performed: Result<&Outcome, &NotRun>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let Target::Function(arn) = record.target()? else {
        return Err(Fault::internal("settle a delivery", "it does not go to a function"));
    };
    let function = resolve::of_arn(&arn)?;
    let config = async_config::of(cx, &function)?;
    let flight = Flight { record, function, config };
    let verdict = match performed {
        Ok(Outcome { result: Ok(payload), .. }) => flight.succeeded(cx, payload)?,
        Ok(Outcome { result: Err(error), .. }) => flight.failed(cx, error)?,
        Err(NotRun::Gone) => Verdict::Dead { reason: format!("Function not found: {arn}") },
        Err(NotRun::Recursive) => {
            events::chain_cut(cx, &arn, &record.source, record.depth)?;
            let most = cx.limits.delivery_depth;
            Verdict::Dead { reason: format!("Recursive loop: more than delivery_depth ({most}) invocations") }
        }
        Err(NotRun::Tenancy(why)) => {
            flight.give_up(cx, Condition::RetriesExhausted, &Failure::NotRun { status: 400, why })?
        }
        Err(NotRun::Unrunnable(why)) => flight.postponed(cx, &Failure::NotRun { status: 502, why })?,
        Err(NotRun::Later(why)) => flight.postponed(cx, &Failure::NotRun { status: 429, why })?,
    };
    fabric::settle(cx, record.clone(), verdict)
}

struct Flight<'a> {
    record: &'a Record,
    function: Function,
    config: AsyncRow,
}

/// Why an invocation has not succeeded.
enum Failure<'a> {
    Function(&'a FunctionError),
    /// It has not come to one; with the status that a caller who waits would have got.
    NotRun {
        status: u16,
        why: &'a str,
    },
}

impl Failure<'_> {
    /// For the list of dead deliveries.
    fn why(&self) -> &str {
        match self {
            Failure::Function(error) => &error.error_type,
            Failure::NotRun { why, .. } => why,
        }
    }

    /// The status of the Invoke API: a function that fails has been invoked.
    fn status(&self) -> u16 {
        match self {
            Failure::Function(_) => 200,
            Failure::NotRun { status, .. } => *status,
        }
    }

    /// What the function says is wrong, or what it returned, if that is not an error of the common shape.
    fn message(&self) -> String {
        match self {
            Failure::Function(error) => match serde_json::from_slice::<ErrorShape>(&error.payload) {
                Ok(shape) => shape.error_message,
                Err(_) => String::from_utf8_lossy(&error.payload).into_owned(),
            },
            Failure::NotRun { why, .. } => (*why).to_owned(),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorShape {
    error_message: String,
}

/// What has become of a dead letter.
enum Letter {
    /// The function has no dead-letter target.
    None,
    Sent,
    Unsent(String),
}

/// Why an event has come to its end, in the words of the invocation record.
#[derive(Clone, Copy, Serialize)]
enum Condition {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
}

impl Flight<'_> {
    fn succeeded(&self, cx: &mut Cx<'_>, payload: &[u8]) -> Result<Verdict, Fault> {
        let reached = self.tell(cx, &self.config.on_success, Condition::Success, Some(Ok(payload)))?;
        Ok(reached.map_or(Verdict::Done, |reason| Verdict::Dead { reason }))
    }

    fn failed(&self, cx: &mut Cx<'_>, error: &FunctionError) -> Result<Verdict, Fault> {
        if self.record.attempt > self.config.retries.unwrap_or(RETRIES) {
            return self.give_up(cx, Condition::RetriesExhausted, &Failure::Function(error));
        }
        let doublings = self.record.attempt.saturating_sub(1).min(16);
        let delay = Duration::from_secs(cx.limits.async_retry_seconds << doublings);
        let at = cx.now + delay;
        if self.too_old(at) {
            return self.give_up(cx, Condition::EventAgeExceeded, &Failure::Function(error));
        }
        Ok(Verdict::Retry { at })
    }

    /// Waits as long again as it has waited already, which doubles the pause from one time to the next.
    fn postponed(&self, cx: &mut Cx<'_>, failure: &Failure<'_>) -> Result<Verdict, Fault> {
        let waited = cx.now.since(self.record.enqueued());
        let at = cx.now + waited.clamp(POSTPONE_MIN, POSTPONE_MAX);
        if self.too_old(at) {
            return self.give_up(cx, Condition::EventAgeExceeded, failure);
        }
        Ok(Verdict::Postpone { at })
    }

    fn too_old(&self, at: mayfly_kernel::Time) -> bool {
        let max_age = Duration::from_secs(self.config.max_age_s.unwrap_or(MAX_AGE_S).into());
        at.since(self.record.enqueued()) > max_age
    }

    /// Tells the destination for failures, and sends the dead letter. Without either, or if one of them
    /// cannot be reached, the delivery is kept as dead: nothing accepted is lost.
    fn give_up(
        &self,
        cx: &mut Cx<'_>,
        condition: Condition,
        failure: &Failure<'_>,
    ) -> Result<Verdict, Fault> {
        let response = match failure {
            Failure::Function(error) => Some(Err(&error.payload[..])),
            Failure::NotRun { .. } => None,
        };
        let why = failure.why();
        let unreached = self.tell(cx, &self.config.on_failure, condition, response)?;
        let dead_letter = lookup::version(cx, &self.function).map(|row| row.dead_letter).unwrap_or_default();
        let told = !self.config.on_failure.is_empty();
        let dead_letter = self.send_dead_letter(cx, &dead_letter, failure)?;
        Ok(match (unreached, dead_letter) {
            (None, Letter::None) if told => Verdict::Done,
            (None, Letter::None) => Verdict::Dead { reason: why.to_owned() },
            (None, Letter::Sent) => Verdict::Done,
            (Some(unreached), Letter::None | Letter::Sent) | (None, Letter::Unsent(unreached)) => {
                Verdict::Dead { reason: format!("{why}; {unreached}") }
            }
            (Some(unreached), Letter::Unsent(letter)) => {
                Verdict::Dead { reason: format!("{why}; {unreached}; {letter}") }
            }
        })
    }

    /// Sends the event itself to the dead-letter target.
    fn send_dead_letter(
        &self,
        cx: &mut Cx<'_>,
        target: &str,
        failure: &Failure<'_>,
    ) -> Result<Letter, Fault> {
        if target.is_empty() {
            return Ok(Letter::None);
        }
        let arn: Arn = target.parse().map_err(|e| Fault::internal("read a dead-letter target", e))?;
        let text = failure.message();
        let mut attributes = vec![Attribute::of_text("ErrorCode", "Number", failure.status().to_string())];
        if !text.is_empty() {
            let cut = text.floor_char_boundary(ERROR_MESSAGE_BYTES);
            attributes.push(Attribute::of_text("ErrorMessage", "String", &text[..cut]));
        }
        attributes.push(Attribute::of_text("RequestID", "String", &self.record.id));
        if let Some(tenant) = &self.record.tenant {
            attributes.push(Attribute::of_text("TenantId", "String", tenant));
        }
        let source = self.function.arn().to_string();
        let (body, depth) = (self.record.payload.clone(), self.record.depth + 1);
        let unreached = match arn.service.as_str() {
            "sqs" => {
                let post = Post { attributes, ..Post::new(body, depth) };
                sqs::post(cx, &arn, &Agent::new(PRINCIPAL, &source, ""), post)?
                    .err()
                    .map(|why| why.to_string())
            }
            "sns" => {
                let said = Announcement { subject: "", body, attributes: &attributes, depth };
                announce(cx, &arn, &source, said)?
            }
            _ => Some("Mayfly does not deliver there yet".to_owned()),
        };
        Ok(match unreached {
            None => Letter::Sent,
            Some(why) => Letter::Unsent(format!("for the dead-letter target {target}: {why}")),
        })
    }

    /// Writes the delivery to a destination. If it cannot be reached, says why.
    fn tell(
        &self,
        cx: &mut Cx<'_>,
        destination: &str,
        condition: Condition,
        response: Option<Result<&[u8], &[u8]>>,
    ) -> Result<Option<String>, Fault> {
        if destination.is_empty() {
            return Ok(None);
        }
        let arn: Arn = destination.parse().map_err(|e| Fault::internal("read a destination", e))?;
        if !matches!(arn.service.as_str(), "lambda" | "sqs" | "sns" | "events") {
            return Ok(Some(format!("Mayfly does not deliver to the destination {destination} yet")));
        }
        let depth = self.record.depth + 1;
        if depth > cx.limits.delivery_depth {
            return Ok(Some(format!(
                "the destination {destination} would be more than delivery_depth events away"
            )));
        }
        let payload = self.invocation_record(cx, condition, response)?;
        let source = self.function.arn().to_string();
        if arn.service == "sqs" {
            let sent = sqs::post(cx, &arn, &Agent::new(PRINCIPAL, &source, ""), Post::new(payload, depth))?;
            return Ok(sent.err().map(|why| format!("for the destination {destination}: {why}")));
        }
        if arn.service == "sns" {
            let said = Announcement { subject: "", body: payload, attributes: &[], depth };
            let unreached = announce(cx, &arn, &source, said)?;
            return Ok(unreached.map(|why| format!("for the destination {destination}: {why}")));
        }
        if payload.len() as u64 > cx.limits.async_event_bytes {
            return Ok(Some(format!("the record for {destination} is larger than async_event_bytes")));
        }
        if arn.service == "events" {
            let unreached = self.put_on_bus(cx, &arn, condition, &payload, depth)?;
            return Ok(unreached.map(|why| format!("for the destination {destination}: {why}")));
        }
        if arn.account != self.function.account
            && let Err(why) = permissions::permits(cx, &arn, PRINCIPAL, &source)?
        {
            return Ok(Some(format!("for the destination {destination}: {why}")));
        }
        cx.deliver(Delivery {
            target: Target::Function(arn),
            event_type: "mayfly.destination".into(),
            payload,
            source: self.function.named_arn().to_string(),
            id: None,
            due: None,
            depth,
            tenant: None,
        })?;
        Ok(None)
    }

    /// The event of an invocation that has come to its end; why it cannot be put on its bus, if it cannot.
    fn put_on_bus(
        &self,
        cx: &mut Cx<'_>,
        bus: &Arn,
        condition: Condition,
        payload: &[u8],
        depth: u32,
    ) -> Result<Option<String>, Fault> {
        let detail = serde_json::from_slice(payload).map_err(|e| Fault::internal("read a record", e))?;
        let kind = match condition {
            Condition::Success => "Lambda Function Invocation Result - Success",
            Condition::RetriesExhausted | Condition::EventAgeExceeded => {
                "Lambda Function Invocation Result - Failure"
            }
        };
        let qualifier = self.function.qualifier.as_deref().unwrap_or("$LATEST");
        let function = self.function.arn_of(qualifier).to_string();
        let resources = serde_json::json!([bus.to_string(), function]);
        let source = self.function.arn().to_string();
        let agent = Agent::new(PRINCIPAL, &source, "");
        let put = events::put_on(cx, bus, &agent, ("lambda", kind), (resources, detail), depth)?;
        Ok(put.err().map(|why| match why {
            Unplaced::NoSuchBus => "there is no such bus".to_owned(),
            Unplaced::Denied(why) => why,
        }))
    }

    fn invocation_record(
        &self,
        cx: &Cx<'_>,
        condition: Condition,
        response: Option<Result<&[u8], &[u8]>>,
    ) -> Result<Vec<u8>, Fault> {
        let qualifier = self.function.qualifier.as_deref().unwrap_or("$LATEST");
        let executed = lookup::version(cx, &self.function).map(|row| row.label()).unwrap_or_default();
        let document = InvocationRecord {
            version: "1.0",
            timestamp: mayfly_wire::time::iso8601(cx.now),
            request_context: RequestContext {
                request_id: &self.record.id,
                function_arn: self.function.arn_of(qualifier).to_string(),
                condition,
                approximate_invoke_count: self.record.attempt,
                tenant_id: self.record.tenant.as_deref(),
            },
            request_payload: json(&self.record.payload)?,
            response_context: response.map(|response| ResponseContext {
                status_code: 200,
                executed_version: executed,
                function_error: response.is_err().then_some("Unhandled"),
            }),
            response_payload: response
                .map(|response| json(response.unwrap_or_else(|error| error)))
                .transpose()?,
        };
        serde_json::to_vec(&document).map_err(|e| Fault::internal("write an invocation record", e))
    }
}

/// Publishes to a topic; or says why it cannot.
fn announce(
    cx: &mut Cx<'_>,
    arn: &Arn,
    source: &str,
    said: Announcement<'_>,
) -> Result<Option<String>, Fault> {
    let sent = sns::announce(cx, arn, &Agent::new(PRINCIPAL, source, ""), said)?;
    Ok(sent.err().map(|why| why.to_string()))
}

/// The bytes as they are if they are JSON, otherwise as a JSON text.
fn json(bytes: &[u8]) -> Result<Box<RawValue>, Fault> {
    if let Ok(value) = serde_json::from_slice::<Box<RawValue>>(bytes) {
        return Ok(value);
    }
    serde_json::value::to_raw_value(&String::from_utf8_lossy(bytes))
        .map_err(|e| Fault::internal("write JSON", e))
}

/// The document that destinations get, as AWS describes it under "Capturing records of Lambda asynchronous
/// invocations".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    request_payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<ResponseContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: String,
    condition: Condition,
    approximate_invoke_count: u32,
    /// Of ours: AWS does not say whether its records tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_error: Option<&'static str>,
}
