//! The extensions of one instance: who has registered, what each is told, and whether all are done.
//!
//! The contract is AWS's page "Using the Lambda Extensions API to create extensions". External extensions are
//! the programs in `/opt/extensions`; internal ones live in the runtime's own process and only register. Both
//! take part in a phase by asking for the next event: an instance is ready, or free again, when all have
//! asked.
//!
//! Its rooms: `api` is the HTTP side, `telemetry` what extensions subscribe to, `delivery` how that reaches
//! them.

pub(crate) mod api;
mod delivery;
pub(crate) mod telemetry;

use crate::instance::error;
use crate::runtime_api::Work;
use mayfly_kernel::function::{FunctionError, Version};
use mayfly_kernel::ids::Ids;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telemetry::Telemetry;
use tokio::sync::{Notify, oneshot};

/// How many may register in one instance, as on AWS.
const EXTENSIONS_MAX: usize = 10;

pub(crate) struct Extensions {
    pub(crate) version: Arc<Version>,
    /// The external ones, by the names of their programs.
    expected: Vec<String>,
    state: Mutex<State>,
    changed: Notify,
    pub(crate) telemetry: Arc<Telemetry>,
}

struct State {
    ids: Ids,
    /// Registering is over.
    closed: bool,
    all: Vec<Extension>,
    failure: Option<FunctionError>,
}

struct Extension {
    id: String,
    name: String,
    invoke: bool,
    shutdown: bool,
    activity: Activity,
}

enum Activity {
    /// It works, or has not asked yet.
    Busy,
    /// It has asked for an event.
    Waiting(oneshot::Sender<Value>),
    /// An event is there and it has not asked yet.
    Due(Value),
}

/// Why an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    SpinDown,
    Timeout,
    Failure,
}

impl Shutdown {
    fn name(self) -> &'static str {
        match self {
            Shutdown::SpinDown => "spindown",
            Shutdown::Timeout => "timeout",
            Shutdown::Failure => "failure",
        }
    }
}

/// Why a registration is refused: the type of the error that the extension gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    AlreadyRegistered,
    TooMany,
    InvalidEvent,
    ShutdownOfInternal,
}

impl Extensions {
    pub(crate) fn new(version: Arc<Version>, programs: &[PathBuf], telemetry: Arc<Telemetry>) -> Extensions {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let state = State { ids: Ids::system(), closed: false, all: Vec::new(), failure: None };
        Extensions {
            version,
            expected: programs.iter().map(name).collect(),
            state: Mutex::new(state),
            changed: Notify::new(),
            telemetry,
        }
    }

    pub(crate) fn has_external(&self) -> bool {
        !self.expected.is_empty()
    }

    pub(crate) fn external(&self) -> usize {
        self.expected.len()
    }

    /// Whether any has registered.
    pub(crate) fn any(&self) -> bool {
        !self.state.lock().all.is_empty()
    }

    /// The name of the external extension of this number.
    pub(crate) fn name(&self, number: u32) -> &str {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        self.expected.get(number).map_or("unknown", String::as_str)
    }

    /// Takes a new extension in; its identifier.
    fn register(&self, name: &str, events: &[String]) -> Result<String, Refused> {
        let mut state = self.state.lock();
        let external = self.expected.iter().any(|expected| expected == name);
        let refused = [
            (state.closed, Refused::Closed),
            (state.all.iter().any(|known| known.name == name), Refused::AlreadyRegistered),
            (state.all.len() >= EXTENSIONS_MAX, Refused::TooMany),
            (events.iter().any(|event| event != "INVOKE" && event != "SHUTDOWN"), Refused::InvalidEvent),
            (!external && events.iter().any(|event| event == "SHUTDOWN"), Refused::ShutdownOfInternal),
        ];
        if let Some((_, refused)) = refused.into_iter().find(|(applies, _)| *applies) {
            return Err(refused);
        }
        let id = state.ids.uuid();
        let wants = |kind: &str| events.iter().any(|event| event == kind);
        state.all.push(Extension {
            id: id.clone(),
            name: name.into(),
            invoke: wants("INVOKE"),
            shutdown: wants("SHUTDOWN"),
            activity: Activity::Busy,
        });
        drop(state);
        self.telemetry
            .platform("extension", || json!({ "name": name, "state": "Registered", "events": events }));
        self.changed.notify_waiters();
        Ok(id)
    }

