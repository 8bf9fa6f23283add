//! SNS: topics, and those who get what is published to them.
//!
//! A publish is one transaction with all that follows from it: messages for queues are rows of their queues,
//! invocations and requests to web endpoints are deliveries of the fabric. So an acknowledged message reaches
//! everyone who was subscribed then, or nobody was told that it was published. A FIFO topic's messages keep
//! their order in FIFO queues, because one commit puts them there.
//!
//! Those outside are reached through what the operator has set up: a mail server, and gateways of text and of
//! push messages, which get documents of our own by HTTP. Without it, what needs it is refused.
//!
//! Deliberately absent: Firehose, encryption, archives and replay, data protection, delivery status logs, the
//! sandbox and the origination numbers of text messages.
//!
//! Keys: `TOPICS(account, region, name)`, `SUBSCRIPTIONS(account, region, topic, id)`, `TAILS(topic number)`,
//! `SEEN(topic number, scope, deduplication id)`, forgotten by `FORGET(time, topic number, scope, id)`;
//! `ENDED(account, region, topic, id)`, forgotten by `ASKED(time, subscription)`; `SIGNING(time, id)`; of
//! phones and apps as `keys.rs` says.

mod addresses;
mod applications;
mod delivery;
mod devices;
mod fanout;
mod faults;
mod filter;
mod keys;
mod mail;
mod message;
mod model;
mod outside;
mod policy;
mod publish;
mod push;
mod reactions;
mod retry;
mod settings;
mod signature;
mod subscriptions;
mod tags;
#[cfg(test)]
mod tests;
mod texts;
mod topics;
mod web;

pub use mail::Letter;
pub use model::SigningKey;
pub use outside::{Errand, Outgoing, Refused, errand, settled};
pub(crate) use publish::{Announcement, Unheard, announce, is_target};
pub use reactions::expire;
pub use signature::{Digest, Signed, Signer, certificate, certificate_of_path, keep_key, newest_key};
pub use web::{Pace, Webhook};

use crate::Service;

pub fn service() -> Service {
    Service::query("sns", "http://sns.amazonaws.com/doc/2010-03-31/")
        .op("CreateTopic", topics::create)
        .op("DeleteTopic", topics::delete)
        .view("ListTopics", topics::list)
        .view("GetTopicAttributes", topics::get_attributes)
        .op("SetTopicAttributes", topics::set_attributes)
        .op("Subscribe", subscriptions::subscribe)
        .op("ConfirmSubscription", subscriptions::confirm)
        .op("Unsubscribe", subscriptions::unsubscribe)
        .view("ListSubscriptions", subscriptions::list)
        .view("ListSubscriptionsByTopic", subscriptions::list_by_topic)
        .view("GetSubscriptionAttributes", subscriptions::get_attributes)
        .op("SetSubscriptionAttributes", subscriptions::set_attributes)
        .op("Publish", publish::publish)
        .op("PublishBatch", publish::batch)
        .op("TagResource", crate::tags::tag::<topics::Opened>)
        .op("UntagResource", crate::tags::untag::<topics::Opened>)
        .view("ListTagsForResource", crate::tags::list::<topics::Opened>)
        .op("AddPermission", policy::add)
        .op("RemovePermission", policy::remove)
        .view("CheckIfPhoneNumberIsOptedOut", texts::is_opted_out)
        .view("ListPhoneNumbersOptedOut", texts::list_opted_out)
        .op("OptInPhoneNumber", texts::opt_in)
        .op("SetSMSAttributes", texts::set_attributes)
        .view("GetSMSAttributes", texts::get_attributes)
        .op("CreatePlatformApplication", applications::create)
        .op("DeletePlatformApplication", applications::delete)
        .view("GetPlatformApplicationAttributes", applications::get_attributes)
        .op("SetPlatformApplicationAttributes", applications::set_attributes)
        .view("ListPlatformApplications", applications::list)
        .op("CreatePlatformEndpoint", devices::create)
        .op("DeleteEndpoint", devices::delete)
        .view("GetEndpointAttributes", devices::get_attributes)
        .op("SetEndpointAttributes", devices::set_attributes)
        .view("ListEndpointsByPlatformApplication", devices::list)
}
