"""Load: `wrk` for rates, plain or signed, and one signed connection for the time of single calls."""

import base64
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import json
import pathlib
import re
import subprocess
import tempfile

import machine
import mayfly

SIGNED = pathlib.Path(__file__).with_name("signed.lua")
REGION = "us-east-1"
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclasses.dataclass
class Load:
    """What `wrk` saw, and what the server spent on it."""

    per_second: float
    p50: float
    p99: float
    requests: int
    failed: int
    cpu_seconds: float

    @property
    def per_cpu_second(self):
        return self.requests / max(self.cpu_seconds, 0.01)


def wrk(url, connections, pid, seconds=4, script=()):
    before = machine.cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "--latency"]
    text = subprocess.run(
        [*command, *script[:2], url, *script[2:]], capture_output=True, text=True, check=True
    ).stdout
    spent = machine.cpu_seconds(pid) - before

    def number(pattern):
        found = re.search(pattern, text)
        return float(found.group(1)) * UNITS.get(found.groups()[-1], 1) if found else 0.0

    failed = number(r"Non-2xx or 3xx responses: (\d+)")
    for count in re.findall(r"(?:connect|read|write|timeout) (\d+)", text):
        failed += int(count)
    return Load(
        per_second=number(r"Requests/sec:\s+([\d.]+)"),
        p50=number(r"50%\s+([\d.]+)(us|ms|s|m)\b"),
        p99=number(r"99%\s+([\d.]+)(us|ms|s|m)\b"),
        requests=int(number(r"(\d+) requests in")),
        failed=int(failed),
        cpu_seconds=spent,
    )


def signed(running, connections, service, method, path, body=b"", first=1, last=0, seconds=4):
    """Numbered, signed requests; with `last`, exactly so many, however long they take."""
    key = running.key
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        script = [
            "-s",
            str(SIGNED),
            "--",
            key["access_key_id"],
            key["secret_access_key"],
            service,
            method,
            path,
            file.name,
            str(first),
            str(last),
        ]
        return wrk(running.endpoint, connections, running.process.pid, 600 if last else seconds, script)


class Caller:
    """One kept connection that signs. `prepare` costs the client, `send` is what is timed."""

    def __init__(self, running):
        self.key = running.key
        self.host = running.listen
        self.connection = http.client.HTTPConnection(running.listen)

    def prepare(self, service, method, path, body=b"", **headers):
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        bare, _, query = path.partition("?")
        more = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        signed = dict(
            sorted({"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now, **more}.items())
        )
        names = ";".join(signed)
        lines = [f"{name}:{value}" for name, value in signed.items()]
        canonical = "\n".join([method, bare, query, *lines, "", names, digest])
        scope = f"{now[:8]}/{REGION}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.key["secret_access_key"]).encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"{self.key['access_key_id']}/{scope}"
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return method, path, body, {**signed, "authorization": authorization}

    def send(self, prepared):
        method, path, body, headers = prepared
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content


def json_bytes(**members):
    return json.dumps(members).encode()


def base64_zip(files):
    return base64.b64encode(mayfly.package(files)).decode()
