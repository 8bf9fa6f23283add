//! How telemetry reaches an extension: in batches, at the port inside its sandbox where it listens. By HTTP a
//! batch is a request; by TCP it is lines of JSON on a connection that stays.
//!
//! A batch leaves when it is full or old enough, as the subscription says. What cannot be delivered is tried
//! a few times and then dropped, and the extension is told how much it has missed.

use super::telemetry::{Event, Schema, stamp};
use crate::body::full;
use crate::freezer::Freezer;
use crate::sandbox::Sandbox;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mayfly_kernel::{Clock, Time};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// An extension that has not answered by then is not going to.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffering {
    pub(super) max_items: usize,
    pub(super) max_bytes: usize,
    pub(super) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    Tcp,
}

pub(super) struct Destination {
    pub(super) sandbox: Weak<Sandbox>,
    pub(super) transport: Transport,
    pub(super) port: u16,
    pub(super) schema: Schema,
    pub(super) clock: Arc<dyn Clock>,
    /// Events that found no room.
    pub(super) dropped: Arc<AtomicU64>,
    /// Held for each event until that is delivered, or given up.
    pub(super) freezer: Option<Arc<Freezer>>,
}

#[derive(Default)]
struct Batch {
    /// How many events it stands for; the subscriber's schema does not know them all.
    taken: usize,
    events: Vec<Value>,
    bytes: usize,
}

/// Delivers until there will be no more events, or nowhere to deliver them to.
pub(super) async fn deliver(
    destination: Destination,
    mut events: mpsc::Receiver<Event>,
    buffering: Buffering,
) {
    let (mut more, mut line) = (true, None);
    while more {
        let mut batch = Batch::default();
        let Some(first) = events.recv().await else { return };
        batch.take(&first, destination.schema);
        let due = Instant::now() + buffering.timeout;
        while batch.events.len() < buffering.max_items && batch.bytes < buffering.max_bytes {
            match tokio::time::timeout_at(due, events.recv()).await {
                Ok(Some(event)) => batch.take(&event, destination.schema),
                Ok(None) => {
                    more = false;
                    break;
                }
                Err(_) => break,
            }
        }
        let missed = destination.dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            batch.events.push(missing(missed, destination.clock.now()));
        }
        if !batch.events.is_empty() && !destination.send(&batch, &mut line).await {
            destination.dropped.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        }
        if let Some(freezer) = &destination.freezer {
            freezer.release(batch.taken);
        }
    }
}

/// Tells of events that were not delivered.
fn missing(records: u64, at: Time) -> Value {
    let record = json!({ "reason": "Consumer seems to have fallen behind", "droppedRecords": records });
    json!({ "time": stamp(at), "type": "platform.logsDropped", "record": record })
}

impl Batch {
    fn take(&mut self, event: &Event, schema: Schema) {
        self.taken += 1;
        if let Some(shown) = event.shown(schema) {
            self.bytes += event.record.as_str().map_or(200, |text| text.len() + event.time.len() + 40);
            self.events.push(shown);
        }
    }
}

impl Destination {
    /// `line` is the connection that stays.
    async fn send(&self, batch: &Batch, line: &mut Option<TcpStream>) -> bool {
        let body = match self.transport {
            Transport::Http => Value::Array(batch.events.clone()).to_string(),
            Transport::Tcp => batch.events.iter().map(|event| format!("{event}\n")).collect(),
        };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            let Some(sandbox) = self.sandbox.upgrade() else { return false };
            let sent = async {
                match self.transport {
                    Transport::Http => self.post(&sandbox, body.clone()).await,
                    Transport::Tcp => self.write(&sandbox, &body, line).await,
                }
            };
            if matches!(tokio::time::timeout(ANSWER_WITHIN, sent).await, Ok(Some(()))) {
                return true;
            }
            // What was written in part is written anew, on another connection.
            *line = None;
        }
        false
    }

    async fn write(&self, sandbox: &Sandbox, lines: &str, line: &mut Option<TcpStream>) -> Option<()> {
        if line.is_none() {
            *line = Some(sandbox.connect(self.port).await.ok()?);
        }
        line.as_mut()?.write_all(lines.as_bytes()).await.ok()
    }

    async fn post(&self, sandbox: &Sandbox, body: String) -> Option<()> {
        let stream = sandbox.connect(self.port).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = http::Request::post("/")
            .header("host", format!("sandbox.localdomain:{}", self.port))
            .header("content-type", "application/json")
            .body(full(body))
            .ok()?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        connection.abort();
        answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
    }
}
