//! Filter patterns of unstructured text: terms that must, may or must not occur.
//!
//! `ERROR timeout` wants both, `?ERROR ?WARN` any, `-DEBUG` none, and `"two words"` one phrase. Terms are case
//! sensitive. Patterns over JSON (`{ … }`) and columns (`[ … ]`) are refused.

use mayfly_kernel::Fault;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Pattern, Fault> {
        let text = text.trim();
        if text.starts_with(['{', '[', '%']) {
            return Err(Fault::not_implemented("filter patterns over JSON, columns or regular expressions"));
        }
        let mut pattern = Pattern::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let kind = match first {
                '?' | '-' => {
                    rest = &rest[1..];
                    first
                }
                _ => '+',
            };
            let (term, after) = term(rest);
            match kind {
                _ if term.is_empty() => {}
                '?' => pattern.any.push(term),
                '-' => pattern.none.push(term),
                _ => pattern.all.push(term),
            }
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let has = |term: &String| message.contains(term.as_str());
        self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && !self.none.iter().any(has)
    }
}

/// The first term and what follows it.
fn term(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut term = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => return (term, &quoted[at + 1..]),
            '\\' if !escaped => escaped = true,
            _ => {
                term.push(c);
                escaped = false;
            }
        }
    }
    (term, "")
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn terms_must_may_or_must_not_occur() {
        let matches = |pattern: &str, message: &str| Pattern::parse(pattern).unwrap().matches(message);
        assert!(matches("", "anything"));
        assert!(matches("ERROR timeout", "timeout ERROR"));
        assert!(!matches("ERROR timeout", "ERROR"));
        assert!(matches("?ERROR ?WARN", "a WARN"));
        assert!(!matches("?ERROR ?WARN", "an INFO"));
        assert!(!matches("ERROR -retry", "ERROR, will retry"));
        assert!(matches(r#""two \"words\"""#, r#"these two "words" here"#));
        assert!(!matches(r#""two words""#, "words two"));
        assert!(Pattern::parse("{ $.level = \"ERROR\" }").is_err());
    }
}
