//! Expressions over metrics: "Using math expressions with CloudWatch metrics". Pure.
//!
//! Numbers, ids, `+ - * / ^`, parentheses, and `FILL(id, number)`, with the standard's order. A span has a
//! value only where all that it needs have one; what divides by zero has none. Other functions are refused by
//! name.

use std::collections::{BTreeMap, BTreeSet};

/// Values by the second that their span begins at.
pub(super) type Series = BTreeMap<u64, f64>;

const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Id(String),
    Minus(Box<Expr>),
    Op(Op, Box<Expr>, Box<Expr>),
    /// What is missing is this number.
    Fill(Box<Expr>, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Wrong(String),
    /// AWS knows it.
    NotHere(String),
}

pub(super) fn parse(text: &str) -> Result<Expr, Refused> {
    let mut parser = Parser { rest: text.trim_start() };
    let expr = parser.sum(0)?;
    match parser.rest.is_empty() {
        true => Ok(expr),
        false => Err(Refused::Wrong(format!("`{}` was not expected", parser.rest))),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take(&mut self, symbol: char) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// The longest beginning whose characters are all of this kind.
    fn word(&mut self, kind: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c: char| !kind(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn expect(&mut self, symbol: char) -> Result<(), Refused> {
        match self.take(symbol) {
            true => Ok(()),
            false => Err(Refused::Wrong(format!("`{symbol}` was expected before `{}`", self.rest))),
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Expr, Refused> {
        let mut left = self.product(depth)?;
        loop {
            let op = match (self.take('+'), self.rest.starts_with('-')) {
                (true, _) => Op::Add,
                (false, true) => {
                    self.take('-');
                    Op::Subtract
                }
                (false, false) => return Ok(left),
            };
            left = Expr::Op(op, Box::new(left), Box::new(self.product(depth)?));
        }
    }

    fn product(&mut self, depth: usize) -> Result<Expr, Refused> {
        let mut left = self.power(depth)?;
        loop {
            let op = match (self.take('*'), self.rest.starts_with('/')) {
                (true, _) => Op::Multiply,
                (false, true) => {
                    self.take('/');
                    Op::Divide
                }
                (false, false) => return Ok(left),
            };
            left = Expr::Op(op, Box::new(left), Box::new(self.power(depth)?));
        }
    }

    fn power(&mut self, depth: usize) -> Result<Expr, Refused> {
        let base = self.one(depth)?;
        match self.take('^') {
            true => Ok(Expr::Op(Op::Power, Box::new(base), Box::new(self.one(depth)?))),
            false => Ok(base),
        }
    }

    fn one(&mut self, depth: usize) -> Result<Expr, Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused::Wrong("it is nested too deeply".to_owned()));
        }
        if self.take('-') {
            return Ok(Expr::Minus(Box::new(self.one(depth + 1)?)));
        }
        if self.take('(') {
            let inner = self.sum(depth + 1)?;
            self.expect(')')?;
            return Ok(inner);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return self.number().map(Expr::Number);
        }
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() {
            return Err(Refused::Wrong(format!("a value was expected before `{}`", self.rest)));
        }
        if !self.take('(') {
            return match name.starts_with(|c: char| c.is_ascii_lowercase()) {
                true => Ok(Expr::Id(name.to_owned())),
                false => Err(Refused::NotHere(format!("{name} in an expression over metrics"))),
            };
        }
        if name != "FILL" {
            return Err(Refused::NotHere(format!("the function {name} in an expression over metrics")));
        }
        let filled = self.sum(depth + 1)?;
        self.expect(',')?;
        let sign = if self.take('-') { -1.0 } else { 1.0 };
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(Refused::NotHere("FILL with anything but a number".to_owned()));
        }
        let number = self.number()?;
        self.expect(')')?;
        Ok(Expr::Fill(Box::new(filled), sign * number))
    }

    fn number(&mut self) -> Result<f64, Refused> {
        let text = self.word(|c| c.is_ascii_digit() || c == '.');
        text.parse().map_err(|_| Refused::Wrong(format!("`{text}` is no number")))
    }
}

impl Expr {
    /// The ids that it names.
    pub(super) fn ids(&self) -> BTreeSet<&str> {
        match self {
            Expr::Number(_) => BTreeSet::new(),
            Expr::Id(id) => BTreeSet::from([id.as_str()]),
            Expr::Minus(one) | Expr::Fill(one, _) => one.ids(),
            Expr::Op(_, left, right) => left.ids().into_iter().chain(right.ids()).collect(),
        }
    }

    /// Its values at the spans `at`, from those of the ids.
    pub(super) fn values(&self, known: &BTreeMap<String, Series>, at: &[u64]) -> Series {
        at.iter().filter_map(|second| Some((*second, self.value(known, *second)?))).collect()
    }

    fn value(&self, known: &BTreeMap<String, Series>, at: u64) -> Option<f64> {
        let value = match self {
            Expr::Number(value) => *value,
            Expr::Id(id) => *known.get(id)?.get(&at)?,
            Expr::Minus(one) => -one.value(known, at)?,
            Expr::Fill(one, missing) => one.value(known, at).unwrap_or(*missing),
            Expr::Op(op, left, right) => {
                let (left, right) = (left.value(known, at)?, right.value(known, at)?);
                match op {
                    Op::Add => left + right,
                    Op::Subtract => left - right,
                    Op::Multiply => left * right,
                    Op::Divide => left / right,
                    Op::Power => left.powf(right),
                }
            }
        };
        value.is_finite().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, values: &[(&str, Option<f64>)]) -> Option<f64> {
        let known = values.iter().map(|(id, value)| {
            ((*id).to_owned(), value.map(|value| (0, value)).into_iter().collect::<Series>())
        });
        parse(text).unwrap().values(&known.collect(), &[0]).get(&0).copied()
    }

    #[test]
    fn expressions_mean_what_they_do_on_paper() {
        let known = [("e", Some(3.0)), ("i", Some(12.0)), ("none", None), ("zero", Some(0.0))];
        assert_eq!(at("100 * e / i", &known), Some(25.0));
        assert_eq!(at("1 - 2 - 3", &known), Some(-4.0));
        assert_eq!(at("(1 + e) * -2 ^ 2", &known), Some(16.0));
        assert_eq!(at("e / zero", &known), None);
        assert_eq!(at("e + none", &known), None);
        assert_eq!(at("e + FILL(none, 4)", &known), Some(7.0));
        assert_eq!(parse("a + b * a").unwrap().ids(), BTreeSet::from(["a", "b"]));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "1 +", "(1", "1 2", "a)", "1.2.3", "FILL(a 1)"] {
            assert!(matches!(parse(text), Err(Refused::Wrong(_))), "{text}");
        }
        for text in ["SUM(METRICS())", "RATE(a)", "FILL(a, REPEAT)", "SELECT AVG(x)"] {
            assert!(matches!(parse(text), Err(Refused::NotHere(_))), "{text}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"-".repeat(100_000)).is_err());
    }
}
