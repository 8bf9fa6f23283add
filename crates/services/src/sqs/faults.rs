//! The errors of SQS: in JSON by their shapes' names, in the query protocol by their older codes.

use mayfly_kernel::Fault;

fn fault(code: &'static str, query_code: &'static str, message: impl Into<String>) -> Fault {
    Fault::new(400, code, message).with_query_code(query_code)
}

pub(super) fn no_queue() -> Fault {
    let code = "AWS.SimpleQueueService.NonExistentQueue";
    fault("QueueDoesNotExist", code, "The specified queue does not exist.")
}

pub(super) fn queue_exists(attribute: &str) -> Fault {
    let text =
        format!("A queue already exists with the same name and a different value for attribute {attribute}");
    fault("QueueNameExists", "QueueAlreadyExists", text)
}

pub(super) fn bad_queue_name() -> Fault {
    invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
}

pub(super) fn fifo_name() -> Fault {
    invalid(
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
    )
}

pub(super) fn denied(text: String) -> Fault {
    Fault::new(403, "AccessDenied", text)
}

/// `InvalidParameterValue`, which has no shape of its own.
pub(super) fn invalid(message: impl Into<String>) -> Fault {
    fault("InvalidParameterValueException", "InvalidParameterValue", message)
}

pub(super) fn parameter(name: &str, value: impl std::fmt::Display, reason: &str) -> Fault {
    invalid(format!("Value {value} for parameter {name} is invalid. Reason: {reason}"))
}

pub(super) fn missing(name: &str) -> Fault {
    let text = format!("The request must contain the parameter {name}.");
    fault("MissingParameter", "MissingParameter", text)
}

pub(super) fn attribute_name(name: &str) -> Fault {
    fault("InvalidAttributeName", "InvalidAttributeName", format!("Unknown Attribute {name}."))
}

pub(super) fn attribute_value(name: &str) -> Fault {
    let text = format!("Invalid value for the parameter {name}.");
    fault("InvalidAttributeValue", "InvalidAttributeValue", text)
}

pub(super) fn bad_handle(handle: &str) -> Fault {
    let text = format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
    fault("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", text)
}

pub(super) fn expired_handle(handle: &str) -> Fault {
    parameter("ReceiptHandle", handle, "The receipt handle has expired.")
}

pub(super) fn no_message(handle: &str) -> Fault {
    let reason = "Message does not exist or is not available for visibility timeout change.";
    parameter("ReceiptHandle", handle, reason)
}

pub(super) fn not_in_flight() -> Fault {
    let code = "AWS.SimpleQueueService.MessageNotInflight";
    fault("MessageNotInflight", code, "The specified message isn't in flight.")
}

/// Names the limit that is reached.
pub(super) fn over_limit(what: &str, limit: &str, most: impl std::fmt::Display) -> Fault {
    fault("OverLimit", "OverLimit", format!("{what}: at most {most} ({limit})."))
}

pub(super) fn bad_contents() -> Fault {
    let text = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | \
                #xE000 to #xFFFD | #x10000 to #x10FFFF.";
    fault("InvalidMessageContents", "InvalidMessageContents", text)
}

pub(super) fn too_long(most: u64) -> Fault {
    invalid(format!("One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."))
}

pub(super) fn empty_batch() -> Fault {
    let code = "AWS.SimpleQueueService.EmptyBatchRequest";
    fault("EmptyBatchRequest", code, "There should be at least one entry in the request.")
}

pub(super) fn too_many_entries(sent: usize) -> Fault {
    let text = format!("Maximum number of entries per request are 10. You have sent {sent}.");
    fault("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", text)
}

pub(super) fn ids_not_distinct(id: &str) -> Fault {
    let code = "AWS.SimpleQueueService.BatchEntryIdsNotDistinct";
    fault("BatchEntryIdsNotDistinct", code, format!("Id {id} repeated."))
}

pub(super) fn bad_entry_id() -> Fault {
    let text = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be \
                at most 80 letters long.";
    fault("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", text)
}

pub(super) fn batch_too_long(most: u64, sent: u64) -> Fault {
    let text = format!(
        "Batch requests cannot be longer than {most} bytes. You have sent {sent} bytes. (sqs_message_bytes)"
    );
    fault("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", text)
}

pub(super) fn unsupported(text: &str) -> Fault {
    fault("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", text)
}

pub(super) fn no_resource(text: &str) -> Fault {
    fault("ResourceNotFoundException", "ResourceNotFoundException", text)
}
