//! Where a page of a listing ends.

/// Cuts what was read, one item more than a page holds, to the page. If more follow, `token` makes of the last
/// one what the caller brings back for the next page.
pub(crate) fn cut<T, N>(mut items: Vec<T>, size: usize, token: impl FnOnce(&T) -> N) -> (Vec<T>, Option<N>) {
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(token);
    (items, next)
}
