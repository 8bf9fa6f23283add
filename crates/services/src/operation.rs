//! The operation table: the only place that names operations.
//!
//! A service is a value: its protocol and a list of operations, each a name, perhaps a route, and a handler.
//! From the same table come dispatch, the coverage page and the conformance test against AWS's models.
//!
//! A handler of kind *plain* is one transaction, one of kind *poll* is run again until it finds something.
//! Three kinds need bytes moved around that transaction, which the binary does: an *upload* (a body streams
//! to disk between two transactions), a *staged* operation (a deployment package is fetched, checked and kept
//! before it), and a reply whose [`Content`] says what to send or to invoke.

use crate::Cx;
use crate::ecr::Located;
use crate::ecr::registry::Found;
use bytes::Bytes;
use mayfly_kernel::function::{ImageLayer, Invocation, Origin, PackageDigest, Version};
use mayfly_kernel::{Fault, Time};
use mayfly_wire::checksum::Digests;
use mayfly_wire::{Call, Dialect, Protocol, Route, SMITHY_PROTOCOL};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::time::Duration;

/// What to answer, before it is bytes on a wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Headers with names that a user chose, such as `x-amz-meta-*`.
    pub user_headers: Vec<(String, String)>,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Empty,
    Bytes(Bytes),
    /// Bytes that live beside the store, piece after piece.
    Pieces(Vec<Piece>),
    /// The answer is what this invocation comes to.
    Invoke(Box<Invoke>),
}

/// A stretch of a stored body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Inline(Bytes),
    Blob { id: String, range: Range<u64> },
}

/// A synchronous invocation, and how its outcome is told.
#[derive(Debug)]
pub struct Invoke {
    pub version: Version,
    pub invocation: Invocation,
    /// The caller asked for the end of the log (`X-Amz-Log-Type: Tail`).
    pub log_tail: bool,
    pub answer: Answer,
}

/// How a caller wants the result of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Whole,
    /// As it comes, in an event stream.
    Stream,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), user_headers: Vec::new(), content: Content::Empty }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds the header if there is a value.
    pub fn header_opt(self, name: &'static str, value: Option<impl Into<String>>) -> Reply {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    pub fn content(mut self, content: Content) -> Reply {
        self.content = content;
        self
    }

    /// A body of this media type.
    pub fn body(self, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        self.header("content-type", content_type).content(Content::Bytes(body.into()))
    }
}

/// What a handler of kind *poll* comes to.
#[derive(Debug)]
pub enum Polled<O> {
    Ready(O),
    /// Nothing yet. `empty` is the answer if nothing comes in time.
    Wait {
        empty: O,
        pause: Pause,
    },
}

/// When to run a handler of kind *poll* again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Once a key with one of these beginnings changes.
    pub watch: Vec<Vec<u8>>,
    /// At this time, if nothing changes before.
    pub due: Option<Time>,
    /// How long after the call came in its answer is owed.
    pub wait: Duration,
}

/// A body that has been received whole and is safe on disk.
#[derive(Clone, Debug)]
pub struct Upload {
    pub piece: Option<Piece>,
    pub size: u64,
    pub digests: Digests,
}

/// Where a deployment package comes from.
#[derive(Clone, Debug)]
pub enum PackageSource {
    Zip(Bytes),
    Stored { pieces: Vec<Piece>, size: u64 },
    Image(Box<ImageSource>),
}

/// A container image that is to be a function.
#[derive(Clone, Debug)]
pub struct ImageSource {
    /// As the caller wrote it.
    pub uri: String,
    pub located: Located,
    /// In the words of images, such as `amd64`.
    pub architecture: &'static str,
    /// Its manifest, if our own registry has it.
    pub found: Option<Found>,
}

/// What the manifest and the configuration of an image say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedImage {
    pub uri: String,
    /// With the digest that the tag meant.
    pub resolved: String,
    pub layers: Vec<ImageLayer>,
    pub entry_point: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    pub working_directory: String,
    pub origin: Option<Origin>,
}

/// A deployment package that has been checked and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub digest: PackageDigest,
    /// Base64 of the SHA-256: the `CodeSha256` of the API.
    pub sha256_base64: String,
    pub size: u64,
    pub unpacked_bytes: u64,
    /// Of a container image, which has no archive of its own.
    pub image: Option<Box<StagedImage>>,
}

