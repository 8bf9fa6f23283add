//! The maps of SNS.

use super::model::{
    Application, Device, DeviceToken, Mark, Marked, Seen, SigningKey, Subscription, Tail, TextSettings, Topic,
};
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::Map;

/// Account, region and name.
pub(super) type TopicKey = (String, String, String);
/// Account, region, topic and the subscription's id.
pub(super) type SubscriptionKey = (String, String, String, String);

/// Account, region, platform and name.
pub(super) type ApplicationKey = (String, String, String, String);
/// Account, region and phone number.
pub(super) type NumberKey = (String, String, String);
/// A time, and a subscription.
pub(super) type AskedKey = (Time, String, String, String, String);

pub(super) const TOPICS: Map<TopicKey, Topic> = Map::new(spaces::SNS_TOPICS);
pub(super) const SUBSCRIPTIONS: Map<SubscriptionKey, Subscription> = Map::new(spaces::SNS_SUBSCRIPTIONS);
/// By the topic's number.
pub(super) const TAILS: Map<(u64,), Tail> = Map::new(spaces::SNS_TAILS);
/// By the topic's number, a message group or nothing, and a deduplication id.
pub(super) const SEEN: Map<(u64, String, String), Seen> = Map::new(spaces::SNS_SEEN);
pub(super) const FORGET: Map<(Time, u64, String, String), Mark> = Map::new(spaces::SNS_FORGET);
/// By the time it was made and its id: the last one signs.
pub(super) const SIGNING: Map<(u64, String), SigningKey> = Map::new(spaces::SNS_SIGNING);
/// What waits for an answer from outside, by the time until which it does.
pub(super) const ASKED: Map<AskedKey, Mark> = Map::new(spaces::SNS_ASKED);
/// Subscriptions that their endpoint has ended, as long as it may take that back.
pub(super) const ENDED: Map<SubscriptionKey, Subscription> = Map::new(spaces::SNS_ENDED);

/// By account and region.
pub(super) const TEXT_SETTINGS: Map<(String, String), TextSettings> = Map::new(spaces::SNS_TEXT_SETTINGS);
/// Since when a number wants no more text messages.
pub(super) const OPTED_OUT: Map<NumberKey, Marked> = Map::new(spaces::SNS_OPTED_OUT);
/// When it was last opted in again.
pub(super) const OPTED_IN: Map<NumberKey, Marked> = Map::new(spaces::SNS_OPTED_IN);

pub(super) const APPLICATIONS: Map<ApplicationKey, Application> = Map::new(spaces::SNS_APPLICATIONS);
/// By the application's number and the endpoint's id.
pub(super) const DEVICES: Map<(u64, String), Device> = Map::new(spaces::SNS_DEVICES);
/// By the application's number and the token.
pub(super) const DEVICE_TOKENS: Map<(u64, String), DeviceToken> = Map::new(spaces::SNS_DEVICE_TOKENS);
/// The numbers of applications that are gone, whose endpoints are not yet.
pub(super) const DEVICE_SWEEPS: Map<(u64,), Mark> = Map::new(spaces::SNS_DEVICE_SWEEPS);
