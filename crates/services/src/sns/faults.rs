//! Every fault of SNS, in AWS's words.

use mayfly_kernel::Fault;

pub(super) fn invalid(what: impl std::fmt::Display) -> Fault {
    Fault::new(400, "InvalidParameter", format!("Invalid parameter: {what}"))
}

pub(super) fn attribute_value(name: &str, reason: &str) -> Fault {
    invalid(format_args!("Attributes Reason: {name}: {reason}"))
}

pub(super) fn attribute_name() -> Fault {
    invalid("AttributeName")
}

pub(super) fn denied(text: String) -> Fault {
    Fault::new(403, "AuthorizationError", text)
}

/// Of a message's attribute.
pub(super) fn message_attribute(message: impl Into<String>) -> Fault {
    Fault::new(400, "ParameterValueInvalid", message)
}

pub(super) fn no_topic() -> Fault {
    Fault::new(404, "NotFound", "Topic does not exist")
}

pub(super) fn no_subscription() -> Fault {
    Fault::new(404, "NotFound", "Subscription does not exist")
}

pub(super) fn no_resource() -> Fault {
    Fault::new(404, "ResourceNotFound", "Resource does not exist")
}

pub(super) fn too_many_subscriptions(most: usize) -> Fault {
    let text = format!("A topic has at most {most} subscriptions (sns_subscriptions)");
    Fault::new(403, "SubscriptionLimitExceeded", text)
}

pub(super) fn too_many_tags() -> Fault {
    Fault::new(400, "TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
}

pub(super) fn empty_batch() -> Fault {
    Fault::new(400, "EmptyBatchRequest", "The batch request doesn't contain any entries.")
}

pub(super) fn too_many_entries() -> Fault {
    let text = "The batch request contains more entries than permissible.";
    Fault::new(400, "TooManyEntriesInBatchRequest", text)
}

pub(super) fn ids_not_distinct() -> Fault {
    let text = "Two or more batch entries in the request have the same Id.";
    Fault::new(400, "BatchEntryIdsNotDistinct", text)
}

pub(super) fn bad_entry_id() -> Fault {
    let text = "The Id of a batch entry in a batch request doesn't abide by the specification.";
    Fault::new(400, "InvalidBatchEntryId", text)
}

pub(super) fn batch_too_long() -> Fault {
    let text = "The length of all the messages put together is more than the limit.";
    Fault::new(400, "BatchRequestTooLong", text)
}

/// Of a way to the outside that only an operator can open.
pub(super) fn no_outlet(member: &str, what: &str, section: &str) -> Fault {
    invalid(format_args!(
        "{member} Reason: this server is not set up for {what}; its configuration has no section {section}"
    ))
}

pub(super) fn no_endpoint() -> Fault {
    Fault::new(404, "NotFound", "Endpoint does not exist")
}

pub(super) fn no_application() -> Fault {
    Fault::new(404, "NotFound", "PlatformApplication does not exist")
}

pub(super) fn endpoint_disabled() -> Fault {
    Fault::new(400, "EndpointDisabled", "Endpoint is disabled")
}
