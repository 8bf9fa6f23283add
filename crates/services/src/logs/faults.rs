//! The errors of CloudWatch Logs.

use mayfly_kernel::Fault;

pub(super) fn no_group() -> Fault {
    Fault::new(400, "ResourceNotFoundException", "The specified log group does not exist.")
}

pub(super) fn no_stream() -> Fault {
    Fault::new(400, "ResourceNotFoundException", "The specified log stream does not exist.")
}

pub(super) fn group_exists() -> Fault {
    Fault::new(400, "ResourceAlreadyExistsException", "The specified log group already exists")
}

pub(super) fn stream_exists() -> Fault {
    Fault::new(400, "ResourceAlreadyExistsException", "The specified log stream already exists")
}

pub(super) fn invalid(text: impl Into<String>) -> Fault {
    Fault::new(400, "InvalidParameterException", text)
}

pub(super) fn constraint(member: &str, value: &str, rule: &str) -> Fault {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}
