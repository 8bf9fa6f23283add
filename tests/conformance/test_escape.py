"""Functions that try to get out, or to take what is others'. docs/isolation.md names these tests beside its promises.

Each attempt is made in sandboxes that a server of root makes for the purpose, in those whose interpreter had booted
before, in those that were forked from a template, and in those of an ordinary user. After each the server must answer, and the function of somebody
else must not have noticed.
"""

import contextlib
import json
import os
import platform
import socket
import subprocess
import threading

import guests
import images
import mayfly
import pytest
from mayfly import create, invoke

SPY = """
import ctypes, errno, fcntl, os, re, resource, signal, socket, struct, subprocess, sys, threading, time, urllib.request
calls = 0
def handler(event, context):
    global calls
    calls += 1
    return globals()[event["do"]](event)
def count(event):
    return calls
def outcome(what):
    try:
        what()
        return "allowed"
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except Exception as error:
        return type(error).__name__
def each(attempts):
    return {name: outcome(what) for name, what in attempts.items()}
def read(path): return lambda: open(path, "rb").read(1)
def write(path): return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
def files(event):
    reads = ["/etc/shadow", "/etc/gshadow", "/root/.ssh", "/home", "/var/lib", "/proc/1/environ", "/proc/1/mem",
             "/proc/1/root/etc/shadow", "/proc/1/cwd", "/proc/1/map_files", "/proc/kcore", "/dev/mem", "/dev/kmsg",
             "/dev/vda", "/dev/sda", "/dev/kvm", "/dev/fuse", "/dev/tty", "/dev/ptmx", "/sys/kernel", "/run", "/var/run/docker.sock"]
    writes = ["/evil", "/usr/evil", "/bin/sh", "/etc/passwd", "/etc/ld.so.preload", "/var/task/evil", "/var/task/app.py",
              "/opt/evil", "/var/runtime/bootstrap.py", "/dev/evil", "/proc/sys/kernel/core_pattern",
              "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/1/oom_score_adj",
              "/proc/self/uid_map", "/proc/1/uid_map", "/sys/fs/cgroup/evil"]
    devices = {"mknod": lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)),
               "mknod null": lambda: os.mknod("/tmp/null", 0o20600, os.makedev(1, 3))}
    hard = {"hard link out": lambda: os.link("/etc/passwd", "/tmp/passwd"),
            "hard link program": lambda: os.link("/usr/bin/env", "/tmp/env")}
    others = {path: read(path) if os.path.isfile(path) else (lambda path=path: os.listdir(path)) for path in event["paths"]}
    return {"read": each({path: read(path) for path in reads}), "write": each({path: write(path) for path in writes}),
            "other": each({**others, **devices, **hard})}
def own(event):
    for name, text in event["leave"].items(): open("/tmp/" + name, "w").write(text)
    return sorted(os.listdir("/tmp"))
def links(event):
    os.symlink("/etc/shadow", "/tmp/shadow"); os.symlink(event["path"], "/tmp/key"); os.symlink("/proc/1/root", "/tmp/out")
    return each({"shadow": read("/tmp/shadow"), "key": read("/tmp/key"), "out": lambda: os.listdir("/tmp/out"),
                 "dots": read("/tmp/../../../../../" + event["path"].lstrip("/"))})
def processes(event):
    libc = ctypes.CDLL(None, use_errno=True)
    def call(number, *arguments):
        if libc.syscall(number, *arguments) < 0: raise OSError(ctypes.get_errno(), "")
    first = os.pidfd_open(1)
    attempts = {"host": lambda: os.kill(event["pid"], 0), "descriptors": lambda: os.listdir("/proc/1/fd"),
                "take descriptor": lambda: call(438, first, 0, 0),
                "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -10),
                "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
                "files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100000, 100000)),
                "core": lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1)),
                "uid": lambda: os.setuid(0), "gid": lambda: os.setgid(0), "groups": lambda: os.setgroups([0]),
                "chroot": lambda: os.chroot("/tmp"), "host name": lambda: socket.sethostname("evil")}
    seen = each(attempts)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
        os.kill(1, number)
    pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
    held = {}
    for fd in os.listdir("/proc/self/fd"):
        try: held[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError: pass
    return {"attempts": seen, "pids": pids, "held": held}
def setuid(event):
    found = [os.path.join(folder, name) for folder in ("/usr/bin", "/usr/sbin", "/bin") if os.path.isdir(folder)
             for name in os.listdir(folder)
             if os.path.isfile(os.path.join(folder, name)) and os.stat(os.path.join(folder, name)).st_mode & 0o6000]
    script = "import os; print(os.geteuid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0])"
    open("/tmp/own.py", "w").write(script)
    import shutil
    shutil.copy(sys.executable, "/tmp/python")
    os.chmod("/tmp/python", 0o6755)
    ran = subprocess.run(["/tmp/python", "-S", "/tmp/own.py"], capture_output=True, text=True, env={"PYTHONHOME": sys.prefix, **os.environ})
    su = subprocess.run(["su", "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return {"found": len(found), "own": ran.stdout.split() or ran.stderr, "su": su.returncode, "uid": os.getuid()}
def network(event):
    def tcp(host, port): return lambda: socket.create_connection((host, port), timeout=2).close()
    def unix(name):
        def connect():
            with socket.socket(socket.AF_UNIX) as door: door.connect(name)
        return connect
    def datagram():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out: out.sendto(b"x", ("192.0.2.1", 53))
    def interface():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            fcntl.ioctl(door, 0x8914, struct.pack("16sH14x", b"lo", 0))
    def bind_low():
        with socket.socket() as door: door.bind(("127.0.0.1", 80))
    return each({"internet": tcp("192.0.2.1", 80), "metadata": tcp("169.254.169.254", 80), "ipv6": tcp("2001:db8::1", 80),
                 "server": tcp("127.0.0.1", event["server"]), "neighbour": tcp("127.0.0.1", event["neighbour"]),
                 "neighbour ipv6": tcp("::1", event["neighbour"]), "any address": tcp("0.0.0.0", event["neighbour"]),
                 "abstract": unix("\\0" + event["abstract"]), "unix": unix(event["unix"]),
                 "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
                 "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
                 "vsock": lambda: socket.socket(40, socket.SOCK_STREAM), "alg": lambda: socket.socket(38, 5),
                 "datagram": datagram, "interface": interface,
                 "name": lambda: socket.getaddrinfo("example.com", 80)})
def calls_of_the_kernel(event):
    run = subprocess.run(["/var/task/walls"], capture_output=True, text=True)
    return dict(line.split() for line in run.stdout.splitlines())
def memory(event):
    held = []
    while True: held.append(bytearray(b"x" * (8 << 20)))
def forks(event):
    made = []
    try:
        while len(made) < 3000:
            pid = os.fork()
            if pid == 0: time.sleep(600); os._exit(0)
            made.append(pid)
    except OSError as error:
        for pid in made: os.kill(pid, 9); os.waitpid(pid, 0)
        return [len(made), errno.errorcode[error.errno]]
    for pid in made: os.kill(pid, 9); os.waitpid(pid, 0)
    return [len(made), "no end"]
def disk(event):
    def fill(what):
        done = 0
        try:
            while done < 200000: what(done); done += 1
        except OSError as error: return [done, errno.errorcode[error.errno]]
        return [done, "no end"]
    os.mkdir("/tmp/many")
    inodes = fill(lambda n: os.close(os.open("/tmp/many/%d" % n, os.O_CREAT | os.O_WRONLY)))
    subprocess.run(["rm", "-rf", "/tmp/many"])
    out = open("/tmp/big", "wb", buffering=0)
    def more(_):
        if out.write(b"x" * (1 << 20)) < 1 << 20: raise OSError(errno.ENOSPC, "")
    size = fill(more)
    out.close(); os.unlink("/tmp/big")
    return {"inodes": inodes, "mib": size}
def descriptors(event):
    held = []
    try:
        while len(held) < 5000: held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        count = len(held)
        for fd in held: os.close(fd)
        return [count, errno.errorcode[error.errno]]
    return [len(held), "no end"]
def flood(event):
    line = "x" * 1023 + "\\n"
    until = time.time() + event["seconds"]
    while time.time() < until: sys.stdout.write(line)
    os.write(1, b"y" * (1 << 20))
    return "said"
def api(event):
    base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
    def post(path, body=b"x", headers={}):
        try:
            with urllib.request.urlopen(urllib.request.Request(base + path, body, headers, method="POST")) as answer: return answer.status
        except urllib.error.HTTPError as error: return error.code
        except OSError as error: return type(error).__name__
    seen = {"wrong id": post("invocation/not-mine/response"), "no id": post("invocation//response"),
            "path": post("../../etc/passwd"), "header": post("invocation/x/response", b"x", {"x-large": "y" * (1 << 20)}),
            "other operation": post("evil")}
    held = []
    for _ in range(200):
        one = socket.create_connection(("127.0.0.1", int(base.split(":")[2].split("/")[0])), timeout=60)
        one.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\\r\\ncontent-le")
        held.append(one)
    for one in held: one.close()
    return seen
def platform_connections(event):
    held = []
    for _ in range(event["count"]):
        one = socket.create_connection(("127.0.0.1", 4566), timeout=60)
        one.setblocking(False)
        held.append(one)
    def closed(one):
        try: return one.recv(1) == b""
        except BlockingIOError: return False
        except OSError: return True
    def left(): return len([one for one in held if not closed(one)])
    # Those that are too many are closed once they are accepted, and until then they look as the others do.
    until = time.time() + 60
    while left() > event["most"] and time.time() < until: time.sleep(0.05)
    # The others stay.
    time.sleep(1)
    return left()
def credentials(event):
    return {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
def as_other(event):
    import hashlib, hmac
    keys = event.get("keys") or credentials({})
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()); day = now[:8]
    token = keys["AWS_SESSION_TOKEN"]
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    names = "host;x-amz-date;x-amz-security-token"
    canonical = "\\n".join(["POST", "/", "", "host:127.0.0.1:4566", "x-amz-date:" + now, "x-amz-security-token:" + token, "", names, hashlib.sha256(body).hexdigest()])
    scope = day + "/us-east-1/sts/aws4_request"
    text = "\\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + keys["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (day, "us-east-1", "sts", "aws4_request"): key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    headers = {"x-amz-date": now, "x-amz-security-token": token, "content-type": "application/x-www-form-urlencoded",
               "authorization": "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (keys["AWS_ACCESS_KEY_ID"], scope, names, signature)}
    try:
        with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:4566/", body, headers)) as answer: return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error: return [error.code, error.read().decode()]
"""


