//! From the lines that functions print to rows of the logs service.
//!
//! Instances must not wait for the disk, so lines are gathered in memory and written in batches by relaxed
//! transactions: a kill may take those of what runs, and a power cut the last 100 ms. What an event has logged is
//! written before the event counts as done ([`Cloud::run_event`]). What does not fit into the buffer is counted and
//! dropped, never waited for.

use crate::cloud::Cloud;
use futures_util::StreamExt as _;
use mayfly_kernel::function::Version;
use mayfly_kernel::{Caller, Time};
use mayfly_runtime::LogStream;
use mayfly_services::logs::{self, Line};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// Lines that wait for the writer, together.
const BUFFER_BYTES: usize = 64 * 1024 * 1024;
/// How long lines are gathered before they are written.
const GATHER: Duration = Duration::from_millis(20);
/// Streams that are written at once; they share their places in the store's log.
const AT_ONCE: usize = 32;

/// Takes lines, never waits.
#[derive(Clone, Default)]
pub(crate) struct LogSink(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Streams with lines that are not written yet.
    waiting: Mutex<Vec<Arc<Stream>>>,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    filled: Notify,
    /// Held while lines are written.
    writing: tokio::sync::Mutex<()>,
}

/// One stream of one group.
struct Stream {
    account: String,
    region: String,
    group: String,
    name: String,
    lines: Mutex<Vec<Line>>,
}

/// Where an instance's lines go in.
struct Inlet {
    sink: LogSink,
    stream: Arc<Stream>,
}

impl LogStream for Inlet {
    fn line(&self, at: Time, message: String) {
        let shared = &self.sink.0;
        let length = message.len();
        if shared.bytes.fetch_add(length, Ordering::Relaxed) + length > BUFFER_BYTES {
            shared.bytes.fetch_sub(length, Ordering::Relaxed);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut lines = self.stream.lines.lock();
        lines.push(Line { at, message });
        // Whoever puts the first line in announces the stream; the writer takes all that is there by then. Until
        // it is announced nobody adds another: a flush after that line would not know of the stream.
        if lines.len() == 1 {
            shared.waiting.lock().push(self.stream.clone());
            drop(lines);
            shared.filled.notify_one();
        }
    }
}

impl LogSink {
    pub(crate) fn stream(&self, version: &Version, name: &str) -> impl LogStream + use<> {
        let stream = Stream {
            account: version.function.account.clone(),
            region: version.function.region.clone(),
            group: version.log_group.clone(),
            name: name.to_owned(),
            lines: Mutex::default(),
        };
        Inlet { sink: self.clone(), stream: Arc::new(stream) }
    }

    /// Writes what has been gathered so far; when it comes back, every line that was put in before is in the store,
    /// whoever has written it.
    pub(crate) async fn flush(&self, cloud: &Cloud) {
        let _one = self.0.writing.lock().await;
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            warn!(lines = dropped, "log lines were dropped: functions print faster than the disk writes");
        }
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        let all = futures_util::stream::iter(waiting);
        all.for_each_concurrent(AT_ONCE, |stream| self.write(cloud, stream)).await;
    }

    async fn write(&self, cloud: &Cloud, stream: Arc<Stream>) {
        let lines = std::mem::take(&mut *stream.lines.lock());
        let bytes = lines.iter().map(|line| line.message.len()).sum();
        let caller = Caller::service("logs.mayfly", &stream.account, &stream.region);
        let write =
            cloud.transact_relaxed(&caller, |cx| logs::append(cx, &stream.group, &stream.name, &lines));
        if let Err(fault) = write.await {
            warn!(%fault, group = stream.group, lines = lines.len(), "cannot write log lines");
        }
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
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
