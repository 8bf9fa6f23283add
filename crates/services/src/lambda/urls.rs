//! Function URLs: their configuration, and the way from a URL's id to the version that answers.

use super::keys::{URL_IDS, URLS};
use super::model::{CorsRow, UrlIdRow, UrlRow, VersionRow, timestamp};
use super::names::{self, Function, Qualifier};
use super::paging::{self, OfFunction};
use super::resolve::Choice;
use super::{check, faults, lookup, permissions};
use crate::Cx;
use mayfly_kernel::Fault;
use mayfly_store::Scan;
use serde::{Deserialize, Serialize};

const ID_LEN: usize = 32;
const AUTH_TYPES: [&str; 2] = ["NONE", "AWS_IAM"];
const INVOKE_MODES: [&str; 2] = ["BUFFERED", "RESPONSE_STREAM"];
const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"];

/// Cross-origin rules, as the API shows them and as the gateway applies them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cors {
    pub allow_credentials: Option<bool>,
    pub allow_headers: Option<Vec<String>>,
    pub allow_methods: Option<Vec<String>>,
    pub allow_origins: Option<Vec<String>>,
    pub expose_headers: Option<Vec<String>>,
    pub max_age: Option<u32>,
}

impl Cors {
    fn check(&self) -> Result<(), Fault> {
        let lists = [
            (&self.allow_headers, "cors.allowHeaders", 100),
            (&self.allow_methods, "cors.allowMethods", 6),
            (&self.allow_origins, "cors.allowOrigins", 100),
            (&self.expose_headers, "cors.exposeHeaders", 100),
        ];
        for (list, path, max) in lists {
            if list.as_ref().is_some_and(|list| list.len() > max) {
                let shown = list.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
                let constraint = format!("Member must have length less than or equal to {max}");
                return Err(faults::invalid(format_args!("[{shown}]"), path, constraint));
            }
        }
        for method in self.allow_methods.iter().flatten() {
            check::one_of(method, "cors.allowMethods", &METHODS)?;
        }
        match self.max_age {
            Some(seconds) => check::range(seconds.into(), "cors.maxAge", 0, 86_400),
            None => Ok(()),
        }
    }
}

impl From<Cors> for CorsRow {
    fn from(cors: Cors) -> CorsRow {
        CorsRow {
            allow_credentials: cors.allow_credentials,
            allow_headers: cors.allow_headers.unwrap_or_default(),
            allow_methods: cors.allow_methods.unwrap_or_default(),
            allow_origins: cors.allow_origins.unwrap_or_default(),
            expose_headers: cors.expose_headers.unwrap_or_default(),
            max_age_s: cors.max_age,
        }
    }
}

impl From<CorsRow> for Cors {
    fn from(row: CorsRow) -> Cors {
        let filled = |list: Vec<String>| (!list.is_empty()).then_some(list);
        Cors {
            allow_credentials: row.allow_credentials,
            allow_headers: filled(row.allow_headers),
            allow_methods: filled(row.allow_methods),
            allow_origins: filled(row.allow_origins),
            expose_headers: filled(row.expose_headers),
            max_age: row.max_age_s,
        }
    }
}

/// Whom a function URL lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlAuth {
    /// Anyone: the auth type is `NONE` and the resource policy allows the public.
    Anyone,
    /// Signed calls of the account.
    Iam,
    /// Nobody: the auth type is `NONE`, but no policy statement allows the public. Lambda answers 403
    /// `Forbidden`.
    Nobody,
}

/// What a function URL leads to.
#[derive(Clone, Debug)]
pub struct UrlTarget {
    pub choice: Choice,
    pub auth: UrlAuth,
    pub cors: Option<Cors>,
    pub invoked_arn: String,
    /// The invoke mode is `RESPONSE_STREAM`.
    pub streams: bool,
}

