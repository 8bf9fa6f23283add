//! CloudWatch: figures of functions and of applications, and alarms that watch them.
//!
//! A figure is kept as what many of its values come to (count, sum, least, most) for each minute, and for
//! each ten seconds where somebody may want to know soon: those of functions, and custom ones of high
//! resolution. So a query costs what its range has of such spans, and not what happened in them. What
//! functions do is gathered in memory by the binary and written in batches ([`record`]); an alarm is a timer
//! that looks again and again ([`fire`]).
//!
//! Deliberately absent: percentiles, composite alarms, anomaly detection, dashboards, streams, insight rules,
//! which answer `NotImplemented`; and spans under ten seconds, which no period may ask for.
//!
//! | space | key | record |
//! |---|---|---|
//! | `CLOUDWATCH_DATA` | account, region, grain, hour, series, second | all metrics of a series in one span |
//! | `CLOUDWATCH_METRICS` | account, region, namespace, metric, series | that there is such a metric |
//! | `CLOUDWATCH_ALARMS` | account, region, alarm | an alarm and its state |
//!
//! The hour stands before the series, so that what is too old lies together and goes without an index.

mod actions;
mod alarm_forms;
mod alarms;
mod data;
mod evaluation;
mod faults;
mod functions;
mod judgement;
mod keys;
mod math;
mod metrics;
mod model;
mod query;
mod statistics;
mod tags;
#[cfg(test)]
mod tests;

pub use data::expire;
pub use evaluation::fire;
pub(crate) use evaluation::firing;
pub(crate) use functions::provisioned_utilization;
pub use functions::{Figures, Runs, Sample, record};

use crate::Service;

pub fn service() -> Service {
    let xmlns = "http://monitoring.amazonaws.com/doc/2010-08-01/";
    Service::cbor("cloudwatch", "GraniteServiceVersion20100801", xmlns)
        .signed_as("monitoring")
        .op("PutMetricData", metrics::put)
        .view("ListMetrics", metrics::list)
        .view("GetMetricStatistics", statistics::get)
        .view("GetMetricData", statistics::data)
        .op("PutMetricAlarm", alarms::put)
        .view("DescribeAlarms", alarms::describe)
        .view("DescribeAlarmsForMetric", alarms::describe_for_metric)
        .op("DeleteAlarms", alarms::delete)
        .op("SetAlarmState", alarms::set_state)
        .op("EnableAlarmActions", alarms::enable_actions)
        .op("DisableAlarmActions", alarms::disable_actions)
        .op("TagResource", crate::tags::tag::<tags::Row>)
        .op("UntagResource", crate::tags::untag::<tags::Row>)
        .view("ListTagsForResource", crate::tags::list::<tags::Row>)
}
