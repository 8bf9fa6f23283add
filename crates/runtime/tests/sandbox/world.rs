//! A host with a platform that remembers log lines and serves packages from a folder.

use futures_util::future::BoxFuture;
use mayfly_kernel::function::{Concurrency, Invocation, Outcome, PackageDigest, Refusal, Runtime, Version};
use mayfly_kernel::time::SystemClock;
use mayfly_kernel::{Arn, Limits, Time};
use mayfly_runtime::stores::{KeyValue, Objects};
use mayfly_runtime::wasm::HostList;
use mayfly_runtime::{Host, HostConfig, LauncherCommand, LogStream, Platform, SessionCredentials, Wire};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zip::write::SimpleFileOptions;

/// Ends a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub host: Host,
    pub folder: TempDir,
    pub lines: Arc<Mutex<Vec<String>>>,
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl LogStream for Lines {
    fn line(&self, _at: Time, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

struct Shelf {
    packages: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Platform for Shelf {
    fn layer(&self, digest: &str) -> io::Result<PathBuf> {
        Err(io::Error::new(io::ErrorKind::NotFound, digest.to_owned()))
    }

    fn log_stream(&self, _version: &Version, _stream: &str) -> Arc<dyn LogStream> {
        Arc::new(Lines(self.lines.clone()))
    }

    fn credentials(&self, version: &Version) -> SessionCredentials {
        SessionCredentials {
            access_key: format!("key-of-{}", version.name),
            secret_key: "secret".into(),
            session_token: "token".into(),
        }
    }

    fn serve(
        &self,
        version: Arc<Version>,
        mut connection: Box<dyn Wire>,
        _: Arc<AtomicU32>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let body = format!("platform of {}", version.name);
            let head = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
        })
    }

    fn keyvalue(&self) -> Arc<dyn KeyValue> {
        unreachable!("no guest of these tests has keys")
    }

    fn objects(&self) -> Arc<dyn Objects> {
        unreachable!("no guest of these tests has objects")
    }

    fn package(&self, digest: &PackageDigest) -> io::Result<PathBuf> {
        Ok(self.packages.join(&digest.0))
    }
}

/// No functions of these tests call anyone.
fn nobody_trusted() -> Arc<ClientConfig> {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

impl World {
    pub(crate) async fn new() -> World {
        World::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> World {
        let folder = TempDir::new().unwrap();
        let packages = folder.path().join("zips");
        std::fs::create_dir(&packages).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let this = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let args = [
            "--block-signal=CHLD",
            &this,
            "launcher_process",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ];
        let config = HostConfig {
            cache_dir: folder.path().join("cache"),
            runtimes_dir: folder.path().join("runtimes"),
            limits,
            region: "us-east-1".into(),
            outgoing_http: HostList::default(),
            tls: nobody_trusted(),
            require: Vec::new(),
            launcher: LauncherCommand { program: "/usr/bin/env".into(), args: args.map(String::from).into() },
        };
        let platform = Shelf { packages, lines: lines.clone() };
        let host = Host::start(config, Arc::new(platform), Arc::new(SystemClock)).await.unwrap();
        World { host, folder, lines }
    }

    /// A version of a function whose package holds these files; a name that ends in `*` is executable.
    pub(crate) fn version(&self, name: &str, runtime: Runtime, files: &[(&str, &str)]) -> Version {
        let digest = format!("package{name}");
        write_zip(&self.folder.path().join("zips").join(&digest), files);
        Version {
            id: format!("{name}-1"),
            function: Arn::new("lambda", "us-east-1", "000000000000", format!("function:{name}")),
            name: name.into(),
            label: "$LATEST".into(),
            runtime,
            handler: "app.handler".into(),
            package: PackageDigest(digest),
            image: None,
            layers: Vec::new(),
            environment: BTreeMap::from([("COLOUR".into(), "green".into())]),
            timeout_ms: 120_000,
            memory_mib: 128,
            ephemeral_mib: 64,
            log_group: format!("/aws/lambda/{name}"),
            concurrency: Concurrency::Shared(1000),
            per_tenant: false,
            snap_start: false,
            log_format: mayfly_kernel::function::LogFormat::Text,
        }
    }

    /// A Python function with this code as `app.py`.
    pub(crate) fn python(&self, name: &str, code: &str) -> Version {
        self.version(name, Runtime::Python("3.11".into()), &[("app.py", code)])
    }

    pub(crate) fn invocation(&self, version: &Version, event: &Value) -> Invocation {
        Invocation {
            request_id: "11111111-2222-4333-8444-555555555555".into(),
            event: event.to_string().into_bytes(),
            event_type: "mayfly.invoke".into(),
            invoked_arn: version.function.to_string(),
            client_context: None,
            trace_id: None,
            tenant: None,
            depth: 0,
        }
    }

    pub(crate) async fn invoke(&self, version: &Arc<Version>, event: Value) -> Result<Outcome, Refusal> {
        self.host.invoke(version.clone(), self.invocation(version, &event)).await
    }

    /// The result of an invocation that succeeds.
    pub(crate) async fn ok(&self, version: &Arc<Version>, event: Value) -> Value {
        let outcome = self.invoke(version, event).await.unwrap();
        match outcome.result {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(error) => panic!("{}", String::from_utf8_lossy(&error.payload)),
        }
    }

    /// The error's type and message of an invocation that fails.
    pub(crate) async fn error(&self, version: &Arc<Version>, event: Value) -> (String, String) {
        let outcome = self.invoke(version, event).await.unwrap();
        let error = outcome.result.expect_err("the invocation was to fail");
        let payload: Value = serde_json::from_slice(&error.payload).unwrap();
        (error.error_type, payload["errorMessage"].as_str().unwrap_or_default().to_owned())
    }

    /// The launcher of this world, found by the folder that it was given.
    pub(crate) fn launcher(&self) -> Option<u32> {
        let root = self.folder.path().join("cache/root");
        processes().into_iter().find(|pid| {
            let line = command_line(*pid);
            // A sandbox's first process has its launcher's command line too; its parent is another one.
            line.trim_ascii_end().ends_with(&[root.as_os_str().as_encoded_bytes(), b"\0"].concat())
                && parent(*pid) == Some(std::process::id())
        })
    }

    pub(crate) async fn drained(&self) {
        self.host.drain(PATIENCE).await;
    }
}

/// Waits for something that comes soon, or late on a slow machine.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let holds = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.expect("it comes");
}

pub(crate) fn write_zip(path: &Path, files: &[(&str, &str)]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, text) in files {
        let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
        let options = SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file(name.trim_end_matches('*'), options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

pub(crate) fn processes() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The process's program and its arguments, each with a zero byte behind it.
pub(crate) fn command_line(pid: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// All processes that descend from this one.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let all = processes();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(one) = found.get(next).copied() {
        found.extend(all.iter().filter(|pid| parent(**pid) == Some(one)));
        next += 1;
    }
    found.split_off(1)
}

/// Control groups of a launcher, wherever they are mounted.
pub(crate) fn control_groups(launcher: u32) -> Vec<PathBuf> {
    let name = format!("mayfly-{launcher}");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match entry.file_name() == *name {
                true => found.push(entry.path()),
                false => folders.push(entry.path()),
            }
        }
    }
    found
}
