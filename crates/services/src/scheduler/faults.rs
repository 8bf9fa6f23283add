//! The errors of EventBridge Scheduler.

use mayfly_kernel::Fault;

pub(super) fn validation(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", text)
}

pub(super) fn constraint(member: &str, value: &str, rule: &str) -> Fault {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

pub(super) fn no_schedule(name: &str) -> Fault {
    Fault::new(404, "ResourceNotFoundException", format!("Schedule {name} does not exist."))
}

pub(super) fn no_group(name: &str) -> Fault {
    Fault::new(404, "ResourceNotFoundException", format!("Schedule group {name} does not exist."))
}

pub(super) fn schedule_exists(name: &str) -> Fault {
    Fault::new(409, "ConflictException", format!("Schedule {name} already exists."))
}

pub(super) fn group_exists(name: &str) -> Fault {
    Fault::new(409, "ConflictException", format!("Schedule group {name} already exists."))
}

pub(super) fn group_is_going(name: &str) -> Fault {
    Fault::new(409, "ConflictException", format!("Schedule group {name} is being deleted."))
}

pub(super) fn bad_expression(text: &str) -> Fault {
    validation(format!("Invalid Schedule Expression {text}."))
}
