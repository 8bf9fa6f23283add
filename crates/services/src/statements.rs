//! Policy documents that AddPermission and RemovePermission keep, statement by statement.

use mayfly_kernel::Arn;
use serde_json::{Value, json};

pub(crate) struct Document {
    /// The document without its statements.
    head: Value,
    statements: Vec<Value>,
}

impl Document {
    pub(crate) fn new(id: String) -> Document {
        Document { head: json!({ "Version": "2012-10-17", "Id": id }), statements: Vec::new() }
    }

    /// `None` if the text is no document, or empty.
    pub(crate) fn read(text: &str) -> Option<Document> {
        let mut head: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
        let statements = match head["Statement"].take() {
            Value::Array(statements) => statements,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        Some(Document { head, statements })
    }

    pub(crate) fn len(&self) -> usize {
        self.statements.len()
    }

    pub(crate) fn has(&self, label: &str) -> bool {
        self.statements.iter().any(|statement| statement["Sid"] == label)
    }

    /// Lets accounts do something to a resource.
    pub(crate) fn allow(&mut self, label: &str, accounts: &[String], actions: Vec<String>, resource: &Arn) {
        let principals: Vec<String> = accounts.iter().map(|id| format!("arn:aws:iam::{id}:root")).collect();
        self.statements.push(json!({
            "Sid": label,
            "Effect": "Allow",
            "Principal": { "AWS": one_or_all(principals) },
            "Action": one_or_all(actions),
            "Resource": resource.to_string(),
        }));
    }

    /// False if there was none with this label.
    pub(crate) fn remove(&mut self, label: &str) -> bool {
        let before = self.statements.len();
        self.statements.retain(|statement| statement["Sid"] != label);
        self.statements.len() < before
    }

    /// Empty if there are no statements.
    pub(crate) fn write(mut self) -> String {
        if self.statements.is_empty() {
            return String::new();
        }
        self.head["Statement"] = Value::Array(self.statements);
        self.head.to_string()
    }
}

fn one_or_all(mut texts: Vec<String>) -> Value {
    match texts.len() {
        1 => json!(texts.remove(0)),
        _ => json!(texts),
    }
}
