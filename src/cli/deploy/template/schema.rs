//! What a resource type's properties are called and look like: enough to answer a typing error with its line
//! before anything is made.
//!
//! A property is applied, or known and ignored with a warning, or refused. Nothing is ignored in silence.

use super::intrinsics::is_pending;
use super::node::{Node, Problem, Value};

/// What a property must be, once nothing in it waits for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A scalar; CloudFormation takes numbers and flags for strings.
    Text,
    /// A number, or a string that reads as one.
    Integer,
    Flag,
    List,
    Map,
    /// One of several, looked at where it is used.
    Any,
}

#[derive(Debug)]
pub(crate) struct Schema {
    /// `AWS::Lambda::Function`
    pub(crate) name: &'static str,
    pub(crate) required: &'static [&'static str],
    pub(crate) applied: &'static [(&'static str, Shape)],
    /// Properties that Mayfly takes and does nothing about.
    pub(crate) ignored: &'static [&'static str],
}

impl Schema {
    /// Everything wrong with `properties`; what is ignored goes to `warnings`.
    pub(crate) fn check(&self, line: usize, properties: &Node, warnings: &mut Vec<Problem>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for name in self.required {
            if properties.get(name).is_none() {
                problems.push(Problem::new(line, format!("{} needs the property {name}", self.name)));
            }
        }
        for entry in properties.entries() {
            let shape = self.applied.iter().find(|(name, _)| *name == entry.key).map(|(_, shape)| *shape);
            match shape {
                Some(shape) => problems.extend(mismatch(&entry.key, &entry.node, entry.line, shape)),
                None if self.ignored.contains(&entry.key.as_str()) => {
                    warnings.push(Problem::new(entry.line, format!("{} is not applied", entry.key)));
                }
                None => problems.push(Problem::new(entry.line, self.unknown(&entry.key))),
            }
        }
        problems
    }

    fn unknown(&self, key: &str) -> String {
        let names: Vec<&str> = self.applied.iter().map(|(name, _)| *name).collect();
        match nearest(key, &names) {
            Some(name) => format!("{} has no property {key}; did you mean {name}?", self.name),
            None => format!("the property {key} is not supported; {} takes {}", self.name, names.join(", ")),
        }
    }
}

fn mismatch(key: &str, node: &Node, line: usize, shape: Shape) -> Option<Problem> {
    if is_pending(node) {
        return None;
    }
    let (fits, wanted) = match shape {
        Shape::Any => (true, "anything"),
        Shape::Text => (node.scalar().is_some(), "a string"),
        Shape::Integer => (node.scalar().is_some_and(|text| text.parse::<i64>().is_ok()), "a whole number"),
        Shape::Flag => (node.as_flag().is_some(), "true or false"),
        Shape::List => (matches!(node.value, Value::List(_)), "a list"),
        Shape::Map => (matches!(node.value, Value::Map(_)), "a map"),
    };
    let is = node.scalar().map_or_else(|| node.kind().to_owned(), |text| format!("`{text}`"));
    (!fits).then(|| Problem::new(line, format!("{key} must be {wanted}, not {is}")))
}

/// The name that is meant by a misspelt one, if one is near enough.
pub(crate) fn nearest<'a>(key: &str, names: &[&'a str]) -> Option<&'a str> {
    let (distance, name) = names.iter().map(|name| (distance(key, name), *name)).min()?;
    (distance <= 1 + key.len() / 5).then_some(name)
}

/// Levenshtein's distance, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised() {
        let names = ["MemorySize", "Timeout", "Handler"];
        assert_eq!(nearest("MemorySiz", &names), Some("MemorySize"));
        assert_eq!(nearest("timeOut", &names), Some("Timeout"));
        assert_eq!(nearest("VpcConfig", &names), None);
    }
}