class Walls:
    """A server, a spy in it, and somebody who must not notice."""

    def __init__(self, cloud, waited=False, image=False, forked=False):
        self.cloud = cloud
        self.aws = cloud.client("lambda")
        self.has = cloud.allows()
        files = {"app.py": SPY, **guests.executable(guests.c("walls"))}
        self.spy = "spy-image" if image else "spy"
        if image:
            images.create(cloud, self.spy, images.python_image(files), Timeout=240, MemorySize=512)
        elif forked:
            self.spy = "spy-forked:1"
            create(self.aws, "spy-forked", files, runtime="python3.12", Timeout=240, MemorySize=512,
                   SnapStart={"ApplyOn": "PublishedVersions"})
            self.aws.publish_version(FunctionName="spy-forked")
            self.aws.get_waiter("published_version_active").wait(
                FunctionName="spy-forked", Qualifier="1", WaiterConfig={"Delay": 1})
        else:
            create(self.aws, self.spy, files, Timeout=240, MemorySize=512)
        with contextlib.suppress(self.aws.exceptions.ResourceConflictException):
            create(self.aws, "victim", {"app.py": SPY}, Timeout=60)
        self.check()
        if waited:
            mayfly.until(lambda: cloud.metrics()["mayfly_prewarmed_interpreters"] == 1)
            self.try_("count")
            assert cloud.metrics()['mayfly_cold_starts_total{kind="prewarmed"}'] == 1
        if forked:
            before = cloud.metrics()['mayfly_cold_starts_total{kind="forked"}']
            self.try_("count")
            assert cloud.metrics()['mayfly_cold_starts_total{kind="forked"}'] == before + 1

    def try_(self, do, **more):
        answer, result = invoke(self.aws, self.spy, {"do": do, **more})
        self.check()
        return result

    def check(self):
        """The server lives, and the other function works."""
        assert self.cloud.process.poll() is None, self.cloud.tail()
        assert isinstance(invoke(self.aws, "victim", {"do": "count"})[1], int)


