//! The errors of Application Auto Scaling.

use mayfly_kernel::Fault;

pub(super) fn validation(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", text)
}

pub(super) fn no_target(resource: &str) -> Fault {
    let text = format!(
        "No scalable target registered for service namespace: lambda, resource ID: {resource}, scalable dimension: \
         lambda:function:ProvisionedConcurrency"
    );
    Fault::new(400, "ObjectNotFoundException", text)
}

pub(super) fn no_policy(name: &str) -> Fault {
    Fault::new(400, "ObjectNotFoundException", format!("No scaling policy found with name {name}"))
}

pub(super) fn no_action(name: &str) -> Fault {
    Fault::new(400, "ObjectNotFoundException", format!("No scheduled action found with name {name}"))
}

pub(super) fn no_resource(arn: &str) -> Fault {
    Fault::new(400, "ResourceNotFoundException", format!("There is no resource {arn}"))
}

pub(super) fn too_many(text: impl Into<String>) -> Fault {
    Fault::new(400, "LimitExceededException", text)
}

pub(super) fn too_many_tags() -> Fault {
    Fault::new(400, "TooManyTagsException", "A scalable target has at most 50 tags.")
}

pub(super) fn bad_token() -> Fault {
    Fault::new(400, "InvalidNextTokenException", "The next token is not valid.")
}
