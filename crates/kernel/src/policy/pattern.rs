//! Texts with wildcards and variables, as actions, resources and conditions have them.
//!
//! `*` stands for any text and `?` for any one character; `${aws:PrincipalAccount}` for what the request says
//! of that key, `${aws:username, 'nobody'}` with something for a request that says nothing, and `${*}`,
//! `${?}` and `${$}` for the signs themselves. What a variable brings is text and never a wildcard.

use super::Facts;
use crate::Arn;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Any,
    One,
    Variable { key: String, otherwise: Option<String> },
}

/// One step of a pattern whose variables are filled in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Any,
    One,
}

impl Pattern {
    pub(super) fn read(text: &str, wildcards: bool, variables: bool) -> Pattern {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            let variable = rest.strip_prefix("${").filter(|_| variables);
            if let Some((name, after)) = variable.and_then(|inside| inside.split_once('}')) {
                match name {
                    "*" | "?" | "$" => literal.push_str(name),
                    _ => {
                        flush(&mut parts, &mut literal);
                        parts.push(variable_of(name));
                    }
                }
                rest = after;
                continue;
            }
            match sign {
                '*' | '?' if wildcards => {
                    flush(&mut parts, &mut literal);
                    parts.push(if sign == '*' { Part::Any } else { Part::One });
                }
                _ => literal.push(sign),
            }
            rest = &rest[sign.len_utf8()..];
        }
        flush(&mut parts, &mut literal);
        Pattern(parts)
    }

    /// Whether the whole text is meant. A variable of which the request says nothing makes a pattern mean
    /// nothing.
    pub(super) fn matches(&self, text: &str, facts: &Facts) -> bool {
        self.filled(facts).is_some_and(|steps| walk(&steps, text.as_bytes()))
    }

    /// The same of a text that has no case and a pattern that has no variables.
    pub(super) fn matches_any_case(&self, text: &str) -> bool {
        let steps = self.filled(&Facts::default()).unwrap_or_default();
        let lower = |step: &Step| match *step {
            Step::Byte(byte) => Step::Byte(byte.to_ascii_lowercase()),
            other => other,
        };
        let steps: Vec<Step> = steps.iter().map(lower).collect();
        walk(&steps, text.to_ascii_lowercase().as_bytes())
    }

    /// The text that is meant, if it is only one.
    pub(super) fn text(&self, facts: &Facts) -> Option<String> {
        let steps = self.filled(facts)?;
        let bytes: Option<Vec<u8>> =
            steps.iter().map(|step| if let Step::Byte(byte) = step { Some(*byte) } else { None }).collect();
        String::from_utf8(bytes?).ok()
    }

    /// Part by part, as ARNs are compared: a star never reaches over one of the first five colons.
    pub(super) fn matches_arn(&self, text: &str, facts: &Facts) -> bool {
        let Some(steps) = self.filled(facts) else { return false };
        let Ok(arn) = text.parse::<Arn>() else { return walk(&steps, text.as_bytes()) };
        let is_whole = steps == [Step::Any];
        let wanted: Vec<&[Step]> = steps.splitn(6, |step| *step == Step::Byte(b':')).collect();
        let found = ["arn", &arn.partition, &arn.service, &arn.region, &arn.account, &arn.resource];
        is_whole
            || wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(steps, part)| walk(steps, part.as_bytes()))
    }

    fn filled(&self, facts: &Facts) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => steps.extend(text.bytes().map(Step::Byte)),
                Part::Any => steps.push(Step::Any),
                Part::One => steps.push(Step::One),
                Part::Variable { key, otherwise } => match facts.of(key)[..] {
                    [one] => steps.extend(one.bytes().map(Step::Byte)),
                    _ => steps.extend(otherwise.as_ref()?.bytes().map(Step::Byte)),
                },
            }
        }
        Some(steps)
    }
}

fn flush(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal)));
    }
}

fn variable_of(text: &str) -> Part {
    match text.split_once(',') {
        None => Part::Variable { key: text.trim().to_owned(), otherwise: None },
        Some((key, otherwise)) => {
            let otherwise = otherwise.trim().trim_matches('\'').to_owned();
            Part::Variable { key: key.trim().to_owned(), otherwise: Some(otherwise) }
        }
    }
}

/// As it was written, but for signs that stood for themselves.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Any => f.write_str("*")?,
                Part::One => f.write_str("?")?,
                Part::Variable { key, .. } => write!(f, "${{{key}}}")?,
            }
        }
        Ok(())
    }
}

/// Steps back to the last star only, so it is never exponential. A sign is one character, however many bytes
/// it has.
fn walk(steps: &[Step], text: &[u8]) -> bool {
    let (mut s, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        let taken = match steps.get(s) {
            Some(Step::Any) => {
                star = Some((s, t));
                s += 1;
                continue;
            }
            Some(Step::One) => character(&text[t..]),
            Some(Step::Byte(byte)) if *byte == text[t] => 1,
            Some(Step::Byte(_)) | None => 0,
        };
        if taken > 0 {
            (s, t) = (s + 1, t + taken);
            continue;
        }
        let Some((at, from)) = star else { return false };
        star = Some((at, from + 1));
        (s, t) = (at + 1, from + 1);
    }
    steps[s..].iter().all(|step| *step == Step::Any)
}

/// How many bytes the first character has.
fn character(text: &[u8]) -> usize {
    1 + text[1..].iter().take_while(|byte| **byte & 0xC0 == 0x80).count()
}