@pytest.fixture(scope="module", params=["fresh", "waited", "forked", "image", "ordinary", "ordinary-forked", "ordinary-image"])
def walls(request):
    image, forked = request.param.endswith("image"), request.param.endswith("forked")
    if request.param == "ordinary":
        yield Walls(request.getfixturevalue("ordinary"))
        return
    if request.param in ("ordinary-image", "ordinary-forked"):
        with mayfly.server(user=mayfly.ORDINARY if os.geteuid() == 0 else None) as running:
            skip_unless_it_forks(running, forked)
            yield Walls(running, image=image, forked=forked)
        return
    if os.geteuid() != 0:
        pytest.skip("the tests do not run as root")
    waited = request.param == "waited"
    with mayfly.server("" if waited else "[limits]\nprewarmed_instances = 0\n") as running:
        if waited and "memory-cgroup" not in running.allows():
            pytest.skip("without it a limit on memory cannot be set later, so nothing waits")
        skip_unless_it_forks(running, forked)
        yield Walls(running, waited, image, forked)


def skip_unless_it_forks(cloud, forked):
    if forked and "fork from a template" not in cloud.allows():
        pytest.skip("this machine cannot fork instances")


REFUSED = {"ENOENT", "EACCES", "EPERM", "EROFS", "ENXIO"}


