//! Who is told that an alarm has changed its state: the default event bus, and its actions, topics and
//! functions.
//!
//! The contracts are "Alarm events and EventBridge" and "Using Amazon CloudWatch alarms", user guide. An
//! action whose topic or function is gone, or does not let alarms in, is passed over, as AWS does.

use super::keys::{AlarmKey, alarm_arn};
use super::model::{Alarm, Query, State};
use crate::access::Agent;
use crate::fabric::{Delivery, Target};
use crate::sns::Announcement;
use crate::{Cx, events, lambda, sns};
use mayfly_kernel::{Arn, Fault, Time};
use serde_json::{Value, json};
use tracing::warn;

/// The service as which alarms call functions.
const PRINCIPAL: &str = "lambda.alarms.cloudwatch.amazonaws.com";

pub(super) fn tell(cx: &mut Cx<'_>, key: &AlarmKey, before: &Alarm, alarm: &Alarm) -> Result<(), Fault> {
    let arn = alarm_arn(key).to_string();
    let detail = detail(key, before, alarm);
    let kind = ("aws.cloudwatch", "CloudWatch Alarm State Change");
    events::emit(cx, (&key.0, &key.1), kind, json!([arn]), detail.clone())?;
    let actions = match alarm.state() {
        State::Ok => &alarm.ok_actions,
        State::Alarm => &alarm.alarm_actions,
        State::InsufficientData => &alarm.insufficient_actions,
    };
    for action in actions.iter().filter(|_| !alarm.silent) {
        let Ok(target) = action.parse::<Arn>() else { continue };
        match target.service.as_str() {
            "sns" => {
                let subject = format!("{}: \"{}\" in {}", alarm.state().name(), key.2, key.1);
                let subject: String = subject.chars().take(100).collect();
                let text = message(key, before, alarm).to_string();
                let agent = Agent::new("cloudwatch.amazonaws.com", &arn, "");
                let (body, depth) = (text.into_bytes(), cx.caller.depth + 1);
                let said = Announcement { subject: &subject, body, attributes: &[], depth };
                if let Err(why) = sns::announce(cx, &target, &agent, said)? {
                    warn!(alarm = %arn, topic = %target, %why, "an alarm cannot be told");
                }
            }
            "lambda" => call(cx, target, key, &arn, detail.clone())?,
            _ => {}
        }
    }
    Ok(())
}

fn call(cx: &mut Cx<'_>, function: Arn, key: &AlarmKey, arn: &str, detail: Value) -> Result<(), Fault> {
    if !lambda::exists(cx, &function)? || lambda::permits(cx, &function, PRINCIPAL, arn)?.is_err() {
        return Ok(());
    }
    let event = json!({
        "source": "aws.cloudwatch",
        "alarmArn": arn,
        "accountId": key.0,
        "time": mayfly_wire::time::iso8601(cx.now),
        "region": key.1,
        "alarmData": detail,
    });
    cx.deliver(Delivery {
        target: Target::Function(function),
        event_type: "aws.cloudwatch.Alarm".into(),
        payload: event.to_string().into_bytes(),
        source: arn.to_owned(),
        id: None,
        due: None,
        depth: cx.caller.depth,
        tenant: None,
    })
}

fn state(alarm: &Alarm) -> Value {
    json!({
        "value": alarm.state().name(),
        "reason": alarm.reason,
        "reasonData": alarm.reason_data,
        "timestamp": mayfly_wire::time::iso8601(Time::from_ms(alarm.state_ms)),
    })
}

fn detail(key: &AlarmKey, before: &Alarm, alarm: &Alarm) -> Value {
    let metric = |query: &Query| {
        let mut metric = json!({ "id": query.id, "returnData": !query.hidden });
        match &query.stat {
            Some(stat) => {
                metric["metricStat"] = json!({
                    "metric": {
                        "namespace": stat.namespace, "name": stat.metric, "dimensions": stat.dimensions,
                    },
                    "period": stat.period_s,
                    "stat": stat.statistic,
                });
            }
            None => metric["expression"] = json!(query.expression),
        }
        metric
    };
    json!({
        "alarmName": key.2,
        "state": state(alarm),
        "previousState": state(before),
        "configuration": {
            "description": alarm.description,
            "metrics": alarm.queries.iter().map(metric).collect::<Vec<Value>>(),
        },
    })
}

/// What a topic's subscribers get.
fn message(key: &AlarmKey, before: &Alarm, alarm: &Alarm) -> Value {
    let stat = alarm.queries.iter().find_map(|query| query.stat.clone()).unwrap_or_default();
    let pair = |(name, value): (&String, &String)| json!({ "name": name, "value": value });
    let mut trigger = json!({
        "Period": alarm.period_s(),
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.to_alarm,
        "ComparisonOperator": alarm.comparison().name(),
        "Threshold": alarm.threshold,
        "TreatMissingData": alarm.absent_rule().name(),
    });
    if alarm.of_one_metric {
        trigger["MetricName"] = json!(stat.metric);
        trigger["Namespace"] = json!(stat.namespace);
        trigger["StatisticType"] = json!("Statistic");
        trigger["Statistic"] = json!(stat.statistic.to_uppercase());
        trigger["Dimensions"] = json!(stat.dimensions.iter().map(pair).collect::<Vec<Value>>());
    }
    json!({
        "AlarmName": key.2,
        "AlarmDescription": Some(&alarm.description).filter(|text| !text.is_empty()),
        "AWSAccountId": key.0,
        "AlarmConfigurationUpdatedTimestamp": mayfly_wire::time::iso8601(Time::from_ms(alarm.configured_ms)),
        "NewStateValue": alarm.state().name(),
        "NewStateReason": alarm.reason,
        "StateChangeTime": mayfly_wire::time::iso8601(Time::from_ms(alarm.state_ms)),
        "Region": key.1,
        "AlarmArn": alarm_arn(key).to_string(),
        "OldStateValue": before.state().name(),
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_actions,
        "Trigger": trigger,
    })
}
