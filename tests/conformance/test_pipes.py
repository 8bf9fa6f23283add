"""Pipes: from queues through enrichments to targets; and everything that follows an event at once, through kill -9."""

import json
import os

import pytest
from botocore.exceptions import ClientError

import web
import mayfly
from web import document
from mayfly import ROLE, create, until
from test_buses import entry, queue_of, rule_for, take_all
from test_destinations import destination
from test_mappings import COPIES

ROUNDS = int(os.environ.get("MAYFLY_KILL_ROUNDS", "3"))
FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}


@pytest.fixture(scope="module")
def pipes(cloud):
    return cloud.client("pipes")


def settled(pipes, name, state="RUNNING"):
    return until(lambda: (pipe := pipes.describe_pipe(Name=name))["CurrentState"] == state and pipe)


def piped(pipes, name, source, target, **settings):
    pipes.create_pipe(Name=name, Source=source, Target=target, RoleArn=ROLE, **settings)
    return settled(pipes, name)


def fifo_of(cloud, name, **attributes):
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes={**FIFO, **attributes})["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


ENRICHES = """
def handler(events, context):
    return [{"doubled": event["n"] * 2} for event in events if event["n"] >= 0]
"""


def test_a_pipe_filters_enriches_and_brings_on(cloud, pipes, functions):
    (source_url, source), (url, target) = queue_of(cloud, "piped-in"), queue_of(cloud, "piped-out")
    enrich = create(functions, "enrich", {"app.py": ENRICHES})["FunctionArn"]
    shown = piped(pipes, "enriched", source, target, Enrichment=enrich,
                  SourceParameters={"FilterCriteria": {"Filters": [{"Pattern": json.dumps({"body": {"n": [{"numeric": ["<", 100]}]}})}]}},
                  EnrichmentParameters={"InputTemplate": '{"n": <$.body.n>}'},
                  TargetParameters={"InputTemplate": '{"n": <$.doubled>, "by": "<aws.pipes.pipe-name>"}'})
    assert (shown["DesiredState"], shown["Enrichment"]) == ("RUNNING", enrich)
    sqs = cloud.client("sqs")
    for n in (1, 2, 100, -1):
        sqs.send_message(QueueUrl=source_url, MessageBody=json.dumps({"n": n}))
    got = []
    until(lambda: got.extend(map(json.loads, take_all(sqs, url))) or len(got) == 2)
    assert sorted(got, key=lambda one: one["n"]) == [{"n": 2, "by": "enriched"}, {"n": 4, "by": "enriched"}]
    figures = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    until(lambda: set(sqs.get_queue_attributes(QueueUrl=source_url, AttributeNames=figures)["Attributes"].values()) == {"0"})
    pipes.stop_pipe(Name="enriched")
    settled(pipes, "enriched", "STOPPED")
    sqs.send_message(QueueUrl=source_url, MessageBody=json.dumps({"n": 3}))
    assert take_all(sqs, url, wait=1) == []
    pipes.start_pipe(Name="enriched")
    until(lambda: got.extend(map(json.loads, take_all(sqs, url))) or len(got) == 3)
    pipes.delete_pipe(Name="enriched")
    until(lambda: "enriched" not in [pipe["Name"] for pipe in pipes.list_pipes()["Pipes"]])


SLOW = """
import time
def handler(events, context):
    time.sleep(5)
    return [{"slowly": event["body"]} for event in events]
"""


def test_an_enrichment_may_take_longer_than_its_queue_hides(cloud, pipes, functions, logs):
    sqs = cloud.client("sqs")
    source_url, source = queue_of(cloud, "piped-slowly")
    sqs.set_queue_attributes(QueueUrl=source_url, Attributes={"VisibilityTimeout": "3"})
    slow = create(functions, "enrich-slowly", {"app.py": SLOW}, Timeout=60)["FunctionArn"]
    target = create(functions, "piped-slowly", {"app.py": "def handler(events, context):\n    print('EVENT', events)\n"})
    piped(pipes, "slowly", source, target["FunctionArn"], Enrichment=slow)
    sqs.send_message(QueueUrl=source_url, MessageBody="one")
    told = until(lambda: mayfly.logged(logs, "piped-slowly", "EVENT"))
    assert told == ["EVENT [{'slowly': 'one'}]"], "once, because it stayed hidden meanwhile"


COUNTS = """
def handler(events, context):
    print("EVENT", len(events), events[0]["body"])
    bad = [event["messageId"] for event in events if event["body"] == "bad"]
    first = int(events[0]["attributes"]["ApproximateReceiveCount"]) == 1
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]} if bad and first else {"any": "thing"}
"""


def test_a_function_says_what_it_has_not_done_and_an_endpoint_enriches(cloud, pipes, functions, logs):
    sqs = cloud.client("sqs")
    source_url, source = queue_of(cloud, "piped-partial")
    # What fails comes back after this time; so does what is in hand, if the machine stands still for so long.
    sqs.set_queue_attributes(QueueUrl=source_url, Attributes={"VisibilityTimeout": "6"})
    made = create(functions, "piped-partial", {"app.py": COUNTS}, Timeout=6)["FunctionArn"]
    piped(pipes, "partial", source, made, SourceParameters={"SqsQueueParameters": {"BatchSize": 1}})
    for body in ("bad", "good"):
        sqs.send_message(QueueUrl=source_url, MessageBody=body)

    def seen():
        return sorted(line.split()[-1] for line in mayfly.logged(logs, "piped-partial", "EVENT"))

    until(lambda: seen() == ["bad", "bad", "good"])
    with web.endpoint() as outside:
        outside.answers["/enrich"] = lambda nth: document(200, {"answer": nth})
        outside.answers["/in"] = lambda nth: (500 if nth == 0 else 200, {}, b"")
        events = cloud.client("events")
        enrich = destination(events, "pipe-enrich", outside.url("/enrich"))
        target = destination(events, "pipe-target", outside.url("/in"))
        http_url, http_source = queue_of(cloud, "piped-http")
        sqs.set_queue_attributes(QueueUrl=http_url, Attributes={"VisibilityTimeout": "6"})
        piped(pipes, "outside", http_source, target, Enrichment=enrich,
              EnrichmentParameters={"InputTemplate": '{"id": <$.body.id>}'},
              TargetParameters={"HttpParameters": {"HeaderParameters": {"x-answer": "$.answer"}}})
        sqs.send_message(QueueUrl=http_url, MessageBody=json.dumps({"id": 7}))
        first, second = outside.wait("/in", 2)
        assert json.loads(outside.of("/enrich")[0][3]) == {"id": 7}
        assert json.loads(second[3]) == {"answer": 1} and second[2]["x-answer"] == "1", "it was enriched again"
        pipes.delete_pipe(Name="outside")
    pipes.delete_pipe(Name="partial")


def test_streams_are_refused_by_name(cloud, pipes):
    _, target = queue_of(cloud, "piped-none")
    with pytest.raises(ClientError) as refused:
        pipes.create_pipe(Name="stream", Source="arn:aws:kinesis:us-east-1:000000000000:stream/s", Target=target, RoleArn=ROLE)
    assert "kinesis as the source of a pipe" in str(refused.value)


TEMPLATE = """
Resources:
  In: {Type: AWS::SQS::Queue}
  Out: {Type: AWS::SQS::Queue}
  Pipe:
    Type: AWS::Pipes::Pipe
    Properties:
      Name: deployed-pipe
      RoleArn: arn:aws:iam::000000000000:role/any
      Source: !GetAtt In.Arn
      Target: !GetAtt Out.Arn
      TargetParameters: {InputTemplate: 'SAYS <$.body>'}
      Tags: {team: TEAM}
"""


def test_a_template_makes_a_pipe(cloud, pipes, tmp_path):
    sqs = cloud.client("sqs")
    for says, team in (("first", "a"), ("second", "b")):
        (tmp_path / "template.yaml").write_text(TEMPLATE.replace("SAYS", says).replace("TEAM", team))
        cloud.run("deploy", tmp_path, "--stack", "piped")
        assert pipes.describe_pipe(Name="deployed-pipe")["Tags"] == {"team": team}
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="piped-In")["QueueUrl"], MessageBody="7")
        got = []
        until(lambda: got.extend(take_all(sqs, sqs.get_queue_url(QueueName="piped-Out")["QueueUrl"])) or got)
        assert got == [f"{says} 7"]
    cloud.run("delete", "--stack", "piped", "--yes")
    assert pipes.list_pipes(NamePrefix="deployed-pipe")["Pipes"] == []


