//! What the services tell the runtime about a function, and what comes back.
//!
//! These are plain values: the services write them down, the runtime runs them, and neither links the other.

use crate::Time;
use crate::arn::Arn;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How a version's code is run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Runtime {
    /// CPython through our Runtime API client; the text is the wanted version, such as `3.12`.
    Python(String),
    /// Node.js through our Runtime API client; the text is the wanted major version, such as `22`.
    Node(String),
    /// A JVM through our Runtime API client; the text is the wanted version, such as `21`.
    Java(String),
    /// An executable `bootstrap` that speaks the Lambda Runtime API itself: `provided.al2023` and its like.
    Provided(String),
    /// A container image whose process speaks the Lambda Runtime API itself. Never written as a text: it is
    /// what an image is unless it is said to be `web`.
    Image,
    /// Any program that serves HTTP on `$PORT`.
    Web,
    /// A `wasi:http` component.
    Wasm,
}

impl Runtime {
    /// Whether the function is spoken to in HTTP and can stream, rather than through the Runtime API.
    pub fn speaks_http(&self) -> bool {
        match self {
            Runtime::Web | Runtime::Wasm => true,
            Runtime::Python(_)
            | Runtime::Node(_)
            | Runtime::Java(_)
            | Runtime::Provided(_)
            | Runtime::Image => false,
        }
    }
}

/// No such runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRuntime(pub String);

impl fmt::Display for UnknownRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown runtime: {}", self.0)
    }
}

impl std::error::Error for UnknownRuntime {}

impl FromStr for Runtime {
    type Err = UnknownRuntime;

    fn from_str(text: &str) -> Result<Runtime, UnknownRuntime> {
        let version = |prefix: &str, suffix: &str| {
            let digits = text.strip_prefix(prefix)?.strip_suffix(suffix)?;
            let numeric = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            (numeric && digits.starts_with(|c: char| c.is_ascii_digit())).then(|| digits.to_owned())
        };
        if let Some(v) = version("python", "") {
            return Ok(Runtime::Python(v));
        }
        if let Some(v) = version("nodejs", ".x") {
            return Ok(Runtime::Node(v));
        }
        if let Some(v) = version("java", "").or_else(|| version("java", ".al2")) {
            return Ok(Runtime::Java(v));
        }
        match text {
            "web" => Ok(Runtime::Web),
            "wasm" => Ok(Runtime::Wasm),
            "provided" => Ok(Runtime::Provided(String::new())),
            _ => match text.strip_prefix("provided.") {
                Some(os @ ("al2" | "al2023")) => Ok(Runtime::Provided(os.into())),
                _ => Err(UnknownRuntime(text.into())),
            },
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runtime::Python(v) => write!(f, "python{v}"),
            Runtime::Node(v) => write!(f, "nodejs{v}.x"),
            Runtime::Java(v) if v == "8" => f.write_str("java8.al2"),
            Runtime::Java(v) => write!(f, "java{v}"),
            Runtime::Provided(os) if os.is_empty() => f.write_str("provided"),
            Runtime::Provided(os) => write!(f, "provided.{os}"),
            Runtime::Image => f.write_str("Image"),
            Runtime::Web => f.write_str("web"),
            Runtime::Wasm => f.write_str("wasm"),
        }
    }
}

impl TryFrom<String> for Runtime {
    type Error = UnknownRuntime;
    fn try_from(text: String) -> Result<Runtime, UnknownRuntime> {
        text.parse()
    }
}

impl From<Runtime> for String {
    fn from(runtime: Runtime) -> String {
        runtime.to_string()
    }
}

/// A deployment package or layer, by the lower-case hexadecimal SHA-256 of its zip archive.
/// The same bytes are one package, however many functions use them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageDigest(pub String);

/// A container image, with all that starting it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Lowest first.
    pub layers: Vec<ImageLayer>,
    pub command: Vec<String>,
    /// What the image itself sets; the function's own variables go before it.
    pub environment: BTreeMap<String, String>,
    /// Where the command starts; empty for the root.
    pub working_directory: String,
    /// Where its layers come from, if they were not pushed to us.
    pub origin: Option<Origin>,
}

/// A layer by the SHA-256 of its archive, compressed as it is kept (`digest`) and not (`diff_id`), both in
/// lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    pub digest: String,
    pub diff_id: String,
    /// Of the archive as it is kept.
    pub size: u64,
}

/// A repository of another registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Host and perhaps port.
    pub registry: String,
    pub repository: String,
}

