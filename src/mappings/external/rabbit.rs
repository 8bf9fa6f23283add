//! A queue of RabbitMQ, consumed with acknowledgements of our own.
//!
//! The broker sends ahead what one batch takes, and no more before that is acknowledged. What is not
//! acknowledged when the connection ends goes back to its place in the queue.

use super::Desk;
use super::access;
use super::line::{Line, Trouble, Want};
use super::tunnel;
use anyhow::{Context as _, bail};
use async_compat::Compat;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::tcp::AsyncTcpStream;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use mayfly_kernel::Time;
use mayfly_services::lambda::mappings::{Endpoint, External, Record};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use tokio::net::TcpStream;

/// A broker that is gone is noticed after twice this time. RabbitMQ's own advice is 5 to 20.
const HEARTBEAT_S: u16 = 7;

pub(super) struct Queue {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    name: String,
    /// Tags of what was read and not acknowledged.
    held: VecDeque<u64>,
    _cut: Cut,
}

/// Ends a connection when it is dropped. Lapin's thread ends with its connection alone, and one that is on its
/// way to be open waits for its broker however long that says nothing.
struct Cut(OwnedFd);

impl Drop for Cut {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

impl Queue {
    pub(super) async fn open(desk: &Desk) -> Result<Queue, Trouble> {
        let External { topic, .. } = desk.sink.source();
        let (connection, cut) = access::first(desk, |endpoint| connect_to(desk, endpoint)).await?;
        let channel = connection.create_channel().await?;
        let ahead = u16::try_from(desk.plan.batch_size).unwrap_or(u16::MAX);
        channel.basic_qos(ahead, BasicQosOptions::default()).await?;
        let tag = ShortString::from(desk.sink.source().key.2.clone());
        let options = BasicConsumeOptions::default();
        let queue = ShortString::from(topic.clone());
        // Lines of one mapping have tags of one channel each, so the same tag is no conflict.
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await?;
        let name = format!("{topic}::{}", virtual_host(desk.sink.source()));
        Ok(Queue { connection, channel, consumer, name, held: VecDeque::new(), _cut: cut })
    }
}

fn virtual_host(source: &External) -> &str {
    if source.virtual_host.is_empty() { "/" } else { &source.virtual_host }
}

async fn connect_to(desk: &Desk, endpoint: Endpoint) -> Result<(Connection, Cut), Trouble> {
    let mut userinfo = AMQPUserInfo::default();
    if let Some(credentials) = access::credentials(desk).await? {
        userinfo = AMQPUserInfo { username: credentials.username, password: credentials.password };
    }
    let uri = AMQPUri {
        // Whether it is under TLS is our business.
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority { userinfo, host: endpoint.host.clone(), port: endpoint.port },
        vhost: virtual_host(desk.sink.source()).to_owned(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() },
    };
    let name = ConnectionProperties::default().with_connection_name("mayfly".into());
    let socket = socket(desk, &endpoint).await?;
    let cut = Cut(socket.as_fd().try_clone_to_owned()?);
    let socket = Mutex::new(Some(socket));
    // Asked for once more if the broker hangs up before it has said anything.
    let connect = async move |_, _| match socket.lock().take() {
        Some(socket) => Ok(AsyncTcpStream::Plain(Compat::new(socket))),
        None => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
    };
    let runtime = lapin::runtime::default_runtime()?;
    Ok((Connection::connector(uri, runtime, connect, name).await?, cut))
}

async fn socket(desk: &Desk, endpoint: &Endpoint) -> Result<TcpStream, Trouble> {
    let tcp = access::tcp(endpoint).await?;
    match endpoint.tls {
        true => tunnel::socket(access::secure(&desk.cloud.trust, endpoint, tcp).await?),
        false => Ok(tcp),
    }
}

impl Line for Queue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        let mut records = Vec::new();
        let mut next = match want.within.is_zero() {
            true => self.consumer.next().now_or_never(),
            false => tokio::time::timeout(want.within, self.consumer.next()).await.ok(),
        };
        while let Some(delivery) = next {
            let Some(delivery) = delivery else { bail!("RabbitMQ has ended the consumer") };
            let delivery = delivery?;
            self.held.push_back(delivery.delivery_tag);
            records.push(record(delivery));
            if records.len() >= want.records {
                break;
            }
            next = self.consumer.next().now_or_never();
        }
        Ok(records)
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        let Some(last) = records.checked_sub(1).and_then(|last| self.held.get(last)) else { return Ok(()) };
        // Tags grow, and everything before this one was acknowledged or is meant too.
        self.channel.basic_ack(*last, BasicAckOptions { multiple: true }).await.context("acknowledge")?;
        self.held.drain(..records);
        Ok(())
    }

    async fn release(self) {
        // Whatever is not acknowledged goes back to the queue.
        let _ = self.connection.close(200, "done".into()).await;
    }
}

