//! The errors of EventBridge Pipes.

use mayfly_kernel::Fault;

pub(super) fn validation(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationException", text)
}

pub(super) fn constraint(member: &str, value: &str, rule: &str) -> Fault {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

pub(super) fn no_pipe(name: &str) -> Fault {
    Fault::new(404, "NotFoundException", format!("Pipe {name} does not exist."))
}

fn conflict(name: &str, text: String) -> Fault {
    let fault = Fault::new(409, "ConflictException", text);
    fault.with_field("resourceId", name).with_field("resourceType", "Pipe")
}

pub(super) fn exists(name: &str) -> Fault {
    conflict(name, format!("Pipe {name} already exists."))
}

pub(super) fn busy(name: &str, state: &str) -> Fault {
    conflict(name, format!("Pipe {name} is in state {state}."))
}