/// The target of the URL with this id, if there is such a URL.
pub fn url_target(cx: &mut Cx<'_>, url_id: &str) -> Result<Option<UrlTarget>, Fault> {
    // The URL's own rule decides who gets in; the gateway applies what `auth` says.
    cx.allowed_by_policy();
    let Some(id) = URL_IDS.get(cx.tx, &(url_id,))? else { return Ok(None) };
    let qualifier = Some(id.qualifier.clone()).filter(|qualifier| !qualifier.is_empty());
    let function = Function { account: id.account, region: id.region, name: id.name, qualifier };
    let Some(row) = URLS.get(cx.tx, &function.qualified_key(&id.qualifier))? else { return Ok(None) };
    let auth = match row.auth_type.as_str() {
        "NONE" if permissions::is_public(cx, &function)? => UrlAuth::Anyone,
        "NONE" => UrlAuth::Nobody,
        _ => UrlAuth::Iam,
    };
    let choice = Choice::of(cx, &function)?;
    Ok(Some(UrlTarget {
        choice,
        auth,
        cors: row.cors.map(Cors::from),
        invoked_arn: function.named_arn().to_string(),
        streams: row.invoke_mode == "RESPONSE_STREAM",
    }))
}

/// `FunctionUrlConfig` of the API.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    function_url: String,
    function_arn: String,
    auth_type: String,
    cors: Option<Cors>,
    creation_time: String,
    last_modified_time: String,
    invoke_mode: String,
}

impl Config {
    fn new(cx: &Cx<'_>, function: &Function, row: UrlRow) -> Config {
        let (scheme, port) = (cx.site.scheme(), cx.site.port_suffix());
        Config {
            function_url: format!("{scheme}://{}.lambda-url.localhost{port}/", row.url_id),
            function_arn: function.named_arn().to_string(),
            auth_type: row.auth_type,
            cors: row.cors.map(Cors::from),
            creation_time: timestamp(row.created_ms),
            last_modified_time: timestamp(row.modified_ms),
            invoke_mode: row.invoke_mode,
        }
    }
}

fn url_key(function: &Function) -> super::keys::QualifiedKey {
    function.qualified_key(function.qualifier.as_deref().unwrap_or_default())
}

