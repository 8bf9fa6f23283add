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

/// How many items of a page were asked for, at most `max`.
pub(super) fn page(asked: Option<i64>, path_max: i64, max: usize) -> Result<usize, Fault> {
    let Some(asked) = asked else { return Ok(max) };
    range(asked, "maxItems", 1, path_max)?;
    Ok(usize::try_from(asked).unwrap_or(max).min(max))
}
