//! A line: records of an external source in one order, such as a partition of Kafka, a stream of Redis, a
//! queue.
//!
//! This is the seam between what a broker is like and what a mapping does. Whatever a line has handed out and
//! was not acknowledged comes again, from the broker, once the line was dropped and opened anew; nothing is
//! put back by hand, except where a broker would wait for long.

use mayfly_services::lambda::mappings::Record;
use std::future::Future;
use std::time::Duration;

/// What is wrong with a source, in words for the operator. Never a credential.
pub(super) type Trouble = anyhow::Error;

/// How much is wanted, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// At most so many records, and at least one.
    pub(super) records: usize,
    /// Zero: only what is there. A line may come back with nothing before this is over.
    pub(super) within: Duration,
}

/// What an answer of a broker may take, beyond the time that it was asked to wait.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Whatever is asked of a line; a broker that is there and says nothing is in trouble like one that is not.
pub(super) async fn answered<T>(
    within: Duration,
    asked: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(within + GRACE, asked).await.unwrap_or_else(|_| Err(super::silent()))
}

pub(super) trait Line: Send {
    /// What events name the line by.
    fn name(&self) -> &str;

    /// Records in their order, none if there are none in time. May be dropped at any point of waiting.
    fn read(&mut self, want: Want) -> impl Future<Output = Result<Vec<Record>, Trouble>> + Send;

    /// The first so many of the records that were read and not acknowledged yet are done.
    fn acknowledge(&mut self, records: usize) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// What comes next once the first so many are done, where the broker does not keep that itself.
    fn cursor(&self, _records: usize) -> Option<i64> {
        None
    }

    /// Told every few seconds while records are in hand.
    fn hold(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send {
        async { Ok(()) }
    }

    /// What is in hand will not be acknowledged by this line.
    fn release(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}