def test_no_file_of_the_host_or_of_another_function_is_in_reach(walls):
    invoke(walls.aws, "victim", {"do": "own", "leave": {"secret": "victim's"}})
    data = walls.cloud.data
    paths = [str(data), str(data / "root-key.json"), str(data / "cache"), str(data / "blobs"), str(mayfly.ROOT),
             str(walls.cloud.config), "/proc/1/root/" + str(data)]
    seen = walls.try_("files", paths=paths)
    for kind, attempts in seen.items():
        for path, outcome in attempts.items():
            # What is not there at all says least.
            allowed = {"ENOENT", "ENOTDIR"} if path in paths[:-1] else REFUSED | {"EXDEV", "ENOTDIR", "EISDIR"}
            assert outcome in allowed, (kind, path, outcome)
    assert walls.try_("own", leave={"mine": "x"}).count("secret") == 0, "/tmp is private"
    links = walls.try_("links", path=str(data / "root-key.json"))
    assert links == {"shadow": "ENOENT", "key": "ENOENT", "out": "EACCES", "dots": "ENOENT"}


def test_no_process_of_the_host_is_in_reach_and_the_first_one_does_not_die(walls):
    before = walls.try_("count")
    seen = walls.try_("processes", pid=walls.cloud.process.pid)
    assert seen["attempts"].pop("host") == "ESRCH", "the host's process ids mean nothing in here"
    assert seen["attempts"].pop("uid") in ("EINVAL", "EPERM") and seen["attempts"].pop("gid") in ("EINVAL", "EPERM")
    assert seen["attempts"].pop("files") in ("ValueError", "EPERM") and seen["attempts"].pop("core") in ("ValueError", "EPERM")
    assert set(seen["attempts"].values()) <= {"EPERM", "EACCES"}, seen["attempts"]
    assert len(seen["pids"]) <= 3
    outside = [path for path in seen["held"].values() if not path.startswith(("/dev/null", "pipe:", "socket:", "/proc/", "anon_inode:", "/dev/urandom", "/var/"))]
    assert outside == [], seen["held"]
    assert walls.try_("count") > before, "signals to the first process are lost; the instance is the same"


def test_programs_with_another_users_rights_give_none(walls):
    seen = walls.try_("setuid")
    assert seen["su"] != 0, seen
    assert seen["own"] == [str(seen["uid"]), "0" * 16], seen


