//! The maps of Application Auto Scaling.

use super::model::{Action, Activity, Policy, Target};
use crate::spaces;
use mayfly_kernel::{Arn, Time};
use mayfly_store::{Desc, Map};

/// Account, region, resource.
pub(super) type TargetKey = (String, String, String);
/// Account, region, resource, and a policy or an action.
pub(super) type NamedKey = (String, String, String, String);
/// Account, region, resource, when, id.
pub(super) type ActivityKey = (String, String, String, Desc<Time>, String);

pub(super) const TARGETS: Map<TargetKey, Target> = Map::new(spaces::AUTOSCALING_TARGETS);
pub(super) const POLICIES: Map<NamedKey, Policy> = Map::new(spaces::AUTOSCALING_POLICIES);
pub(super) const ACTIONS: Map<NamedKey, Action> = Map::new(spaces::AUTOSCALING_ACTIONS);
pub(super) const ACTIVITIES: Map<ActivityKey, Activity> = Map::new(spaces::AUTOSCALING_ACTIVITIES);

const SERVICE: &str = "application-autoscaling";

pub(super) fn target_arn(key: &TargetKey, id: &str) -> Arn {
    Arn::new(SERVICE, &key.1, &key.0, format!("scalable-target/{id}"))
}

/// In the ARNs of policies and actions AWS names another service.
pub(super) fn policy_arn(key: &NamedKey, id: &str) -> Arn {
    let resource = format!("scalingPolicy:{id}:resource/lambda/{}:policyName/{}", key.2, key.3);
    Arn::new("autoscaling", &key.1, &key.0, resource)
}

pub(super) fn action_arn(key: &NamedKey, id: &str) -> Arn {
    let resource = format!("scheduledAction:{id}:resource/lambda/{}:scheduledActionName/{}", key.2, key.3);
    Arn::new("autoscaling", &key.1, &key.0, resource)
}

/// What a timer is for.
pub(super) enum Timer {
    Look(TargetKey),
    Action(NamedKey),
}

pub(super) fn look_timer(key: &TargetKey) -> Arn {
    Arn::new(SERVICE, &key.1, &key.0, format!("look/{}", key.2))
}

pub(super) fn action_timer(key: &NamedKey) -> Arn {
    Arn::new(SERVICE, &key.1, &key.0, format!("action/{}/{}", key.3, key.2))
}

pub(super) fn timer_of(arn: &Arn) -> Option<Timer> {
    let (account, region) = (arn.account.clone(), arn.region.clone());
    if let Some(resource) = arn.resource.strip_prefix("look/") {
        return Some(Timer::Look((account, region, resource.to_owned())));
    }
    let (name, resource) = arn.resource.strip_prefix("action/")?.split_once('/')?;
    Some(Timer::Action((account, region, resource.to_owned(), name.to_owned())))
}
