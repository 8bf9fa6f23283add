//! Rules with schedules: the next time is a delivery of the fabric that waits, one row however far it is.
//!
//! When it falls due, the targets are told and the next time is written down in one commit. So a kill at any moment
//! neither loses a time nor has it twice. Times that passed while nothing ran are one: the rule fires once, late,
//! and goes on from then.

use super::keys::{RULES, RuleKey, TIMERS};
use super::model::{Rule, Timer};
use super::names::{rule_arn, rule_of};
use super::put::envelope;
use super::{route, rule_targets};
use crate::Cx;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::schedule::Expression;
use mayfly_kernel::{Fault, Time};
use serde_json::json;

/// Brings a rule's timer in line with the rule. One that rests for the same schedule stays as it is.
pub(super) fn set(cx: &mut Cx<'_>, key: &RuleKey, rule: &Rule) -> Result<(), Fault> {
    if rule.schedule.is_empty() || rule.disabled {
        return clear(cx, key);
    }
    if TIMERS.get(cx.tx, key)?.is_some_and(|timer| timer.schedule == rule.schedule) {
        return Ok(());
    }
    clear(cx, key)?;
    start(cx, key, rule, cx.now)
}

/// Waits for the first time after `after`.
fn start(cx: &mut Cx<'_>, key: &RuleKey, rule: &Rule, after: Time) -> Result<(), Fault> {
    let expression = Expression::parse(&rule.schedule);
    let Some(due) = expression.and_then(|expression| expression.next_utc(after)) else {
        TIMERS.delete(cx.tx, key);
        return Ok(());
    };
    let arn = rule_arn(key);
    let delivery = cx.ids.uuid();
    let timer = Timer { due_ms: due.ms(), delivery: delivery.clone(), schedule: rule.schedule.clone() };
    TIMERS.put(cx.tx, key, &timer);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Target::Timer(arn),
        event_type: "aws.events.ScheduledEvent".into(),
        payload: Vec::new(),
        id: Some(delivery),
        due: Some(due),
        depth: 0,
        tenant: None,
    })
}

pub(super) fn clear(cx: &mut Cx<'_>, key: &RuleKey) -> Result<(), Fault> {
    let Some(timer) = TIMERS.get(cx.tx, key)? else { return Ok(()) };
    fabric::cancel(cx, &Target::Timer(rule_arn(key)), Time::from_ms(timer.due_ms), &timer.delivery);
    TIMERS.delete(cx.tx, key);
    Ok(())
}

/// A rule's time has come. A delivery that the rule does not wait for any more ends here.
pub fn fire(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    fabric::settle(cx, record.clone(), Verdict::Done)?;
    let Target::Timer(arn) = record.target()? else {
        return Err(Fault::internal("fire a rule", "the delivery is not a timer's"));
    };
    let Some(key) = rule_of(&arn) else { return Ok(()) };
    let Some(timer) = TIMERS.get(cx.tx, &key)?.filter(|timer| timer.delivery == record.id) else {
        return Ok(());
    };
    let Some(rule) = RULES.get(cx.tx, &key)? else { return Ok(()) };
    let due = Time::from_ms(timer.due_ms);
    let arn = arn.to_string();
    let event = envelope(cx, ("aws.events", "Scheduled Event"), due, json!([arn]), json!({}));
    for target in rule_targets::of_rule(cx, &key)? {
        route::send(cx, (&key, &arn), &target, &event, 0)?;
    }
    // A rate goes on from its own time, unless that is over already.
    let next = Expression::parse(&rule.schedule).and_then(|expression| expression.next_utc(due));
    let after = if next.is_some_and(|next| next > cx.now) { due } else { cx.now };
    start(cx, &key, &rule, after)
}
