//! Errors with a wire code.
//!
//! A fault is what a caller sees: a code that SDKs match on, an HTTP status and one exact sentence. What went
//! wrong inside stays in [`Fault::detail`], which goes to the log and never onto the wire.

use std::borrow::Cow;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The shape's name in the service's model, such as `ResourceNotFoundException`.
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    /// The code in the query protocol, where a service that speaks two has another one there.
    pub query_code: Option<&'static str>,
    /// Further members of the error's shape, such as `Type` and `Reason` of Lambda's faults.
    pub fields: Vec<(&'static str, String)>,
    /// What really happened, for the log alone.
    pub detail: Option<String>,
}

impl Fault {
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Fault {
        Fault {
            code: code.into(),
            status,
            message: message.into(),
            query_code: None,
            fields: Vec::new(),
            detail: None,
        }
    }

    /// Our failure. The caller learns only that it may try again; `doing` and `cause` go to the log.
    pub fn internal(doing: &str, cause: impl fmt::Display) -> Fault {
        Fault::new(500, "InternalFailure", "We encountered an internal error. Please try again.")
            .with_detail(format!("{doing}: {cause}"))
    }

    /// The disk or a dependency cannot take the call now; nothing of it was kept.
    pub fn unavailable(doing: &str, cause: impl fmt::Display) -> Fault {
        Fault::new(503, "ServiceUnavailable", "Mayfly cannot store data at the moment. Please try again.")
            .with_detail(format!("{doing}: {cause}"))
    }

    /// An operation that AWS has and Mayfly lacks. The supported ones are in docs/coverage.md.
    pub fn not_implemented(what: &str) -> Fault {
        Fault::new(501, "NotImplemented", format!("Mayfly does not implement {what}. See docs/coverage.md."))
    }

    pub fn with_query_code(mut self, code: &'static str) -> Fault {
        self.query_code = Some(code);
        self
    }

    pub fn with_field(mut self, name: &'static str, value: impl Into<String>) -> Fault {
        self.fields.push((name, value.into()));
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Fault {
        self.detail = Some(detail.into());
        self
    }

    /// Whether the server is to blame; a client's fault is never worth a retry as it is.
    pub fn is_server(&self) -> bool {
        self.status >= 500
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)?;
        match &self.detail {
            Some(detail) => write!(f, " [{detail}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
