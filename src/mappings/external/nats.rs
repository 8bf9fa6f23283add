//! A subject of a JetStream stream, read through a durable pull consumer.
//!
//! The server keeps what was acknowledged. What it has handed out it hands out again after the consumer's
//! wait, which is held off while records are in hand, so messages that come again may come after later ones.

use super::Desk;
use super::access;
use super::line::{Line, Trouble, Want};
use anyhow::{Context as _, anyhow};
use async_nats::datetime::from_nanos;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::{self, AckKind, Message};
use async_nats::{Client, ConnectOptions, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use mayfly_kernel::Time;
use mayfly_services::lambda::mappings::{External, Record, Start};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;

/// For so long messages are ours; the hold of a worker comes well before.
const ACK_WAIT: Duration = Duration::from_secs(15);
/// Messages of one answer: their sizes are not known before.
const AT_ONCE: usize = 100;
/// A server that is gone is noticed after twice this time.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) struct Subject {
    client: Client,
    consumer: Consumer<pull::Config>,
    name: String,
    /// Read and not acknowledged.
    held: VecDeque<Message>,
}

impl Subject {
    pub(super) async fn open(desk: &Desk) -> Result<Subject, Trouble> {
        let External { topic, group, start, .. } = desk.sink.source();
        let client = connect(desk).await?;
        let context = jetstream::new(client.clone());
        let stream = stream(&context, topic).await?;
        let config = pull::Config {
            durable_name: Some(group.clone()),
            filter_subject: topic.clone(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: -1,
            deliver_policy: match start {
                Start::Earliest => DeliverPolicy::All,
                Start::Latest => DeliverPolicy::New,
                Start::At(time) => DeliverPolicy::ByStartTime {
                    start_time: from_nanos(i128::from(time.ms()) * 1_000_000).map_err(|e| anyhow!(e))?,
                },
            },
            ..pull::Config::default()
        };
        let consumer = stream.get_or_create_consumer(group, config).await.context("the durable consumer")?;
        Ok(Subject { client, consumer, name: topic.clone(), held: VecDeque::new() })
    }

    /// What is there already.
    async fn fetch(&mut self, most: usize) -> Result<Vec<Record>, Trouble> {
        let batch = self.consumer.fetch().max_messages(most.min(AT_ONCE)).messages().await?;
        self.take(batch).await
    }

    async fn take(&mut self, mut batch: pull::Batch) -> Result<Vec<Record>, Trouble> {
        let mut records = Vec::new();
        while let Some(message) = batch.next().await {
            let message = message.map_err(|e| anyhow!(e))?;
            records.push(record(&message)?);
            self.held.push_back(message);
        }
        Ok(records)
    }
}

impl Line for Subject {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        let records = self.fetch(want.records).await?;
        if !records.is_empty() || want.within.is_zero() {
            return Ok(records);
        }
        // Waits for the first alone, so that it is not kept until others come.
        let mut batch = self.consumer.batch().max_messages(1).expires(want.within);
        // The server wants it to be at most half of the time.
        if want.within >= HEARTBEAT * 2 {
            batch = batch.heartbeat(HEARTBEAT);
        }
        let batch = batch.messages().await?;
        self.take(batch).await
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        for message in self.held.iter().take(records) {
            message.ack().await.map_err(|e| anyhow!(e))?;
        }
        self.client.flush().await?;
        self.held.drain(..records);
        Ok(())
    }

    async fn hold(&mut self) -> Result<(), Trouble> {
        for message in &self.held {
            message.ack_with(AckKind::Progress).await.map_err(|e| anyhow!(e))?;
        }
        Ok(())
    }

    async fn release(self) {
        for message in &self.held {
            // If it does not hear of this, the server waits for the acknowledgement.
            let _ = message.ack_with(AckKind::Nak(None)).await;
        }
        let _ = self.client.drain().await;
    }
}

pub(super) async fn forget(desk: &Desk) -> Result<(), Trouble> {
    let External { topic, group, .. } = desk.sink.source();
    let context = jetstream::new(connect(desk).await?);
    stream(&context, topic).await?.delete_consumer(group).await?;
    Ok(())
}

async fn stream(context: &jetstream::Context, subject: &str) -> Result<jetstream::stream::Stream, Trouble> {
    let name = context.stream_by_subject(subject).await;
    let name = name.with_context(|| format!("no stream of JetStream has the subject {subject}"))?;
    Ok(context.get_stream(name).await?)
}

async fn connect(desk: &Desk) -> Result<Client, Trouble> {
    let source = desk.sink.source();
    let tls = source.endpoints.iter().any(|endpoint| endpoint.tls);
    let mut options = ConnectOptions::new().name("mayfly").max_reconnects(1).require_tls(tls);
    if tls {
        options = options.tls_client_config(desk.cloud.trust.tls().as_ref().clone());
    }
    if let Some(credentials) = access::credentials(desk).await? {
        options = options.user_and_password(credentials.username, credentials.password);
    }
    let servers: Vec<String> = source.endpoints.iter().map(|endpoint| endpoint.authority()).collect();
    let client = options.connect(servers.clone()).await;
    client.with_context(|| format!("Cannot reach {}", servers.join(", ")))
}

fn record(message: &Message) -> Result<Record, Trouble> {
    let info = message.info().map_err(|e| anyhow!(e))?;
    let at = u64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).ok().map(Time::from_ms);
    let id = info.stream_sequence.to_string();
    let shape = json!({
        "id": id,
        "stream": info.stream,
        "subject": message.subject.as_str(),
        "time": at.map(mayfly_wire::time::iso8601),
        "deliveryCount": info.delivered,
        "headers": message.headers.as_ref().map(headers),
        "data": STANDARD.encode(&message.payload),
    });
    Ok(Record { id, at, shape, bytes: message.length as u64 * 4 / 3 + 256 })
}

fn headers(map: &HeaderMap) -> Value {
    let value = |values: &Vec<async_nats::HeaderValue>| -> Vec<String> {
        values.iter().map(|value| value.as_str().to_owned()).collect()
    };
    map.iter().map(|(name, values)| (name.to_string(), json!(value(values)))).collect()
}
