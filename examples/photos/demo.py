#!/usr/bin/env python3
"""Starts Mayfly, deploys this folder, drives it once with real pictures, and leaves it running.

    demo.py MAYFLY_BINARY [--once]

With --once everything is stopped at the end.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def step(text, began):
    print(f"  {text:<58}{(time.monotonic() - began) * 1000:9.0f} ms", flush=True)


def main():
    binary, once = str(pathlib.Path(sys.argv[1]).resolve()), "--once" in sys.argv
    data = tempfile.mkdtemp(prefix="mayfly-demo-")
    began = time.monotonic()
    server = subprocess.Popen([binary, "up", "--data", data, "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=open(pathlib.Path(data) / "server.log", "wb"))
    line = server.stdout.readline().decode()
    if "ready at" not in line:
        sys.exit(f"the server did not start: see {data}/server.log")
    endpoint = line.split("ready at ")[1].split()[0]
    print(f"mayfly serves {endpoint}, its data is in {data}")
    step("start to ready", began)
    try:
        began = time.monotonic()
        deploy = [binary, "deploy", str(HERE), "--stack", "photos", "--data", data, "--json"]
        done = subprocess.run(deploy, stdout=subprocess.PIPE, check=True)
        step("deploy the stack", began)
        url = by_path(endpoint, find_url(json.loads(done.stdout)))
        subprocess.run([sys.executable, str(HERE / "drive.py"), url], check=True)
        print(f"\nOpen {url}")
        if not once:
            print("Ctrl-C stops the server.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()


def find_url(document):
    """The stack's output that names the page."""
    outputs = document.get("outputs") or document.get("Outputs") or {}
    urls = [value for value in outputs.values() if isinstance(value, str) and value.startswith("http")]
    if not urls:
        sys.exit(f"the stack has no URL among its outputs: {document}")
    return urls[0].rstrip("/") + "/"


def by_path(endpoint, url):
    """Browsers know that every name below localhost is this machine; other programs may not, so the API goes by path."""
    return f"{endpoint}/_api/{url.split('//')[1].split('.')[0]}/"


if __name__ == "__main__":
    main()
