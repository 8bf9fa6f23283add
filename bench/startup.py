"""Start-up and idleness.

A server is started over and over with what it has stored, stopped politely and killed, and then left alone.
"""

import statistics

import clients
import machine
import mayfly
from table import ms

FUNCTIONS = 10_000
STARTS = 7


def measure(table):
    with mayfly.server() as running:
        pid = running.process.pid
        first = running.ready_seconds * 1000
        table.row("first start to ready", ms(first), target="100 ms", met=first <= 100)
        cpu, woken = machine.idle(pid, 3)
        table.row("idle memory, empty", mib(pid), target="30 MiB", met=machine.resident_mib(pid) <= 30)
        table.row(
            "idle processor time, empty", f"{cpu:.2f} ms/s, {woken:.1f} wakeups/s", target="none", met=cpu < 1
        )
        empty = starts(running, running.stop)
        table.row("start to ready, empty", ms(empty), target="100 ms", met=empty <= 100)

        store_functions(running)
        table.row(f"memory after {FUNCTIONS:,} CreateFunction", mib(running.process.pid))
        full = starts(running, running.stop)
        table.row(
            f"start to ready, {FUNCTIONS:,} functions",
            ms(full),
            floor=f"empty {ms(empty)}",
            ratio=full / empty,
            target="300 ms",
            met=full <= 300,
        )
        killed = starts(running, running.kill)
        table.row("the same after kill -9", ms(killed), floor=f"empty {ms(empty)}", ratio=killed / empty)
        pid = running.process.pid
        cpu, woken = machine.idle(pid)
        table.row(
            f"idle memory, {FUNCTIONS:,} functions, none warm",
            mib(pid),
            target="150 MiB",
            met=machine.resident_mib(pid) <= 150,
        )
        table.row(
            "idle processor time, the same",
            f"{cpu:.2f} ms/s, {woken:.1f} wakeups/s",
            target="none",
            met=cpu < 1,
        )


def mib(pid):
    return f"{machine.resident_mib(pid):.0f} MiB"


def starts(running, end):
    """Milliseconds from the start of the process to its ready line, in the middle of several starts."""
    took = []
    for _ in range(STARTS):
        end()
        running.start()
        took.append(running.ready_seconds * 1000)
    return statistics.median(took)


def store_functions(running):
    code = clients.base64_zip({"app.py": "def handler(event, context):\n    return 1\n"})
    body = clients.json_bytes(
        FunctionName="f@",
        Runtime="python3.11",
        Role=mayfly.ROLE,
        Handler="app.handler",
        Code={"ZipFile": code},
    )
    # Every creation counts in one row of the account, so many at once would only lose against each other.
    clients.signed(running, 2, "lambda", "POST", "/2015-03-31/functions", body, last=FUNCTIONS)
    functions = running.client("lambda")
    mayfly.until(lambda: functions.get_account_settings()["AccountUsage"]["FunctionCount"] == FUNCTIONS)
    for name in ("f1", f"f{FUNCTIONS}"):
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
