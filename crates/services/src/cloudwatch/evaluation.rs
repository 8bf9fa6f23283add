//! An alarm looks at its figures again and again, and changes its state.

use super::actions;
use super::judgement::Rule;
use super::keys::{ALARMS, AlarmKey, alarm_arn, alarm_of};
use super::model::{Alarm, State};
use super::query;
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use crate::{Cx, codedeploy};
use mayfly_kernel::{Fault, Time};
use serde_json::json;
use std::time::Duration;

/// How long after a span's end its figures have been written down.
const SETTLED: Duration = Duration::from_secs(3);
const REASON_MAX: usize = 1023;

impl Alarm {
    fn rule(&self) -> Rule {
        let periods = usize::try_from(self.periods.max(1)).unwrap_or(1);
        let to_alarm = usize::try_from(self.to_alarm.max(1)).unwrap_or(1).min(periods);
        Rule {
            comparison: self.comparison(),
            threshold: self.threshold,
            periods,
            to_alarm,
            absent: self.absent_rule(),
        }
    }
}

/// Waits for the next look: when the next span, or minute of it, is over and written down.
pub(super) fn wait(cx: &mut Cx<'_>, key: &AlarmKey, alarm: &Alarm) -> Result<(), Fault> {
    let step = alarm.period_s().min(60);
    let settled = cx.now - SETTLED;
    let due = Time::from_secs((settled.secs() / step + 1) * step) + SETTLED;
    let arn = alarm_arn(key);
    cx.deliver(Delivery {
        source: arn.to_string(),
        target: Target::Timer(arn),
        event_type: "aws.cloudwatch.Look".into(),
        payload: Vec::new(),
        id: Some(alarm.look.clone()),
        due: Some(due),
        depth: 0,
        tenant: None,
    })
}

/// It is time to look. A delivery that is not the alarm's any more, because it has been changed or
/// deleted, ends here.
pub fn fire(cx: &mut Cx<'_>, record: &Record) -> Result<(), Fault> {
    fabric::settle(cx, record.clone(), Verdict::Done)?;
    let Target::Timer(arn) = record.target()? else {
        return Err(Fault::internal("look at an alarm", "the delivery is not a timer's"));
    };
    let Some(key) = alarm_of(&arn) else { return Ok(()) };
    let Some(mut alarm) = ALARMS.get(cx.tx, &key)?.filter(|alarm| alarm.look == record.id) else {
        return Ok(());
    };
    look(cx, &key, &mut alarm)?;
    wait(cx, &key, &alarm)
}

/// Gives an alarm the state that its figures ask for.
pub(super) fn look(cx: &mut Cx<'_>, key: &AlarmKey, alarm: &mut Alarm) -> Result<(), Fault> {
    let (rule, period) = (alarm.rule(), alarm.period_s());
    let end = (cx.now - SETTLED).secs() / period * period;
    let start = end.saturating_sub(period * rule.looked_at() as u64);
    let known = query::all_values(cx, &alarm.queries, (start, end), period)?;
    let wanted = alarm.queries.iter().find(|query| !query.hidden).and_then(|query| known.get(&query.id));
    let seconds = (1..=rule.looked_at() as u64).map(|back| end.saturating_sub(back * period));
    let spans: Vec<(u64, Option<f64>)> =
        seconds.map(|second| (second, wanted.and_then(|series| series.get(&second)).copied())).collect();
    let values: Vec<Option<f64>> = spans.iter().map(|(_, value)| *value).collect();
    let Some(state) = rule.judge(&values).filter(|state| *state != alarm.state()) else { return Ok(()) };
    let points: Vec<(u64, f64)> =
        spans.iter().filter_map(|(second, value)| Some((*second, (*value)?))).collect();
    let points = &points[..points.len().min(rule.periods)];
    let reason = reason(alarm, &rule, state, points);
    let data = json!({
        "version": "1.0",
        "queryDate": mayfly_wire::time::iso8601(cx.now),
        "statistic": alarm.queries.iter().find_map(|query| query.stat.as_ref()).map(|stat| stat.statistic.as_str()),
        "period": period,
        "recentDatapoints": points.iter().rev().map(|(_, value)| *value).collect::<Vec<f64>>(),
        "threshold": alarm.threshold,
    });
    set(cx, key, alarm, state, (reason, data.to_string()))
}

fn reason(alarm: &Alarm, rule: &Rule, state: State, points: &[(u64, f64)]) -> String {
    if points.is_empty() && state == State::InsufficientData {
        return format!("Insufficient Data: {} datapoints were unknown.", rule.periods);
    }
    let over = points.iter().filter(|(_, value)| rule.comparison.holds(*value, rule.threshold)).count();
    let (shown, not) = match state {
        State::Alarm => (over, ""),
        State::Ok | State::InsufficientData => (points.len() - over, "not "),
    };
    let time = |second: u64| mayfly_wire::time::iso8601(Time::from_secs(second)).replace(".000Z", "Z");
    let list: Vec<String> =
        points.iter().map(|(second, value)| format!("{value} ({})", time(*second))).collect();
    format!(
        "Threshold Crossed: {shown} out of the last {} datapoints [{}] was {not}{} the threshold ({}) (minimum {} \
         datapoint for OK -> ALARM transition).",
        points.len(),
        list.join(", "),
        rule.comparison.words(),
        alarm.threshold,
        rule.to_alarm,
    )
}

/// Gives an alarm a state. If that is another one, the bus, its actions and the deployments that watch it are
/// told in this transaction.
pub(super) fn set(
    cx: &mut Cx<'_>,
    key: &AlarmKey,
    alarm: &mut Alarm,
    state: State,
    (reason, data): (String, String),
) -> Result<(), Fault> {
    let before = alarm.clone();
    alarm.set_state(state);
    alarm.reason = reason.chars().take(REASON_MAX).collect();
    alarm.reason_data = data;
    alarm.state_ms = cx.now.ms();
    ALARMS.put(cx.tx, key, alarm);
    if before.state() == state {
        return Ok(());
    }
    actions::tell(cx, key, &before, alarm)?;
    match state {
        State::Alarm => codedeploy::alarmed(cx, &key.2),
        State::Ok | State::InsufficientData => Ok(()),
    }
}

/// Those of the named alarms of the caller's account that fire.
pub(crate) fn firing(cx: &Cx<'_>, names: &[String]) -> Result<Vec<String>, Fault> {
    let mut firing = Vec::new();
    for name in names {
        let key = (cx.caller.account.clone(), cx.caller.region.clone(), name.clone());
        if ALARMS.get(cx.tx, &key)?.is_some_and(|alarm| alarm.state() == State::Alarm) {
            firing.push(name.clone());
        }
    }
    Ok(firing)
}
