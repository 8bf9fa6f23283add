//! The order in which resources can be made: each after those it refers to.

use super::Resource;
use super::node::Problem;
use std::collections::{BTreeMap, BTreeSet};

/// Sorts `resources` so that none stands before one it needs, and otherwise as the template has them.
pub(crate) fn sorted(resources: Vec<Resource>) -> Result<Vec<Resource>, Problem> {
    let by_id: BTreeMap<&str, usize> =
        resources.iter().enumerate().map(|(at, resource)| (resource.id.as_str(), at)).collect();
    let mut walk =
        Walk { resources: &resources, by_id, done: BTreeSet::new(), path: Vec::new(), order: Vec::new() };
    for at in 0..resources.len() {
        walk.visit(at)?;
    }
    let order = walk.order;
    let mut slots: Vec<Option<Resource>> = resources.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| slots[at].take()).collect())
}

struct Walk<'a> {
    resources: &'a [Resource],
    by_id: BTreeMap<&'a str, usize>,
    done: BTreeSet<usize>,
    /// The resources that wait for the one being visited.
    path: Vec<usize>,
    order: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, at: usize) -> Result<(), Problem> {
        if self.done.contains(&at) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|waiting| *waiting == at) {
            let circle = self.path[start..].iter().chain([&at]).map(|at| self.resources[*at].id.as_str());
            let circle = circle.collect::<Vec<_>>().join(" → ");
            let first = &self.resources[at];
            return Err(Problem::new(first.line, format!("needs itself: {circle}")).of(&first.id));
        }
        self.path.push(at);
        for need in &self.resources[at].needs {
            if let Some(needed) = self.by_id.get(need.as_str()) {
                self.visit(*needed)?;
            }
        }
        self.path.pop();
        self.done.insert(at);
        self.order.push(at);
        Ok(())
    }
}
