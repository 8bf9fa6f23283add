//! Delivery policies: how messages are offered to web endpoints, as "Creating an HTTP/S delivery policy"
//! describes it.
//!
//! A topic has one, and a subscription may have another one, part by part, unless its topic forbids that.

use super::faults;
use super::retry::Retries;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const USUAL_CONTENT_TYPE: &str = "text/plain; charset=UTF-8";
/// What messages in their envelopes may be called.
const FOR_ENVELOPES: [&str; 2] = ["application/json", "text/plain"];
/// What messages as they were published may be called.
const FOR_RAW: [&str; 12] = [
    "text/css",
    "text/csv",
    "text/html",
    "text/plain",
    "text/xml",
    "application/atom+xml",
    "application/json",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xhtml+xml",
    "application/xml",
];

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Throttle {
    max_receives_per_second: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Requests {
    header_content_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OfSubscription {
    healthy_retry_policy: Option<Retries>,
    sickly_retry_policy: Option<Never>,
    throttle_policy: Option<Throttle>,
    request_policy: Option<Requests>,
    guaranteed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct OfTopic {
    http: Option<OfHttp>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct OfHttp {
    default_healthy_retry_policy: Option<Retries>,
    default_sickly_retry_policy: Option<Never>,
    disable_subscription_overrides: bool,
    default_throttle_policy: Option<Throttle>,
    default_request_policy: Option<Requests>,
}

/// A part that AWS shows and that nobody can set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
enum Never {}

/// What holds for one subscription.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) retries: Retries,
    pub(super) per_second: Option<u32>,
    pub(super) content_type: String,
}

fn read<'a, T: Deserialize<'a>>(document: &'a str) -> Result<T, Fault> {
    serde_json::from_str(document).map_err(|error| {
        let known = serde_json::from_str::<Value>(document).is_ok();
        match known {
            true => faults::invalid(format_args!("DeliveryPolicy: {error}")),
            false => faults::invalid("DeliveryPolicy: failed to parse JSON."),
        }
    })
}

/// A kept document; one that cannot be read says nothing.
fn kept<'a, T: Deserialize<'a> + Default>(document: &'a str) -> T {
    serde_json::from_str(document).unwrap_or_default()
}

/// The subscription's own, else the topic's, else what there is by itself.
pub(super) fn policy(topic: &str, subscription: &str) -> Policy {
    let topic = kept::<OfTopic>(topic).http.unwrap_or_default();
    let own = match topic.disable_subscription_overrides {
        true => OfSubscription::default(),
        false => kept::<OfSubscription>(subscription),
    };
    let throttle = own.throttle_policy.or(topic.default_throttle_policy);
    let requests = own.request_policy.or(topic.default_request_policy);
    Policy {
        retries: own.healthy_retry_policy.or(topic.default_healthy_retry_policy).unwrap_or_default(),
        per_second: throttle.and_then(|throttle| throttle.max_receives_per_second),
        content_type: requests
            .and_then(|requests| requests.header_content_type)
            .unwrap_or_else(|| USUAL_CONTENT_TYPE.to_owned()),
    }
}

fn check_parts(
    retries: Option<&Retries>,
    throttle: Option<&Throttle>,
    requests: Option<&Requests>,
    content_types: &[&str],
) -> Result<(), Fault> {
    retries.map_or(Ok(()), Retries::check)?;
    if throttle.is_some_and(|throttle| throttle.max_receives_per_second == Some(0)) {
        let text = "DeliveryPolicy: throttlePolicy.maxReceivesPerSecond must be greater than or equal to 1";
        return Err(faults::invalid(text));
    }
    let Some(wanted) = requests.and_then(|requests| requests.header_content_type.as_deref()) else {
        return Ok(());
    };
    let media = wanted.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match content_types.contains(&media.as_str()) && wanted.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        true => Ok(()),
        false => Err(faults::invalid(format_args!(
            "DeliveryPolicy: requestPolicy.headerContentType must be one of {}",
            content_types.join(", ")
        ))),
    }
}

/// Checks a subscription's document; what it may call messages depends on whether they have their envelope.
pub(super) fn check(document: &str, raw: bool) -> Result<(), Fault> {
    if document.is_empty() {
        return Ok(());
    }
    let policy: OfSubscription = read(document)?;
    if policy.guaranteed {
        return Err(faults::invalid("DeliveryPolicy: guaranteed cannot be set"));
    }
    let content_types = if raw { &FOR_RAW[..] } else { &FOR_ENVELOPES[..] };
    check_parts(
        policy.healthy_retry_policy.as_ref(),
        policy.throttle_policy.as_ref(),
        policy.request_policy.as_ref(),
        content_types,
    )
}

/// Checks a topic's document.
pub(super) fn check_topic(document: &str) -> Result<(), Fault> {
    let Some(policy) = read::<OfTopic>(document)?.http else { return Ok(()) };
    check_parts(
        policy.default_healthy_retry_policy.as_ref(),
        policy.default_throttle_policy.as_ref(),
        policy.default_request_policy.as_ref(),
        &FOR_ENVELOPES,
    )
}

/// The whole policy that holds, as topics show it.
pub(super) fn shown_of_topic(topic: &str) -> String {
    let holds = policy(topic, "");
    let own = kept::<OfTopic>(topic).http.unwrap_or_default();
    let throttle = holds.per_second.map(|most| Throttle { max_receives_per_second: Some(most) });
    serde_json::json!({
        "http": {
            "defaultHealthyRetryPolicy": holds.retries,
            "disableSubscriptionOverrides": own.disable_subscription_overrides,
            "defaultThrottlePolicy": throttle,
            "defaultRequestPolicy": { "headerContentType": holds.content_type },
        },
    })
    .to_string()
}

/// The same for a subscription.
pub(super) fn shown(topic: &str, subscription: &str) -> String {
    let holds = policy(topic, subscription);
    let throttle = holds.per_second.map(|most| Throttle { max_receives_per_second: Some(most) });
    serde_json::json!({
        "healthyRetryPolicy": holds.retries,
        "sicklyRetryPolicy": null,
        "throttlePolicy": throttle,
        "requestPolicy": { "headerContentType": holds.content_type },
        "guaranteed": false,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_has_its_own_way_unless_its_topic_forbids() {
        let topic = |more: &str| {
            format!(
                r#"{{"http":{{"defaultThrottlePolicy":{{"maxReceivesPerSecond":5}},
                    "defaultHealthyRetryPolicy":{{"numRetries":7}}{more}}}}}"#
            )
        };
        let own = r#"{"throttlePolicy":{"maxReceivesPerSecond":2}}"#;
        let seven: Retries = serde_json::from_str(r#"{"numRetries":7}"#).unwrap();
        let holds = policy(&topic(""), own);
        assert_eq!((holds.per_second, holds.retries), (Some(2), seven));
        assert_eq!(policy(&topic(r#","disableSubscriptionOverrides":true"#), own).per_second, Some(5));
        assert_eq!(policy("", "").per_second, None);
        assert_eq!(policy("", "").content_type, USUAL_CONTENT_TYPE);
    }

    #[test]
    fn what_could_not_act_is_refused() {
        let refused = |document: &str| check(document, false).unwrap_err().message;
        assert!(refused("no").contains("failed to parse JSON"));
        assert!(refused(r#"{"healthyRetryPolicy":{"numRetry":1}}"#).contains("unknown field `numRetry`"));
        assert!(refused(r#"{"throttlePolicy":{"maxReceivesPerSecond":0}}"#).contains("maxReceivesPerSecond"));
        let html = r#"{"requestPolicy":{"headerContentType":"text/html; charset=UTF-8"}}"#;
        assert!(refused(html).contains("headerContentType"));
        assert!(check(html, true).is_ok());
        assert!(check(r#"{"requestPolicy":{"headerContentType":"application/json"}}"#, false).is_ok());
        assert!(check_topic(r#"{"sqs":{}}"#).is_err());
        // What is shown may be set again.
        assert!(check(&shown("", ""), false).is_ok());
        assert!(check_topic(&shown_of_topic("")).is_ok());
    }
}
