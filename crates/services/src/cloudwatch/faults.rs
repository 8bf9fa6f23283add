//! The errors of CloudWatch. Its clients know them by the codes of the query protocol, whatever they speak.

use mayfly_kernel::Fault;

fn fault(code: &'static str, query_code: &'static str, text: impl Into<String>) -> Fault {
    Fault::new(400, code, text).with_query_code(query_code)
}

pub(super) fn validation(text: impl Into<String>) -> Fault {
    Fault::new(400, "ValidationError", text)
}

pub(super) fn bad_value(text: impl Into<String>) -> Fault {
    fault("InvalidParameterValueException", "InvalidParameterValue", text)
}

pub(super) fn bad_combination(text: impl Into<String>) -> Fault {
    fault("InvalidParameterCombinationException", "InvalidParameterCombination", text)
}

pub(super) fn missing(member: &str) -> Fault {
    let text = format!("The parameter {member} is required.");
    fault("MissingRequiredParameterException", "MissingParameter", text)
}

pub(super) fn bad_token() -> Fault {
    fault("InvalidNextToken", "InvalidNextToken", "The next token is not valid.")
}

pub(super) fn no_alarm(name: &str) -> Fault {
    Fault::new(404, "ResourceNotFound", format!("Unknown alarm: {name}"))
}

pub(super) fn no_resource(arn: &str) -> Fault {
    Fault::new(404, "ResourceNotFoundException", format!("There is no such resource: {arn}"))
}

pub(super) fn too_many(text: impl Into<String>) -> Fault {
    fault("LimitExceededFault", "LimitExceeded", text)
}
