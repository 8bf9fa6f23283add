//! Regular expressions in filter patterns, `%…%`: the characters and operators that AWS documents, no groups.

use super::{faults, malformed};
use mayfly_kernel::Fault;
use regex_lite::Regex;

const SYMBOLS: &str = ":_#=@/;,- ";
const OPERATORS: &str = "^$?[]{}|\\*+.";

/// `text` is what stands between the percent signs. Finding takes time linear in the message.
pub(super) fn compile(text: &str) -> Result<Regex, Fault> {
    let mut escaped = false;
    for c in text.chars() {
        // Behind a backslash any printable character stands for itself or for a class.
        let fits = c.is_ascii_alphanumeric() || SYMBOLS.contains(c) || OPERATORS.contains(c);
        if !(fits || escaped && c.is_ascii_graphic()) {
            return Err(faults::invalid(format!("Invalid character(s) in regular expression '{text}'")));
        }
        escaped = c == '\\' && !escaped;
    }
    match text.is_empty() {
        true => Err(malformed()),
        false => Regex::new(text).map_err(|_| malformed()),
    }
}

/// A regular expression at the beginning of `text`, and what follows it; `None` if none begins here.
pub(super) fn take(text: &str) -> Result<Option<(Regex, &str)>, Fault> {
    let Some(inside) = text.strip_prefix('%') else { return Ok(None) };
    let (expression, rest) = inside.split_once('%').ok_or_else(malformed)?;
    compile(expression).map(|regex| Some((regex, rest)))
}
