//! Stored records of SNS. Tags are for ever.

use mayfly_kernel::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a deduplication id is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);
/// How long a token holds that confirms a subscription, and one that nobody confirms is kept.
const ANSWER_WITHIN: Duration = Duration::from_secs(2 * 24 * 3600);

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Topic {
    /// What its order and its deduplication ids are kept under; another one if a topic is made again.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(bool, tag = "2")]
    pub(super) fifo: bool,
    #[prost(bool, tag = "3")]
    pub(super) content_dedup: bool,
    /// Deduplication ids are unique in a group, not in the whole topic.
    #[prost(bool, tag = "4")]
    pub(super) dedup_per_group: bool,
    #[prost(string, tag = "5")]
    pub(super) display_name: String,
    /// The document as it was set.
    #[prost(string, tag = "6")]
    pub(super) policy: String,
    /// The document as it was set.
    #[prost(string, tag = "7")]
    pub(super) delivery_policy: String,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) tags: BTreeMap<String, String>,
    #[prost(uint64, tag = "9")]
    pub(super) confirmed: u64,
    #[prost(uint64, tag = "10")]
    pub(super) pending: u64,
    #[prost(uint64, tag = "11")]
    pub(super) deleted: u64,
    #[prost(string, tag = "12")]
    pub(super) signature_version: String,
    #[prost(string, tag = "13")]
    pub(super) tracing: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Subscription {
    #[prost(enumeration = "Protocol", tag = "1")]
    pub(super) protocol: i32,
    #[prost(string, tag = "2")]
    pub(super) endpoint: String,
    #[prost(bool, tag = "3")]
    pub(super) confirmed: bool,
    #[prost(bool, tag = "4")]
    pub(super) raw: bool,
    /// The document as it was set.
    #[prost(string, tag = "5")]
    pub(super) filter_policy: String,
    #[prost(bool, tag = "6")]
    pub(super) filters_body: bool,
    /// The ARN of the queue for what cannot be delivered.
    #[prost(string, tag = "7")]
    pub(super) dead_letters: String,
    /// The document as it was set.
    #[prost(string, tag = "8")]
    pub(super) delivery_policy: String,
    /// Whose it is, by ARN.
    #[prost(string, tag = "9")]
    pub(super) principal: String,
    /// What confirms it.
    #[prost(string, tag = "10")]
    pub(super) token: String,
    #[prost(uint64, tag = "11")]
    pub(super) created_ms: u64,
    /// Only signed calls end it.
    #[prost(bool, tag = "12")]
    pub(super) locked: bool,
    /// It was confirmed by a signed call.
    #[prost(bool, tag = "13")]
    pub(super) authenticated: bool,
    /// When the endpoint was last asked whether it wants the topic's messages; 0 if only at its creation.
    #[prost(uint64, tag = "14")]
    pub(super) asked_ms: u64,
}

impl Subscription {
    /// When its token is worth nothing any more, and it is gone if nobody has confirmed it.
    pub(super) fn expires(&self) -> Time {
        Time::from_ms(self.created_ms.max(self.asked_ms)) + ANSWER_WITHIN
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Protocol {
    Unspecified = 0,
    Queue = 1,
    Function = 2,
    Http = 3,
    Https = 4,
    Email = 5,
    EmailJson = 6,
    Text = 7,
    Push = 8,
}

impl Protocol {
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::Unspecified => "",
            Protocol::Queue => "sqs",
            Protocol::Function => "lambda",
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Email => "email",
            Protocol::EmailJson => "email-json",
            Protocol::Text => "sms",
            Protocol::Push => "application",
        }
    }

    /// The protocol of this name; `None` if SNS has none of that name.
    pub(super) fn named(text: &str) -> Option<Protocol> {
        let all = [
            Protocol::Queue,
            Protocol::Function,
            Protocol::Http,
            Protocol::Https,
            Protocol::Email,
            Protocol::EmailJson,
            Protocol::Text,
            Protocol::Push,
        ];
        all.into_iter().find(|protocol| protocol.name() == text)
    }

    pub(super) fn is_web(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }

    /// Whether somebody else's address is subscribed, so that whoever reads there has to agree, and may go
    /// again.
    pub(super) fn asks(self) -> bool {
        self.is_web() || matches!(self, Protocol::Email | Protocol::EmailJson)
    }

    /// Whether messages may be delivered without their envelope.
    pub(super) fn knows_raw(self) -> bool {
        self.is_web() || self == Protocol::Queue
    }
}

/// The number of the newest message of a FIFO topic.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Tail {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
}

/// A deduplication id that was used.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Seen {
    #[prost(uint64, tag = "1")]
    pub(super) at_ms: u64,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(uint64, tag = "3")]
    pub(super) seq: u64,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}

/// A key that signs messages, and the certificate by which they are verified.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SigningKey {
    /// As it stands in the address of the certificate.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub pkcs8: Vec<u8>,
    /// In its PEM form.
    #[prost(string, tag = "3")]
    pub certificate: String,
    #[prost(uint64, tag = "4")]
    pub made_ms: u64,
}

/// When something came to be.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Marked {
    #[prost(uint64, tag = "1")]
    pub(super) at_ms: u64,
}

/// What text messages have that do not say it themselves.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TextSettings {
    #[prost(string, tag = "1")]
    pub(super) sender_id: String,
    #[prost(string, tag = "2")]
    pub(super) message_type: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Application {
    /// What its endpoints are kept under; another one if it is made again.
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) attributes: BTreeMap<String, String>,
}

/// The app on one device.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Device {
    #[prost(string, tag = "1")]
    pub(super) token: String,
    #[prost(string, tag = "2")]
    pub(super) user_data: String,
    #[prost(bool, tag = "3")]
    pub(super) disabled: bool,
}

/// Who has a token.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct DeviceToken {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}
