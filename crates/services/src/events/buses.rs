//! Event buses: their life, and the policy that says who else may put events on them.

use super::faults;
use super::keys::{self, BUSES, BusKey, RULES};
use super::model::{Bus, DEFAULT_BUS};
use super::names::{self, bus_arn, bus_key, open_bus};
use super::tags;
use crate::tags::Tag;
use crate::{Cx, paging};
use mayfly_kernel::{Fault, Policy, Time};
use mayfly_store::Scan;
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    event_bus_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Created, Fault> {
    names::check("name", &input.name, 256, true)?;
    names::check_length("description", input.description.as_deref(), 512)?;
    let key = bus_key(cx.caller, &input.name);
    cx.allow(&bus_arn(&key))?;
    if input.name.contains('/') {
        return Err(faults::validation("Event bus name must not contain '/'."));
    }
    if input.name == DEFAULT_BUS || BUSES.contains(cx.tx, &key)? {
        return Err(faults::exists(format!("Event bus {} already exists.", input.name)));
    }
    let bus = Bus {
        created_ms: cx.now.ms(),
        modified_ms: cx.now.ms(),
        description: input.description.clone().unwrap_or_default(),
        tags: crate::tags::checked::<tags::Row>(cx, input.tags)?,
        ..Bus::default()
    };
    keys::changed(cx, (&key.0, &key.1, &key.2));
    BUSES.put(cx.tx, &key, &bus);
    Ok(Created { event_bus_arn: bus_arn(&key).to_string(), description: input.description })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    name: Option<String>,
    description: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Updated {
    arn: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Updated, Fault> {
    names::check_length("description", input.description.as_deref(), 512)?;
    let (key, mut bus) = open_bus(cx, input.name.as_deref())?;
    bus.description = input.description.unwrap_or(bus.description);
    put(cx, &key, &mut bus);
    Ok(Updated { arn: bus_arn(&key).to_string(), name: key.2, description: bus.description })
}

pub(super) fn put(cx: &mut Cx<'_>, key: &BusKey, bus: &mut Bus) {
    bus.modified_ms = cx.now.ms();
    if bus.created_ms == 0 {
        bus.created_ms = cx.now.ms();
    }
    BUSES.put(cx.tx, key, bus);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    name: String,
    arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    creation_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    last_modified_time: Option<Time>,
}

fn shown(key: BusKey, bus: Bus) -> Shown {
    // The default bus has no time unless somebody has changed it.
    let time = |ms: u64| (ms > 0).then(|| Time::from_ms(ms));
    Shown {
        arn: bus_arn(&key).to_string(),
        name: key.2,
        description: bus.description,
        policy: bus.policy,
        creation_time: time(bus.created_ms),
        last_modified_time: time(bus.modified_ms),
    }
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Shown, Fault> {
    let (key, bus) = open_bus(cx, input.name.as_deref())?;
    Ok(shown(key, bus))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    event_buses: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn limit(limit: Option<usize>) -> Result<usize, Fault> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE => Ok(limit),
        limit => {
            let rule = "Member must have value between 1 and 100";
            Err(faults::constraint("limit", &limit.to_string(), rule))
        }
    }
}

/// The default bus comes in its place, whether or not it has a row.
pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("events", "event-bus/*");
    cx.allow(&resource)?;
    names::check_listing(input.name_prefix.as_deref(), (256, true), input.next_token.as_deref())?;
    let limit = limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let place = (cx.caller.account.clone(), cx.caller.region.clone());
    let mut scan = Scan::prefix(&place, limit + 2).from(&bus_key(cx.caller, &prefix));
    if let Some(token) = &input.next_token {
        scan = scan.after(&bus_key(cx.caller, token));
    }
    let rows = BUSES.scan(cx.tx, scan)?.into_iter().take_while(|(key, _)| key.2.starts_with(&prefix));
    let mut rows: Vec<(BusKey, Bus)> = rows.collect();
    let after = input.next_token.as_deref().unwrap_or_default();
    let wanted = DEFAULT_BUS.starts_with(&prefix) && after < DEFAULT_BUS;
    if wanted && !rows.iter().any(|(key, _)| key.2 == DEFAULT_BUS) {
        rows.push((bus_key(cx.caller, DEFAULT_BUS), Bus::default()));
        rows.sort_by(|(a, _), (b, _)| a.2.cmp(&b.2));
    }
    let (rows, next_token) = paging::cut(rows, limit, |(key, _)| key.2.clone());
    Ok(Listed { event_buses: rows.into_iter().map(|(key, bus)| shown(key, bus)).collect(), next_token })
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let key = names::bus_of(cx.caller, input.name.as_deref());
    let name = key.2.clone();
    names::check("name", &name, 256, true)?;
    cx.allow(&bus_arn(&key))?;
    if name == DEFAULT_BUS {
        return Err(faults::validation("Cannot delete event bus default."));
    }
    if !RULES.scan(cx.tx, Scan::prefix(&key, 1))?.is_empty() {
        return Err(faults::validation(format!("Event bus {name} can't be deleted since it has rules.")));
    }
    BUSES.delete(cx.tx, &key);
    keys::changed(cx, (&key.0, &key.1, &key.2));
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutPermission {
    event_bus_name: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    statement_id: Option<String>,
    condition: Option<Condition>,
    policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Condition {
    #[serde(rename = "Type")]
    kind: String,
    key: String,
    value: String,
}

pub(super) fn put_permission(cx: &mut Cx<'_>, input: PutPermission) -> Result<(), Fault> {
    let (key, mut bus) = open_bus(cx, input.event_bus_name.as_deref())?;
    if let Some(policy) = input.policy {
        if input.action.is_some() || input.principal.is_some() || input.statement_id.is_some() {
            let text = "Action, Principal, StatementId and Condition are not valid with Policy.";
            return Err(faults::validation(text));
        }
        return set_policy(cx, &key, &mut bus, policy);
    }
    let (Some(action), Some(principal), Some(id)) = (input.action, input.principal, input.statement_id)
    else {
        return Err(faults::validation("Parameter Action, Principal and StatementId must be specified."));
    };
    if action != "events:PutEvents" {
        return Err(faults::validation("Provided value in parameter 'action' is not supported."));
    }
    let account = principal.len() == 12 && principal.bytes().all(|b| b.is_ascii_digit());
    if !account && principal != "*" {
        let text = "Provided value in parameter 'principal' is not valid.";
        return Err(faults::validation(text));
    }
    let principal =
        if account { json!({ "AWS": format!("arn:aws:iam::{principal}:root") }) } else { json!("*") };
    let mut statement = json!({ "Sid": id, "Effect": "Allow", "Principal": principal, "Action": action,
        "Resource": bus_arn(&key).to_string() });
    if let Some(condition) = input.condition {
        let operand = Value::Object([(condition.key, json!(condition.value))].into_iter().collect());
        statement["Condition"] = Value::Object([(condition.kind, operand)].into_iter().collect());
    }
    let mut statements = statements(&bus);
    statements.retain(|other| other["Sid"] != id);
    statements.push(statement);
    write(cx, &key, &mut bus, statements)
}

fn statements(bus: &Bus) -> Vec<Value> {
    let document: Value = serde_json::from_str(&bus.policy).unwrap_or_default();
    match &document["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

fn write(cx: &mut Cx<'_>, key: &BusKey, bus: &mut Bus, statements: Vec<Value>) -> Result<(), Fault> {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    match statements.is_empty() {
        true => {
            bus.policy.clear();
            keys::changed(cx, (&key.0, &key.1, &key.2));
            put(cx, key, bus);
            Ok(())
        }
        false => set_policy(cx, key, bus, policy),
    }
}

/// Keeps a document as the bus's policy if it is one, of actions of EventBridge on this bus.
fn set_policy(cx: &mut Cx<'_>, key: &BusKey, bus: &mut Bus, document: String) -> Result<(), Fault> {
    let bad = |why: String| faults::validation(format!("Invalid policy document: {why}"));
    let policy: Policy = serde_json::from_str(&document).map_err(|error| bad(error.to_string()))?;
    let of_buses = |action: &String| action == "*" || action.to_ascii_lowercase().starts_with("events:");
    if let Some(other) = policy.actions().find(|action| !of_buses(action)) {
        return Err(bad(format!("{other} is no action of EventBridge")));
    }
    let (most, size) = (cx.limits.bus_policy_bytes, document.len());
    if size > most {
        return Err(faults::policy_too_long(size, most));
    }
    bus.policy = document;
    keys::changed(cx, (&key.0, &key.1, &key.2));
    put(cx, key, bus);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemovePermission {
    event_bus_name: Option<String>,
    statement_id: Option<String>,
    #[serde(default)]
    remove_all_permissions: bool,
}

pub(super) fn remove_permission(cx: &mut Cx<'_>, input: RemovePermission) -> Result<(), Fault> {
    let (key, mut bus) = open_bus(cx, input.event_bus_name.as_deref())?;
    if input.remove_all_permissions {
        return write(cx, &key, &mut bus, Vec::new());
    }
    let mut statements = statements(&bus);
    if statements.is_empty() {
        return Err(faults::missing("EventBus does not have a policy."));
    }
    let before = statements.len();
    let id = input.statement_id.unwrap_or_default();
    statements.retain(|statement| statement["Sid"] != id);
    if statements.len() == before {
        return Err(faults::missing("Statement with the provided id does not exist."));
    }
    write(cx, &key, &mut bus, statements)
}
