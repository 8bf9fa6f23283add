"""Waiting schedules by the hundred thousand: rows, and no more."""

import datetime
import json
import os
import time

import clients
import events
import machine
import mayfly
from table import p50, rate, us

MANY = int(os.environ.get("BENCH_SCHEDULES", 1_000_000))
CALLS = 500
ROUNDS = 20
STAMP = "import time\ndef handler(event, context):\n    print('began', event['number'], time.time_ns())\n"


def measure(table):
    with mayfly.server() as running:
        aws = running.client("lambda")
        arn = mayfly.create(aws, "stamp", {"app.py": STAMP})["FunctionArn"]
        mayfly.invoke(aws, "stamp", {"number": -1})
        body = schedule(arn, "at(2031-01-01T00:00:00)", {"number": 0})
        before = costs(running, body, "before"), lateness(running, arn, 0)
        memory = machine.resident_mib(running.process.pid)
        load = clients.signed(running, 64, "scheduler", "POST", "/schedules/many-@", body, first=1, last=MANY)
        # At the end the last is asked for again, and refused.
        made = load.requests - load.failed
        table.row(f"{made:,} schedules created, 64 clients",
                  f"{rate(load.per_second)}, p50 {us(load.p50)}, p99 {us(load.p99)}")
        table.row("memory after", f"{machine.resident_mib(running.process.pid):.0f} MiB", floor=f"before {memory:.0f} MiB")
        after = costs(running, body, "after"), lateness(running, arn, 1)
        for name, (wall, cpu) in after[0].items():
            first = before[0][name][1]
            table.row(f"{name}, {MANY:,} stored", f"p50 {us(wall)}, {us(cpu)} of processor",
                      floor=f"with none {us(first)}", ratio=cpu / first, target="does not grow", met=cpu <= 1.3 * first)
        table.row("a schedule's time to the start of its function, p50", us(after[1]), floor=f"with none {us(before[1])}")
        cpu, woken = machine.idle(running.process.pid)
        table.row("idle processor time", f"{cpu:.2f} ms/s, {woken:.1f} wakeups/s", target="none", met=cpu < 1)
        running.kill()
        running.start()
        table.row("start to ready after kill -9", f"{running.ready_seconds * 1000:.0f} ms")
        table.row("memory then", f"{machine.resident_mib(running.process.pid):.0f} MiB")


def schedule(arn, expression, event):
    target = {"Arn": arn, "RoleArn": mayfly.ROLE, "Input": json.dumps(event)}
    return clients.json_bytes(ScheduleExpression=expression, Target=target, FlexibleTimeWindow={"Mode": "OFF"},
                              ActionAfterCompletion="DELETE")


def costs(running, body, name):
    caller = clients.Caller(running)
    found = {}
    for what, method, content in (("CreateSchedule", "POST", body), ("GetSchedule", "GET", b""), ("DeleteSchedule", "DELETE", b"")):
        query = "?clientToken=x" if method == "DELETE" else ""
        ready = [caller.prepare("scheduler", method, f"/schedules/{name}-{n}{query}", content) for n in range(CALLS)]
        before, took = machine.precise_cpu_seconds(running.process.pid), []
        for call in ready:
            began = time.perf_counter()
            caller.send(call)
            took.append((time.perf_counter() - began) * 1e6)
        found[what] = p50(took), (machine.precise_cpu_seconds(running.process.pid) - before) * 1e6 / CALLS
    return found


def lateness(running, arn, turn):
    """Microseconds from the second that schedules name to the start of their function."""
    caller, due = clients.Caller(running), {}
    for number in range(turn * ROUNDS, (turn + 1) * ROUNDS):
        at = int(time.time()) + 3 + number % ROUNDS // 4
        text = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("at(%Y-%m-%dT%H:%M:%S)")
        caller.send(caller.prepare("scheduler", "POST", f"/schedules/due-{number}", schedule(arn, text, {"number": number})))
        due[number] = at * 1e6
    began = mayfly.until(lambda: events.stamps(running, due))
    return p50([began[number] - due[number] for number in due])