def test_the_platform_is_the_only_address(walls, tmp_path):
    neighbour = socket.create_server(("127.0.0.1", 0))
    abstract, name = socket.socket(socket.AF_UNIX), f"mayfly-neighbour-{os.getpid()}"
    abstract.bind(f"\0{name}")
    abstract.listen()
    path = str(tmp_path / "door")
    named = socket.socket(socket.AF_UNIX)
    named.bind(path)
    named.listen()
    server = int(walls.cloud.endpoint.rsplit(":", 1)[1])
    seen = walls.try_("network", server=server, neighbour=neighbour.getsockname()[1],
                      abstract=name, unix=path)
    for door in (neighbour, abstract, named):
        door.close()
    expected = {"internet": "ENETUNREACH", "metadata": "ENETUNREACH", "datagram": "ENETUNREACH", "unix": "ENOENT",
                "server": "ECONNREFUSED", "neighbour": "ECONNREFUSED", "any address": "ECONNREFUSED",
                "abstract": "ECONNREFUSED", "raw": "EPERM", "packet": "EPERM", "vsock": "EPERM", "alg": "EPERM",
                "interface": "EPERM"}
    assert {name: seen[name] for name in expected} == expected
    assert seen["ipv6"] != "allowed" and seen["neighbour ipv6"] != "allowed" and seen["name"] != "allowed", seen


def test_the_kernels_risky_calls_are_refused_by_every_way_in(walls):
    seen = walls.try_("calls_of_the_kernel")
    assert seen.pop("clone3") == "ENOSYS" and seen.pop("tiocsti") == "ENOTTY"
    if platform.machine() == "x86_64":
        assert seen.pop("int80") == "signal31", "a call by another interface of the processor ends the process"
        assert seen.pop("x32") in ("EPERM", "signal31")
    if walls.spy == "spy-forked:1":
        assert seen.pop("setns") == "ENOSYS", "for whoever traces the caller to decide, and nobody does"
    assert {name: outcome for name, outcome in seen.items() if outcome != "EPERM"} == {}


def test_a_memory_bomb_ends_alone(walls):
    error = walls.try_("memory")
    if "memory-cgroup" in walls.has:
        assert error["errorType"] == "Runtime.ExitError" and "signal: killed" in error["errorMessage"], error
    else:
        assert error["errorType"] == "MemoryError", error


def test_a_fork_bomb_is_bounded(walls):
    result = walls.try_("forks")
    if isinstance(result, dict):
        assert "signal: killed" in result["errorMessage"], result
    else:
        assert result[1] == "EAGAIN" and result[0] <= 1024, result


def test_tmp_is_bounded_in_bytes_and_in_files(walls):
    seen = walls.try_("disk")
    assert "inodes" in seen, seen
    assert seen["inodes"][1] == "ENOSPC" and seen["inodes"][0] <= 512 << 20 >> 12, seen
    assert seen["mib"][1] in ("ENOSPC", "ENOMEM") and seen["mib"][0] <= 512, seen


def test_descriptors_are_bounded(walls):
    assert walls.try_("descriptors")[1] == "EMFILE"


def test_a_flood_of_log_lines_does_not_hold_the_server_up(walls):
    told = []
    flood = threading.Thread(target=lambda: told.append(invoke(walls.cloud.client("lambda"), walls.spy, {"do": "flood", "seconds": 3})[1]))
    flood.start()
    while flood.is_alive():
        walls.check()
    assert told == ["said"]


def test_the_runtime_api_takes_no_wrong_word_and_no_crowd(walls):
    seen = walls.try_("api")
    assert seen["wrong id"] == 400 and seen["no id"] in (400, 404) and seen["path"] == 404 and seen["other operation"] == 404
    assert seen["header"] == 431 or isinstance(seen["header"], str), seen
    assert isinstance(walls.try_("count"), int)


def test_a_runtime_that_answers_twice_is_heard_once(walls):
    """Its second answer, one for an earlier event, and one before it asked: each is refused, and nobody gets it."""
    runtime = '''#!/bin/sh
exec python3 - <<'CODE'
import http.client, json, os
base = "/2018-06-01/runtime/invocation/"
def call(method, path, body=None):
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    c.request(method, base + path, body)
    r = c.getresponse()
    return r.status, r.read(), r.headers.get("Lambda-Runtime-Aws-Request-Id")
before = []
seen = []
while True:
    _, event, id = call("GET", "next")
    early = [call("POST", old + "/response", b'"stale"')[0] for old in before]
    answer = {"event": json.loads(event), "second": seen[:], "stale": early}
    call("POST", id + "/response", json.dumps(answer).encode())
    seen.append(call("POST", id + "/response", b'"second"')[0])
    before.append(id)
CODE
'''
    create(walls.aws, "twice", {"bootstrap*": runtime}, runtime="provided.al2023", handler="x", MemorySize=256,
           Timeout=60)
    assert invoke(walls.aws, "twice", 1)[1] == {"event": 1, "second": [], "stale": []}
    assert invoke(walls.aws, "twice", 2)[1] == {"event": 2, "second": [400], "stale": [400]}
    assert invoke(walls.aws, "twice", 3)[1] == {"event": 3, "second": [400, 400], "stale": [400, 400]}
    walls.check()