/// A message, in the shape of Amazon MQ for RabbitMQ.
fn record(delivery: Delivery) -> Record {
    let Delivery { delivery_tag, redelivered, properties, data, .. } = delivery;
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    let id = text(properties.message_id()).unwrap_or_else(|| format!("{delivery_tag}"));
    let at = properties.timestamp().map(|seconds| Time::from_ms(seconds.saturating_mul(1000)));
    let headers = properties.headers().as_ref().map_or_else(|| json!({}), table);
    let shape = json!({
        "basicProperties": {
            "contentType": text(properties.content_type()),
            "contentEncoding": text(properties.content_encoding()),
            "headers": headers,
            "deliveryMode": properties.delivery_mode(),
            "priority": properties.priority(),
            "correlationId": text(properties.correlation_id()),
            "replyTo": text(properties.reply_to()),
            "expiration": text(properties.expiration()),
            "messageId": text(properties.message_id()),
            "timestamp": at.and_then(java_date),
            "type": text(properties.kind()),
            "userId": text(properties.user_id()),
            "appId": text(properties.app_id()),
            "clusterId": text(properties.cluster_id()),
            "bodySize": data.len(),
        },
        "redelivered": redelivered,
        "data": STANDARD.encode(&data),
    });
    Record { id, at, bytes: data.len() as u64 * 4 / 3 + 768, shape }
}

/// A time as the events of Amazon MQ have it, such as `Jan 1, 1970, 12:33:41 AM`.
fn java_date(time: Time) -> Option<String> {
    let stamp = jiff::Timestamp::from_millisecond(i64::try_from(time.ms()).ok()?).ok()?;
    Some(stamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%b %-d, %Y, %-I:%M:%S %p").to_string())
}

fn table(table: &FieldTable) -> Value {
    table.inner().iter().map(|(name, field)| (name.to_string(), value(field))).collect()
}

/// A header: texts are bytes, as the broker knows no encoding.
fn value(field: &AMQPValue) -> Value {
    match field {
        AMQPValue::Boolean(value) => json!(value),
        AMQPValue::ShortShortInt(value) => json!(value),
        AMQPValue::ShortShortUInt(value) => json!(value),
        AMQPValue::ShortInt(value) => json!(value),
        AMQPValue::ShortUInt(value) => json!(value),
        AMQPValue::LongInt(value) => json!(value),
        AMQPValue::LongUInt(value) => json!(value),
        AMQPValue::LongLongInt(value) => json!(value),
        AMQPValue::Timestamp(value) => json!(value),
        AMQPValue::Float(value) => json!(value),
        AMQPValue::Double(value) => json!(value),
        AMQPValue::DecimalValue(value) => {
            json!(f64::from(value.value) / 10_f64.powi(i32::from(value.scale)))
        }
        AMQPValue::ShortString(text) => json!({ "bytes": text.as_str().as_bytes() }),
        AMQPValue::LongString(text) => json!({ "bytes": text.as_bytes() }),
        AMQPValue::ByteArray(bytes) => json!({ "bytes": bytes.as_slice() }),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value).collect(),
        AMQPValue::FieldTable(fields) => table(fields),
        AMQPValue::Void => Value::Null,
    }
}
