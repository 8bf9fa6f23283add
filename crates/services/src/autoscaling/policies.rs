//! Policies of target tracking.

use super::keys::{NamedKey, POLICIES, TARGETS, policy_arn};
use super::model::Policy;
use super::scope::{self, DIMENSION, Listing, NAMESPACE, check_name, named};
use super::targets::{self, Done, PARTS_MAX};
use super::{faults, reactions};
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const TRACKING: &str = "TargetTrackingScaling";
const METRIC: &str = "LambdaProvisionedConcurrencyUtilization";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Put {
    policy_name: String,
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
    policy_type: Option<String>,
    target_tracking_scaling_policy_configuration: Option<Tracking>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tracking {
    target_value: f64,
    predefined_metric_specification: Option<Predefined>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_out_cooldown: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_in_cooldown: Option<u32>,
    disable_scale_in: Option<bool>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Predefined {
    predefined_metric_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    #[serde(rename = "PolicyARN")]
    arn: String,
    /// AWS's policies stand on alarms of their own; ours look at the figures themselves.
    alarms: Vec<Value>,
}

pub(super) fn put(cx: &mut Cx<'_>, input: Put) -> Result<Made, Fault> {
    let place = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let key = scope::target(cx, place)?;
    check_name(&input.policy_name)?;
    match input.policy_type.as_deref() {
        Some(TRACKING) => {}
        None | Some("StepScaling") => return Err(Fault::not_implemented("step scaling")),
        Some("PredictiveScaling") => return Err(Fault::not_implemented("predictive scaling")),
        Some(other) => return Err(faults::validation(format!("Unknown policy type: {other}"))),
    }
    let tracking = input.target_tracking_scaling_policy_configuration;
    let tracking = tracking.ok_or_else(|| faults::validation("Target tracking needs its configuration."))?;
    match tracking.predefined_metric_specification.as_ref().map(|metric| &*metric.predefined_metric_type) {
        Some(METRIC) => {}
        other => {
            let text =
                format!("The predefined metric of a function is {METRIC}, not {}", other.unwrap_or("none"));
            return Err(faults::validation(text));
        }
    }
    if !(0.1..=0.9).contains(&tracking.target_value) {
        return Err(faults::validation("The target value of a utilization lies between 0.1 and 0.9."));
    }
    let mut target = targets::find(cx, &key)?;
    let policy_key = named(&key, &input.policy_name);
    let before = POLICIES.get(cx.tx, &policy_key)?;
    if before.is_none() && POLICIES.scan(cx.tx, Scan::prefix(&key, PARTS_MAX))?.len() == PARTS_MAX {
        return Err(faults::too_many(format!("A scalable target has at most {PARTS_MAX} policies.")));
    }
    let (id, created_ms) = match before {
        Some(before) => (before.id, before.created_ms),
        None => (cx.ids.uuid(), cx.now.ms()),
    };
    let policy = Policy {
        id,
        value: tracking.target_value,
        out_cooldown_s: tracking.scale_out_cooldown,
        in_cooldown_s: tracking.scale_in_cooldown,
        never_in: tracking.disable_scale_in.unwrap_or(false),
        created_ms,
    };
    POLICIES.put(cx.tx, &policy_key, &policy);
    if target.look.is_empty() {
        target.look = cx.ids.uuid();
        TARGETS.put(cx.tx, &key, &target);
        reactions::wait(cx, &key, &target)?;
    }
    Ok(Made { arn: policy_arn(&policy_key, &policy.id).to_string(), alarms: Vec::new() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Delete {
    policy_name: String,
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
}

/// With its last policy a target is not looked at any more: the look that waits finds none and is the last.
pub(super) fn delete(cx: &mut Cx<'_>, input: Delete) -> Result<Done, Fault> {
    let place = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let key = scope::target(cx, place)?;
    let policy = named(&key, &input.policy_name);
    if !POLICIES.contains(cx.tx, &policy)? {
        return Err(faults::no_policy(&input.policy_name));
    }
    POLICIES.delete(cx.tx, &policy);
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    #[serde(default)]
    policy_names: Vec<String>,
    service_namespace: String,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    scaling_policies: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(rename = "PolicyARN")]
    arn: String,
    policy_name: String,
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    policy_type: &'static str,
    target_tracking_scaling_policy_configuration: Tracking,
    alarms: Vec<Value>,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
}

fn shown(key: NamedKey, policy: Policy) -> Shown {
    Shown {
        arn: policy_arn(&key, &policy.id).to_string(),
        policy_name: key.3,
        resource_id: key.2,
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        policy_type: TRACKING,
        target_tracking_scaling_policy_configuration: Tracking {
            target_value: policy.value,
            predefined_metric_specification: Some(Predefined { predefined_metric_type: METRIC.to_owned() }),
            scale_out_cooldown: policy.out_cooldown_s,
            scale_in_cooldown: policy.in_cooldown_s,
            disable_scale_in: Some(policy.never_in),
        },
        alarms: Vec::new(),
        creation_time: Time::from_ms(policy.created_ms),
    }
}

/// By resource and name. A page is what is asked for of those that lie in it, so it may be short and go on.
pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let place = (input.resource_id, input.scalable_dimension.as_deref());
    let listing = scope::listing(cx, &input.service_namespace, place, input.max_results)?;
    let (mut rows, next_token) = page(cx, &listing, input.next_token.as_deref(), &POLICIES)?;
    rows.retain(|(key, _)| input.policy_names.is_empty() || input.policy_names.contains(&key.3));
    Ok(Described {
        scaling_policies: rows.into_iter().map(|(key, row)| shown(key, row)).collect(),
        next_token,
    })
}

/// Policies or actions, and where the next ones begin.
type Page<V> = (Vec<(NamedKey, V)>, Option<String>);

/// A page of policies or actions.
pub(super) fn page<V: mayfly_store::Record>(
    cx: &Cx<'_>,
    listing: &Listing,
    token: Option<&str>,
    map: &mayfly_store::Map<NamedKey, V>,
) -> Result<Page<V>, Fault> {
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = match &listing.resource {
        Some(resource) => {
            Scan::prefix(&(account.clone(), region.clone(), resource.clone()), listing.limit + 1)
        }
        None => Scan::prefix(&(account.clone(), region.clone()), listing.limit + 1),
    };
    if let Some(token) = token {
        let (name, resource) = token.split_once('/').ok_or_else(faults::bad_token)?;
        scan = scan.after(&(account, region, resource.to_owned(), name.to_owned()));
    }
    Ok(paging::cut(map.scan(cx.tx, scan)?, listing.limit, |(key, _)| format!("{}/{}", key.3, key.2)))
}
