//! The packets of MQTT 3.1.1 and 5 that a subscriber sends and gets (OASIS, "MQTT Version 5.0", chapters 2
//! and 3), as bytes.

use crate::mappings::external::body::Body;
use crate::mappings::external::line::Trouble;
use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    V5,
}

/// Whether the broker keeps the session when the connection ends, and begins with what it has kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Kept,
    /// What was kept is forgotten, and nothing is kept any more.
    Ended,
}

/// What a client says first.
#[derive(Clone, Copy)]
pub(super) struct Hello<'a> {
    pub(super) client_id: &'a str,
    pub(super) session: Session,
    pub(super) keep_alive_s: u16,
    /// So many messages may be under way without an acknowledgement; version 5 alone can say so.
    pub(super) receive_maximum: u16,
    pub(super) login: Option<(&'a str, &'a str)>,
}

#[derive(Debug)]
pub(super) enum Packet {
    /// What the broker says to a hello, with a reason of zero if it is welcome.
    Welcome {
        reason: u8,
        properties: Properties,
    },
    Subscribed {
        reason: u8,
    },
    Message(Message),
    Pong,
    Goodbye {
        reason: u8,
    },
}

/// What a publisher has sent.
#[derive(Debug)]
pub(super) struct Message {
    /// What an acknowledgement names; a message of QoS 0 has none.
    pub(super) packet_id: Option<u16>,
    pub(super) topic: String,
    pub(super) is_duplicate: bool,
    pub(super) is_retained: bool,
    pub(super) properties: Properties,
    pub(super) payload: Bytes,
}

/// Of the properties of version 5, those that somebody here wants to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) content_type: Option<String>,
    pub(super) response_topic: Option<String>,
    pub(super) correlation: Option<Bytes>,
    pub(super) expiry_s: Option<u32>,
    pub(super) user: Vec<(String, String)>,
    pub(super) keep_alive_s: Option<u16>,
    pub(super) maximum_qos: Option<u8>,
}

pub(super) const UNSUPPORTED_VERSION_3: u8 = 0x01;
pub(super) const UNSUPPORTED_VERSION_5: u8 = 0x84;
/// A subscription of this reason or above is none.
pub(super) const FAILURE: u8 = 0x80;

const CLEAN_START: u8 = 0x02;
const WITH_PASSWORD: u8 = 0xC0;
const SESSION_EXPIRY: u8 = 0x11;
const RECEIVE_MAXIMUM: u8 = 0x21;
const FOR_EVER: u32 = u32::MAX;
const QOS_1: u8 = 0x01;
/// What is retained comes with a new subscription, and not with one that there was.
const RETAINED_ONCE: u8 = 0x10;

/// The only subscription of a connection.
pub(super) const SUBSCRIPTION: u16 = 1;

pub(super) fn hello(version: Version, hello: Hello<'_>) -> BytesMut {
    let mut body = BytesMut::new();
    text(&mut body, "MQTT");
    body.put_u8(if version == Version::V5 { 5 } else { 4 });
    let mut flags = if hello.session == Session::Ended { CLEAN_START } else { 0 };
    if hello.login.is_some() {
        flags |= WITH_PASSWORD;
    }
    body.put_u8(flags);
    body.put_u16(hello.keep_alive_s);
    if version == Version::V5 {
        let mut properties = BytesMut::new();
        if hello.session == Session::Kept {
            properties.put_u8(SESSION_EXPIRY);
            properties.put_u32(FOR_EVER);
        }
        properties.put_u8(RECEIVE_MAXIMUM);
        properties.put_u16(hello.receive_maximum);
        length(&mut body, properties.len());
        body.put(properties);
    }
    text(&mut body, hello.client_id);
    if let Some((username, password)) = hello.login {
        text(&mut body, username);
        text(&mut body, password);
    }
    packet(0x10, &body)
}

pub(super) fn subscribe(version: Version, filter: &str) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u16(SUBSCRIPTION);
    if version == Version::V5 {
        length(&mut body, 0);
    }
    text(&mut body, filter);
    body.put_u8(if version == Version::V5 { QOS_1 | RETAINED_ONCE } else { QOS_1 });
    packet(0x82, &body)
}

/// Short in both versions: without a reason it is a success.
pub(super) fn acknowledgement(packet_id: u16) -> BytesMut {
    packet(0x40, &packet_id.to_be_bytes())
}

pub(super) fn ping() -> BytesMut {
    packet(0xC0, &[])
}

pub(super) fn goodbye() -> BytesMut {
    packet(0xE0, &[])
}

