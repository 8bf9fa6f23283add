#!/usr/bin/env python3
"""Times `s3s` and our own S3 with the same signed requests from the same client, in turns.

    cargo build --release && compare.py MAYFLY_BINARY      prints a Markdown table
"""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "tests" / "conformance")]
os.environ["MAYFLY"] = str(pathlib.Path(sys.argv[1]).resolve())

import clients  # noqa: E402  (the binary has to be named first)
import mayfly  # noqa: E402

SERVER = HERE / "target" / "release" / "mayfly-bench-s3s"
SMALL, LARGE = b"x" * 100, b"x" * 1024 * 1024
ROUNDS = 3
#: What is asked, how often at once, and with which body.
KINDS = [
    ("PutObject of 100 B", 64, "PUT", "/bench/small-@", SMALL),
    ("GetObject of 100 B", 64, "GET", "/bench/small-1", b""),
    ("ListObjectsV2 of 100", 16, "GET", "/bench?list-type=2&max-keys=100&start-after=small-1", b""),
    ("PutObject of 1 MiB", 8, "PUT", "/bench/large-1", LARGE),
    ("GetObject of 1 MiB", 8, "GET", "/bench/large-1", b""),
]


@dataclasses.dataclass
class Other:
    """As much of a running server as the clients want to know."""

    process: subprocess.Popen
    endpoint: str
    key: dict


def main():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}
    process = subprocess.Popen([SERVER, str(port), *key.values()])
    try:
        other = Other(process, f"http://127.0.0.1:{port}", key)
        with mayfly.server() as ours:
            ours.client("s3").create_bucket(Bucket="bench")
            compare({"mayfly": ours, "s3s": other})
    finally:
        process.kill()
        process.wait()


def compare(servers):
    print("| requests for each second of the server's processor time; p50 | mayfly | s3s | ratio |\n|---|---|---|---|")
    for what, connections, method, path, body in KINDS:
        best = {}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                load = clients.signed(server, connections, "s3", method, path, body, seconds=2)
                if load.failed:
                    raise SystemExit(f"{name}: {what}: {load.failed} of {load.requests} failed")
                if name not in best or load.per_cpu_second > best[name].per_cpu_second:
                    best[name] = load
        cells = [f"{load.per_cpu_second:,.0f}; {load.p50 / 1000:.2f} ms" for load in best.values()]
        ratio = best["mayfly"].per_cpu_second / best["s3s"].per_cpu_second
        print(f"| {what}, {connections} connections | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
