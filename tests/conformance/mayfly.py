"""Starts and stops real servers, and makes what tests upload."""

import contextlib
import datetime
import io
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MAYFLY", ROOT / "target" / "debug" / "mayfly"))
ROLE = "arn:aws:iam::000000000000:role/any"
# How long anything may take on the slowest machine. Bounds are for failures alone, and so may be wide.
PATIENCE = 180


# A user without any right: the one that owns nothing.
ORDINARY = 65534


class Server:
    """One data directory and the process that serves it; with `user`, that user's rather than ours."""

    def __init__(self, directory, config="", user=None):
        self.user = user
        self.binary = BINARY
        self.flags = {}
        if user is not None:
            # The checkout may lie in a folder that only its owner may enter.
            self.binary = pathlib.Path(directory) / "mayfly"
            shutil.copy(BINARY, self.binary)
            os.chown(directory, user, user)
            self.flags = {"user": user, "group": user, "extra_groups": []}
        self.data = pathlib.Path(directory) / "data"
        self.config = pathlib.Path(directory) / "mayfly.toml"
        self.config.write_text(config)
        self.log = open(pathlib.Path(directory) / "server.log", "ab")
        self.process = None
        self.endpoint = None
        self.listen = "127.0.0.1:0"
        self.ready_seconds = None

    def start(self, env=None):
        began = time.monotonic()
        command = [self.binary, "up", "--data", self.data, "--listen", self.listen, "--config", self.config]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **(env or {})}, **self.flags
        )
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if readable else ""
        self.ready_seconds = time.monotonic() - began
        if "ready at " not in line:
            self.kill()
            raise RuntimeError(f"no ready line but {line!r}: {self.tail()}")
        self.endpoint = line.split("ready at ")[1].split()[0]
        # The same port again after a restart, so that clients stay valid.
        self.listen = self.endpoint.removeprefix("http://")
        return self

    def tail(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    def kill(self):
        """kill -9, as a power cut would."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def stop(self):
        """A polite stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    @property
    def key(self):
        return self.key_of(None)

    def key_of(self, account):
        """The key of an account, or of the first one."""
        name = f"root-key-{account}.json" if account else "root-key.json"
        return json.loads((self.data / name).read_text())

    @property
    def env(self):
        key = self.key
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
        }

    def client(self, service, account=None, **settings):
        key = self.key_of(account)
        config = Config(retries={"max_attempts": 0}, read_timeout=300, s3={"addressing_style": "path"}, **settings)
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            config=config,
        )

    def metrics(self):
        """The metrics page as name and labels -> value."""
        with urllib.request.urlopen(self.endpoint + "/_mayfly/metrics", timeout=PATIENCE) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def checks(self):
        """What `mayfly doctor` finds for the server's user."""
        command = [self.binary, "doctor", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **self.flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["checks"]

    def allows(self):
        """The names of what this machine allows."""
        return {check["name"] for check in self.checks() if check["ok"]}

    def run(self, *arguments, check=True, cwd=None):
        """A command of the mayfly binary against this server."""
        command = [str(BINARY), *map(str, arguments)]
        done = subprocess.run(command, env=self.env, cwd=cwd, capture_output=True, text=True, timeout=600)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}\n{done.stderr}")
        return done


@contextlib.contextmanager
def server(config="", user=None):
    directory = tempfile.mkdtemp(prefix="mayfly-test-")
    running = Server(directory, config, user)
    try:
        yield running.start()
    finally:
        running.kill()
        running.log.close()
        shutil.rmtree(directory, ignore_errors=True)


def package(files, links=()):
    """A zip archive of name -> text or bytes; names that end in * are executable, those of `links` symbolic links."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name.rstrip("*"), (2020, 1, 1, 0, 0, 0))
            info.external_attr = (0o120777 if name in links else 0o755 if name.endswith("*") else 0o644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def create(aws, name, files, runtime="python3.11", handler="app.handler", **more):
    made = aws.create_function(
        FunctionName=name, Runtime=runtime, Handler=handler, Role=ROLE, Code={"ZipFile": package(files)}, **more
    )
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": PATIENCE})
    return made


def invoke(aws, name, event=None, **more):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    body = answer["Payload"].read()
    return answer, json.loads(body) if body else None


def logged(logs, function, pattern=""):
    """The lines that a function has logged; none while there is no group, which the first line brings."""
    lines, more = [], {}
    while True:
        try:
            page = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}", filterPattern=pattern, **more)
        except logs.exceptions.ResourceNotFoundException:
            return []
        lines += [event["message"].rstrip() for event in page["events"]]
        if "nextToken" not in page:
            return lines
        more = {"nextToken": page["nextToken"]}


def until(condition, seconds=PATIENCE, every=0.05):
    """Waits for what happens in the background; the bound is for failures alone."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {condition}")
        time.sleep(every)


def family(pid):
    """A process and all its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def in_seconds(seconds):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)


def kill_rounds(running, rounds, ways, workers=2, at_least=5, broken=(BotoCoreError, ClientError)):
    """Runs a load while the server is killed again and again: two threads for each way, which is called with a key
    of its own `ROUND-WORKER-NUMBER` and the number. Which keys each way has acknowledged, in the order of each thread.

    A round is over once each way has flowed, so the kill comes in the middle of its work."""
    acknowledged = {name: [] for name in ways}

    def work(round, worker, name, stop, flowing):
        for number in range(100_000):
            key = f"{round}-{worker}-{number}"
            try:
                ways[name](key, number)
            except broken:
                return
            acknowledged[name].append(key)
            if number >= at_least:
                flowing.set()
            if stop.is_set():
                return

    for round in range(rounds):
        stop, flowing = threading.Event(), {name: threading.Event() for name in ways}
        threads = [threading.Thread(target=work, args=(round, worker, name, stop, flowing[name]))
                   for name in ways for worker in range(workers)]
        for thread in threads:
            thread.start()
        assert all(event.wait(PATIENCE) for event in flowing.values()), running.tail()
        running.kill()
        stop.set()
        for thread in threads:
            thread.join()
        running.start()
    return acknowledged