/// One version of a function, with all that starting an instance of it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Two versions with the same id are interchangeable: their instances may be reused for each other.
    /// Changes with every update of code or configuration.
    pub id: String,
    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, unqualified.
    pub function: Arn,
    pub name: String,
    /// `$LATEST` or a number.
    pub label: String,
    pub runtime: Runtime,
    pub handler: String,
    /// Of an image, the digest of its manifest.
    pub package: PackageDigest,
    /// The code, if it is a container image and not a package.
    pub image: Option<Image>,
    /// In the order in which they are laid over each other under `/opt`.
    pub layers: Vec<PackageDigest>,
    pub environment: BTreeMap<String, String>,
    pub timeout_ms: u64,
    pub memory_mib: u32,
    /// The size of the instance's private `/tmp`.
    pub ephemeral_mib: u32,
    pub log_group: String,
    pub log_format: LogFormat,
    pub concurrency: Concurrency,
    /// Every invocation is a tenant's, and no instance serves two of them.
    pub per_tenant: bool,
    /// Whether its module code runs once, and instances begin where that has ended (SnapStart).
    pub snap_start: bool,
}

/// How many invocations of a function may run at once, its provisioned ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many, which no other function may use.
    Reserved(u32),
    /// As many as the functions of its account and region that reserve nothing may have together.
    Shared(u32),
}

/// How a version's log is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json {
        /// The least of the function's own levels that is written, such as `INFO`.
        application: String,
        system: SystemLevel,
    },
}

/// How much the platform's lines in a log say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemLevel {
    Debug,
    Info,
    Warn,
}

/// One event on its way through one function.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub request_id: String,
    /// The event, JSON. Functions that speak HTTP get it as the body of a CloudEvent.
    pub event: Vec<u8>,
    /// What caused the event, as a CloudEvents `type`, such as `mayfly.invoke` or `aws.s3.ObjectCreated:Put`.
    pub event_type: String,
    /// The ARN the caller used, with its qualifier: the `invokedFunctionArn` of the context.
    pub invoked_arn: String,
    /// The client context that the caller sent: JSON, in ASCII.
    pub client_context: Option<String>,
    pub trace_id: Option<String>,
    /// Whom it is for, if its function keeps tenants apart.
    pub tenant: Option<String>,
    /// How many invocations led to this one, one from another.
    pub depth: u32,
}

/// What an invocation came to. A function that failed is an outcome too: the platform did its part.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub result: Result<Vec<u8>, FunctionError>,
    /// The last 4 KiB of the log lines of this invocation.
    pub log_tail: Vec<u8>,
    pub report: Report,
}

/// The function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// `errorType`, such as `ValueError`, `Sandbox.Timedout` or `Runtime.ExitError`.
    pub error_type: String,
    /// The JSON document that the caller gets: `errorMessage`, `errorType`, `stackTrace`, ….
    pub payload: Vec<u8>,
}

/// The figures of one invocation: those of its REPORT line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// When the event reached the instance.
    pub started: Time,
    /// Waiting for an instance, initialisation not counted.
    pub queue_us: u64,
    /// Making and initialising the instance; `None` if it was warm or restored.
    pub init_us: Option<u64>,
    /// Making the instance from its version's snapshot.
    pub restore_us: Option<u64>,
    pub duration_us: u64,
    /// From the answer to the moment it could leave: the log's last lines, the figures.
    pub post_us: u64,
    pub max_memory_bytes: u64,
}

/// The platform could not run the invocation at all: no instance took it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The function has reached its reserved concurrency.
    ReservedConcurrency,
    /// The functions of the account that reserve nothing have reached what is left for them.
    AccountConcurrency,
    /// The node has no memory left for another instance.
    NodeFull,
    /// Nothing on this machine can run the version: the runtime is missing, or the package cannot be read.
    Unrunnable(String),
    /// The node is draining and takes nothing more.
    Draining,
    /// What the function does after a restore has failed.
    RestoreFailed,
    /// It was not done in time.
    RestoreTimeout,
}

impl Refusal {
    /// What is said of a function whose instances cannot be restored, which is the function's failure and not
    /// the node's; nothing of any other refusal.
    pub fn of_the_function(&self) -> Option<FunctionError> {
        let (kind, text) = match self {
            Refusal::RestoreFailed => ("SnapStartException", RESTORE_FAILED),
            Refusal::RestoreTimeout => ("SnapStartTimeoutException", RESTORE_TIMEOUT),
            Refusal::ReservedConcurrency
            | Refusal::AccountConcurrency
            | Refusal::NodeFull
            | Refusal::Unrunnable(_)
            | Refusal::Draining => return None,
        };
        let payload = format!(r#"{{"errorType":"{kind}","errorMessage":"{text}"}}"#).into_bytes();
        Some(FunctionError { error_type: kind.into(), payload })
    }
}

/// In the words of the Invoke API.
pub const RESTORE_FAILED: &str = "The afterRestore() runtime hook encountered an error. For more information, \
                                  check the Amazon CloudWatch logs.";
pub const RESTORE_TIMEOUT: &str = "Lambda couldn't restore the snapshot within the timeout limit.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_read_as_they_are_written() {
        for name in
            ["python3.12", "nodejs22.x", "java21", "java8.al2", "provided.al2023", "provided", "web", "wasm"]
        {
            assert_eq!(name.parse::<Runtime>().unwrap().to_string(), name);
        }
        for name in ["python", "nodejs", "go1.x", "provided.al3", "pythonx", ""] {
            assert!(name.parse::<Runtime>().is_err(), "{name}");
        }
    }
}
