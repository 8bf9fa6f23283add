//! The errors of CodeDeploy.

use mayfly_kernel::Fault;
use std::fmt::Display;

fn fault(code: &'static str, text: impl Into<String>) -> Fault {
    Fault::new(400, code, text)
}

pub(super) fn no_application(name: &str) -> Fault {
    fault("ApplicationDoesNotExistException", format!("No application found for name: {name}"))
}

pub(super) fn application_name_required() -> Fault {
    fault("ApplicationNameRequiredException", "An application name is required.")
}

pub(super) fn application_exists(name: &str) -> Fault {
    fault("ApplicationAlreadyExistsException", format!("Application already exists: {name}"))
}

pub(super) fn bad_application_name(name: &str) -> Fault {
    fault("InvalidApplicationNameException", format!("Invalid application name: {name}"))
}

pub(super) fn no_platform(found: &str) -> Fault {
    let text =
        format!("Mayfly deploys functions: the compute platform is Lambda, and {found} is not implemented.");
    fault("InvalidComputePlatformException", text)
}

pub(super) fn bad_platform(found: &str) -> Fault {
    fault("InvalidComputePlatformException", format!("The compute platform {found} is not valid."))
}

pub(super) fn no_group(name: &str) -> Fault {
    fault("DeploymentGroupDoesNotExistException", format!("No Deployment Group found for name: {name}"))
}

pub(super) fn group_exists(name: &str) -> Fault {
    fault("DeploymentGroupAlreadyExistsException", format!("Deployment Group name already exists: {name}"))
}

pub(super) fn bad_group_name(name: &str) -> Fault {
    fault("InvalidDeploymentGroupNameException", format!("Invalid deployment group name: {name}"))
}

pub(super) fn group_name_required() -> Fault {
    fault("DeploymentGroupNameRequiredException", "A deployment group name is required.")
}

pub(super) fn bad_trigger(text: impl Into<String>) -> Fault {
    fault("InvalidTriggerConfigException", text)
}

pub(super) fn bad_alarms(text: impl Into<String>) -> Fault {
    fault("InvalidAlarmConfigException", text)
}

pub(super) fn bad_rollback(text: impl Into<String>) -> Fault {
    fault("InvalidAutoRollbackConfigException", text)
}

pub(super) fn no_config(name: &str) -> Fault {
    fault(
        "DeploymentConfigDoesNotExistException",
        format!("No Deployment Configuration found for name: {name}"),
    )
}

pub(super) fn config_exists(name: &str) -> Fault {
    fault(
        "DeploymentConfigAlreadyExistsException",
        format!("Deployment Configuration name already exists: {name}"),
    )
}

pub(super) fn bad_config_name(name: &str) -> Fault {
    fault("InvalidDeploymentConfigNameException", format!("Invalid deployment configuration name: {name}"))
}

pub(super) fn config_in_use(name: &str) -> Fault {
    fault("DeploymentConfigInUseException", format!("Deployment Configuration {name} is in use."))
}

pub(super) fn config_is_aws_s(name: &str) -> Fault {
    fault("InvalidOperationException", format!("Cannot delete default Deployment Configuration: {name}"))
}

pub(super) fn bad_routing(text: impl Into<String>) -> Fault {
    fault("InvalidTrafficRoutingConfigurationException", text)
}

pub(super) fn revision_required() -> Fault {
    fault("RevisionRequiredException", "A revision is required: an AppSpec of a function.")
}

pub(super) fn bad_revision(text: impl Display) -> Fault {
    fault("InvalidRevisionException", format!("The AppSpec is not valid: {text}"))
}

pub(super) fn no_revision(text: impl Into<String>) -> Fault {
    fault("RevisionDoesNotExistException", text)
}

pub(super) fn is_active(group: &str, deployment: &str) -> Fault {
    let text = format!("The Deployment Group '{group}' already has an active Deployment '{deployment}'");
    fault("DeploymentLimitExceededException", text)
}

pub(super) fn deployment_id_required() -> Fault {
    fault("DeploymentIdRequiredException", "A deployment ID is required.")
}

pub(super) fn bad_deployment_id(id: &str) -> Fault {
    fault("InvalidDeploymentIdException", format!("Specified deployment id is not valid: {id}"))
}

pub(super) fn no_deployment(id: &str) -> Fault {
    fault("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"))
}

pub(super) fn is_over(id: &str) -> Fault {
    fault("DeploymentAlreadyCompletedException", format!("The deployment {id} is already completed"))
}

pub(super) fn no_target(id: &str) -> Fault {
    fault("DeploymentTargetDoesNotExistException", format!("The target {id} does not exist"))
}

pub(super) fn bad_status(status: &str) -> Fault {
    fault("InvalidDeploymentStatusException", format!("Invalid deployment status: {status}"))
}

pub(super) fn bad_hook_status() -> Fault {
    fault("InvalidLifecycleEventHookExecutionStatusException", "A hook ends in Succeeded or Failed.")
}

pub(super) fn bad_execution(id: &str) -> Fault {
    let text = format!("The deployment waits for no hook with the execution id {id}");
    fault("InvalidLifecycleEventHookExecutionIdException", text)
}

pub(super) fn hook_is_over() -> Fault {
    fault("LifecycleEventAlreadyCompletedException", "The lifecycle event has already completed")
}

pub(super) fn too_long() -> Fault {
    fault("DescriptionTooLongException", "A description has at most 256 characters.")
}

pub(super) fn batch_too_long(max: usize) -> Fault {
    fault("BatchLimitExceededException", format!("At most {max} can be asked for at once."))
}

pub(super) fn bad_token() -> Fault {
    fault("InvalidNextTokenException", "The next token is not valid.")
}

pub(super) fn bad_arn(arn: &str) -> Fault {
    fault("InvalidArnException", format!("The ARN is not valid: {arn}"))
}

pub(super) fn bad_tags() -> Fault {
    let text = "At most 50 tags, their keys of 1 to 128 characters, their values of at most 256.";
    fault("InvalidTagsToAddException", text)
}
