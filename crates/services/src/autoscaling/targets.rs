//! Scalable targets.

use super::keys::{ACTIONS, POLICIES, TARGETS, TargetKey, target_arn};
use super::model::Target;
use super::scope::{self, DIMENSION, Listing, NAMESPACE};
use super::{actions, capacity, faults, tags};
use crate::{Cx, lambda, paging};
use mayfly_kernel::{Fault, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Policies or actions of one target.
pub(super) const PARTS_MAX: usize = 200;
const ID_LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Register {
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
    min_capacity: Option<u32>,
    max_capacity: Option<u32>,
    #[serde(rename = "RoleARN")]
    role: Option<String>,
    suspended_state: Option<Suspended>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Suspended {
    dynamic_scaling_in_suspended: Option<bool>,
    dynamic_scaling_out_suspended: Option<bool>,
    scheduled_scaling_suspended: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct Registered {
    #[serde(rename = "ScalableTargetARN")]
    arn: String,
}

/// Makes a target, or changes what is named of one. What is provisioned is brought between its least and
/// most at once.
pub(super) fn register(cx: &mut Cx<'_>, input: Register) -> Result<Registered, Fault> {
    let named = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let key = scope::target(cx, named)?;
    if input.role.as_ref().is_some_and(|role| !(1..=1600).contains(&role.chars().count())) {
        return Err(faults::validation("The ARN of a role has 1 to 1600 characters."));
    }
    let mut target = match TARGETS.get(cx.tx, &key)? {
        Some(target) if input.tags.is_empty() => target,
        Some(_) => {
            return Err(faults::validation("A scalable target that there is gets tags by TagResource."));
        }
        None => {
            if input.min_capacity.is_none() || input.max_capacity.is_none() {
                return Err(faults::validation("A new scalable target needs MinCapacity and MaxCapacity."));
            }
            let account = &key.0;
            Target {
                id: format!("0{}", cx.ids.pick(23, ID_LETTERS)),
                created_ms: cx.now.ms(),
                role: format!("arn:aws:iam::{account}:role/aws-service-role/lambda.application-autoscaling"),
                tags: crate::tags::checked::<tags::Row>(cx, input.tags)?,
                ..Target::default()
            }
        }
    };
    target.min = input.min_capacity.unwrap_or(target.min);
    target.max = input.max_capacity.unwrap_or(target.max);
    if target.min > target.max {
        return Err(faults::validation("Maximum capacity cannot be less than minimum capacity"));
    }
    if let Some(role) = input.role {
        target.role = role;
    }
    if let Some(state) = input.suspended_state {
        target.no_scaling_in = state.dynamic_scaling_in_suspended.unwrap_or(target.no_scaling_in);
        target.no_scaling_out = state.dynamic_scaling_out_suspended.unwrap_or(target.no_scaling_out);
        target.no_schedules = state.scheduled_scaling_suspended.unwrap_or(target.no_schedules);
    }
    let arn = target_arn(&key, &target.id).to_string();
    let function = lambda::reference(cx, &key.2["function:".len()..]);
    if !function.is_some_and(|function| lambda::exists(cx, &function).unwrap_or(false)) {
        return Err(faults::validation(format!("No Lambda function found for resource ID: {}", key.2)));
    }
    TARGETS.put(cx.tx, &key, &target);
    capacity::into_range(cx, &key, &target)?;
    Ok(Registered { arn })
}

#[derive(Serialize)]
pub(super) struct Done {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    service_namespace: String,
    resource_id: String,
    scalable_dimension: String,
}

/// The target goes, and with it its policies, actions and activities. What is provisioned stays as it is.
pub(super) fn deregister(cx: &mut Cx<'_>, input: Named) -> Result<Done, Fault> {
    let named = (&*input.service_namespace, &*input.resource_id, &*input.scalable_dimension);
    let key = scope::target(cx, named)?;
    find(cx, &key)?;
    for (policy, _) in POLICIES.scan(cx.tx, Scan::prefix(&key, PARTS_MAX))? {
        POLICIES.delete(cx.tx, &policy);
    }
    for (action, row) in ACTIONS.scan(cx.tx, Scan::prefix(&key, PARTS_MAX))? {
        actions::cancel(cx, &action, &row);
        ACTIONS.delete(cx.tx, &action);
    }
    capacity::forget(cx, &key, 0)?;
    TARGETS.delete(cx.tx, &key);
    Ok(Done {})
}

pub(super) fn find(cx: &Cx<'_>, key: &TargetKey) -> Result<Target, Fault> {
    TARGETS.get(cx.tx, key)?.ok_or_else(|| faults::no_target(&key.2))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Describe {
    service_namespace: String,
    #[serde(default)]
    resource_ids: Vec<String>,
    scalable_dimension: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    scalable_targets: Vec<Shown>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    min_capacity: u32,
    max_capacity: u32,
    #[serde(rename = "RoleARN")]
    role: String,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
    suspended_state: Suspended,
    #[serde(rename = "ScalableTargetARN")]
    arn: String,
}

fn shown(key: TargetKey, target: Target) -> Shown {
    Shown {
        service_namespace: NAMESPACE,
        scalable_dimension: DIMENSION,
        min_capacity: target.min,
        max_capacity: target.max,
        creation_time: Time::from_ms(target.created_ms),
        suspended_state: Suspended {
            dynamic_scaling_in_suspended: Some(target.no_scaling_in),
            dynamic_scaling_out_suspended: Some(target.no_scaling_out),
            scheduled_scaling_suspended: Some(target.no_schedules),
        },
        arn: target_arn(&key, &target.id).to_string(),
        role: target.role,
        resource_id: key.2,
    }
}

/// By resource. Of those that are named, the ones that there are.
pub(super) fn describe(cx: &mut Cx<'_>, input: Describe) -> Result<Described, Fault> {
    let place = (None, input.scalable_dimension.as_deref());
    let Listing { limit, .. } = scope::listing(cx, &input.service_namespace, place, input.max_results)?;
    let (account, region) = (cx.caller.account.clone(), cx.caller.region.clone());
    if !input.resource_ids.is_empty() {
        let mut scalable_targets = Vec::new();
        for resource in input.resource_ids.into_iter().take(scope::PAGE) {
            let key = (account.clone(), region.clone(), resource);
            if let Some(target) = TARGETS.get(cx.tx, &key)? {
                scalable_targets.push(shown(key, target));
            }
        }
        return Ok(Described { scalable_targets, next_token: None });
    }
    let mut scan = Scan::prefix(&(account.clone(), region.clone()), limit + 1);
    if let Some(token) = input.next_token {
        scan = scan.after(&(account, region, token));
    }
    let (rows, next_token) = paging::cut(TARGETS.scan(cx.tx, scan)?, limit, |(key, _)| key.2.clone());
    Ok(Described {
        scalable_targets: rows.into_iter().map(|(key, row)| shown(key, row)).collect(),
        next_token,
    })
}