/// The function of a URL operation: whole, or one of its aliases.
fn named(cx: &mut Cx<'_>, name: &str, qualifier: Option<&str>) -> Result<Function, Fault> {
    let function = names::function(cx, name, qualifier)?;
    match (&function.qualifier, function.meaning()) {
        (Some(text), Qualifier::Version(_)) => {
            Err(faults::pattern(text, "qualifier", r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"))
        }
        (None, _) | (Some(_), Qualifier::Alias(_)) => Ok(function),
    }
}

fn must_exist(cx: &Cx<'_>, function: &Function) -> Result<(), Fault> {
    let missing = || faults::not_found("Function does not exist");
    lookup::function(cx, function).map_err(|_| missing())?;
    match function.meaning() {
        Qualifier::Alias(name) => lookup::alias(cx, function, &name)?.map(drop).ok_or_else(missing),
        Qualifier::Version(_) => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    function_name: String,
    qualifier: Option<String>,
    auth_type: String,
    cors: Option<Cors>,
    invoke_mode: Option<String>,
}

pub(super) fn create(cx: &mut Cx<'_>, input: Create) -> Result<Config, Fault> {
    let function = named(cx, &input.function_name, input.qualifier.as_deref())?;
    check::one_of(&input.auth_type, "authType", &AUTH_TYPES)?;
    let invoke_mode = input.invoke_mode.unwrap_or_else(|| "BUFFERED".into());
    check::one_of(&invoke_mode, "invokeMode", &INVOKE_MODES)?;
    input.cors.as_ref().map_or(Ok(()), Cors::check)?;
    must_exist(cx, &function)?;
    if lookup::version(cx, &function)?.per_tenant {
        return Err(faults::not_per_tenant("A function URL"));
    }
    let key = url_key(&function);
    if URLS.contains(cx.tx, &key)? {
        return Err(faults::conflict(format!(
            "Failed to create function url config for [functionArn = {}]. \
             Error message:  FunctionUrlConfig exists for this Lambda function",
            function.named_arn()
        )));
    }
    let row = UrlRow {
        url_id: cx.ids.lower(ID_LEN),
        auth_type: input.auth_type,
        cors: input.cors.map(CorsRow::from),
        invoke_mode,
        created_ms: cx.now.ms(),
        modified_ms: cx.now.ms(),
    };
    let (account, region, name, qualifier) = key.clone();
    URL_IDS.put(cx.tx, &(row.url_id.clone(),), &UrlIdRow { account, region, name, qualifier });
    URLS.put(cx.tx, &key, &row);
    Ok(Config::new(cx, &function, row))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    function_name: String,
    qualifier: Option<String>,
    auth_type: Option<String>,
    cors: Option<Cors>,
    invoke_mode: Option<String>,
}

pub(super) fn update(cx: &mut Cx<'_>, input: Update) -> Result<Config, Fault> {
    let function = named(cx, &input.function_name, input.qualifier.as_deref())?;
    must_exist(cx, &function)?;
    let mut row = stored(cx, &function)?;
    if let Some(auth_type) = input.auth_type {
        check::one_of(&auth_type, "authType", &AUTH_TYPES)?;
        row.auth_type = auth_type;
    }
    if let Some(invoke_mode) = input.invoke_mode {
        check::one_of(&invoke_mode, "invokeMode", &INVOKE_MODES)?;
        row.invoke_mode = invoke_mode;
    }
    if let Some(cors) = input.cors {
        cors.check()?;
        row.cors = (cors != Cors::default()).then(|| cors.into());
    }
    row.modified_ms = cx.now.ms();
    URLS.put(cx.tx, &url_key(&function), &row);
    Ok(Config::new(cx, &function, row))
}

fn stored(cx: &Cx<'_>, function: &Function) -> Result<UrlRow, Fault> {
    URLS.get(cx.tx, &url_key(function))?.ok_or_else(faults::no_such_resource)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    function_name: String,
    qualifier: Option<String>,
}

pub(super) fn get(cx: &mut Cx<'_>, input: Named) -> Result<Config, Fault> {
    let function = named(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = stored(cx, &function)?;
    Ok(Config::new(cx, &function, row))
}

pub(super) fn delete(cx: &mut Cx<'_>, input: Named) -> Result<(), Fault> {
    let function = named(cx, &input.function_name, input.qualifier.as_deref())?;
    let row = stored(cx, &function)?;
    URL_IDS.delete(cx.tx, &(row.url_id,));
    URLS.delete(cx.tx, &url_key(&function));
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    function_url_configs: Vec<Config>,
    next_marker: Option<String>,
}

/// A marker is the qualifier of the last one shown, `$LATEST` for the function's own.
pub(super) fn list(cx: &mut Cx<'_>, input: OfFunction) -> Result<Listed, Fault> {
    let function = named(cx, &input.function_name, None)?;
    must_exist(cx, &function)?;
    let limit = paging::size(input.max_items, 50)?;
    let mut scan = Scan::prefix(&function.key(), limit + 1);
    if let Some(marker) = &input.marker {
        let qualifier = if marker == VersionRow::LATEST { "" } else { marker };
        scan = scan.after(&function.qualified_key(qualifier));
    }
    let (rows, next_marker) =
        paging::cut(URLS.scan(cx.tx, scan)?, limit, |((.., qualifier), _)| match qualifier.as_str() {
            "" => VersionRow::LATEST.to_owned(),
            named => named.to_owned(),
        });
    let shown = |((.., qualifier), row): (super::keys::QualifiedKey, UrlRow)| {
        let qualifier = Some(qualifier).filter(|qualifier| !qualifier.is_empty());
        Config::new(cx, &Function { qualifier, ..function.clone() }, row)
    };
    Ok(Listed { function_url_configs: rows.into_iter().map(shown).collect(), next_marker })
}
