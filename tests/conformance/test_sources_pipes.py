"""Pipes from brokers outside of Mayfly. What a kill leaves of them: test_sources.py."""

import contextlib
import json

import pytest
from botocore.exceptions import ClientError

import mayfly
from brokers import RABBIT, piped, rabbit_secret
from test_mappings import batches, left, queue
from test_sources import text, trouble

DOUBLES = """
def handler(events, context):
    return [{"n": event["n"] * 2, "line": event["line"]} for event in events if event["n"] != 3]
"""

FAILS_FIRST = """
import json

calls = []

def handler(events, context):
    print("BATCH " + json.dumps(events), flush=True)
    calls.append(events)
    if len(calls) == 1:
        raise ValueError("not yet")
"""


def test_a_template_makes_and_changes_a_pipe_of_a_broker(cloud, tmp_path):
    pipes, template = cloud.client("pipes"), tmp_path / "template.yaml"
    kafka = {"TopicName": "t", "BatchSize": 5}
    pipe = {"Type": "AWS::Pipes::Pipe", "Properties": {
        "Name": "templated-broker", "RoleArn": mayfly.ROLE, "Source": "smk://127.0.0.1:1", "Target": {"Fn::GetAtt": ["Q", "Arn"]},
        "SourceParameters": {"SelfManagedKafkaParameters": kafka}}}
    resources = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}, "P": pipe}}

    def deployed():
        template.write_text(json.dumps(resources))
        cloud.run("deploy", tmp_path, "--stack", "broker-pipe")
        return pipes.describe_pipe(Name="templated-broker")["SourceParameters"]["SelfManagedKafkaParameters"]

    assert deployed() == {"TopicName": "t", "BatchSize": 5}
    trouble(lambda: pipes.describe_pipe(Name="templated-broker")["StateReason"], "Cannot reach 127.0.0.1:1")
    kafka["MaximumBatchingWindowInSeconds"] = kafka.pop("BatchSize")
    assert deployed() == {"TopicName": "t", "BatchSize": 10, "MaximumBatchingWindowInSeconds": 5}, "replaced as a whole"
    with pytest.raises(ClientError) as refused:
        pipes.update_pipe(Name="templated-broker", RoleArn=mayfly.ROLE, SourceParameters={
            "RabbitMQBrokerParameters": {"Credentials": {"BasicAuth": RABBIT}}})
    assert "RabbitMQBrokerParameters is not valid" in str(refused.value)
    cloud.run("delete", "--stack", "broker-pipe", "--yes")


