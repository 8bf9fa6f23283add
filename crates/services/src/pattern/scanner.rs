//! Reads a pattern's JSON token by token, and knows where it is.
//!
//! A general parser would do but for the places in error messages: clients see the line and column of the
//! parser that AWS uses, which reads ahead after a name, and reads texts only when asked for them.

use super::Invalid;

/// How deeply a pattern may nest.
const DEPTH_MAX: usize = 128;
/// How much of a pattern an error message repeats.
const EXCERPT_CHARS: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// A member's name; its value is the next token.
    Name(String),
    Text(String),
    Number(f64, String),
    True,
    False,
    Null,
    /// The end of the whole text.
    End,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Object,
    Array,
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the parser of AWS would be.
    told: usize,
    open: Vec<Inside>,
    /// Whether a separator has to come before the next member or element.
    after_value: bool,
    after_name: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0, told: 0, open: Vec::new(), after_value: false, after_name: false }
    }

    /// A fault at the token that was read last.
    pub(super) fn fault(&self, reason: impl AsRef<str>) -> Invalid {
        self.fault_at(self.told, reason)
    }

    /// A fault behind the token that was read last, of which the text has been looked at.
    pub(super) fn fault_behind(&self, reason: impl AsRef<str>) -> Invalid {
        self.fault_at(self.at, reason)
    }

    fn fault_at(&self, at: usize, reason: impl AsRef<str>) -> Invalid {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].encode_utf16().count() + 1;
        let chars = self.text.chars().count();
        let excerpt: String = self.text.chars().take(EXCERPT_CHARS).collect();
        let cut = match chars.saturating_sub(EXCERPT_CHARS) {
            0 => String::new(),
            more => format!("[truncated {more} chars]"),
        };
        let reason = reason.as_ref();
        Invalid(format!("{reason}\n at [Source: (String)\"{excerpt}\"{cut}; line: {line}, column: {column}]"))
    }

    pub(super) fn next(&mut self) -> Result<Token, Invalid> {
        self.skip_space();
        if self.open.is_empty() && self.after_value {
            return Ok(Token::End);
        }
        let inside = self.open.last().copied();
        if self.after_name {
            self.after_name = false;
            return self.value();
        }
        match (inside, self.peek()) {
            (Some(Inside::Object), Some(b'}')) => return Ok(self.close(Token::ObjectEnd)),
            (Some(Inside::Array), Some(b']')) => return Ok(self.close(Token::ArrayEnd)),
            _ => {}
        }
        if self.after_value {
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(_) => {
                    let parent = if inside == Some(Inside::Object) { "Object" } else { "Array" };
                    let wanted = format!("was expecting comma to separate {parent} entries");
                    return Err(self.unexpected(&wanted));
                }
                None => return Err(self.ended()),
            }
            self.skip_space();
        }
        match inside {
            Some(Inside::Object) => self.name(),
            Some(Inside::Array) | None => self.value(),
        }
    }

    fn close(&mut self, token: Token) -> Token {
        self.at += 1;
        self.told = self.at;
        self.open.pop();
        self.after_value = true;
        token
    }

    fn name(&mut self) -> Result<Token, Invalid> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("was expecting double-quote to start field name")),
            None => return Err(self.ended()),
        }
        let name = self.string()?;
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => {
                return Err(self.unexpected("was expecting a colon to separate field name and value"));
            }
            None => return Err(self.ended()),
        }
        self.skip_space();
        self.told = match self.peek() {
            Some(b'"' | b'{' | b'[') => self.at + 1,
            Some(_) | None => self.at + self.word().len(),
        };
        (self.after_name, self.after_value) = (true, false);
        Ok(Token::Name(name))
    }

    fn value(&mut self) -> Result<Token, Invalid> {
        self.after_value = true;
        let Some(first) = self.peek() else { return Err(self.ended()) };
        match first {
            b'{' | b'[' => {
                self.at += 1;
                self.told = self.at;
                self.after_value = false;
                let inside = if first == b'{' { Inside::Object } else { Inside::Array };
                self.open.push(inside);
                if self.open.len() > DEPTH_MAX {
                    return Err(self.fault("The pattern is nested too deeply"));
                }
                Ok(if first == b'{' { Token::ObjectStart } else { Token::ArrayStart })
            }
            b'"' => {
                let told = self.at + 1;
                let text = self.string()?;
                self.told = told;
                Ok(Token::Text(text))
            }
            _ => self.literal(),
        }
    }

    /// Letters, digits and what else numbers are made of.
    fn word(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
        &rest[..end.unwrap_or(rest.len())]
    }

    fn literal(&mut self) -> Result<Token, Invalid> {
        let word = self.word();
        let token = match word {
            "true" => Token::True,
            "false" => Token::False,
            "null" => Token::Null,
            _ => match serde_json::from_str::<serde_json::Number>(word).ok().and_then(|n| n.as_f64()) {
                Some(number) => Token::Number(number, word.to_owned()),
                None => return Err(self.no_value(word)),
            },
        };
        self.at += word.len();
        self.told = self.at;
        Ok(token)
    }

    fn no_value(&self, word: &str) -> Invalid {
        let known = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let reason = format!("Unrecognized token '{word}': was expecting {known}");
            return self.fault_at(self.at + word.len(), reason);
        }
        self.unexpected(&format!("expected a valid value {known}"))
    }

    /// A text in quotes, from the quote that is next.
    fn string(&mut self) -> Result<String, Invalid> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        if end >= bytes.len() {
            let reason = "Unexpected end-of-input: was expecting closing quote for a string value";
            return Err(self.fault_at(bytes.len(), reason));
        }
        self.at = end + 1;
        serde_json::from_str(&self.text[start..self.at]).map_err(|_| {
            self.fault_at(self.at, "Illegal unquoted character or unrecognized escape in a string value")
        })
    }

    fn unexpected(&self, wanted: &str) -> Invalid {
        let found = self.text[self.at..].chars().next().unwrap_or('\0');
        let at = self.at + found.len_utf8();
        let code = u32::from(found);
        self.fault_at(at, format!("Unexpected character ('{found}' (code {code})): {wanted}"))
    }

    fn ended(&self) -> Invalid {
        let what = match self.open.last() {
            Some(Inside::Object) => "Unexpected end-of-input: expected close marker for Object",
            Some(Inside::Array) => "Unexpected end-of-input: expected close marker for Array",
            None => "Filter is not an object",
        };
        self.fault_at(self.text.len(), what)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}
