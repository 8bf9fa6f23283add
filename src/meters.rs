//! From invocations to rows of CloudWatch's figures.
//!
//! An invocation must not wait for the disk, so what happens is added up in memory, by function, name and
//! version, and written about once a second by relaxed transactions: a power cut may take the last second of
//! it. What is written grows with how many versions are in use and not with how often.

use crate::cloud::Cloud;
use mayfly_kernel::function::Version;
use mayfly_kernel::{Arn, Caller, Clock};
use mayfly_runtime::Meter;
use mayfly_services::cloudwatch::{self, Figures, Runs, Sample};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// How long figures are gathered before they are written.
const GATHER: Duration = Duration::from_secs(1);
/// Samples of one transaction.
const BATCH: usize = 100;

/// Counts, never waits.
#[derive(Clone)]
pub(crate) struct Meters(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    /// Whether the writer has been told that there is something to write.
    told: AtomicBool,
    filled: Notify,
}

#[derive(Default)]
struct Known {
    /// By version and name.
    series: HashMap<String, Arc<Series>>,
    /// By the ARN of the function, and by those of its aliases and versions.
    gauges: HashMap<String, Arc<Gauge>>,
}

/// What one version comes to under one name.
struct Series {
    function: Arn,
    qualifier: String,
    version: String,
    /// Of the function, and of the name by which it was called if that is another one.
    at_once: (Arc<Gauge>, Option<Arc<Gauge>>),
    runs: Mutex<Runs>,
    /// How many count on this series and are not over.
    open: AtomicU32,
}

/// How many run at once, and the most that did.
#[derive(Default)]
struct Gauge {
    now: AtomicU32,
    most: AtomicU32,
}

impl Gauge {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    /// The most since this was asked last.
    fn take(&self) -> u32 {
        self.most.swap(self.now.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

/// One invocation.
struct Open {
    shared: Arc<Shared>,
    series: Arc<Series>,
}

impl Meter for Open {
    fn throttled(&mut self) {
        self.series.runs.lock().throttles += 1;
        self.shared.tell();
    }

    fn ended(&mut self, failed: bool, duration_us: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a duration in microseconds is far below 2^53")]
        let ms = duration_us as f64 / 1000.0;
        self.series.runs.lock().ran(failed, ms);
        self.shared.tell();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.series.gauges().for_each(Gauge::end);
        self.series.open.fetch_sub(1, Ordering::Release);
    }
}

impl Series {
    fn gauges(&self) -> impl Iterator<Item = &Gauge> {
        [Some(&self.at_once.0), self.at_once.1.as_ref()].into_iter().flatten().map(|gauge| &**gauge)
    }
}

impl Shared {
    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.filled.notify_one();
        }
    }
}

/// The alias or version that an ARN names; empty if it names none.
fn qualifier(arn: &str) -> &str {
    // `arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER`
    arn.splitn(8, ':').nth(7).unwrap_or_default()
}

impl Meters {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Meters {
        let known = Mutex::default();
        Meters(Arc::new(Shared { clock, known, told: AtomicBool::new(false), filled: Notify::new() }))
    }

    pub(crate) fn begin(&self, version: &Version, invoked_arn: &str) -> Box<dyn Meter> {
        let name = qualifier(invoked_arn);
        let key = [&*version.id, " ", name].concat();
        let mut known = self.0.known.lock();
        let series = match known.series.get(&key) {
            Some(series) => series.clone(),
            None => {
                let function = version.function.to_string();
                let by_name = (!name.is_empty()).then(|| format!("{function}:{name}"));
                let mut gauge = |arn: String| known.gauges.entry(arn).or_default().clone();
                let at_once = (gauge(function), by_name.map(&mut gauge));
                let series = Arc::new(Series {
                    function: version.function.clone(),
                    qualifier: name.to_owned(),
                    version: version.label.clone(),
                    at_once,
                    runs: Mutex::default(),
                    open: AtomicU32::new(0),
                });
                known.series.insert(key, series.clone());
                series
            }
        };
        series.open.fetch_add(1, Ordering::Relaxed);
        drop(known);
        series.gauges().for_each(Gauge::begin);
        Box::new(Open { shared: self.0.clone(), series })
    }

    /// Takes what has been counted, and forgets whom nobody calls any more.
    fn take(&self) -> Vec<Sample> {
        self.0.told.store(false, Ordering::Release);
        let at = self.0.clock.now();
        let mut samples = Vec::new();
        let mut known = self.0.known.lock();
        let Known { series, gauges } = &mut *known;
        series.retain(|_, one| {
            // Whoever counts has its place in `open` until it is done: with none, nothing more can come.
            let closed = one.open.load(Ordering::Acquire) == 0;
            let runs = std::mem::take(&mut *one.runs.lock());
            if runs.is_empty() {
                return !closed;
            }
            let of = |qualifier: &str, version: &str, figures: Figures| Sample {
                function: one.function.clone(),
                qualifier: qualifier.to_owned(),
                version: version.to_owned(),
                at,
                figures,
            };
            samples.push(of(&one.qualifier, &one.version, Figures::Runs(runs)));
            let most = one.at_once.0.take();
            if most > 0 {
                samples.push(of("", "", Figures::Concurrency(most)));
            }
            true
        });
        gauges.retain(|_, gauge| Arc::strong_count(gauge) > 1);
        samples
    }

    /// Writes down how much of what is provisioned is in use: function, alias or version, and instances
    /// that there are.
    pub(crate) async fn provisioned(&self, cloud: &Cloud, standing: &[(Arn, String, u32)]) {
        let at = self.0.clock.now();
        let sample = |(function, qualifier, available): &(Arn, String, u32)| {
            let gauge = self.0.known.lock().gauges.get(&format!("{function}:{qualifier}")).cloned();
            let figures =
                Figures::Provisioned { busy: gauge.map_or(0, |gauge| gauge.take()), available: *available };
            let (function, qualifier) = (function.clone(), qualifier.clone());
            Sample { function, qualifier, version: String::new(), at, figures }
        };
        self.write(cloud, standing.iter().filter(|(.., available)| *available > 0).map(sample).collect())
            .await;
    }

    /// Writes what has been counted so far.
    pub(crate) async fn flush(&self, cloud: &Cloud) {
        self.write(cloud, self.take()).await;
    }

    async fn write(&self, cloud: &Cloud, samples: Vec<Sample>) {
        let mut by_place: HashMap<(String, String), Vec<Sample>> = HashMap::new();
        for sample in samples {
            let place = (sample.function.account.clone(), sample.function.region.clone());
            by_place.entry(place).or_default().push(sample);
        }
        for ((account, region), samples) in by_place {
            let caller = Caller::service("meters.mayfly", &account, &region);
            for batch in samples.chunks(BATCH) {
                let written = cloud.transact_relaxed(&caller, |cx| cloudwatch::record(cx, batch)).await;
                if let Err(fault) = written {
                    warn!(%fault, samples = batch.len(), "cannot write figures of functions");
                }
            }
        }
    }

    /// Writes for as long as the process lives. An idle server writes nothing.
    pub(crate) async fn drive(self, cloud: Arc<Cloud>) {
        loop {
            self.0.filled.notified().await;
            tokio::time::sleep(GATHER).await;
            self.flush(&cloud).await;
        }
    }
}
