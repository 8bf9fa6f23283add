"""Waiting messages by the million: what a queue costs that holds them, beside one that is empty."""

import os
import subprocess

import brokers
import machine
import mayfly
from queues import BYTES, Ours
from table import rate, us

MANY = int(os.environ.get("BENCH_MESSAGES", 10_000_000))
CALLS = 3000


def measure(table):
    with mayfly.server() as running:
        empty, full = Ours(running, "empty"), Ours(running, "full")
        before = costs(empty)
        memory = machine.resident_mib(running.process.pid)
        loaded = brokers.load(full, "send", 64, 10, 0, MANY, BYTES, full.more)
        failed = f", {loaded['failed']} failed" if loaded["failed"] else ""
        table.row(
            f"{MANY:,} messages of {BYTES} B sent, 64 clients, 10 a call",
            f"{rate(loaded['messages'] / loaded['seconds'])}, {loaded['seconds']:.0f} s{failed}",
        )
        peak = machine.status(running.process.pid, "VmHWM") / 1024
        table.row("memory after, and at most", f"{machine.resident_mib(running.process.pid):.0f} MiB, {peak:.0f} MiB",
                  floor=f"before {memory:.0f} MiB")
        used = subprocess.run(["du", "-sm", running.data], capture_output=True, text=True, check=True).stdout
        table.row("on the disk", f"{int(used.split()[0]):,} MiB", floor=f"bodies {MANY * BYTES / 2**20:,.0f} MiB")
        with_many, beside = costs(full), costs(empty)
        for name, (wall, cpu) in with_many.items():
            other = beside[name]
            table.row(
                f"{name}, {MANY:,} waiting", f"p50 {us(wall)}, {us(cpu)} of processor",
                floor=f"in an empty queue beside it {us(other[1])}, before {us(before[name][1])}",
                ratio=cpu / other[1], target="does not grow", met=cpu <= 1.3 * other[1],
            )
        running.kill()
        running.start()
        table.row("start to ready after kill -9", f"{running.ready_seconds * 1000:.0f} ms")
        table.row("memory then", f"{machine.resident_mib(running.process.pid):.0f} MiB")
        full.pid = empty.pid = running.process.pid
        for name, (wall, cpu) in costs(full).items():
            table.row(f"{name}, {MANY:,} waiting, after the start", f"p50 {us(wall)}, {us(cpu)} of processor")


def costs(queue):
    """Name -> microseconds of a call, and of the server's processor for it, from one client."""
    found = {}
    for name, what in (("send", "send"), ("receive and delete", "take")):
        before = machine.precise_cpu_seconds(queue.pid)
        seen = brokers.load(queue, what, 1, 1, 0, CALLS, BYTES, queue.more)
        found[name] = seen["p50"], (machine.precise_cpu_seconds(queue.pid) - before) * 1e6 / CALLS
    return found
