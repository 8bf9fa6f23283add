//! What happens to an instance, as events for extensions that subscribe: AWS's Telemetry API, and the older
//! Logs API.
//!
//! The contract is AWS's page "Lambda Telemetry API Event schema reference". Events from before a
//! subscription are kept while an instance with extensions initialises, since subscribing takes a moment.

use super::delivery::{self, Buffering, Destination, Transport};
use crate::freezer::Freezer;
use crate::sandbox::Sandbox;
use mayfly_kernel::function::Version;
use mayfly_kernel::{Clock, Time};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that are kept for who may subscribe later.
const BACKLOG: usize = 1000;
/// Events that wait for a subscriber which takes none; more are dropped, and counted.
const QUEUE: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Platform,
    Function,
    Extension,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    kind: Kind,
    pub(super) time: String,
    /// Behind `platform.`, or empty.
    name: &'static str,
    pub(super) record: Value,
}

/// Which API's shapes a subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    Telemetry,
    Logs,
}

impl Event {
    /// As a subscriber of this schema gets it; `None` if it knows no such event.
    pub(super) fn shown(&self, schema: Schema) -> Option<Value> {
        let name = match (self.kind, schema, self.name) {
            (Kind::Function, ..) => "function".to_owned(),
            (Kind::Extension, ..) => "extension".to_owned(),
            (Kind::Platform, Schema::Logs, "telemetrySubscription") => "platform.logsSubscription".to_owned(),
            (Kind::Platform, Schema::Logs, "initStart" | "initRuntimeDone" | "initReport")
            | (Kind::Platform, Schema::Telemetry, "end") => return None,
            (Kind::Platform, _, name) => format!("platform.{name}"),
        };
        Some(json!({ "time": self.time, "type": name, "record": self.record }))
    }
}

pub(crate) struct Telemetry {
    clock: Arc<dyn Clock>,
    /// What the instance is made for, in AWS's words.
    initialization: &'static str,
    /// Whether anybody is or may become interested; without, an event costs this look.
    heard: AtomicBool,
    state: Mutex<State>,
    /// Of the instance, which runs until what has happened to it is delivered.
    freezer: OnceLock<Arc<Freezer>>,
}

#[derive(Default)]
struct State {
    subscribers: Vec<Subscriber>,
    backlog: Option<Vec<Event>>,
}

