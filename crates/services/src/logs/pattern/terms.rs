//! Patterns of unstructured text: terms that must, may or must not occur.
//!
//! `ERROR timeout` wants both, `?ERROR ?WARN` any, `-DEBUG` none, `"two words"` one phrase, and `%5\d\d%` a regular
//! expression. Terms are case sensitive. Beside other terms, those with a question mark are ignored, as AWS
//! does.

use super::{faults, malformed, regex};
use mayfly_kernel::Fault;
use regex_lite::Regex;

#[derive(Debug, Default)]
pub(in super::super) struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Term {
    fn occurs(&self, message: &str) -> bool {
        match self {
            Term::Text(text) => message.contains(text.as_str()),
            Term::Regex(regex) => regex.is_match(message),
        }
    }
}

impl Terms {
    pub(super) fn parse(text: &str, regexes: &mut usize) -> Result<Terms, Fault> {
        let mut terms = Terms::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let list = match first {
                '?' => &mut terms.any,
                '-' => &mut terms.none,
                _ => &mut terms.all,
            };
            if matches!(first, '?' | '-') {
                rest = &rest[1..];
            }
            let (term, after) = match regex::take(rest)? {
                Some((regex, after)) => {
                    *regexes += 1;
                    (Term::Regex(regex), after)
                }
                None => {
                    let (text, after) = word(rest)?;
                    (Term::Text(text), after)
                }
            };
            list.push(term);
            rest = after.trim_start();
        }
        Ok(terms)
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let occurs = |term: &Term| term.occurs(message);
        if self.all.is_empty() && self.none.is_empty() {
            return self.any.is_empty() || self.any.iter().any(occurs);
        }
        self.all.iter().all(occurs) && !self.none.iter().any(occurs)
    }
}

/// A word or a quoted phrase at the beginning, and what follows it.
fn word(text: &str) -> Result<(String, &str), Fault> {
    if text.starts_with('"') {
        return quoted(text).ok_or_else(malformed);
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let plain = |c: char| c == '_' || !c.is_ascii_punctuation();
    match !word.is_empty() && word.chars().all(plain) {
        true => Ok((word.to_owned(), rest)),
        false => Err(faults::invalid(format!("Invalid character(s) in term '{word}'"))),
    }
}

/// The text in quotes at the beginning, where a backslash makes the next character plain, and what follows.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut phrase = String::new();
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return Some((phrase, &inside[at + 1..])),
            '\\' if !escaped => escaped = true,
            _ => {
                phrase.push(c);
                escaped = false;
            }
        }
    }
    None
}
