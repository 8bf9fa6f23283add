//! Tags of buses and rules.

use super::buses;
use super::faults;
use super::keys::{BusKey, RULES, RuleKey};
use super::model::{Bus, Rule};
use super::names::{open_bus, rule_of};
use crate::Cx;
use crate::tags::{Misfit, Tag, Tagged, Tags};
use mayfly_kernel::{Arn, Fault};

pub(super) enum Row {
    Bus(BusKey, Bus),
    Rule(RuleKey, Rule),
}

impl Tagged for Row {
    type Form = Vec<Tag>;

    fn open(cx: &mut Cx<'_>, text: &str) -> Result<Row, Fault> {
        let invalid = || faults::validation(format!("Parameter {text} is not valid."));
        let arn: Arn = text.parse().map_err(|_| invalid())?;
        if arn.resource.starts_with("event-bus/") {
            return open_bus(cx, Some(text)).map(|(key, bus)| Row::Bus(key, bus));
        }
        let key = rule_of(&arn).ok_or_else(invalid)?;
        cx.allow(&arn)?;
        let rule = RULES.get(cx.tx, &key)?.ok_or_else(|| faults::no_rule(&key.3, &key.2))?;
        Ok(Row::Rule(key, rule))
    }

    fn tags(&mut self) -> &mut Tags {
        match self {
            Row::Bus(_, bus) => &mut bus.tags,
            Row::Rule(_, rule) => &mut rule.tags,
        }
    }

    fn save(self, cx: &mut Cx<'_>) {
        match self {
            Row::Bus(key, mut bus) => buses::put(cx, &key, &mut bus),
            Row::Rule(key, rule) => RULES.put(cx.tx, &key, &rule),
        }
    }

    fn refusal(misfit: &Misfit<'_>) -> Fault {
        faults::validation(match misfit {
            Misfit::Key(_) | Misfit::Value(_) => {
                "Tag keys must be 1 to 128 characters and not start with aws:, tag values at most 256."
                    .to_owned()
            }
            Misfit::Count(limit) => format!("A resource has at most {limit} tags."),
        })
    }
}
