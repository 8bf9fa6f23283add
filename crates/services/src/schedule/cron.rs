//! Cron expressions, on a calendar without time zones.

use super::fields::Field;
use jiff::civil::{Date, DateTime, Weekday};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const YEARS: (u16, u16) = (1970, 2199);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    minute: Field,
    hour: Field,
    month: Field,
    year: Field,
    day: Day,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    OfMonth(Field),
    /// `L`, or `L-3`: so many days before the last.
    LastOfMonth(i8),
    /// `15W`: the weekday that is nearest, in the same month.
    NearestWeekday(i8),
    /// `LW`
    LastWeekday,
    OfWeek(Field),
    /// `3#2`: the second Tuesday. Sunday is 1.
    NthOfWeek(Weekday, i8),
    /// `5L`: the last Thursday.
    LastOfWeek(Weekday),
}

impl Cron {
    pub(super) fn parse(text: &str) -> Option<Cron> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, of_month, month, of_week, year] = fields[..] else { return None };
        // One of the two says nothing. AWS wants a question mark for it.
        let day = match (of_month, of_week) {
            ("?", "?") => return None,
            (of_month, "?") => of_month_day(of_month)?,
            ("?", of_week) => of_week_day(of_week)?,
            _ => return None,
        };
        Some(Cron {
            minute: Field::parse(minute, 0, 59, &[])?,
            hour: Field::parse(hour, 0, 23, &[])?,
            month: Field::parse(month, 1, 12, &MONTHS)?,
            year: Field::parse(year, YEARS.0, YEARS.1, &[])?,
            day,
        })
    }

    /// The first minute after `after`.
    pub(super) fn next(&self, after: DateTime) -> Option<DateTime> {
        let mut date = after.date();
        let mut from =
            Some((u16::from(after.hour().unsigned_abs()), u16::from(after.minute().unsigned_abs()) + 1));
        loop {
            date = self.day_from(date)?;
            if date > after.date() {
                from = None;
            }
            if let Some((hour, minute)) = self.time_from(from.unwrap_or((0, 0))) {
                let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
                return Some(date.at(hour, minute, 0, 0));
            }
            date = date.tomorrow().ok()?;
        }
    }

    fn time_from(&self, (hour, minute): (u16, u16)) -> Option<(u16, u16)> {
        let first = self.hour.first_from(hour)?;
        if first > hour {
            return Some((first, self.minute.first_from(0)?));
        }
        match self.minute.first_from(minute) {
            Some(minute) => Some((first, minute)),
            None => Some((self.hour.first_from(hour + 1)?, self.minute.first_from(0)?)),
        }
    }

    /// The first day from `date` on, itself included.
    fn day_from(&self, mut date: Date) -> Option<Date> {
        loop {
            let year = u16::try_from(date.year()).ok()?;
            let wanted = self.year.first_from(year)?;
            if wanted > year {
                date = Date::new(i16::try_from(wanted).ok()?, 1, 1).ok()?;
                continue;
            }
            if !self.month.has(u16::from(date.month().unsigned_abs())) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.has_day(date) {
                return Some(date);
            }
            date = date.tomorrow().ok()?;
        }
    }

    fn has_day(&self, date: Date) -> bool {
        let last = date.days_in_month();
        match &self.day {
            Day::OfMonth(field) => field.has(u16::from(date.day().unsigned_abs())),
            Day::LastOfMonth(before) => date.day() == last - before,
            Day::NearestWeekday(day) => nearest_weekday(date, (*day).min(last)) == Some(date),
            Day::LastWeekday => {
                let is_last = date.last_of_month();
                let back = match is_last.weekday() {
                    Weekday::Saturday => 1,
                    Weekday::Sunday => 2,
                    Weekday::Monday
                    | Weekday::Tuesday
                    | Weekday::Wednesday
                    | Weekday::Thursday
                    | Weekday::Friday => 0,
                };
                date.day() == last - back
            }
            Day::OfWeek(field) => field.has(u16::from(date.weekday().to_sunday_one_offset().unsigned_abs())),
            Day::NthOfWeek(weekday, nth) => date.weekday() == *weekday && (date.day() - 1) / 7 + 1 == *nth,
            Day::LastOfWeek(weekday) => date.weekday() == *weekday && date.day() + 7 > last,
        }
    }
}

/// The weekday nearest to a day of the date's month, in that month.
fn nearest_weekday(date: Date, day: i8) -> Option<Date> {
    let wanted = Date::new(date.year(), date.month(), day).ok()?;
    let last = date.days_in_month();
    let moved = match wanted.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        Weekday::Sunday if day == last => day - 2,
        Weekday::Sunday => day + 1,
        Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday | Weekday::Friday => day,
    };
    Date::new(date.year(), date.month(), moved).ok()
}

fn of_month_day(text: &str) -> Option<Day> {
    let day = |text: &str| text.parse::<i8>().ok().filter(|day| (1..=31).contains(day));
    match text {
        "L" => return Some(Day::LastOfMonth(0)),
        "LW" | "WL" => return Some(Day::LastWeekday),
        _ => {}
    }
    if let Some(before) = text.strip_prefix("L-") {
        return day(before).map(Day::LastOfMonth);
    }
    if let Some(near) = text.strip_suffix('W') {
        return day(near).map(Day::NearestWeekday);
    }
    Field::parse(text, 1, 31, &[]).map(Day::OfMonth)
}

fn of_week_day(text: &str) -> Option<Day> {
    let weekday = |text: &str| -> Option<Weekday> {
        let named = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(place) => i8::try_from(place).ok()? + 1,
            None => text.parse().ok()?,
        };
        Weekday::from_sunday_one_offset(number).ok()
    };
    if let Some((day, nth)) = text.split_once('#') {
        let nth = nth.parse::<i8>().ok().filter(|nth| (1..=5).contains(nth))?;
        return Some(Day::NthOfWeek(weekday(day)?, nth));
    }
    if text == "L" {
        return Some(Day::OfWeek(Field::parse("SAT", 1, 7, &WEEKDAYS)?));
    }
    if let Some(last) = text.strip_suffix(['L', 'l']).filter(|day| weekday(day).is_some()) {
        return Some(Day::LastOfWeek(weekday(last)?));
    }
    Field::parse(text, 1, 7, &WEEKDAYS).map(Day::OfWeek)
}
