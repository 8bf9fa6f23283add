//! Functions that want too much: each is stopped, told so, and alone in being so.

use crate::world::{PATIENCE, World};
use mayfly_runtime::Layer;
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_the_limit_ends_the_instance() {
    let world = World::new().await;
    let code = "
def handler(event, context):
    if event.get('mib'):
        kept = [bytearray(b'x' * 1048576) for _ in range(event['mib'])]
    return 'fine'
";
    let version = Arc::new(world.python("hungry", code));
    if !world.host.stats().layers.contains(&Layer::MemoryCgroup) {
        return;
    }
    assert_eq!(world.ok(&version, json!({ "mib": 40 })).await, "fine");
    let (kind, message) = world.error(&version, json!({ "mib": 2000 })).await;
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: signal: killed"), "{message}");
    let lines = world.lines.lock().unwrap().join("\n");
    assert!(lines.contains("ran out of memory: 128 MB"), "{lines}");
    assert_eq!(world.ok(&version, json!({})).await, "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tmp_is_the_functions_own_trouble() {
    let world = World::new().await;
    let code = "
import errno, os
def handler(event, context):
    written = 0
    try:
        with open('/tmp/big', 'wb', buffering=0) as big:
            while written < 10 * 2**30:
                written += big.write(b'x' * 2**20)
    except OSError as error:
        os.unlink('/tmp/big')
        return {'errno': errno.errorcode[error.errno], 'mib': written >> 20}
    return 'no end'
";
    let version = Arc::new(world.python("writer", code));
    let result = world.ok(&version, json!({})).await;
    assert_eq!(result["errno"], "ENOSPC");
    assert!((60..=64).contains(&result["mib"].as_u64().unwrap()), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_in_its_sandbox() {
    let world = World::new().await;
    let code = "
import os, signal
def handler(event, context):
    made = 0
    while made < 5000:
        try:
            pid = os.fork()
        except OSError:
            return made
        if pid == 0:
            signal.pause()
        made += 1
    return made
";
    let mut version = world.python("forks", code);
    version.memory_mib = 2048;
    let made = world.ok(&Arc::new(version), json!({})).await.as_u64().unwrap();
    assert!((100..=1024).contains(&made), "{made}");
    world.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_over_the_limit_is_refused_with_its_size() {
    let world = World::new().await;
    let code = "
def handler(event, context):
    return 'x' * event['size']
";
    let version = Arc::new(world.python("wordy", code));
    let limit = 6 * 1024 * 1024;
    let whole = world.ok(&version, json!({ "size": limit - 2 })).await;
    assert_eq!(whole.as_str().unwrap().len(), limit - 2);
    let (kind, message) = world.error(&version, json!({ "size": limit })).await;
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    let expected = format!(
        "Response payload size ({} bytes) exceeded maximum allowed payload size (6291556 bytes).",
        limit + 2
    );
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_does_not_hold_up_the_answer() {
    let world = World::new().await;
    let code = "
import os, subprocess
def handler(event, context):
    subprocess.Popen(['/bin/sh', '-c', 'exec yes a line of an endless log'])
    return 'fine'
";
    let version = Arc::new(world.python("flood", code));
    let answer = tokio::time::timeout(PATIENCE / 2, world.ok(&version, json!({}))).await;
    assert_eq!(answer.expect("the log is endless, the invocation is not"), "fine");
    world.drained().await;
}
