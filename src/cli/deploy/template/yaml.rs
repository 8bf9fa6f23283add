//! From the text of a template to its tree. JSON templates come the same way, since YAML 1.2 includes JSON.
//!
//! A small reader over parser events rather than a deserialiser, for three things a deserialiser gives up:
//! the line of every value, CloudFormation's tags, and the spelling of scalars (`012` is an account's digits,
//! not a number). Aliases are copied under a budget, so a bomb of nested aliases is an error and not an
//! exhausted machine.

use super::node::{Entry, Node, Problem, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// What a template may weigh with its aliases copied out: one for each value, and one for each byte of text.
const WEIGHT_LIMIT: usize = 8 * 1024 * 1024;
const DEPTH_LIMIT: usize = 64;

/// The short tags, and what each stands for.
const TAGS: &[(&str, &str)] = &[
    ("Ref", "Ref"),
    ("Condition", "Condition"),
    ("Sub", "Fn::Sub"),
    ("GetAtt", "Fn::GetAtt"),
    ("Join", "Fn::Join"),
    ("If", "Fn::If"),
    ("Equals", "Fn::Equals"),
    ("And", "Fn::And"),
    ("Or", "Fn::Or"),
    ("Not", "Fn::Not"),
    ("FindInMap", "Fn::FindInMap"),
    ("Select", "Fn::Select"),
    ("Split", "Fn::Split"),
    ("Base64", "Fn::Base64"),
    ("ImportValue", "Fn::ImportValue"),
    ("GetAZs", "Fn::GetAZs"),
    ("Cidr", "Fn::Cidr"),
    ("Transform", "Fn::Transform"),
];

/// Reads the one document of `text`.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), weight: 0 };
    let mut document = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            _ if document.is_some() => {
                return Err(Problem::new(
                    line(&span),
                    "a template is one document; a second one starts here",
                ));
            }
            event => document = Some(reader.node(event, &span, 0)?),
        }
    }
    document.ok_or_else(|| Problem::new(1, "the template is empty"))
}

struct Reader<'a, I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> {
    events: I,
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
}