def test_pipes_read_brokers(tmp_path, kafka_server, rabbit_server):
    from kafka import KafkaProducer
    kafka_server.create_topic("piped", partitions=2)
    with (mayfly.server("[secrets]\n" + rabbit_secret(tmp_path)) as cloud,
          contextlib.closing(KafkaProducer(bootstrap_servers=kafka_server.address, acks="all")) as producer,
          contextlib.closing(rabbit_server.client()) as connection):
        pipes, aws, functions = cloud.client("pipes"), cloud.client("sqs"), cloud.client("lambda")
        channel = connection.channel()
        channel.queue_declare("piped", durable=True)
        channel.confirm_delivery()
        (doubled_url, doubled), (plain_url, plain) = queue(aws, "doubled"), queue(aws, "plain")

        def taken(url, count):
            """Exactly so many messages."""
            some = []
            while len(some) < count:
                for one in aws.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", []):
                    some.append(json.loads(one["Body"]))
                    aws.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            assert len(some) == count and left(aws, url) == 0
            return some

        # Kafka through a filter, an enrichment and a template.
        enrich = mayfly.create(functions, "doubles", {"app.py": DOUBLES}, Timeout=60)["FunctionArn"]
        producer.send("piped", b'{"n": 1}', partition=0).get(120)
        small = {"Filters": [{"Pattern": json.dumps({"value": {"n": [{"numeric": ["<", 100]}]}})}]}
        shown = piped(
            cloud, "kafka", f"smk://{kafka_server.address}", doubled,
            {"FilterCriteria": small, "SelfManagedKafkaParameters": {
                "TopicName": "piped", "StartingPosition": "TRIM_HORIZON", "AdditionalBootstrapServers": [kafka_server.address]}},
            {"InputTemplate": '{"n": <$.n>, "of": "<$.line>", "by": "<aws.pipes.pipe-name>"}'}, Enrichment=enrich,
            EnrichmentParameters={"InputTemplate": '{"n": <$.value.n>, "line": "<$.eventSourceKey>"}'})
        kafka = shown["SourceParameters"]["SelfManagedKafkaParameters"]
        assert (kafka["TopicName"], kafka["BatchSize"], shown["Source"]) == ("piped", 10, f"smk://{kafka_server.address}")
        assert taken(doubled_url, 1) == [{"n": 2, "of": "piped-0", "by": "kafka"}]
        for n in (100, 2, 3, 4):
            producer.send("piped", json.dumps({"n": n}).encode(), partition=1).get(120)
        assert sorted(one["n"] for one in taken(doubled_url, 2)) == [4, 8]
        # It goes on where it was, and a pipe of the same name begins anew.
        pipes.stop_pipe(Name="kafka")
        mayfly.until(lambda: pipes.describe_pipe(Name="kafka")["CurrentState"] == "STOPPED")
        producer.send("piped", b'{"n": 5}', partition=0).get(120)
        pipes.update_pipe(Name="kafka", RoleArn=mayfly.ROLE, DesiredState="RUNNING",
                          SourceParameters={"SelfManagedKafkaParameters": {"BatchSize": 3}})
        assert [one["n"] for one in taken(doubled_url, 1)] == [10]
        shown = pipes.describe_pipe(Name="kafka")["SourceParameters"]
        assert shown["SelfManagedKafkaParameters"]["BatchSize"] == 3 and shown["FilterCriteria"] == small
        pipes.delete_pipe(Name="kafka")
        mayfly.until(lambda: "kafka" not in [pipe["Name"] for pipe in pipes.list_pipes()["Pipes"]])
        source = {"SelfManagedKafkaParameters": {"TopicName": "piped", "BatchSize": 1}}
        piped(cloud, "kafka", f"kafka://{kafka_server.address}", doubled, source, {"InputTemplate": "<$.value.n>"})
        assert sorted(taken(doubled_url, 6)) == [1, 2, 3, 4, 5, 100]

        # RabbitMQ as it is, and over TLS without a certificate that is believed.
        rabbit = {"RabbitMQBrokerParameters": {"QueueName": "piped", "Credentials": {"BasicAuth": RABBIT}}}
        piped(cloud, "rabbit", f"amqp://{rabbit_server.address}", plain, rabbit)
        channel.basic_publish("", "piped", b"hello")
        [event] = taken(plain_url, 1)
        assert (event["eventSource"], event["eventSourceKey"], event["servers"]) == ("aws:rmq", "piped::/", rabbit_server.address)
        assert text(event["data"]) == "hello" and event["basicProperties"]["bodySize"] == 5
        piped(cloud, "stranger", f"amqps://localhost:{rabbit_server.tls_port}", plain, rabbit)
        trouble(lambda: pipes.describe_pipe(Name="stranger")["StateReason"], "certificate")
        mayfly.until(lambda: channel.queue_declare("piped", passive=True).method.message_count == 0)
        for name in ("rabbit", "stranger"):
            pipes.delete_pipe(Name=name)
        mayfly.until(lambda: channel.queue_declare("piped", passive=True).method.consumer_count == 0)

        # A function that fails is called again, and nothing overtakes what it has not taken.
        fails = mayfly.create(functions, "fails-first", {"app.py": FAILS_FIRST}, Timeout=60)["FunctionArn"]
        kafka_server.create_topic("fails", partitions=1)
        for n in range(4):
            producer.send("fails", str(n).encode()).get(120)
        piped(cloud, "fails", f"smk://{kafka_server.address}", fails,
              {"SelfManagedKafkaParameters": {"TopicName": "fails", "BatchSize": 2}})
        logs = cloud.client("logs")
        values = lambda: [[text(one["value"]) for one in events] for events in batches(logs, "fails-first")]
        mayfly.until(lambda: values() == [["0", "1"], ["0", "1"], ["2", "3"]])

        for source, parameters, why in [
            ("smk://127.0.0.1:1", {}, "SelfManagedKafkaParameters"),
            ("smk://127.0.0.1:x", {"SelfManagedKafkaParameters": {"TopicName": "t"}}, "port"),
            ("smk://127.0.0.1:1", rabbit, "RabbitMQBrokerParameters is not valid"),
            (plain, {"SelfManagedKafkaParameters": {"TopicName": "t"}}, "SelfManagedKafkaParameters is not valid"),
            ("amqp://me:hunter2@a:1", rabbit, "not by an endpoint"),
            ("arn:aws:mq:us-east-1:000000000000:broker:b:1", rabbit, "not valid for the source"),
            ("smk://a:1", {"SelfManagedKafkaParameters": {"TopicName": "t", "Credentials": {"ClientCertificateTlsAuth": RABBIT}}},
             "ClientCertificateTlsAuth"),
        ]:
            with pytest.raises(ClientError) as refused:
                pipes.create_pipe(Name="no", Source=source, Target=doubled, RoleArn=mayfly.ROLE, SourceParameters=parameters)
            assert why in str(refused.value) and "hunter2" not in str(refused.value)
