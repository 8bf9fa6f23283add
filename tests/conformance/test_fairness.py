"""Asynchronous invocations take turns: a flood for one function holds up no other's."""

import concurrent.futures
import re

import mayfly
from mayfly import create, until

CODE = """
import time
def handler(event, context):
    time.sleep(event["for"])
    print("DONE", event["number"])
"""


def done(logs, name):
    """The numbers of the events that the function has done."""
    return [int(re.search(r"DONE (\d+)", line)[1]) for line in mayfly.logged(logs, name, "DONE")]


def test_a_flood_of_events_for_one_function_delays_no_other():
    """A full node, 240 events for one function, and then one for another: it does not wait for the 240."""
    with mayfly.server("[limits]\nnode_instances = 3\nnode_queue_ms = 120000\n") as server:
        aws, logs = server.client("lambda", max_pool_connections=16), server.client("logs")
        for name in ["flood", "lone", "late"]:
            create(aws, name, {"app.py": CODE})

        def send(name, number, seconds):
            payload = f'{{"number": {number}, "for": {seconds}}}'
            assert aws.invoke(FunctionName=name, InvocationType="Event", Payload=payload)["StatusCode"] == 202

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: send("flood", number, 0.2), range(240)))
        send("lone", 1, 0)
        until(lambda: done(logs, "lone") == [1])
        assert len(done(logs, "flood")) < 180, "it was not its turn after all of them"
        # What is accepted is there after a crash, and takes turns as before.
        server.kill()
        server.start()
        aws, logs = server.client("lambda"), server.client("logs")
        send("late", 2, 0)
        until(lambda: done(logs, "late") == [2])
        assert len(set(done(logs, "flood"))) < 240
        until(lambda: set(done(logs, "flood")) == set(range(240)), seconds=120)
