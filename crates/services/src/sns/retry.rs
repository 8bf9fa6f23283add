//! How often, and how far apart, a message is offered to somebody outside.
//!
//! The phases are those of "Amazon SNS message delivery retries": at once, then at the least delay, then
//! along a curve up to the greatest, and then at the greatest.

use super::faults;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What all pauses of a web endpoint's retries may come to.
const SECONDS_MAX: f64 = 3600.0;

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Retries {
    num_retries: u32,
    num_no_delay_retries: u32,
    min_delay_target: u32,
    max_delay_target: u32,
    num_min_delay_retries: u32,
    num_max_delay_retries: u32,
    backoff_function: Curve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Curve {
    Linear,
    Arithmetic,
    Geometric,
    Exponential,
}

impl Default for Retries {
    fn default() -> Retries {
        Retries {
            num_retries: 3,
            num_no_delay_retries: 0,
            min_delay_target: 20,
            max_delay_target: 20,
            num_min_delay_retries: 0,
            num_max_delay_retries: 0,
            backoff_function: Curve::Linear,
        }
    }
}

impl Retries {
    /// For mail, text messages and push messages, as AWS does it where the first pause is ten seconds: fifty
    /// retries, the last of them after more than six hours.
    pub(super) fn of_operators(first_pause_seconds: u32) -> Retries {
        Retries {
            num_retries: 50,
            num_no_delay_retries: 0,
            min_delay_target: first_pause_seconds,
            max_delay_target: first_pause_seconds.saturating_mul(60),
            num_min_delay_retries: 2,
            num_max_delay_retries: 38,
            backoff_function: Curve::Exponential,
        }
    }

    /// How long to wait after so many attempts have failed; `None` if that was the last.
    pub(super) fn pause(&self, attempts: u32) -> Option<Duration> {
        let retry = attempts.checked_sub(1).filter(|retry| *retry < self.num_retries)?;
        let (first, last) = (
            self.num_no_delay_retries + self.num_min_delay_retries,
            self.num_retries - self.num_max_delay_retries,
        );
        let (min, max) = (f64::from(self.min_delay_target), f64::from(self.max_delay_target));
        let seconds = if retry < self.num_no_delay_retries {
            0.0
        } else if retry < first {
            min
        } else if retry >= last || last <= first {
            max
        } else {
            let way = f64::from(retry - first + 1) / f64::from(last - first);
            let risen = match self.backoff_function {
                Curve::Linear => way,
                Curve::Arithmetic => way * way,
                Curve::Exponential => ((way * 10.0).exp2() - 1.0) / 1023.0,
                Curve::Geometric => return Some(Duration::from_secs_f64(min * (max / min).powf(way))),
            };
            min + (max - min) * risen
        };
        Some(Duration::from_secs_f64(seconds))
    }

    /// Checks what a caller asks for.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let bad = |reason: &str| Err(faults::invalid(format_args!("DeliveryPolicy: {reason}")));
        if self.num_retries > 100 {
            return bad("healthyRetryPolicy.numRetries must be less than or equal to 100");
        }
        if !(1..=3600).contains(&self.min_delay_target) || !(1..=3600).contains(&self.max_delay_target) {
            return bad("healthyRetryPolicy.minDelayTarget and maxDelayTarget must be between 1 and 3600");
        }
        if self.min_delay_target > self.max_delay_target {
            return bad("healthyRetryPolicy.minDelayTarget must be less than or equal to maxDelayTarget");
        }
        let phases = [self.num_no_delay_retries, self.num_min_delay_retries, self.num_max_delay_retries];
        if phases.iter().map(|count| u64::from(*count)).sum::<u64>() > u64::from(self.num_retries) {
            return bad("healthyRetryPolicy.numRetries must be at least the sum of the phases' retries");
        }
        let pauses = (1..).map_while(|attempts| self.pause(attempts));
        if pauses.map(|pause| pause.as_secs_f64()).sum::<f64>() > SECONDS_MAX {
            return bad("the total retry time must be less than or equal to 3600 seconds");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phases_follow_each_other() {
        let pauses = |retries: Retries| {
            (1..)
                .map_while(|attempts| retries.pause(attempts))
                .map(|pause| pause.as_secs())
                .collect::<Vec<_>>()
        };
        let read = |document: &str| serde_json::from_str::<Retries>(document).unwrap();
        assert_eq!(pauses(Retries::default()), [20, 20, 20]);
        let all = r#"{"numRetries":8,"numNoDelayRetries":2,"minDelayTarget":1,"maxDelayTarget":10,
            "numMinDelayRetries":1,"numMaxDelayRetries":2,"backoffFunction":"linear"}"#;
        assert_eq!(pauses(read(all)), [0, 0, 1, 4, 7, 10, 10, 10]);
        for (curve, steps) in [
            ("linear", [32, 55, 77, 100]),
            ("arithmetic", [15, 32, 60, 100]),
            ("geometric", [17, 31, 56, 100]),
            ("exponential", [10, 12, 25, 100]),
        ] {
            let document = format!(
                r#"{{"numRetries":4,"minDelayTarget":10,"maxDelayTarget":100,"backoffFunction":"{curve}"}}"#
            );
            assert_eq!(pauses(read(&document)), steps, "{curve}");
        }
        assert!(read(all).check().is_ok());
        assert!(read(r#"{"numRetries":101}"#).check().is_err());
        assert!(read(r#"{"numRetries":1,"numNoDelayRetries":2}"#).check().is_err());
        assert!(read(r#"{"numRetries":2,"minDelayTarget":1800,"maxDelayTarget":1801}"#).check().is_err());
        assert!(serde_json::from_str::<Retries>(r#"{"numRetry":1}"#).is_err());
        let mail = pauses(Retries::of_operators(10));
        assert_eq!((mail.len(), &mail[..3], mail[49]), (50, &[10, 10, 10][..], 600));
        assert!(mail.iter().sum::<u64>() > 6 * 3600);
    }
}
