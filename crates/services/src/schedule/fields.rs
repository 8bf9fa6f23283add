//! One field of a cron expression: `*`, values, ranges, steps, and lists of them.

/// The values that a field stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// A bit for each value from the least on.
    bits: [u64; 4],
    least: u16,
    most: u16,
}

impl Field {
    /// `names` stand for the values from the least on: `JAN`, `SUN`.
    pub(super) fn parse(text: &str, least: u16, most: u16, names: &[&str]) -> Option<Field> {
        let mut field = Field { bits: [0; 4], least, most };
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse::<u16>().ok().filter(|step| *step > 0)?),
                None => (part, 1),
            };
            let value = |text: &str| -> Option<u16> {
                let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
                let value = match named {
                    Some(place) => least + u16::try_from(place).ok()?,
                    None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
                    None => return None,
                };
                (least..=most).contains(&value).then_some(value)
            };
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (least, most),
                Some((from, to)) => (value(from)?, value(to)?),
                None if step > 1 || part.contains('/') => (value(range)?, most),
                None => (value(range)?, value(range)?),
            };
            // A range may go over the end: `FRI-MON`, `22-2`.
            let wraps = from > to;
            let span = if wraps { most - from + 1 + (to - least) } else { to - from };
            for offset in (0..=span).step_by(step.into()) {
                let value = from + offset;
                field.set(if value > most { value - most - 1 + least } else { value });
            }
        }
        Some(field)
    }

    fn set(&mut self, value: u16) {
        let place = usize::from(value - self.least);
        self.bits[place / 64] |= 1 << (place % 64);
    }

    pub(super) fn has(&self, value: u16) -> bool {
        if !(self.least..=self.most).contains(&value) {
            return false;
        }
        let place = usize::from(value - self.least);
        self.bits[place / 64] & (1 << (place % 64)) != 0
    }

    /// The first value from `from` on.
    pub(super) fn first_from(&self, from: u16) -> Option<u16> {
        (from.max(self.least)..=self.most).find(|value| self.has(*value))
    }
}