fn packet(head: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(body.len() + 5);
    out.put_u8(head);
    length(&mut out, body.len());
    out.put_slice(body);
    out
}

/// Seven bits in each byte, the lowest first.
fn length(out: &mut BytesMut, mut length: usize) {
    loop {
        let [lowest, ..] = length.to_le_bytes();
        length >>= 7;
        if length == 0 {
            return out.put_u8(lowest & 0x7F);
        }
        // More follow.
        out.put_u8(lowest | 0x80);
    }
}

/// No text here is longer: names and passwords are bounded where they come from.
fn text(out: &mut BytesMut, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(&text.as_bytes()[..length.into()]);
}

/// Takes the next packet of what was received, if all of it was.
pub(super) fn take(version: Version, received: &mut BytesMut) -> Result<Option<Packet>, Trouble> {
    let Some((size, head_size)) = size(received)? else { return Ok(None) };
    if received.len() < head_size + size {
        received.reserve(head_size + size - received.len());
        return Ok(None);
    }
    let mut whole = received.split_to(head_size + size).freeze();
    let head = whole[0];
    whole.advance(head_size);
    read(version, head, Body(whole)).map(Some)
}

/// The size of a packet's body and of what is before it.
fn size(received: &[u8]) -> Result<Option<(usize, usize)>, Trouble> {
    let mut size = 0;
    for (number, byte) in received.iter().skip(1).take(4).enumerate() {
        size |= usize::from(byte & 0x7F) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(Some((size, number + 2)));
        }
    }
    match received.len() {
        0..=4 => Ok(None),
        _ => bail!("the broker sends a packet without a length"),
    }
}

fn read(version: Version, head: u8, mut body: Body) -> Result<Packet, Trouble> {
    match head >> 4 {
        2 => {
            body.u8()?;
            let reason = body.u8()?;
            // An older broker refuses version 5 with an answer of its own.
            let has_properties = version == Version::V5 && !body.0.is_empty();
            let properties = if has_properties { properties(&mut body)? } else { Properties::default() };
            Ok(Packet::Welcome { reason, properties })
        }
        3 => message(version, head, body),
        9 => {
            body.u16()?;
            if version == Version::V5 {
                properties(&mut body)?;
            }
            Ok(Packet::Subscribed { reason: body.u8()? })
        }
        13 => Ok(Packet::Pong),
        14 => Ok(Packet::Goodbye { reason: body.u8().unwrap_or(0) }),
        other => bail!("the broker sends a packet of type {other}"),
    }
}

fn message(version: Version, head: u8, mut body: Body) -> Result<Packet, Trouble> {
    let topic = read_text(&mut body)?;
    let packet_id = match (head >> 1) & 0x03 {
        0 => None,
        1 => Some(body.u16()?),
        other => bail!("the broker sends a message of QoS {other}"),
    };
    let properties = if version == Version::V5 { properties(&mut body)? } else { Properties::default() };
    Ok(Packet::Message(Message {
        packet_id,
        topic,
        is_duplicate: head & 0x08 != 0,
        is_retained: head & 0x01 != 0,
        properties,
        payload: body.0,
    }))
}

fn read_text(body: &mut Body) -> Result<String, Trouble> {
    let length = body.u16()?;
    let bytes = body.bytes(length.into())?;
    String::from_utf8(bytes.to_vec()).context("the broker sends a text that is not UTF-8")
}

