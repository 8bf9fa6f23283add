//! Expressions as they are documented, clock changes, and a comparison with counting minutes.

use super::Expression;
use jiff::tz::TimeZone;
use mayfly_kernel::Time;
use mayfly_wire::time::{iso8601, parse_iso8601};
use proptest::prelude::*;

fn at(text: &str) -> Time {
    parse_iso8601(text).unwrap()
}

/// The next times of an expression, in seconds and without the zone's letter.
fn times(expression: &str, after: &str, zone: &str, count: usize) -> Vec<String> {
    let expression = Expression::parse(expression).unwrap_or_else(|| panic!("{expression}"));
    let zone = TimeZone::get(zone).unwrap();
    let mut after = at(after);
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = expression.next(after, &zone)
    {
        found.push(iso8601(next).replace(":00.000Z", ""));
        after = next;
    }
    found
}

fn utc(expression: &str, after: &str, count: usize) -> Vec<String> {
    times(expression, after, "UTC", count)
}

/// The table of the user guide, with what follows from it.
#[test]
fn cron_means_what_is_documented() {
    let after = "2026-01-01T00:00:00Z"; // a Thursday
    assert_eq!(utc("cron(0 10 * * ? *)", after, 2), ["2026-01-01T10:00", "2026-01-02T10:00"]);
    assert_eq!(utc("cron(15 12 * * ? *)", "2026-01-01T12:15:00Z", 1), ["2026-01-02T12:15"]);
    assert_eq!(
        utc("cron(0 18 ? * MON-FRI *)", after, 3),
        ["2026-01-01T18:00", "2026-01-02T18:00", "2026-01-05T18:00"]
    );
    assert_eq!(utc("cron(0 8 1 * ? *)", after, 2), ["2026-01-01T08:00", "2026-02-01T08:00"]);
    assert_eq!(utc("cron(0/15 * * * ? *)", after, 2), ["2026-01-01T00:15", "2026-01-01T00:30"]);
    assert_eq!(utc("cron(0/10 * ? * MON-FRI *)", "2026-01-02T23:50:00Z", 1), ["2026-01-05T00:00"]);
    assert_eq!(utc("cron(0/5 8-17 ? * MON-FRI *)", "2026-01-01T17:55:00Z", 1), ["2026-01-02T08:00"]);
    assert_eq!(utc("cron(0/30 20-2 ? * MON-FRI *)", "2026-01-01T02:30:00Z", 1), ["2026-01-01T20:00"]);
    assert_eq!(utc("cron(0 9 ? * 2#1 *)", after, 2), ["2026-01-05T09:00", "2026-02-02T09:00"]);
    assert_eq!(utc("cron(15 10 ? * 6L 2026-2027)", after, 2), ["2026-01-30T10:15", "2026-02-27T10:15"]);
    assert_eq!(utc("cron(0 0 L * ? *)", after, 2), ["2026-01-31T00:00", "2026-02-28T00:00"]);
    assert_eq!(utc("cron(0 0 L-2 FEB ? 2028)", after, 2), ["2028-02-27T00:00"]);
    assert_eq!(utc("cron(0 0 LW * ? *)", after, 2), ["2026-01-30T00:00", "2026-02-27T00:00"]);
    // The first of February 2026 is a Sunday, the first of August a Saturday.
    assert_eq!(utc("cron(0 0 1W * ? *)", after, 2), ["2026-02-02T00:00", "2026-03-02T00:00"]);
    assert_eq!(utc("cron(0 0 1W AUG ? *)", after, 1), ["2026-08-03T00:00"]);
    assert_eq!(utc("cron(0 0 31W MAY ? 2026)", after, 1), ["2026-05-29T00:00"]);
    assert_eq!(utc("cron(0 0 29 2 ? *)", after, 1), ["2028-02-29T00:00"]);
    assert_eq!(utc("cron(0 0 1 1 ? 2020)", after, 1), [""; 0]);
    assert_eq!(utc("cron(0 0 30 2 ? *)", after, 1), [""; 0]);
}

