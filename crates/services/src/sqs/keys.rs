//! The maps of SQS.

use super::model::{Attempt, Head, Line, Mark, Message, Move, Queue, QueueName, Seen, State, Tail};
use crate::spaces;
use mayfly_kernel::Time;
use mayfly_store::{Map, Tally};

/// Account, region and name.
pub(super) type QueueKey = (String, String, String);
/// The queue's id, when it was sent, and a number of its own.
pub(super) type MessageKey = (u64, Time, u64);

pub(super) const QUEUES: Map<QueueKey, Queue> = Map::new(spaces::SQS_QUEUES);
pub(super) const QUEUE_IDS: Map<(u64,), QueueName> = Map::new(spaces::SQS_QUEUE_IDS);
pub(super) const DLQ_SOURCES: Map<(String, String, String, String), Mark> = Map::new(spaces::SQS_DLQ_SOURCES);
pub(super) const MESSAGES: Map<MessageKey, Message> = Map::new(spaces::SQS_MESSAGES);
pub(super) const STATES: Map<MessageKey, State> = Map::new(spaces::SQS_STATES);
pub(super) const VISIBLE: Map<(u64, Time, Time, u64), Mark> = Map::new(spaces::SQS_VISIBLE);
pub(super) const TAILS: Map<(u64, String), Tail> = Map::new(spaces::SQS_TAILS);
pub(super) const HEADS: Map<(u64, String), Head> = Map::new(spaces::SQS_HEADS);
pub(super) const TURNS: Map<(u64, Time, u64, String), Mark> = Map::new(spaces::SQS_TURNS);
pub(super) const LINES: Map<(u64, String, u64), Line> = Map::new(spaces::SQS_LINES);
pub(super) const COUNTS: Tally<(u64, u8, u64)> = Tally::new(spaces::SQS_COUNTS);
pub(super) const SEEN: Map<(u64, String, String), Seen> = Map::new(spaces::SQS_SEEN);
pub(super) const ATTEMPTS: Map<(u64, String), Attempt> = Map::new(spaces::SQS_ATTEMPTS);
/// Kind 0: a deduplication id. Kind 1: an attempt to receive.
pub(super) const FORGET: Map<(Time, u64, u8, String, String), Mark> = Map::new(spaces::SQS_FORGET);
pub(super) const SWEEPS: Map<(u64,), Mark> = Map::new(spaces::SQS_SWEEPS);
pub(super) const MOVES: Map<(u64, Time, String), Move> = Map::new(spaces::SQS_MOVES);
