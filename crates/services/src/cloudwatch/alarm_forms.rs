//! Alarms as they are asked for and shown.

use super::faults;
use super::keys::{AlarmKey, alarm_arn};
use super::metrics::{Dimension, checked_dimensions};
use super::model::{Absent, Alarm, Comparison, MetricStat, Query};
use super::query::{self, Form, checked_stat, shown_dimensions};
use crate::tags::Tag;
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_wire::with::moment;
use serde::{Deserialize, Serialize};

const ACTIONS_MAX: usize = 5;
const QUERIES_MAX: usize = 20;
/// Spans of an alarm together: a day, or a week if they are of an hour or more.
const DAY_S: u64 = 86_400;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    pub(super) alarm_name: String,
    alarm_description: Option<String>,
    actions_enabled: Option<bool>,
    #[serde(default, rename = "OKActions")]
    ok_actions: Vec<String>,
    #[serde(default)]
    alarm_actions: Vec<String>,
    #[serde(default)]
    insufficient_data_actions: Vec<String>,
    metric_name: Option<String>,
    namespace: Option<String>,
    statistic: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    period: Option<u32>,
    unit: Option<String>,
    evaluation_periods: Option<u32>,
    datapoints_to_alarm: Option<u32>,
    threshold: Option<f64>,
    comparison_operator: Option<String>,
    treat_missing_data: Option<String>,
    #[serde(default)]
    metrics: Vec<Form>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

/// The id of the one metric that an alarm is asked for with.
const ONE: &str = "m1";

impl Put {
    /// The alarm that this asks for; its state and what follows from it are left open.
    pub(super) fn checked(self) -> Result<Alarm, Fault> {
        check_name(&self.alarm_name)?;
        if self.alarm_description.as_ref().is_some_and(|text| text.chars().count() > 1024) {
            return Err(faults::validation("A description has at most 1024 characters."));
        }
        for actions in [&self.ok_actions, &self.alarm_actions, &self.insufficient_data_actions] {
            check_actions(actions)?;
        }
        let periods = self
            .evaluation_periods
            .ok_or_else(|| faults::validation("The parameter EvaluationPeriods is required."))?;
        let to_alarm = self.datapoints_to_alarm.unwrap_or(periods);
        if periods == 0 || !(1..=periods).contains(&to_alarm) {
            return Err(faults::validation("DatapointsToAlarm lies between 1 and EvaluationPeriods."));
        }
        let comparison = self
            .comparison_operator
            .ok_or_else(|| faults::validation("The parameter ComparisonOperator is required."))?;
        let comparison = match comparison.as_str() {
            "LessThanLowerOrGreaterThanUpperThreshold"
            | "LessThanLowerThreshold"
            | "GreaterThanUpperThreshold" => {
                return Err(Fault::not_implemented("alarms of anomaly detection"));
            }
            name => Comparison::parse(name)
                .ok_or_else(|| faults::validation(format!("Unknown comparison operator: {name}")))?,
        };
        let absent =
            match self.treat_missing_data.as_deref() {
                None => None,
                Some(name) => Some(Absent::parse(name).ok_or_else(|| {
                    faults::validation(format!("Unknown treatment of missing data: {name}"))
                })?),
            };
        let threshold =
            self.threshold.ok_or_else(|| faults::validation("The parameter Threshold is required."))?;
        let of_one_metric = self.metrics.is_empty();
        let one = (self.namespace, self.metric_name, self.statistic, self.period);
        let queries = match (of_one_metric, one) {
            (true, (Some(namespace), Some(metric), Some(statistic), Some(period_s))) => {
                let dimensions = checked_dimensions(self.dimensions)?;
                let unit = self.unit.unwrap_or_default();
                let stat = MetricStat { namespace, metric, dimensions, period_s, statistic, unit };
                vec![Query { id: ONE.into(), stat: Some(checked_stat(stat)?), ..Query::default() }]
            }
            (true, _) => {
                let text = "An alarm needs Namespace, MetricName, Statistic and Period, or Metrics.";
                return Err(faults::validation(text));
            }
            (false, (None, None, None, None)) if self.dimensions.is_empty() && self.unit.is_none() => {
                of_metrics(self.metrics)?
            }
            (false, _) => {
                return Err(faults::bad_combination("Give one metric or Metrics, not both."));
            }
        };
        let alarm = Alarm {
            description: self.alarm_description.unwrap_or_default(),
            silent: self.actions_enabled == Some(false),
            ok_actions: self.ok_actions,
            alarm_actions: self.alarm_actions,
            insufficient_actions: self.insufficient_data_actions,
            queries,
            of_one_metric,
            periods,
            to_alarm,
            says_to_alarm: self.datapoints_to_alarm.is_some(),
            threshold,
            comparison: comparison.into(),
            absent: absent.map(i32::from),
            ..Alarm::default()
        };
        let span = alarm.period_s().saturating_mul(periods.into());
        let most = if alarm.period_s() >= 3600 { 7 * DAY_S } else { DAY_S };
        match span > most {
            true => {
                Err(faults::validation(format!("Period times EvaluationPeriods is at most {most} seconds.")))
            }
            false => Ok(alarm),
        }
    }
}

