//! Event source mappings: queues and external sources whose messages are brought to a function in batches.
//!
//! A mapping is a row; who reads the queue is the binary (one idle task for each enabled mapping, woken by
//! watches; see `crate::readers`), and what it may take and what becomes of it is decided here. What the
//! function has done is deleted in one transaction; what it has not comes back, and after as many receives as
//! the queue allows goes to its dead letters.
//!
//! External sources are read in lines, such as a partition of Kafka, each in its order: one batch at a time
//! goes its [`Course`] through the function, and is acknowledged to the broker once that has ended. What the
//! broker does not keep of a reader is a cursor here.
//!
//! A state that ends in "ing" is true: the binary writes the next one once the mapping does as it says, and a
//! mapping that is paused or deleted first finishes the batches that it has.
//!
//! Deliberately absent: streams of tables as sources, provisioned pollers.

mod aftermath;
mod asked;
mod batch;
mod course;
mod external;
mod lifecycle;
pub(super) mod model;
mod operations;
mod records;
mod settings;

pub(crate) use aftermath::said;
pub use aftermath::{Loss, Lost, OK, advance, cursor, gave_up, is_begun, note};
pub(crate) use batch::{Work, take};
pub use course::{Course, Next};
pub use external::{Broker, Endpoint, External, Login, Patience, Start};
pub(crate) use lifecycle::{adopted, plan, unfinished};
pub(super) use operations::{store_tags, tags_of};
pub(crate) use records::opened;
pub use records::{Contract, Record, contract, is_external};

use crate::Service;

pub(super) fn with_mappings(service: Service) -> Service {
    service
        .rest("CreateEventSourceMapping", "POST /2015-03-31/event-source-mappings 202", operations::create)
        .rest("GetEventSourceMapping", "GET /2015-03-31/event-source-mappings/{UUID}", operations::get)
        .rest("ListEventSourceMappings", "GET /2015-03-31/event-source-mappings", operations::list)
        .rest(
            "UpdateEventSourceMapping",
            "PUT /2015-03-31/event-source-mappings/{UUID} 202",
            operations::update,
        )
        .rest(
            "DeleteEventSourceMapping",
            "DELETE /2015-03-31/event-source-mappings/{UUID} 202",
            operations::delete,
        )
}
