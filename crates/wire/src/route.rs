//! Which operation a REST call is: the method, the path, and what must be in the query and the headers.
//!
//! Routes are few and fixed, so a tree of path segments per method finds the candidates, and the most
//! specific candidate whose requirements hold wins. Paths are matched as they were sent and decoded after: an
//! encoded slash stays inside its label, and the empty segments of S3's keys survive.

use crate::call::parse_query;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::collections::HashMap;

/// A line such as `PUT /{Bucket}/{Key+}?partNumber&uploadId with x-amz-copy-source`, or `… ?list-type=2`, or
/// one with its success status at the end: `DELETE /{Bucket} 204`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub method: String,
    segments: Vec<Segment>,
    /// Names that the query must have, some with the value they must have.
    query: Vec<(String, Option<String>)>,
    /// Headers that must be there, lower-case.
    headers: Vec<String>,
    /// The status of a success.
    pub status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Label(String),
    /// Takes the rest of the path, slashes and all; at least one byte.
    Greedy(String),
}

/// The text is not a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotARoute(pub String);

impl std::fmt::Display for NotARoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a route: {}", self.0)
    }
}

impl std::error::Error for NotARoute {}

fn read(text: &str) -> Option<Route> {
    let mut words = text.split_whitespace();
    let method = words.next()?.to_owned();
    let target = words.next()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut route =
        Route { method, segments: segments(path)?, query: Vec::new(), headers: Vec::new(), status: 200 };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        route.query.push(match pair.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        });
    }
    while let Some(word) = words.next() {
        match word {
            "with" => route.headers.push(words.next()?.to_ascii_lowercase()),
            status => route.status = status.parse().ok().filter(|status| (200..400).contains(status))?,
        }
    }
    Some(route)
}

fn segments(path: &str) -> Option<Vec<Segment>> {
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = Vec::new();
    for part in path.split('/').filter(|_| !path.is_empty()) {
        let label = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        segments.push(match label {
            Some(label) => match label.strip_suffix('+') {
                Some(label) => Segment::Greedy(label.to_owned()),
                None => Segment::Label(label.to_owned()),
            },
            None if part.is_empty() || part.contains(['{', '}']) => return None,
            None => Segment::Literal(part.to_owned()),
        });
    }
    let greedy = segments.iter().position(|segment| matches!(segment, Segment::Greedy(_)));
    greedy.is_none_or(|place| place + 1 == segments.len()).then_some(segments)
}

impl Route {
    pub fn parse(text: &str) -> Result<Route, NotARoute> {
        read(text).ok_or_else(|| NotARoute(text.to_owned()))
    }

    /// The path with its labels, as AWS's models write it: `/{Bucket}/{Key+}`.
    pub fn path(&self) -> String {
        let parts = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Label(name) => format!("/{{{name}}}"),
            Segment::Greedy(name) => format!("/{{{name}+}}"),
        });
        let path: String = parts.collect();
        if path.is_empty() { "/".into() } else { path }
    }

    /// Whether a query parameter only tells this route from others.
    pub fn is_selector(&self, name: &str) -> bool {
        self.query.iter().any(|(selector, value)| selector == name && value.is_some())
    }

    /// The names that the query must have, with the values that they must have.
    pub fn query(&self) -> &[(String, Option<String>)] {
        &self.query
    }

    /// More requirements are more specific; a fixed value is more than a name.
    fn weight(&self) -> usize {
        let query = self.query.iter().map(|(_, value)| if value.is_some() { 3 } else { 2 }).sum::<usize>();
        query + 2 * self.headers.len()
    }

    fn accepts(&self, query: &[(String, String)], headers: &HeaderMap) -> bool {
        let holds = |(name, value): &(String, Option<String>)| {
            query.iter().any(|(key, sent)| key == name && value.as_ref().is_none_or(|value| value == sent))
        };
        self.query.iter().all(holds) && self.headers.iter().all(|name| headers.contains_key(name.as_str()))
    }

    fn label_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Label(name) | Segment::Greedy(name) => Some(name.as_str()),
        })
    }
}

