//! Many senders and receivers at once: nothing lost, nothing twice, and hardly a transaction run in vain.

use super::*;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SENDERS: usize = 8;
const RECEIVERS: usize = 8;
const EACH: usize = 50;
/// A receiver that finds nothing for so long gives up, and the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends and receives from many threads; the bodies in the order in which they were received.
fn run(bench: &Bench, url: &str, group: impl Fn(usize) -> Option<String> + Sync) -> Vec<String> {
    let received = Mutex::new(Vec::new());
    let left = AtomicUsize::new(SENDERS * EACH);
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let group = &group;
            scope.spawn(move || {
                for number in 0..EACH {
                    let body = format!("{sender}-{number}");
                    match group(sender) {
                        Some(group) => send_to(bench, url, &group, &body),
                        None => send(bench, url, &body),
                    };
                }
            });
        }
        for _ in 0..RECEIVERS {
            scope.spawn(|| {
                let mut since = Instant::now();
                while left.load(Ordering::SeqCst) > 0 && since.elapsed() < PATIENCE {
                    let got = receive(bench, url, 10);
                    if !got.is_empty() {
                        since = Instant::now();
                    }
                    for message in got {
                        // Written down before it is deleted: from then on another may hold the next of its group.
                        received.lock().unwrap().push(message["Body"].as_str().unwrap().to_owned());
                        delete(bench, url, &message);
                        left.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    received.into_inner().unwrap()
}

fn check(seed: u64, queue: &str, attributes: Value, group: impl Fn(usize) -> Option<String> + Sync) -> f64 {
    let (bench, _dir) = Bench::on_disk(seed);
    let url = create(&bench, queue, attributes);
    let received = run(&bench, &url, group);
    let distinct: HashSet<&String> = received.iter().collect();
    assert_eq!((received.len(), distinct.len()), (SENDERS * EACH, SENDERS * EACH));
    assert_eq!(counts(&bench, &url), (0, 0, 0));
    for sender in 0..SENDERS {
        let own: Vec<usize> = received
            .iter()
            .filter_map(|body| body.strip_prefix(&format!("{sender}-")))
            .map(|number| number.parse().unwrap())
            .collect();
        assert!(queue == "standard" || own.is_sorted(), "the order of a sender's group");
    }
    let stats = bench.store().stats();
    stats.conflicts as f64 / stats.commits as f64
}

#[test]
fn senders_and_receivers_of_a_standard_queue_do_not_conflict() {
    let conflicts = check(1, "standard", json!({}), |_| None);
    assert!(conflicts < 0.05, "{conflicts} conflicts for each commit");
}

#[test]
fn fifo_groups_do_not_conflict_with_each_other() {
    let conflicts =
        check(2, "groups.fifo", json!({ "FifoQueue": "true" }), |sender| Some(sender.to_string()));
    assert!(conflicts < 0.5, "{conflicts} conflicts for each commit");
}

#[test]
fn senders_of_one_fifo_group_get_through() {
    check(3, "one.fifo", json!({ "FifoQueue": "true" }), |_| Some("g".into()));
}
