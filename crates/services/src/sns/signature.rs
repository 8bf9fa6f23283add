//! The signature on messages, as "Verifying the signatures of Amazon SNS messages" describes it.
//!
//! It says nothing about who gets a message, so a publish is signed once for all who are to read the same
//! text. Messages of FIFO topics carry none, nor does what is delivered raw.
//!
//! Not here: the key. The operations know only that there is somebody who signs ([`Signer`]).

use super::keys::SIGNING;
use super::message::Message;
use super::model::SigningKey;
use super::topics::Opened;
use crate::Cx;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::Fault;
use mayfly_store::{Scan, Store, Tx};
use serde::Serialize;

/// What is signed of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Sha1,
    Sha256,
}

/// Signs with this installation's key. The same text has the same signature as long as the key is the same.
pub trait Signer: Send + Sync + std::fmt::Debug {
    fn sign(&self, digest: Digest, text: &[u8]) -> Result<Signed, Fault>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub signature: Vec<u8>,
    /// Which certificate has the key that it is verified with.
    pub certificate: String,
}

/// Where the gateway serves the certificate with this id.
fn certificate_path(id: &str) -> String {
    format!("/SimpleNotificationService-{id}.pem")
}

/// The id of the certificate that a path names.
pub fn certificate_of_path(path: &str) -> Option<&str> {
    path.strip_prefix("/SimpleNotificationService-")?.strip_suffix(".pem")
}

/// The key that signs, if one was made.
pub fn newest_key(store: &Store) -> Result<Option<SigningKey>, Fault> {
    let last = SIGNING.scan(&store.view(), Scan::all(1).reverse())?.pop();
    Ok(last.map(|(_, key)| key))
}

/// Keeps a key in the caller's transaction, if the newest is still the one that it is to follow.
pub fn keep_key(tx: &mut Tx, follows: Option<&SigningKey>, key: &SigningKey) -> Result<bool, Fault> {
    let last = SIGNING.scan(tx, Scan::all(1).reverse())?.pop().map(|(_, key)| key);
    let free = last.as_ref() == follows;
    if free {
        SIGNING.put(tx, &(key.made_ms, key.id.clone()), key);
    }
    Ok(free)
}

/// The certificate with this id in its PEM form. Those of earlier keys are kept: messages may rest for long.
pub fn certificate(store: &Store, id: &str) -> Result<Option<String>, Fault> {
    let all = SIGNING.scan(&store.view(), Scan::all(usize::MAX))?;
    Ok(all.into_iter().map(|(_, key)| key).find(|key| key.id == id).map(|key| key.certificate))
}

/// The members of a document that say its signature.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stamp {
    pub(super) signature_version: &'static str,
    pub(super) signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(super) certificate_url: String,
}

/// Signs name-value pairs, which the contract wants in the order of their names.
pub(super) fn stamp(cx: &Cx<'_>, topic: &Opened, pairs: &[(&str, &str)]) -> Result<Stamp, Fault> {
    let (version, digest) = match topic.record.signature_version.as_str() {
        "2" => ("2", Digest::Sha256),
        _ => ("1", Digest::Sha1),
    };
    let text: String = pairs.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect();
    let signed = cx.site.signer.sign(digest, text.as_bytes())?;
    let path = certificate_path(&signed.certificate);
    Ok(Stamp {
        signature_version: version,
        signature: STANDARD.encode(signed.signature),
        certificate_url: format!("{}://{}{path}", cx.site.scheme(), cx.site.authority),
    })
}

/// The signatures of one message, each made when somebody is first to read it.
pub(super) struct Stamps<'a> {
    topic: &'a Opened,
    message: &'a Message,
    made: Vec<(String, Stamp)>,
}

impl<'a> Stamps<'a> {
    pub(super) fn new(topic: &'a Opened, message: &'a Message) -> Stamps<'a> {
        Stamps { topic, message, made: Vec::new() }
    }

    /// The signature of the message with this text; `None` if messages of the topic carry none.
    pub(super) fn of(&mut self, cx: &Cx<'_>, text: &str) -> Result<Option<&Stamp>, Fault> {
        if self.topic.record.fifo {
            return Ok(None);
        }
        let at = match self.made.iter().position(|(signed, _)| signed == text) {
            Some(at) => at,
            None => {
                let made = self.sign(cx, text)?;
                self.made.push((text.to_owned(), made));
                self.made.len() - 1
            }
        };
        Ok(Some(&self.made[at].1))
    }

    fn sign(&self, cx: &Cx<'_>, text: &str) -> Result<Stamp, Fault> {
        let (timestamp, topic) = (mayfly_wire::time::iso8601(cx.now), self.topic.arn().to_string());
        let mut pairs = vec![("Message", text), ("MessageId", self.message.id.as_str())];
        if let Some(subject) = &self.message.subject {
            pairs.push(("Subject", subject));
        }
        pairs.extend([("Timestamp", timestamp.as_str()), ("TopicArn", &topic), ("Type", "Notification")]);
        stamp(cx, self.topic, &pairs)
    }
}
