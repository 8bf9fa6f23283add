//! Patterns over lines delimited by spaces: `[ip, user, ..., status = 4*, bytes > 1000]`.
//!
//! Every column has a name or a condition; an ellipsis stands for columns that do not matter. Without one,
//! the line must have exactly as many columns. What stands in quotes or square brackets is one column.

use super::condition::{Condition, Operator, Value};
use super::malformed;
use mayfly_kernel::Fault;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(in super::super) struct Columns {
    head: Vec<Column>,
    /// What follows an ellipsis.
    tail: Option<Vec<Column>>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// One of these groups must hold as a whole; none is no condition.
    any: Vec<Vec<Condition>>,
}

impl Columns {
    pub(super) fn parse(text: &str, regexes: &mut usize) -> Result<Columns, Fault> {
        let mut rest = text.strip_prefix('[').ok_or_else(malformed)?;
        let mut columns = Columns { head: Vec::new(), tail: None };
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("...") {
                if columns.tail.replace(Vec::new()).is_some() {
                    return Err(malformed());
                }
                rest = after.trim_start();
            } else {
                let (column, after) = Column::take(rest, regexes)?;
                columns.tail.as_mut().unwrap_or(&mut columns.head).push(column);
                rest = after.trim_start();
            }
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
            } else {
                return (rest == "]").then_some(columns).ok_or_else(malformed);
            }
        }
    }

    /// Each column with its text in the line, if the line has as many.
    fn assign<'a>(&'a self, line: &'a str) -> Option<Vec<(&'a Column, &'a str)>> {
        let texts = split(line);
        let tail = self.tail.as_deref().unwrap_or_default();
        let (named, actual) = (self.head.len() + tail.len(), texts.len());
        if actual < named || (self.tail.is_none() && actual > named) {
            return None;
        }
        let last = texts[actual - tail.len()..].iter();
        let pairs = self.head.iter().zip(texts.iter()).chain(tail.iter().zip(last));
        Some(pairs.map(|(column, text)| (column, *text)).collect())
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        self.assign(message).is_some_and(|pairs| pairs.iter().all(|(column, text)| column.holds(text)))
    }

    pub(super) fn extract(&self, message: &str) -> BTreeMap<String, String> {
        let pairs = self.assign(message).unwrap_or_default();
        pairs.into_iter().map(|(column, text)| (format!("${}", column.name), text.to_owned())).collect()
    }
}

impl Column {
    fn take<'a>(text: &'a str, regexes: &mut usize) -> Result<(Column, &'a str), Fault> {
        let (name, mut rest) = word(text)?;
        let mut any = Vec::new();
        let mut group = Vec::new();
        let mut first = true;
        loop {
            let conditioned = rest.trim_start();
            // Behind `&&` and `||` the column's name stands again, or nothing does.
            let conditioned = match (first, Operator::take(conditioned)) {
                (false, None) => {
                    let (again, after) = word(conditioned)?;
                    if again != name {
                        return Err(malformed());
                    }
                    after.trim_start()
                }
                (true, _) | (false, Some(_)) => conditioned,
            };
            let Some((operator, after)) = Operator::take(conditioned) else {
                if !first {
                    return Err(malformed());
                }
                return Ok((Column { name: name.to_owned(), any }, rest));
            };
            let (value, after) = Value::take(after.trim_start(), &[',', ']', '&', '|'], regexes)?;
            group.push(Condition::new(operator, value)?);
            first = false;
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix("&&") {
                rest = after;
            } else {
                any.push(std::mem::take(&mut group));
                match rest.strip_prefix("||") {
                    Some(after) => rest = after,
                    None => return Ok((Column { name: name.to_owned(), any }, rest)),
                }
            }
        }
    }

    fn holds(&self, text: &str) -> bool {
        let holds = |group: &Vec<Condition>| group.iter().all(|condition| condition.holds(text));
        self.any.is_empty() || self.any.iter().any(holds)
    }
}

fn word(text: &str) -> Result<(&str, &str), Fault> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    if end == 0 { Err(malformed()) } else { Ok(text.split_at(end)) }
}

/// The columns of a line, without the quotes or brackets around them.
fn split(line: &str) -> Vec<&str> {
    let mut columns = Vec::new();
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '"' => Some('"'),
            '[' => Some(']'),
            _ => None,
        };
        let enclosed = closing.and_then(|closing| Some((1, rest[1..].find(closing)? + 1)));
        let (start, end) = enclosed.unwrap_or((0, rest.find(char::is_whitespace).unwrap_or(rest.len())));
        columns.push(&rest[start..end]);
        rest = rest[end + start..].trim_start();
    }
    columns
}
