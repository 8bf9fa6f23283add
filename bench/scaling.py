"""Scaling: many functions once, bursts of one, and what an idle instance costs."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import time

import gateway
import machine
import mayfly
import tools
from table import ms, p50, p99

DIFFERENT = int(os.environ.get("BENCH_FUNCTIONS", "1000"))
BURST = 200
GUESTS = 10_000
WAIT = 0.5
WAITS = "import time\ndef handler(event, context):\n    time.sleep(event['for'])\n    return 1\n"
SPINS = (
    "import threading\ndef spin():\n    while True: pass\n"
    "threading.Thread(target=spin, daemon=True).start()\ndef handler(event, context):\n    return 1\n"
)


def measure(table):
    different(table)
    burst(table)
    guests(table)
    still(table)


def call(aws, name, seconds=0):
    """Milliseconds of one invocation; it must succeed."""
    began = time.perf_counter()
    answer = aws.invoke(FunctionName=name, Payload=json.dumps({"for": seconds}))
    body = answer["Payload"].read()
    assert body == b"1", body
    return (time.perf_counter() - began) * 1000


def descendants(pid):
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        children += (task / "children").read_text().split()
    for child in set(map(int, children)):
        yield child
        yield from descendants(child)


def pss_mib(pid):
    """Memory of a process with its part of what it shares."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def held(running):
    return sum(pss_mib(pid) for pid in descendants(running.process.pid))


def different(table):
    with mayfly.server() as running:
        aws = running.client("lambda")
        names = [f"f{number}" for number in range(DIFFERENT)]
        for name in names:
            aws.create_function(
                FunctionName=name, Runtime="python3.11", Handler="app.handler", Role=mayfly.ROLE,
                Code={"ZipFile": mayfly.package({"app.py": WAITS + f"# {name}\n"})},
            )
        aws.get_waiter("function_updated_v2").wait(FunctionName=names[-1], WaiterConfig={"Delay": 1})
        before, server = held(running), machine.resident_mib(running.process.pid)
        took = [call(aws, name) for name in names]
        table.row(f"{DIFFERENT:,} different Python functions, each once, p50", ms(p50(took)))
        table.row("the same, p99", ms(p99(took)))
        each = (held(running) - before) / DIFFERENT
        table.row("memory per idle instance, its processes", f"{each:.2f} MiB")
        own = (machine.resident_mib(running.process.pid) - server) / DIFFERENT
        table.row("the same, in the server", f"{own * 1024:.0f} KiB")


def burst(table):
    with mayfly.server() as running:
        aws = running.client("lambda", max_pool_connections=BURST)
        mayfly.create(aws, "burst", {"app.py": WAITS})
        alone = call(aws, "burst", WAIT)
        with concurrent.futures.ThreadPoolExecutor(BURST) as pool:
            began = time.perf_counter()
            took = list(pool.map(lambda _: call(aws, "burst", WAIT), range(BURST)))
            whole = (time.perf_counter() - began) * 1000
        table.row(
            f"1 -> {BURST} Python at once, each {WAIT} s: until the last has its answer", ms(whole),
            floor=f"one alone {ms(alone)}", ratio=whole / alone,
        )
        table.row("the same, p50 of an answer", ms(p50(took)), floor=f"one alone {ms(alone)}", ratio=p50(took) / alone)


def guests(table):
    """From ten guests at once to thousands, each of which waits a second."""
    limits = f"[limits]\naccount_concurrency = {GUESTS + 100}\nnode_instances = {GUESTS}\n"
    with mayfly.server(limits) as running:
        url = gateway.deploy(running, "wait.wat", pathlib.Path(__file__).with_name("wait.wat").read_bytes())
        path = url.removeprefix(running.endpoint)
        few = tools.burst(running.listen, path, 10)
        before = machine.precise_cpu_seconds(running.process.pid)
        many = tools.burst(running.listen, path, GUESTS)
        spent = machine.precise_cpu_seconds(running.process.pid) - before
        peak = machine.status(running.process.pid, "VmHWM") / 1024
        table.row(
            f"10 -> {GUESTS:,} Wasm at once, each waiting 1 s: until the last has its answer",
            ms(many["last_ms"]), floor=f"ten {ms(few['last_ms'])}", ratio=many["last_ms"] / few["last_ms"],
            target="2 s, none lost, none failed",
            met=many["last_ms"] <= 2000 and many["ok"] == GUESTS,
        )
        table.row(
            "the same: answered; failed; lost; p50",
            f"{many['ok']:,}; {many['failed']:,}; {many['lost']:,}; {ms(many['p50_ms'])}",
        )
        each = f"{spent / GUESTS * 1e6:.0f} us, {peak / GUESTS * 1024:.0f} KiB"
        table.row("the same: the server's processor time and memory for each", each)


def still(table):
    """The processor time of an idle function whose thread never stops."""
    used = {}
    for name, after in [("going on", 10**9), ("standing still", 0)]:
        with mayfly.server(f"[limits]\nfreeze_after_ms = {after}\n") as running:
            aws = running.client("lambda")
            mayfly.create(aws, "spins", {"app.py": SPINS}, MemorySize=1769)
            call(aws, "spins")
            # The pool looks at what is idle every other second.
            time.sleep(3)
            pids = list(descendants(running.process.pid))
            before = sum(map(machine.precise_cpu_seconds, pids))
            time.sleep(2)
            used[name] = (sum(map(machine.precise_cpu_seconds, pids)) - before) * 500
    table.row(
        "an idle function with a busy thread", f"{used['standing still']:.2f} ms/s",
        floor=f"not frozen {used['going on']:.0f} ms/s", target="none", met=used["standing still"] < 1,
    )
