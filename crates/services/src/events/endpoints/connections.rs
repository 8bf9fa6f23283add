//! Connections: how requests show who sends them.
//!
//! One of user and password, or of an API key, is authorised as it is made. One of OAuth is once it has got a
//! token, which a delivery of the fabric sees to.

use super::model::{Authorization, Connection, Secrets, State};
use super::parameters::Given;
use super::request::{TokenRequest, token_request};
use super::{CONNECTIONS, SECRETS};
use crate::Cx;
use crate::events::keys::BusKey;
use crate::events::names::{self, bus_key};
use crate::events::{buses, faults};
use crate::fabric::{self, Delivery, Record, Target, Verdict};
use mayfly_kernel::{Arn, Fault, Time};
use mayfly_wire::with::epoch_seconds;
use serde::{Deserialize, Serialize};

const STATES: [&str; 9] = [
    "CREATING",
    "UPDATING",
    "DELETING",
    "AUTHORIZED",
    "DEAUTHORIZED",
    "AUTHORIZING",
    "DEAUTHORIZING",
    "ACTIVE",
    "FAILED_CONNECTIVITY",
];

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Basic,
    ApiKey,
    OauthClientCredentials,
}

impl Kind {
    fn kept(self) -> Authorization {
        match self {
            Kind::Basic => Authorization::Basic,
            Kind::ApiKey => Authorization::ApiKey,
            Kind::OauthClientCredentials => Authorization::OAuth,
        }
    }
}

