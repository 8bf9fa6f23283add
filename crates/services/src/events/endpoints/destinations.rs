//! API destinations: web endpoints that rules and pipes send to.

use super::connections::{self, connection_arn};
use super::model::{Connection, Destination, Secrets, State};
use super::{DESTINATIONS, SECRETS};
use crate::Cx;
use crate::events::keys::BusKey;
use crate::events::names::{self, bus_key};
use crate::events::{buses, faults};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

/// What AWS lets an endpoint be called in a second.
const RATE: u32 = 300;
const METHODS: [&str; 7] = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"];

/// An endpoint of HTTP or HTTPS. AWS takes HTTPS alone; what stands in one's own rack may have no
/// certificate.
pub(super) fn check_url(member: &str, url: &str) -> Result<(), Fault> {
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match parsed.as_ref().and_then(http::Uri::scheme_str) {
        Some("http" | "https") if url.len() <= 2048 => Ok(()),
        Some(_) | None => Err(faults::constraint(member, url, "Member must be the URL of a web endpoint")),
    }
}

fn check_method(method: &str) -> Result<(), Fault> {
    match METHODS.contains(&method) {
        true => Ok(()),
        false => {
            let rule = format!("Member must satisfy enum value set: [{}]", METHODS.join(", "));
            Err(faults::constraint("httpMethod", method, &rule))
        }
    }
}

fn check_rate(rate: Option<i64>) -> Result<Option<u32>, Fault> {
    let Some(given) = rate else { return Ok(None) };
    match u32::try_from(given) {
        Ok(rate @ 1..) => Ok(Some(rate)),
        Ok(0) | Err(_) => {
            let rule = "Member must have value greater than or equal to 1";
            Err(faults::constraint("invocationRateLimitPerSecond", &given.to_string(), rule))
        }
    }
}

/// The caller's connection of this ARN.
fn check_connection(cx: &mut Cx<'_>, arn: &str) -> Result<(BusKey, Connection), Fault> {
    let bad = || {
        let rule = "Member must be the ARN of a connection";
        faults::constraint("connectionArn", arn, rule)
    };
    let parsed: Arn = arn.parse().map_err(|_| bad())?;
    if parsed.service != "events" || !parsed.resource.starts_with("connection/") || arn.len() > 1600 {
        return Err(bad());
    }
    cx.allow(&parsed)?;
    connections::of_arn(cx, &parsed)?
        .ok_or_else(|| faults::missing(format!("Connection '{arn}' does not exist.")))
}

fn destination_arn(key: &BusKey, id: &str) -> Arn {
    Arn::new("events", &key.1, &key.0, format!("api-destination/{}/{id}", key.2))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    description: Option<String>,
    connection_arn: String,
    invocation_endpoint: String,
    http_method: String,
    invocation_rate_limit_per_second: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    api_destination_arn: String,
    api_destination_state: &'static str,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
    #[serde(with = "epoch_seconds")]
    last_modified_time: Time,
}

