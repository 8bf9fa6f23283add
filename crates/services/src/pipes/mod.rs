//! EventBridge Pipes: from a queue or a broker through a filter and an enrichment to one target.
//!
//! A pipe is a row; its messages are read by the machinery of `crate::readers`, which it shares with event
//! source mappings. A target that lives in the store gets its events in the commit that deletes the messages
//! they came from, so such a pipe brings each message exactly once. A function that is waited for, an
//! enrichment and an API destination are called at least once: the messages come back unless all went well,
//! and after as many receives as the queue allows they go to its dead letters. Records of a broker are tried
//! again for ever, in their order.
//!
//! Deliberately absent: streams and ActiveMQ as sources, targets that Mayfly has no service for, logs of
//! executions, KMS. Roles are not asked.
//!
//! Keys: `PIPES(account, region, name)`; those of brokers are in `brokers.rs`.

mod brokers;
mod faults;
mod lifecycle;
mod model;
mod operations;
mod parameters;
mod tags;
mod template;
#[cfg(test)]
mod tests;
mod work;

pub use brokers::Inlet;
pub(crate) use brokers::{advance, cursor, inlet, is_begun, is_external, note, said};
pub(crate) use lifecycle::{adopted, gave_up, plan, take, unfinished};
pub(crate) use work::Work;

use crate::{Service, spaces};
use mayfly_kernel::Arn;
use mayfly_store::Map;
use model::Pipe;

use crate::readers::Key;

const PIPES: Map<Key, Pipe> = Map::new(spaces::PIPES);

fn pipe_arn(key: &Key) -> Arn {
    Arn::new("pipes", &key.1, &key.0, format!("pipe/{}", key.2))
}

pub fn service() -> Service {
    Service::rest_json("pipes")
        .rest("CreatePipe", "POST /v1/pipes/{Name}", operations::create)
        .rest("DescribePipe", "GET /v1/pipes/{Name}", operations::describe)
        .rest("UpdatePipe", "PUT /v1/pipes/{Name}", operations::update)
        .rest("DeletePipe", "DELETE /v1/pipes/{Name}", operations::delete)
        .rest("ListPipes", "GET /v1/pipes", operations::list)
        .rest("StartPipe", "POST /v1/pipes/{Name}/start", operations::start)
        .rest("StopPipe", "POST /v1/pipes/{Name}/stop", operations::stop)
        .rest("TagResource", "POST /tags/{resourceArn}", tags::add)
        .rest("UntagResource", "DELETE /tags/{resourceArn}", tags::remove)
        .rest("ListTagsForResource", "GET /tags/{resourceArn}", tags::list)
}