fn kind_name(authorization: Authorization) -> &'static str {
    match authorization {
        Authorization::Basic => "BASIC",
        Authorization::ApiKey => "API_KEY",
        Authorization::OAuth | Authorization::Unspecified => "OAUTH_CLIENT_CREDENTIALS",
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Auth {
    #[serde(skip_serializing_if = "Option::is_none")]
    basic_auth_parameters: Option<Basic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_auth_parameters: Option<ApiKey>,
    #[serde(rename = "OAuthParameters", skip_serializing_if = "Option::is_none")]
    oauth_parameters: Option<OAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invocation_http_parameters: Option<Given>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Basic {
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct ApiKey {
    api_key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_value: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct OAuth {
    client_parameters: Option<Client>,
    authorization_endpoint: Option<String>,
    http_method: Option<String>,
    #[serde(rename = "OAuthHttpParameters", skip_serializing_if = "Option::is_none")]
    oauth_http_parameters: Option<Given>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Client {
    #[serde(rename = "ClientID")]
    id: Option<String>,
    #[serde(rename = "ClientSecret", skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl Auth {
    /// Sets what was given; what was not stays as it is.
    fn apply(self, connection: &mut Connection, secrets: &mut Secrets) -> Result<(), Fault> {
        let set = |to: &mut String, from: Option<String>| {
            if let Some(from) = from {
                *to = from;
            }
        };
        match connection.authorization() {
            Authorization::Basic => {
                let given = self.basic_auth_parameters.unwrap_or_default();
                set(&mut connection.principal, given.username);
                set(&mut secrets.secret, given.password);
            }
            Authorization::ApiKey => {
                let given = self.api_key_auth_parameters.unwrap_or_default();
                set(&mut connection.principal, given.api_key_name);
                set(&mut secrets.secret, given.api_key_value);
            }
            Authorization::OAuth | Authorization::Unspecified => {
                let given = self.oauth_parameters.unwrap_or_default();
                let client = given.client_parameters.unwrap_or_default();
                set(&mut connection.principal, client.id);
                set(&mut secrets.secret, client.secret);
                set(&mut connection.token_endpoint, given.authorization_endpoint);
                set(&mut connection.token_method, given.http_method);
                if let Some(parameters) = given.oauth_http_parameters {
                    secrets.token = Some(parameters.checked()?);
                }
            }
        }
        if let Some(parameters) = self.invocation_http_parameters {
            secrets.invocation = Some(parameters.checked()?);
        }
        check(connection, secrets)
    }

    fn shown(connection: &Connection, secrets: &Secrets) -> Auth {
        let principal = Some(connection.principal.clone());
        let mut shown =
            Auth { invocation_http_parameters: Given::shown(secrets.invocation.as_ref()), ..Auth::default() };
        match connection.authorization() {
            Authorization::Basic => {
                shown.basic_auth_parameters = Some(Basic { username: principal, password: None });
            }
            Authorization::ApiKey => {
                shown.api_key_auth_parameters = Some(ApiKey { api_key_name: principal, api_key_value: None });
            }
            Authorization::OAuth | Authorization::Unspecified => {
                shown.oauth_parameters = Some(OAuth {
                    client_parameters: Some(Client { id: principal, secret: None }),
                    authorization_endpoint: Some(connection.token_endpoint.clone()),
                    http_method: Some(connection.token_method.clone()),
                    oauth_http_parameters: Given::shown(secrets.token.as_ref()),
                });
            }
        }
        shown
    }
}

fn check(connection: &Connection, secrets: &Secrets) -> Result<(), Fault> {
    let member = match connection.authorization() {
        Authorization::Basic => "BasicAuthParameters",
        Authorization::ApiKey => "ApiKeyAuthParameters",
        Authorization::OAuth | Authorization::Unspecified => "OAuthParameters",
    };
    for text in [&connection.principal, &secrets.secret] {
        if text.is_empty() || text.len() > 512 || text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            let text = format!("Parameter {member} is not valid: it must have 1 to 512 characters of text.");
            return Err(faults::validation(text));
        }
    }
    match connection.authorization() {
        Authorization::ApiKey if http::HeaderName::try_from(connection.principal.as_str()).is_err() => {
            Err(faults::validation("Parameter ApiKeyName is not valid: it is no header's name."))
        }
        Authorization::OAuth if !["GET", "POST", "PUT"].contains(&connection.token_method.as_str()) => {
            let rule = "Member must satisfy enum value set: [GET, POST, PUT]";
            Err(faults::constraint("httpMethod", &connection.token_method, rule))
        }
        Authorization::OAuth => {
            super::destinations::check_url("authorizationEndpoint", &connection.token_endpoint)
        }
        Authorization::Basic | Authorization::ApiKey | Authorization::Unspecified => Ok(()),
    }
}

pub(super) fn connection_arn(key: &BusKey, id: &str) -> Arn {
    Arn::new("events", &key.1, &key.0, format!("connection/{}/{id}", key.2))
}

/// The connection that an ARN names, if it is still that one.
pub(super) fn of_arn(cx: &Cx<'_>, arn: &Arn) -> Result<Option<(BusKey, Connection)>, Fault> {
    let Some((name, id)) = arn.resource.strip_prefix("connection/").and_then(|path| path.split_once('/'))
    else {
        return Ok(None);
    };
    let key = (arn.account.clone(), arn.region.clone(), name.to_owned());
    let found = CONNECTIONS.get(cx.tx, &key)?.filter(|connection| connection.id == id);
    Ok(found.map(|connection| (key, connection)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    name: String,
    description: Option<String>,
    authorization_type: Kind,
    auth_parameters: Auth,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    connection_arn: String,
    connection_state: &'static str,
    #[serde(with = "epoch_seconds")]
    creation_time: Time,
    #[serde(with = "epoch_seconds")]
    last_modified_time: Time,
    #[serde(skip_serializing_if = "Option::is_none", with = "epoch_seconds::option")]
    last_authorized_time: Option<Time>,
}

fn time(ms: u64) -> Option<Time> {
    (ms > 0).then(|| Time::from_ms(ms))
}

fn made(key: &BusKey, connection: &Connection) -> Made {
    Made {
        connection_arn: connection_arn(key, &connection.id).to_string(),
        connection_state: connection.state().name(),
        creation_time: Time::from_ms(connection.created_ms),
        last_modified_time: Time::from_ms(connection.modified_ms),
        last_authorized_time: time(connection.authorized_ms),
    }
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Made, Fault> {
    names::check("name", &input.name, 64, false)?;
    names::check_length("description", input.description.as_deref(), 512)?;
    let key = bus_key(cx.caller, &input.name);
    let id = cx.ids.uuid();
    cx.allow(&connection_arn(&key, &id))?;
    if CONNECTIONS.contains(cx.tx, &key)? {
        return Err(faults::exists(format!("Connection {} already exists.", input.name)));
    }
    let mut connection = Connection {
        id,
        created_ms: cx.now.ms(),
        description: input.description.unwrap_or_default(),
        authorization: input.authorization_type.kept().into(),
        ..Connection::default()
    };
    let mut secrets = Secrets::default();
    input.auth_parameters.apply(&mut connection, &mut secrets)?;
    write(cx, &key, connection, &secrets)
}

/// Writes a connection whose credentials are new, and sees to it that it is authorised.
fn write(
    cx: &mut Cx<'_>,
    key: &BusKey,
    mut connection: Connection,
    secrets: &Secrets,
) -> Result<Made, Fault> {
    connection.modified_ms = cx.now.ms();
    connection.generation += 1;
    connection.reason = String::new();
    if connection.authorization() == Authorization::OAuth {
        connection.set_state(State::Authorizing);
        let arn = connection_arn(key, &connection.id);
        cx.deliver(Delivery {
            source: arn.to_string(),
            target: Target::Call(arn),
            event_type: AUTHORIZE.into(),
            payload: connection.generation.to_be_bytes().to_vec(),
            id: None,
            due: None,
            depth: 0,
            tenant: None,
        })?;
    } else {
        connection.set_state(State::Authorized);
        connection.authorized_ms = cx.now.ms();
    }
    CONNECTIONS.put(cx.tx, key, &connection);
    SECRETS.put(cx.tx, key, secrets);
    Ok(made(key, &connection))
}

fn open(cx: &mut Cx<'_>, name: &str) -> Result<(BusKey, Connection), Fault> {
    names::check("name", name, 64, false)?;
    let key = bus_key(cx.caller, name);
    cx.allow(&connection_arn(&key, "*"))?;
    let missing = || faults::missing(format!("Connection '{name}' does not exist."));
    let connection = CONNECTIONS.get(cx.tx, &key)?.ok_or_else(missing)?;
    Ok((key, connection))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    name: String,
    description: Option<String>,
    authorization_type: Option<Kind>,
    auth_parameters: Option<Auth>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Made, Fault> {
    names::check_length("description", input.description.as_deref(), 512)?;
    let (key, mut connection) = open(cx, &input.name)?;
    connection.description = input.description.unwrap_or(connection.description);
    let mut secrets = SECRETS.get(cx.tx, &key)?.unwrap_or_default();
    if let Some(kind) = input.authorization_type.map(Kind::kept)
        && kind != connection.authorization()
    {
        connection.set_authorization(kind);
        (connection.principal, secrets.secret) = Default::default();
        (connection.token_endpoint, connection.token_method, secrets.token) = Default::default();
    }
    input.auth_parameters.unwrap_or_default().apply(&mut connection, &mut secrets)?;
    write(cx, &key, connection, &secrets)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    name: String,
}

/// Takes away all that it is authorised with.
pub(super) fn deauthorize(cx: &mut Cx<'_>, input: Named) -> Result<Made, Fault> {
    let (key, mut connection) = open(cx, &input.name)?;
    connection.set_state(State::Deauthorized);
    connection.reason = "The connection was deauthorized by its owner.".into();
    connection.modified_ms = cx.now.ms();
    connection.generation += 1;
    CONNECTIONS.put(cx.tx, &key, &connection);
    SECRETS.delete(cx.tx, &key);
    Ok(made(&key, &connection))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<Made, Fault> {
    let (key, connection) = open(cx, &input.name)?;
    CONNECTIONS.delete(cx.tx, &key);
    SECRETS.delete(cx.tx, &key);
    Ok(Made { connection_state: "DELETING", ..made(&key, &connection) })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    connections: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    name: String,
    authorization_type: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    state_reason: String,
    #[serde(flatten)]
    made: Made,
}

fn shown(key: BusKey, connection: Connection) -> Shown {
    Shown {
        made: made(&key, &connection),
        name: key.2,
        authorization_type: kind_name(connection.authorization()),
        state_reason: connection.reason,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    auth_parameters: Auth,
    #[serde(flatten)]
    shown: Shown,
}

pub(super) fn describe(cx: &mut Cx<'_>, input: Named) -> Result<Described, Fault> {
    let (key, connection) = open(cx, &input.name)?;
    let secrets = SECRETS.get(cx.tx, &key)?.unwrap_or_default();
    Ok(Described {
        description: connection.description.clone(),
        auth_parameters: Auth::shown(&connection, &secrets),
        shown: shown(key, connection),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    name_prefix: Option<String>,
    connection_state: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
}

pub(super) fn list(cx: &mut Cx<'_>, input: List) -> Result<Listed, Fault> {
    let resource = cx.arn("events", "connection/*");
    cx.allow(&resource)?;
    names::check_listing(input.name_prefix.as_deref(), (64, false), input.next_token.as_deref())?;
    names::check_state(input.connection_state.as_deref(), &STATES)?;
    let limit = buses::limit(input.limit)?;
    let prefix = input.name_prefix.unwrap_or_default();
    let (rows, next_token) = names::page(cx, &CONNECTIONS, &prefix, input.next_token.as_deref(), limit)?;
    let mut connections: Vec<Shown> =
        rows.into_iter().map(|(key, connection)| shown(key, connection)).collect();
    if let Some(state) = input.connection_state {
        connections.retain(|connection| connection.made.connection_state == state);
    }
    Ok(Listed { connections, next_token })
}

const AUTHORIZE: &str = "mayfly.connection.authorize";

/// The connection that a delivery wants to be authorised, unless it has been changed since.
fn wanted(cx: &Cx<'_>, record: &Record) -> Result<Option<(BusKey, Connection)>, Fault> {
    let Target::Call(arn) = record.target()? else { return Ok(None) };
    let of_this = |(_, connection): &(BusKey, Connection)| {
        connection.generation.to_be_bytes()[..] == record.payload[..]
            && connection.state() == State::Authorizing
    };
    Ok(of_arn(cx, &arn)?.filter(of_this))
}

/// The request that gets a connection its first token; `None` if nobody waits for it any more.
pub fn token_of(cx: &mut Cx<'_>, record: &Record) -> Result<Option<TokenRequest>, Fault> {
    cx.allowed_by_policy();
    let Some((key, connection)) = wanted(cx, record)? else { return Ok(None) };
    let secrets = SECRETS.get(cx.tx, &key)?.unwrap_or_default();
    Ok(Some(token_request(&connection, &secrets)))
}

/// Notes whether a connection has got its first token.
pub fn authorized(cx: &mut Cx<'_>, record: &Record, got: &Result<(), String>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    if let Some((key, mut connection)) = wanted(cx, record)? {
        match got {
            Ok(()) => {
                connection.set_state(State::Authorized);
                connection.authorized_ms = cx.now.ms();
            }
            Err(why) => {
                connection.set_state(State::Deauthorized);
                connection.reason = why.chars().take(512).collect();
            }
        }
        CONNECTIONS.put(cx.tx, &key, &connection);
    }
    fabric::settle(cx, record.clone(), Verdict::Done)
}