#[test]
fn rates_and_single_times() {
    let after = "2026-01-01T00:00:30Z";
    assert_eq!(utc("rate(5 minutes)", "2026-01-01T00:00:00Z", 2), ["2026-01-01T00:05", "2026-01-01T00:10"]);
    assert_eq!(utc("rate(1 day)", "2026-01-01T00:00:00Z", 1), ["2026-01-02T00:00"]);
    assert_eq!(utc("at(2026-01-01T00:01:00)", after, 2), ["2026-01-01T00:01"]);
    assert_eq!(utc("at(2026-01-01T00:00:00)", after, 1), [""; 0]);
    assert_eq!(times("at(2026-07-01T12:00:00)", after, "Europe/Berlin", 1), ["2026-07-01T10:00"]);
}

#[test]
fn clocks_that_change_neither_lose_nor_double_a_day() {
    // In Berlin, 2026-03-29 has no 02:30, and 2026-10-25 has two.
    assert_eq!(
        times("cron(30 2 * * ? *)", "2026-03-28T00:00:00Z", "Europe/Berlin", 2),
        ["2026-03-28T01:30", "2026-03-30T00:30"]
    );
    assert_eq!(
        times("cron(30 2 * * ? *)", "2026-10-24T12:00:00Z", "Europe/Berlin", 2),
        ["2026-10-25T00:30", "2026-10-26T01:30"]
    );
    assert_eq!(
        times("cron(0 9 * * ? *)", "2026-03-07T00:00:00Z", "America/New_York", 2),
        ["2026-03-07T14:00", "2026-03-08T13:00"]
    );
    // A rate does not look at clocks.
    assert_eq!(times("rate(1 hour)", "2026-03-29T00:30:00Z", "Europe/Berlin", 1), ["2026-03-29T01:30"]);
}

#[test]
fn what_is_no_expression_is_refused() {
    for bad in [
        "",
        "cron",
        "cron()",
        "cron(0 10 * * *)",
        "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)",
        "cron(60 10 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 10 32 * ? *)",
        "cron(0 10 * 13 ? *)",
        "cron(0 10 ? * 8 *)",
        "cron(0 10 ? * MON#6 *)",
        "cron(0/0 10 * * ? *)",
        "cron(0 10 * * ? 1969)",
        "cron(a 10 * * ? *)",
        "cron(+1 10 * * ? *)",
        "rate(0 minutes)",
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(5)",
        "rate(-1 hours)",
        "rate(5 seconds)",
        "at(2026-01-01)",
        "at(2026-13-01T00:00:00)",
        "at(2026-01-01T00:00:00Z)",
        "daily",
        "rate(9999999999999999999 days)",
        "rate(99999999999999999 days)",
    ] {
        assert_eq!(Expression::parse(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn the_next_time_is_the_first_that_fits(
        minute in 0..60u32,
        hours in prop::sample::select(vec!["7", "*", "0/7", "22-3", "1,13"]),
        days in prop::sample::select(vec!["* * ?", "9 * ?", "L * ?", "14W * ?", "? * MON", "? * 2-4", "? * 6L", "? * 3#2"]),
        start in 0..20_000_000u64,
    ) {
        let expression = Expression::parse(&format!("cron({minute} {hours} {days} *)")).unwrap();
        let after = Time::from_secs(1_767_225_600 + start);
        let next = expression.next_utc(after).unwrap();
        prop_assert!(next > after);
        // From anywhere before it the same time is found, so nothing that fits lies between.
        for part in 0..10 {
            let between = Time::from_secs(after.secs() + (next.secs() - 1 - after.secs()) * part / 9);
            prop_assert_eq!(expression.next_utc(between), Some(next));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "(cron|rate|at)\\([0-9*?/,#LWMON -]{0,30}\\)") {
        if let Some(expression) = Expression::parse(&text) {
            let _ = expression.next_utc(Time::from_secs(1_767_225_600));
        }
    }
}
