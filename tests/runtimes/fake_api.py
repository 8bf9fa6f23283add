"""A stand-in for the platform's side of the Lambda Runtime API, and a function process that talks to it.

It hands out the events that a test gives it and records what comes back, so that each language's client is
driven through the same door as on the platform. Standard library only.
"""

import http.client
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = "/2018-06-01/runtime/"
# A bound on waits for the process under test, not a pace: a healthy client answers within milliseconds.
PATIENCE_S = 180
# How long a function has for an event. The time that its process takes to start counts.
TIMEOUT_MS = 300_000
TRACE_ID = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class Outcome:
    """What the client handed in: `kind` is response, error or init-error."""

    def __init__(self, kind, request_id, headers, body):
        self.kind = kind
        self.request_id = request_id
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "Outcome(%s, %s, %r)" % (self.kind, self.request_id, self.body[:500])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        api = self.server.api
        if self.path != PREFIX + "invocation/next":
            return self.answer(404, b"")
        api.ready_at.put(time.perf_counter())
        headers, body = api.events.get()
        if headers is None:
            self.close_connection = True
            return None
        self.answer(200, body, headers)
        return None

    def do_POST(self):
        api = self.server.api
        body, trailers = self.body()
        parts = self.path[len(PREFIX) :].split("/")
        if self.path == PREFIX + "init/error":
            outcome = Outcome("init-error", None, dict(self.headers), body)
        else:
            outcome = Outcome(parts[2], parts[1], {**self.headers, **trailers}, body)
        status = api.refuse.pop(0) if api.refuse else 202
        if api.drop_after_post:
            self.close_connection = True
        if api.holds and self.headers.get("Mayfly-Next") == "wait":
            api.outcomes.put(outcome)
            headers, body = api.events.get()
            if headers is None:
                self.close_connection = True
            else:
                self.answer(200, body, headers)
            return
        self.answer(status, b'{"status":"OK"}\n')
        api.outcomes.put(outcome)

    def body(self):
        """The body, in either framing, and its trailers."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"])), {}
        body, size = b"", None
        while size != 0:
            size = int(self.rfile.readline(), 16)
            body += self.rfile.read(size)
            if size:
                self.rfile.readline()
        return body, dict(http.client.parse_headers(self.rfile))

    def answer(self, status, body, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    # A client that is killed leaves its connection in any state; that is no news.
    def handle_error(self, request, client_address):
        pass


class Function:
    """One function process. `files` are its package, `command` starts the client under test."""

    def __init__(self, command, files, handler, environment=None):
        self.events = queue.Queue()
        self.outcomes = queue.Queue()
        self.ready_at = queue.Queue()
        self.refuse = []
        self.drop_after_post = False
        # Whether a result is answered with the next event, if its sender waits for that.
        self.holds = False
        self.count = 0
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.api = self
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.folder = tempfile.mkdtemp(prefix="mayfly-runtime-")
        for name, text in files.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        self.log_path = os.path.join(self.folder, ".log")
        with open(self.log_path, "wb") as log:
            self.spawned_at = time.perf_counter()
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(handler, environment),
                stdout=log,
                stderr=log,
            )

    def _environment(self, handler, more):
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % self.server.server_port,
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": self.folder,
            "AWS_LAMBDA_FUNCTION_NAME": "photos",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/photos",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]abc",
            "AWS_REGION": "us-east-1",
        }
        environment.update(more or {})
        return environment

    def send(self, event, timeout_ms=TIMEOUT_MS, **headers):
        """Puts an event in line; answers its request id."""
        self.count += 1
        request_id = "00000000-0000-4000-8000-%012d" % self.count
        given = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + timeout_ms),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:photos",
            "Lambda-Runtime-Trace-Id": TRACE_ID,
        }
        for name, value in headers.items():
            given[name.replace("_", "-")] = value
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.events.put(({k: v for k, v in given.items() if v is not None}, body))
        return request_id

    def outcome(self):
        return self.outcomes.get(timeout=PATIENCE_S)

    def invoke(self, event=None, **options):
        self.send(event, **options)
        return self.outcome()

    def start_ms(self):
        """From spawn to the first request for an event."""
        return (self.ready_at.get(timeout=PATIENCE_S) - self.spawned_at) * 1000

    def exit_code(self):
        return self.process.wait(timeout=PATIENCE_S)

    def log(self):
        with open(self.log_path, encoding="utf-8", newline="") as file:
            return file.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.events.put((None, b""))
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)
