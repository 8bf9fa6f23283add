//! The maps of CodeDeploy.

use super::model::{Application, Config, Deployment, Group, Mark, Running};
use crate::spaces;
use mayfly_kernel::{Arn, Time};
use mayfly_store::{Desc, Map};

/// Account, region, and an application, a configuration or a deployment.
pub(super) type NamedKey = (String, String, String);
/// Account, region, application, group.
pub(super) type GroupKey = (String, String, String, String);
/// Account, region, application, group, when it was made, deployment.
pub(super) type HistoryKey = (String, String, String, String, Desc<Time>, String);

pub(super) const APPLICATIONS: Map<NamedKey, Application> = Map::new(spaces::CODEDEPLOY_APPLICATIONS);
pub(super) const GROUPS: Map<GroupKey, Group> = Map::new(spaces::CODEDEPLOY_GROUPS);
pub(super) const CONFIGS: Map<NamedKey, Config> = Map::new(spaces::CODEDEPLOY_CONFIGS);
pub(super) const DEPLOYMENTS: Map<NamedKey, Deployment> = Map::new(spaces::CODEDEPLOY_DEPLOYMENTS);
pub(super) const HISTORY: Map<HistoryKey, Mark> = Map::new(spaces::CODEDEPLOY_HISTORY);
pub(super) const RUNNING: Map<GroupKey, Running> = Map::new(spaces::CODEDEPLOY_RUNNING);

pub(super) fn application_arn(key: &NamedKey) -> Arn {
    Arn::new("codedeploy", &key.1, &key.0, format!("application:{}", key.2))
}

pub(super) fn group_arn(key: &GroupKey) -> Arn {
    Arn::new("codedeploy", &key.1, &key.0, format!("deploymentgroup:{}/{}", key.2, key.3))
}

pub(super) fn config_arn(key: &NamedKey) -> Arn {
    Arn::new("codedeploy", &key.1, &key.0, format!("deploymentconfig:{}", key.2))
}

/// AWS has no name of this form; it is what a deployment's timer goes by.
pub(super) fn deployment_arn(key: &NamedKey) -> Arn {
    Arn::new("codedeploy", &key.1, &key.0, format!("deployment:{}", key.2))
}

pub(super) fn deployment_of(arn: &Arn) -> Option<NamedKey> {
    let id = arn.resource.strip_prefix("deployment:")?;
    Some((arn.account.clone(), arn.region.clone(), id.to_owned()))
}
