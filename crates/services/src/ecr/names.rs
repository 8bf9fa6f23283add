//! What repositories, tags and digests may be called.

use super::faults;
use mayfly_kernel::Fault;
use regex_lite::Regex;
use std::sync::LazyLock;

const REPOSITORY: &str = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";
static REPOSITORIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("^{REPOSITORY}$")).expect("the pattern is well formed"));

pub(super) fn is_repository(name: &str) -> bool {
    (2..=256).contains(&name.len()) && REPOSITORIES.is_match(name)
}

/// A repository's name as the AWS API takes it.
pub(super) fn check_repository(name: &str) -> Result<(), Fault> {
    match is_repository(name) {
        true => Ok(()),
        false if (2..=256).contains(&name.len()) => Err(faults::invalid(
            "repositoryName",
            format_args!("must satisfy regular expression '{REPOSITORY}'"),
        )),
        false => Err(faults::invalid("repositoryName", "must have length between 2 and 256")),
    }
}

/// Whether this can be a tag of an image.
pub fn is_tag(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(known) && !text.starts_with(['.', '-'])
}

/// Whether this is a digest that Mayfly can check: `sha256:` and 64 hexadecimal digits in lower case.
pub fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:").is_some_and(|rest| rest.len() == 64 && rest.bytes().all(hex))
}
