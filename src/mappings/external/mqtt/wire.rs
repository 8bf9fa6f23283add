//! A connection of a subscriber: its hello, its one subscription, and what comes of it.

use super::packet::{self, Hello, Message, Packet, Version};
use crate::mappings::external::access::Pipe;
use crate::mappings::external::line::{GRACE, Trouble};
use anyhow::bail;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

const READ_BYTES: usize = 16 * 1024;

pub(super) struct Wire {
    pipe: Box<dyn Pipe>,
    version: Version,
    received: BytesMut,
    /// What came before the subscription was answered: a session goes on at once.
    early: VecDeque<Message>,
    keep_alive: Duration,
    sent_at: Instant,
    /// When the broker was asked for a sign of life, and has not given one.
    asked_at: Option<Instant>,
}

/// How a broker answers a hello.
pub(super) enum Greeted {
    Welcome(Wire),
    /// It does not speak this version, or hangs up on it.
    OtherVersion,
}

impl Wire {
    pub(super) async fn greet(
        pipe: Box<dyn Pipe>,
        version: Version,
        hello: Hello<'_>,
    ) -> Result<Greeted, Trouble> {
        let mut wire = Wire {
            pipe,
            version,
            received: BytesMut::new(),
            early: VecDeque::new(),
            keep_alive: Duration::from_secs(hello.keep_alive_s.into()),
            sent_at: Instant::now(),
            asked_at: None,
        };
        wire.send(&packet::hello(version, hello)).await?;
        let Some(answer) = wire.packet().await? else {
            match version {
                Version::V5 => return Ok(Greeted::OtherVersion),
                Version::V3 => bail!("the broker hangs up"),
            }
        };
        let Packet::Welcome { reason, properties } = answer else { bail!("the broker does not say hello") };
        match reason {
            0 => {}
            packet::UNSUPPORTED_VERSION_3 | packet::UNSUPPORTED_VERSION_5 if version == Version::V5 => {
                return Ok(Greeted::OtherVersion);
            }
            _ => bail!("the broker says: {}", packet::explain(reason)),
        }
        if properties.maximum_qos == Some(0) {
            bail!("the broker has no QoS 1, so nothing could be acknowledged");
        }
        if let Some(seconds) = properties.keep_alive_s {
            wire.keep_alive = Duration::from_secs(seconds.into());
        }
        Ok(Greeted::Welcome(wire))
    }

    pub(super) async fn subscribe(&mut self, filter: &str) -> Result<(), Trouble> {
        self.send(&packet::subscribe(self.version, filter)).await?;
        loop {
            match self.packet().await? {
                Some(Packet::Subscribed { reason: 1 }) => return Ok(()),
                Some(Packet::Subscribed { reason }) if reason >= packet::FAILURE => {
                    bail!("the broker refuses to subscribe {filter}: {}", packet::explain(reason));
                }
                Some(Packet::Subscribed { .. }) => {
                    bail!("the broker has no QoS 1 for {filter}, so nothing could be acknowledged");
                }
                Some(Packet::Message(message)) => self.early.push_back(message),
                Some(other) => check(&other)?,
                None => bail!("the broker hangs up"),
            }
        }
    }

    /// The next message. May be dropped while it waits.
    pub(super) async fn message(&mut self) -> Result<Message, Trouble> {
        if let Some(message) = self.early.pop_front() {
            return Ok(message);
        }
        loop {
            match self.packet().await? {
                Some(Packet::Message(message)) => return Ok(message),
                Some(other) => check(&other)?,
                None => bail!("the broker hangs up"),
            }
        }
    }

    pub(super) async fn acknowledge(&mut self, packet_ids: impl Iterator<Item = u16>) -> Result<(), Trouble> {
        let out: BytesMut = packet_ids.flat_map(packet::acknowledgement).collect();
        if out.is_empty() {
            return Ok(());
        }
        self.send(&out).await
    }

