//! From the lines that functions print to rows of the logs service.
//!
//! Instances must not wait for the disk, so lines are gathered in memory and written in batches by relaxed
//! transactions: a power cut may take the last 100 ms of them. What does not fit into the buffer is counted and
//! dropped, never waited for.

use crate::cloud::Cloud;
use mayfly_kernel::function::Version;
use mayfly_kernel::{Caller, Time};
use mayfly_services::logs::{self, Line};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Lines that wait for the writer, together.
const BUFFER_BYTES: usize = 64 * 1024 * 1024;
/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);

/// One stream of one group.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    account: String,
    region: String,
    group: String,
    stream: String,
}

#[derive(Default)]
struct Buffer {
    lines: HashMap<Place, Vec<Line>>,
    bytes: usize,
    dropped: u64,
}

/// Takes lines, never waits.
#[derive(Clone, Default)]
pub(crate) struct LogSink(Arc<Shared>);

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Notify,
}

impl LogSink {
    pub(crate) fn line(&self, version: &Version, stream: &str, at: Time, line: &[u8]) {
        let mut buffer = self.0.buffer.lock();
        if buffer.bytes + line.len() > BUFFER_BYTES {
            buffer.dropped += 1;
            return;
        }
        buffer.bytes += line.len();
        let place = Place {
            account: version.function.account.clone(),
            region: version.function.region.clone(),
            group: version.log_group.clone(),
            stream: stream.into(),
        };
        let message = String::from_utf8_lossy(line).into_owned();
        buffer.lines.entry(place).or_default().push(Line { at, message });
        drop(buffer);
        self.0.filled.notify_one();
    }

    /// Writes what has been gathered so far.
    pub(crate) async fn flush(&self, cloud: &Cloud) {
        let buffer = std::mem::take(&mut *self.0.buffer.lock());
        if buffer.dropped > 0 {
            warn!(
                lines = buffer.dropped,
                "log lines were dropped: functions print faster than the disk writes"
            );
        }
        for (place, lines) in buffer.lines {
            let caller = Caller::service("logs.mayfly", &place.account, &place.region);
            let write =
                cloud.transact_relaxed(&caller, |cx| logs::append(cx, &place.group, &place.stream, &lines));
            if let Err(fault) = write.await {
                warn!(%fault, group = place.group, lines = lines.len(), "cannot write log lines");
            }
        }
    }

    /// Writes for as long as the process lives.
    pub(crate) async fn drive(self, cloud: Arc<Cloud>) {
        loop {
            self.0.filled.notified().await;
            tokio::time::sleep(GATHER).await;
            self.flush(&cloud).await;
        }
    }
}
