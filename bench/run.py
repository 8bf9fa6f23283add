#!/usr/bin/env python3
"""Measures a release build beside its floors, in one run, and writes bench/results.md.

    bench/run.py MAYFLY_BINARY

Every row is a ratio to something bare on the same machine in the same minute, because machines differ and are noisy.
The clients are Python and share the processors with the server, so rates are lower bounds; `wrk`, if it is
installed, measures the gateway.
"""

import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
os.environ["MAYFLY"] = str(pathlib.Path(sys.argv[1]).resolve())
import mayfly  # noqa: E402  (the binary has to be named first)

NOTHING = "def handler(event, context):\n    return 1\n"
NODE = "export const handler = async () => 1\n"


def timed(what, count):
    """Microseconds of each call, sorted."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        what(number)
        took.append((time.perf_counter() - began) * 1e6)
    return sorted(took)


def p50(took):
    return statistics.median(took)


def p99(took):
    return took[min(len(took) - 1, int(len(took) * 0.99))]


def fsync_floor(folder):
    with open(pathlib.Path(folder) / "floor", "wb") as out:
        def one(_):
            out.write(b"x" * 4096)
            out.flush()
            os.fdatasync(out.fileno())
        return timed(one, 500)


def process_floor(command):
    return timed(lambda _: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 15)


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def cold(aws, name, files, runtime, handler, rounds=12):
    """Invocations that each need a new instance, and the Init Duration that their REPORT lines say."""
    mayfly.create(aws, name, files, runtime=runtime, handler=handler, Timeout=30)
    import base64
    took = []
    for number in range(rounds):
        aws.update_function_configuration(FunctionName=name, Description=str(number))
        aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        answer, _ = mayfly.invoke(aws, name, 1, LogType="Tail")
        report = base64.b64decode(answer["LogResult"]).decode()
        took.append(float(report.split("Init Duration: ")[1].split(" ms")[0]) * 1000)
    return sorted(took)


def wrk(url, connections):
    if not shutil.which("wrk"):
        return None
    command = ["wrk", "-t1", f"-c{connections}", "-d5s", "--latency", url]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    lines = [line.split() for line in text.splitlines()]
    rate = next((float(line[1]) for line in lines if line and line[0] == "Requests/sec:"), 0.0)
    half = next((line[1] for line in lines if line and line[0] == "50%"), "?")
    bad = next((" ".join(line) for line in lines if line and line[0].startswith("Non-2xx")), "")
    return rate, half, bad


def main():
    rows = []

    def row(what, value, floor, ratio):
        rows.append((what, value, floor, ratio))
        print(f"{what:<58}{value:>26}{floor:>34}{ratio:>9}", flush=True)

    with mayfly.server() as running:
        pid = running.process.pid
        row("start to ready, empty", f"{running.ready_seconds * 1000:.0f} ms", "-", "")
        row("idle memory, empty", f"{resident_mib(pid):.0f} MiB", "-", "")
        sync = fsync_floor(running.data)
        objects, functions = running.client("s3"), running.client("lambda")
        objects.create_bucket(Bucket="bench")
        health = __import__("http.client").client.HTTPConnection(running.listen)

        def ping(_):
            health.request("GET", "/_mayfly/health")
            health.getresponse().read()

        floor = timed(ping, 500)
        row("bare HTTP answer, Python client, p50", f"{p50(floor):.0f} us", "-", "")
        reads = timed(lambda _: objects.list_buckets(), 200)
        puts = timed(lambda n: objects.put_object(Bucket="bench", Key=f"k{n}", Body=b"x" * 100), 300)
        bare = f"read call {p50(reads):.0f} + fsync {p50(sync):.0f} us"
        row("durable PutObject of 100 B, boto3, p50", f"{p50(puts):.0f} us", bare,
            f"{p50(puts) / (p50(reads) + p50(sync)):.2f}")
        row("durable PutObject of 100 B, boto3, p99", f"{p99(puts):.0f} us", "-", "")

        mayfly.create(functions, "nothing", {"app.py": NOTHING})
        mayfly.invoke(functions, "nothing", 1)
        warm = timed(lambda _: mayfly.invoke(functions, "nothing", 1), 300)
        row("warm Invoke of Python, boto3, p50", f"{p50(warm):.0f} us", f"read call {p50(reads):.0f} us",
            f"{p50(warm) / p50(reads):.2f}")
        python = process_floor([sys.executable, "-S", "-c", "pass"])
        init = cold(functions, "coldpy", {"app.py": NOTHING}, "python3.11", "app.handler")
        row("cold start of Python (Init Duration), p50", f"{p50(init) / 1000:.1f} ms",
            f"python -S -c pass {p50(python) / 1000:.1f} ms", f"{p50(init) / p50(python):.2f}")
        node = process_floor(["node", "-e", "0"])
        init = cold(functions, "coldnode", {"index.mjs": NODE}, "nodejs20.x", "index.handler")
        row("cold start of Node (Init Duration), p50", f"{p50(init) / 1000:.1f} ms",
            f"node -e 0 {p50(node) / 1000:.1f} ms", f"{p50(init) / p50(node):.2f}")

        accepted = timed(lambda _: functions.invoke(
            FunctionName="nothing", InvocationType="Event", Payload=b"1")["Payload"].read(), 200)
        row("asynchronous Invoke accepted, boto3, p50", f"{p50(accepted):.0f} us", bare,
            f"{p50(accepted) / (p50(reads) + p50(sync)):.2f}")

        with concurrent.futures.ProcessPoolExecutor(4, initializer=connect, initargs=(running.endpoint, running.key)) as pool:
            began = time.perf_counter()
            done = sum(pool.map(put_many, range(4)))
            took = time.perf_counter() - began
        row("durable PutObject, 4 boto3 processes", f"{done / took:.0f} /s", f"{1e6 / p50(sync):.0f} fsync/s",
            f"{done / took * p50(sync) / 1e6:.2f}")

        wat = (ROOT / "examples" / "wasm-hello" / "hello.wat")
        if wat.exists():
            mayfly.create(functions, "wasm", {"hello.wat": wat.read_bytes()}, runtime="wasm", handler="hello.wat")
            url = functions.create_function_url_config(FunctionName="wasm", AuthType="NONE")["FunctionUrl"]
            functions.add_permission(FunctionName="wasm", StatementId="u", Action="lambda:InvokeFunctionUrl",
                                     Principal="*", FunctionUrlAuthType="NONE")
            by_path = f"{running.endpoint}/_url/{url.split('//')[1].split('.')[0]}/"
            for connections in (1, 64):
                floor = wrk(f"{running.endpoint}/_mayfly/health", connections)
                guest = wrk(by_path, connections)
                if floor and guest:
                    row(f"fresh Wasm instance through the gateway, {connections} connections",
                        f"{guest[0]:.0f} /s, p50 {guest[1]} {guest[2]}", f"bare answer {floor[0]:.0f} /s, p50 {floor[1]}",
                        f"{guest[0] / floor[0]:.2f}")
        row("memory after all of this", f"{resident_mib(pid):.0f} MiB", "-", "")
    write(rows)


CLIENT = None


def connect(endpoint, key):
    global CLIENT
    CLIENT = mayfly.boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1",
                                 aws_access_key_id=key["access_key_id"], aws_secret_access_key=key["secret_access_key"])


def put_many(worker):
    for number in range(500):
        CLIENT.put_object(Bucket="bench", Key=f"w{worker}-{number}", Body=b"x" * 100)
    return 500


def write(rows):
    cores = os.cpu_count()
    text = ["# Measured", "",
            f"One run of `make bench` on {cores} processors, clients and server together. Ratio: ours to the floor.", "",
            "| what | measured | floor in the same run | ratio |", "|---|---|---|---|"]
    text += ["| " + " | ".join(cells) + " |" for cells in rows]
    (ROOT / "bench" / "results.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
