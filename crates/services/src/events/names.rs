//! Names and ARNs of buses and rules, and what is found under them.

use super::faults;
use super::keys::{BUSES, BusKey, RULES, RuleKey};
use super::model::{Bus, DEFAULT_BUS, Rule};
use crate::{Cx, paging};
use mayfly_kernel::{Arn, Caller, Fault};
use mayfly_store::{Map, Record, Scan};

/// The name in a bus's name or ARN.
pub(super) fn bus_name(name_or_arn: Option<&str>) -> &str {
    match name_or_arn {
        None | Some("") => DEFAULT_BUS,
        Some(text) => text.split_once(":event-bus/").map_or(text, |(_, name)| name),
    }
}

/// The bus of this name, which is the caller's, or of this ARN, which may be somebody else's.
pub(super) fn bus_of(caller: &Caller, name_or_arn: Option<&str>) -> BusKey {
    let arn = name_or_arn.and_then(|text| text.parse::<Arn>().ok());
    match arn.as_ref().and_then(|arn| Some((arn, arn.resource.strip_prefix("event-bus/")?))) {
        Some((arn, name)) => (arn.account.clone(), arn.region.clone(), name.to_owned()),
        None => bus_key(caller, bus_name(name_or_arn)),
    }
}

pub(super) fn bus_key(caller: &Caller, name: &str) -> BusKey {
    (caller.account.clone(), caller.region.clone(), name.to_owned())
}

/// Rows by name, and the token of the next page if there is one.
pub(super) type Page<R> = (Vec<(BusKey, R)>, Option<String>);

/// A page of the caller's rows whose names begin so.
pub(super) fn page<R: Record>(
    cx: &Cx<'_>,
    rows: &Map<BusKey, R>,
    prefix: &str,
    token: Option<&str>,
    limit: usize,
) -> Result<Page<R>, Fault> {
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, limit + 1).from(&bus_key(cx.caller, prefix));
    if let Some(token) = token {
        scan = scan.after(&bus_key(cx.caller, token));
    }
    let found = rows.scan(cx.tx, scan)?.into_iter().take_while(|(key, _)| key.2.starts_with(prefix));
    Ok(paging::cut(found.collect(), limit, |(key, _)| key.2.clone()))
}

pub(super) fn bus_arn(key: &BusKey) -> Arn {
    Arn::new("events", &key.1, &key.0, format!("event-bus/{}", key.2))
}

pub(super) fn rule_arn(key: &RuleKey) -> Arn {
    let (account, region, bus, name) = key;
    let resource = if bus == DEFAULT_BUS { format!("rule/{name}") } else { format!("rule/{bus}/{name}") };
    Arn::new("events", region, account, resource)
}

/// The rule that an ARN names.
pub(super) fn rule_of(arn: &Arn) -> Option<RuleKey> {
    let path = arn.resource.strip_prefix("rule/")?;
    let (bus, name) = path.rsplit_once('/').unwrap_or((DEFAULT_BUS, path));
    Some((arn.account.clone(), arn.region.clone(), bus.to_owned(), name.to_owned()))
}

/// The bus of this name or ARN, if the caller may use it. The default bus is always there.
pub(super) fn open_bus(cx: &mut Cx<'_>, name_or_arn: Option<&str>) -> Result<(BusKey, Bus), Fault> {
    let key = bus_of(cx.caller, name_or_arn);
    cx.allow(&bus_arn(&key))?;
    match BUSES.get(cx.tx, &key)? {
        Some(bus) => Ok((key, bus)),
        None if key.2 == DEFAULT_BUS => Ok((key, Bus::default())),
        None => Err(faults::no_bus(&key.2)),
    }
}

/// The rule of this name on a bus, if the caller may use it.
pub(super) fn open_rule(cx: &mut Cx<'_>, bus: Option<&str>, name: &str) -> Result<(RuleKey, Rule), Fault> {
    let (bus, _) = open_bus(cx, bus)?;
    let key = (bus.0, bus.1, bus.2, name.to_owned());
    let rule = RULES.get(cx.tx, &key)?.ok_or_else(|| faults::no_rule(name, &key.2))?;
    Ok((key, rule))
}

/// Letters, digits, points, hyphens and underscores; slashes where they may be.
pub(super) fn check(member: &str, name: &str, most: usize, slashes: bool) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || (slashes && c == '/');
    if name.is_empty() || name.len() > most {
        let rule = format!("Member must have length less than or equal to {most}");
        return Err(faults::constraint(member, name, &rule));
    }
    match name.chars().all(fits) {
        true => Ok(()),
        false => {
            let rule = "Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+";
            Err(faults::constraint(member, name, rule))
        }
    }
}

/// A text that may not be longer than so many characters.
pub(super) fn check_length(member: &str, text: Option<&str>, most: usize) -> Result<(), Fault> {
    match text {
        Some(text) if text.chars().count() > most => {
            let rule = format!("Member must have length less than or equal to {most}");
            Err(faults::constraint(member, text, &rule))
        }
        Some(_) | None => Ok(()),
    }
}

/// What every listing takes: the beginning of names, and the place where the last page ended.
pub(super) fn check_listing(
    prefix: Option<&str>,
    (most, slashes): (usize, bool),
    token: Option<&str>,
) -> Result<(), Fault> {
    if let Some(prefix) = prefix {
        check("namePrefix", prefix, most, slashes)?;
    }
    check_length("nextToken", token, 2048)
}

/// An ARN of EventBridge's own, if there is one.
pub(super) fn check_source(arn: Option<&str>) -> Result<(), Fault> {
    let Some(text) = arn else { return Ok(()) };
    check_length("eventSourceArn", arn, 1600)?;
    let own = |arn: Arn| arn.service == "events" && arn.resource.contains('/');
    match text.parse().is_ok_and(own) {
        true => Ok(()),
        false => {
            let rule = "Member must satisfy regular expression pattern: \
                        ^arn:aws([a-z]|\\-)*:events:([a-z]|\\d|\\-)*:([0-9]{12})?:.+\\/.+$";
            Err(faults::constraint("eventSourceArn", text, rule))
        }
    }
}

/// One of a closed set of values, if there is one.
pub(super) fn check_state(state: Option<&str>, known: &[&str]) -> Result<(), Fault> {
    match state {
        Some(state) if !known.contains(&state) => {
            let rule = format!("Member must satisfy enum value set: [{}]", known.join(", "));
            Err(faults::constraint("state", state, &rule))
        }
        Some(_) | None => Ok(()),
    }
}
