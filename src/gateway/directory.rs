//! Which function answers at an address, remembered until something it was read from changes.
//!
//! A look-up in the store decodes half a dozen rows; here it costs a counter and a map. Everything kept is
//! dropped as soon as a commit touches any map that it was read from, and that is before the commit is
//! acknowledged ([`Changes`]): whoever was told of a change meets it.
//!
//! Not here: addresses that lead nowhere, which anyone could make up without end; they are looked up each
//! time.

use crate::cloud::Cloud;
use mayfly_kernel::{Arn, Caller, Fault};
use mayfly_services::apigateway::{self, Compiled, Cors, Hit};
use mayfly_services::lambda::{self, Choice, UrlAuth};
use mayfly_store::{Changes, Store};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The service as which routes of APIs call functions.
const API_GATEWAY: &str = "apigateway.amazonaws.com";
/// When so many are kept, all are forgotten: a bound, not a policy.
const KEPT_MAX: usize = 16 * 1024;

pub(crate) struct Directory {
    changes: Changes,
    urls: Kept<Url>,
    apis: Kept<Api>,
}

struct Kept<T>(RwLock<Known<T>>);

struct Known<T> {
    /// The count of changes at which all of these were true.
    at: u64,
    by_id: HashMap<String, Arc<T>>,
}

/// A function as it is reached over HTTP.
pub(super) struct Endpoint {
    pub(super) choice: Choice,
    pub(super) invoked_arn: String,
    /// The payload format.
    pub(super) format: String,
    /// The answer goes on as the function writes it.
    pub(super) streams: bool,
    /// `None`: as long as the function itself may take.
    pub(super) timeout: Option<Duration>,
    pub(super) account: String,
    pub(super) route_key: String,
    pub(super) stage: String,
    pub(super) stage_variables: HashMap<String, String>,
}

pub(super) struct Url {
    pub(super) auth: UrlAuth,
    pub(super) cors: Option<Cors>,
    pub(super) endpoint: Arc<Endpoint>,
}

pub(super) struct Api {
    compiled: Compiled,
    /// By the target's number, each looked up at its first request. `None`: the function cannot be called.
    endpoints: Vec<OnceLock<Option<Arc<Endpoint>>>>,
}

impl Directory {
    pub(crate) fn new(store: &Store) -> Directory {
        let spaces = [&lambda::READ_FROM[..], &apigateway::READ_FROM[..]].concat();
        Directory { changes: store.changes(&spaces), urls: Kept::default(), apis: Kept::default() }
    }

    /// The function URL with this id.
    pub(super) fn url(&self, cloud: &Cloud, id: &str, request_id: &str) -> Result<Option<Arc<Url>>, Fault> {
        self.urls.find(&self.changes, id, || read_url(cloud, id, request_id))
    }

    /// The HTTP API with this id.
    pub(super) fn api(&self, cloud: &Cloud, id: &str, request_id: &str) -> Result<Option<Arc<Api>>, Fault> {
        self.apis.find(&self.changes, id, || read_api(cloud, id, request_id))
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept(RwLock::new(Known { at: 0, by_id: HashMap::new() }))
    }
}

impl<T> Kept<T> {
    fn find(
        &self,
        changes: &Changes,
        id: &str,
        read: impl FnOnce() -> Result<Option<T>, Fault>,
    ) -> Result<Option<Arc<T>>, Fault> {
        // Asked before the store is read: what is read may be newer than this count says, never older.
        let now = changes.count();
        {
            let known = self.0.read();
            if let Some(found) = known.by_id.get(id).filter(|_| known.at == now) {
                return Ok(Some(found.clone()));
            }
        }
        let Some(found) = read()?.map(Arc::new) else { return Ok(None) };
        let mut known = self.0.write();
        if known.at < now || known.by_id.len() >= KEPT_MAX {
            *known = Known { at: now.max(known.at), by_id: HashMap::new() };
        }
        if known.at == now {
            known.by_id.insert(id.to_owned(), found.clone());
        }
        Ok(Some(found))
    }
}

