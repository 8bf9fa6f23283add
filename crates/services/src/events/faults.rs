//! The errors of EventBridge.

use crate::pattern::Invalid;
use mayfly_kernel::Fault;

pub(super) fn invalid_pattern(reason: &Invalid) -> Fault {
    let text = format!("Event pattern is not valid. Reason: {reason}");
    Fault::new(400, "InvalidEventPatternException", text)
}

pub(super) fn validation(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", text)
}

pub(super) fn denied(text: String) -> Fault {
    Fault::new(400, "AccessDeniedException", text)
}

/// Names the limit that is reached.
pub(super) fn policy_too_long(size: usize, most: usize) -> Fault {
    let text = format!("The policy would have {size} bytes; it has at most {most} (bus_policy_bytes).");
    Fault::new(400, "PolicyLengthExceededException", text)
}

pub(super) fn constraint(member: &str, value: &str, rule: &str) -> Fault {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

pub(super) fn too_many(text: impl Into<String>) -> Fault {
    Fault::new(400, "LimitExceededException", text)
}

pub(super) fn missing(text: impl Into<String>) -> Fault {
    Fault::new(400, "ResourceNotFoundException", text)
}

pub(super) fn exists(text: impl Into<String>) -> Fault {
    Fault::new(400, "ResourceAlreadyExistsException", text)
}

pub(super) fn no_bus(name: &str) -> Fault {
    missing(format!("Event bus {name} does not exist."))
}

pub(super) fn no_rule(name: &str, bus: &str) -> Fault {
    missing(format!("Rule {name} does not exist on EventBus {bus}."))
}
