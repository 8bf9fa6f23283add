"""What is stored: no operation's cost may grow with it.

The same calls with nothing, with ten thousand and with many objects in the bucket. The server's processor
time for a call is the figure to trust; the call's own time has the noise of the machine in it.
"""

import os
import random
import statistics

import clients
import machine
import mayfly
from table import p50, timed, us

#: Under two minutes of storing on two processors.
MANY = int(os.environ.get("BENCH_OBJECTS", 1_000_000))
CALLS = 1500


def measure(table):
    with mayfly.server() as running:
        running.client("s3").create_bucket(Bucket="grown")
        mayfly.create(
            running.client("lambda"), "sink", {"app.py": "def handler(event, context):\n    pass\n"}
        )
        stored, before = 0, {}
        for objects in (0, 10_000, MANY):
            if objects > stored:
                clients.signed(
                    running, 64, "s3", "PUT", "/grown/object-@", b"x" * 100, first=stored + 1, last=objects
                )
                stored = objects
            for name, (wall, cpu) in calls(running, objects).items():
                first = before.setdefault(name, cpu)
                if objects == MANY:
                    table.row(
                        f"{name} with {objects:,} objects",
                        f"p50 {us(wall)}, {us(cpu)} of processor",
                        floor=f"with none {us(first)} of processor",
                        ratio=cpu / first,
                        target="does not grow",
                        met=cpu <= 1.3 * first,
                    )
                else:
                    table.row(f"{name} with {objects:,} objects", f"p50 {us(wall)}, {us(cpu)} of processor")
        restart(table, running)


def calls(running, objects):
    caller = clients.Caller(running)
    chance = random.Random(objects)

    def some():
        return chance.randrange(1, max(objects, 1) + 1)

    def event(_):
        return caller.prepare(
            "lambda", "POST", "/2015-03-31/functions/sink/invocations", b"1", X_Amz_Invocation_Type="Event"
        )

    kinds = {
        "PutObject": lambda n: caller.prepare("s3", "PUT", f"/grown/new-{objects}-{n}", b"x" * 100),
        "GetObject": lambda n: caller.prepare("s3", "GET", f"/grown/new-{objects}-{n}"),
        "ListObjectsV2 of 10": lambda _: caller.prepare(
            "s3", "GET", f"/grown?list-type=2&max-keys=10&start-after=new-{objects}-{some()}"
        ),
        "Invoke (Event)": event,
    }
    return {name: cost(running.process.pid, caller, prepare) for name, prepare in kinds.items()}


def cost(pid, caller, prepare):
    """Microseconds of a call, and of the server's processor for it."""
    ready = [prepare(number) for number in range(CALLS)]
    before = machine.precise_cpu_seconds(pid)
    took = timed(lambda number: caller.send(ready[number]), CALLS)
    return p50(took), (machine.precise_cpu_seconds(pid) - before) * 1e6 / CALLS


def restart(table, running):
    took = []
    for _ in range(5):
        running.kill()
        running.start()
        took.append(running.ready_seconds * 1000)
    table.row(f"start to ready after kill -9, {MANY:,} objects", f"{statistics.median(took):.0f} ms")
    table.row(
        "idle memory then",
        f"{machine.resident_mib(running.process.pid):.0f} MiB",
        target="150 MiB",
        met=machine.resident_mib(running.process.pid) <= 150,
    )
