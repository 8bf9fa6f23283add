//! An instance from its first event to its last, and what becomes of an invocation whose instance fails.

use crate::world::{World, command_line, control_groups, descendants, exists, until};
use mayfly_kernel::Limits;
use mayfly_kernel::function::{Concurrency, Refusal, Runtime, Version};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const COUNTER: &str = "
import os
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print('call', calls)
    return {'calls': calls, 'event': event, 'colour': os.environ['COLOUR'],
            'key': os.environ['AWS_ACCESS_KEY_ID'], 'id': context.aws_request_id}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_reused_and_its_log_is_in_order() {
    let world = World::new().await;
    let version = Arc::new(world.python("counter", COUNTER));
    let first = world.ok(&version, json!({ "n": 1 })).await;
    assert_eq!(first["calls"], 1);
    assert_eq!(first["event"], json!({ "n": 1 }));
    assert_eq!((first["colour"].as_str(), first["key"].as_str()), (Some("green"), Some("key-of-counter")));
    assert_eq!(world.ok(&version, json!({})).await["calls"], 2);
    assert_eq!(world.host.stats().cold_starts, 1);
    let lines = world.lines.lock().unwrap().clone();
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["START", "call", "END", "REPORT", "START", "call", "END", "REPORT"], "{lines:#?}");
    assert!(lines[3].contains("\tInit Duration: ") && !lines[7].contains("Init Duration"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_function_gets_a_new_instance() {
    let world = World::new().await;
    let version = Arc::new(world.python("changed", COUNTER));
    world.ok(&version, json!({})).await;
    world.host.retire(&version.id);
    // The same code under the next id, as after an update.
    let version = Arc::new(Version { id: "changed-2".into(), ..(*version).clone() });
    assert_eq!(world.ok(&version, json!({})).await["calls"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_error_is_the_functions_and_the_instance_goes_on() {
    let world = World::new().await;
    let code = "
calls = 0
def handler(event, context):
    global calls
    calls += 1
    if event.get('bad'): raise ValueError('no good')
    return calls
";
    let version = Arc::new(world.python("raises", code));
    let (kind, message) = world.error(&version, json!({ "bad": true })).await;
    assert_eq!((kind.as_str(), message.as_str()), ("ValueError", "no good"));
    assert_eq!(world.ok(&version, json!({})).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_fails_the_invocation_and_the_next_gets_a_new_instance() {
    let world = World::new().await;
    let code = "
import os
def handler(event, context):
    if event.get('exit') is not None: os._exit(event['exit'])
    return 'fine'
";
    let version = Arc::new(world.python("exits", code));
    let (kind, message) = world.error(&version, json!({ "exit": 3 })).await;
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    assert_eq!(world.ok(&version, json!({})).await, "fine");
}

/// Answers one event, and goes when it is told to without asking for another.
const ONCE: &str = r#"#!/usr/bin/python3
import json, os, signal, time, urllib.request
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
with urllib.request.urlopen(api + "next") as event:
    id, body = event.headers["Lambda-Runtime-Aws-Request-Id"], json.load(event)
answer = json.dumps({"pid": time.monotonic_ns(), "n": body["n"]}).encode()
urllib.request.urlopen(urllib.request.Request(api + id + "/response", answer, method="POST")).read()
signal.sigwait([signal.SIGTERM])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_its_instance_did_not_live_to_take_goes_to_another() {
    let world = World::new().await;
    let version = world.version("once", Runtime::Provided("al2023".into()), &[("bootstrap*", ONCE)]);
    let version = Arc::new(version);
    let launcher = world.launcher().expect("the launcher runs");
    let starts = || world.lines.lock().unwrap().iter().filter(|line| line.starts_with("START")).count();
    let mut seen = Vec::new();
    for n in 0..3 {
        let before = starts();
        // The instance of the one before is warm. Once it has this event, it goes.
        let goes = async {
            until(|| starts() > before).await;
            let is_program = |pid: &u32| command_line(*pid).windows(9).any(|word| word == b"bootstrap");
            for pid in descendants(launcher).iter().filter(|pid| n > 0 && is_program(pid)) {
                tell("-TERM", *pid);
            }
        };
        let (answer, ()) = tokio::join!(world.ok(&version, json!({ "n": n })), goes);
        assert_eq!(answer["n"], n);
        seen.push(answer["pid"].clone());
    }
    seen.dedup();
    assert_eq!((seen.len(), world.host.stats().cold_starts), (3, 3), "each had an instance of its own");
    let lines = world.lines.lock().unwrap().clone();
    let said = lines.iter().filter(|line| line.ends_with("which goes to another one")).count();
    let ends = lines.iter().filter(|line| line.starts_with("REPORT")).count();
    assert_eq!((said, ends), (2, 3), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_still_held_open_for_writing_starts_when_it_no_longer_is() {
    let world = World::new().await;
    let version = world.version("written", Runtime::Provided("al2023".into()), &[("bootstrap*", ONCE)]);
    world.ok(&Arc::new(version.clone()), json!({ "n": 1 })).await;
    // As a process does that was forked while the package was unpacked, until it turns into its own program.
    let program = find(&world.folder.path().join("cache"), "bootstrap").expect("it has been unpacked");
    let held = std::fs::OpenOptions::new().append(true).open(program).unwrap();
    let other = Arc::new(Version { id: "written-2".into(), ..version });
    let lets_go = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(held);
    };
    let (answer, ()) = tokio::join!(world.ok(&other, json!({ "n": 2 })), lets_go);
    assert_eq!(answer["n"], 2);
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| match entry.file_type().ok()? {
        kind if kind.is_dir() => find(&entry.path(), name),
        _ => (entry.file_name() == name).then(|| entry.path()),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_its_client_drops_has_its_end_in_the_log() {
    let world = World::new().await;
    let server = "
import http.server, os, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print('took it')
        time.sleep(float(self.headers['x-sleep']))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'\"done\"')
        self.close_connection = True
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Slow).serve_forever()
";
    let mut version = world.version("slow", Runtime::Web, &[("app.py", server)]);
    version.handler = "python3 -u app.py".into();
    let version = Arc::new(version);
    let post = |seconds: &str| {
        let body = mayfly_runtime::body::full("{}");
        http::Request::post("/").header("x-sleep", seconds).body(body).unwrap()
    };
    let (host, dropped) = (world.host.clone(), version.clone());
    let request = post("1");
    let waiting = tokio::spawn(async move { host.fetch(dropped, request, ("dropped".into(), "")).await });
    let has = |what: &str| world.lines.lock().unwrap().iter().any(|line| line.starts_with(what));
    until(|| has("took it")).await;
    waiting.abort();
    until(|| has("REPORT RequestId: dropped")).await;
    assert!(has("END RequestId: dropped"));
    let answer = world.host.fetch(version.clone(), post("0"), ("next".into(), "")).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_return_is_stopped() {
    let world = World::new().await;
    let code = "
import time
def handler(event, context):
    if event.get('hang'):
        while True: pass
    return 'fine'
";
    let version = Arc::new(world.python("hangs", code));
    // On the same instances; what does return gets its time, however slow the machine.
    let hurried = Arc::new(Version { timeout_ms: 1500, ..(*version).clone() });
    world.ok(&version, json!({})).await;
    let (kind, message) = world.error(&hurried, json!({ "hang": true })).await;
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Error: Task timed out after 1.50 seconds"), "{message}");
    assert_eq!(world.ok(&version, json!({})).await, "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_without_an_entry_point_says_so() {
    let world = World::new().await;
    let absent = world.version("absent", Runtime::Provided("al2023".into()), &[("readme", "")]);
    let denied = world.version("denied", Runtime::Provided("al2023".into()), &[("bootstrap", "#!/bin/sh\n")]);
    for version in [absent, denied] {
        let (kind, _) = world.error(&Arc::new(version), json!({})).await;
        assert_eq!(kind, "Runtime.InvalidEntrypoint");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_is_refused_rather_than_queued() {
    let world = World::new().await;
    let code = "
import time
def handler(event, context):
    time.sleep(event.get('for', 0))
    return 1
";
    let mut reserved = world.python("reserved", code);
    reserved.concurrency = Concurrency::Reserved(1);
    let mut free = world.python("free", code);
    free.concurrency = Concurrency::Shared(1);
    let (reserved, free) = (Arc::new(reserved), Arc::new(free));
    let work = async {
        let long = json!({ "for": 3 });
        tokio::join!(world.ok(&reserved, long.clone()), world.ok(&free, long))
    };
    let probe = async {
        while world.host.stats().in_flight < 2 {
            tokio::task::yield_now().await;
        }
        let third = world.invoke(&reserved, json!({})).await;
        assert!(matches!(third, Err(Refusal::ReservedConcurrency)), "{third:?}");
        let third = world.invoke(&free, json!({})).await;
        assert!(matches!(third, Err(Refusal::AccountConcurrency)), "{third:?}");
    };
    tokio::join!(work, probe);
    assert_eq!(world.ok(&free, json!({})).await, 1);
}

/// Sends a signal; whether there is such a process.
fn tell(signal: &str, pid: u32) -> bool {
    std::process::Command::new("/bin/kill").args([signal, &pid.to_string()]).status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_work_finish_and_leaves_nothing_behind() {
    let world = World::new().await;
    let code = "
import subprocess, time
def handler(event, context):
    subprocess.Popen(['/bin/sleep', '1000'])
    time.sleep(1)
    return 'done'
";
    let version = Arc::new(world.python("drained", code));
    let launcher = world.launcher().expect("the launcher runs");
    let (outcome, ()) = tokio::join!(world.invoke(&version, json!({})), async {
        while world.host.stats().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        world.drained().await;
    });
    assert_eq!(outcome.unwrap().result.unwrap(), b"\"done\"");
    assert!(matches!(world.invoke(&version, json!({})).await, Err(Refusal::Draining)));
    assert_eq!(world.launcher(), None);
    assert_eq!(descendants(launcher), Vec::<u32>::new());
    assert_eq!(control_groups(launcher), Vec::<std::path::PathBuf>::new());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(world.folder.path().to_str().unwrap()), "{mounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_launcher_is_replaced() {
    let world = World::new().await;
    let version = Arc::new(world.python("survivor", COUNTER));
    world.ok(&version, json!({})).await;
    let launcher = world.launcher().expect("the launcher runs");
    let sandboxes = descendants(launcher);
    assert!(!sandboxes.is_empty());
    assert!(tell("-KILL", launcher));
    // Its sandboxes end with it. The host takes leave of it when it knows that they are of no use any more.
    until(|| !sandboxes.iter().chain([&launcher]).any(|pid| exists(*pid))).await;
    assert_eq!(world.ok(&version, json!({})).await["calls"], 1);
    assert_ne!(world.launcher(), Some(launcher));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_is_reached_and_kept() {
    let world = World::new().await;
    let code = "
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    calls = 0
    def do_GET(self):
        Handler.calls += 1
        body = f'{self.path} {Handler.calls}'.encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";
    let mut version = world.version("server", Runtime::Web, &[("app.py", code)]);
    version.handler = "python3 app.py".into();
    let version = Arc::new(version);
    for call in 1..=2 {
        let request = http::Request::get("/a/path?q=1").body(mayfly_runtime::body::empty()).unwrap();
        let response =
            world.host.fetch(version.clone(), request, (format!("request-{call}"), "")).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert_eq!(body, format!("/a/path?q=1 {call}"));
        // The instance is free again a moment after the client has the body.
        while world.host.stats().idle == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(world.host.stats().cold_starts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_instance_that_serves_no_more_is_left_for_another() {
    let world = World::new().await;
    // Still alive after its first request, and nobody listens any more.
    let code = "
import http.server, os, time
served = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        served.append(self.path)
        self.server.socket.close()
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler)
while not served:
    server.handle_request()
time.sleep(600)
";
    let mut version = world.version("once", Runtime::Web, &[("app.py", code)]);
    version.handler = "python3 app.py".into();
    let version = Arc::new(version);
    for call in 1..=3 {
        let request = http::Request::get("/").body(mayfly_runtime::body::empty()).unwrap();
        let response =
            world.host.fetch(version.clone(), request, (format!("request-{call}"), "")).await.unwrap();
        assert_eq!(response.status(), 204);
        until(|| world.host.stats().idle == 1).await;
        assert_eq!(world.host.stats().cold_starts, call);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_makes_no_other_wait() {
    let world = World::new().await;
    let slow = "
import time
time.sleep(600)
";
    // More of them than starts that there may be at once.
    let count = std::thread::available_parallelism().map_or(1, usize::from) + 3;
    for number in 0..count {
        let version = Arc::new(world.python(&format!("slow{number}"), slow));
        let host = world.host.clone();
        let invocation = world.invocation(&version, &json!({}));
        tokio::spawn(async move { host.invoke(version, invocation).await });
    }
    while world.host.stats().in_flight < u32::try_from(count).unwrap() {
        tokio::task::yield_now().await;
    }
    let quick = Arc::new(world.python("quick", COUNTER));
    assert_eq!(world.ok(&quick, json!({})).await["calls"], 1);
    assert_eq!(world.host.stats().in_flight, u32::try_from(count).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_spare_is_replaced() {
    // An idle instance that stands still would die only when it is woken.
    let world = World::with(Limits { freeze_after_ms: 600_000, ..Limits::default() }).await;
    let version = Arc::new(world.python("spared", COUNTER));
    world.ok(&version, json!({})).await;
    let launcher = world.launcher().expect("the launcher runs");
    // Among its children are the instance and an interpreter that waits, which may die as well.
    let killed = descendants(launcher);
    for pid in &killed {
        tell("-KILL", *pid);
    }
    until(|| !killed.iter().any(|pid| exists(*pid))).await;
    let fresh = Arc::new(world.python("fresh", COUNTER));
    assert_eq!(world.ok(&fresh, json!({})).await["calls"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_is_compiled_before_its_first_start() {
    let world = World::new().await;
    let code = "
import os
def handler(event, context):
    return os.listdir('/var/runtime/mayfly_runtime/__pycache__')
";
    let seen = world.ok(&Arc::new(world.python("compiled", code)), json!({})).await;
    let names: Vec<&str> = seen.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for module in ["__init__", "client", "codec", "context", "faults", "logs"] {
        assert!(names.iter().any(|name| name.starts_with(module)), "{module} of {names:?}");
    }
}
