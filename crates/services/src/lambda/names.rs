//! The forms in which callers name a function: its name, a partial or whole ARN, each with a qualifier or
//! without.

use super::keys::{FunctionKey, NumberedKey, QualifiedKey};
use super::model::VersionRow;
use super::{check, faults, permissions};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};

const PATTERN: &str = concat!(
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(functio",
    r"n:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?",
);
const NAME_MAX: usize = 64;
const REFERENCE_MAX: usize = 170;

/// A function of the caller's account and region, perhaps one of its versions or aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) name: String,
    pub(super) qualifier: Option<String>,
}

/// What a qualifier means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Qualifier {
    /// 0 is `$LATEST`.
    Version(u64),
    Alias(String),
}

/// Reads a function's name, and asks whether the caller may do this to it.
pub(super) fn function(cx: &mut Cx<'_>, reference: &str, qualifier: Option<&str>) -> Result<Function, Fault> {
    let function = parse(reference, qualifier, &cx.caller.account, &cx.caller.region)?;
    permissions::admit(cx, &function)?;
    if function.region != cx.caller.region {
        return Err(faults::other_region(&function.region, &cx.caller.region));
    }
    Ok(function)
}

/// The same for operations on the function as a whole.
pub(super) fn unqualified(cx: &mut Cx<'_>, reference: &str) -> Result<Function, Fault> {
    let function = function(cx, reference, None)?;
    match function.qualifier {
        None => Ok(function),
        Some(_) => Err(faults::parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
             operation. Please specify either a function name or an unqualified function ARN.",
        )),
    }
}

pub(super) fn parse(
    reference: &str,
    qualifier: Option<&str>,
    account: &str,
    region: &str,
) -> Result<Function, Fault> {
    check::length(reference, "functionName", 1, REFERENCE_MAX)?;
    let mut function = split(reference, account, region)
        .ok_or_else(|| faults::pattern(reference, "functionName", PATTERN))?;
    if function.name.len() > NAME_MAX {
        let constraint = format!("Member must have length less than or equal to {NAME_MAX}");
        return Err(faults::parameter(faults::invalid(&function.name, "functionName", constraint).message));
    }
    if let Some(qualifier) = qualifier {
        check::length(qualifier, "qualifier", 1, 128)?;
        if !is_qualifier(qualifier) {
            return Err(faults::pattern(qualifier, "qualifier", r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"));
        }
        match &function.qualifier {
            Some(derived) if derived != qualifier => return Err(faults::qualifiers_differ()),
            Some(_) | None => function.qualifier = Some(qualifier.to_owned()),
        }
    }
    Ok(function)
}

fn is_qualifier(text: &str) -> bool {
    text == VersionRow::LATEST || check::is_word(text)
}

pub(super) fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let letters =
        |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase()));
    let count = text.split('-').count();
    (3..=4).contains(&count)
        && text.as_bytes().get(2) == Some(&b'-')
        && (1..count).all(|_| letters(parts.next()))
        && parts.next().is_some_and(check::is_number)
}

fn split(reference: &str, account: &str, region: &str) -> Option<Function> {
    let mut parts: Vec<&str> = reference.split(':').collect();
    let mut function =
        Function { account: account.into(), region: region.into(), name: String::new(), qualifier: None };
    if parts[0] == "arn" {
        if parts.len() < 7 || !parts[1].starts_with("aws") || parts[2] != "lambda" || parts[5] != "function" {
            return None;
        }
        parts.drain(..3);
    }
    if parts.len() > 1 && is_region(parts[0]) {
        function.region = parts.remove(0).into();
    }
    if parts.len() > 1 && parts[0].len() == 12 && check::is_number(parts[0]) {
        function.account = parts.remove(0).into();
    }
    if parts.len() > 1 && parts[0] == "function" {
        parts.remove(0);
    }
    match parts[..] {
        [name] if check::is_word(name) => function.name = name.into(),
        [name, qualifier] if check::is_word(name) && is_qualifier(qualifier) => {
            function.name = name.into();
            function.qualifier = Some(qualifier.into());
        }
        _ => return None,
    }
    Some(function)
}

impl Function {
    /// Unqualified.
    pub(super) fn arn(&self) -> Arn {
        Arn::new("lambda", &self.region, &self.account, format!("function:{}", self.name))
    }

    pub(super) fn arn_of(&self, qualifier: &str) -> Arn {
        Arn::new("lambda", &self.region, &self.account, format!("function:{}:{qualifier}", self.name))
    }

    /// With the qualifier that the caller gave, if any.
    pub(super) fn named_arn(&self) -> Arn {
        match &self.qualifier {
            Some(qualifier) => self.arn_of(qualifier),
            None => self.arn(),
        }
    }

    pub(super) fn key(&self) -> FunctionKey {
        (self.account.clone(), self.region.clone(), self.name.clone())
    }

    pub(super) fn version_key(&self, number: u64) -> NumberedKey {
        (self.account.clone(), self.region.clone(), self.name.clone(), number)
    }

    pub(super) fn qualified_key(&self, qualifier: &str) -> QualifiedKey {
        (self.account.clone(), self.region.clone(), self.name.clone(), qualifier.to_owned())
    }

    /// Without a qualifier `$LATEST` is meant.
    pub(super) fn meaning(&self) -> Qualifier {
        match self.qualifier.as_deref() {
            None | Some(VersionRow::LATEST) => Qualifier::Version(0),
            // Number 0 never exists, and here it must not mean $LATEST.
            Some(text) if check::is_number(text) => match text.parse() {
                Ok(0) | Err(_) => Qualifier::Version(u64::MAX),
                Ok(number) => Qualifier::Version(number),
            },
            Some(alias) => Qualifier::Alias(alias.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reference: &str) -> Option<(String, Option<String>)> {
        let function = split(reference, "000000000000", "us-east-1")?;
        Some((format!("{}/{}/{}", function.account, function.region, function.name), function.qualifier))
    }

    #[test]
    fn every_form_of_a_name_is_read() {
        let ours = "000000000000/us-east-1/thumb".to_owned();
        for reference in [
            "thumb",
            "function:thumb",
            "000000000000:thumb",
            "000000000000:function:thumb",
            "us-east-1:000000000000:function:thumb",
            "arn:aws:lambda:us-east-1:000000000000:function:thumb",
        ] {
            assert_eq!(read(reference), Some((ours.clone(), None)), "{reference}");
            assert_eq!(
                read(&format!("{reference}:prod")),
                Some((ours.clone(), Some("prod".into()))),
                "{reference}"
            );
            let latest = format!("{reference}:$LATEST");
            assert_eq!(read(&latest), Some((ours.clone(), Some("$LATEST".into()))), "{reference}");
        }
        assert_eq!(read("eu-west-1:000000000000:function:a").unwrap().0, "000000000000/eu-west-1/a");
        assert_eq!(read("us-gov-west-1:111111111111:function:a").unwrap().0, "111111111111/us-gov-west-1/a");
    }

    #[test]
    fn other_text_is_no_function() {
        for reference in [
            "",
            "a b",
            "a:b:c",
            "a/b",
            "a:",
            ":a",
            "arn:aws:s3:::a",
            "arn:aws:lambda:us-east-1:1:layer:a",
            "a.b",
        ] {
            assert_eq!(read(reference), None, "{reference}");
        }
    }
}
