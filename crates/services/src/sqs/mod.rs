//! SQS: queues of messages, standard and FIFO.
//!
//! A message is one immutable row; where it stands is told by small rows beside it, so receiving never
//! rewrites a body. A standard queue's messages are ordered by the time from which they may be received: one
//! that is delayed or in flight is a row with a later time, and becomes visible by the passing of time alone,
//! without a timer. Of a FIFO queue the same is true of its message groups: each has one row that says when
//! it is its turn, and its messages wait in line behind it.
//!
//! Senders and receivers do not get in each other's way: a send writes rows that nobody else writes and reads
//! only the queue's record; a receiver looks without being held to what it sees, claims (see `claims`) what
//! it takes, and is held to that alone; counters are added to blindly. Only in one FIFO group do senders wait
//! for each other.
//!
//! A queue's rows lie under a number that changes when it is purged, so a purge and a deletion cost nothing
//! however much the queue holds: what is left behind is swept afterwards.
//!
//! Deliberately absent: encryption with KMS keys.
//!
//! Keys: `QUEUES(account, region, name)`, `QUEUE_IDS(id)`, `DLQ_SOURCES(account, region, dead-letter queue,
//! queue)`; `MESSAGES(queue, sent, uid)`; standard: `VISIBLE(queue, due, sent, uid)`, `STATES(queue, sent,
//! uid)` once received; FIFO: `TAILS(queue, group)` of senders, `HEADS(queue, group)` of receivers,
//! `TURNS(queue, due, seq, group)`, `LINES(queue, group, seq)`, `SEEN(queue, scope, deduplication id)`,
//! `ATTEMPTS(queue, attempt)`, both forgotten by `FORGET(time, queue, kind, scope, id)`; `COUNTS(queue, kind,
//! second)`; `SWEEPS(queue)`; `MOVES(queue, started, task)`.

mod attributes;
mod batch;
mod body;
mod counts;
mod deletes;
mod dialect;
mod faults;
mod fifo;
mod handle;
mod keys;
mod lend;
mod model;
mod policy;
mod post;
mod queues;
mod reactions;
mod receive;
mod redrive;
mod send;
mod standard;
mod tags;
#[cfg(test)]
mod tests;
mod visibility;

pub(crate) use lend::{EventRecord, Facts, bury, consume, exists, extend, give_back, lend};
pub use lend::{Lease, Lent};
pub(crate) use model::{Attribute, size};
pub(crate) use post::{Place, Post, Unreached, post};
pub use reactions::expire;
pub use redrive::step as redrive_step;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("sqs", Protocol::Json10, "AmazonSQS")
        .or_query("http://queue.amazonaws.com/doc/2012-11-05/", &dialect::NAMES)
        .op("CreateQueue", queues::create)
        .view("GetQueueUrl", queues::get_url)
        .view("ListQueues", queues::list)
        .op("DeleteQueue", queues::delete)
        .op("PurgeQueue", queues::purge)
        .view("GetQueueAttributes", queues::get_attributes)
        .op("SetQueueAttributes", queues::set_attributes)
        .op("TagQueue", tags::tag)
        .op("UntagQueue", tags::untag)
        .view("ListQueueTags", tags::list)
        .op("AddPermission", policy::add)
        .op("RemovePermission", policy::remove)
        .op("SendMessage", send::one)
        .op("SendMessageBatch", send::batch)
        .poll("ReceiveMessage", receive::receive)
        .op("DeleteMessage", deletes::one)
        .op("DeleteMessageBatch", deletes::batch)
        .op("ChangeMessageVisibility", visibility::one)
        .op("ChangeMessageVisibilityBatch", visibility::batch)
        .view("ListDeadLetterSourceQueues", redrive::sources)
        .op("StartMessageMoveTask", redrive::start)
        .view("ListMessageMoveTasks", redrive::list)
        .op("CancelMessageMoveTask", redrive::cancel)
}