/// What a call's path leads to.
#[derive(Debug)]
pub enum Found<'a, T> {
    Match {
        value: &'a T,
        /// Decoded, in the order of the path.
        labels: Vec<(String, String)>,
    },
    /// No route has this path, or a label in it is not UTF-8, which no name of anything can be.
    NotFound,
    /// The path exists, under other methods.
    MethodNotAllowed,
}

/// All routes of one service.
#[derive(Debug)]
pub struct Router<T> {
    methods: HashMap<String, Branch>,
    routes: Vec<(Route, T)>,
}

/// The routes that share the segments so far.
#[derive(Debug, Default)]
struct Branch {
    literals: HashMap<String, Branch>,
    label: Option<Box<Branch>>,
    /// Routes that end here, the most specific first.
    ends: Vec<usize>,
    /// Routes whose greedy label starts here, the most specific first.
    greedy: Vec<usize>,
}

impl<T> Default for Router<T> {
    fn default() -> Router<T> {
        Router { methods: HashMap::new(), routes: Vec::new() }
    }
}

impl<T> Router<T> {
    pub fn new() -> Router<T> {
        Router::default()
    }

    pub fn insert(&mut self, route: Route, value: T) {
        let mut branch = self.methods.entry(route.method.clone()).or_default();
        let mut greedy = false;
        for segment in &route.segments {
            match segment {
                Segment::Literal(text) => branch = branch.literals.entry(text.clone()).or_default(),
                Segment::Label(_) => branch = branch.label.get_or_insert_default(),
                Segment::Greedy(_) => greedy = true,
            }
        }
        let ends = if greedy { &mut branch.greedy } else { &mut branch.ends };
        let weight = route.weight();
        let place = ends.partition_point(|other| self.routes[*other].0.weight() >= weight);
        ends.insert(place, self.routes.len());
        self.routes.push((route, value));
    }

    /// Finds the route of a call. Path and query are as they were sent.
    pub fn find(&self, method: &str, path: &str, query: &str, headers: &HeaderMap) -> Found<'_, T> {
        let query = parse_query(query);
        let Some(path) = path.strip_prefix('/') else { return Found::NotFound };
        let accepts = |route: usize| self.routes[route].0.accepts(&query, headers);
        let mut raw_labels = Vec::new();
        let found = self.methods.get(method).and_then(|root| root.find(path, &accepts, &mut raw_labels));
        match found {
            Some(route) => self.answer(route, &raw_labels),
            None => {
                let mut others = self.methods.iter().filter(|(other, _)| *other != method);
                match others.any(|(_, root)| root.find(path, &|_| true, &mut Vec::new()).is_some()) {
                    true => Found::MethodNotAllowed,
                    false => Found::NotFound,
                }
            }
        }
    }

    fn answer(&self, route: usize, raw_labels: &[&str]) -> Found<'_, T> {
        let (route, value) = &self.routes[route];
        let mut labels = Vec::with_capacity(raw_labels.len());
        for (name, raw) in route.label_names().zip(raw_labels) {
            match percent_decode_str(raw).decode_utf8() {
                Ok(label) => labels.push((name.to_owned(), label.into_owned())),
                Err(_) => return Found::NotFound,
            }
        }
        Found::Match { value, labels }
    }
}

impl Branch {
    /// The first acceptable route below: literals before labels before a greedy label. `labels` are those on
    /// the way.
    fn find<'p>(
        &self,
        rest: &'p str,
        accepts: &dyn Fn(usize) -> bool,
        labels: &mut Vec<&'p str>,
    ) -> Option<usize> {
        if rest.is_empty() {
            return self.ends.iter().copied().find(|route| accepts(*route));
        }
        let (segment, after) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(branch) = self.literals.get(segment)
            && let Some(route) = branch.find(after, accepts, labels)
        {
            return Some(route);
        }
        if let Some(branch) = self.label.as_deref()
            && !segment.is_empty()
        {
            labels.push(segment);
            if let Some(route) = branch.find(after, accepts, labels) {
                return Some(route);
            }
            labels.pop();
        }
        let route = self.greedy.iter().copied().find(|route| accepts(*route))?;
        labels.push(rest);
        Some(route)
    }
}