/// A destination whose connection is not authorised is not active.
fn made(cx: &Cx<'_>, key: &BusKey, destination: &Destination) -> Result<Made, Fault> {
    let arn = destination.connection.parse().map_err(|e| Fault::internal("read a destination", e))?;
    let active = connections::of_arn(cx, &arn)?
        .is_some_and(|(_, connection)| connection.state() != State::Deauthorized);
    Ok(Made {
        api_destination_arn: destination_arn(key, &destination.id).to_string(),
        api_destination_state: if active { "ACTIVE" } else { "INACTIVE" },
        creation_time: Time::from_ms(destination.created_ms),
        last_modified_time: Time::from_ms(destination.modified_ms),
    })
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Made, Fault> {
    names::check("name", &input.name, 64, false)?;
    names::check_length("description", input.description.as_deref(), 512)?;
    check_url("invocationEndpoint", &input.invocation_endpoint)?;
    check_method(&input.http_method)?;
    let rate = check_rate(input.invocation_rate_limit_per_second)?;
    let (connection, row) = check_connection(cx, &input.connection_arn)?;
    let key = bus_key(cx.caller, &input.name);
    let id = cx.ids.uuid();
    cx.allow(&destination_arn(&key, &id))?;
    if DESTINATIONS.contains(cx.tx, &key)? {
        return Err(faults::exists(format!("An api-destination '{}' already exists.", input.name)));
    }
    let destination = Destination {
        id,
        created_ms: cx.now.ms(),
        modified_ms: cx.now.ms(),
        description: input.description.unwrap_or_default(),
        connection: connection_arn(&connection, &row.id).to_string(),
        url: input.invocation_endpoint,
        method: input.http_method,
        rate: rate.unwrap_or(RATE),
    };
    DESTINATIONS.put(cx.tx, &key, &destination);
    made(cx, &key, &destination)
}

fn open(cx: &mut Cx<'_>, name: &str) -> Result<(BusKey, Destination), Fault> {
    names::check("name", name, 64, false)?;
    let key = bus_key(cx.caller, name);
    cx.allow(&destination_arn(&key, "*"))?;
    let missing = || faults::missing(format!("An api-destination '{name}' does not exist."));
    let destination = DESTINATIONS.get(cx.tx, &key)?.ok_or_else(missing)?;
    Ok((key, destination))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    name: String,
    description: Option<String>,
    connection_arn: Option<String>,
    invocation_endpoint: Option<String>,
    http_method: Option<String>,
    invocation_rate_limit_per_second: Option<i64>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Made, Fault> {
    names::check_length("description", input.description.as_deref(), 512)?;
    let (key, mut destination) = open(cx, &input.name)?;
    if let Some(arn) = input.connection_arn {
        let (connection, row) = check_connection(cx, &arn)?;
        destination.connection = connection_arn(&connection, &row.id).to_string();
    }
    if let Some(url) = input.invocation_endpoint {
        check_url("invocationEndpoint", &url)?;
        destination.url = url;
    }
    if let Some(method) = input.http_method {
        check_method(&method)?;
        destination.method = method;
    }
    if let Some(rate) = check_rate(input.invocation_rate_limit_per_second)? {
        destination.rate = rate;
    }
    destination.description = input.description.unwrap_or(destination.description);
    destination.modified_ms = cx.now.ms();
    DESTINATIONS.put(cx.tx, &key, &destination);
    made(cx, &key, &destination)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
}

#[derive(Serialize)]
pub(super) struct Deleted {}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Deleted, Fault> {
    let (key, _) = open(cx, &input.name)?;
    DESTINATIONS.delete(cx.tx, &key);
    Ok(Deleted {})
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    name: String,
    connection_arn: String,
    invocation_endpoint: String,
    http_method: String,
    invocation_rate_limit_per_second: u32,
    #[serde(flatten)]
    made: Made,
}

fn shown(cx: &Cx<'_>, key: BusKey, destination: Destination) -> Result<Shown, Fault> {
    Ok(Shown {
        made: made(cx, &key, &destination)?,
        name: key.2,
        connection_arn: destination.connection,
        invocation_endpoint: destination.url,
        http_method: destination.method,
        invocation_rate_limit_per_second: destination.rate,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(flatten)]
    shown: Shown,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Described, Fault> {
    let (key, destination) = open(cx, &input.name)?;
    let description = destination.description.clone();
    Ok(Described { description, shown: shown(cx, key, destination)? })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    connection_arn: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    api_destinations: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("events", "api-destination/*");
    cx.allow(&resource)?;
    names::check_listing(input.name_prefix.as_deref(), (64, false), input.next_token.as_deref())?;
    names::check_source(input.connection_arn.as_deref())?;
    let limit = buses::limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let (mut rows, next_token) = names::page(cx, &DESTINATIONS, &prefix, input.next_token.as_deref(), limit)?;
    if let Some(arn) = input.connection_arn {
        rows.retain(|(_, destination)| destination.connection == arn);
    }
    let shown = rows.into_iter().map(|(key, destination)| shown(cx, key, destination));
    Ok(Listed { api_destinations: shown.collect::<Result<_, _>>()?, next_token })
}

/// All that a request to an API destination is made of.
pub(crate) struct Endpoint {
    pub(super) destination: Destination,
    pub(super) connection: Connection,
    pub(super) secrets: Secrets,
}

/// Why a request cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    NoDestination,
    NoConnection,
    Deauthorized,
}

/// What an ARN of an API destination names, or why it cannot be called.
pub(crate) fn endpoint(cx: &Cx<'_>, arn: &Arn) -> Result<Result<Endpoint, Unusable>, Fault> {
    let Some((name, id)) =
        arn.resource.strip_prefix("api-destination/").and_then(|path| path.split_once('/'))
    else {
        return Ok(Err(Unusable::NoDestination));
    };
    let key = (arn.account.clone(), arn.region.clone(), name.to_owned());
    let Some(destination) = DESTINATIONS.get(cx.tx, &key)?.filter(|found| found.id == id) else {
        return Ok(Err(Unusable::NoDestination));
    };
    let connection = destination.connection.parse().map_err(|e| Fault::internal("read a destination", e))?;
    let Some((key, connection)) = connections::of_arn(cx, &connection)? else {
        return Ok(Err(Unusable::NoConnection));
    };
    if connection.state() == State::Deauthorized {
        return Ok(Err(Unusable::Deauthorized));
    }
    let secrets = SECRETS.get(cx.tx, &key)?.unwrap_or_default();
    Ok(Ok(Endpoint { destination, connection, secrets }))
}
