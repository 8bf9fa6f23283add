"""Queues: durable sends and receives, beside brokers that sync what they confirm, on the same disk in turns."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time

import brokers
import clients
import events
import machine
import mayfly
from table import p50, p99, rate, timed, us

BYTES = 300
SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
#: Clients at once, and messages of one call.
SHAPES = [(1, 1), (64, 1), (64, 10)]
#: Of FIFO queues: many, and so few that clients meet.
GROUPS = [1000, 10]
ROUNDS = 60

STAMP = """
import time
def handler(event, context):
    now = time.time_ns()
    records = event.get('Records')
    number = records[0]['body'] if records else event['detail']['number']
    print('began', number, now)
"""


class Ours:
    """A queue of ours, as the brokers are."""

    protocol = "sqs"

    def __init__(self, running, name, groups=0):
        attributes = {"FifoQueue": "true"} if groups else {}
        name = f"{name}.fifo" if groups else name
        self.url = running.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.port = int(running.listen.rsplit(":", 1)[1])
        self.pid = running.process.pid
        self.name = f"Mayfly, FIFO, {groups:,} groups" if groups else "Mayfly"
        self.more = (self.url, running.key["access_key_id"], running.key["secret_access_key"], groups)


def measure(table):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-bench-"))
    try:
        with contextlib.ExitStack() as up:
            running = up.enter_context(mayfly.server("[limits]\nsqs_in_flight = 1000000\n"))
            targets = [Ours(running, "bench"), *(Ours(running, f"ordered-{count}", count) for count in GROUPS)]
            for broker in (brokers.redis, brokers.rabbitmq, brokers.nats):
                place = folder / broker.__name__
                place.mkdir()
                targets.append(up.enter_context(broker(place)))
            with machine.bare_sync(running.data) as sync:
                table.row("bare sync of the same disk, p50", us(p50(timed(sync, 300))))
            for many, batch in SHAPES:
                compared(table, targets, many, batch)
            by_boto3(table, running)
        latencies(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compared(table, targets, many, batch):
    """Sends to each in turns, then receives and deletes from each."""
    told = f"{many} client{'s' if many > 1 else ''}, {batch} a call" if batch > 1 else f"{many} client{'s' if many > 1 else ''}"
    for what, words in (("send", "send"), ("take", "receive and delete")):
        ours = None
        for target in targets:
            more, count = getattr(target, "more", ()), 0
            if what == "take":
                # It shall find something each time.
                ahead = brokers.load(target, "send", 64, 10, SECONDS, 60_000 if many > 1 else 10_000, BYTES, more)
                count = ahead["messages"] * 9 // 10
            before = machine.cpu_seconds(target.pid)
            seen = brokers.load(target, what, many, batch, SECONDS, count, BYTES, more)
            spent = machine.cpu_seconds(target.pid) - before
            per_second = seen["messages"] / seen["seconds"]
            ours = ours or per_second
            odd = [f"{seen[name]} {name}" for name in ("failed", "empty") if seen[name]]
            table.row(
                f"{words}, {told}: {target.name}",
                ", ".join([rate(per_second), f"p50 {us(seen['p50'])}", f"p99 {us(seen['p99'])}",
                           f"{seen['messages'] / max(spent, 0.01):,.0f} /cpu-s", *odd]),
                floor="" if target is targets[0] else f"Mayfly {rate(ours)}",
                ratio=None if target is targets[0] else ours / per_second,
            )


def by_boto3(table, running):
    sqs = running.client("sqs")
    url = sqs.create_queue(QueueName="by-boto3")["QueueUrl"]
    sent = timed(lambda _: sqs.send_message(QueueUrl=url, MessageBody="x" * BYTES), 300)

    def take(_):
        for message in sqs.receive_message(QueueUrl=url)["Messages"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    taken = timed(take, 300)
    table.row("send, 1 client of boto3", f"p50 {us(p50(sent))}, p99 {us(p99(sent))}")
    table.row("receive and delete, 1 client of boto3", f"p50 {us(p50(taken))}, p99 {us(p99(taken))}")


def latencies(table):
    """From the call of a client to the first line of the function, on an idle system."""
    with mayfly.server() as running:
        aws, rules = running.client("lambda"), running.client("events")
        arn = mayfly.create(aws, "stamp", {"app.py": STAMP})["FunctionArn"]
        url = running.client("sqs").create_queue(QueueName="stamped")["QueueUrl"]
        queue = running.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        aws.create_event_source_mapping(
            FunctionName="stamp", EventSourceArn=queue["Attributes"]["QueueArn"], BatchSize=1
        )
        rules.put_rule(Name="stamped", EventPattern=json.dumps({"source": ["bench"]}))
        aws.add_permission(FunctionName="stamp", StatementId="rule", Action="lambda:InvokeFunction",
                           Principal="events.amazonaws.com")
        rules.put_targets(Rule="stamped", Targets=[{"Id": "1", "Arn": arn}])
        caller = clients.Caller(running)
        # The first start of the instance is not what is asked for here.
        mayfly.invoke(aws, "stamp", {"detail": {"number": -1}})

        def message(number):
            body = clients.json_bytes(QueueUrl=url, MessageBody=str(number))
            return json_call(caller, "sqs", "AmazonSQS.SendMessage", body)

        def event(number):
            entry = {"Source": "bench", "DetailType": "n", "Detail": json.dumps({"number": number})}
            return json_call(caller, "events", "AWSEvents.PutEvents", clients.json_bytes(Entries=[entry]))

        for first, (what, prepare) in enumerate({"queue": message, "bus": event}.items()):
            numbers = range(first * ROUNDS, (first + 1) * ROUNDS)
            with machine.bare_sync(running.data) as bare:
                sent, answered, syncs = {}, {}, []
                for number in numbers:
                    call = prepare(number)
                    sent[number] = time.time_ns() / 1000
                    caller.send(call)
                    answered[number] = time.time_ns() / 1000
                    syncs += timed(bare, 1)
                    # The system is idle before each.
                    time.sleep(0.15)
            began = mayfly.until(lambda: events.stamps(running, numbers))
            whole = [began[number] - sent[number] for number in numbers]
            after = [began[number] - answered[number] for number in numbers]
            floor = f"fsync {us(p50(syncs))}"
            table.row(f"{what} to function, sent to started, warm, p50", us(p50(whole)), floor=floor)
            table.row("the same, p99", us(p99(whole)))
            table.row(f"{what} to function, accepted to started, p50", us(p50(after)), floor=floor)


def json_call(caller, service, target, body):
    return caller.prepare(service, "POST", "/", body, X_Amz_Target=target)
