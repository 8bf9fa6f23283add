//! Listings: prefix, delimiter, pages. Pure logic over anything that can be read in order from a place on.
//!
//! What rolls up into one common prefix is skipped by seeking behind it, so a page costs what it shows and
//! not what lies between. A page goes on strictly behind the last thing that the page before has shown.

use mayfly_kernel::Fault;

/// Rows read at first where a seek may follow soon; doubled while none does.
const FIRST_READ: usize = 16;
const READ_MAX: usize = 1000;

/// What a listing is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Empty for none.
    pub(super) delimiter: String,
    pub(super) max: usize,
}

/// Where a read begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin<P> {
    /// With the first item of this key or a later one.
    Key(String),
    /// Behind this place within a key.
    Behind(String, P),
}

/// Items in the order of their keys. Several items may have one key; then a place tells them apart.
pub(super) trait Source {
    type Item;
    type Place: Clone;

    fn read(&mut self, from: &Begin<Self::Place>, limit: usize) -> Result<Vec<Self::Item>, Fault>;
    fn key(item: &Self::Item) -> &str;
    fn place(item: &Self::Item) -> Self::Place;
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) prefixes: Vec<String>,
    pub(super) truncated: bool,
    /// The last thing shown was a common prefix: this one.
    pub(super) ends_in_prefix: Option<String>,
}

/// The smallest text greater than every text that begins with `prefix`; `None` if there is none.
pub(super) fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let mut next = u32::from(last) + 1;
        if next == 0xD800 {
            next = 0xE000;
        }
        if let Some(next) = char::from_u32(next) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// The smallest text greater than this one.
pub(super) fn behind(key: &str) -> String {
    format!("{key}\0")
}

/// Where a listing begins that goes on behind `marker`.
pub(super) fn start<P>(prefix: &str, marker: &str) -> Begin<P> {
    let after = if marker.is_empty() { String::new() } else { behind(marker) };
    Begin::Key(after.max(prefix.to_owned()))
}

impl Query {
    /// The common prefix that the key rolls up into.
    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let found = key[self.prefix.len()..].find(&self.delimiter)?;
        Some(&key[..self.prefix.len() + found + self.delimiter.len()])
    }
}

