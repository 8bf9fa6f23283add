//! GetMetricStatistics and GetMetricData.

use super::data;
use super::faults;
use super::keys::series;
use super::metrics::{Dimension, check_name, check_unit, checked_dimensions};
use super::model::{MetricStat, Query};
use super::query::{self, STATISTICS, check_period, statistic};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_wire::with::moment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const POINTS_MAX: u64 = 1440;
const QUERIES_MAX: usize = 500;
const DATA_POINTS_MAX: u64 = 100_800;
const DEFAULT_PERIOD: u64 = 300;

/// A range of times as whole spans of a period.
fn range(start: Time, end: Time, period: u64, most: u64) -> Result<(u64, u64), Fault> {
    if start >= end {
        return Err(faults::bad_combination(
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let (start, end) = (start.secs() / period * period, end.secs().div_ceil(period) * period);
    match (end - start) / period > most {
        true => Err(faults::bad_combination(format!("At most {most} data points are told at once."))),
        false => Ok((start, end)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Get {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    #[serde(with = "moment")]
    start_time: Time,
    #[serde(with = "moment")]
    end_time: Time,
    period: u64,
    #[serde(default)]
    statistics: Vec<String>,
    unit: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Got {
    label: String,
    datapoints: Vec<Point>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Point {
    #[serde(with = "moment")]
    timestamp: Time,
    sample_count: Option<f64>,
    average: Option<f64>,
    sum: Option<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    unit: String,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Get) -> Result<Got, Fault> {
    let resource = cx.arn("cloudwatch", "*");
    cx.allow(&resource)?;
    check_name(&input.namespace, "Namespace")?;
    check_name(&input.metric_name, "MetricName")?;
    check_unit(input.unit.as_ref())?;
    if input.statistics.is_empty() {
        return Err(faults::missing("Statistics"));
    }
    if let Some(other) = input.statistics.iter().find(|name| !STATISTICS.contains(&name.as_str())) {
        return Err(faults::bad_value(format!("Unknown statistic: {other}")));
    }
    let grain = check_period(input.period)?;
    let (start, end) = range(input.start_time, input.end_time, input.period, POINTS_MAX)?;
    let name = series(&input.namespace, &checked_dimensions(input.dimensions)?);
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let key = (account, region, input.namespace, input.metric_name.clone(), name.clone());
    let unit = super::keys::METRICS.get(cx.tx, &key)?.map_or_else(|| "None".to_owned(), |metric| metric.unit);
    let found = match input.unit.is_none_or(|wanted| wanted == unit) {
        true => data::read(cx, (&name, &input.metric_name), (start, end), (input.period, grain))?,
        false => std::collections::BTreeMap::new(),
    };
    let point = |(second, stats): (u64, super::model::Stats)| {
        let of = |name: &str| {
            input.statistics.iter().any(|wanted| wanted == name).then(|| statistic(name, &stats))
        };
        Point {
            timestamp: Time::from_secs(second),
            sample_count: of("SampleCount"),
            average: of("Average"),
            sum: of("Sum"),
            minimum: of("Minimum"),
            maximum: of("Maximum"),
            unit: unit.clone(),
        }
    };
    Ok(Got { datapoints: found.into_iter().map(point).collect(), label: input.metric_name })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetData {
    metric_data_queries: Vec<query::Form>,
    #[serde(with = "moment")]
    start_time: Time,
    #[serde(with = "moment")]
    end_time: Time,
    scan_by: Option<String>,
    max_datapoints: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GotData {
    metric_data_results: Vec<Outcome>,
    messages: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    id: String,
    label: String,
    timestamps: Vec<Stamp>,
    values: Vec<f64>,
    status_code: &'static str,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Stamp(#[serde(with = "moment")] Time);

fn label(query: &Query) -> String {
    match (&query.stat, query.label.is_empty()) {
        (_, false) => query.label.clone(),
        (Some(stat), true) => stat.metric.clone(),
        (None, true) => query.id.clone(),
    }
}

/// All answers come at once: a question with more than may be told is refused, and none goes on by a token.
pub(super) fn data(cx: &mut Cx<'_>, input: GetData) -> Result<GotData, Fault> {
    let resource = cx.arn("cloudwatch", "*");
    cx.allow(&resource)?;
    let ascending = match input.scan_by.as_deref() {
        None | Some("TimestampDescending") => false,
        Some("TimestampAscending") => true,
        Some(other) => return Err(faults::validation(format!("Unknown order: {other}"))),
    };
    let queries = query::checked(input.metric_data_queries, QUERIES_MAX)?;
    let most = input.max_datapoints.unwrap_or(DATA_POINTS_MAX).min(DATA_POINTS_MAX);
    let of = |stat: &MetricStat| u64::from(stat.period_s);
    // Expressions are taken at the spans of the longest period; those of others fall on them or not.
    let period =
        queries.iter().filter_map(|query| query.stat.as_ref()).map(of).max().unwrap_or(DEFAULT_PERIOD);
    let shortest = queries.iter().filter_map(|query| query.stat.as_ref()).map(of).min().unwrap_or(period);
    let share = (most / queries.len() as u64).max(1);
    range(input.start_time, input.end_time, shortest, share)?;
    let span = range(input.start_time, input.end_time, period, share)?;
    let mut known = query::all_values(cx, &queries, span, period)?;
    let mut metric_data_results = Vec::new();
    for query in queries.iter().filter(|query| !query.hidden) {
        let mut found: Vec<(u64, f64)> = known.remove(&query.id).unwrap_or_default().into_iter().collect();
        if !ascending {
            found.reverse();
        }
        metric_data_results.push(Outcome {
            id: query.id.clone(),
            label: label(query),
            timestamps: found.iter().map(|(second, _)| Stamp(Time::from_secs(*second))).collect(),
            values: found.iter().map(|(_, value)| *value).collect(),
            status_code: "Complete",
        });
    }
    Ok(GotData { metric_data_results, messages: Vec::new() })
}
