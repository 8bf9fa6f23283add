"""Events: from an asynchronous Invoke's acceptance to the start of the function, on an idle system."""

import time

import clients
import machine
import mayfly
from table import p50, p99, timed, us

#: The function says when it began; client and function read one clock.
STAMP = "import time\ndef handler(event, context):\n    print('began', event, time.time_ns())\n"
ROUNDS = 200


def measure(table):
    with mayfly.server() as running:
        mayfly.create(running.client("lambda"), "stamp", {"app.py": STAMP})
        caller = clients.Caller(running)
        path = "/2015-03-31/functions/stamp/invocations"
        with machine.bare_sync(running.data) as bare:
            direct, _ = rounds(running, caller, path, range(ROUNDS), {}, bare)
            event = {"X_Amz_Invocation_Type": "Event"}
            events, syncs = rounds(running, caller, path, range(ROUNDS, 2 * ROUNDS), event, bare)
        sync = p50(syncs)
        took = [accepted - sent for sent, accepted, _ in events]
        table.row(
            "asynchronous Invoke accepted, p50",
            us(p50(took)),
            floor=f"fsync {us(sync)}",
            ratio=p50(took) / sync,
        )
        started = [began - accepted for _, accepted, began in events]
        table.row(
            "accepted to started, warm instance, p50",
            us(p50(started)),
            floor=f"fsync {us(sync)} + 1 ms",
            target="fsync + 1 ms",
            met=p50(started) <= sync + 1000,
        )
        table.row("the same, p99", us(p99(started)))
        whole = p50([began - sent for sent, _, began in events])
        floor = p50([began - sent for sent, _, began in direct])
        table.row(
            "sent to started, p50",
            us(whole),
            floor=f"synchronous {us(floor)} + fsync {us(sync)}",
            ratio=whole / (floor + sync),
        )


def rounds(running, caller, path, numbers, headers, bare):
    """For each call: when it was sent, when it was answered, and when the function began, in microseconds;
    and what a bare sync took in each's company."""
    calls, syncs = {}, []
    for number in numbers:
        call = caller.prepare("lambda", "POST", path, str(number).encode(), **headers)
        sent = time.time_ns()
        caller.send(call)
        calls[number] = (sent / 1000, time.time_ns() / 1000)
        syncs += timed(bare, 1)
        # The system is idle before each.
        time.sleep(0.01)
    began = mayfly.until(lambda: stamps(running, numbers))
    return [(*calls[number], began[number]) for number in numbers], syncs


def stamps(running, numbers):
    logs = running.client("logs")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/lambda/stamp", filterPattern="began"
    )
    try:
        lines = [event["message"].split() for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return None
    found = {int(number): int(at) / 1000 for _, number, at in lines}
    return found if all(number in found for number in numbers) else None
