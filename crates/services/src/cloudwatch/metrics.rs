//! PutMetricData and ListMetrics.

use super::data::{self, Entry, Grain};
use super::faults;
use super::keys::{METRICS, MetricKey, parts, series};
use super::model::Stats;
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const DATA_MAX: usize = 1000;
const VALUES_MAX: usize = 150;
const DIMENSIONS_MAX: usize = 30;
const PAGE: usize = 500;
/// How far ahead of us a client's clock may be.
const AHEAD: Duration = Duration::from_secs(2 * 3600);
const ACTIVE: Duration = Duration::from_secs(3 * 3600);

const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

pub(super) fn check_unit(unit: Option<&String>) -> Result<(), Fault> {
    match unit {
        Some(unit) if !UNITS.contains(&unit.as_str()) => {
            Err(faults::bad_value(format!("The value {unit} for parameter Unit is invalid.")))
        }
        Some(_) | None => Ok(()),
    }
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) value: String,
}

pub(super) fn check_name(text: &str, member: &str) -> Result<(), Fault> {
    let fits = (1..=255).contains(&text.chars().count()) && !(member == "Namespace" && text.starts_with(':'));
    match fits {
        true => Ok(()),
        false => Err(faults::bad_value(format!("The parameter {member} has 1 to 255 characters."))),
    }
}

pub(super) fn checked_dimensions(dimensions: Vec<Dimension>) -> Result<BTreeMap<String, String>, Fault> {
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(faults::bad_value(format!("A metric has at most {DIMENSIONS_MAX} dimensions.")));
    }
    let mut checked = BTreeMap::new();
    for Dimension { name, value } in dimensions {
        check_name(&name, "Dimensions.member.Name")?;
        if !(1..=1024).contains(&value.chars().count()) {
            return Err(faults::bad_value("The value of a dimension has 1 to 1024 characters."));
        }
        checked.insert(name, value);
    }
    Ok(checked)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<Datum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    #[serde(default, with = "moment::option")]
    timestamp: Option<Time>,
    value: Option<f64>,
    statistic_values: Option<Statistics>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    counts: Vec<f64>,
    unit: Option<String>,
    storage_resolution: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

impl Datum {
    fn stats(&self) -> Result<Stats, Fault> {
        let given = (self.value, &self.statistic_values, &self.values[..]);
        let stats = match given {
            (Some(value), None, []) => Stats::of(value, 1.0),
            (None, Some(set), []) => {
                if set.sample_count <= 0.0 || set.minimum > set.maximum {
                    return Err(faults::bad_value("The statistic values contradict each other."));
                }
                Stats { count: set.sample_count, sum: set.sum, min: set.minimum, max: set.maximum }
            }
            (None, None, values @ [_, ..]) => {
                if values.len() > VALUES_MAX {
                    return Err(faults::bad_value(format!("At most {VALUES_MAX} values come at once.")));
                }
                if !self.counts.is_empty() && self.counts.len() != values.len() {
                    return Err(faults::bad_value("Each value has its count."));
                }
                let counts = self.counts.iter().copied().chain(std::iter::repeat(1.0));
                let mut all = Stats::default();
                values.iter().zip(counts).for_each(|(value, count)| all.add(&Stats::of(*value, count)));
                all
            }
            (None, None, []) => return Err(faults::missing("MetricData.member.Value")),
            _ => return Err(faults::bad_combination("Give one of Value, Values and StatisticValues.")),
        };
        match [stats.count, stats.sum, stats.min, stats.max].iter().all(|number| number.is_finite()) {
            true => Ok(stats),
            false => Err(faults::bad_value("A value is a finite number.")),
        }
    }

