//! Conditions: operators, and whether what a request says of a key fits the values of a statement.
//!
//! The rules are those of "IAM JSON policy elements: Condition operators". Values of a statement are
//! alternatives, and of an operator that denies (`StringNotEquals`) none may fit. A key of which the request
//! says nothing fits no operator but those, `...IfExists`, `ForAllValues:` and `Null`; `ForAnyValue:` asks for
//! a value that is there, whatever follows it.

use super::Facts;
use super::document::{Malformed, Scalar};
use super::pattern::Pattern;
use crate::Network;
use std::cmp::Ordering;
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    key: String,
    wanted: Vec<Wanted>,
    /// The operator has a `Not`.
    negated: bool,
    if_exists: bool,
    over: Over,
}

/// Which of a key's values in the request have to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// The one that there is.
    One,
    Any,
    All,
}

/// A value of a statement, by what its operator compares.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Text(Pattern),
    AnyCase(Pattern),
    Like(Pattern),
    Arn(Pattern),
    Number(Compared, f64),
    /// Milliseconds since the epoch.
    Date(Compared, i64),
    Flag(bool),
    Address(Network),
    Absent(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The operators with a `Not`, each with what it negates.
const NEGATIONS: [(&str, &str); 8] = [
    ("stringnotequals", "stringequals"),
    ("stringnotequalsignorecase", "stringequalsignorecase"),
    ("stringnotlike", "stringlike"),
    ("numericnotequals", "numericequals"),
    ("datenotequals", "dateequals"),
    ("notipaddress", "ipaddress"),
    ("arnnotequals", "arnequals"),
    ("arnnotlike", "arnlike"),
];

impl Compared {
    fn named(text: &str) -> Option<Compared> {
        Some(match text {
            "equals" => Compared::Equal,
            "lessthan" => Compared::Less,
            "lessthanequals" => Compared::LessOrEqual,
            "greaterthan" => Compared::Greater,
            "greaterthanequals" => Compared::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Compared::Equal => order.is_eq(),
            Compared::Less => order.is_lt(),
            Compared::LessOrEqual => order.is_le(),
            Compared::Greater => order.is_gt(),
            Compared::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Condition {
    pub(super) fn read(
        operator: &str,
        key: String,
        values: &[Scalar],
        variables: bool,
    ) -> Result<Condition, Malformed> {
        let unknown = || Malformed::new(format!("the condition operator {operator} is not known"));
        // Names of operators have no case, as names of keys have none.
        let lower = operator.to_ascii_lowercase();
        let (over, rest) = match lower.split_once(':') {
            None => (Over::One, lower.as_str()),
            Some(("foranyvalue", rest)) => (Over::Any, rest),
            Some(("forallvalues", rest)) => (Over::All, rest),
            Some(_) => return Err(unknown()),
        };
        let (name, if_exists) = match rest.strip_suffix("ifexists") {
            Some("null") | Some("") => return Err(unknown()),
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (name, negated) = match NEGATIONS.iter().find(|(negation, _)| *negation == name) {
            Some((_, name)) => (*name, true),
            None => (name, false),
        };
        if key.is_empty() || values.is_empty() {
            return Err(Malformed::new(format!("the condition {operator} names no key or no value")));
        }
        let read = |value: &Scalar| {
            let value = value.to_string();
            let wanted = wanted(name, &value, variables).ok_or_else(unknown)?;
            wanted.ok_or_else(|| Malformed::new(format!("{value} is no value for the condition {operator}")))
        };
        let wanted = values.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Condition { key, wanted, negated, if_exists, over })
    }

    pub(super) fn holds(&self, facts: &Facts) -> bool {
        let found = facts.of(&self.key);
        if let [Wanted::Absent(_), ..] = self.wanted[..] {
            return self.wanted.contains(&Wanted::Absent(found.is_empty()));
        }
        if found.is_empty() {
            return match self.over {
                Over::One => self.negated || self.if_exists,
                // Each value there is may be absent, but there is none.
                Over::Any => false,
                Over::All => true,
            };
        }
        let fits = |value: &&str| self.wanted.iter().any(|wanted| wanted.fits(value, facts)) != self.negated;
        match self.over {
            Over::All => found.iter().all(fits),
            // Of several values of one key, none may be what is not wanted.
            Over::One if self.negated => found.iter().all(fits),
            Over::One | Over::Any => found.iter().any(fits),
        }
    }
}

/// A value for an operator of this name, which has no `Not`; `None` outside if there is no such operator,
/// inside if it has no such value.
#[expect(clippy::option_option, reason = "two questions: is there such an operator, has it such a value")]
fn wanted(name: &str, value: &str, variables: bool) -> Option<Option<Wanted>> {
    let text = || Pattern::read(value, false, variables);
    let like = || Pattern::read(value, true, variables);
    let flag = || match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    Some(match name {
        "stringequals" => Some(Wanted::Text(text())),
        "stringequalsignorecase" => Some(Wanted::AnyCase(text())),
        "stringlike" => Some(Wanted::Like(like())),
        "arnequals" | "arnlike" => Some(Wanted::Arn(like())),
        "binaryequals" => Some(Wanted::Text(Pattern::read(value, false, false))),
        "bool" => flag().map(Wanted::Flag),
        "null" => flag().map(Wanted::Absent),
        "ipaddress" => value.parse().ok().map(Wanted::Address),
        _ => {
            let (kind, how) = name.split_at_checked(if name.starts_with("date") { 4 } else { 7 })?;
            let compared = Compared::named(how)?;
            match kind {
                "date" => date(value).map(|date| Wanted::Date(compared, date)),
                "numeric" => number(value).map(|number| Wanted::Number(compared, number)),
                _ => return None,
            }
        }
    })
}

impl Wanted {
    fn fits(&self, value: &str, facts: &Facts) -> bool {
        match self {
            Wanted::Text(text) => text.text(facts).is_some_and(|text| text == value),
            Wanted::AnyCase(text) => text.text(facts).is_some_and(|text| text.eq_ignore_ascii_case(value)),
            Wanted::Like(pattern) => pattern.matches(value, facts),
            Wanted::Arn(pattern) => pattern.matches_arn(value, facts),
            Wanted::Number(compared, wanted) => number(value)
                .and_then(|number| number.partial_cmp(wanted))
                .is_some_and(|order| compared.holds(order)),
            Wanted::Date(compared, wanted) => {
                date(value).is_some_and(|date| compared.holds(date.cmp(wanted)))
            }
            Wanted::Flag(wanted) => value.eq_ignore_ascii_case(if *wanted { "true" } else { "false" }),
            Wanted::Address(block) => value.parse::<IpAddr>().is_ok_and(|address| block.contains(address)),
            Wanted::Absent(_) => false,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A time in one of the forms of W3C's note on ISO 8601, or in seconds since the epoch; in milliseconds.
fn date(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>()
        && (text.len() != 4 || seconds < 0)
    {
        return seconds.checked_mul(1000);
    }
    let (day, clock) = text.split_once('T').map_or((text, None), |(day, clock)| (day, Some(clock)));
    let part = |text: Option<&str>, range: std::ops::RangeInclusive<i64>| match text {
        None => Some(*range.start()),
        Some(text) => text.parse().ok().filter(|number| range.contains(number)),
    };
    let mut parts = day.splitn(3, '-');
    let year = part(parts.next(), 1..=9999)?;
    let (month, day) = (part(parts.next(), 1..=12)?, part(parts.next(), 1..=31)?);
    let mut ms = days(year, month, day) * 86_400_000;
    if let Some(clock) = clock {
        let (clock, east_minutes) = zone(clock)?;
        let mut parts = clock.splitn(3, ':');
        let (hour, minute) = (part(parts.next(), 0..=23)?, part(Some(parts.next()?), 0..=59)?);
        let (second, fraction) = parts.next().map_or((None, None), |seconds| match seconds.split_once('.') {
            None => (Some(seconds), None),
            Some((second, fraction)) => (Some(second), Some(fraction)),
        });
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{text:0<3}"));
        let thousandths = match fraction {
            None => 0,
            Some(fraction) => digits(fraction)?.get(..3)?.parse().ok()?,
        };
        ms += ((hour * 60 + minute - east_minutes) * 60 + part(second, 0..=60)?) * 1000 + thousandths;
    }
    Some(ms)
}

/// A time of day without its zone, and how many minutes that is before Greenwich.
fn zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Some((clock, 0)) };
    let (hours, minutes) = clock[at + 1..].split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some((&clock[..at], if clock.as_bytes()[at] == b'-' { -minutes } else { minutes }))
}

/// Days from the epoch to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March end with the day that leap years add.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 719_469
}
