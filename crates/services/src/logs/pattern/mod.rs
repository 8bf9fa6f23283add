//! Filter patterns: which log events a search, a filter or a subscription wants.
//!
//! Three languages share one place: terms of unstructured text (`terms.rs`), conditions on the members of a
//! JSON event (`json.rs`, `{ $.level = "error" }`), and conditions on the columns of a line that is delimited
//! by spaces (`columns.rs`, `[ip, user, status = 4*]`). Each may hold regular expressions between percent
//! signs. The contract is "Filter pattern syntax" in the CloudWatch Logs user guide.
//!
//! Pure: a pattern is parsed once and asked about texts; nothing here knows of groups or streams.

mod columns;
mod condition;
mod json;
mod regex;
mod terms;
#[cfg(test)]
mod tests;

use super::faults;
use mayfly_kernel::Fault;
use std::collections::BTreeMap;

/// How long a pattern may be.
const CHARS_MAX: usize = 1024;
/// How many regular expressions a pattern may hold.
const REGEXES_MAX: usize = 2;

#[derive(Debug)]
pub(super) enum Pattern {
    Terms(terms::Terms),
    Json(json::Json),
    Columns(columns::Columns),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Pattern, Fault> {
        if text.chars().count() > CHARS_MAX {
            let rule = "Member must have length less than or equal to 1024";
            return Err(faults::constraint("filterPattern", text, rule));
        }
        let trimmed = text.trim();
        let mut regexes = 0;
        let pattern = match trimmed.chars().next() {
            Some('{') => Pattern::Json(json::Json::parse(trimmed, &mut regexes)?),
            Some('[') => Pattern::Columns(columns::Columns::parse(trimmed, &mut regexes)?),
            Some(_) | None => Pattern::Terms(terms::Terms::parse(trimmed, &mut regexes)?),
        };
        match regexes {
            0..=REGEXES_MAX => Ok(pattern),
            _ => {
                Err(faults::invalid("Invalid filter pattern: a pattern may hold up to 2 regular expressions"))
            }
        }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Pattern::Terms(terms) => terms.matches(message),
            Pattern::Json(json) => json.matches(message),
            Pattern::Columns(columns) => columns.matches(message),
        }
    }

    /// What the pattern reads from a message that matches, by the names it gives: `$.level`, `$ip`.
    pub(super) fn extract(&self, message: &str) -> BTreeMap<String, String> {
        match self {
            Pattern::Terms(_) => BTreeMap::new(),
            Pattern::Json(json) => json.extract(message),
            Pattern::Columns(columns) => columns.extract(message),
        }
    }
}

/// The fault of whatever is no pattern.
fn malformed() -> Fault {
    faults::invalid("Invalid filter pattern")
}
