//! A whole cloud for a unit test: the memory engine, a clock that moves when told to, and ids from a seed.

use crate::cx::{Cx, Outlets, Signal, Site};
use crate::operation::{
    Content, Handler, ImageSource, Package, PackageSource, Piece, Reply, StagedImage, Upload,
};
use crate::runner::Runner;
use crate::sns::{Digest, Signed, Signer};
use crate::{Catalogue, catalogue};
use bytes::Bytes;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::function::{ImageLayer, PackageDigest};
use mayfly_kernel::ids::Ids;
use mayfly_kernel::time::ManualClock;
use mayfly_kernel::{Caller, Clock, Fault, Limits, Time};
use mayfly_store::Store;
use mayfly_wire::checksum::{Algorithm, Checksums};
use mayfly_wire::{Call, Protocol};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Signs with what was signed.
#[derive(Debug)]
struct Plain;

impl Signer for Plain {
    fn sign(&self, digest: Digest, text: &[u8]) -> Result<Signed, Fault> {
        let signature = [format!("{digest:?}:").as_bytes(), text].concat();
        Ok(Signed { signature, certificate: "test".into() })
    }
}

/// An installation with every way to the outside.
pub(crate) fn site() -> Site {
    Site {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        authority: "127.0.0.1:4566".into(),
        tls: false,
        links: crate::identity::LinkSeal::new(b"test"),
        signer: Arc::new(Plain),
        outlets: Outlets { mail: true, texts: true, push: true },
    }
}

pub(crate) struct Bench {
    runner: Runner,
    clock: Arc<ManualClock>,
    catalogue: Catalogue,
    caller: Caller,
}

/// An answer, with its body read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) body: Bytes,
    /// What was to be done after the commit.
    pub(crate) signals: Vec<Signal>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&self.body).expect("a JSON body")
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fixed = self.reply.headers.iter().map(|(n, v)| (*n, v.as_str()));
        let user = self.reply.user_headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        fixed.chain(user).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl Bench {
    /// The eight digits after the seed are where its clock starts: 2026-01-01T00:00:00Z.
    pub(crate) fn seed(seed: u64) -> Bench {
        Bench::on(Store::memory(), seed)
    }

    /// The same on the engine that servers use, for tests of many threads.
    pub(crate) fn on_disk(seed: u64) -> (Bench, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), mayfly_store::LocalOptions::default()).expect("a store");
        (Bench::on(store, seed), dir)
    }

    fn on(store: Store, seed: u64) -> Bench {
        let clock = Arc::new(ManualClock::at(Time::from_secs(1_767_225_600)));
        let site = site();
        let limits = Arc::new(Limits::default());
        let caller = Caller {
            account: site.account.clone(),
            region: site.region.clone(),
            principal: Principal::Root,
            access_key: "AKIATEST".into(),
            depth: 0,
            address: None,
        };
        let runner = Runner::new(store, clock.clone(), Ids::seeded(seed), limits, site);
        Bench { runner, clock, catalogue: catalogue(), caller }
    }

    pub(crate) fn store(&self) -> &Store {
        self.runner.store()
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    /// Runs `f` in a transaction of the platform.
    pub(crate) fn run<T>(&self, mut f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>) -> T {
        let done = self.runner.run_blocking(&self.caller, "request", |cx| {
            cx.allowed_by_policy();
            f(cx)
        });
        done.expect("the transaction commits").0
    }

    /// The same for what may be refused.
    pub(crate) fn attempt<T>(&self, mut f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        self.runner.run_blocking(&self.caller, "request", |cx| f(cx)).map(|(done, _)| done)
    }

    /// Performs every delivery of the platform's own work that is due, and what falls due by it, until none
    /// is. Returns how many there were.
    pub(crate) fn perform_due(&self) -> usize {
        use crate::fabric::{Target, claim, lanes};
        let mut performed = 0;
        loop {
            let due =
                lanes(self.store()).expect("the lanes").into_iter().filter(|(_, due)| *due <= self.now());
            let own =
                |lane: &String| ["timers ", "parcel ", "replay "].iter().any(|kind| lane.starts_with(kind));
            let Some(lane) = due.map(|(lane, _)| lane).find(own) else { return performed };
            for record in self.run(|cx| claim(cx, self.store(), &lane, 16)) {
                performed += 1;
                self.run(|cx| match record.target()? {
                    Target::Timer(arn) => match arn.service.as_str() {
                        "scheduler" => crate::scheduler::fire(cx, &record),
                        "codedeploy" => crate::codedeploy::fire(cx, &record),
                        "cloudwatch" => crate::cloudwatch::fire(cx, &record),
                        "application-autoscaling" => crate::autoscaling::fire(cx, &record),
                        _ => crate::events::fire(cx, &record),
                    },
                    Target::Replay(_) => crate::events::replay_step(cx, &record),
                    Target::Parcel(_) => crate::targets::perform(cx, &record),
                    other => panic!("a lane of the platform has {other:?}"),
                });
            }
        }
    }

    /// When the first delivery of all falls due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        crate::fabric::lanes(self.store()).expect("the lanes").into_iter().map(|(_, due)| due).min()
    }

    /// Calls an operation by its name, as JSON and query clients do.
    pub(crate) fn call(&self, service: &str, operation: &str, input: &Value) -> Result<Answer, Fault> {
        let body = Bytes::from(serde_json::to_vec(input).expect("JSON"));
        let spoken = Some(Protocol::Json10);
        let call = Call { operation: operation.into(), body, spoken, ..Call::default() };
        self.perform(service, operation, &call, None)
    }

    /// Calls an operation of a JSON service as an older client does: with a form, to this path.
    pub(crate) fn form(
        &self,
        service: &str,
        path: &str,
        operation: &str,
        form: &str,
    ) -> Result<Answer, Fault> {
        let body = Bytes::from(format!("Action={operation}&{form}"));
        let form_path = Some(path.to_owned());
        let call = Call { operation: operation.into(), body, form_path, ..Call::default() };
        self.perform(service, operation, &call, None)
    }

    /// Calls an operation by its route: `PUT /bucket/key?versionId=x`, headers, and a body.
    pub(crate) fn http(
        &self,
        service: &str,
        request: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, Fault> {
        let (method, target) = request.split_once(' ').expect("METHOD /path");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            map.append(name, value.parse().expect("a header value"));
        }
        let found = self.catalogue.service(service).expect("a service");
        let mayfly_wire::Found::Match { value, labels } = found.router.find(method, path, query, &map) else {
            panic!("no route for {request}");
        };
        let operation = &found.service.operations[*value];
        let body = body.into();
        let query = operation.query(query);
        let operation = operation.name;
        let call = Call {
            operation: operation.into(),
            labels,
            query,
            headers: map,
            body: body.clone(),
            form_path: None,
            spoken: None,
        };
        self.perform(service, operation, &call, Some(body))
    }

    /// Calls an operation as it is written.
    pub(crate) fn perform_call(&self, service: &str, name: &str, call: &Call) -> Result<Answer, Fault> {
        self.perform(service, name, call, None)
    }

    fn perform(&self, service: &str, name: &str, call: &Call, body: Option<Bytes>) -> Result<Answer, Fault> {
        let found = self.catalogue.service(service).expect("a service");
        let operation = found.named(name).unwrap_or_else(|| panic!("{service} has no {name}"));
        let (reply, signals): (Reply, Vec<Signal>) = match &operation.handler {
            Handler::View(run) => {
                (self.runner.view(&self.caller, "request", |cx| run(cx, call))?, Vec::new())
            }
            Handler::Write(run) => self.runner.run_blocking(&self.caller, "request", |cx| run(cx, call))?,
            Handler::Poll(run) => {
                let ((reply, _), signals) =
                    self.runner.run_blocking(&self.caller, "request", |cx| run(cx, call))?;
                (reply, signals)
            }
            Handler::Upload { admit, finish } => {
                self.runner.view(&self.caller, "request", |cx| admit(cx, call))?;
                let upload = upload(&body.unwrap_or_default());
                self.runner.run_blocking(&self.caller, "request", |cx| finish(cx, call, &upload))?
            }
            Handler::Staged { source, install } => {
                let source = self.runner.view(&self.caller, "request", |cx| source(cx, call))?;
                let package = source.as_ref().map(package);
                self.runner.run_blocking(&self.caller, "request", |cx| install(cx, call, package.as_ref()))?
            }
        };
        let body = read(&reply.content);
        Ok(Answer { reply, body, signals })
    }
}

