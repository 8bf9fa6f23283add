"""Asynchronous invocations take turns: a flood for one function holds up no other's."""

import concurrent.futures
import json
import re

import mayfly
from guests import WAIT, Gate
from mayfly import create, until

CODE = WAIT + """
import time
def handler(event, context):
    if event["gate"]:
        wait(event["gate"])
        time.sleep(0.2)
    print("DONE", event["number"], time.time())
"""


def done(logs, name):
    """The numbers of the events that the function has done, and when."""
    found = [re.search(r"DONE (\d+) (\S+)", line) for line in mayfly.logged(logs, name, "DONE")]
    return [(int(one[1]), float(one[2])) for one in found]


def before(logs, name, other):
    """The numbers of those that it had done by the end of the other's only one."""
    [(_, end)] = until(lambda: done(logs, other))
    return {number for number, at in done(logs, name) if at < end}


def test_a_flood_of_events_for_one_function_delays_no_other():
    """A full node, 240 events for one function, and then one for another: it does not wait for the 240."""
    with mayfly.server("[limits]\nnode_instances = 3\nnode_queue_ms = 900000\n") as server:
        aws, logs = server.client("lambda", max_pool_connections=16), server.client("logs")
        for name in ["flood", "lone", "late"]:
            create(aws, name, {"app.py": CODE}, Timeout=900)

        def send(name, number, gate=None):
            payload = json.dumps({"number": number, "gate": gate and gate.link})
            assert aws.invoke(FunctionName=name, InvocationType="Event", Payload=payload)["StatusCode"] == 202

        # The flood waits until the other event is there too, and its last part for the third.
        with Gate(server, "first") as first, Gate(server, "second") as second:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda number: send("flood", number, first if number < 180 else second), range(240)))
            send("lone", 1)
            first.open()
            assert len(before(logs, "flood", "lone")) < 180, "it was not its turn after all of them"
            # What is accepted is there after a crash, and takes turns as before.
            server.kill()
            server.start()
            aws, logs = server.client("lambda"), server.client("logs")
            send("late", 2)
            second.open()
            assert len(before(logs, "flood", "late")) < 240
        until(lambda: {number for number, _ in done(logs, "flood")} == set(range(240)), seconds=600)
