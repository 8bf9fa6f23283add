//! What functions do, as figures of the namespace `AWS/Lambda`: "Lambda metrics" in its developer guide.

use super::data::{self, Entry, Grain};
use super::keys::series;
use super::model::Stats;
use crate::Cx;
use mayfly_kernel::{Arn, Fault, Time};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const NAMESPACE: &str = "AWS/Lambda";
const UTILIZATION: &str = "ProvisionedConcurrencyUtilization";

/// What happened to a function under one name in one span of ten seconds.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Unqualified.
    pub function: Arn,
    /// The alias or version by which it was called; empty if by none.
    pub qualifier: String,
    /// The version that ran: `$LATEST` or a number.
    pub version: String,
    pub at: Time,
    pub figures: Figures,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figures {
    Runs(Runs),
    /// The most invocations of the function that ran at once, whatever their version.
    Concurrency(u32),
    /// How many ran at once at most under a name that has provisioned instances, and how many it has.
    Provisioned {
        busy: u32,
        available: u32,
    },
}

/// What came of invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Runs {
    pub invocations: u64,
    pub errors: u64,
    pub throttles: u64,
    /// Of all together, in milliseconds.
    pub duration_ms: f64,
    pub duration_ms_min: f64,
    pub duration_ms_max: f64,
}

impl Runs {
    pub fn ran(&mut self, failed: bool, ms: f64) {
        let first = self.invocations == 0;
        self.duration_ms_min = if first { ms } else { self.duration_ms_min.min(ms) };
        self.duration_ms_max = if first { ms } else { self.duration_ms_max.max(ms) };
        self.duration_ms += ms;
        self.invocations += 1;
        self.errors += u64::from(failed);
    }

    pub fn is_empty(&self) -> bool {
        self.invocations + self.throttles == 0
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds are far below 2^53")]
    fn metrics(&self) -> Vec<(String, Stats, String)> {
        let mut metrics = Vec::new();
        let mut add = |name: &str, stats: Stats, unit: &str| {
            if stats.count > 0.0 {
                metrics.push((name.to_owned(), stats, unit.to_owned()));
            }
        };
        let (ran, errors) = (self.invocations as f64, self.errors as f64);
        // Each invocation is a value: one of `Errors` is 1 or 0, so that its average is the rate.
        let errors = Stats {
            count: ran,
            sum: errors,
            min: if self.errors == self.invocations { 1.0 } else { 0.0 },
            max: if self.errors > 0 { 1.0 } else { 0.0 },
        };
        add("Invocations", Stats::of(1.0, ran), "Count");
        add("Errors", errors, "Count");
        let duration =
            Stats { count: ran, sum: self.duration_ms, min: self.duration_ms_min, max: self.duration_ms_max };
        add("Duration", duration, "Milliseconds");
        let tried = (self.invocations + self.throttles) as f64;
        let throttles = Stats {
            count: tried,
            sum: self.throttles as f64,
            min: if self.invocations == 0 { 1.0 } else { 0.0 },
            max: if self.throttles > 0 { 1.0 } else { 0.0 },
        };
        add("Throttles", throttles, "Count");
        metrics
    }
}

impl Figures {
    fn metrics(&self) -> Vec<(String, Stats, String)> {
        let one =
            |name: &str, value: f64, unit: &str| (name.to_owned(), Stats::of(value, 1.0), unit.to_owned());
        match *self {
            Figures::Runs(runs) => runs.metrics(),
            Figures::Concurrency(most) => vec![one("ConcurrentExecutions", f64::from(most), "Count")],
            Figures::Provisioned { busy, available } => {
                let used = busy.min(available);
                let utilization = f64::from(used) / f64::from(available.max(1));
                vec![
                    one("ProvisionedConcurrentExecutions", f64::from(used), "Count"),
                    one(UTILIZATION, utilization, "Percent"),
                ]
            }
        }
    }

    /// By how many of its dimensions a sample counts: function, name, version.
    fn levels(&self, sample: &Sample) -> RangeInclusive<usize> {
        match self {
            Figures::Runs(_) if sample.qualifier.is_empty() => 0..=1,
            Figures::Runs(_) if sample.qualifier == sample.version => 0..=2,
            Figures::Runs(_) => 0..=3,
            Figures::Concurrency(_) => 1..=1,
            Figures::Provisioned { .. } => 2..=2,
        }
    }
}

/// Adds samples to the figures. Each counts for all functions together, for its function, for the name by
/// which that was called and, where the name is an alias, for the version that ran.
pub fn record(cx: &mut Cx<'_>, samples: &[Sample]) -> Result<(), Fault> {
    cx.allowed_by_policy();
    for sample in samples {
        let metrics = sample.figures.metrics();
        if metrics.is_empty() {
            continue;
        }
        let name = sample.function.resource.trim_start_matches("function:");
        let resource = format!("{name}:{}", sample.qualifier);
        let pairs = [("FunctionName", name), ("Resource", &resource), ("ExecutedVersion", &sample.version)];
        for count in sample.figures.levels(sample) {
            let chosen =
                pairs.iter().take(count).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let dimensions: BTreeMap<String, String> = chosen.collect();
            let entry = Entry {
                namespace: NAMESPACE.to_owned(),
                series: series(NAMESPACE, &dimensions),
                at: sample.at,
                metrics: metrics.clone(),
                fine: true,
            };
            data::add(cx, &entry)?;
        }
    }
    Ok(())
}

/// The most of what is provisioned under a name that was in use in each of the `count` minutes before
/// `end`, the newest
/// first.
pub(crate) fn provisioned_utilization(
    cx: &Cx<'_>,
    (name, qualifier): (&str, &str),
    end: u64,
    count: usize,
) -> Result<Vec<Option<f64>>, Fault> {
    let minute = Grain::Minute.seconds();
    let resource = format!("{name}:{qualifier}");
    let dimensions =
        BTreeMap::from([("FunctionName".to_owned(), name.to_owned()), ("Resource".to_owned(), resource)]);
    let start = end.saturating_sub(minute * count as u64);
    let named = (&*series(NAMESPACE, &dimensions), UTILIZATION);
    let found = data::read(cx, named, (start, end), (minute, Grain::Minute))?;
    let back = (1..=count as u64).map(|back| end.saturating_sub(back * minute));
    Ok(back.map(|second| found.get(&second).map(|stats| stats.max)).collect())
}