    /// Tells the broker that we are there, if it has not heard from us for long.
    pub(super) async fn keep_alive(&mut self) -> Result<(), Trouble> {
        if !self.keep_alive.is_zero() && self.sent_at.elapsed() >= self.keep_alive / 3 {
            self.send(&packet::ping()).await?;
            self.asked_at.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Nothing has come although it was waited for.
    pub(super) fn check_silence(&self) -> Result<(), Trouble> {
        match self.asked_at.is_some_and(|at| at.elapsed() > GRACE) {
            true => bail!("the broker does not answer"),
            false => Ok(()),
        }
    }

    pub(super) async fn close(mut self) {
        // The broker finds out by itself too.
        let _ = self.send(&packet::goodbye()).await;
        let _ = self.pipe.shutdown().await;
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.sent_at = Instant::now();
        self.pipe.write_all(bytes).await?;
        self.pipe.flush().await?;
        Ok(())
    }

    /// `None` once the connection has ended.
    async fn packet(&mut self) -> Result<Option<Packet>, Trouble> {
        loop {
            if let Some(packet) = packet::take(self.version, &mut self.received)? {
                self.asked_at = None;
                return Ok(Some(packet));
            }
            self.received.reserve(READ_BYTES);
            if self.pipe.read_buf(&mut self.received).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Whether a packet that brings no message lets the connection go on.
fn check(packet: &Packet) -> Result<(), Trouble> {
    match packet {
        Packet::Pong => Ok(()),
        Packet::Goodbye { reason } => bail!("the broker says goodbye: {}", packet::explain(*reason)),
        Packet::Welcome { .. } | Packet::Subscribed { .. } | Packet::Message(_) => {
            bail!("the broker answers what nobody has asked")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mappings::external::mqtt::packet::Session;
    use tokio::io::DuplexStream;

    const HELLO: Hello<'static> =
        Hello { client_id: "me", session: Session::Kept, keep_alive_s: 60, receive_maximum: 7, login: None };

    /// What a broker's answers make of a hello, and the broker.
    async fn greeted(version: Version, answers: &[u8]) -> (Result<Greeted, Trouble>, DuplexStream) {
        let (pipe, mut broker) = tokio::io::duplex(1024);
        broker.write_all(answers).await.unwrap();
        (Wire::greet(Box::new(pipe), version, HELLO).await, broker)
    }

    async fn welcome(answers: &[u8]) -> (Wire, DuplexStream) {
        match greeted(Version::V5, answers).await {
            (Ok(Greeted::Welcome(wire)), broker) => (wire, broker),
            _ => panic!("it is welcome"),
        }
    }

    #[tokio::test]
    async fn a_broker_that_knows_another_version_is_told_from_one_that_refuses() {
        for answer in [&b"\x20\x02\0\x01"[..], b"\x20\x03\0\x84\0"] {
            assert!(matches!(greeted(Version::V5, answer).await.0, Ok(Greeted::OtherVersion)));
        }
        for (version, answer, why) in [
            (Version::V3, &b"\x20\x02\0\x01"[..], "0x01"),
            (Version::V3, b"\x20\x02\0\x05", "not authorized"),
            (Version::V5, b"\x20\x03\0\x86\0", "bad user name or password"),
            (Version::V5, b"\x20\x05\0\0\x02\x24\0", "no QoS 1"),
            (Version::V5, b"\xd0\0", "hello"),
        ] {
            let refused = greeted(version, answer).await.0.err().unwrap();
            assert!(format!("{refused:#}").contains(why), "{refused:#}");
        }
    }

    #[tokio::test]
    async fn what_a_session_goes_on_with_comes_before_its_subscription_is_answered() {
        let answers = b"\x20\x03\x01\0\0\x3a\x06\0\x01t\0\x07\0\x90\x04\0\x01\0\x01\x32\x06\0\x01t\0\x08\0";
        let (mut wire, _broker) = welcome(answers).await;
        wire.subscribe("t").await.unwrap();
        assert_eq!(wire.message().await.unwrap().packet_id, Some(7));
        assert_eq!(wire.message().await.unwrap().packet_id, Some(8));
        for (answer, why) in
            [(b"\x90\x04\0\x01\0\x87", "not authorized"), (b"\x90\x04\0\x01\0\0", "no QoS 1")]
        {
            let answers = [&b"\x20\x03\0\0\0"[..], answer].concat();
            let (mut wire, _broker) = welcome(&answers).await;
            let refused = wire.subscribe("t").await.unwrap_err();
            assert!(format!("{refused:#}").contains(why), "{refused:#}");
        }
    }
}