struct Subscriber {
    types: Vec<Kind>,
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Subscriber {
    fn give(&self, event: &Event, freezer: Option<&Arc<Freezer>>) {
        if !self.types.contains(&event.kind) {
            return;
        }
        // Before it can be delivered.
        freezer.inspect(|freezer| freezer.hold());
        if self.sender.try_send(event.clone()).is_err() {
            freezer.inspect(|freezer| freezer.release(1));
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Telemetry {
    /// With `expected`, events are kept until the first moment that nobody can subscribe any more.
    pub(crate) fn new(clock: Arc<dyn Clock>, initialization: &'static str, expected: bool) -> Telemetry {
        let backlog = expected.then(Vec::new);
        Telemetry {
            clock,
            initialization,
            heard: AtomicBool::new(expected),
            state: Mutex::new(State { subscribers: Vec::new(), backlog }),
            freezer: OnceLock::new(),
        }
    }

    /// To be called before anybody can subscribe.
    pub(crate) fn keeps_awake(&self, freezer: &Arc<Freezer>) {
        let _ = self.freezer.set(freezer.clone());
    }

    pub(crate) fn platform(&self, name: &'static str, record: impl FnOnce() -> Value) {
        self.emit(Kind::Platform, name, record);
    }

    /// A line that the function or an extension has printed.
    pub(crate) fn line(&self, kind: Kind, line: &[u8]) {
        self.emit(kind, "", || json!(String::from_utf8_lossy(line)));
    }

    fn emit(&self, kind: Kind, name: &'static str, record: impl FnOnce() -> Value) {
        if !self.heard.load(Ordering::Relaxed) {
            return;
        }
        let event = Event { kind, time: stamp(self.clock.now()), name, record: record() };
        let mut state = self.state.lock();
        for subscriber in &state.subscribers {
            subscriber.give(&event, self.freezer.get());
        }
        if let Some(backlog) = state.backlog.as_mut().filter(|backlog| backlog.len() < BACKLOG) {
            backlog.push(event);
        }
    }

    pub(crate) fn init_started(&self, version: &Version) {
        self.emit(Kind::Platform, "initStart", || {
            json!({
                "initializationType": self.initialization,
                "phase": "init",
                "functionName": version.name,
                "functionVersion": version.label,
            })
        });
    }

    /// The instance has initialised, or will not: nobody subscribes any more.
    pub(crate) fn init_ended(&self, well: bool, took: Duration) {
        let status = if well { "success" } else { "error" };
        let kind = self.initialization;
        let record = || json!({ "initializationType": kind, "phase": "init", "status": status });
        self.emit(Kind::Platform, "initRuntimeDone", record);
        self.emit(Kind::Platform, "initReport", || {
            let mut record = record();
            record["metrics"] = json!({ "durationMs": took.as_secs_f64() * 1000.0 });
            record
        });
        let mut state = self.state.lock();
        state.backlog = None;
        self.heard.store(!state.subscribers.is_empty(), Ordering::Relaxed);
    }

    pub(super) fn subscribe(&self, name: &str, subscription: Subscription, sandbox: Weak<Sandbox>) {
        let (sender, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let Subscription { schema, types, buffering, transport, port } = subscription;
        let shown: Vec<&str> = types.iter().map(|kind| kind.name()).collect();
        let record = json!({ "name": name, "state": "Subscribed", "types": shown });
        let subscriber = Subscriber { types, sender, dropped: dropped.clone() };
        {
            let mut state = self.state.lock();
            for event in state.backlog.iter().flatten() {
                subscriber.give(event, self.freezer.get());
            }
            state.subscribers.push(subscriber);
            self.heard.store(true, Ordering::Relaxed);
        }
        self.platform("telemetrySubscription", || record);
        // Ends when this is dropped, with the instance.
        let clock = self.clock.clone();
        let freezer = self.freezer.get().cloned();
        let destination = Destination { sandbox, transport, port, schema, clock, dropped, freezer };
        tokio::spawn(delivery::deliver(destination, events, buffering));
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Platform => "platform",
            Kind::Function => "function",
            Kind::Extension => "extension",
        }
    }
}

/// A time as telemetry has it, with milliseconds.
pub(crate) fn stamp(at: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.ms()).unwrap_or(0)).unwrap_or_default();
    format!("{at:.3}")
}

/// What an extension asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    schema: Schema,
    types: Vec<Kind>,
    buffering: Buffering,
    transport: Transport,
    /// Where it listens inside the sandbox.
    port: u16,
}

#[derive(Deserialize)]
struct Asked {
    types: Vec<Kind>,
    #[serde(default)]
    buffering: AskedBuffering,
    destination: AskedDestination,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedBuffering {
    max_items: Option<usize>,
    max_bytes: Option<usize>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
struct AskedDestination {
    protocol: String,
    #[serde(rename = "URI", alias = "uri")]
    uri: Option<String>,
    /// Of the protocol TCP.
    port: Option<u16>,
}

impl AskedDestination {
    fn place(self) -> Result<(Transport, u16), String> {
        match self.protocol.to_ascii_uppercase().as_str() {
            "HTTP" => {
                let uri: http::Uri = self.uri.unwrap_or_default().parse().map_err(|_| bad_uri())?;
                if !matches!(uri.host(), Some("sandbox.localdomain" | "sandbox")) {
                    return Err(bad_uri());
                }
                Ok((Transport::Http, uri.port_u16().ok_or_else(bad_uri)?))
            }
            "TCP" => match self.port.filter(|port| *port > 0) {
                Some(port) => Ok((Transport::Tcp, port)),
                None => Err("destination.port: needed for TCP".into()),
            },
            _ => Err("destination.protocol: must be HTTP or TCP".into()),
        }
    }
}

impl Subscription {
    /// Reads a subscription's document; what is wrong with it, in words.
    pub(super) fn parse(body: &[u8], schema: Schema) -> Result<Subscription, String> {
        let asked: Asked = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if asked.types.is_empty() {
            return Err("types: at least one is needed".into());
        }
        let bounded = |name: &str, value: Option<usize>, default, min, max| match value.unwrap_or(default) {
            value if (min..=max).contains(&value) => Ok(value),
            value => Err(format!("buffering.{name}: {value} is not between {min} and {max}")),
        };
        let asked_ms = asked.buffering.timeout_ms.map(|ms| usize::try_from(ms).unwrap_or(usize::MAX));
        let timeout_ms = bounded("timeoutMs", asked_ms, 1000, 25, 30_000)?;
        let buffering = Buffering {
            max_items: bounded("maxItems", asked.buffering.max_items, 10_000, 1000, 10_000)?,
            max_bytes: bounded("maxBytes", asked.buffering.max_bytes, 262_144, 262_144, 1_048_576)?,
            timeout: std::time::Duration::from_millis(timeout_ms as u64),
        };
        let (transport, port) = asked.destination.place()?;
        Ok(Subscription { schema, types: asked.types, buffering, transport, port })
    }
}

fn bad_uri() -> String {
    "destination.URI: must be http://sandbox.localdomain:PORT".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_checked() {
        let parse = |text: &str| Subscription::parse(text.as_bytes(), Schema::Telemetry);
        let to = r#""destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/x"}"#;
        let plain = parse(&format!(r#"{{"types": ["platform", "function"], {to}}}"#)).unwrap();
        assert_eq!((plain.port, plain.buffering.max_items), (8080, 10_000));
        let tcp = r#"{"types": ["function"], "destination": {"protocol": "tcp", "port": 9000}}"#;
        let tcp = parse(tcp).unwrap();
        assert_eq!((tcp.transport, tcp.port), (Transport::Tcp, 9000));
        assert!(parse(r#"{"types": ["function"], "destination": {"protocol": "TCP"}}"#).is_err());
        assert_eq!(plain.types, [Kind::Platform, Kind::Function]);
        let small = format!(r#"{{"types": ["platform"], "buffering": {{"maxItems": 1}}, {to}}}"#);
        assert!(parse(&small).unwrap_err().contains("maxItems"));
        assert!(parse(&format!(r#"{{"types": ["all"], {to}}}"#)).is_err());
        assert!(parse(&format!(r#"{{"types": [], {to}}}"#)).is_err());
        let elsewhere =
            r#"{"types": ["platform"], "destination": {"protocol": "HTTP", "URI": "http://10.0.0.1:80"}}"#;
        assert_eq!(parse(elsewhere), Err(bad_uri()));
    }
}
