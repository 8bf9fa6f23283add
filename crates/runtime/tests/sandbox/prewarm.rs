//! Interpreters that booted before anybody knew what for: as good as fresh ones, and with every wall.

use crate::world::{World, until};
use mayfly_kernel::Limits;
use mayfly_kernel::function::{Runtime, Version};
use serde_json::{Value, json};
use std::sync::Arc;

const LOOK: &str = "
import os, sys, time
def handler(event, context):
    stat = os.statvfs('/tmp')
    try:
        open('/var/task/new', 'w')
        writable = True
    except OSError:
        writable = False
    open('/tmp/mine', 'w').close()
    return {'arguments': sys.argv, 'here': os.getcwd(), 'files': sorted(os.listdir('.')),
            'name': os.environ['AWS_LAMBDA_FUNCTION_NAME'], 'key': os.environ['AWS_ACCESS_KEY_ID'],
            'colour': os.environ['COLOUR'], 'zone': time.tzname[0], 'writable': writable,
            'tmp': os.listdir('/tmp'), 'tmp_mib': stat.f_blocks * stat.f_frsize >> 20,
            'status': [line for line in open('/proc/self/status') if line[:4] in ('CapE', 'Secc', 'NoNe')],
            'others': [pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) not in (1, os.getpid())],
            'platform': __import__('urllib.request').request.urlopen(os.environ['AWS_ENDPOINT_URL']).read().decode()}
";

/// The result of a version that gets a pre-warmed interpreter, and of one like it that does not.
async fn both(make: impl Fn(&World, &str) -> Version) -> [Value; 2] {
    let mut seen = Vec::new();
    for waiting in [1, 0] {
        let world = World::with(Limits { prewarmed_instances: waiting, ..Limits::default() }).await;
        world.ok(&Arc::new(make(&world, "first")), json!({})).await;
        until(|| world.host.stats().prewarmed >= u32::try_from(waiting).unwrap()).await;
        seen.push(world.ok(&Arc::new(make(&world, "second")), json!({})).await);
        assert_eq!(world.host.stats().prewarmed_starts, u64::try_from(waiting).unwrap());
        world.drained().await;
    }
    seen.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prewarmed_python_is_like_a_fresh_one() {
    let [warmed, fresh] = both(|world, name| {
        let mut version = world.python(name, LOOK);
        version.environment.insert("TZ".into(), "JST-9".into());
        version
    })
    .await;
    assert_eq!(warmed, fresh);
    assert_eq!(warmed["name"], "second");
    assert_eq!(warmed["platform"], "platform of second");
    assert_eq!((&warmed["zone"], &warmed["tmp_mib"]), (&json!("JST"), &json!(64)));
    assert_eq!((&warmed["writable"], &warmed["others"]), (&json!(false), &json!([])));
}

/// Modules of the standard library are imported while it waits; the function's own by these names go first.
#[tokio::test(flavor = "multi_thread")]
async fn a_prewarmed_python_imports_the_package_s_own_modules_first() {
    let code = "
import logging, queue, statistics, email.message, ssl
def handler(event, context):
    return [queue.OWN, statistics.OWN, email.__file__, len(logging.getLogger().handlers), ssl.__name__]
";
    let own = "OWN = __file__";
    let files = [("app.py", code), ("queue.py", own), ("statistics/__init__.py", own)];
    let [warmed, fresh] =
        both(|world, name| world.version(name, Runtime::Python("3.11".into()), &files)).await;
    assert_eq!(warmed, fresh);
    assert_eq!((&warmed[0], &warmed[3]), (&json!("/var/task/queue.py"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prewarmed_node_is_like_a_fresh_one() {
    let code = "
export const handler = async (event, context) => ({
  arguments: process.argv.slice(2), here: process.cwd(), environment: Object.keys(process.env).sort(),
  name: context.functionName, zone: new Date(0).toString() });
";
    let [warmed, fresh] = both(|world, name| {
        let mut version = world.version(name, Runtime::Node("20".into()), &[("app.mjs", code)]);
        version.environment.insert("TZ".into(), "Asia/Tokyo".into());
        version
    })
    .await;
    assert_eq!(warmed, fresh);
    assert_eq!(warmed["name"], "second");
    assert!(warmed["zone"].as_str().unwrap().contains("GMT+0900"), "{warmed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prewarmed_instance_keeps_to_its_memory() {
    let code = "
def handler(event, context):
    return len(bytearray(b'x' * event.get('bytes', 1)))
";
    let world = World::with(Limits { prewarmed_instances: 1, ..Limits::default() }).await;
    if !world.host.stats().layers.contains(&mayfly_runtime::Layer::MemoryCgroup) {
        return;
    }
    world.ok(&Arc::new(world.python("one", code)), json!({})).await;
    until(|| world.host.stats().prewarmed > 0).await;
    let (kind, _) =
        world.error(&Arc::new(world.python("two", code)), json!({ "bytes": 2_000_000_000_u32 })).await;
    assert_eq!((kind.as_str(), world.host.stats().prewarmed_starts), ("Runtime.ExitError", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_leaves_as_many_waiting_as_it_missed_and_the_next_finds_them() {
    const AT_ONCE: u32 = 3;
    let code = "import time\ndef handler(event, context):\n  time.sleep(event['seconds'])";
    let world = World::with(Limits { prewarmed_instances: 4, ..Limits::default() }).await;
    if !world.host.stats().layers.contains(&mayfly_runtime::Layer::MemoryCgroup) {
        return;
    }
    for burst in [0, 1] {
        let version = Arc::new(world.python(&format!("burst{burst}"), code));
        // One alone would be started in the interpreter that waits after it, so they must overlap.
        let event = || world.ok(&version, json!({ "seconds": 2 }));
        futures_util::future::join_all((0..AT_ONCE).map(|_| event())).await;
        until(|| world.host.stats().prewarmed >= AT_ONCE - 1).await;
    }
    let stats = world.host.stats();
    assert_eq!(stats.cold_starts, u64::from(2 * AT_ONCE));
    assert!(stats.prewarmed_starts >= u64::from(AT_ONCE - 1), "{stats:?}");
}
