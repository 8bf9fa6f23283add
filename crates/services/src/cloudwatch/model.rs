//! Stored records of CloudWatch. Tags are for ever.

use std::collections::BTreeMap;

/// What the values of one metric in one span come to.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Stats {
    #[prost(double, tag = "1")]
    pub(super) count: f64,
    #[prost(double, tag = "2")]
    pub(super) sum: f64,
    #[prost(double, tag = "3")]
    pub(super) min: f64,
    #[prost(double, tag = "4")]
    pub(super) max: f64,
}

impl Stats {
    /// The same value `count` times.
    pub(super) fn of(value: f64, count: f64) -> Stats {
        Stats { count, sum: value * count, min: value, max: value }
    }

    pub(super) fn add(&mut self, other: &Stats) {
        *self = match self.count > 0.0 {
            true => Stats {
                count: self.count + other.count,
                sum: self.sum + other.sum,
                min: self.min.min(other.min),
                max: self.max.max(other.max),
            },
            false => *other,
        };
    }
}

/// The metrics of a series in one span.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Span {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) metrics: BTreeMap<String, Stats>,
}

/// A metric that there is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Metric {
    /// When it had a value, exact to the hour.
    #[prost(uint64, tag = "1")]
    pub(super) last_ms: u64,
    #[prost(string, tag = "2")]
    pub(super) unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    InsufficientData = 0,
    Ok = 1,
    Alarm = 2,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::InsufficientData => "INSUFFICIENT_DATA",
            State::Ok => "OK",
            State::Alarm => "ALARM",
        }
    }

    pub(super) fn parse(name: &str) -> Option<State> {
        [State::InsufficientData, State::Ok, State::Alarm].into_iter().find(|state| state.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Comparison {
    AtLeast = 0,
    Above = 1,
    Below = 2,
    AtMost = 3,
}

impl Comparison {
    const ALL: [Comparison; 4] =
        [Comparison::AtLeast, Comparison::Above, Comparison::Below, Comparison::AtMost];

    pub(super) fn name(self) -> &'static str {
        match self {
            Comparison::AtLeast => "GreaterThanOrEqualToThreshold",
            Comparison::Above => "GreaterThanThreshold",
            Comparison::Below => "LessThanThreshold",
            Comparison::AtMost => "LessThanOrEqualToThreshold",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Comparison::AtLeast => "greater than or equal to",
            Comparison::Above => "greater than",
            Comparison::Below => "less than",
            Comparison::AtMost => "less than or equal to",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Comparison> {
        Comparison::ALL.into_iter().find(|comparison| comparison.name() == name)
    }

    pub(super) fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Comparison::AtLeast => value >= threshold,
            Comparison::Above => value > threshold,
            Comparison::Below => value < threshold,
            Comparison::AtMost => value <= threshold,
        }
    }
}

/// What a span without values stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Absent {
    Missing = 0,
    Ignore = 1,
    Breaching = 2,
    NotBreaching = 3,
}

impl Absent {
    const ALL: [Absent; 4] = [Absent::Missing, Absent::Ignore, Absent::Breaching, Absent::NotBreaching];

    pub(super) fn name(self) -> &'static str {
        match self {
            Absent::Missing => "missing",
            Absent::Ignore => "ignore",
            Absent::Breaching => "breaching",
            Absent::NotBreaching => "notBreaching",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Absent> {
        Absent::ALL.into_iter().find(|absent| absent.name() == name)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Alarm {
    #[prost(string, tag = "1")]
    pub(super) description: String,
    #[prost(bool, tag = "2")]
    pub(super) silent: bool,
    #[prost(string, repeated, tag = "3")]
    pub(super) ok_actions: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) alarm_actions: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) insufficient_actions: Vec<String>,
    /// What is watched: one metric, or what several come to. One of them is the result.
    #[prost(message, repeated, tag = "6")]
    pub(super) queries: Vec<Query>,
    /// The alarm was asked for with one metric, and is shown so.
    #[prost(bool, tag = "7")]
    pub(super) of_one_metric: bool,
    #[prost(uint32, tag = "8")]
    pub(super) periods: u32,
    #[prost(uint32, tag = "9")]
    pub(super) to_alarm: u32,
    #[prost(double, tag = "10")]
    pub(super) threshold: f64,
    #[prost(enumeration = "Comparison", tag = "11")]
    pub(super) comparison: i32,
    #[prost(enumeration = "Absent", optional, tag = "12")]
    pub(super) absent: Option<i32>,
    #[prost(enumeration = "State", tag = "13")]
    pub(super) state: i32,
    #[prost(string, tag = "14")]
    pub(super) reason: String,
    #[prost(string, tag = "15")]
    pub(super) reason_data: String,
    #[prost(uint64, tag = "16")]
    pub(super) state_ms: u64,
    #[prost(uint64, tag = "17")]
    pub(super) configured_ms: u64,
    #[prost(btree_map = "string, string", tag = "18")]
    pub(super) tags: BTreeMap<String, String>,
    /// The id of the deliveries that look at it; a change of the alarm draws another one.
    #[prost(string, tag = "19")]
    pub(super) look: String,
    /// How many of `periods` were asked for by name.
    #[prost(bool, tag = "20")]
    pub(super) says_to_alarm: bool,
}

/// One figure of a question: a metric's statistic, or an expression over others.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Query {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) stat: Option<MetricStat>,
    #[prost(string, tag = "3")]
    pub(super) expression: String,
    #[prost(string, tag = "4")]
    pub(super) label: String,
    #[prost(bool, tag = "5")]
    pub(super) hidden: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MetricStat {
    #[prost(string, tag = "1")]
    pub(super) namespace: String,
    #[prost(string, tag = "2")]
    pub(super) metric: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) dimensions: BTreeMap<String, String>,
    #[prost(uint32, tag = "4")]
    pub(super) period_s: u32,
    #[prost(string, tag = "5")]
    pub(super) statistic: String,
    #[prost(string, tag = "6")]
    pub(super) unit: String,
}

impl Alarm {
    /// How long a span is of what is watched; those of several metrics are the same.
    pub(super) fn period_s(&self) -> u64 {
        let stat = self.queries.iter().find_map(|query| query.stat.as_ref());
        stat.map_or(60, |stat| u64::from(stat.period_s.max(1)))
    }

    pub(super) fn absent_rule(&self) -> Absent {
        self.absent.and_then(|value| Absent::try_from(value).ok()).unwrap_or(Absent::Missing)
    }
}
