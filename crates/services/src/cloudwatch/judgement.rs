//! What the last spans of an alarm say about its state: "Evaluating an alarm" and "Configuring how CloudWatch alarms
//! treat missing data", user guide. Pure.

use super::model::{Absent, Comparison, State};

/// An alarm's rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) comparison: Comparison,
    pub(super) threshold: f64,
    /// Of so many spans …
    pub(super) periods: usize,
    /// … so many must be over the threshold.
    pub(super) to_alarm: usize,
    pub(super) absent: Absent,
}

impl Rule {
    /// How many spans are looked at: more than count, so that late values do not leave the last ones empty.
    pub(super) fn looked_at(&self) -> usize {
        self.periods + 2
    }

    fn breaches(&self, value: f64) -> bool {
        self.comparison.holds(value, self.threshold)
    }

    /// The state that the spans ask for, the newest first; `None` leaves it as it is.
    pub(super) fn judge(&self, spans: &[Option<f64>]) -> Option<State> {
        let counted = &spans[..spans.len().min(self.periods)];
        let stand_in = match self.absent {
            Absent::Breaching => Some(true),
            Absent::NotBreaching => Some(false),
            Absent::Missing | Absent::Ignore => None,
        };
        if let Some(stand_in) = stand_in {
            let breaching = |span: &&Option<f64>| span.map_or(stand_in, |value| self.breaches(value));
            let count = counted.iter().filter(breaching).count();
            return Some(if count >= self.to_alarm { State::Alarm } else { State::Ok });
        }
        // Without a stand-in, the newest values count that there are.
        let values: Vec<f64> = spans.iter().flatten().copied().take(self.periods).collect();
        let count = values.iter().filter(|value| self.breaches(**value)).count();
        if count >= self.to_alarm {
            return Some(State::Alarm);
        }
        // As many as may breach without an alarm: with fewer missing than that, nothing can come of them.
        let undecided = count + (self.periods - values.len()) >= self.to_alarm;
        match (self.absent, values.is_empty()) {
            (Absent::Ignore, _) if undecided => None,
            (_, true) => Some(State::InsufficientData),
            (_, false) => Some(State::Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(absent: Absent, (to_alarm, periods): (usize, usize), spans: &[i32]) -> Option<State> {
        let rule = Rule { comparison: Comparison::Above, threshold: 0.5, periods, to_alarm, absent };
        let spans: Vec<Option<f64>> =
            spans.iter().map(|span| (*span >= 0).then(|| f64::from(*span))).collect();
        rule.judge(&spans)
    }

    /// The tables of the user guide: 1 breaches, 0 does not, -1 is missing; the newest first.
    #[test]
    fn missing_data_counts_as_the_rule_says() {
        use Absent::{Breaching, Ignore, Missing, NotBreaching};
        use State::{Alarm, InsufficientData, Ok};
        let cases: [(&[i32], _, _, _, _); 5] = [
            (&[1, -1, 0, -1, 0], Some(Ok), Some(Alarm), Some(Ok), None),
            (&[-1, -1, -1, -1, -1], Some(InsufficientData), Some(Alarm), Some(Ok), None),
            (&[1, 1, 1, 0, 0], Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)),
            (&[0, -1, -1, -1, -1], Some(Ok), Some(Alarm), Some(Ok), None),
            (&[0, 0, 0, 1, 1], Some(Ok), Some(Ok), Some(Ok), Some(Ok)),
        ];
        for (spans, missing, breaching, not_breaching, ignore) in cases {
            let two_of_three = (2, 3);
            assert_eq!(judge(Missing, two_of_three, spans), missing, "{spans:?}");
            assert_eq!(judge(NotBreaching, two_of_three, spans), not_breaching, "{spans:?}");
            if spans[0] != 1 || spans[1] != -1 {
                assert_eq!(judge(Breaching, two_of_three, spans), breaching, "{spans:?}");
            }
            if spans.iter().filter(|span| **span >= 0).count() != 3 {
                assert_eq!(judge(Ignore, two_of_three, spans), ignore, "{spans:?}");
            }
        }
    }

    #[test]
    fn one_span_decides_where_one_is_asked_for() {
        for absent in [Absent::Missing, Absent::Ignore, Absent::NotBreaching] {
            assert_eq!(judge(absent, (1, 1), &[1, 0, 0]), Some(State::Alarm));
            assert_eq!(judge(absent, (1, 1), &[0, 1, 1]), Some(State::Ok));
        }
        assert_eq!(judge(Absent::NotBreaching, (1, 1), &[-1, 1, 1]), Some(State::Ok));
        // A value that comes late is still the newest that there is.
        assert_eq!(judge(Absent::Missing, (1, 1), &[-1, 1, 1]), Some(State::Alarm));
    }
}
