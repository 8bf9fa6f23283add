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
