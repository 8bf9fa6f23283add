//! CodeDeploy, for functions: an alias is brought from one version to another step by step, and back.
//!
//! A deployment is one row and a state machine. What it waits for next (the time of a step, or the answer of
//! a hook) is a delivery of the fabric, and each step is one commit: the alias's weights, the deployment's
//! row, and the next wait. So a kill at any moment leaves the alias where the row says it is, and the
//! deployment goes on from there. An alarm that fires stops the deployments that watch it in the commit of
//! its own change of state ([`alarmed`]), and the alias is back on its old version in that same commit.
//!
//! Deliberately absent: servers and ECS, revisions on GitHub, deployments that wait for a person.
//!
//! | space | key | record |
//! |---|---|---|
//! | `CODEDEPLOY_APPLICATIONS` | account, region, application | an application |
//! | `CODEDEPLOY_GROUPS` | … application, group | a deployment group |
//! | `CODEDEPLOY_CONFIGS` | account, region, configuration | a deployment configuration of a user |
//! | `CODEDEPLOY_DEPLOYMENTS` | account, region, deployment | a deployment |
//! | `CODEDEPLOY_HISTORY` | … application, group, time, deployment | the deployments of a group, newest
//! first |
//! | `CODEDEPLOY_RUNNING` | … application, group | the one that is under way |

mod applications;
mod appspec;
mod configs;
mod deployments;
mod faults;
mod groups;
mod keys;
mod machine;
mod model;
mod show;
mod tags;
mod tell;
#[cfg(test)]
mod tests;

pub(crate) use machine::alarmed;
pub use machine::fire;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("codedeploy", Protocol::Json11, "CodeDeploy_20141006")
        .op("CreateApplication", applications::create)
        .view("GetApplication", applications::get)
        .view("BatchGetApplications", applications::batch)
        .view("ListApplications", applications::list)
        .op("UpdateApplication", applications::rename)
        .op("DeleteApplication", applications::delete)
        .op("CreateDeploymentGroup", groups::create)
        .view("GetDeploymentGroup", groups::get)
        .view("BatchGetDeploymentGroups", groups::batch)
        .view("ListDeploymentGroups", groups::list)
        .op("UpdateDeploymentGroup", groups::update)
        .op("DeleteDeploymentGroup", groups::delete)
        .op("CreateDeploymentConfig", configs::create)
        .view("GetDeploymentConfig", configs::get)
        .view("ListDeploymentConfigs", configs::list)
        .op("DeleteDeploymentConfig", configs::delete)
        .op("CreateDeployment", deployments::create)
        .view("GetDeployment", show::get)
        .view("BatchGetDeployments", show::batch)
        .view("ListDeployments", show::list)
        .view("GetDeploymentTarget", show::target)
        .view("BatchGetDeploymentTargets", show::targets)
        .view("ListDeploymentTargets", show::list_targets)
        .op("StopDeployment", deployments::stop)
        .op("PutLifecycleEventHookExecutionStatus", deployments::hook_status)
        .op("TagResource", crate::tags::tag::<tags::Row>)
        .op("UntagResource", crate::tags::untag::<tags::Row>)
        .view("ListTagsForResource", tags::list)
}
