//! The query protocol's way of writing a tree: `Tags.member.1.Key=stage&Tags.member.1.Value=test`.

use crate::tree::Node;
use mayfly_kernel::Fault;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Far above what any operation takes, far below what costs memory.
const PARAMETERS_MAX: usize = 20_000;
const DEPTH_MAX: usize = 32;

/// `%XX` and `+` decoded. Bytes that are not UTF-8 become replacement characters.
pub(crate) fn decode_text(raw: &str) -> String {
    let spaced = raw.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// Reads the parameters of the body, or of the URL if the call is a GET.
pub(crate) fn parse(body: &[u8], query: &[(String, String)]) -> Result<Node, Fault> {
    let body = std::str::from_utf8(body).map_err(|_| malformed("The request's body is not UTF-8"))?;
    let mut root = Branch::default();
    let sent = crate::parse_query(body.trim_end());
    if sent.len() + query.len() > PARAMETERS_MAX {
        return Err(malformed(format!("A request has at most {PARAMETERS_MAX} parameters")));
    }
    for (name, value) in query.iter().chain(&sent) {
        root.insert(name, value)?;
    }
    Ok(root.into_struct())
}

fn malformed(message: impl Into<String>) -> Fault {
    Fault::new(400, "MalformedQueryString", message)
}

/// A name's part and everything that starts with it.
#[derive(Default)]
struct Branch {
    value: Option<String>,
    children: BTreeMap<String, Branch>,
}

impl Branch {
    fn insert(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let mut branch = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth == DEPTH_MAX {
                return Err(malformed(format!("A parameter's name has at most {DEPTH_MAX} parts")));
            }
            branch = branch.children.entry(part.to_owned()).or_default();
        }
        branch.value = Some(value.to_owned());
        Ok(())
    }

    fn into_struct(self) -> Node {
        Node::Struct(self.children.into_iter().map(|(name, branch)| (name, branch.into_node())).collect())
    }

    fn into_node(mut self) -> Node {
        if self.children.is_empty() {
            return Node::untyped(self.value.unwrap_or_default());
        }
        if self.children.len() == 1 {
            // The wrapper of lists and maps has no name of its own in the model.
            for wrapper in ["member", "entry"] {
                match self.children.remove(wrapper) {
                    Some(items) if items.is_list() => return items.into_list(),
                    Some(other) => {
                        self.children.insert(wrapper.to_owned(), other);
                    }
                    None => {}
                }
            }
        }
        if self.is_list() { self.into_list() } else { self.into_struct() }
    }

    fn is_list(&self) -> bool {
        !self.children.is_empty() && self.children.keys().all(|name| name.parse::<u32>().is_ok())
    }

    /// Items in the order of their numbers; the numbers themselves may have gaps and cost nothing.
    fn into_list(self) -> Node {
        let numbered =
            self.children.into_iter().map(|(name, branch)| (name.parse().unwrap_or(u32::MAX), branch));
        let mut items: Vec<(u32, Branch)> = numbered.collect();
        items.sort_by_key(|(number, _)| *number);
        Node::List(items.into_iter().map(|(_, branch)| branch.into_node()).collect())
    }
}