type Run = Box<dyn Fn(&mut Cx<'_>, &Call) -> Result<Reply, Fault> + Send + Sync>;
type Poll = Box<dyn Fn(&mut Cx<'_>, &Call) -> Result<(Reply, Option<Pause>), Fault> + Send + Sync>;
type Admit = Box<dyn Fn(&mut Cx<'_>, &Call) -> Result<(), Fault> + Send + Sync>;
type Finish = Box<dyn Fn(&mut Cx<'_>, &Call, &Upload) -> Result<Reply, Fault> + Send + Sync>;
type Source = Box<dyn Fn(&mut Cx<'_>, &Call) -> Result<Option<PackageSource>, Fault> + Send + Sync>;
type Install = Box<dyn Fn(&mut Cx<'_>, &Call, Option<&Package>) -> Result<Reply, Fault> + Send + Sync>;

pub enum Handler {
    /// Reads a snapshot and cannot write.
    View(Run),
    /// One transaction.
    Write(Run),
    /// One transaction, and another one when there may be more to find, until there is or time is up.
    Poll(Poll),
    /// `admit` decides on the head alone, the body streams to disk, `finish` is the transaction that names
    /// it.
    Upload { admit: Admit, finish: Finish },
    /// `source` says which package is meant, it is fetched and checked, `install` is the transaction.
    Staged { source: Source, install: Install },
}

pub struct Operation {
    pub name: &'static str,
    pub route: Option<Route>,
    pub handler: Handler,
}

impl Operation {
    /// A raw query without what only chose the operation.
    pub fn query(&self, raw: &str) -> Vec<(String, String)> {
        let mut query = mayfly_wire::parse_query(raw);
        query.retain(|(name, _)| self.route.as_ref().is_none_or(|route| !route.is_selector(name)));
        query
    }
}

/// One AWS service.
pub struct Service {
    /// Botocore's name of the service.
    pub name: &'static str,
    /// The name in a signature's scope.
    pub scope: &'static str,
    pub protocol: Protocol,
    /// The part of `X-Amz-Target` before the dot, for the JSON protocols.
    pub target: &'static str,
    /// The namespace of XML answers.
    pub xmlns: Option<&'static str>,
    /// The query protocol's names, of a JSON service that speaks that too.
    pub dialect: Option<&'static Dialect>,
    pub operations: Vec<Operation>,
}

impl Service {
    pub fn json(name: &'static str, protocol: Protocol, target: &'static str) -> Service {
        Service { name, scope: name, protocol, target, xmlns: None, dialect: None, operations: Vec::new() }
    }

    /// RPC v2 in CBOR, and for other clients JSON 1.0 and the query protocol.
    pub fn cbor(name: &'static str, target: &'static str, xmlns: &'static str) -> Service {
        Service { xmlns: Some(xmlns), ..Service::json(name, Protocol::Cbor, target) }
    }

    pub fn query(name: &'static str, xmlns: &'static str) -> Service {
        Service {
            name,
            scope: name,
            protocol: Protocol::Query,
            target: "",
            xmlns: Some(xmlns),
            dialect: None,
            operations: Vec::new(),
        }
    }

    pub fn rest_json(name: &'static str) -> Service {
        Service {
            name,
            scope: name,
            protocol: Protocol::RestJson,
            target: "",
            xmlns: None,
            dialect: None,
            operations: Vec::new(),
        }
    }

    pub fn rest_xml(name: &'static str, xmlns: &'static str) -> Service {
        Service {
            name,
            scope: name,
            protocol: Protocol::RestXml,
            target: "",
            xmlns: Some(xmlns),
            dialect: None,
            operations: Vec::new(),
        }
    }

    /// For a service whose signatures name another scope than its own name.
    pub fn signed_as(mut self, scope: &'static str) -> Service {
        self.scope = scope;
        self
    }

    fn add(mut self, name: &'static str, route: Option<&'static str>, handler: Handler) -> Service {
        let route = route.map(|text| Route::parse(text).expect("the table's routes are well formed"));
        self.operations.push(Operation { name, route, handler });
        self
    }

    /// For a JSON service whose older clients write forms.
    pub fn or_query(mut self, xmlns: &'static str, dialect: &'static Dialect) -> Service {
        self.xmlns = Some(xmlns);
        self.dialect = Some(dialect);
        self
    }

    /// The protocol of a call that looks like this: CloudWatch's clients write CBOR, JSON or forms, SQS's
    /// JSON or forms.
    pub fn spoken(&self, look: Protocol) -> Protocol {
        match (self.protocol, look) {
            (Protocol::Cbor, Protocol::Json11) => Protocol::Json10,
            (Protocol::Cbor, Protocol::Query) => Protocol::Query,
            (_, Protocol::Json11) => self.protocol,
            _ if self.dialect.is_some() => Protocol::Query,
            _ => self.protocol,
        }
    }

    fn codec(&self, name: &'static str, status: u16) -> Codec {
        Codec { name, status, protocol: self.protocol, xmlns: self.xmlns, dialect: self.dialect }
    }

    fn typed<I, O>(&self, name: &'static str, status: u16, f: fn(&mut Cx<'_>, I) -> Result<O, Fault>) -> Run
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let codec = self.codec(name, status);
        Box::new(move |cx, call| {
            cx.operation = name;
            let output = f(cx, codec.input(call)?)?;
            codec.reply(cx, call, &output)
        })
    }

    /// An operation found by its name that waits for something to happen.
    pub fn poll<I, O>(self, name: &'static str, f: fn(&mut Cx<'_>, I) -> Result<Polled<O>, Fault>) -> Service
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let codec = self.codec(name, 200);
        let run: Poll = Box::new(move |cx, call| {
            cx.operation = name;
            match f(cx, codec.input(call)?)? {
                Polled::Ready(output) => Ok((codec.reply(cx, call, &output)?, None)),
                Polled::Wait { empty, pause } => Ok((codec.reply(cx, call, &empty)?, Some(pause))),
            }
        });
        self.add(name, None, Handler::Poll(run))
    }

    /// An operation found by its name: JSON and query protocols.
    pub fn op<I, O>(self, name: &'static str, f: fn(&mut Cx<'_>, I) -> Result<O, Fault>) -> Service
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let run = self.typed(name, 200, f);
        self.add(name, None, Handler::Write(run))
    }

    /// The same, reading a snapshot.
    pub fn view<I, O>(self, name: &'static str, f: fn(&mut Cx<'_>, I) -> Result<O, Fault>) -> Service
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let run = self.typed(name, 200, f);
        self.add(name, None, Handler::View(run))
    }

    /// An operation found by its route. `GET` routes read a snapshot.
    pub fn rest<I, O>(
        self,
        name: &'static str,
        route: &'static str,
        f: fn(&mut Cx<'_>, I) -> Result<O, Fault>,
    ) -> Service
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let run = self.typed(name, success_status(route), f);
        self.add(name, Some(route), by_method(route, run))
    }

    /// An operation whose answer is more than a document (status, headers or bytes of its own), or whose body
    /// is not members but a payload, which the handler takes from the call. `GET` and `HEAD` routes read a
    /// snapshot.
    pub fn http<I>(
        self,
        name: &'static str,
        route: &'static str,
        f: fn(&mut Cx<'_>, I, &Call) -> Result<Reply, Fault>,
    ) -> Service
    where
        I: DeserializeOwned + 'static,
    {
        let protocol = self.protocol;
        let run: Run = Box::new(move |cx, call| {
            cx.operation = name;
            f(cx, mayfly_wire::decode_head(protocol, call)?, call)
        });
        self.add(name, Some(route), by_method(route, run))
    }

    /// An operation whose request body streams to disk.
    pub fn upload<I>(
        self,
        name: &'static str,
        route: &'static str,
        admit: fn(&mut Cx<'_>, I, &Call) -> Result<(), Fault>,
        finish: fn(&mut Cx<'_>, I, &Call, &Upload) -> Result<Reply, Fault>,
    ) -> Service
    where
        I: DeserializeOwned + 'static,
    {
        let protocol = self.protocol;
        let handler = Handler::Upload {
            admit: Box::new(move |cx, call| admit(cx, mayfly_wire::decode_head(protocol, call)?, call)),
            finish: Box::new(move |cx, call, upload| {
                finish(cx, mayfly_wire::decode_head(protocol, call)?, call, upload)
            }),
        };
        self.add(name, Some(route), handler)
    }

    /// An operation that installs a deployment package.
    pub fn staged<I, O>(
        self,
        name: &'static str,
        route: &'static str,
        source: fn(&mut Cx<'_>, I) -> Result<Option<PackageSource>, Fault>,
        install: fn(&mut Cx<'_>, I, Option<&Package>) -> Result<O, Fault>,
    ) -> Service
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
    {
        let (protocol, xmlns, status) = (self.protocol, self.xmlns, success_status(route));
        let handler = Handler::Staged {
            source: Box::new(move |cx, call| source(cx, mayfly_wire::decode(protocol, call)?)),
            install: Box::new(move |cx, call, package| {
                let output = install(cx, mayfly_wire::decode(protocol, call)?, package)?;
                let (content_type, body) =
                    mayfly_wire::encode(protocol, name, xmlns, &output, cx.request_id)?;
                Ok(Reply::status(status).body(content_type, body))
            }),
        };
        self.add(name, Some(route), handler)
    }
}

/// Whoever gets something changes nothing.
fn by_method(route: &str, run: Run) -> Handler {
    match route.starts_with("GET ") || route.starts_with("HEAD ") {
        true => Handler::View(run),
        false => Handler::Write(run),
    }
}

/// The way of one operation's input and output over the wire.
struct Codec {
    name: &'static str,
    status: u16,
    protocol: Protocol,
    xmlns: Option<&'static str>,
    dialect: Option<&'static Dialect>,
}

impl Codec {
    fn input<I: DeserializeOwned>(&self, call: &Call) -> Result<I, Fault> {
        match self.dialect {
            Some(dialect) => mayfly_wire::decode_json_or_form(dialect, call),
            None => mayfly_wire::decode(self.spoken(call), call),
        }
    }

    fn reply<O: Serialize + 'static>(&self, cx: &Cx<'_>, call: &Call, output: &O) -> Result<Reply, Fault> {
        let (content_type, body) = match (self.dialect, &call.form_path) {
            (Some(dialect), Some(_)) => {
                mayfly_wire::encode_form(dialect, self.name, self.xmlns, output, cx.request_id)?
            }
            _ if self.is_silent::<O>() => return Ok(Reply::status(self.status)),
            _ => mayfly_wire::encode(self.spoken(call), self.name, self.xmlns, output, cx.request_id)?,
        };
        let reply = Reply::status(self.status).body(content_type, body);
        Ok(match self.spoken(call) {
            Protocol::Cbor => reply.header(SMITHY_PROTOCOL.0, SMITHY_PROTOCOL.1),
            _ => reply,
        })
    }

    fn spoken(&self, call: &Call) -> Protocol {
        match self.protocol {
            Protocol::Cbor => call.spoken.unwrap_or(self.protocol),
            fixed => fixed,
        }
    }

    fn is_silent<O: 'static>(&self) -> bool {
        std::any::TypeId::of::<O>() == std::any::TypeId::of::<()>()
            && !matches!(self.protocol, Protocol::Query | Protocol::Cbor)
    }
}

/// The status that a route's text ends in, such as `201`; otherwise 200.
fn success_status(route: &str) -> u16 {
    route.rsplit(' ').next().and_then(|last| last.parse().ok()).unwrap_or(200)
}

/// All services, and the way from a request to an operation.
pub struct Catalogue {
    services: Vec<Service>,
    routers: Vec<mayfly_wire::Router<usize>>,
}

impl Catalogue {
    pub fn new(services: Vec<Service>) -> Catalogue {
        let routers = services.iter().map(router).collect();
        Catalogue { services, routers }
    }

    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<ServiceRef<'_>> {
        self.find(|service| service.name == name)
    }

    /// The service of a signature's scope.
    pub fn scope(&self, scope: &str) -> Option<ServiceRef<'_>> {
        self.find(|service| service.scope == scope)
    }

    /// The service of an `X-Amz-Target`'s prefix.
    pub fn target(&self, prefix: &str) -> Option<ServiceRef<'_>> {
        self.find(|service| !service.target.is_empty() && service.target == prefix)
    }

    fn find(&self, wanted: impl Fn(&Service) -> bool) -> Option<ServiceRef<'_>> {
        let index = self.services.iter().position(wanted)?;
        Some(ServiceRef { service: &self.services[index], router: &self.routers[index] })
    }
}

fn router(service: &Service) -> mayfly_wire::Router<usize> {
    let mut router = mayfly_wire::Router::new();
    for (index, operation) in service.operations.iter().enumerate() {
        if let Some(route) = &operation.route {
            router.insert(route.clone(), index);
        }
    }
    router
}

#[derive(Clone, Copy)]
pub struct ServiceRef<'a> {
    pub service: &'a Service,
    pub router: &'a mayfly_wire::Router<usize>,
}

impl<'a> ServiceRef<'a> {
    pub fn named(&self, operation: &str) -> Option<&'a Operation> {
        self.service.operations.iter().find(|candidate| candidate.name == operation)
    }
}
