//! SNS: topics, and those who get what is published to them.
//!
//! A publish is one transaction with all that follows from it: messages for queues are rows of their queues,
//! invocations and requests to web endpoints are deliveries of the fabric. So an acknowledged message reaches everyone who was subscribed
//! then, or nobody was told that it was published. A FIFO topic's messages keep their order in FIFO queues,
//! because one commit puts them there.
//!
//! Deliberately absent: signatures, TLS to web endpoints, email, text messages, mobile push, Firehose, encryption, archives and
//! replay, data protection, delivery status logs. Policies are kept and shown; access is the account's wall.
//!
//! Keys: `TOPICS(account, region, name)`, `SUBSCRIPTIONS(account, region, topic, id)`, `TAILS(topic number)`,
//! `SEEN(topic number, scope, deduplication id)`, forgotten by `FORGET(time, topic number, scope, id)`.

mod fanout;
mod faults;
mod filter;
mod keys;
mod message;
mod model;
mod policy;
mod publish;
mod reactions;
mod retry;
mod settings;
mod subscriptions;
mod tags;
#[cfg(test)]
mod tests;
mod topics;
mod webhooks;

pub(crate) use publish::{announce, is_target};
pub use reactions::expire;
pub use webhooks::{Refused, Webhook, settled, webhook};

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
        .op("TagResource", tags::tag)
        .op("UntagResource", tags::untag)
        .view("ListTagsForResource", tags::list)
        .op("AddPermission", policy::add)
        .op("RemovePermission", policy::remove)
}