fn read_url(cloud: &Cloud, id: &str, request_id: &str) -> Result<Option<Url>, Fault> {
    let site = cloud.runner.site();
    let caller = Caller::service("lambda.amazonaws.com", &site.account, &site.region);
    let target = cloud.runner.view(&caller, request_id, |cx| lambda::url_target(cx, id))?;
    Ok(target.map(|target| Url {
        auth: target.auth,
        cors: target.cors.map(cors_of),
        endpoint: Arc::new(Endpoint {
            streams: target.streams,
            timeout: None,
            account: target.choice.main().function.account.clone(),
            choice: target.choice,
            invoked_arn: target.invoked_arn,
            format: "2.0".into(),
            route_key: "$default".into(),
            stage: "$default".into(),
            stage_variables: HashMap::new(),
        }),
    }))
}

fn read_api(cloud: &Cloud, id: &str, request_id: &str) -> Result<Option<Api>, Fault> {
    let site = cloud.runner.site();
    let caller = Caller::service(API_GATEWAY, &site.account, &site.region);
    let compiled = cloud.runner.view(&caller, request_id, |cx| apigateway::compile(cx, id))?;
    Ok(compiled.map(|compiled| {
        let endpoints = (0..compiled.targets()).map(|_| OnceLock::new()).collect();
        Api { compiled, endpoints }
    }))
}

impl Api {
    pub(super) fn cors(&self) -> Option<&Cors> {
        self.compiled.cors.as_ref()
    }

    pub(super) fn route<'a>(&'a self, method: &str, path: &'a str) -> Option<Hit<'a>> {
        self.compiled.route(method, path)
    }

    /// What a route leads to; `None` if it cannot be called: it is gone, not ready, or does not let the API
    /// in.
    pub(super) fn endpoint(
        &self,
        cloud: &Cloud,
        hit: &Hit<'_>,
        request_id: &str,
    ) -> Result<Option<Arc<Endpoint>>, Fault> {
        let Some(target) = hit.target else { return Ok(None) };
        let place = &self.endpoints[target.number];
        if let Some(known) = place.get() {
            return Ok(known.clone());
        }
        let function: Arn = target.function.parse().map_err(|e| Fault::internal("read an integration", e))?;
        let caller = Caller::service(API_GATEWAY, &self.compiled.account, &self.compiled.region);
        let choice = cloud.runner.view(&caller, request_id, |cx| {
            if lambda::permits(cx, &function, API_GATEWAY, &target.source_arn)?.is_err() {
                return Ok(None);
            }
            match lambda::resolve(cx, &target.function) {
                // An HTTP API has no way to name a tenant.
                Ok(choice) if choice.main().per_tenant => Ok(None),
                Ok(choice) => Ok(Some(choice)),
                Err(fault) if !fault.is_server() => Ok(None),
                Err(fault) => Err(fault),
            }
        })?;
        let endpoint = choice.map(|choice| {
            Arc::new(Endpoint {
                choice,
                invoked_arn: target.function.clone(),
                format: target.payload_format_version.clone(),
                streams: false,
                timeout: Some(Duration::from_millis(target.timeout_ms)),
                account: self.compiled.account.clone(),
                route_key: target.route_key.clone(),
                stage: hit.stage.name.clone(),
                stage_variables: hit.stage.variables.clone(),
            })
        });
        Ok(place.get_or_init(|| endpoint).clone())
    }
}

/// A function URL's rules as the gateway applies them.
fn cors_of(cors: lambda::Cors) -> Cors {
    Cors {
        allow_origins: cors.allow_origins.unwrap_or_default(),
        allow_methods: cors.allow_methods.unwrap_or_default(),
        allow_headers: cors.allow_headers.unwrap_or_default(),
        expose_headers: cors.expose_headers.unwrap_or_default(),
        max_age: cors.max_age,
        allow_credentials: cors.allow_credentials.unwrap_or_default(),
    }
}
