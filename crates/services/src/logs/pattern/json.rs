//! Patterns over JSON events: `{ ($.level = "error" || $.level = "fatal") && $.ms > 5 }`.
//!
//! A selector names a member from the root on: `$.a.b`, `$.list[0].id`, `$.list[*].id` (any element),
//! `$.['a.b']`. A comparison with a member that is not there does not hold, whatever its operator.

use super::condition::{Condition, Operator, Value};
use super::malformed;
use mayfly_kernel::Fault;
use serde_json::Value as Document;
use std::collections::BTreeMap;

/// How deeply parentheses may nest.
const DEPTH_MAX: usize = 32;

#[derive(Debug)]
pub(in super::super) struct Json {
    expression: Expression,
}

#[derive(Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Test(Selector, Test),
}

#[derive(Debug)]
enum Test {
    Compare(Condition),
    Null,
    Exists,
    NotExists,
    Is(bool),
}

#[derive(Debug)]
struct Selector {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
    AnyElement,
}

impl Json {
    pub(super) fn parse(text: &str, regexes: &mut usize) -> Result<Json, Fault> {
        let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(malformed)?;
        let mut parser = Parser { rest: inside, regexes };
        let expression = parser.any(0)?;
        match parser.rest.trim().is_empty() {
            true => Ok(Json { expression }),
            false => Err(malformed()),
        }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        let Ok(document) = serde_json::from_str::<Document>(message) else { return false };
        document.is_object() && self.expression.holds(&document)
    }

    pub(super) fn extract(&self, message: &str) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        if let Ok(document) = serde_json::from_str::<Document>(message) {
            self.expression.extract(&document, &mut values);
        }
        values
    }
}

impl Expression {
    fn holds(&self, document: &Document) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(document)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(document)),
            Expression::Test(selector, test) => test.holds(&selector.find(document)),
        }
    }

    fn extract(&self, document: &Document, values: &mut BTreeMap<String, String>) {
        match self {
            Expression::All(parts) | Expression::Any(parts) => {
                parts.iter().for_each(|part| part.extract(document, values));
            }
            Expression::Test(selector, _) => {
                if let Some(value) = selector.find(document).first() {
                    values.insert(selector.text.clone(), scalar(value).unwrap_or_else(|| value.to_string()));
                }
            }
        }
    }
}

impl Test {
    fn holds(&self, found: &[&Document]) -> bool {
        match self {
            Test::Compare(condition) => {
                found.iter().any(|value| scalar(value).is_some_and(|text| condition.holds(&text)))
            }
            Test::Null => found.iter().any(|value| value.is_null()),
            Test::Exists => !found.is_empty(),
            Test::NotExists => found.is_empty(),
            Test::Is(wanted) => found.iter().any(|value| value.as_bool() == Some(*wanted)),
        }
    }
}

/// A value as it is compared; objects, lists and null are not.
fn scalar(value: &Document) -> Option<String> {
    match value {
        Document::String(text) => Some(text.clone()),
        Document::Number(number) => Some(number.to_string()),
        Document::Bool(truth) => Some(truth.to_string()),
        Document::Null | Document::Array(_) | Document::Object(_) => None,
    }
}

impl Selector {
    fn find<'a>(&self, document: &'a Document) -> Vec<&'a Document> {
        let mut found = vec![document];
        for step in &self.steps {
            found = match step {
                Step::Member(name) => found.into_iter().filter_map(|value| value.get(name)).collect(),
                Step::Element(index) => found.into_iter().filter_map(|value| value.get(*index)).collect(),
                Step::AnyElement => found.into_iter().filter_map(Document::as_array).flatten().collect(),
            };
        }
        found
    }
}

struct Parser<'a, 'r> {
    rest: &'a str,
    regexes: &'r mut usize,
}

impl<'a> Parser<'a, '_> {
    /// Takes `token` if it is what comes next.
    fn takes(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes words that are separated by spaces, in capitals or not.
    fn takes_words(&mut self, words: &[&str]) -> bool {
        let mut rest = self.rest;
        for word in words {
            rest = rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            if !rest[..end].eq_ignore_ascii_case(word) {
                return false;
            }
            rest = &rest[end..];
        }
        self.rest = rest;
        true
    }

    fn any(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("||") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expression, Fault> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("&&") {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expression, Fault> {
        if !self.takes("(") {
            return self.test();
        }
        if depth == DEPTH_MAX {
            return Err(malformed());
        }
        let inner = self.any(depth + 1)?;
        if self.takes(")") { Ok(inner) } else { Err(malformed()) }
    }

    fn test(&mut self) -> Result<Expression, Fault> {
        let selector = self.selector()?;
        let words: [(&[&str], Test); 5] = [
            (&["IS", "NULL"], Test::Null),
            (&["IS", "TRUE"], Test::Is(true)),
            (&["IS", "FALSE"], Test::Is(false)),
            (&["NOT", "EXISTS"], Test::NotExists),
            (&["EXISTS"], Test::Exists),
        ];
        for (words, test) in words {
            if self.takes_words(words) {
                return Ok(Expression::Test(selector, test));
            }
        }
        let (operator, rest) = Operator::take(self.rest.trim_start()).ok_or_else(malformed)?;
        let (value, rest) = Value::take(rest.trim_start(), &[')', '&', '|'], self.regexes)?;
        self.rest = rest;
        Ok(Expression::Test(selector, Test::Compare(Condition::new(operator, value)?)))
    }

    fn selector(&mut self) -> Result<Selector, Fault> {
        let start = self.rest.trim_start();
        let mut rest = start.strip_prefix('$').ok_or_else(malformed)?;
        let mut steps = Vec::new();
        loop {
            if let Some(inside) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
                let (step, after) = bracketed(inside)?;
                steps.push(step);
                rest = after;
            } else if let Some(named) = rest.strip_prefix('.') {
                let end = named.find(|c: char| !(c.is_alphanumeric() || "_-@#:/".contains(c)));
                let (name, after) = named.split_at(end.unwrap_or(named.len()));
                if name.is_empty() {
                    return Err(malformed());
                }
                steps.push(Step::Member(name.to_owned()));
                rest = after;
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Err(malformed());
        }
        self.rest = rest;
        let text = start[..start.len() - rest.len()].to_owned();
        Ok(Selector { text, steps })
    }
}

/// `0]`, `*]`, `'name']` or `"name"]`, and what follows.
fn bracketed(inside: &str) -> Result<(Step, &str), Fault> {
    for quote in ['\'', '"'] {
        if let Some(text) = inside.strip_prefix(quote) {
            let (name, rest) = text.split_once(quote).ok_or_else(malformed)?;
            let rest = rest.strip_prefix(']').ok_or_else(malformed)?;
            return Ok((Step::Member(name.to_owned()), rest));
        }
    }
    let (index, rest) = inside.split_once(']').ok_or_else(malformed)?;
    match index.trim() {
        "*" => Ok((Step::AnyElement, rest)),
        index => index.parse().map(|index| (Step::Element(index), rest)).map_err(|_| malformed()),
    }
}
