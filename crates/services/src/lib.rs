//! Every service of Mayfly, one module each, all in one shape; and the fabric, which makes deliveries happen.
//!
//! A handler is a plain synchronous function of (state, input, [`Cx`]): one request is one transaction, and
//! its effects are rows in the same commit. Nothing here does I/O of its own, reads a clock, draws randomness
//! or is `async`; moving bytes, running functions and waiting for the disk are the binary's work. That is why
//! the whole cloud runs in a unit test on the memory engine with a manual clock.
//!
//! Deliberately absent: any knowledge of the runtime, of HTTP connections and of other nodes.

mod access;
pub mod apigateway;
pub mod autoscaling;
pub mod blobs;
mod claims;
pub mod cloudwatch;
pub mod codedeploy;
pub mod cx;
pub mod ecr;
pub mod events;
pub mod fabric;
pub mod identity;
pub mod keyvalue;
pub mod lambda;
pub mod logs;
mod memo;
pub mod operation;
mod paging;
mod pattern;
pub mod pipes;
pub mod readers;
pub mod runner;
pub mod s3;
mod schedule;
pub mod scheduler;
pub mod sns;
pub mod spaces;
pub mod sqs;
pub mod stacks;
mod statements;
mod tags;
pub mod targets;
#[cfg(test)]
mod testing;

pub use cx::{Cx, Outlets, Signal, Site};
pub use operation::{Catalogue, Content, Operation, Reply, Service};
pub use runner::Runner;

/// Every service, in the order of the coverage page.
pub fn catalogue() -> Catalogue {
    Catalogue::new(vec![
        lambda::service(),
        s3::service(),
        sqs::service(),
        ecr::service(),
        sns::service(),
        apigateway::service(),
        events::service(),
        logs::service(),
        scheduler::service(),
        pipes::service(),
        cloudwatch::service(),
        codedeploy::service(),
        autoscaling::service(),
        identity::service(),
        fabric::with_deliveries(stacks::service()),
    ])
}