/// Keeps every body in the store, so that no disk is needed.
fn upload(body: &Bytes) -> Upload {
    let mut sums = Checksums::new(&Algorithm::ALL);
    sums.update(body);
    let piece = (!body.is_empty()).then(|| Piece::Inline(body.clone()));
    Upload { piece, size: body.len() as u64, digests: sums.finish() }
}

fn package(source: &PackageSource) -> Package {
    use base64::Engine as _;
    use sha2::Digest as _;
    let bytes = match source {
        PackageSource::Zip(bytes) => bytes.clone(),
        PackageSource::Stored { pieces, .. } => read(&Content::Pieces(pieces.clone())),
        PackageSource::Image(source) => return image(source),
    };
    let sha256 = sha2::Sha256::digest(&bytes);
    Package {
        digest: PackageDigest(hex::encode(sha256)),
        sha256_base64: base64::engine::general_purpose::STANDARD.encode(sha256),
        size: bytes.len() as u64,
        unpacked_bytes: bytes.len() as u64,
        image: None,
    }
}

/// An image of one layer, whatever is asked for.
fn image(source: &ImageSource) -> Package {
    let digest = source.found.as_ref().map_or_else(|| "0".repeat(64), |found| found.digest[7..].to_owned());
    let layer = ImageLayer { digest: "1".repeat(64), diff_id: "2".repeat(64), size: 100 };
    let image = StagedImage {
        uri: source.uri.clone(),
        resolved: format!("{}@sha256:{digest}", source.located.repository),
        layers: vec![layer],
        entry_point: vec!["/entry".into()],
        command: vec!["app.handler".into()],
        environment: vec!["FROM=image".into(), "OWN=image".into()],
        working_directory: "/work".into(),
        origin: None,
    };
    Package {
        digest: PackageDigest(digest.clone()),
        sha256_base64: digest,
        size: 0,
        unpacked_bytes: 0,
        image: Some(Box::new(image)),
    }
}

fn read(content: &Content) -> Bytes {
    match content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Pieces(pieces) => {
            let mut all = Vec::new();
            for piece in pieces {
                match piece {
                    Piece::Inline(bytes) => all.extend_from_slice(bytes),
                    Piece::Blob { id, .. } => panic!("a test has no blob {id}"),
                }
            }
            all.into()
        }
        Content::Empty | Content::Invoke(_) => Bytes::new(),
    }
}
