//! Every fault of Lambda, in AWS's words.

use mayfly_kernel::{Arn, Fault};
use std::fmt::Display;

fn user(status: u16, code: &'static str, message: impl Into<String>) -> Fault {
    Fault::new(status, code, message).with_field("Type", "User")
}

/// A member breaks its constraint. `path` is the member in AWS's spelling, such as `code.s3Bucket`.
pub(super) fn invalid(value: impl Display, path: &str, constraint: impl Display) -> Fault {
    let sentence = format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
    );
    Fault::new(400, "ValidationException", sentence)
}

/// A member's value is not one of its enumeration's.
pub(super) fn not_in_set(value: impl Display, path: &str, set: &[&str]) -> Fault {
    invalid(value, path, format_args!("Member must satisfy enum value set: [{}]", set.join(", ")))
}

pub(super) fn pattern(value: impl Display, path: &str, pattern: &str) -> Fault {
    invalid(value, path, format_args!("Member must satisfy regular expression pattern: {pattern}"))
}

pub(super) fn parameter(message: impl Into<String>) -> Fault {
    user(400, "InvalidParameterValueException", message)
}

pub(super) fn not_found(message: impl Into<String>) -> Fault {
    user(404, "ResourceNotFoundException", message)
}

pub(super) fn conflict(message: impl Into<String>) -> Fault {
    user(409, "ResourceConflictException", message)
}

pub(super) fn function_not_found(arn: &Arn) -> Fault {
    not_found(format!("Function not found: {arn}"))
}

pub(super) fn not_provisioned() -> Fault {
    let text = "No Provisioned Concurrency Config found for this function";
    user(404, "ProvisionedConcurrencyConfigNotFoundException", text)
}

/// A runtime, or another feature of Lambda, that does not go together with SnapStart.
pub(super) fn no_snap_start(what: &str) -> Fault {
    parameter(format!("{what} is not supported for SnapStart enabled functions."))
}

pub(super) fn snap_start_not_ready() -> Fault {
    let text = "Lambda is initializing your function. You can invoke the function when the function state becomes \
                Active.";
    user(409, "SnapStartNotReadyException", text)
}

pub(super) fn recursive() -> Fault {
    let text = "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services \
                resources and stopped your function's invocation.";
    user(400, "RecursiveInvocationException", text)
}

pub(super) fn in_use(message: &str) -> Fault {
    user(400, "ResourceInUseException", message)
}

/// A function that keeps tenants apart gets an event without a tenant.
pub(super) fn no_tenant() -> Fault {
    parameter(
        "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request \
         and try again.",
    )
}

/// A function that does not is told one. AWS documents the fault, not its words.
pub(super) fn no_tenancy() -> Fault {
    parameter(
        "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request \
         and try again.",
    )
}

/// What functions that keep tenants apart cannot have. AWS documents the restriction, not its words.
pub(super) fn not_per_tenant(what: &str) -> Fault {
    parameter(format!("{what} is not supported for functions with tenant isolation mode."))
}

/// What several operations say of anything that is missing.
pub(super) fn no_such_resource() -> Fault {
    not_found("The resource you requested does not exist.")
}

pub(super) fn function_exists(name: &str) -> Fault {
    conflict(format!("Function already exist: {name}"))
}

pub(super) fn revision_mismatch() -> Fault {
    let text = "The Revision Id provided does not match the latest Revision Id. \
                Call the GetFunction/GetAlias API to retrieve the latest Revision Id";
    user(412, "PreconditionFailedException", text)
}

pub(super) fn layer_revision_mismatch() -> Fault {
    let text = "The Revision Id provided does not match the latest Revision Id. \
                Call the GetLayerPolicy API to retrieve the latest Revision Id";
    user(412, "PreconditionFailedException", text)
}

pub(super) fn update_in_progress(arn: &Arn) -> Fault {
    conflict(format!(
        "The operation cannot be performed at this time. An update is in progress for resource: {arn}"
    ))
}

pub(super) fn in_state(state: &str) -> Fault {
    conflict(format!(
        "The operation cannot be performed at this time. The function is currently in the following \
         state: {state}"
    ))
}

pub(super) fn qualifiers_differ() -> Fault {
    parameter("The derived qualifier from the function name does not match the specified qualifier.")
}

pub(super) fn other_region(theirs: &str, ours: &str) -> Fault {
    not_found(format!("Functions from '{theirs}' are not reachable in this region ('{ours}')"))
}

/// The body of an invocation is not JSON.
pub(super) fn not_json(reason: impl Display) -> Fault {
    let text = format!("Could not parse request body into json: Could not parse payload into json: {reason}");
    user(400, "InvalidRequestContentException", text)
}

pub(super) fn bad_client_context() -> Fault {
    user(400, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
}

pub(super) fn context_too_large(limit: usize) -> Fault {
    let text = format!("Client context must be at most {limit} bytes of Base64.");
    user(400, "InvalidRequestContentException", text)
}

pub(super) fn request_too_large(limit: u64, operation: &str) -> Fault {
    let text = format!("Request must be smaller than {limit} bytes for the {operation} operation");
    user(413, "RequestTooLargeException", text)
}

pub(super) fn zip_too_large(limit: u64) -> Fault {
    user(413, "RequestEntityTooLargeException", format!("Zipped size must be smaller than {limit} bytes"))
}

pub(super) fn unpacked_too_large(limit: u64) -> Fault {
    parameter(format!("Unzipped size must be smaller than {limit} bytes"))
}

/// A reference to an image that cannot be read as one.
pub(super) fn bad_image(uri: &str) -> Fault {
    parameter(format!("Source image {uri} is not valid. Provide a valid source image."))
}

/// What the registry says of an image that was to be a function, in Lambda's words.
pub(super) fn no_image(uri: &str, fault: Fault) -> Fault {
    match fault.status {
        404 => parameter(format!("Source image {uri} does not exist. Provide a valid source image.")),
        400 => bad_image(uri),
        _ => fault,
    }
}

pub(super) fn image_alone() -> Fault {
    parameter(
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.",
    )
}

pub(super) fn zip_alone() -> Fault {
    parameter("Please don't provide ImageConfig when the intended function PackageType is Zip.")
}

pub(super) fn code_storage_exceeded() -> Fault {
    user(400, "CodeStorageExceededException", "Code storage limit exceeded.")
}

pub(super) fn policy_too_long(size: usize, limit: usize) -> Fault {
    let text = format!("The final policy size ({size}) is bigger than the limit ({limit}).");
    user(400, "PolicyLengthExceededException", text)
}

pub(super) fn statement_exists(sid: &str) -> Fault {
    conflict(format!(
        "The statement id ({sid}) provided already exists. \
         Please provide a new statement id, or remove the existing statement."
    ))
}

pub(super) fn bad_principal() -> Fault {
    parameter("The provided principal was invalid. Please check the principal and try again.")
}

pub(super) fn access_denied(text: String) -> Fault {
    Fault::new(403, "AccessDeniedException", text)
}

pub(super) fn no_policy() -> Fault {
    not_found("No policy is associated with the given resource.")
}

pub(super) fn no_statement(sid: &str) -> Fault {
    not_found(format!("Statement {sid} is not found in resource policy."))
}
