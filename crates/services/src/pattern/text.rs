//! Conditions on texts: equal, beginning, end, with or without regard to case, and wildcards.

use super::Invalid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Equal(String),
    Prefix(String),
    Suffix(String),
    Wildcard(Wildcard),
    /// These three hold texts in lower case.
    EqualIgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
}

impl Text {
    pub(super) fn holds(&self, text: &str) -> bool {
        match self {
            Text::Equal(wanted) => text == wanted,
            Text::Prefix(wanted) => text.starts_with(wanted.as_str()),
            Text::Suffix(wanted) => text.ends_with(wanted.as_str()),
            Text::Wildcard(wildcard) => wildcard.holds(text),
            Text::EqualIgnoreCase(wanted) => lower(text).eq(wanted.chars()),
            Text::PrefixIgnoreCase(wanted) => begins(lower(text), wanted.chars()),
            Text::SuffixIgnoreCase(wanted) => begins(lower(text).rev(), wanted.chars().rev()),
        }
    }
}

fn begins(mut text: impl Iterator<Item = char>, mut wanted: impl Iterator<Item = char>) -> bool {
    wanted.all(|wanted| text.next() == Some(wanted))
}

/// Character by character, so that a text and its parts agree.
pub(super) fn lower(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Texts between asterisks, each of which stands for any characters or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    first: String,
    /// What follows, one piece after each asterisk.
    rest: Vec<String>,
}

impl Wildcard {
    /// `\*` and `\\` are an asterisk and a backslash. Positions count the quote before the text.
    pub(super) fn parse(text: &str) -> Result<Wildcard, Invalid> {
        let mut pieces = vec![String::new()];
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match (c, next) {
                ('*', Some('*')) => {
                    return Err(Invalid::new(format!("Consecutive wildcard characters at pos {}", at + 1)));
                }
                ('*', _) => pieces.push(String::new()),
                ('\\', Some(escaped @ ('*' | '\\'))) => {
                    chars.next();
                    push(&mut pieces, escaped);
                }
                ('\\', _) => return Err(Invalid::new(format!("Invalid escape character at pos {}", at + 1))),
                (c, _) => push(&mut pieces, c),
            }
        }
        let first = pieces.remove(0);
        Ok(Wildcard { first, rest: pieces })
    }

    fn holds(&self, text: &str) -> bool {
        let Some(mut rest) = text.strip_prefix(self.first.as_str()) else { return false };
        let Some((last, middle)) = self.rest.split_last() else { return rest.is_empty() };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

fn push(pieces: &mut [String], c: char) {
    if let Some(last) = pieces.last_mut() {
        last.push(c);
    }
}
