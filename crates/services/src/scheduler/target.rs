//! A schedule's target, as it is asked for and shown.

use super::faults;
use super::model::Target;
use crate::targets::Kind;
use mayfly_kernel::{Arn, Fault};
use serde::{Deserialize, Serialize};

const RETRIES_MAX: u32 = 185;
const AGE_S: std::ops::RangeInclusive<u32> = 60..=86_400;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Wanted {
    arn: String,
    role_arn: String,
    input: Option<String>,
    dead_letter_config: Option<DeadLetters>,
    retry_policy: Option<RetryPolicy>,
    sqs_parameters: Option<SqsParameters>,
    event_bridge_parameters: Option<BusParameters>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    arn: String,
    role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_config: Option<DeadLetters>,
    retry_policy: RetryPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqs_parameters: Option<SqsParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_bridge_parameters: Option<BusParameters>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeadLetters {
    arn: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetryPolicy {
    maximum_event_age_in_seconds: Option<u32>,
    maximum_retry_attempts: Option<u32>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SqsParameters {
    message_group_id: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BusParameters {
    detail_type: String,
    source: String,
}

impl Wanted {
    pub(super) fn checked(self) -> Result<Target, Fault> {
        let not_arn =
            |text: &str| faults::validation(format!("Provided Arn is not in correct format: {text}"));
        let arn: Arn = self.arn.parse().map_err(|_| not_arn(&self.arn))?;
        let kind = match Kind::of(&arn) {
            Some(kind @ (Kind::Function | Kind::Queue | Kind::Topic | Kind::Bus)) => kind,
            Some(Kind::LogGroup | Kind::ApiDestination) | None if arn.service == "scheduler" => {
                return Err(Fault::not_implemented("universal targets of schedules"));
            }
            Some(Kind::LogGroup | Kind::ApiDestination) | None => {
                return Err(Fault::not_implemented(&format!("{} as the target of a schedule", arn.service)));
            }
        };
        self.role_arn.parse::<Arn>().map_err(|_| not_arn(&self.role_arn))?;
        let group = self.sqs_parameters.and_then(|sqs| sqs.message_group_id).unwrap_or_default();
        if kind == Kind::Queue && arn.resource.ends_with(".fifo") && group.is_empty() {
            return Err(faults::validation("MessageGroupId is required for a FIFO queue."));
        }
        let (detail_type, source) = match (kind, self.event_bridge_parameters) {
            (Kind::Bus, Some(parameters)) => (parameters.detail_type, parameters.source),
            (Kind::Bus, None) => {
                return Err(faults::validation("EventBridgeParameters are required for an event bus."));
            }
            (_, Some(_)) => {
                return Err(faults::validation("EventBridgeParameters are for event buses alone."));
            }
            (_, None) => Default::default(),
        };
        let object = |text: &String| {
            serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object())
        };
        if kind == Kind::Bus && !self.input.as_ref().is_none_or(object) {
            return Err(faults::validation("The input for an event bus must be a JSON object."));
        }
        let (retries, max_age_s) = match self.retry_policy {
            Some(policy) => (policy.maximum_retry_attempts, policy.maximum_event_age_in_seconds),
            None => (None, None),
        };
        check_policy(retries, max_age_s)?;
        let dead_letters = self.dead_letter_config.and_then(|config| config.arn).unwrap_or_default();
        let is_queue = |arn: &Arn| arn.service == "sqs" && !arn.resource.ends_with(".fifo");
        if !dead_letters.is_empty() && !dead_letters.parse::<Arn>().is_ok_and(|arn| is_queue(&arn)) {
            return Err(faults::validation("The dead-letter queue must be a standard SQS queue."));
        }
        let (arn, role, input) = (self.arn, self.role_arn, self.input);
        Ok(Target { arn, role, input, dead_letters, retries, max_age_s, group, detail_type, source })
    }
}

fn check_policy(retries: Option<u32>, max_age_s: Option<u32>) -> Result<(), Fault> {
    if let Some(retries) = retries.filter(|retries| *retries > RETRIES_MAX) {
        let rule = "Member must have value less than or equal to 185";
        let member = "target.retryPolicy.maximumRetryAttempts";
        return Err(faults::constraint(member, &retries.to_string(), rule));
    }
    if let Some(age) = max_age_s.filter(|age| !AGE_S.contains(age)) {
        let rule = "Member must have value between 60 and 86400";
        let member = "target.retryPolicy.maximumEventAgeInSeconds";
        return Err(faults::constraint(member, &age.to_string(), rule));
    }
    Ok(())
}

pub(super) fn shown(target: Target) -> Shown {
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let (detail_type, source) = (target.detail_type, target.source);
    Shown {
        arn: target.arn,
        role_arn: target.role,
        input: target.input,
        dead_letter_config: text(target.dead_letters).map(|arn| DeadLetters { arn: Some(arn) }),
        retry_policy: RetryPolicy {
            maximum_event_age_in_seconds: Some(target.max_age_s.unwrap_or(86_400)),
            maximum_retry_attempts: Some(target.retries.unwrap_or(RETRIES_MAX)),
        },
        sqs_parameters: text(target.group).map(|group| SqsParameters { message_group_id: Some(group) }),
        event_bridge_parameters: text(source).map(|source| BusParameters { detail_type, source }),
    }
}
