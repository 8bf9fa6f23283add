//! Resource policies: what a document says of a request. Pure.
//!
//! The rules are those of the user guide of IAM, "Policy evaluation logic" and "IAM JSON policy elements
//! reference", as far as a policy of a resource reaches: a statement that denies and applies wins over
//! everything, one that allows lets in, and a document that says nothing of a request decides nothing. What
//! that means then (a resource's own account needs no statement, any other one does) is for whoever asks.
//!
//! A document is read once and whole ([`Policy`] is built by serde and cannot be built wrong): an element, an
//! operator or a principal that is not known is refused when the document is set, never passed over when it
//! is asked.
//!
//! Not here: policies of identities (there are none), what of a document a service takes, and its words for
//! one that it does not.

mod condition;
mod document;
mod pattern;
#[cfg(test)]
mod tests;

pub use document::Malformed;

use condition::Condition;
use pattern::Pattern;

/// A document that has been read.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(try_from = "document::Document")]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    sid: Option<String>,
    effect: Effect,
    principals: Listed<Principal>,
    actions: Listed<Pattern>,
    resources: Listed<Pattern>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// What an element of a statement names: itself, or by its `Not` everything else.
#[derive(Clone, Debug, PartialEq)]
enum Listed<T> {
    Only(Vec<T>),
    AllBut(Vec<T>),
}

impl<T> Listed<T> {
    fn covers(&self, is_meant: impl Fn(&T) -> bool) -> bool {
        match self {
            Listed::Only(these) => these.iter().any(is_meant),
            Listed::AllBut(these) => !these.iter().any(is_meant),
        }
    }

    fn these(&self) -> &[T] {
        match self {
            Listed::Only(these) | Listed::AllBut(these) => these,
        }
    }
}

/// Whom a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Principal {
    Anyone,
    Account(String),
    /// A user, a role or a session, by its ARN.
    Named(String),
    Service(String),
    /// Of a kind that nobody here is: a federation, or a canonical user.
    Nobody,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker<'a> {
    /// Nobody has signed the request.
    Anonymous,
    /// Somebody of an account, by every ARN under which a statement may name them.
    Of { account: &'a str, arns: Vec<String> },
    /// A service, such as `sns.amazonaws.com`, for something that belongs to an account. A statement may let
    /// in either.
    Service { name: &'a str, account: &'a str },
}

impl Principal {
    fn is(&self, asker: &Asker<'_>) -> bool {
        match (self, asker) {
            (Principal::Anyone, _) => true,
            (Principal::Account(named), Asker::Of { account, .. } | Asker::Service { account, .. }) => {
                named == account
            }
            (Principal::Named(named), Asker::Of { arns, .. }) => arns.iter().any(|arn| arn == named),
            (Principal::Service(named), Asker::Service { name, .. }) => named == name,
            (Principal::Account(_) | Principal::Named(_) | Principal::Service(_) | Principal::Nobody, _) => {
                false
            }
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    pub asker: Asker<'a>,
    /// Service and action, such as `sqs:SendMessage`.
    pub action: &'a str,
    /// An ARN.
    pub resource: &'a str,
    pub facts: &'a Facts,
}

/// What conditions may ask of a request: values by the names of their keys. A key may have several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(&'static str, String)>);

impl Facts {
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Facts {
        self.0.push((key, value.into()));
        self
    }

    /// The values of a key, whose name has no case.
    fn of(&self, key: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No statement applies.
    Silent,
    Allowed,
    Denied,
}

impl Policy {
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let mut decision = Decision::Silent;
        for statement in self.statements.iter().filter(|statement| statement.applies(request)) {
            match statement.effect {
                Effect::Deny => return Decision::Denied,
                Effect::Allow => decision = Decision::Allowed,
            }
        }
        decision
    }

    /// Whether any request could be denied: most documents only let in, and their owners need not be asked
    /// of.
    pub fn may_deny(&self) -> bool {
        self.statements.iter().any(|statement| statement.effect == Effect::Deny)
    }

    /// The actions that statements name, as they were written.
    pub fn actions(&self) -> impl Iterator<Item = String> {
        self.statements.iter().flat_map(|statement| statement.actions.these()).map(Pattern::to_string)
    }

    /// The resources that statements name, as they were written.
    pub fn resources(&self) -> impl Iterator<Item = String> {
        self.statements.iter().flat_map(|statement| statement.resources.these()).map(Pattern::to_string)
    }

    pub fn sids(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter_map(|statement| statement.sid.as_deref())
    }
}

impl Statement {
    fn applies(&self, request: &Request<'_>) -> bool {
        self.principals.covers(|principal| principal.is(&request.asker))
            && self.actions.covers(|action| action.matches_any_case(request.action))
            && self.resources.covers(|resource| resource.matches(request.resource, request.facts))
            && self.conditions.iter().all(|condition| condition.holds(request.facts))
    }
}
