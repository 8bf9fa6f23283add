//! What a function can see and do from inside.

use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs `code`, whose `probe()` gives what is to be looked at.
async fn probe(name: &str, code: &str) -> Value {
    let world = World::new().await;
    let code = format!("{code}\ndef handler(event, context):\n    return probe()\n");
    world.ok(&Arc::new(world.python(name, &code)), json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_sees_only_itself() {
    let seen = probe(
        "alone",
        "
import os, socket
def probe():
    status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
    return {'pids': [int(p) for p in os.listdir('/proc') if p.isdigit()], 'uid': os.getuid(),
            'host': socket.gethostname(), 'caps': status['CapEff'], 'bounding': status['CapBnd'],
            'privileges': status['NoNewPrivs'], 'seccomp': status['Seccomp'],
            'interfaces': [name for _, name in socket.if_nameindex()]}
",
    )
    .await;
    // Its own process and the sandbox's first one.
    assert_eq!(seen["pids"].as_array().unwrap().len(), 2, "{seen}");
    assert_ne!(seen["uid"], 0);
    assert_eq!(seen["host"], "sandbox");
    assert_eq!(seen["caps"], "0000000000000000");
    assert_eq!(seen["bounding"], "0000000000000000");
    assert_eq!((seen["privileges"].as_str(), seen["seccomp"].as_str()), (Some("1"), Some("2")));
    assert_eq!(seen["interfaces"], json!(["lo"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_host_shows_and_none_can_be_written() {
    let seen = probe(
        "files",
        "
import os
def attempt(path):
    try:
        open(path, 'w').close()
        return 'written'
    except OSError as error:
        return error.strerror
def visible(path):
    return os.path.exists(path)
def probe():
    return {'root': sorted(os.listdir('/')), 'home': visible('/home') or visible('/var/lib'),
            'shadow': visible('/etc/shadow'), 'passwd': open('/etc/passwd').read().count('\\n'),
            'writes': {p: attempt(p) for p in ['/new', '/usr/new', '/etc/new', '/var/task/new', '/var/task/app.py',
                                               '/var/runtime/new', '/dev/new', '/proc/sys/kernel/hostname']},
            'tmp': attempt('/tmp/new'),
            'old_root': [os.path.exists('/proc/1/root/home'), os.access('/proc/1/fd', os.R_OK)]}
",
    )
    .await;
    assert_eq!(seen["home"], false, "{seen}");
    assert_eq!(seen["shadow"], false);
    assert_eq!(seen["passwd"], 2);
    assert_eq!(seen["tmp"], "written");
    assert_eq!(seen["old_root"], json!([false, false]), "{seen}");
    for (path, outcome) in seen["writes"].as_object().unwrap() {
        assert_ne!(outcome, "written", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_system_calls_are_refused() {
    let seen = probe(
        "calls",
        "
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(number, *arguments)
    return 'allowed' if done >= 0 else errno.errorcode[ctypes.get_errno()]
def socket(*arguments):
    return call(41, *arguments)
def probe():
    if platform.machine() != 'x86_64': return None
    NEWUSER, SIGCHLD = 0x10000000, 17
    return {
        'clone into a user namespace': call(56, NEWUSER | SIGCHLD, 0, 0, 0, 0),
        'unshare': call(272, NEWUSER), 'setns': call(308, 0, 0), 'mount': call(165, 0, 0, 0, 0, 0),
        'ptrace': call(101, 0, 0, 0, 0), 'bpf': call(321, 0, 0, 0), 'keyctl': call(250, 0, 0, 0, 0, 0),
        'perf': call(298, 0, 0, 0, 0, 0), 'userfaultfd': call(323, 0), 'io_uring': call(425, 1, 0),
        'x32 ptrace': call(0x40000000 + 521, 0, 0, 0, 0), 'x32 mount': call(0x40000000 + 165, 0, 0, 0, 0, 0),
        'packet socket': socket(17, 3, 0), 'vsock': socket(40, 1, 0), 'alg socket': socket(38, 5, 0),
        'audit netlink': socket(16, 3, 9), 'raw socket': socket(2, 3, 1),
        'clone3': call(435, 0, 0)}
",
    )
    .await;
    if seen.is_null() {
        return;
    }
    for (what, outcome) in seen.as_object().unwrap() {
        let expected = if what == "clone3" { "ENOSYS" } else { "EPERM" };
        assert_eq!(outcome, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_is_the_only_network() {
    let seen = probe(
        "net",
        "
import os, socket, urllib.request
def attempt(address):
    try:
        socket.create_connection(address, timeout=3).close()
        return 'connected'
    except OSError as error:
        return type(error).__name__
def probe():
    return {'platform': urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL']).read().decode(),
            'internet': attempt(('192.0.2.1', 80)), 'elsewhere': attempt(('127.0.0.1', 22))}
",
    )
    .await;
    assert_eq!(seen["platform"], "platform of net");
    assert_ne!(seen["internet"], "connected");
    assert_ne!(seen["elsewhere"], "connected");
}
