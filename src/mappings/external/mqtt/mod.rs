//! Messages of an MQTT broker, under one topic filter, which the broker keeps for us in a session.
//!
//! A session has the name of its client and outlives its connections. The broker hands out messages of QoS 1
//! in it until each is acknowledged, which happens once the function is done with them; on the next
//! connection it begins again with what was not. Version 5 is spoken, and 3.1.1 with a broker that does not.
//!
//! The protocol is spoken here. The client library that there is, rumqttc, reconnects by itself beneath the
//! messages that we have in hand, sends acknowledgements from a queue that it drops then, and gives signs of
//! life only while it takes in messages too, whether anybody has room for them or not. A subscriber needs few
//! packets: hello, subscription, message, acknowledgement, sign of life, goodbye.
//!
//! Not here: QoS 2, wills, extended authentication, WebSockets.

mod packet;
mod wire;

use super::Desk;
use super::access;
use super::line::{Line, Trouble, Want};
use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use mayfly_services::lambda::mappings::{Endpoint, Record};
use packet::{Hello, Message, Session, Version};
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;
use wire::{Greeted, Wire};

/// The broker takes us for dead half as long again after our last packet.
const KEEP_ALIVE_S: u16 = 60;
/// What is there already arrives a moment after we ask.
const AT_ONCE: Duration = Duration::from_millis(5);

pub(super) struct Subscription {
    wire: Wire,
    filter: String,
    /// Messages of this connection so far.
    count: u64,
    /// What was read and not acknowledged; none where the publisher wants no acknowledgement.
    held: VecDeque<Option<u16>>,
}

impl Subscription {
    pub(super) async fn open(desk: &Desk) -> Result<Subscription, Trouble> {
        let mut wire = connect(desk, Session::Kept).await?;
        let filter = desk.sink.source().topic.clone();
        // Again on every connection: a session may be there without the subscription, if we died in between.
        wire.subscribe(&filter).await?;
        Ok(Subscription { wire, filter, count: 0, held: VecDeque::new() })
    }

    fn take(&mut self, message: Message) -> Record {
        self.count += 1;
        self.held.push_back(message.packet_id);
        record(self.count, message)
    }
}

impl Line for Subscription {
    fn name(&self) -> &str {
        &self.filter
    }

    async fn read(&mut self, want: Want) -> Result<Vec<Record>, Trouble> {
        self.wire.keep_alive().await?;
        let mut next = tokio::time::timeout(want.within.max(AT_ONCE), self.wire.message()).await.ok();
        if next.is_none() {
            self.wire.check_silence()?;
        }
        let mut records = Vec::new();
        while let Some(message) = next {
            records.push(self.take(message?));
            if records.len() >= want.records {
                break;
            }
            next = self.wire.message().now_or_never();
        }
        Ok(records)
    }

    async fn acknowledge(&mut self, records: usize) -> Result<(), Trouble> {
        self.wire.acknowledge(self.held.drain(..records).flatten()).await
    }

    async fn hold(&mut self) -> Result<(), Trouble> {
        self.wire.keep_alive().await
    }

    async fn release(self) {
        self.wire.close().await;
    }
}

pub(super) async fn forget(desk: &Desk) -> Result<(), Trouble> {
    connect(desk, Session::Ended).await?.close().await;
    Ok(())
}

async fn connect(desk: &Desk, session: Session) -> Result<Wire, Trouble> {
    access::first(desk, |endpoint| connect_to(desk, endpoint, session)).await
}

async fn connect_to(desk: &Desk, endpoint: Endpoint, session: Session) -> Result<Wire, Trouble> {
    let credentials = access::credentials(desk).await?;
    let hello = Hello {
        client_id: &desk.sink.source().group,
        session,
        keep_alive_s: KEEP_ALIVE_S,
        // The broker sends ahead what one batch takes.
        receive_maximum: u16::try_from(desk.plan.batch_size).unwrap_or(u16::MAX),
        login: credentials.as_ref().map(|one| (one.username.as_str(), one.password.as_str())),
    };
    for version in [Version::V5, Version::V3] {
        let pipe = access::pipe(&desk.cloud.trust, &endpoint).await?;
        if let Greeted::Welcome(wire) = Wire::greet(pipe, version, hello).await? {
            return Ok(wire);
        }
    }
    bail!("the broker speaks neither MQTT 5 nor 3.1.1");
}

fn record(number: u64, message: Message) -> Record {
    let Message { packet_id, topic, is_duplicate, is_retained, properties, payload } = message;
    let id = number.to_string();
    let user: Vec<_> =
        properties.user.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let user_bytes: usize = properties.user.iter().map(|(name, value)| name.len() + value.len() + 24).sum();
    let bytes = (payload.len() * 4 / 3 + topic.len() + user_bytes + 256) as u64;
    let shape = json!({
        "id": id,
        "topic": topic,
        "qos": if packet_id.is_some() { 1 } else { 0 },
        "duplicate": is_duplicate,
        "retained": is_retained,
        "contentType": properties.content_type,
        "responseTopic": properties.response_topic,
        "correlationData": properties.correlation.map(|bytes| STANDARD.encode(bytes)),
        "messageExpiryInterval": properties.expiry_s,
        "userProperties": user,
        "data": STANDARD.encode(&payload),
    });
    Record { id, at: None, shape, bytes }
}