    /// Where the next event of this extension comes from, and its number; `None` if there is no such
    /// extension.
    fn next(&self, id: &str) -> Option<(oneshot::Receiver<Value>, String)> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let event_id = state.ids.uuid();
        let extension = state.all.iter_mut().find(|extension| extension.id == id)?;
        match std::mem::replace(&mut extension.activity, Activity::Busy) {
            Activity::Due(event) => drop(sender.send(event)),
            Activity::Busy | Activity::Waiting(_) => extension.activity = Activity::Waiting(sender),
        }
        drop(state);
        self.changed.notify_waiters();
        Some((receiver, event_id))
    }

    fn name_of(&self, id: &str) -> Option<String> {
        let state = self.state.lock();
        state.all.iter().find(|extension| extension.id == id).map(|extension| extension.name.clone())
    }

    /// An extension says that it cannot go on.
    pub(crate) fn fail(&self, failure: FunctionError) {
        self.state.lock().failure.get_or_insert(failure);
        self.changed.notify_waiters();
    }

    /// Waits until every external extension has registered.
    pub(crate) async fn registered(&self) {
        let known = |state: &State, name: &String| state.all.iter().any(|extension| extension.name == *name);
        self.until(|state| self.expected.iter().all(|name| known(state, name))).await;
    }

    /// Waits until all have asked for an event; nobody registers any more then.
    pub(crate) async fn ready(&self) {
        self.registered().await;
        self.until(State::is_idle).await;
        self.state.lock().closed = true;
    }

    /// Waits until all have asked again.
    pub(crate) async fn idle(&self) {
        self.until(State::is_idle).await;
    }

    /// Resolves when one has failed.
    pub(crate) async fn failed(&self) -> FunctionError {
        self.until(|state| state.failure.is_some()).await;
        let failure = self.state.lock().failure.clone();
        failure.unwrap_or_else(|| error("Extension.ExitError", "an extension failed"))
    }

    async fn until(&self, condition: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if condition(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Tells of an invocation those who want to know.
    pub(crate) fn invoke(&self, work: &Work) {
        let event = json!({
            "eventType": "INVOKE",
            "deadlineMs": work.deadline_ms,
            "requestId": work.request_id,
            "invokedFunctionArn": work.invoked_arn,
            "tracing": {
                "type": "X-Amzn-Trace-Id",
                "value": work.trace_id.as_deref().unwrap_or_default(),
            },
        });
        self.state.lock().tell(&event, |extension| extension.invoke);
    }

    /// Tells of the end those who want to know.
    pub(crate) fn shut_down(&self, reason: Shutdown, deadline_ms: u64) {
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason.name(),
            "deadlineMs": deadline_ms,
        });
        self.state.lock().tell(&event, |extension| extension.shutdown);
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.all.iter().all(|extension| matches!(extension.activity, Activity::Waiting(_)))
    }

    fn tell(&mut self, event: &Value, wants: impl Fn(&Extension) -> bool) {
        for extension in self.all.iter_mut().filter(|extension| wants(extension)) {
            extension.activity = match std::mem::replace(&mut extension.activity, Activity::Busy) {
                Activity::Waiting(sender) => match sender.send(event.clone()) {
                    Ok(()) => Activity::Busy,
                    // Its connection is gone; it may ask again.
                    Err(event) => Activity::Due(event),
                },
                Activity::Busy | Activity::Due(_) => Activity::Due(event.clone()),
            };
        }
    }
}

/// The programs that the layers bring as extensions: where they are inside a sandbox, by name. Blocks.
pub(crate) fn programs(layers: &[PathBuf]) -> Vec<PathBuf> {
    let entries = layers.iter().filter_map(|layer| std::fs::read_dir(layer.join("extensions")).ok());
    let files = entries.flatten().flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<_> = files.map(|entry| entry.file_name()).collect();
    names.sort();
    names.dedup();
    names.truncate(EXTENSIONS_MAX);
    names.into_iter().map(|name| Path::new("/opt/extensions").join(name)).collect()
}
