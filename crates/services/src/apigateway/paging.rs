//! Listings, page by page.

use super::faults;
use crate::paging;
use mayfly_kernel::Fault;
use serde::{Deserialize, Serialize};

/// One page of a listing, in the shape of all of API Gateway's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

/// The input of a listing of what one API has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    pub(super) api_id: String,
    max_results: Option<String>,
    next_token: Option<String>,
}

/// How many items a page has, if the caller says so.
pub(super) fn size(max_results: Option<&String>) -> Result<Option<usize>, Fault> {
    let Some(text) = max_results else { return Ok(None) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        Ok(_) | Err(_) => Err(faults::bad(format!("Invalid max results specified: {text}"))),
    }
}

impl List {
    /// The page that the caller asks for, of all that an API has in the order of their ids. A token is the
    /// last id of the page before.
    pub(super) fn page<T, V>(
        &self,
        all: Vec<T>,
        id: fn(&T) -> &str,
        view: fn(T) -> V,
    ) -> Result<Page<V>, Fault> {
        let size = size(self.max_results.as_ref())?.unwrap_or(usize::MAX);
        let after = self.next_token.as_deref().unwrap_or_default();
        let rest = all.into_iter().filter(|item| id(item) > after).collect();
        let (items, next_token) = paging::cut(rest, size, |item| id(item).to_owned());
        Ok(Page { items: items.into_iter().map(view).collect(), next_token })
    }
}
