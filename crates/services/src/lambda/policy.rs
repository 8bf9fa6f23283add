//! Resource policies: the statements, and whether they let a caller in. Pure.
//!
//! Only what AddPermission can write is understood: statements that allow, with its conditions.

use mayfly_kernel::Arn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    pub(super) sid: String,
    pub(super) effect: String,
    pub(super) principal: Principal,
    pub(super) action: String,
    pub(super) resource: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) condition: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Principal {
    Service {
        #[serde(rename = "Service")]
        service: String,
    },
    Aws {
        #[serde(rename = "AWS")]
        aws: String,
    },
    /// `*`.
    Anyone(String),
}

/// What asks to be let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// A service such as `s3.amazonaws.com`; `None` for somebody without a signature.
    pub(super) service: Option<&'a str>,
    /// `lambda:InvokeFunction` or `lambda:InvokeFunctionUrl`.
    pub(super) action: &'a str,
    pub(super) source_arn: &'a str,
    pub(super) source_account: &'a str,
    /// Of a function URL.
    pub(super) auth_type: &'a str,
}

/// Whether any statement allows the request.
pub(super) fn allows(statements: &[Statement], request: Request<'_>) -> bool {
    statements.iter().any(|statement| {
        statement.effect == "Allow"
            && names(&statement.principal, request.service)
            && glob(&statement.action, request.action)
            && statement.condition.iter().all(|(operator, terms)| {
                terms.iter().all(|(key, wanted)| holds(operator, key, wanted, request))
            })
    })
}

fn names(principal: &Principal, service: Option<&str>) -> bool {
    match principal {
        Principal::Anyone(anyone) => anyone == "*",
        Principal::Service { service: named } => service == Some(named),
        // Accounts and their users sign their calls and are let in by the account's wall.
        Principal::Aws { .. } => false,
    }
}

/// A condition that is not known never holds.
fn holds(operator: &str, key: &str, wanted: &str, request: Request<'_>) -> bool {
    match (operator, key.to_ascii_lowercase().as_str()) {
        ("ArnLike", "aws:sourcearn") => arn_like(wanted, request.source_arn),
        ("StringEquals", "aws:sourceaccount") => wanted == request.source_account,
        ("StringEquals", "lambda:functionurlauthtype") => wanted == request.auth_type,
        ("Bool", "lambda:invokedviafunctionurl") => (wanted == "true") != request.auth_type.is_empty(),
        _ => false,
    }
}

/// Part by part, as IAM compares ARNs: a star never reaches over one of the first five colons.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let (Ok(pattern), Ok(arn)) = (pattern.parse::<Arn>(), arn.parse::<Arn>()) else { return pattern == arn };
    glob(&pattern.partition, &arn.partition)
        && glob(&pattern.service, &arn.service)
        && glob(&pattern.region, &arn.region)
        && glob(&pattern.account, &arn.account)
        && glob(&pattern.resource, &arn.resource)
}

/// `*` stands for any text, `?` for any one byte. Steps back to the last star only, so it is never
/// exponential.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(condition: &[(&str, &str, &str)]) -> Statement {
        let mut terms: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (operator, key, value) in condition {
            terms.entry((*operator).into()).or_default().insert((*key).into(), (*value).into());
        }
        Statement {
            sid: "s".into(),
            effect: "Allow".into(),
            principal: Principal::Service { service: "s3.amazonaws.com".into() },
            action: "lambda:InvokeFunction".into(),
            resource: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
            condition: terms,
        }
    }

    const BUCKET: Request<'_> = Request {
        service: Some("s3.amazonaws.com"),
        action: "lambda:InvokeFunction",
        source_arn: "arn:aws:s3:::photos",
        source_account: "000000000000",
        auth_type: "",
    };

    #[test]
    fn a_service_is_let_in_by_its_name_and_its_source() {
        let by_arn = |arn| statement(&[("ArnLike", "AWS:SourceArn", arn)]);
        assert!(allows(&[statement(&[])], BUCKET));
        assert!(allows(&[by_arn("arn:aws:s3:::photos")], BUCKET));
        assert!(allows(&[by_arn("arn:aws:s3:::pho*")], BUCKET));
        assert!(!allows(&[by_arn("arn:aws:s3:::other")], BUCKET));
        assert!(!allows(&[by_arn("arn:aws:*")], BUCKET), "a star stays in its part");
        let both = statement(&[
            ("ArnLike", "AWS:SourceArn", "*"),
            ("StringEquals", "AWS:SourceAccount", "111111111111"),
        ]);
        assert!(!allows(&[both], BUCKET));
        assert!(!allows(&[statement(&[])], Request { service: Some("events.amazonaws.com"), ..BUCKET }));
        assert!(!allows(&[statement(&[])], Request { action: "lambda:InvokeFunctionUrl", ..BUCKET }));
        assert!(!allows(&[statement(&[("DateLessThan", "aws:CurrentTime", "2026")])], BUCKET));
        assert!(!allows(&[], BUCKET));
    }

    #[test]
    fn a_glob_matches_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
