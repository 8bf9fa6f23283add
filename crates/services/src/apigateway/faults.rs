//! The errors of API Gateway v2.

use mayfly_kernel::Fault;

pub(super) fn not_found(kind: &str, id: &str) -> Fault {
    let text = format!("Invalid {kind} identifier specified {id}");
    Fault::new(404, "NotFoundException", text)
}

pub(super) fn bad(text: impl Into<String>) -> Fault {
    Fault::new(400, "BadRequestException", text)
}

pub(super) fn conflict(text: impl Into<String>) -> Fault {
    Fault::new(409, "ConflictException", text)
}

pub(super) fn too_many(what: &str, limit: usize) -> Fault {
    Fault::new(429, "LimitExceededException", format!("An API may have at most {limit} {what}"))
}