def key_of(body):
    """A text that a pipe has filled in comes as it is, everything else as JSON."""
    return json.loads(body) if body.startswith('"') else body


def test_kill_9_under_everything_at_once_loses_nothing():
    """Queues, a topic, a bus, schedules, a mapping and pipes at work together while the server is killed again and again.
    Every way ends in a queue of its own. What is brought on in the store comes exactly once; a FIFO way keeps its order."""
    with mayfly.server() as running:
        sqs, pipes = running.client("sqs"), running.client("pipes")
        ends = {}

        def end(name, make=queue_of, **attributes):
            ends[name], arn = make(running, f"end-{name}", **attributes)
            return arn

        # A topic tells a queue, from which a pipe brings it on.
        topic = running.client("sns").create_topic(Name="load")["TopicArn"]
        _, told = queue_of(running, "told")
        running.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=told, Attributes={"RawMessageDelivery": "true"})
        piped(pipes, "topic", told, end("topic"), TargetParameters={"InputTemplate": "<$.body>"})
        # A bus, whose events a pipe puts on another bus.
        events = running.client("events")
        _, chosen = queue_of(running, "chosen")
        rule_for(events, "load", {"source": ["load"]}, chosen, InputPath="$.detail")
        events.create_event_bus(Name="second")
        second = events.describe_event_bus(Name="second")["Arn"]
        piped(pipes, "bus", chosen, second, TargetParameters={
            "InputTemplate": "<$.body>", "EventBridgeEventBusParameters": {"Source": "piped", "DetailType": "Order"}})
        rule_for(events, "piped", {"source": ["piped"]}, end("bus"), bus="second", InputPath="$.detail.key")
        # A FIFO queue through a pipe into another.
        fifo_url, fifo = fifo_of(running, "in.fifo")
        piped(pipes, "fifo", fifo, end("fifo.fifo", fifo_of), TargetParameters={
            "InputTemplate": "<$.body>", "SqsQueueParameters": {"MessageGroupId": "$.attributes.MessageGroupId"}})
        # A mapping, whose function copies.
        mapped_url, mapped = queue_of(running, "mapped")
        sqs.set_queue_attributes(QueueUrl=mapped_url, Attributes={"VisibilityTimeout": "3"})
        lambdas = running.client("lambda")
        end("mapped.fifo", fifo_of)
        create(lambdas, "copies", {"app.py": COPIES}, Environment={"Variables": {"SEEN": ends["mapped.fifo"]}})
        lambdas.create_event_source_mapping(FunctionName="copies", EventSourceArn=mapped)
        target = {"Arn": end("schedule"), "RoleArn": ROLE}

        def publish(key, number):
            clients["sns"].publish(TopicArn=topic, Message=json.dumps(key))

        def put(key, number):
            assert clients["events"].put_events(Entries=[entry("load", {"key": key})])["FailedEntryCount"] == 0

        def send_fifo(key, number):
            clients["sqs"].send_message(QueueUrl=fifo_url, MessageBody=json.dumps(key), MessageGroupId=key.split("-")[1])

        def send(key, number):
            clients["sqs"].send_message(QueueUrl=mapped_url, MessageBody=json.dumps(key))

        def schedule(key, number):
            clients["scheduler"].create_schedule(
                Name=key, ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"},
                EndDate=mayfly.in_seconds(30), Target={**target, "Input": json.dumps(key)})

        clients = {name: running.client(name) for name in ("sns", "events", "sqs", "scheduler")}
        ways = {"topic": publish, "bus": put, "fifo.fifo": send_fifo, "mapped.fifo": send, "schedule": schedule}
        acknowledged = mayfly.kill_rounds(running, ROUNDS, ways)
        for name, url in ends.items():
            seen, wanted = [], set(acknowledged[name])
            until(lambda: seen.extend(key_of(body) for body in take_all(sqs, url)) or wanted <= set(seen), seconds=300)
            if name != "mapped.fifo":
                assert len(seen) == len(set(seen)), f"{name}: some came twice"
            if name == "fifo.fifo":
                for worker in {key.split("-")[1] for key in seen}:
                    own = [tuple(map(int, key.split("-")))[::2] for key in seen if key.split("-")[1] == worker]
                    assert own == sorted(own), "out of order"
        print({name: len(keys) for name, keys in acknowledged.items()}, "acknowledged")
