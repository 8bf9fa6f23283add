//! A connection of PostgreSQL's replication protocol: logging in, its few commands, and the stream of a slot.
//!
//! The clients that there are do not speak it; of the one that we know, its messages and its SCRAM are used
//! here.

use crate::mappings::external::Desk;
use crate::mappings::external::access::{self, Credentials, Pipe};
use crate::mappings::external::line::Trouble;
use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use mayfly_services::lambda::mappings::Endpoint;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// No message is larger: a single change would be no event either.
const MESSAGE_BYTES: usize = 256 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// A command that names a slot which is there already.
pub(super) const DUPLICATE_OBJECT: &str = "42710";

/// What a server says is wrong.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: String,
    message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgreSQL says: {} ({})", self.message, self.code)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// Fields of one letter each and a text.
    fn read(body: &[u8]) -> Refused {
        let mut refused = Refused { code: String::new(), message: String::new() };
        for field in body.split(|byte| *byte == 0) {
            let text = |rest: &[u8]| String::from_utf8_lossy(rest).into_owned();
            match field.split_first() {
                Some((b'C', rest)) => refused.code = text(rest),
                Some((b'M', rest)) => refused.message = text(rest),
                Some(_) | None => {}
            }
        }
        refused
    }
}

struct Frame {
    tag: u8,
    body: Bytes,
}

/// What the stream of a slot brings.
pub(super) enum Streamed {
    /// A message of the slot's plugin.
    Message(Bytes),
    /// Nothing of ours has happened up to this place in the log.
    Alive { end: u64, wants_answer: bool },
}

pub(super) struct Wire {
    pipe: Box<dyn Pipe>,
    received: BytesMut,
}

impl Wire {
    pub(super) async fn connect(
        desk: &Desk,
        endpoint: &Endpoint,
        credentials: &Credentials,
    ) -> Result<Wire, Trouble> {
        let mut tcp = access::tcp(endpoint).await?;
        let pipe: Box<dyn Pipe> = if endpoint.tls {
            let mut request = BytesMut::new();
            frontend::ssl_request(&mut request);
            tcp.write_all(&request).await?;
            if tcp.read_u8().await? != b'S' {
                bail!("the server has no TLS");
            }
            Box::new(access::secure(&desk.cloud.trust, endpoint, tcp).await?)
        } else {
            Box::new(tcp)
        };
        let mut wire = Wire { pipe, received: BytesMut::new() };
        let database = if endpoint.path.is_empty() { "postgres" } else { &endpoint.path };
        let parameters = [
            ("user", credentials.username.as_str()),
            ("database", database),
            ("replication", "database"),
            ("application_name", "mayfly"),
            ("client_encoding", "UTF8"),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        wire.send(&out).await?;
        wire.log_in(credentials).await?;
        wire.until_ready().await?;
        Ok(wire)
    }

    async fn log_in(&mut self, Credentials { username, password }: &Credentials) -> Result<(), Trouble> {
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let mut frame = self.message().await?;
            if frame.tag != b'R' || frame.body.len() < 4 {
                bail!("the server does not ask who we are");
            }
            let mut out = BytesMut::new();
            match frame.body.get_u32() {
                0 => return Ok(()),
                3 => frontend::password_message(password.as_bytes(), &mut out)?,
                5 => {
                    let salt = frame.body.as_ref().try_into().context("the salt")?;
                    let hash = md5_hash(username.as_bytes(), password.as_bytes(), salt);
                    frontend::password_message(hash.as_bytes(), &mut out)?;
                }
                10 => frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out)?,
                11 => {
                    scram.update(&frame.body)?;
                    frontend::sasl_response(scram.message(), &mut out)?;
                }
                12 => scram.finish(&frame.body)?,
                other => bail!("the server wants a login of kind {other}"),
            }
            self.send(&out).await?;
        }
    }

    /// A command whose answer does not matter.
    pub(super) async fn command(&mut self, text: &str) -> Result<(), Trouble> {
        let mut out = BytesMut::new();
        frontend::query(text, &mut out)?;
        self.send(&out).await?;
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> Result<(), Trouble> {
        let mut refused = None;
        loop {
            match self.message().await {
                Ok(Frame { tag: b'Z', .. }) => return refused.map_or(Ok(()), Err),
                Ok(_) => {}
                // The server says afterwards that it is ready again.
                Err(trouble) if trouble.is::<Refused>() && refused.is_none() => refused = Some(trouble),
                Err(trouble) => return Err(refused.unwrap_or(trouble)),
            }
        }
    }

    /// Begins the stream of a slot.
    pub(super) async fn start(&mut self, command: &str) -> Result<(), Trouble> {
        let mut out = BytesMut::new();
        frontend::query(command, &mut out)?;
        self.send(&out).await?;
        while self.message().await?.tag != b'W' {}
        Ok(())
    }

    /// The next of a stream. May be dropped while it waits.
    pub(super) async fn streamed(&mut self) -> Result<Streamed, Trouble> {
        loop {
            let Frame { tag, mut body } = self.message().await?;
            match (tag, body.first()) {
                (b'd', Some(b'w')) if body.len() >= 25 => {
                    body.advance(25);
                    return Ok(Streamed::Message(body));
                }
                (b'd', Some(b'k')) if body.len() >= 18 => {
                    body.advance(1);
                    let end = body.get_u64();
                    body.advance(8);
                    return Ok(Streamed::Alive { end, wants_answer: body.get_u8() == 1 });
                }
                (b'c', _) => bail!("the server has ended the stream"),
                _ => {}
            }
        }
    }

    /// Says up to where everything is done, and asks for an answer.
    pub(super) async fn confirm(&mut self, end: u64) -> Result<(), Trouble> {
        let mut body = BytesMut::with_capacity(34);
        body.put_u8(b'r');
        for _ in ["written", "flushed", "applied"] {
            body.put_u64(end);
        }
        // The time is of no use to the server.
        body.put_u64(0);
        body.put_u8(1);
        let mut out = BytesMut::new();
        frontend::CopyData::new(body.freeze())?.write(&mut out);
        self.send(&out).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.pipe.write_all(bytes).await?;
        self.pipe.flush().await?;
        Ok(())
    }

    /// The next message that says something; one that says what is wrong is an error.
    async fn message(&mut self) -> Result<Frame, Trouble> {
        loop {
            let frame = self.frame().await?;
            match frame.tag {
                b'E' => return Err(Refused::read(&frame.body).into()),
                b'N' | b'S' | b'K' => {}
                _ => return Ok(frame),
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, Trouble> {
        loop {
            if let Some(head) = self.received.first_chunk::<5>() {
                let [tag, length @ ..] = *head;
                let length = u32::from_be_bytes(length) as usize;
                if !(4..=MESSAGE_BYTES).contains(&length) {
                    bail!("the server sends a message of {length} bytes");
                }
                if self.received.len() > length {
                    let mut frame = self.received.split_to(length + 1).freeze();
                    frame.advance(5);
                    return Ok(Frame { tag, body: frame });
                }
                self.received.reserve(length + 1 - self.received.len());
            }
            self.received.reserve(READ_BYTES);
            if self.pipe.read_buf(&mut self.received).await? == 0 {
                bail!("the server has ended the connection");
            }
        }
    }
}
