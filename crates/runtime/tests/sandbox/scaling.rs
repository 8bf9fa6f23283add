//! Many events at once, a node that is full, code that does not initialise, and instances that stand still.

use crate::world::{PATIENCE, World, control_groups, descendants, until};
use mayfly_kernel::Limits;
use mayfly_kernel::function::Refusal;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SLEEPER: &str = "
import os, time
def handler(event, context):
    time.sleep(event.get('for', 0))
    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']
";

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_full_node_and_run_as_places_come_free() {
    let limits = Limits { node_instances: 2, node_queue_ms: 60_000, ..Limits::default() };
    let world = World::with(limits).await;
    let (many, one) = (Arc::new(world.python("many", SLEEPER)), Arc::new(world.python("one", SLEEPER)));
    let crowd = (0..12).map(|_| world.ok(&many, json!({ "for": 0.05 })));
    let (crowd, _) = tokio::join!(futures_util::future::join_all(crowd), world.ok(&one, json!({})));
    assert_eq!(crowd.len(), 12, "nothing was refused, and nobody starved");
    assert!(world.host.stats().instances <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waits_too_long_for_a_full_node_is_turned_away() {
    let limits = Limits { node_instances: 1, node_queue_ms: 50, ..Limits::default() };
    let world = World::with(limits).await;
    let (busy, other) = (Arc::new(world.python("busy", SLEEPER)), Arc::new(world.python("other", SLEEPER)));
    let probe = async {
        while world.host.stats().instances == 0 {
            tokio::task::yield_now().await;
        }
        let refused = world.invoke(&other, json!({})).await;
        assert!(matches!(refused, Err(Refusal::NodeFull)), "{refused:?}");
    };
    tokio::join!(world.ok(&busy, json!({ "for": 3 })), probe);
    // Idle now, it makes room.
    world.ok(&other, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_initialise_is_not_started_for_every_event() {
    let limits = Limits { init_backoff_ms: 600_000, init_backoff_ms_max: 600_000, ..Limits::default() };
    let world = World::with(limits).await;
    let version = Arc::new(world.python("broken", "import no_such_module"));
    let (kind, message) = world.error(&version, json!({})).await;
    assert_eq!(kind, "Runtime.ImportModuleError");
    assert!(!message.contains("tried again"), "{message}");
    for _ in 0..50 {
        let (kind, message) = world.error(&version, json!({})).await;
        assert_eq!(kind, "Runtime.ImportModuleError");
        assert!(message.contains("initialisation failed 1 times in a row"), "{message}");
    }
    assert_eq!(world.host.stats().cold_starts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_instance_stands_still_and_wakes_for_its_next_event() {
    // What boots in the background would count too.
    let limits = Limits { freeze_after_ms: 0, prewarmed_instances: 0, ..Limits::default() };
    let world = World::with(limits).await;
    let code = "
import threading
ticks = 0
def tick():
    global ticks
    while True: ticks += 1
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    return ticks
";
    let version = Arc::new(world.python("ticker", code));
    world.ok(&version, json!({})).await;
    if !world.host.stats().layers.contains(&mayfly_runtime::Layer::Freezer) {
        return;
    }
    until(|| world.host.stats().frozen > 0).await;
    let launcher = world.launcher().expect("the launcher runs");
    let used = || descendants(launcher).into_iter().map(cpu_ticks).sum::<u64>();
    until(|| stands_still(launcher)).await;
    // A busy loop would use all of its share of this; what is frozen uses not a single tick. What the launcher
    // does ahead for later starts may take a while longer.
    let quiet = async {
        loop {
            let before = used();
            tokio::time::sleep(Duration::from_millis(300)).await;
            if used() == before {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, quiet).await.expect("nothing runs");
    world.ok(&version, json!({})).await;
    assert_eq!(world.host.stats().cold_starts, 1, "the same instance goes on");
    until(|| world.host.stats().frozen > 0).await;
    world.drained().await;
    assert_eq!(world.launcher(), None, "what is frozen ends too");
}

/// Whether the kernel says so of a sandbox of this launcher.
fn stands_still(launcher: u32) -> bool {
    let groups = control_groups(launcher);
    let sandboxes = groups.iter().flat_map(|group| std::fs::read_dir(group).into_iter().flatten().flatten());
    let read = |folder: &Path, file| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    sandboxes.map(|entry| entry.path()).any(|folder| {
        read(&folder, "freezer.state").trim() == "FROZEN"
            || read(&folder, "cgroup.events").contains("frozen 1")
    })
}

/// User and system time of a process.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let number = |at: usize| fields.as_ref().and_then(|fields| fields.get(at)?.parse::<u64>().ok());
    number(11).unwrap_or(0) + number(12).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioned_instances_are_there_before_the_first_event_and_replaced() {
    let world = World::with(Limits { idle_instance_seconds: 0, ..Limits::default() }).await;
    let version =
        Arc::new(world.python("ready", "import os\ndef handler(e, c):\n  if e.get('exit'): os._exit(1)"));
    world.host.provision(vec![(version.clone(), 2)]);
    let ready = || world.host.provisioned().iter().all(|standing| standing.available >= 2);
    until(ready).await;
    assert_eq!(world.host.stats().cold_starts, 2);
    let outcome = world.invoke(&version, json!({})).await.unwrap();
    assert_eq!(outcome.report.init_us, None, "the first event is warm");
    world.error(&version, json!({ "exit": true })).await;
    // The one that ended is replaced.
    until(ready).await;
    assert_eq!(world.host.stats().cold_starts, 3);
}
