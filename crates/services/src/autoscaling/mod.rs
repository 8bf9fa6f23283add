//! Application Auto Scaling, for the provisioned concurrency of functions.
//!
//! A scalable target is an alias or a version between a least and a most. A policy of target tracking looks
//! each minute at how much of what is provisioned was in use, and provisions more or less; a scheduled action
//! sets the least and the most by the clocks of a place. What waits (the next look, the next time of an
//! action) is a delivery of the fabric, and each change is one commit: the target, what Lambda is asked to
//! keep ready, and the activity that tells of it.
//!
//! A target scales out after one minute over its value and scales in after fifteen under nine tenths of it,
//! where AWS waits three minutes to scale out.
//!
//! Deliberately absent: other services' resources, step scaling, predictive scaling, metrics of one's own.
//!
//! | space | key | record |
//! |---|---|---|
//! | `AUTOSCALING_TARGETS` | account, region, resource | a scalable target |
//! | `AUTOSCALING_POLICIES` | … resource, policy | a policy |
//! | `AUTOSCALING_ACTIONS` | … resource, action | a scheduled action |
//! | `AUTOSCALING_ACTIVITIES` | … resource, time, activity | what was done, newest first |

mod actions;
mod activities;
mod capacity;
mod faults;
mod keys;
mod model;
mod policies;
mod reactions;
mod scope;
mod tags;
mod targets;
#[cfg(test)]
mod tests;

pub use reactions::fire;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("application-autoscaling", Protocol::Json11, "AnyScaleFrontendService")
        .op("RegisterScalableTarget", targets::register)
        .op("DeregisterScalableTarget", targets::deregister)
        .view("DescribeScalableTargets", targets::describe)
        .op("PutScalingPolicy", policies::put)
        .op("DeleteScalingPolicy", policies::delete)
        .view("DescribeScalingPolicies", policies::describe)
        .op("PutScheduledAction", actions::put)
        .op("DeleteScheduledAction", actions::delete)
        .view("DescribeScheduledActions", actions::describe)
        .view("DescribeScalingActivities", activities::describe)
        .op("TagResource", crate::tags::tag::<tags::Row>)
        .op("UntagResource", crate::tags::untag::<tags::Row>)
        .view("ListTagsForResource", crate::tags::list::<tags::Row>)
}
