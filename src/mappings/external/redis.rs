//! A stream of Redis, read through a consumer group.
//!
//! The group's one consumer has a name that does not change, so what it was given and has not acknowledged is
//! its own pending list, which is read first, in order, whenever the line is opened.

use super::Desk;
use super::access;
use super::line::{Line, Trouble, Want};
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::Time;
use mayfly_services::lambda::mappings::{Endpoint, External, Record, Start};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use serde_json::json;
use std::collections::VecDeque;
use tokio::task::JoinSet;

const CONSUMER: &str = "mayfly";
/// Entries of one answer, whose sizes are not known before.
const AT_ONCE: usize = 100;

pub(super) struct Stream {
    connection: Connection,
    key: String,
    group: String,
    /// Nobody else reads in the group, under a name that is ours.
    is_alone: bool,
    /// The last one seen of those that were given to us before; `None` once all were.
    pending: Option<String>,
    /// Read and not acknowledged.
    held: VecDeque<String>,
}

impl Stream {
    pub(super) async fn open(desk: &Desk) -> Result<Stream, Trouble> {
        let connection = connect(desk).await?;
        let External { topic, group, start, owns_group, .. } = desk.sink.source();
        let from = match start {
            Start::Earliest => "0".to_owned(),
            Start::Latest => "$".to_owned(),
            // What comes after the last id that is earlier.
            Start::At(time) if time.ms() == 0 => "0".to_owned(),
            Start::At(time) => format!("{}-{}", time.ms() - 1, u64::MAX),
        };
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(topic).arg(group).arg(from).arg("MKSTREAM");
        match connection.ask(&create).await {
            Err(trouble) if !format!("{trouble:#}").contains("BUSYGROUP") => return Err(trouble),
            Ok(_) | Err(_) => {}
        }
        let (key, group) = (topic.clone(), group.clone());
        let (is_alone, pending, held) = (*owns_group, Some("0".into()), VecDeque::new());
        Ok(Stream { connection, key, group, is_alone, pending, held })
    }

    async fn entries(&mut self, want: Want) -> Result<Vec<Entry>, Trouble> {
        let mut read = redis::cmd("XREADGROUP");
        let count = want.records.clamp(1, AT_ONCE);
        read.arg("GROUP").arg(&self.group).arg(CONSUMER).arg("COUNT").arg(count);
        if self.pending.is_none() && !want.within.is_zero() {
            // Zero would be for ever.
            read.arg("BLOCK").arg(u64::try_from(want.within.as_millis()).unwrap_or(1).max(1));
        }
        read.arg("STREAMS").arg(&self.key).arg(self.pending.as_deref().unwrap_or(">"));
        entries(self.connection.ask(&read).await?)
    }

    async fn remove(&mut self, ids: &[String]) -> Result<(), Trouble> {
        let mut remove = redis::cmd("XACK");
        remove.arg(&self.key).arg(&self.group).arg(ids);
        self.connection.ask(&remove).await?;
        Ok(())
    }
}

impl Line for Stream {
    fn name(&self) -> &str {
        &self.key
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        loop {
            let entries = self.entries(want).await?;
            let was_pending = self.pending.is_some();
            if was_pending {
                self.pending = entries.last().map(|entry| entry.id.clone());
            }
            // An entry that was deleted meanwhile has no fields any more.
            let gone = entries.iter().filter(|entry| entry.fields.is_none());
            let gone: Vec<String> = gone.map(|entry| entry.id.clone()).collect();
            if !gone.is_empty() {
                self.remove(&gone).await?;
            }
            let records: Vec<Record> =
                entries.into_iter().filter_map(|entry| entry.record(&self.key)).collect();
            if !records.is_empty() || !was_pending {
                let is_idle = records.is_empty() && self.held.is_empty() && !want.within.is_zero();
                if is_idle && self.is_alone {
                    // A read of an earlier connection that the server has not missed yet may take entries
                    // for us until its end, and nobody else would look for them.
                    self.pending = Some("0".into());
                }
                self.held.extend(records.iter().map(|record| record.id.clone()));
                return Ok(records);
            }
        }
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        let ids: Vec<String> = self.held.iter().take(records).cloned().collect();
        self.remove(&ids).await?;
        self.held.drain(..records);
        Ok(())
    }
}

pub(super) async fn forget(desk: &Desk) -> Result<(), Trouble> {
    let External { topic, group, .. } = desk.sink.source();
    let mut destroy = redis::cmd("XGROUP");
    destroy.arg("DESTROY").arg(topic).arg(group);
    connect(desk).await?.ask(&destroy).await?;
    Ok(())
}

async fn connect(desk: &Desk) -> Result<Connection, Trouble> {
    access::first(desk, |endpoint| connect_to(desk, endpoint)).await
}

async fn connect_to(desk: &Desk, endpoint: Endpoint) -> Result<Connection, Trouble> {
    let mut info = RedisConnectionInfo::default();
    if !endpoint.path.is_empty() {
        info = info.set_db(endpoint.path.parse().context("the number of the database")?);
    }
    if let Some(credentials) = access::credentials(desk).await? {
        if !credentials.username.is_empty() {
            info = info.set_username(credentials.username);
        }
        info = info.set_password(credentials.password);
    }
    let pipe = access::pipe(&desk.cloud.trust, &endpoint).await?;
    // A command that waits has no time of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let (client, driver) = MultiplexedConnection::new_with_config(&info, pipe, config).await?;
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    Ok(Connection { client, _driver: drivers })
}

struct Connection {
    client: MultiplexedConnection,
    /// Ends with us: by itself it would wait for whatever was asked, and a server that is frozen answers nothing.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        Ok(self.client.clone().send_packed_command(command).await?)
    }
}

struct Entry {
    id: String,
    fields: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Entry {
    fn record(self, stream: &str) -> Option<Record> {
        let fields = self.fields?;
        let at = self.id.split_once('-').and_then(|(ms, _)| ms.parse().ok()).map(Time::from_ms);
        let bytes = fields.iter().map(|(name, value)| name.len() + value.len() * 4 / 3 + 8).sum::<usize>();
        let fields: serde_json::Map<String, serde_json::Value> = fields
            .into_iter()
            .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), STANDARD.encode(value).into()))
            .collect();
        let time = at.map(mayfly_wire::time::iso8601);
        let shape = json!({ "id": self.id, "stream": stream, "time": time, "fields": fields });
        Some(Record { id: self.id, at, shape, bytes: bytes as u64 + 128 })
    }
}

/// The entries of the one stream of an answer: `[[key, [[id, [name, value, …]], …]]]`, or nothing.
fn entries(answer: Value) -> Result<Vec<Entry>, Trouble> {
    let Value::Array(streams) = answer else { return Ok(Vec::new()) };
    let Some(Value::Array(stream)) = streams.into_iter().next() else { return Ok(Vec::new()) };
    let Some(Value::Array(entries)) = stream.into_iter().nth(1) else { return Ok(Vec::new()) };
    entries.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Result<Entry, Trouble> {
    let Value::Array(pair) = value else { bail!("Redis answers something odd") };
    let mut pair = pair.into_iter();
    let Some(Value::BulkString(id)) = pair.next() else { bail!("Redis answers an entry without an id") };
    let id = String::from_utf8(id).context("the id of an entry")?;
    let Some(Value::Array(flat)) = pair.next() else { return Ok(Entry { id, fields: None }) };
    let bytes = |value: &Value| match value {
        Value::BulkString(bytes) => bytes.clone(),
        other => format!("{other:?}").into_bytes(),
    };
    let fields = flat.chunks_exact(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect();
    Ok(Entry { id, fields: Some(fields) })
}
