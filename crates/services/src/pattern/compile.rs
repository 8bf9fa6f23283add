//! From a pattern's text to rules without `$or`: one for each choice among its alternatives.

use super::Invalid;
use super::scanner::{Scanner, Token};
use super::text::{Text, Wildcard, lower};
use super::tree::Field;
use super::value::{Bound, Network, Range, Test, comparable};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a rule asks for, by path.
pub(super) type Rule = BTreeMap<String, Arc<Field>>;

/// How many rules the alternatives of a pattern may make.
const RULES_MAX: usize = 1000;

/// Names that would make a condition of what has to be an object with members.
const RESERVED: [&str; 25] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
    "$or",
];

const ONE_KEY: &str = "Only one key allowed in match expression";
const TOO_MANY: &str = "Too many elements in numeric expression";

pub(super) fn rules(text: &str) -> Result<Vec<Rule>, Invalid> {
    let mut compiler = Compiler { scanner: Scanner::new(text) };
    if compiler.scanner.next()? != Token::ObjectStart {
        return Err(compiler.scanner.fault("Filter is not an object"));
    }
    let mut rules = Vec::new();
    compiler.object(&mut rules, "", false)?;
    Ok(rules)
}

struct Compiler<'a> {
    scanner: Scanner<'a>,
}

impl Compiler<'_> {
    /// The members of an object whose beginning has been read, added to every rule there is so far.
    fn object(&mut self, rules: &mut Vec<Rule>, path: &str, inside_or: bool) -> Result<(), Invalid> {
        let mut members = 0;
        while let Token::Name(name) = self.scanner.next()? {
            members += 1;
            if name == "$or" {
                self.alternatives(rules, path)?;
                continue;
            }
            if inside_or && RESERVED.contains(&name.as_str()) {
                let reason = format!("{name} is Ruler reserved fieldName which cannot be used inside $or.");
                return Err(self.scanner.fault(reason));
            }
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match self.scanner.next()? {
                Token::ObjectStart => self.object(rules, &below, inside_or)?,
                Token::ArrayStart => {
                    let field = Arc::new(self.field(below)?);
                    if rules.is_empty() {
                        rules.push(Rule::new());
                    }
                    for rule in rules.iter_mut() {
                        rule.insert(field.path.clone(), field.clone());
                    }
                }
                _ => {
                    let reason = format!("\"{name}\" must be an object or an array");
                    return Err(self.scanner.fault(reason));
                }
            }
        }
        match members {
            0 => Err(self.scanner.fault("Empty objects are not allowed")),
            _ => Ok(()),
        }
    }

    /// `$or`: every rule so far goes on once with each of the objects.
    fn alternatives(&mut self, rules: &mut Vec<Rule>, path: &str) -> Result<(), Invalid> {
        if self.scanner.next()? != Token::ArrayStart {
            return Err(self.scanner.fault("It must be an Array followed with $or."));
        }
        let before = std::mem::take(rules);
        let mut objects = 0;
        loop {
            match self.scanner.next()? {
                Token::ObjectStart => {
                    objects += 1;
                    let mut branch = if before.is_empty() { vec![Rule::new()] } else { before.clone() };
                    self.object(&mut branch, path, true)?;
                    rules.append(&mut branch);
                    if rules.len() > RULES_MAX {
                        return Err(Invalid::new("Rule is too complex - too many combinations of $or"));
                    }
                }
                Token::ArrayEnd => break,
                _ => {
                    let reason = "Only JSON object is allowed in array of $or relationship.";
                    return Err(self.scanner.fault(reason));
                }
            }
        }
        match objects {
            0 | 1 => Err(self.scanner.fault("There must have at least 2 Objects in $or relationship.")),
            _ => Ok(()),
        }
    }

    /// The alternatives of one member, in a list whose beginning has been read.
    fn field(&mut self, path: String) -> Result<Field, Invalid> {
        let mut field = Field { path, ..Field::default() };
        loop {
            match self.scanner.next()? {
                Token::ArrayEnd if field.tests.is_empty() && !field.may_be_absent => {
                    return Err(self.scanner.fault("Empty arrays are not allowed"));
                }
                Token::ArrayEnd => return Ok(field),
                Token::ObjectStart => self.condition(&mut field)?,
                Token::Text(text) => field.tests.push(match text.parse() {
                    Ok(address) => Test::Address(address),
                    Err(_) => Test::Text(Text::Equal(text)),
                }),
                Token::Number(number, written) => field.tests.push(Test::Number(number, written)),
                Token::Null => field.tests.push(Test::Null),
                Token::True => field.tests.push(Test::Bool(true)),
                Token::False => field.tests.push(Test::Bool(false)),
                Token::ArrayStart | Token::ObjectEnd | Token::Name(_) | Token::End => {
                    let reason = "Match value must be String, number, true, false, or null";
                    return Err(self.scanner.fault(reason));
                }
            }
        }
    }

    /// `{"prefix": …}` and its like, after the brace.
    fn condition(&mut self, field: &mut Field) -> Result<(), Invalid> {
        let Token::Name(kind) = self.scanner.next()? else {
            return Err(self.scanner.fault("Match expression name not found"));
        };
        let test = match kind.as_str() {
            "exactly" => Test::Text(Text::Equal(self.text("exact")?)),
            "prefix" => Test::Text(self.end_of_text("prefix", Text::Prefix, Text::PrefixIgnoreCase)?),
            "suffix" => Test::Text(self.end_of_text("suffix", Text::Suffix, Text::SuffixIgnoreCase)?),
            "equals-ignore-case" => Test::Text(Text::EqualIgnoreCase(lowered(&self.text(&kind)?))),
            "wildcard" => Test::Text(Text::Wildcard(Wildcard::parse(&self.text(&kind)?)?)),
            "cidr" => Test::Network(Network::parse(&self.text("prefix")?)?),
            "numeric" => return self.numeric().map(|test| field.tests.push(test)),
            "anything-but" => return self.anything_but().map(|test| field.tests.push(test)),
            "exists" => {
                match self.scanner.next()? {
                    Token::True => field.tests.push(Test::Exists),
                    Token::False => field.may_be_absent = true,
                    _ => {
                        let reason = "exists match pattern must be either true or false.";
                        return Err(self.scanner.fault(reason));
                    }
                }
                return self.close(ONE_KEY);
            }
            _ => return Err(self.scanner.fault(format!("Unrecognized match type {kind}"))),
        };
        field.tests.push(test);
        self.close(ONE_KEY)
    }

    fn close(&mut self, otherwise: &str) -> Result<(), Invalid> {
        match self.scanner.next()? {
            Token::ObjectEnd => Ok(()),
            _ => Err(self.scanner.fault(otherwise)),
        }
    }

    fn text(&mut self, kind: &str) -> Result<String, Invalid> {
        match self.scanner.next()? {
            Token::Text(text) => Ok(text),
            _ => Err(self.scanner.fault(format!("{kind} match pattern must be a string"))),
        }
    }

    /// A text, or `{"equals-ignore-case": …}`.
    fn end_of_text(
        &mut self,
        kind: &str,
        exact: fn(String) -> Text,
        ignore_case: fn(String) -> Text,
    ) -> Result<Text, Invalid> {
        match self.scanner.next()? {
            Token::Text(text) => Ok(exact(text)),
            Token::ObjectStart => {
                match self.scanner.next()? {
                    Token::Name(name) if name == "equals-ignore-case" => {}
                    Token::Name(name) => {
                        let reason = format!("Unsupported anything-but pattern: {name}");
                        return Err(self.scanner.fault(reason.replace("anything-but", kind)));
                    }
                    _ => return Err(self.scanner.fault("Match expression name not found")),
                }
                let text = self.text("equals-ignore-case")?;
                self.close(ONE_KEY)?;
                Ok(ignore_case(lowered(&text)))
            }
            _ => Err(self.scanner.fault(format!("{kind} match pattern must be a string"))),
        }
    }

    fn numeric(&mut self) -> Result<Test, Invalid> {
        if self.scanner.next()? != Token::ArrayStart {
            return Err(self.scanner.fault("Value of numeric must be an array."));
        }
        let operator = match self.scanner.next()? {
            Token::Text(text) => text,
            other => {
                let reason = format!("Invalid member in numeric match: {}", written(&other));
                return Err(self.scanner.fault_behind(reason));
            }
        };
        if !["=", ">=", ">", "<=", "<"].contains(&operator.as_str()) {
            self.scanner.next()?;
            return Err(self.scanner.fault(format!("Unrecognized numeric range operator: {operator}")));
        }
        let value = self.number(if operator == "=" { "equals" } else { &operator })?;
        let mut range = Range { bottom: Bound::None, top: Bound::None };
        match operator.as_str() {
            ">=" => range.bottom = Bound::Included(value),
            ">" => range.bottom = Bound::Excluded(value),
            "<=" => range.top = Bound::Included(value),
            "<" => range.top = Bound::Excluded(value),
            _ => (range.bottom, range.top) = (Bound::Included(value), Bound::Included(value)),
        }
        match self.scanner.next()? {
            Token::ArrayEnd => {}
            next if range.top == Bound::None => range.top = self.top(value, &next)?,
            _ => return Err(self.scanner.fault(TOO_MANY)),
        }
        self.close(TOO_MANY)?;
        Ok(Test::Range(range))
    }

    fn number(&mut self, operator: &str) -> Result<f64, Invalid> {
        match self.scanner.next()? {
            Token::Number(number, _) => comparable(number).map_err(|reason| self.scanner.fault(reason)),
            _ => Err(self.scanner.fault(format!("Value of {operator} must be numeric"))),
        }
    }

    /// The upper bound of a range, from its operator to the end of the list.
    fn top(&mut self, bottom: f64, operator: &Token) -> Result<Bound, Invalid> {
        let operator = match operator {
            Token::Text(operator) => operator.as_str(),
            other => {
                let reason = format!("Bad value in numeric range: {}", written(other));
                return Err(self.scanner.fault_behind(reason));
            }
        };
        if operator != "<" && operator != "<=" {
            return Err(self.scanner.fault_behind(format!("Bad numeric range operator: {operator}")));
        }
        let top = self.number(operator)?;
        if self.scanner.next()? != Token::ArrayEnd {
            return Err(self.scanner.fault("Too many terms in numeric range expression"));
        }
        if bottom >= top {
            return Err(self.scanner.fault("Bottom must be less than top"));
        }
        Ok(if operator == "<" { Bound::Excluded(top) } else { Bound::Included(top) })
    }

    fn anything_but(&mut self) -> Result<Test, Invalid> {
        let test = match self.scanner.next()? {
            Token::ObjectStart => {
                let test = self.anything_but_texts()?;
                self.close(ONE_KEY)?;
                test
            }
            Token::Text(text) => Test::NotText(vec![Text::Equal(text)]),
            Token::Number(number, _) => {
                Test::NotNumber(vec![comparable(number).map_err(|reason| self.scanner.fault(reason))?])
            }
            Token::ArrayStart => self.anything_but_list()?,
            _ => {
                let reason = "Value of anything-but must be an array or single string/number value.";
                return Err(self.scanner.fault(reason));
            }
        };
        self.close(TOO_MANY)?;
        Ok(test)
    }

    fn anything_but_list(&mut self) -> Result<Test, Invalid> {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        loop {
            match self.scanner.next()? {
                Token::ArrayEnd => break,
                Token::Text(text) => texts.push(Text::Equal(text)),
                Token::Number(number, _) => {
                    numbers.push(comparable(number).map_err(|reason| self.scanner.fault(reason))?);
                }
                _ => {
                    let reason = "Inside anything but list, start|null|boolean is not supported.";
                    return Err(self.scanner.fault(reason));
                }
            }
        }
        match (texts.is_empty(), numbers.is_empty()) {
            (false, true) => Ok(Test::NotText(texts)),
            (true, false) => Ok(Test::NotNumber(numbers)),
            (true, true) | (false, false) => Err(self.scanner.fault(
                "Inside anything but list, either all values are number or string, mixed type is not supported",
            )),
        }
    }

    /// `{"prefix": …}` and its like inside `anything-but`, with one text or a list of them.
    fn anything_but_texts(&mut self) -> Result<Test, Invalid> {
        let Token::Name(kind) = self.scanner.next()? else {
            return Err(self.scanner.fault("Anything-But expression name not found"));
        };
        if !["prefix", "suffix", "equals-ignore-case", "wildcard"].contains(&kind.as_str()) {
            return Err(self.scanner.fault(format!("Unsupported anything-but pattern: {kind}")));
        }
        let mut texts = Vec::new();
        match self.scanner.next()? {
            Token::Text(text) => texts.push(self.but_text(&kind, text)?),
            Token::ArrayStart => loop {
                match self.scanner.next()? {
                    Token::Text(text) => texts.push(self.but_text(&kind, text)?),
                    Token::ArrayEnd => break,
                    _ => {
                        let reason =
                            "Inside anything-but/{} list, number|start|null|boolean is not supported.";
                        return Err(self.scanner.fault(reason.replace("{}", &kind)));
                    }
                }
            },
            _ => {
                let reason = "Value of {} must be an array or single string/number value.";
                return Err(self.scanner.fault(reason.replace("{}", &kind)));
            }
        }
        match texts.is_empty() {
            true => Err(self.scanner.fault("Empty arrays are not allowed")),
            false => Ok(Test::NotText(texts)),
        }
    }

    fn but_text(&self, kind: &str, text: String) -> Result<Text, Invalid> {
        match kind {
            "prefix" | "suffix" if text.is_empty() => {
                Err(self.scanner.fault_behind("Null prefix/suffix not allowed"))
            }
            "prefix" => Ok(Text::Prefix(text)),
            "suffix" => Ok(Text::Suffix(text)),
            "equals-ignore-case" => Ok(Text::EqualIgnoreCase(lowered(&text))),
            _ => Wildcard::parse(&text).map(Text::Wildcard),
        }
    }
}

fn lowered(text: &str) -> String {
    lower(text).collect()
}

/// A token as it stands in the text.
fn written(token: &Token) -> &str {
    match token {
        Token::ObjectStart => "{",
        Token::ObjectEnd => "}",
        Token::ArrayStart => "[",
        Token::ArrayEnd => "]",
        Token::Name(text) | Token::Text(text) | Token::Number(_, text) => text,
        Token::True => "true",
        Token::False => "false",
        Token::Null => "null",
        Token::End => "",
    }
}