def test_a_functions_credentials_open_nothing_from_another_functions_sandbox(walls):
    _, keys = invoke(walls.aws, "victim", {"do": "credentials"})
    status, said = walls.try_("as_other")
    assert status == 200 and "spy" in said, said
    status, said = walls.try_("as_other", keys=keys)
    assert status == 403 and "victim" not in said, said
    forged = {**keys, "AWS_SESSION_TOKEN": keys["AWS_SESSION_TOKEN"][:-4] + "AAAA"}
    assert walls.try_("as_other", keys=forged)[0] == 403


def test_the_platforms_door_takes_no_crowd(walls):
    assert 1 <= walls.try_("platform_connections", count=700, most=256) <= 256

    def is_open():
        answer = walls.try_("as_other")
        return isinstance(answer, list) and answer[0] == 200

    # Again, as soon as the platform has noticed that they are gone.
    mayfly.until(is_open)


def test_packages_and_layers_with_links_to_elsewhere_are_refused(walls):
    """Absolute links, links upwards, and links that leave only by way of one another, in packages and layers alike."""
    secret = str(walls.cloud.data / "root-key.json")
    hostile = {
        "absolute": {"app.py": SPY, "key": secret},
        "upwards": {"app.py": SPY, "key": "../../../../etc/passwd"},
        "around": {"a/b/c/up": "../../..", "key": "a/b/c/up/../.."},
        "below": {"dir": "elsewhere", "dir/app.py": SPY},
    }
    for name, files in hostile.items():
        linked = {"key", "a/b/c/up", "dir"}
        archive = mayfly.package(files, links={path for path in files if path in linked})
        with pytest.raises(walls.aws.exceptions.InvalidParameterValueException):
            walls.aws.create_function(FunctionName="linked", Runtime="python3.11", Handler="app.handler",
                                      Role=mayfly.ROLE, Code={"ZipFile": archive})
        with pytest.raises(walls.aws.exceptions.InvalidParameterValueException):
            walls.aws.publish_layer_version(LayerName="linked", Content={"ZipFile": archive})
    walls.check()


def test_an_ordinary_users_server_says_which_walls_it_has(ordinary):
    """What is missing is missing in `doctor`, and `require` then keeps the server from starting."""
    checks = {check["name"]: check for check in ordinary.checks()}
    for always in ("namespaces", "seccomp", "user-namespace"):
        assert checks[always]["ok"], checks
    missing = [name for name in ("memory-cgroup", "cpu-cgroup", "pids-cgroup") if not checks[name]["ok"]]
    for name in missing:
        assert checks[name]["costs"], checks[name]
    aws = ordinary.client("lambda")
    create(aws, "rootless-node", {"index.mjs": "export const handler = async () => process.getuid()"},
           runtime="nodejs20.x", handler="index.handler")
    assert invoke(aws, "rootless-node")[1] == 993
    create(aws, "rootless-python", {"app.py": "import os\ndef handler(e, c): return [os.getuid(), os.listdir('/')]\n"})
    uid, root = invoke(aws, "rootless-python")[1]
    assert uid == 993 and "home" not in root
    if missing:
        user = mayfly.ORDINARY if os.geteuid() == 0 else None
        with pytest.raises(RuntimeError) as refused:
            with mayfly.server(f'require = ["{missing[0]}"]\n', user=user):
                pass
        assert missing[0] in str(refused.value)
    with pytest.raises(RuntimeError) as refused:
        with mayfly.server('require = ["moat"]\n'):
            pass
    assert "moat" in str(refused.value)
    with mayfly.server('require = ["namespaces", "seccomp"]\n') as strict:
        assert strict.stop() == 0