impl<'a, I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<'a, I> {
    /// The next event that is not a comment.
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problem> {
        loop {
            match self.events.next() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(Some(next)),
                Some(Err(error)) => return Err(Problem::new(error.marker().line(), error.info())),
            }
        }
    }

    fn expect(&mut self, after: usize) -> Result<(Event<'a>, Span), Problem> {
        self.next()?.ok_or_else(|| Problem::new(after, "the template ends in the middle of a value"))
    }

    fn charge(&mut self, line: usize, weight: usize) -> Result<(), Problem> {
        self.weight += weight;
        if self.weight > WEIGHT_LIMIT {
            let what =
                format!("the template is larger than {WEIGHT_LIMIT} bytes with its aliases written out");
            return Err(Problem::new(line, what));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Problem> {
        let line = line(span);
        if depth > DEPTH_LIMIT {
            return Err(Problem::new(line, format!("nested deeper than {DEPTH_LIMIT} levels")));
        }
        let before = self.weight;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.charge(line, 1 + text.len())?;
                (tagged(Node::new(line, scalar(&text, style, tag.as_deref())), tag)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.charge(line, 1)?;
                (tagged(self.list(line, depth)?, tag)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.charge(line, 1)?;
                (tagged(self.map(line, depth)?, tag)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, line),
            _ => return Err(Problem::new(line, "a value is expected here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.weight - before));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, Problem> {
        // The weight is charged before the copy is made.
        let Some((_, weight)) = self.anchors.get(&anchor) else {
            return Err(Problem::new(line, "an alias may not stand inside the value it names"));
        };
        self.charge(line, *weight)?;
        Ok(self.anchors[&anchor].0.clone())
    }

    fn list(&mut self, line: usize, depth: usize) -> Result<Node, Problem> {
        let mut items = Vec::new();
        loop {
            match self.expect(line)? {
                (Event::SequenceEnd, _) => return Ok(Node::list(line, items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, line: usize, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.expect(line)?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, &span, depth + 1)?;
            let name = key.scalar().ok_or_else(|| Problem::new(key.line, "a key must be a plain string"))?;
            let (event, span) = self.expect(line)?;
            let node = self.node(event, &span, depth + 1)?;
            if name == "<<" {
                merges.push(node);
            } else if entries.iter().any(|entry| entry.key == name) {
                return Err(Problem::new(key.line, format!("`{name}` is given twice")));
            } else {
                entries.push(Entry { key: name, line: key.line, node });
            }
        }
        merge(&mut entries, merges)?;
        Ok(Node::new(line, Value::Map(entries)))
    }
}

/// YAML's merge keys: what `<<` brings yields to what the map says itself.
fn merge(entries: &mut Vec<Entry>, merges: Vec<Node>) -> Result<(), Problem> {
    for merged in merges {
        let line = merged.line;
        let sources = match merged.value {
            Value::List(items) => items,
            value => vec![Node::new(line, value)],
        };
        for source in sources {
            let Value::Map(inherited) = source.value else {
                return Err(Problem::new(line, "`<<` takes a map or a list of maps"));
            };
            for entry in inherited {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
    Ok(())
}

fn line(span: &Span) -> usize {
    span.tag_start.map_or(span.start.line(), |tag| tag.line().min(span.start.line()))
}

/// Puts a tagged value into the long form of its tag.
fn tagged(node: Node, tag: Option<Cow<'_, Tag>>) -> Result<Node, Problem> {
    let Some(tag) = tag else { return Ok(node) };
    if tag.is_yaml_core_schema() || tag.suffix().is_empty() {
        return Ok(node);
    }
    let line = node.line;
    let Some((_, function)) = TAGS.iter().find(|(short, _)| tag.handle() == "!" && *short == tag.suffix())
    else {
        let known: Vec<String> = TAGS.iter().map(|(short, _)| format!("!{short}")).collect();
        let what = format!("unknown tag `{}{}`; known are {}", tag.handle(), tag.suffix(), known.join(" "));
        return Err(Problem::new(line, what));
    };
    Ok(Node::map(line, [(function, node)]))
}

/// A plain scalar is a number only if the number is written exactly so; everything else keeps its spelling.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    if style != ScalarStyle::Plain || tag.is_some() {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Flag(true),
        "false" | "False" | "FALSE" => Value::Flag(false),
        _ => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) if number.to_string() == text => Value::Number(number),
            _ => Value::Text(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> serde_json::Value {
        parse(text).unwrap().to_json()
    }

    #[test]
    fn short_tags_take_their_long_form() {
        assert_eq!(read("!Sub '${A}-b'"), json!({"Fn::Sub": "${A}-b"}));
        assert_eq!(read("Arn: !GetAtt Thumb.Arn"), json!({"Arn": {"Fn::GetAtt": "Thumb.Arn"}}));
        assert_eq!(
            read("!If [Prod, !Ref A, !Join ['-', [a, !Select [0, !Split [',', 'x,y']]]]]"),
            json!({"Fn::If": ["Prod", {"Ref": "A"},
                {"Fn::Join": ["-", ["a", {"Fn::Select": [0, {"Fn::Split": [",", "x,y"]}]}]]}]})
        );
        assert_eq!(read("!Not [!Condition Prod]"), json!({"Fn::Not": [{"Condition": "Prod"}]}));
    }

    #[test]
    fn a_scalar_keeps_its_spelling() {
        let text = "{a: 012, b: 1.10, c: 128, d: yes, e: 'true', f: true, g: 2010-09-09, \
            h: , i: 0x1f, j: 1_000, k: 1.5}";
        let expected = json!({"a": "012", "b": "1.10", "c": 128, "d": "yes", "e": "true", "f": true,
            "g": "2010-09-09", "h": null, "i": "0x1f", "j": "1_000", "k": 1.5});
        assert_eq!(read(text), expected);
    }

    #[test]
    fn json_is_read_too_and_keeps_its_lines() {
        let text = "{\n\t\"Resources\": {\n\t\t\"B\": \
            {\"Type\": \"AWS::S3::Bucket\", \"X\": \"\\ud83d\\ude00 \\/\"}\n\t}\n}";
        let node = parse(text).unwrap();
        assert_eq!(node.to_json(), json!({"Resources": {"B": {"Type": "AWS::S3::Bucket", "X": "😀 /"}}}));
        assert_eq!(node.line_of(&["Resources", "B"]), 3);
    }

    #[test]
    fn every_key_knows_its_line() {
        let node = parse("# a comment\nA:\n  B:\n    C: 1\n  D: !Sub\n    - x\n    - {}\n").unwrap();
        assert_eq!(node.line_of(&["A"]), 2);
        assert_eq!(node.line_of(&["A", "B", "C"]), 4);
        assert_eq!(node.line_of(&["A", "D"]), 5);
        assert_eq!(node.line_of(&["A", "D", "no such key"]), 5);
    }

    #[test]
    fn anchors_and_merge_keys_are_copied() {
        let text = "base: &b {Timeout: 3, Memory: 128}\nmine: {<<: *b, Memory: 256}\nsame: *b\n";
        let expected = json!({"base": {"Timeout": 3, "Memory": 128}, "mine": {"Memory": 256, "Timeout": 3},
            "same": {"Timeout": 3, "Memory": 128}});
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_before_it_goes_off() {
        let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for i in 1..12 {
            let previous = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{previous}]\n"));
        }
        let problem = parse(&bomb).unwrap_err();
        assert!(problem.message.contains("with its aliases written out"), "{problem}");
        assert!(problem.line < 12, "{problem}");
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let cases = [
            ("A: 1\nB: !Frobnicate x\n", 2, "unknown tag `!Frobnicate`"),
            ("A: 1\nA: 2\n", 2, "`A` is given twice"),
            ("A:\n  - [1, 2\nB: 3\n", 3, ""),
            ("", 1, "empty"),
            ("A: 1\n---\nB: 2\n", 3, "second one starts here"),
            ("A: *nobody\n", 1, ""),
            ("A: &a [*a]\n", 1, "inside the value it names"),
            ("? [a, b]\n: c\n", 1, "plain string"),
        ];
        for (text, line, message) in cases {
            let problem = parse(text).unwrap_err();
            assert_eq!(problem.line, line, "{text:?}: {problem}");
            assert!(problem.message.contains(message), "{text:?}: {problem}");
        }
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&deep).unwrap_err().message.contains("deeper than 64"));
    }
}
