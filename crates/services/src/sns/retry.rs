//! How often, and how far apart, a message is offered to a web endpoint.
//!
//! The phases are those of "Amazon SNS message delivery retries": at once, then at the least delay, then along a curve up
//! to the greatest, and then at the greatest.

use super::faults;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
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

    fn check(&self) -> Result<(), Fault> {
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
        Ok(())
    }
}

/// The retries that a subscription's document asks for.
fn of_subscription(document: &str) -> Option<Retries> {
    let policy: Value = serde_json::from_str(document).ok()?;
    serde_json::from_value(policy.get("healthyRetryPolicy")?.clone()).ok()
}

fn of_topic(document: &str) -> Option<Retries> {
    let policy: Value = serde_json::from_str(document).ok()?;
    serde_json::from_value(policy.get("http")?.get("defaultHealthyRetryPolicy")?.clone()).ok()
}

/// The subscription's own, else the topic's, else what there is by itself.
pub(super) fn policy(topic: &str, subscription: &str) -> Retries {
    of_subscription(subscription).or_else(|| of_topic(topic)).unwrap_or_default()
}

/// Checks a document that a caller sets on a subscription.
pub(super) fn check(document: &str) -> Result<(), Fault> {
    let unread = || faults::invalid("DeliveryPolicy: failed to parse JSON.");
    let policy: Value = serde_json::from_str(document).map_err(|_| unread())?;
    match policy.get("healthyRetryPolicy") {
        None | Some(Value::Null) => Ok(()),
        Some(retries) => serde_json::from_value::<Retries>(retries.clone()).map_err(|_| unread())?.check(),
    }
}

/// Checks a document that a caller sets on a topic.
pub(super) fn check_topic(document: &str) -> Result<(), Fault> {
    let unread = || faults::invalid("DeliveryPolicy: failed to parse JSON.");
    let policy: Value = serde_json::from_str(document).map_err(|_| unread())?;
    match policy.get("http").and_then(|http| http.get("defaultHealthyRetryPolicy")) {
        None | Some(Value::Null) => Ok(()),
        Some(retries) => serde_json::from_value::<Retries>(retries.clone()).map_err(|_| unread())?.check(),
    }
}

/// The whole policy that holds, as topics show it.
pub(super) fn of_topic_shown(topic: &str) -> String {
    let retries = policy(topic, "");
    serde_json::json!({
        "http": { "defaultHealthyRetryPolicy": retries, "disableSubscriptionOverrides": false },
    })
    .to_string()
}

/// The same for a subscription.
pub(super) fn of_subscription_shown(topic: &str, subscription: &str) -> String {
    serde_json::json!({ "healthyRetryPolicy": policy(topic, subscription) }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phases_follow_each_other() {
        let pauses = |document: &str| {
            let policy = policy("", document);
            (1..)
                .map_while(|attempts| policy.pause(attempts))
                .map(|pause| pause.as_secs())
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(""), [20, 20, 20]);
        let all = r#"{"healthyRetryPolicy":{"numRetries":8,"numNoDelayRetries":2,"minDelayTarget":1,
            "maxDelayTarget":10,"numMinDelayRetries":1,"numMaxDelayRetries":2,"backoffFunction":"linear"}}"#;
        assert_eq!(pauses(all), [0, 0, 1, 4, 7, 10, 10, 10]);
        assert!(check(all).is_ok());
        assert!(check(r#"{"healthyRetryPolicy":{"numRetries":101}}"#).is_err());
        assert!(check(r#"{"healthyRetryPolicy":{"numRetries":1,"numNoDelayRetries":2}}"#).is_err());
        assert!(check("no").is_err());
    }
}
