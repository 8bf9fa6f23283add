//! Event patterns: which JSON documents a rule, a pipe, an event source mapping or a subscription wants.
//!
//! The contract is "Amazon EventBridge event patterns" in the EventBridge user guide; where it leaves a
//! question open, the answer is that of the engine AWS has published. A pattern has the shape of what it
//! matches: members are joined by *and*, the alternatives of one member by *or*, and `$or` joins objects.
//!
//! A pattern is compiled once, into rules without `$or`, each a tree of the members it asks for (`tree.rs`);
//! asking a document then allocates nothing. Names with dots are paths: `"a.b"` and `"a": {"b"}` are the
//! same, in patterns and in documents. What a pattern asks of the members of one list must hold in one and
//! the same element.
//!
//! Pure: nothing here knows of rules, buses, or who asks. Where a message is a string that holds JSON (a
//! queue's body), whoever asks parses it first.

mod compile;
mod scanner;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod value;

use serde_json::Value;
use std::fmt;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// One of them has to hold.
    rules: Vec<tree::Node>,
}

impl Pattern {
    /// Reads a pattern, or says why it is none.
    pub(crate) fn compile(text: &str) -> Result<Pattern, Invalid> {
        let rules = compile::rules(text)?;
        Ok(Pattern { rules: rules.iter().map(tree::Node::of).collect() })
    }

    /// The texts of which a member has to be one for the pattern to want a document; `None` if it may be another.
    pub(crate) fn texts_of(&self, member: &str) -> Option<Vec<&str>> {
        let mut texts = Vec::new();
        for rule in &self.rules {
            texts.extend(rule.texts_of(member)?);
        }
        texts.sort_unstable();
        texts.dedup();
        Some(texts)
    }

    /// Whether the pattern wants this document. Only an object can be wanted.
    pub(crate) fn matches(&self, document: &Value) -> bool {
        document.is_object() && self.rules.iter().any(|rule| rule.holds_for(document))
    }
}

/// Why a text is no pattern: the sentence of the published engine and, where it tells one, the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid(String);

impl Invalid {
    fn new(reason: impl Into<String>) -> Invalid {
        Invalid(reason.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
