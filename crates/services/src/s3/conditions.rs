//! Conditional requests: RFC 9110 section 13, with S3's differences ("Conditional requests", S3 user guide).

use super::faults;
use super::model::Version;
use mayfly_kernel::{Fault, Time};
use mayfly_wire::{Call, time};

/// The conditions of a read, or of the source of a copy.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    matches: Option<String>,
    none_match: Option<String>,
    modified_since: Option<Time>,
    unmodified_since: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    NotModified,
}

impl Conditions {
    pub(super) fn of_read(call: &Call) -> Conditions {
        Conditions::with_prefix(call, "")
    }

    pub(super) fn of_copy_source(call: &Call) -> Conditions {
        Conditions::with_prefix(call, "x-amz-copy-source-")
    }

    /// A date that cannot be read is no condition (RFC 9110, 13.1.3).
    fn with_prefix(call: &Call, prefix: &str) -> Conditions {
        let text = |name: &str| call.header(&format!("{prefix}{name}")).map(str::to_owned);
        let date = |name: &str| text(name).and_then(|value| time::parse_http_date(&value));
        Conditions {
            matches: text("if-match"),
            none_match: text("if-none-match"),
            modified_since: date("if-modified-since"),
            unmodified_since: date("if-unmodified-since"),
        }
    }

    /// Entity tags go before dates. Dates of headers are whole seconds, so the version's is cut to one.
    pub(super) fn judge(&self, version: &Version) -> Result<Verdict, Fault> {
        let modified = version.modified().secs();
        match (&self.matches, self.unmodified_since) {
            (Some(tags), _) if !lists(tags, &version.etag) => {
                return Err(faults::precondition_failed("If-Match"));
            }
            (None, Some(date)) if modified > date.secs() => {
                return Err(faults::precondition_failed("If-Unmodified-Since"));
            }
            _ => {}
        }
        Ok(match (&self.none_match, self.modified_since) {
            (Some(tags), _) if lists(tags, &version.etag) => Verdict::NotModified,
            (None, Some(date)) if modified <= date.secs() => Verdict::NotModified,
            _ => Verdict::Proceed,
        })
    }
}

/// The conditions of a write: on what the key holds before it.
pub(super) fn judge_write(call: &Call, key: &str, current: Option<&Version>) -> Result<(), Fault> {
    match call.header("if-none-match") {
        None => {}
        Some("*") if current.is_some() => return Err(faults::precondition_failed("If-None-Match")),
        Some("*") => {}
        Some(_) => return Err(faults::condition_not_implemented("If-None-Match")),
    }
    match (call.header("if-match"), current) {
        (None, _) => Ok(()),
        (Some("*"), _) => Err(faults::condition_not_implemented("If-Match")),
        (Some(_), None) => Err(faults::no_such_key(key)),
        (Some(tags), Some(current)) if lists(tags, &current.etag) => Ok(()),
        (Some(_), Some(_)) => Err(faults::precondition_failed("If-Match")),
    }
}

/// The condition of a deletion; `*` asks only that there be an object.
pub(super) fn judge_delete(tags: Option<&str>, current: Option<&Version>) -> Result<(), Fault> {
    let holds = match (tags, current) {
        (None, _) => true,
        (Some(tags), Some(current)) => lists(tags, &current.etag),
        (Some(_), None) => false,
    };
    if holds { Ok(()) } else { Err(faults::precondition_failed("If-Match")) }
}

/// Whether a list of entity tags has this one. Quotes are optional, as S3's clients leave them out.
fn lists(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || unquoted(tag) == etag)
}

pub(super) fn unquoted(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version { etag: "abc".into(), modified_ms: 1_369_353_600_042, ..Version::default() }
    }

    fn judge(headers: &[(&'static str, &str)]) -> Result<Verdict, String> {
        let mut call = Call::default();
        for (name, value) in headers {
            call.headers.insert(*name, value.parse().unwrap());
        }
        Conditions::of_read(&call).judge(&version()).map_err(|fault| fault.code.into_owned())
    }

    const SAME: &str = "Fri, 24 May 2013 00:00:00 GMT";
    const BEFORE: &str = "Thu, 23 May 2013 23:59:59 GMT";

    #[test]
    fn entity_tags_go_before_dates() {
        let failed = Err("PreconditionFailed".to_owned());
        assert_eq!(judge(&[]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-match", "\"abc\"")]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-match", "\"x\", W/\"abc\"")]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-match", "x")]), failed);
        assert_eq!(judge(&[("if-match", "abc"), ("if-unmodified-since", BEFORE)]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-unmodified-since", BEFORE)]), failed);
        assert_eq!(judge(&[("if-unmodified-since", SAME)]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-none-match", "abc")]), Ok(Verdict::NotModified));
        assert_eq!(judge(&[("if-none-match", "x"), ("if-modified-since", SAME)]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-modified-since", SAME)]), Ok(Verdict::NotModified));
        assert_eq!(judge(&[("if-modified-since", BEFORE)]), Ok(Verdict::Proceed));
        assert_eq!(judge(&[("if-modified-since", "yesterday")]), Ok(Verdict::Proceed));
    }
}
