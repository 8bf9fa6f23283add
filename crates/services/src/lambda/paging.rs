//! Pages of listings: the members that most of them share, and where a page ends.

use super::check;
use mayfly_kernel::Fault;
use serde::Deserialize;

/// How many items a page has at most, whatever was asked for.
pub(super) const PAGE: usize = 50;

/// The input of a listing of what belongs to a function.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfFunction {
    pub(super) function_name: String,
    /// Where the last page ended.
    pub(super) marker: Option<String>,
    pub(super) max_items: Option<i64>,
}

/// How many items were asked for; the request may say up to `max`.
pub(super) fn size(asked: Option<i64>, max: i64) -> Result<usize, Fault> {
    let Some(asked) = asked else { return Ok(PAGE) };
    check::range(asked, "maxItems", 1, max)?;
    Ok(usize::try_from(asked).unwrap_or(PAGE).min(PAGE))
}

pub(super) use crate::paging::cut;
