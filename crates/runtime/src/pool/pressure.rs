//! Whether this machine is short of memory, as its kernel sees it.
//!
//! The budget counts promises; this is what they come to. Two signs count: little memory that could be given
//! without swapping, and processes that stand still waiting for memory.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// So much of the machine's memory may be promised. Instances stay far below their sizes as a rule, and share
/// the pages of their interpreters and packages.
const PROMISES: u64 = 4;
/// Below this share of the machine's memory the rest is kept for what runs: one in so many.
const RESERVE: u64 = 20;
/// Percent of the last ten seconds in which something stood still for want of memory.
const STALLED: f64 = 20.0;
/// A reading holds this long.
const FRESH: Duration = Duration::from_millis(200);
const KIB: u64 = 1024;

/// The memory that instances may be promised by default.
pub(super) fn promises() -> u64 {
    // A machine that does not tell counts as a small one.
    figure(&read("/proc/meminfo"), "MemTotal:").map_or(8 << 30, |total| limited(total) * PROMISES)
}

/// A control group around the server may hold it to less than the machine has.
fn limited(total: u64) -> u64 {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = files.iter().filter_map(|file| read(file).trim().parse::<u64>().ok());
    limits.fold(total, u64::min)
}

#[derive(Default)]
pub(crate) struct Gauge {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Gauge {
    pub(crate) fn pressed(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock();
        if let Some((at, pressed)) = *last
            && now.saturating_duration_since(at) < FRESH
        {
            return pressed;
        }
        let pressed = short(&read("/proc/meminfo"), &read("/proc/pressure/memory"));
        *last = Some((now, pressed));
        pressed
    }
}

fn short(meminfo: &str, pressure: &str) -> bool {
    let (total, available) = (figure(meminfo, "MemTotal:"), figure(meminfo, "MemAvailable:"));
    let scarce = total.zip(available).is_some_and(|(total, available)| available < total / RESERVE);
    let some = pressure.lines().find_map(|line| line.strip_prefix("some avg10="));
    let stalled = some.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    scarce || stalled.is_some_and(|percent| percent > STALLED)
}

fn figure(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * KIB)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn little_memory_and_stalls_are_pressure() {
        let memory = |available: u64| format!("MemTotal: 1000000 kB\nMemAvailable: {available} kB\n");
        let stalls = |percent: &str| format!("some avg10={percent} avg60=0.00\nfull avg10=0.00\n");
        assert!(!short(&memory(500_000), &stalls("0.50")));
        assert!(short(&memory(40_000), &stalls("0.00")));
        assert!(short(&memory(500_000), &stalls("35.10")));
        assert!(!short("", ""), "a machine that tells nothing is not under pressure");
    }
}
