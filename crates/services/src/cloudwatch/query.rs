//! Questions about figures: metrics' statistics, and expressions over them.

use super::data::{self, Grain};
use super::faults;
use super::keys::{METRICS, series};
use super::math::{self, Expr, Refused, Series};
use super::metrics::{Dimension, check_name, check_unit, checked_dimensions};
use super::model::{MetricStat, Query, Stats};
use crate::Cx;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];

pub(super) fn statistic(name: &str, stats: &Stats) -> f64 {
    match name {
        "SampleCount" => stats.count,
        "Sum" => stats.sum,
        "Minimum" => stats.min,
        "Maximum" => stats.max,
        _ => stats.sum / stats.count,
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Form {
    id: String,
    metric_stat: Option<StatForm>,
    expression: Option<String>,
    label: Option<String>,
    return_data: Option<bool>,
    period: Option<u32>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatForm {
    metric: MetricForm,
    period: u32,
    stat: String,
    unit: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricForm {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// A statistic as it is asked for, checked.
pub(super) fn checked_stat(stat: MetricStat) -> Result<MetricStat, Fault> {
    check_name(&stat.namespace, "Namespace")?;
    check_name(&stat.metric, "MetricName")?;
    check_unit(Some(&stat.unit).filter(|unit| !unit.is_empty()))?;
    let of_percentile = |name: &str| {
        let rest = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        rest.len() < name.len() && (rest.starts_with('(') || rest.parse::<f64>().is_ok())
    };
    match stat.statistic.as_str() {
        name if STATISTICS.contains(&name) => {}
        name if of_percentile(name) || name == "IQM" => {
            return Err(Fault::not_implemented(&format!("the statistic {name}")));
        }
        name => return Err(faults::bad_value(format!("Unknown statistic: {name}"))),
    }
    check_period(u64::from(stat.period_s))?;
    Ok(stat)
}

/// The spans that a period is read by.
pub(super) fn check_period(seconds: u64) -> Result<Grain, Fault> {
    match Grain::of_period(seconds) {
        Some(Grain::Minute) => Ok(Grain::Minute),
        Some(Grain::TenSeconds) if seconds < 60 => Ok(Grain::TenSeconds),
        Some(Grain::TenSeconds) | None => Err(faults::bad_value(
            "A period is 10, 20 or 30 seconds, or a multiple of 60: shorter spans are not kept.",
        )),
    }
}

impl Form {
    fn checked(self) -> Result<Query, Fault> {
        let fits = self.id.starts_with(|c: char| c.is_ascii_lowercase())
            && self.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && self.id.len() <= 255;
        if !fits {
            let text =
                format!("The id `{}` is a lower-case letter, then letters, digits, underscores.", self.id);
            return Err(faults::validation(text));
        }
        if self.label.as_ref().is_some_and(|label| label.contains("${")) {
            return Err(Fault::not_implemented("dynamic labels"));
        }
        let (stat, expression) = match (self.metric_stat, self.expression) {
            (Some(form), None) => {
                let stat = MetricStat {
                    namespace: form.metric.namespace.unwrap_or_default(),
                    metric: form.metric.metric_name.unwrap_or_default(),
                    dimensions: checked_dimensions(form.metric.dimensions)?,
                    period_s: form.period,
                    statistic: form.stat,
                    unit: form.unit.unwrap_or_default(),
                };
                (Some(checked_stat(stat)?), String::new())
            }
            (None, Some(text)) => {
                parsed(&text)?;
                (None, text)
            }
            _ => return Err(faults::validation("Each query has a MetricStat or an Expression.")),
        };
        // Of an expression it says the period of what it is made of, which is known.
        if self.period.is_some_and(|period| check_period(period.into()).is_err()) {
            return Err(faults::bad_value("A period is 10, 20 or 30 seconds, or a multiple of 60."));
        }
        let hidden = self.return_data == Some(false);
        Ok(Query { id: self.id, stat, expression, label: self.label.unwrap_or_default(), hidden })
    }

    pub(super) fn shown(query: &Query) -> Form {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let stat = query.stat.as_ref().map(|stat| StatForm {
            metric: MetricForm {
                namespace: Some(stat.namespace.clone()),
                metric_name: Some(stat.metric.clone()),
                dimensions: shown_dimensions(stat),
            },
            period: stat.period_s,
            stat: stat.statistic.clone(),
            unit: text(&stat.unit),
        });
        Form {
            id: query.id.clone(),
            metric_stat: stat,
            expression: text(&query.expression),
            label: text(&query.label),
            return_data: Some(!query.hidden),
            period: None,
        }
    }
}

pub(super) fn shown_dimensions(stat: &MetricStat) -> Vec<Dimension> {
    let dimension =
        |(name, value): (&String, &String)| Dimension { name: name.clone(), value: value.clone() };
    stat.dimensions.iter().map(dimension).collect()
}

fn parsed(text: &str) -> Result<Expr, Fault> {
    math::parse(text).map_err(|refused| match refused {
        Refused::Wrong(why) => faults::validation(format!("Error in expression '{text}': {why}")),
        Refused::NotHere(what) => Fault::not_implemented(&what),
    })
}

/// Queries that name each other by their ids, none twice and none that does not exist.
pub(super) fn checked(forms: Vec<Form>, most: usize) -> Result<Vec<Query>, Fault> {
    if forms.is_empty() || forms.len() > most {
        return Err(faults::validation(format!("There are 1 to {most} queries.")));
    }
    let queries = forms.into_iter().map(Form::checked).collect::<Result<Vec<Query>, Fault>>()?;
    for (place, query) in queries.iter().enumerate() {
        if queries[..place].iter().any(|earlier| earlier.id == query.id) {
            return Err(faults::validation(format!("The id {} is given twice.", query.id)));
        }
        if query.stat.is_none() {
            let expr = parsed(&query.expression)?;
            let unknown = expr.ids().into_iter().find(|id| !queries[..].iter().any(|other| other.id == **id));
            if let Some(unknown) = unknown {
                return Err(faults::validation(format!(
                    "The expression {} names {unknown}, which is no query.",
                    query.id
                )));
            }
        }
    }
    let mut order = Ordered { queries: &queries, done: Vec::new(), open: Vec::new() };
    queries.iter().try_for_each(|query| order.visit(query))?;
    Ok(queries)
}

/// Queries, each after those that it is made of.
struct Ordered<'a> {
    queries: &'a [Query],
    done: Vec<&'a Query>,
    open: Vec<&'a str>,
}

impl<'a> Ordered<'a> {
    fn visit(&mut self, query: &'a Query) -> Result<(), Fault> {
        if self.done.iter().any(|done| done.id == query.id) {
            return Ok(());
        }
        if self.open.contains(&query.id.as_str()) {
            return Err(faults::validation(format!("The expression {} is made of itself.", query.id)));
        }
        self.open.push(&query.id);
        if query.stat.is_none() {
            let expr = parsed(&query.expression)?;
            for id in expr.ids() {
                if let Some(other) = self.queries.iter().find(|other| other.id == id) {
                    self.visit(other)?;
                }
            }
        }
        self.open.pop();
        self.done.push(query);
        Ok(())
    }
}

/// The statistic's values in the spans that begin from `start` to before `end`, both multiples of its period.
pub(super) fn values(cx: &Cx<'_>, stat: &MetricStat, (start, end): (u64, u64)) -> Result<Series, Fault> {
    let period = u64::from(stat.period_s);
    let grain = check_period(period)?;
    let name = series(&stat.namespace, &stat.dimensions);
    if !stat.unit.is_empty() && !has_unit(cx, stat, &name)? {
        return Ok(Series::new());
    }
    let found = data::read(cx, (&name, &stat.metric), (start, end), (period, grain))?;
    Ok(found.into_iter().map(|(second, stats)| (second, statistic(&stat.statistic, &stats))).collect())
}

fn has_unit(cx: &Cx<'_>, stat: &MetricStat, series: &str) -> Result<bool, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let key = (account, region, stat.namespace.clone(), stat.metric.clone(), series.to_owned());
    Ok(METRICS.get(cx.tx, &key)?.is_some_and(|metric| metric.unit == stat.unit))
}

/// What all queries come to, by their ids. Expressions are taken at the spans of `period`.
pub(super) fn all_values(
    cx: &Cx<'_>,
    queries: &[Query],
    (start, end): (u64, u64),
    period: u64,
) -> Result<BTreeMap<String, Series>, Fault> {
    let mut order = Ordered { queries, done: Vec::new(), open: Vec::new() };
    queries.iter().try_for_each(|query| order.visit(query))?;
    let at: Vec<u64> = (start / period..).map(|place| place * period).take_while(|at| *at < end).collect();
    let mut known = BTreeMap::new();
    for query in order.done {
        let found = match &query.stat {
            Some(stat) => values(cx, stat, (start, end))?,
            None => parsed(&query.expression)?.values(&known, &at),
        };
        known.insert(query.id.clone(), found);
    }
    Ok(known)
}
