//! When something happens again: `at(…)`, `rate(…)` and `cron(…)`, with time zones.
//!
//! The contract is "Schedule types in EventBridge Scheduler" in its user guide. Cron has six fields: minute, hour,
//! day of the month, month, day of the week, year, with `, - * / ? L W #`. A local time that a clock change skips
//! is not fired at; one that it repeats is fired at once, the first time.
//!
//! Pure: from an expression and an instant to the next instant; nothing here knows of schedules that are stored.

mod cron;
mod fields;
#[cfg(test)]
mod tests;

use cron::Cron;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mayfly_kernel::Time;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Once, at a local time.
    At(DateTime),
    /// Again and again after the same span.
    Rate(Duration),
    Cron(Box<Cron>),
}

impl Expression {
    /// Reads an expression; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Expression> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(at) = inside("at") {
            let whole = at.len() == "2026-01-01T00:00:00".len();
            return at.parse::<DateTime>().ok().filter(|_| whole).map(Expression::At);
        }
        if let Some(rate) = inside("rate") {
            return parse_rate(rate).map(Expression::Rate);
        }
        Cron::parse(inside("cron")?).map(|cron| Expression::Cron(Box::new(cron)))
    }

    pub(crate) fn recurs(&self) -> bool {
        !matches!(self, Expression::At(_))
    }

    /// The first time after `after`, by the clocks of a place. A rate counts from `after`.
    pub(crate) fn next(&self, after: Time, zone: &TimeZone) -> Option<Time> {
        match self {
            Expression::At(local) => instant(*local, zone).filter(|at| *at > after),
            Expression::Rate(span) => Some(after + *span),
            Expression::Cron(cron) => {
                let stamp = jiff::Timestamp::from_millisecond(i64::try_from(after.ms()).ok()?).ok()?;
                let mut local = zone.to_datetime(stamp);
                loop {
                    local = cron.next(local)?;
                    match instant(local, zone) {
                        Some(at) if at > after => return Some(at),
                        Some(_) | None => {}
                    }
                }
            }
        }
    }

    pub(crate) fn next_utc(&self, after: Time) -> Option<Time> {
        self.next(after, &TimeZone::UTC)
    }
}

/// When a place's clocks show a time: at first, if they do twice; `None` if they never do.
fn instant(local: DateTime, zone: &TimeZone) -> Option<Time> {
    use jiff::tz::AmbiguousOffset;
    let ambiguous = zone.to_ambiguous_timestamp(local);
    if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return None;
    }
    let stamp = ambiguous.earlier().ok()?;
    u64::try_from(stamp.as_millisecond()).ok().map(Time::from_ms)
}

/// `5 minutes`, `1 hour`: the unit is singular for one and plural for more.
fn parse_rate(text: &str) -> Option<Duration> {
    let (count, unit) = text.trim().split_once(' ')?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0)?;
    let seconds = match (unit.trim(), count) {
        ("minute", 1) | ("minutes", 2..) => 60,
        ("hour", 1) | ("hours", 2..) => 3600,
        ("day", 1) | ("days", 2..) => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}
