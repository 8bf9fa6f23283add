//! Changes of the tables of a publication of PostgreSQL, from a logical replication slot of our own.
//!
//! The slot keeps the log of the server until we confirm it, which we do with the end of a transaction whose
//! changes are all done. A transaction in hand when the connection ends comes again as a whole.

mod pgoutput;
mod wire;

use super::Desk;
use super::access;
use super::line::{Line, Trouble, Want};
use anyhow::bail;
use mayfly_services::lambda::mappings::{Endpoint, External, Record};
use pgoutput::{Change, Reader, Told};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Refused, Streamed, Wire};

/// The server hears from us at least so often; it waits for a minute, if it is not told otherwise.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);

/// A server that was asked for an answer and has said nothing for so long is gone. It may be busy with a
/// transaction of others meanwhile, so this is as patient as PostgreSQL's own subscribers are.
const SILENCE: Duration = Duration::from_secs(60);

/// A change that was read and is not acknowledged.
struct Held {
    /// It is the last of a transaction that ends here.
    ends: Option<u64>,
}

pub(super) struct Slot {
    wire: Wire,
    reader: Reader,
    name: String,
    held: VecDeque<Held>,
    /// Some of a transaction is still to come.
    within: bool,
    /// Everything before is done.
    done: u64,
    confirmed_at: Instant,
    heard_at: Instant,
}

impl Slot {
    pub(super) async fn open(desk: &Desk) -> Result<Slot, Trouble> {
        let External { topic, group, .. } = desk.sink.source();
        let mut wire = connect(desk).await?;
        let create = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput NOEXPORT_SNAPSHOT", quoted(group));
        match wire.command(&create).await {
            Err(trouble) if code(&trouble) != Some(wire::DUPLICATE_OBJECT) => return Err(trouble),
            Ok(()) | Err(_) => {}
        }
        let publication = quoted(topic).replace('\'', "''");
        let start = format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')",
            quoted(group)
        );
        wire.start(&start).await?;
        let (reader, held, name, now) = (Reader::default(), VecDeque::new(), topic.clone(), Instant::now());
        Ok(Slot { wire, reader, name, held, within: false, done: 0, confirmed_at: now, heard_at: now })
    }

    async fn confirm(&mut self) -> Result<(), Trouble> {
        self.confirmed_at = Instant::now();
        // Zero says nothing, other than that we are there.
        self.wire.confirm(self.done).await
    }

    async fn take(&mut self, streamed: Streamed) -> Result<Option<Record>, Trouble> {
        self.heard_at = Instant::now();
        match streamed {
            Streamed::Message(message) => match self.reader.read(message)? {
                Told::Change(Change { id, at, shape, bytes }) => {
                    self.held.push_back(Held { ends: None });
                    return Ok(Some(Record { id, at, shape, bytes }));
                }
                Told::Begin => self.within = true,
                Told::Commit { end } => {
                    self.within = false;
                    match self.held.back_mut() {
                        Some(last) => last.ends = Some(end),
                        None => self.done = end,
                    }
                }
                Told::Nothing => {}
            },
            Streamed::Alive { end, wants_answer } => {
                // Where nothing of ours happens, the log of others need not be kept for us.
                if self.held.is_empty() && !self.within {
                    self.done = self.done.max(end);
                }
                if wants_answer {
                    self.confirm().await?;
                }
            }
        }
        Ok(None)
    }
}

impl Line for Slot {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        // What is in the stream already costs no waiting, but arrives a moment after we ask.
        let until = Instant::now() + want.within.max(Duration::from_millis(5));
        let mut records = Vec::new();
        while records.len() < want.records {
            let until = if records.is_empty() { until } else { Instant::now() + Duration::from_millis(5) };
            match tokio::time::timeout_at(until, self.wire.streamed()).await {
                Ok(streamed) => records.extend(self.take(streamed?).await?),
                Err(_) => break,
            }
        }
        if records.is_empty() && self.heard_at.elapsed() >= SILENCE {
            bail!("PostgreSQL does not answer");
        }
        if self.confirmed_at.elapsed() >= CONFIRM_EVERY {
            self.confirm().await?;
        }
        Ok(records)
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        for held in self.held.drain(..records) {
            self.done = held.ends.unwrap_or(self.done);
        }
        self.confirm().await
    }

    async fn hold(&mut self) -> Result<(), Trouble> {
        self.confirm().await
    }
}

pub(super) async fn forget(desk: &Desk) -> Result<(), Trouble> {
    let drop = format!("DROP_REPLICATION_SLOT {} WAIT", quoted(&desk.sink.source().group));
    connect(desk).await?.command(&drop).await
}

async fn connect(desk: &Desk) -> Result<Wire, Trouble> {
    let Some(credentials) = access::credentials(desk).await? else {
        bail!("PostgreSQL wants to know who we are: SourceAccessConfigurations with BASIC_AUTH");
    };
    let credentials = &credentials;
    access::first(desk, |endpoint: Endpoint| async move { Wire::connect(desk, &endpoint, credentials).await })
        .await
}

fn code(trouble: &Trouble) -> Option<&str> {
    trouble.downcast_ref::<Refused>().map(|refused| refused.code.as_str())
}

/// A name, as the server reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