fn read_length(body: &mut Body) -> Result<usize, Trouble> {
    let mut length = 0;
    for number in 0..4 {
        let byte = body.u8()?;
        length |= usize::from(byte & 0x7F) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    bail!("the broker sends a number without an end");
}

fn properties(body: &mut Body) -> Result<Properties, Trouble> {
    let length = read_length(body)?;
    let mut body = Body(body.bytes(length)?);
    let mut found = Properties::default();
    while !body.0.is_empty() {
        match body.u8()? {
            0x02 => found.expiry_s = Some(body.u32()?),
            0x03 => found.content_type = Some(read_text(&mut body)?),
            0x08 => found.response_topic = Some(read_text(&mut body)?),
            0x09 => {
                let length = body.u16()?;
                found.correlation = Some(body.bytes(length.into())?);
            }
            0x13 => found.keep_alive_s = Some(body.u16()?),
            0x24 => found.maximum_qos = Some(body.u8()?),
            0x26 => found.user.push((read_text(&mut body)?, read_text(&mut body)?)),
            // Those that nobody here wants, by what they are made of.
            0x01 | 0x17 | 0x19 | 0x25 | 0x28 | 0x29 | 0x2A => drop(body.u8()?),
            0x21..=0x23 => drop(body.u16()?),
            0x11 | 0x18 | 0x27 => drop(body.u32()?),
            0x0B => drop(read_length(&mut body)?),
            0x12 | 0x15 | 0x1A | 0x1C | 0x1F => drop(read_text(&mut body)?),
            0x16 => {
                let length = body.u16()?;
                body.bytes(length.into())?;
            }
            other => bail!("the broker sends a property {other}"),
        }
    }
    Ok(found)
}

/// What a reason means, in words for the operator.
pub(super) fn explain(reason: u8) -> String {
    let known = match reason {
        0x00 => "a normal end",
        0x02 | 0x85 => "the client identifier is not taken",
        0x03 | 0x88 => "the server is not available",
        0x04 | 0x86 => "bad user name or password",
        0x05 | 0x87 => "not authorized",
        0x89 => "the server is busy",
        0x8A => "banned",
        0x8B => "the server is shutting down",
        0x8C => "bad authentication method",
        0x8D => "no sign of life from us",
        0x8E => "somebody else uses this client identifier",
        0x8F => "the topic filter is not valid",
        0x93 => "too many messages under way",
        0x95 => "a packet is too large",
        0x97 => "a quota is exceeded",
        0x9B => "no QoS 1",
        0x9E => "no shared subscriptions",
        0xA2 => "no wildcards in subscriptions",
        _ => return format!("reason {reason:#04x}"),
    };
    format!("{known} ({reason:#04x})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello<'static> = Hello {
        client_id: "me",
        session: Session::Kept,
        keep_alive_s: 60,
        receive_maximum: 7,
        login: Some(("u", "pw")),
    };

    #[test]
    fn what_a_client_says_is_what_the_standard_says() {
        assert_eq!(
            &hello(Version::V5, HELLO)[..],
            b"\x10\x1e\0\x04MQTT\x05\xc0\0\x3c\x08\x11\xff\xff\xff\xff\x21\0\x07\0\x02me\0\x01u\0\x02pw"
        );
        let ended = Hello { session: Session::Ended, login: None, ..HELLO };
        assert_eq!(&hello(Version::V3, ended)[..], b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02me");
        assert_eq!(&subscribe(Version::V5, "a/#")[..], b"\x82\x09\0\x01\0\0\x03a/#\x11");
        assert_eq!(&subscribe(Version::V3, "a/#")[..], b"\x82\x08\0\x01\0\x03a/#\x01");
        assert_eq!(&acknowledgement(258)[..], b"\x40\x02\x01\x02");
        assert_eq!(&packet(0x30, &[0; 321])[..3], b"\x30\xc1\x02");
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let sent = b"\x3b\x25\0\x01t\0\x09\x1a\x01\x01\x02\0\0\0\x05\x03\0\x01j\x09\0\x02\xff\0\x26\0\x01k\0\x01v\x0b\x81\x01hello";
        let mut received = BytesMut::new();
        for byte in &sent[..sent.len() - 1] {
            received.put_u8(*byte);
            assert!(take(Version::V5, &mut received).unwrap().is_none());
        }
        received.put_slice(b"o\xd0\0");
        let Some(Packet::Message(message)) = take(Version::V5, &mut received).unwrap() else { panic!() };
        assert_eq!(
            (message.packet_id, message.topic.as_str(), &message.payload[..]),
            (Some(9), "t", &b"hello"[..])
        );
        assert!(message.is_duplicate && message.is_retained);
        let expected = Properties {
            content_type: Some("j".into()),
            correlation: Some(Bytes::from_static(b"\xff\0")),
            expiry_s: Some(5),
            user: vec![("k".into(), "v".into())],
            ..Properties::default()
        };
        assert_eq!(message.properties, expected);
        assert!(matches!(take(Version::V5, &mut received).unwrap(), Some(Packet::Pong)));
        let mut older = BytesMut::from(&b"\x30\x04\0\x01thi"[..6]);
        let Some(Packet::Message(message)) = take(Version::V3, &mut older).unwrap() else { panic!() };
        assert_eq!((message.packet_id, &message.payload[..]), (None, &b"h"[..]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            &b"\x30\xff\xff\xff\xff\x01"[..],
            b"\x30\x02\0\x05",
            b"\x34\x05\0\x01t\0\x01",
            b"\x30\x05\0\x01t\x01\x7f",
            b"\x30\x04\0\x01t\x09",
            b"\x20\x01\0",
            b"\xf0\0",
        ] {
            assert!(take(Version::V5, &mut BytesMut::from(bad)).is_err(), "{bad:x?}");
        }
    }
}
