//! The maps of SNS.

use super::model::{Mark, Seen, Subscription, Tail, Topic};
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::Map;

/// Account, region and name.
pub(super) type TopicKey = (String, String, String);
/// Account, region, topic and the subscription's id.
pub(super) type SubscriptionKey = (String, String, String, String);

pub(super) const TOPICS: Map<TopicKey, Topic> = Map::new(spaces::SNS_TOPICS);
pub(super) const SUBSCRIPTIONS: Map<SubscriptionKey, Subscription> = Map::new(spaces::SNS_SUBSCRIPTIONS);
/// By the topic's number.
pub(super) const TAILS: Map<(u64,), Tail> = Map::new(spaces::SNS_TAILS);
/// By the topic's number, a message group or nothing, and a deduplication id.
pub(super) const SEEN: Map<(u64, String, String), Seen> = Map::new(spaces::SNS_SEEN);
pub(super) const FORGET: Map<(Time, u64, String, String), Mark> = Map::new(spaces::SNS_FORGET);
