//! A policy document as JSON has it, and what is wrong with one.

use super::condition::Condition;
use super::pattern::Pattern;
use super::{Effect, Listed, Policy, Principal, Statement};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Why a document is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) String);

impl Malformed {
    pub(super) fn new(text: impl Into<String>) -> Malformed {
        Malformed(text.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMore<StatementForm>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct StatementForm {
    sid: Option<String>,
    effect: Effect,
    principal: Option<PrincipalForm>,
    not_principal: Option<PrincipalForm>,
    action: Option<OneOrMore<String>>,
    not_action: Option<OneOrMore<String>>,
    resource: Option<OneOrMore<String>>,
    not_resource: Option<OneOrMore<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMore<Scalar>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PrincipalForm {
    Anyone(String),
    ByKind(BTreeMap<String, OneOrMore<String>>),
}

/// A condition's value. JSON's own kinds are as good as their texts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Flag(bool),
    Whole(i64),
    Broken(f64),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Flag(flag) => write!(f, "{flag}"),
            Scalar::Whole(number) => write!(f, "{number}"),
            Scalar::Broken(number) => write!(f, "{number}"),
        }
    }
}

impl TryFrom<Document> for Policy {
    type Error = Malformed;

    fn try_from(document: Document) -> Result<Policy, Malformed> {
        let variables = match document.version.as_deref() {
            Some("2012-10-17") => true,
            // The older language has no variables.
            None | Some("2008-10-17") => false,
            Some(other) => return Err(Malformed::new(format!("the version {other} is not known"))),
        };
        let forms = document.statement.into_vec();
        if forms.is_empty() {
            return Err(Malformed::new("there is no statement"));
        }
        let statements = forms.into_iter().map(|form| form.read(variables)).collect::<Result<Vec<_>, _>>()?;
        let policy = Policy { statements };
        let mut sids: Vec<&str> = policy.sids().collect();
        sids.sort_unstable();
        match sids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Malformed::new(format!("two statements have the id {}", pair[0]))),
            None => Ok(policy),
        }
    }
}

impl StatementForm {
    fn read(self, variables: bool) -> Result<Statement, Malformed> {
        let mut conditions = Vec::new();
        for (operator, keys) in self.condition {
            for (key, values) in keys {
                conditions.push(Condition::read(&operator, key, &values.into_vec(), variables)?);
            }
        }
        Ok(Statement {
            sid: self.sid.filter(|sid| !sid.is_empty()),
            effect: self.effect,
            principals: either("Principal", self.principal, self.not_principal)?.read(PrincipalForm::read)?,
            actions: either("Action", self.action, self.not_action)?
                .read(|texts| patterns("Action", texts, check_action, false))?,
            resources: either("Resource", self.resource, self.not_resource)?
                .read(|texts| patterns("Resource", texts, check_resource, variables))?,
            conditions,
        })
    }
}

/// The element that there is of a pair of which there must be one.
fn either<T>(name: &str, these: Option<T>, all_but: Option<T>) -> Result<Listed<T>, Malformed> {
    match (these, all_but) {
        (Some(these), None) => Ok(Listed::Only(vec![these])),
        (None, Some(all_but)) => Ok(Listed::AllBut(vec![all_but])),
        (None, None) => Err(Malformed::new(format!("a statement has no {name}"))),
        (Some(_), Some(_)) => Err(Malformed::new(format!("a statement has both {name} and Not{name}"))),
    }
}

impl<T> Listed<T> {
    fn read<U>(self, read: impl Fn(T) -> Result<Vec<U>, Malformed>) -> Result<Listed<U>, Malformed> {
        let all = |forms: Vec<T>| -> Result<Vec<U>, Malformed> {
            Ok(forms.into_iter().map(read).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        };
        match self {
            Listed::Only(forms) => all(forms).map(Listed::Only),
            Listed::AllBut(forms) => all(forms).map(Listed::AllBut),
        }
    }
}

fn patterns(
    name: &str,
    texts: OneOrMore<String>,
    check: fn(&str) -> bool,
    variables: bool,
) -> Result<Vec<Pattern>, Malformed> {
    let texts = texts.into_vec();
    if texts.is_empty() {
        return Err(Malformed::new(format!("a statement has an empty {name}")));
    }
    match texts.iter().find(|text| !check(text)) {
        Some(bad) => Err(Malformed::new(format!("{bad} is no {name}"))),
        None => Ok(texts.iter().map(|text| Pattern::read(text, true, variables)).collect()),
    }
}

/// `*`, or a service and its action.
fn check_action(text: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?-".contains(&b))
    };
    text == "*" || text.split_once(':').is_some_and(|(service, action)| fits(service) && fits(action))
}

/// `*`, or an ARN with wildcards in it.
fn check_resource(text: &str) -> bool {
    text == "*" || text.starts_with("arn:") && (text.ends_with('*') || text.splitn(6, ':').count() == 6)
}

impl PrincipalForm {
    fn read(self) -> Result<Vec<Principal>, Malformed> {
        let kinds = match self {
            PrincipalForm::Anyone(text) if text == "*" => return Ok(vec![Principal::Anyone]),
            PrincipalForm::Anyone(text) => return Err(invalid(&text)),
            PrincipalForm::ByKind(kinds) => kinds,
        };
        let mut found = Vec::new();
        for (kind, names) in kinds {
            let read: fn(&str) -> Option<Principal> = match kind.as_str() {
                "AWS" => of_account,
                "Service" => of_service,
                "Federated" | "CanonicalUser" => |_| Some(Principal::Nobody),
                _ => return Err(invalid(&kind)),
            };
            for name in names.into_vec() {
                found.push(read(&name).ok_or_else(|| invalid(&name))?);
            }
        }
        match found.is_empty() {
            true => Err(Malformed::new("a statement has an empty Principal")),
            false => Ok(found),
        }
    }
}

fn invalid(principal: &str) -> Malformed {
    Malformed::new(format!("Invalid principal in policy: {principal}"))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// An account by its number or its root, or somebody in it by an ARN without wildcards.
fn of_account(name: &str) -> Option<Principal> {
    if name == "*" {
        return Some(Principal::Anyone);
    }
    if is_account(name) {
        return Some(Principal::Account(name.to_owned()));
    }
    let arn: crate::Arn = name.parse().ok()?;
    let plain = !name.contains(['*', '?']) && is_account(&arn.account) && arn.region.is_empty();
    match (arn.service.as_str(), arn.resource.as_str()) {
        ("iam", "root") if plain => Some(Principal::Account(arn.account)),
        ("iam", resource) if plain && (resource.starts_with("user/") || resource.starts_with("role/")) => {
            Some(Principal::Named(name.to_owned()))
        }
        ("sts", resource)
            if plain
                && (resource.starts_with("assumed-role/") || resource.starts_with("federated-user/")) =>
        {
            Some(Principal::Named(name.to_owned()))
        }
        _ => None,
    }
}

fn of_service(name: &str) -> Option<Principal> {
    let ours = name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".mayfly"))?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (!ours.is_empty() && ours.bytes().all(fits)).then(|| Principal::Service(name.to_owned()))
}
