//! A bus as it is asked for every event: its rules compiled, and found by what they want an event to come
//! from.
//!
//! Nearly every rule names the sources and the types it wants. Those rules are found by them, so that an
//! event costs what its own rules cost, however many others there are.

use super::keys::{ARCHIVES, BUSES, BusKey, RULES, TARGETS};
use super::model::{DEFAULT_BUS, Target};
use crate::Cx;
use crate::pattern::Pattern;
use mayfly_kernel::{Fault, Policy};
use mayfly_store::Scan;
use serde_json::Value;
use std::collections::HashMap;

/// In how many places a rule may stand; one with more is asked for every event.
const PLACES_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Compiled {
    pub(super) exists: bool,
    /// Who else may put events on it.
    pub(super) policy: Option<Policy>,
    rules: Vec<Rule>,
    /// By source and type; a rule may leave either open.
    places: HashMap<(Option<String>, Option<String>), Vec<usize>>,
    pub(super) archives: Vec<Archive>,
}

pub(super) struct Rule {
    pub(super) name: String,
    pattern: Pattern,
    pub(super) targets: Vec<Target>,
}

pub(super) struct Archive {
    pub(super) id: u64,
    pattern: Option<Pattern>,
}

impl Archive {
    pub(super) fn wants(&self, event: &Value) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(event))
    }
}

impl Compiled {
    /// Reads without being held to it: a rule that is changed meanwhile is as if it were changed before or
    /// after.
    pub(super) fn read(cx: &Cx<'_>, key: &BusKey) -> Result<Compiled, Fault> {
        let row = BUSES.peek(cx.tx, key)?;
        let exists = key.2 == DEFAULT_BUS || row.is_some();
        // A stored document that is no policy says nothing.
        let policy = row.and_then(|row| serde_json::from_str(&row.policy).ok());
        let mut compiled = Compiled { exists, policy, ..Compiled::default() };
        for (rule, record) in RULES.peek_scan(cx.tx, Scan::prefix(key, usize::MAX))? {
            if record.pattern.is_empty() || record.disabled {
                continue;
            }
            let targets = TARGETS.peek_scan(cx.tx, Scan::prefix(&rule, usize::MAX))?;
            let targets: Vec<Target> = targets.into_iter().map(|(_, target)| target).collect();
            if !targets.is_empty() {
                compiled.add(Rule { name: rule.3, pattern: compile(&record.pattern)?, targets });
            }
        }
        let place = (key.0.clone(), key.1.clone());
        for (_, archive) in ARCHIVES.peek_scan(cx.tx, Scan::prefix(&place, usize::MAX))? {
            if archive.bus == key.2 {
                let pattern = Some(&archive.pattern).filter(|pattern| !pattern.is_empty());
                let pattern = pattern.map(|pattern| compile(pattern)).transpose()?;
                compiled.archives.push(Archive { id: archive.id, pattern });
            }
        }
        Ok(compiled)
    }

    fn add(&mut self, rule: Rule) {
        let index = self.rules.len();
        let wanted = |member: &str| match rule.pattern.texts_of(member) {
            Some(texts) => texts.into_iter().map(|text| Some(text.to_owned())).collect(),
            None => vec![None],
        };
        let (sources, types) = (wanted("source"), wanted("detail-type"));
        if sources.len() * types.len() > PLACES_MAX {
            self.places.entry((None, None)).or_default().push(index);
        } else {
            for source in sources {
                for kind in &types {
                    self.places.entry((source.clone(), kind.clone())).or_default().push(index);
                }
            }
        }
        self.rules.push(rule);
    }

    /// The rules that want the event, in the order of their names.
    pub(super) fn wanting(&self, event: &Value) -> Vec<&Rule> {
        let text = |member: &str| event[member].as_str().map(str::to_owned);
        let (source, kind) = (text("source"), text("detail-type"));
        let places = [(source.clone(), kind.clone()), (source, None), (None, kind), (None, None)];
        let mut found: Vec<usize> =
            places.iter().filter_map(|place| self.places.get(place)).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        let rules = found.into_iter().map(|index| &self.rules[index]);
        rules.filter(|rule| rule.pattern.matches(event)).collect()
    }
}

fn compile(pattern: &str) -> Result<Pattern, Fault> {
    Pattern::compile(pattern).map_err(|reason| Fault::internal("compile a stored pattern", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_meets_its_own_rules_alone_and_all_of_them() {
        let mut bus = Compiled { exists: true, ..Compiled::default() };
        let many: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
        let patterns = [
            json!({ "source": ["a", "b"], "detail-type": ["x"] }),
            json!({ "source": ["a"] }),
            json!({ "detail-type": ["x", "y"] }),
            json!({ "source": [{ "prefix": "a" }] }),
            json!({ "$or": [{ "source": ["a"] }, { "detail-type": ["y"] }] }),
            json!({ "source": many }),
            json!({ "source": ["a", "a"], "detail": { "n": [1] } }),
        ];
        for (index, pattern) in patterns.iter().enumerate() {
            let pattern = Pattern::compile(&pattern.to_string()).unwrap();
            bus.add(Rule { name: index.to_string(), pattern, targets: Vec::new() });
        }
        for noise in 0..1000 {
            let pattern = json!({ "source": [format!("noise{noise}")] }).to_string();
            let pattern = Pattern::compile(&pattern).unwrap();
            bus.add(Rule { name: format!("noise{noise}"), pattern, targets: Vec::new() });
        }
        let wanting = |source: &str, kind: &str| -> Vec<String> {
            let event = json!({ "source": source, "detail-type": kind, "detail": { "n": 1 } });
            bus.wanting(&event).iter().map(|rule| rule.name.clone()).collect()
        };
        assert_eq!(wanting("a", "x"), ["0", "1", "2", "3", "4", "6"]);
        assert_eq!(wanting("b", "x"), ["0", "2"]);
        assert_eq!(wanting("b", "y"), ["2", "4"]);
        assert_eq!(wanting("s7", "z"), ["5"]);
        assert_eq!(wanting("noise999", "z"), ["noise999"]);
        let asked = bus.places[&(None, None)].len();
        assert_eq!(asked, 3, "rules that are asked for every event");
    }
}
