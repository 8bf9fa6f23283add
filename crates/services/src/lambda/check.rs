//! Constraints that several members share.

use super::faults;
use mayfly_kernel::Fault;

pub(super) fn length(text: &str, path: &str, min: usize, max: usize) -> Result<(), Fault> {
    let length = text.chars().count();
    if length < min {
        return Err(faults::invalid(
            text,
            path,
            format_args!("Member must have length greater than or equal to {min}"),
        ));
    }
    if length > max {
        return Err(faults::invalid(
            text,
            path,
            format_args!("Member must have length less than or equal to {max}"),
        ));
    }
    Ok(())
}

pub(super) fn range(number: i64, path: &str, min: i64, max: i64) -> Result<(), Fault> {
    if number < min {
        return Err(faults::invalid(
            number,
            path,
            format_args!("Member must have value greater than or equal to {min}"),
        ));
    }
    if number > max {
        return Err(faults::invalid(
            number,
            path,
            format_args!("Member must have value less than or equal to {max}"),
        ));
    }
    Ok(())
}

/// A number from `min` to `max`, in the form that records keep.
pub(super) fn number(number: i64, path: &str, min: u32, max: u32) -> Result<u32, Fault> {
    range(number, path, min.into(), max.into())?;
    u32::try_from(number).map_err(|e| Fault::internal("check a number", e))
}

pub(super) fn one_of(text: &str, path: &str, set: &[&str]) -> Result<(), Fault> {
    if set.contains(&text) { Ok(()) } else { Err(faults::not_in_set(text, path, set)) }
}

/// Letters, digits, `-` and `_`: names of functions, aliases, layers and statements.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The name of a region, such as `us-gov-west-1`.
pub(super) fn region(text: &str, path: &str) -> Result<(), Fault> {
    match super::names::is_region(text) {
        true => Ok(()),
        false => Err(faults::pattern(text, path, r"ALL|[a-z]{2}(-gov)?-[a-z]+-\d{1}")),
    }
}

/// A runtime that AWS has or had, or that Mayfly has: what a layer is for need not run here.
pub(super) fn runtime_name(text: &str, path: &str) -> Result<(), Fault> {
    const FAMILIES: [&str; 7] = ["nodejs", "java", "python", "dotnet", "go", "ruby", "provided"];
    const NAMES: &str = "[nodejs*, java*, python*, dotnet*, go1.x, ruby*, provided*, web, wasm]";
    let version = FAMILIES.iter().find_map(|family| text.strip_prefix(family));
    let versioned = |rest: &str| {
        let rest = rest.strip_prefix("core").unwrap_or(rest);
        let rest = rest.strip_prefix(".al").unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit()) || rest.is_empty()
    };
    match version.is_some_and(versioned) || matches!(text, "web" | "wasm") {
        true => Ok(()),
        false => Err(invalid_member(text, path, NAMES)),
    }
}

fn invalid_member(text: &str, path: &str, set: &str) -> Fault {
    faults::invalid(text, path, format_args!("Member must satisfy enum value set: {set}"))
}