/// Lists behind `marker`: a common prefix that is not behind it was shown on an earlier page, or skipped on
/// purpose.
pub(super) fn list<S: Source>(
    source: &mut S,
    query: &Query,
    marker: &str,
    mut from: Begin<S::Place>,
) -> Result<Page<S::Item>, Fault> {
    let mut page = Page { items: Vec::new(), prefixes: Vec::new(), truncated: false, ends_in_prefix: None };
    if query.max == 0 {
        return Ok(page);
    }
    let mut limit = if query.delimiter.is_empty() { query.max + 1 } else { FIRST_READ };
    loop {
        limit = limit.min(READ_MAX);
        let rows = source.read(&from, limit)?;
        let more = rows.len() == limit;
        if let Some(last) = rows.last() {
            from = Begin::Behind(S::key(last).to_owned(), S::place(last));
        }
        let mut skipped: Option<String> = None;
        for item in rows {
            let key = S::key(&item);
            if skipped.as_ref().is_some_and(|prefix| key.starts_with(prefix)) {
                continue;
            }
            skipped = None;
            if !key.starts_with(&query.prefix) {
                return Ok(page);
            }
            let group = query.group(key).map(str::to_owned);
            let shown_before = group.as_ref().is_some_and(|group| group.as_str() <= marker);
            if !shown_before && page.items.len() + page.prefixes.len() == query.max {
                page.truncated = true;
                return Ok(page);
            }
            match group {
                Some(group) => {
                    if !shown_before {
                        page.ends_in_prefix = Some(group.clone());
                        page.prefixes.push(group.clone());
                    }
                    skipped = Some(group);
                }
                None => {
                    page.ends_in_prefix = None;
                    page.items.push(item);
                }
            }
        }
        match skipped.map(|prefix| successor(&prefix)) {
            _ if !more => return Ok(page),
            Some(None) => return Ok(page),
            Some(Some(next)) => {
                from = Begin::Key(next);
                limit = FIRST_READ;
            }
            None => limit *= 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Keys that count how many of them have been read.
    struct Keys {
        keys: BTreeSet<String>,
        read: usize,
    }

    impl Source for Keys {
        type Item = String;
        type Place = ();

        fn read(&mut self, from: &Begin<()>, limit: usize) -> Result<Vec<String>, Fault> {
            let start = match from {
                Begin::Key(key) => key.clone(),
                Begin::Behind(key, ()) => behind(key),
            };
            let rows: Vec<String> = self.keys.range(start..).take(limit).cloned().collect();
            self.read += rows.len();
            Ok(rows)
        }

        fn key(item: &String) -> &str {
            item
        }

        fn place(_: &String) {}
    }

    /// What a listing shows, in its order: keys and common prefixes together.
    fn all_at_once(keys: &BTreeSet<String>, query: &Query, marker: &str) -> Vec<String> {
        let shown = keys
            .iter()
            .filter(|key| key.starts_with(&query.prefix))
            .map(|key| query.group(key).unwrap_or(key).to_owned());
        let shown: BTreeSet<String> = shown.filter(|shown| shown.as_str() > marker).collect();
        shown.into_iter().collect()
    }

    fn page_by_page(keys: &BTreeSet<String>, query: &Query, marker: &str) -> Vec<String> {
        let (mut shown, mut marker) = (Vec::new(), marker.to_owned());
        loop {
            let mut source = Keys { keys: keys.clone(), read: 0 };
            let from = start(&query.prefix, &marker);
            let page = list(&mut source, query, &marker, from).unwrap();
            let mut entries: Vec<String> = page.items.into_iter().chain(page.prefixes).collect();
            entries.sort();
            assert!(entries.len() <= query.max);
            shown.extend(entries);
            if !page.truncated {
                return shown;
            }
            let last = shown.last().expect("a truncated page shows something").clone();
            if let Some(prefix) = page.ends_in_prefix {
                assert_eq!(prefix, last);
            }
            assert!(last > marker, "every page goes on");
            marker = last;
        }
    }

    proptest! {
        #[test]
        fn pages_together_show_what_a_single_listing_would(
            keys in prop::collection::btree_set("[ab/é]{1,6}", 0..60),
            prefix in "[ab/]{0,2}",
            delimiter in prop::sample::select(vec!["", "/", "b", "é", "//"]),
            marker in "[ab/]{0,3}",
            max in 1_usize..20,
        ) {
            let query = Query { prefix, delimiter: delimiter.into(), max };
            prop_assert_eq!(page_by_page(&keys, &query, &marker), all_at_once(&keys, &query, &marker));
        }

        #[test]
        fn the_successor_is_behind_the_prefix_and_before_everything_else(
            prefix in "[a\u{d7ff}\u{10ffff}]{0,3}", other in "[a\u{d7ff}\u{e000}\u{10ffff}]{0,4}",
        ) {
            match successor(&prefix) {
                Some(next) => prop_assert_eq!(other >= next, other > prefix && !other.starts_with(&prefix)),
                None => prop_assert!(other <= prefix || other.starts_with(&prefix)),
            }
        }
    }

    #[test]
    fn what_lies_below_a_common_prefix_is_not_read() {
        let keys = (0..10_000).map(|n| format!("{}/{n:05}", n % 3)).collect();
        let mut source = Keys { keys, read: 0 };
        let query = Query { prefix: String::new(), delimiter: "/".into(), max: 1000 };
        let page = list(&mut source, &query, "", start("", "")).unwrap();
        assert_eq!(page.prefixes, ["0/", "1/", "2/"]);
        assert!(source.read <= 3 * FIRST_READ, "{} rows read", source.read);
    }

    #[test]
    fn nothing_is_shown_when_nothing_is_wanted() {
        let mut source = Keys { keys: ["a".to_owned()].into(), read: 0 };
        let page = list(&mut source, &Query::default(), "", start("", "")).unwrap();
        assert!(page.items.is_empty() && !page.truncated);
    }
}
