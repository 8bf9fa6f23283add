//! A topic of Kafka: a line for each partition, which is fetched from where our own cursor stands.
//!
//! The cursor is written in the commit of what becomes of the records, so nothing is committed to a group of
//! Kafka, and partitions are never given to others: a mapping reads all of them.

use super::access;
use super::line::{Line, Trouble, Want};
use super::tunnel::Door;
use super::{Desk, has_drained, keep, silent, stopped, trouble};
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::Time;
use mayfly_services::Cx;
use mayfly_services::lambda::mappings::{Endpoint, Login, Record, Start};
use rskafka::BackoffConfig;
use rskafka::chrono::DateTime;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::RecordAndOffset;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

/// Of one answer, about: a single batch of records may be larger.
const FETCH_BYTES: i32 = 1024 * 1024;
/// How often it is asked whether there are more partitions.
const DISCOVER_EVERY: Duration = Duration::from_secs(60);
const DISCOVER_AGAIN: Duration = Duration::from_secs(5);
/// Where there are records that no consumer sees, the broker does not wait.
const UNSEEN: Duration = Duration::from_secs(1);

/// Runs a line for each partition, also for those that come later; true once the node is going down.
pub(super) async fn work(desk: Arc<Desk>) -> bool {
    let mut lines = JoinSet::new();
    let mut known = BTreeSet::new();
    let mut stop = desk.stop.clone();
    let (mut draining, mut was_down) = (false, false);
    loop {
        let found = tokio::select! {
            () = stopped(&mut stop) => break,
            found = tokio::time::timeout(desk.open_within(), discover(&desk)) => found,
        };
        let pause = match found.unwrap_or_else(|_| Err(silent())) {
            Ok(found) => {
                if std::mem::take(&mut was_down) {
                    desk.status.recovered(&desk).await;
                }
                for number in found {
                    if known.insert(number) {
                        let open = async move |desk: &Desk| Partition::open(desk, number).await;
                        lines.spawn(keep(desk.clone(), open));
                    }
                }
                DISCOVER_EVERY
            }
            Err(why) => {
                was_down = true;
                trouble(&desk, &why).await;
                DISCOVER_AGAIN
            }
        };
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = lines.join_next() => {
                draining |= has_drained(&desk, ended).await;
                if !draining && !*stop.borrow() {
                    lines.abort_all();
                }
                break;
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
    while let Some(ended) = lines.join_next().await {
        draining |= has_drained(&desk, ended).await;
    }
    draining
}

/// The partitions that there are. Where those begin that a mapping meets first is written down at once;
/// whatever comes later is read from its beginning, since nobody has seen it yet.
async fn discover(desk: &Desk) -> Result<BTreeSet<i32>, Trouble> {
    let topic = &desk.sink.source().topic;
    let Cluster { client, .. } = &connect(desk).await?;
    let found = client.list_topics().await?.into_iter().find(|one| one.name == *topic);
    let found = found.with_context(|| format!("there is no topic {topic}"))?.partitions;
    let Desk { cloud, caller, reader, .. } = desk;
    if cloud.runner.view(caller, "", |cx| reader.is_begun(cx))? {
        return Ok(found);
    }
    let mut firsts = Vec::with_capacity(found.len());
    for number in &found {
        let partition = client.partition_client(topic, *number, UnknownTopicHandling::Error).await?;
        firsts.push((name(topic, *number), first(&partition, desk.sink.source().start).await?));
    }
    let note = |cx: &mut Cx<'_>| firsts.iter().try_for_each(|(name, first)| reader.advance(cx, name, *first));
    cloud.transact(caller, "", note).await?;
    Ok(found)
}

/// What a line is called, and its cursor.
fn name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

struct Cluster {
    client: Client,
    /// The way to its servers, if that is TLS.
    door: Option<Door>,
}

/// The client waits for ever for a server that says nothing, so it is given one at a time.
async fn connect(desk: &Desk) -> Result<Cluster, Trouble> {
    access::first(desk, |endpoint| connect_to(desk, endpoint)).await
}

async fn connect_to(desk: &Desk, endpoint: Endpoint) -> Result<Cluster, Trouble> {
    // Trying again is our own business, and an operator wants to know.
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
        deadline: Some(Duration::from_secs(3)),
    };
    let servers = vec![endpoint.authority()];
    let mut builder = ClientBuilder::new(servers).client_id("mayfly").backoff_config(backoff);
    if let Some(credentials) = access::credentials(desk).await? {
        let credentials = Credentials::new(credentials.username, credentials.password);
        builder = builder.sasl_config(match desk.sink.source().login {
            Login::None | Login::Basic => SaslConfig::Plain(credentials),
            Login::Scram256 => SaslConfig::ScramSha256(credentials),
            Login::Scram512 => SaslConfig::ScramSha512(credentials),
        });
    }
    let door = match endpoint.tls {
        true => Some(Door::open(&desk.cloud.trust).await?),
        false => None,
    };
    if let Some(door) = &door {
        builder = builder.socks5_proxy(door.address().to_string());
    }
    match builder.build().await {
        Ok(client) => Ok(Cluster { client, door }),
        Err(error) => Err(explained(door.as_ref(), error.into())),
    }
}

fn explained(door: Option<&Door>, trouble: Trouble) -> Trouble {
    match door {
        Some(door) => door.explain(trouble),
        None => trouble,
    }
}

struct Partition {
    client: PartitionClient,
    name: String,
    /// What is fetched next.
    next: i64,
    fetched: VecDeque<RecordAndOffset>,
    /// Offsets of what was read and not acknowledged.
    held: VecDeque<i64>,
    _door: Option<Door>,
}

impl Partition {
    async fn open(desk: &Desk, number: i32) -> Result<Partition, Trouble> {
        let topic = &desk.sink.source().topic;
        let Cluster { client, door } = connect(desk).await?;
        let client = client.partition_client(topic, number, UnknownTopicHandling::Error).await;
        let client = client.map_err(|error| explained(door.as_ref(), error.into()))?;
        let name = name(topic, number);
        let known = desk.cloud.runner.view(&desk.caller, "", |cx| desk.reader.cursor(cx, &name))?;
        let next = match known {
            Some(next) => next,
            None => first(&client, Start::Earliest).await?,
        };
        Ok(Partition { client, name, next, fetched: VecDeque::new(), held: VecDeque::new(), _door: door })
    }

    async fn fetch(&mut self, within: Duration) -> Result<(), Trouble> {
        let began = Instant::now();
        let wait = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        let (records, end) = match self.client.fetch_records(self.next, 1..FETCH_BYTES, wait).await {
            Ok(fetched) => fetched,
            Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => {
                // Retention has overtaken us, or the topic is another one by now.
                let first = self.client.get_offset(OffsetAt::Earliest).await?;
                warn!(
                    line = self.name,
                    at = self.next,
                    first,
                    "what was to be read next is not there any more"
                );
                self.next = first;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if records.is_empty() && end > self.next && began.elapsed() < within {
            tokio::time::sleep(UNSEEN.min(within)).await;
        }
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
        }
        self.fetched.extend(records);
        Ok(())
    }
}

async fn first(client: &PartitionClient, start: Start) -> Result<i64, Trouble> {
    let at = match start {
        Start::Earliest => OffsetAt::Earliest,
        Start::Latest => OffsetAt::Latest,
        Start::At(time) => {
            let ms = i64::try_from(time.ms()).unwrap_or(i64::MAX);
            OffsetAt::Timestamp(DateTime::from_timestamp_millis(ms).context("a time that there is")?)
        }
    };
    match client.get_offset(at).await {
        Ok(offset) if offset >= 0 => Ok(offset),
        // There is nothing as late as that.
        Ok(_) => Ok(client.get_offset(OffsetAt::Latest).await?),
        Err(error) => bail!(error),
    }
}

impl Line for Partition {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        if self.fetched.is_empty() {
            self.fetch(want.within).await?;
        }
        let count = want.records.min(self.fetched.len());
        let taken: Vec<RecordAndOffset> = self.fetched.drain(..count).collect();
        self.held.extend(taken.iter().map(|one| one.offset));
        let (topic, partition) = (self.client.topic().to_owned(), self.client.partition());
        Ok(taken.into_iter().map(|one| record(&topic, partition, one)).collect())
    }

    fn cursor(&self, records: usize) -> Option<i64> {
        records.checked_sub(1).and_then(|last| self.held.get(last)).map(|offset| offset + 1)
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        self.held.drain(..records);
        Ok(())
    }
}

/// A record, in the shape of a self-managed cluster at AWS.
fn record(topic: &str, partition: i32, one: RecordAndOffset) -> Record {
    let RecordAndOffset { record, offset } = one;
    let bytes = record.approximate_size() as u64 * 4 / 3 + 256;
    let ms = record.timestamp.timestamp_millis();
    let encode = |bytes: Option<Vec<u8>>| bytes.map(|bytes| STANDARD.encode(bytes));
    // AWS writes bytes as the numbers that Java calls them by.
    let signed = |bytes: Vec<u8>| -> Vec<i8> { bytes.into_iter().map(u8::cast_signed).collect() };
    let headers: Vec<Value> =
        record.headers.into_iter().map(|(name, value)| json!({ name: signed(value) })).collect();
    let shape = json!({
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": ms,
        "timestampType": "CREATE_TIME",
        "key": encode(record.key),
        "value": encode(record.value),
        "headers": headers,
    });
    let at = u64::try_from(ms).ok().map(Time::from_ms);
    Record { id: format!("{topic}-{partition}-{offset}"), at, shape, bytes }
}