    fn fine(&self) -> Result<bool, Fault> {
        match self.storage_resolution {
            None | Some(60) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(faults::bad_value("StorageResolution is 1 or 60.")),
        }
    }
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<(), Fault> {
    let resource = cx.arn("cloudwatch", "*");
    cx.allow(&resource)?;
    check_name(&input.namespace, "Namespace")?;
    if input.namespace.starts_with("AWS/") {
        return Err(faults::bad_value("The namespace must not begin with AWS/."));
    }
    match input.metric_data.len() {
        0 => return Err(faults::missing("MetricData")),
        1..=DATA_MAX => {}
        _ => return Err(faults::bad_value(format!("At most {DATA_MAX} data come at once."))),
    }
    for datum in input.metric_data {
        check_name(&datum.metric_name, "MetricData.member.MetricName")?;
        check_unit(datum.unit.as_ref())?;
        let (stats, fine) = (datum.stats()?, datum.fine()?);
        let at = datum.timestamp.unwrap_or(cx.now);
        if at > cx.now + AHEAD || at < Grain::Minute.oldest(cx.now) {
            let text = "The parameter MetricData.member.Timestamp lies within the last 15 days and the next 2 hours.";
            return Err(faults::bad_value(text));
        }
        let dimensions = checked_dimensions(datum.dimensions)?;
        let unit = datum.unit.unwrap_or_else(|| "None".to_owned());
        let entry = Entry {
            series: series(&input.namespace, &dimensions),
            namespace: input.namespace.clone(),
            at,
            metrics: vec![(datum.metric_name, stats, unit)],
            fine,
        };
        data::add(cx, &entry)?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Filter>,
    next_token: Option<String>,
    recently_active: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    metrics: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    namespace: String,
    metric_name: String,
    dimensions: Vec<Dimension>,
}

/// By namespace and name. A page is what is asked for of those that lie in it, so it may be short and go on.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("cloudwatch", "*");
    cx.allow(&resource)?;
    for (text, member) in [(&input.namespace, "Namespace"), (&input.metric_name, "MetricName")] {
        text.as_ref().map_or(Ok(()), |text| check_name(text, member))?;
    }
    let since = match input.recently_active.as_deref() {
        None => Time::EPOCH,
        // What a metric's row says of its last value is up to an hour old.
        Some("PT3H") => cx.now - ACTIVE - Duration::from_secs(3600),
        Some(_) => return Err(faults::bad_value("RecentlyActive is PT3H.")),
    };
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = match (&input.namespace, &input.metric_name) {
        (Some(namespace), Some(name)) => {
            Scan::prefix(&(place.0.clone(), place.1.clone(), namespace.clone(), name.clone()), PAGE + 1)
        }
        (Some(namespace), None) => {
            Scan::prefix(&(place.0.clone(), place.1.clone(), namespace.clone()), PAGE + 1)
        }
        (None, _) => Scan::prefix(&place, PAGE + 1),
    };
    if let Some(token) = &input.next_token {
        let last: (String, String, String) = serde_json::from_str(token).map_err(|_| faults::bad_token())?;
        scan = scan.after(&(place.0, place.1, last.0, last.1, last.2));
    }
    let (rows, next_token) = paging::cut(METRICS.scan(cx.tx, scan)?, PAGE, |(key, _)| {
        serde_json::json!([key.2, key.3, key.4]).to_string()
    });
    let wanted = |key: &MetricKey, dimensions: &[(String, String)]| {
        let holds = |filter: &Filter| {
            dimensions.iter().any(|(name, value)| {
                *name == filter.name && filter.value.as_ref().is_none_or(|wanted| wanted == value)
            })
        };
        input.metric_name.as_ref().is_none_or(|name| *name == key.3) && input.dimensions.iter().all(holds)
    };
    let metrics = rows.into_iter().filter(|(_, row)| Time::from_ms(row.last_ms) >= since);
    let metrics = metrics.filter_map(|(key, _)| {
        let (_, dimensions) = parts(&key.4)?;
        wanted(&key, &dimensions).then(|| Shown {
            namespace: key.2,
            metric_name: key.3,
            dimensions: dimensions.into_iter().map(|(name, value)| Dimension { name, value }).collect(),
        })
    });
    Ok(Listed { metrics: metrics.collect(), next_token })
}
