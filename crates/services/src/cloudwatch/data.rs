//! Writing figures down, reading them by spans, and forgetting them.

use super::keys::{DATA, DataKey, METRICS, parts};
use super::model::{Metric, Span, Stats};
use crate::Cx;
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR_S: u64 = 3600;
/// A metric's last value is told exact to this.
const NOTED: Duration = Duration::from_secs(HOUR_S);
/// More than an hour has of spans.
const HOUR_ROWS: usize = 400;

/// How long the spans are that figures are kept by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    TenSeconds = 0,
    Minute = 1,
}

impl Grain {
    pub(super) fn seconds(self) -> u64 {
        match self {
            Grain::TenSeconds => 10,
            Grain::Minute => 60,
        }
    }

    fn kept(self) -> Duration {
        match self {
            Grain::TenSeconds => Duration::from_secs(3 * HOUR_S),
            Grain::Minute => Duration::from_secs(15 * 24 * HOUR_S),
        }
    }

    /// The coarsest that spans of a period are made of; `None` if none is.
    pub(super) fn of_period(period_s: u64) -> Option<Grain> {
        let whole = |grain: &Grain| period_s > 0 && period_s.is_multiple_of(grain.seconds());
        [Grain::Minute, Grain::TenSeconds].into_iter().find(whole)
    }

    fn parse(number: u8) -> Option<Grain> {
        [Grain::TenSeconds, Grain::Minute].into_iter().find(|grain| *grain as u8 == number)
    }

    /// The oldest that is kept.
    pub(super) fn oldest(self, now: Time) -> Time {
        now - self.kept()
    }
}

/// Values to be added to a series.
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) series: String,
    pub(super) at: Time,
    pub(super) metrics: Vec<(String, Stats, String)>,
    pub(super) fine: bool,
}

fn key(cx: &Cx<'_>, grain: Grain, series: &str, at: Time) -> DataKey {
    let second = at.secs() / grain.seconds() * grain.seconds();
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    (account, region, grain as u8, second / HOUR_S, series.to_owned(), second)
}

pub(super) fn add(cx: &mut Cx<'_>, entry: &Entry) -> Result<(), Fault> {
    let grains: &[Grain] = if entry.fine { &[Grain::Minute, Grain::TenSeconds] } else { &[Grain::Minute] };
    for grain in grains.iter().filter(|grain| entry.at >= grain.oldest(cx.now)) {
        let key = key(cx, *grain, &entry.series, entry.at);
        let mut span = DATA.get(cx.tx, &key)?.unwrap_or_default();
        for (name, stats, _) in &entry.metrics {
            span.metrics.entry(name.clone()).or_default().add(stats);
        }
        DATA.put(cx.tx, &key, &span);
    }
    for (name, _, unit) in &entry.metrics {
        note(cx, entry, name, unit)?;
    }
    Ok(())
}

/// Notes that there is a metric, if that is news.
fn note(cx: &mut Cx<'_>, entry: &Entry, name: &str, unit: &str) -> Result<(), Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let key = (account, region, entry.namespace.clone(), name.to_owned(), entry.series.clone());
    let known = METRICS.get(cx.tx, &key)?;
    let fresh = known.as_ref().is_some_and(|known| entry.at < Time::from_ms(known.last_ms) + NOTED);
    if !fresh || known.as_ref().is_some_and(|known| known.unit != unit) {
        METRICS.put(cx.tx, &key, &Metric { last_ms: entry.at.ms(), unit: unit.to_owned() });
    }
    Ok(())
}

/// What a metric came to in the spans of `period_s` from `start` to before `end`, by the second that each
/// begins at.
pub(super) fn read(
    cx: &Cx<'_>,
    (series, metric): (&str, &str),
    (start, end): (u64, u64),
    (period_s, grain): (u64, Grain),
) -> Result<BTreeMap<u64, Stats>, Fault> {
    let mut found: BTreeMap<u64, Stats> = BTreeMap::new();
    let start = start.max(grain.oldest(cx.now).secs());
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut hour = start / HOUR_S;
    while hour * HOUR_S < end {
        let prefix = (account.clone(), region.clone(), grain as u8, hour, series.to_owned());
        for ((.., second), span) in DATA.scan(cx.tx, Scan::prefix(&prefix, HOUR_ROWS))? {
            let inside = (start..end).contains(&second);
            if let Some(stats) = span.metrics.get(metric).filter(|_| inside) {
                found.entry(second / period_s * period_s).or_default().add(stats);
            }
        }
        hour += 1;
    }
    Ok(found)
}

/// Forgets up to `limit` spans that are too old, and metrics that have had no value for as long; how many.
pub fn expire(cx: &mut Cx<'_>, limit: usize) -> Result<usize, Fault> {
    cx.allowed_by_policy();
    let mut scan = Scan::all(1);
    while let Some(((account, region, grain, ..), _)) = DATA.peek_scan(cx.tx, scan)?.pop() {
        let oldest = Grain::parse(grain).map_or(u64::MAX, |grain| grain.oldest(cx.now).secs() / HOUR_S);
        let rows = DATA.peek_scan(cx.tx, Scan::prefix(&(account.clone(), region.clone(), grain), limit))?;
        let mut expired = 0;
        for (key, span) in rows.into_iter().take_while(|(key, _)| key.3 < oldest) {
            expired += 1;
            DATA.delete(cx.tx, &key);
            forget(cx, &key, &span)?;
        }
        if expired > 0 {
            return Ok(expired);
        }
        scan = Scan::all(1).from(&(account, region, grain + 1));
    }
    Ok(0)
}

fn forget(cx: &mut Cx<'_>, key: &DataKey, span: &Span) -> Result<(), Fault> {
    let Some((namespace, _)) = parts(&key.4).filter(|_| key.2 == Grain::Minute as u8) else { return Ok(()) };
    for name in span.metrics.keys() {
        let metric = (key.0.clone(), key.1.clone(), namespace.clone(), name.clone(), key.4.clone());
        let last = METRICS.peek(cx.tx, &metric)?.map(|row| Time::from_ms(row.last_ms));
        // An hour more, since the last value is told exact to one.
        if last.is_some_and(|last| last + NOTED < Grain::Minute.oldest(cx.now)) {
            METRICS.delete(cx.tx, &metric);
        }
    }
    Ok(())
}
