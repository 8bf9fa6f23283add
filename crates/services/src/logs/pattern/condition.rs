//! What a member of a JSON event or a column of a line is compared with.

use super::{malformed, regex, terms};
use mayfly_kernel::Fault;
use regex_lite::Regex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// The operator at the beginning of `text`, and what follows it.
    pub(super) fn take(text: &str) -> Option<(Operator, &str)> {
        const SIGNS: [(&str, Operator); 6] = [
            ("!=", Operator::NotEqual),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        SIGNS.iter().find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::AtMost => left <= right,
            Operator::Greater => left > right,
            Operator::AtLeast => left >= right,
        }
    }
}

#[derive(Debug)]
pub(super) enum Value {
    Number {
        number: f64,
        text: String,
    },
    /// An asterisk stands for any characters.
    Text(String),
    Regex(Regex),
}

impl Value {
    /// The value at the beginning of `text`, which ends before one of `ends` or a space unless it is quoted.
    pub(super) fn take<'a>(
        text: &'a str,
        ends: &[char],
        regexes: &mut usize,
    ) -> Result<(Value, &'a str), Fault> {
        if let Some((regex, rest)) = regex::take(text)? {
            *regexes += 1;
            return Ok((Value::Regex(regex), rest));
        }
        if text.starts_with('"') {
            let (phrase, rest) = terms::quoted(text).ok_or_else(malformed)?;
            return Ok((Value::Text(phrase), rest));
        }
        let end = text.find(|c: char| c.is_whitespace() || ends.contains(&c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        match (word.is_empty(), number(word)) {
            (true, _) => Err(malformed()),
            (false, Some(number)) => Ok((Value::Number { number, text: word.to_owned() }, rest)),
            (false, None) => Ok((Value::Text(word.to_owned()), rest)),
        }
    }
}

/// Digits with a sign, a fraction or an exponent; not the words that Rust reads as numbers.
fn number(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(['-', '+']).starts_with(|c: char| c.is_ascii_digit() || c == '.');
    digits.then(|| text.parse().ok()).flatten()
}

#[derive(Debug)]
pub(super) struct Condition {
    operator: Operator,
    value: Value,
}

impl Condition {
    /// Only equality makes sense of texts.
    pub(super) fn new(operator: Operator, value: Value) -> Result<Condition, Fault> {
        match (&value, operator) {
            (Value::Number { .. }, _) | (_, Operator::Equal | Operator::NotEqual) => {
                Ok(Condition { operator, value })
            }
            (Value::Text(_) | Value::Regex(_), _) => Err(malformed()),
        }
    }

    pub(super) fn holds(&self, actual: &str) -> bool {
        let same = match &self.value {
            Value::Number { number: wanted, text } => match number(actual) {
                Some(actual) => return self.operator.holds(actual, *wanted),
                None => actual == text,
            },
            Value::Text(wanted) => resembles(actual, wanted),
            Value::Regex(regex) => regex.is_match(actual),
        };
        match self.operator {
            Operator::Equal => same,
            Operator::NotEqual => !same,
            Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => false,
        }
    }
}

/// Whether `text` is `wanted`, in which an asterisk stands for any characters. Each stretch between asterisks
/// is found as early as possible, so this never goes back.
fn resembles(text: &str, wanted: &str) -> bool {
    let Some((head, tail)) = wanted.split_once('*') else { return text == wanted };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut stretches: Vec<&str> = tail.split('*').collect();
    let last = stretches.pop().unwrap_or_default();
    for stretch in stretches {
        match rest.find(stretch) {
            Some(at) => rest = &rest[at + stretch.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