/// Several metrics, all of one period, and exactly one result.
fn of_metrics(forms: Vec<Form>) -> Result<Vec<Query>, Fault> {
    let queries = query::checked(forms, QUERIES_MAX)?;
    if queries.iter().filter(|query| !query.hidden).count() != 1 {
        return Err(faults::validation("Exactly one element of the metrics list should return data."));
    }
    let mut periods = queries.iter().filter_map(|query| query.stat.as_ref()).map(|stat| stat.period_s);
    let first = periods.next().ok_or_else(|| faults::validation("An alarm watches a metric."))?;
    match periods.all(|period| period == first) {
        true => Ok(queries),
        false => Err(Fault::not_implemented("alarms over metrics of different periods")),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    match (1..=255).contains(&name.chars().count()) {
        true => Ok(()),
        false => Err(faults::validation("The name of an alarm has 1 to 255 characters.")),
    }
}

fn check_actions(actions: &[String]) -> Result<(), Fault> {
    if actions.len() > ACTIONS_MAX {
        return Err(faults::validation(format!("A state has at most {ACTIONS_MAX} actions.")));
    }
    for action in actions {
        let arn: Arn = action.parse().map_err(|_| faults::validation(format!("Invalid action: {action}")))?;
        if !matches!(arn.service.as_str(), "sns" | "lambda") {
            let what = format!("alarm actions of the service {}; topics and functions are told", arn.service);
            return Err(Fault::not_implemented(&what));
        }
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    alarm_name: String,
    alarm_arn: String,
    alarm_description: Option<String>,
    #[serde(with = "moment")]
    alarm_configuration_updated_timestamp: Time,
    actions_enabled: bool,
    #[serde(rename = "OKActions")]
    ok_actions: Vec<String>,
    alarm_actions: Vec<String>,
    insufficient_data_actions: Vec<String>,
    state_value: &'static str,
    state_reason: String,
    state_reason_data: Option<String>,
    #[serde(with = "moment")]
    state_updated_timestamp: Time,
    metric_name: Option<String>,
    namespace: Option<String>,
    statistic: Option<String>,
    dimensions: Vec<Dimension>,
    period: Option<u32>,
    unit: Option<String>,
    evaluation_periods: u32,
    datapoints_to_alarm: Option<u32>,
    threshold: f64,
    comparison_operator: &'static str,
    treat_missing_data: Option<&'static str>,
    metrics: Option<Vec<Form>>,
}

pub(super) fn shown(key: AlarmKey, alarm: Alarm) -> Shown {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let one = alarm.queries.first().and_then(|query| query.stat.clone()).filter(|_| alarm.of_one_metric);
    Shown {
        alarm_arn: alarm_arn(&key).to_string(),
        alarm_name: key.2,
        alarm_configuration_updated_timestamp: Time::from_ms(alarm.configured_ms),
        actions_enabled: !alarm.silent,
        state_value: alarm.state().name(),
        state_updated_timestamp: Time::from_ms(alarm.state_ms),
        comparison_operator: alarm.comparison().name(),
        treat_missing_data: alarm.absent.map(|_| alarm.absent_rule().name()),
        metrics: (!alarm.of_one_metric).then(|| alarm.queries.iter().map(Form::shown).collect()),
        dimensions: one.as_ref().map(shown_dimensions).unwrap_or_default(),
        metric_name: one.as_ref().map(|stat| stat.metric.clone()),
        namespace: one.as_ref().map(|stat| stat.namespace.clone()),
        statistic: one.as_ref().map(|stat| stat.statistic.clone()),
        period: one.as_ref().map(|stat| stat.period_s),
        unit: one.and_then(|stat| text(stat.unit)),
        evaluation_periods: alarm.periods,
        datapoints_to_alarm: alarm.says_to_alarm.then_some(alarm.to_alarm),
        threshold: alarm.threshold,
        alarm_description: text(alarm.description),
        ok_actions: alarm.ok_actions,
        alarm_actions: alarm.alarm_actions,
        insufficient_data_actions: alarm.insufficient_actions,
        state_reason: alarm.reason,
        state_reason_data: text(alarm.reason_data),
    }
}
