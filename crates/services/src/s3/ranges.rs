//! The `Range` header: one stretch of bytes (RFC 9110, section 14).

use super::faults;
use mayfly_kernel::Fault;
use std::ops::Range;

/// The stretch that is asked for; `None` for the whole. What is not a single range of bytes is ignored, as
/// S3 does.
pub fn parse(header: &str, size: u64) -> Result<Option<Range<u64>>, Fault> {
    let unsatisfiable = || faults::invalid_range(header, size);
    let Some((first, last)) = header.trim().strip_prefix("bytes=").and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (number(first), number(last)) {
        (Some(Some(start)), Some(Some(end))) if start <= end => start..end.saturating_add(1).min(size),
        (Some(Some(start)), Some(None)) => start..size,
        (Some(None), Some(Some(count))) => size.saturating_sub(count)..size,
        _ => return Ok(None),
    };
    if range.start < range.end { Ok(Some(range)) } else { Err(unsatisfiable()) }
}

/// `bytes=FIRST-LAST` of a part copy, which must lie within the source.
pub(super) fn parse_copy(text: &str, size: u64) -> Result<Range<u64>, Fault> {
    const SYNTAX: &str = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last \
                          are the zero-based offsets of the first and last bytes to copy";
    let parts = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'));
    match parts.map(|(first, last)| (number(first), number(last))) {
        Some((Some(Some(start)), Some(Some(end)))) if start <= end => {
            if end >= size {
                let text = format!("Range specified is not valid for source object of size: {size}");
                return Err(faults::invalid_argument("x-amz-copy-source-range", text.as_str(), text.clone()));
            }
            Ok(start..end + 1)
        }
        _ => Err(faults::invalid_argument("x-amz-copy-source-range", text, SYNTAX)),
    }
}

/// A number, nothing, or something else.
#[expect(clippy::option_option, reason = "absent and malformed are different answers")]
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object_or_refused() {
        let ok = |text, size| parse(text, size).unwrap();
        assert_eq!(ok("bytes=0-4", 10), Some(0..5));
        assert_eq!(ok("bytes=5-", 10), Some(5..10));
        assert_eq!(ok("bytes=-3", 10), Some(7..10));
        assert_eq!(ok("bytes=-30", 10), Some(0..10));
        assert_eq!(ok("bytes=8-99999999999999999999999", 10), Some(8..10));
        for ignored in ["bytes=4-2", "bytes=a-b", "items=0-1", "bytes=-", "bytes=0-1,3-4", "0-1"] {
            assert_eq!(ok(ignored, 10), None, "{ignored}");
        }
        for (bad, size) in
            [("bytes=10-", 10), ("bytes=10-11", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
        {
            assert_eq!(parse(bad, size).unwrap_err().code, "InvalidRange", "{bad}");
        }
    }

    #[test]
    fn a_copied_range_lies_within_its_source() {
        assert_eq!(parse_copy("bytes=2-9", 10), Ok(2..10));
        for bad in ["bytes=2-10", "bytes=2-", "2-3", "bytes=3-2"] {
            assert_eq!(parse_copy(bad, 10).unwrap_err().code, "InvalidArgument", "{bad}");
        }
    }
}
