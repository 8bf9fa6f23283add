"""Event source mappings of brokers outside of Mayfly, each against the real one."""

import base64
import contextlib
import json
import re
import time
from concurrent import futures

import pytest
from botocore.exceptions import ClientError

import authorities
import brokers
import mayfly
from brokers import RABBIT, piped, rabbit_secret
from test_mappings import COPIES, FIFO, KEEPS, batches, enabled, keeps, left, queue


def text(data):
    return base64.b64decode(data).decode()


def outside(functions, function, servers, source, **settings):
    """A mapping of a broker, once it is enabled."""
    kind, address = servers
    made = functions.create_event_source_mapping(
        FunctionName=function, SelfManagedEventSource={"Endpoints": {kind: [address]}}, **source, **settings)
    enabled(functions, made["UUID"])
    return made


def records(logs, function):
    """The records of the events that a function has printed, by what they were read from."""
    found = {}
    for event in batches(logs, function):
        for line, some in (event.get("records") or event.get("rmqMessagesByQueue")).items():
            found.setdefault(line, []).extend(some)
    return found


def result(functions, uuid):
    return functions.get_event_source_mapping(UUID=uuid)["LastProcessingResult"]


def trouble(ask, pattern):
    """What is told of a source, once it is this: one that is only slow may have been called silent before."""
    wanted = re.compile(f"PROBLEM: .*({pattern})", re.IGNORECASE | re.DOTALL)
    return mayfly.until(lambda: wanted.match(told := ask()) and told)


def test_a_stream_of_redis_is_brought_to_its_function(functions, logs, redis_server):
    client = redis_server.client()
    first = client.xadd("orders", {"sku": "a-1", "detail": json.dumps({"price": 7}), "raw": b"\x00\xff"})
    function = keeps(functions, "of-redis")
    made = functions.create_event_source_mapping(
        FunctionName="of-redis", SelfManagedEventSource={"Endpoints": {"REDIS_SERVERS": [redis_server.address]}},
        Topics=["orders"], StartingPosition="TRIM_HORIZON", BatchSize=5, MaximumRetryAttempts=3,
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"fields": {"detail": {"price": [{"numeric": [">", 5]}]}}})}]})
    assert made["State"] == "Creating" and made["FunctionArn"] == function and made["BatchSize"] == 5
    assert made["SelfManagedEventSource"] == {"Endpoints": {"REDIS_SERVERS": [redis_server.address]}}
    assert made["Topics"] == ["orders"] and made["StartingPosition"] == "TRIM_HORIZON" and "EventSourceArn" not in made
    assert made["MaximumRetryAttempts"] == 3 and made["MaximumRecordAgeInSeconds"] == -1
    assert made["LastProcessingResult"] == "No records processed"
    group = made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
    assert group == "mayfly-" + made["UUID"]
    [event] = mayfly.until(lambda: batches(logs, "of-redis"))
    assert event["eventSource"] == "mayfly:redis" and event["servers"] == redis_server.address
    [record] = event["records"]["orders"]
    assert record["id"] == first.decode() and record["stream"] == "orders" and record["time"].endswith("Z")
    assert text(record["fields"]["sku"]) == "a-1" and record["fields"]["raw"] == "AP8="
    cheap = client.xadd("orders", {"detail": json.dumps({"price": 1})})
    for number in range(12):
        client.xadd("orders", {"n": str(number), "detail": json.dumps({"price": 9})})
    mayfly.until(lambda: len(records(logs, "of-redis")["orders"]) == 13)
    seen = records(logs, "of-redis")["orders"]
    assert [text(record["fields"]["n"]) for record in seen[1:]] == [str(n) for n in range(12)], "in order, once"
    assert cheap.decode() not in [record["id"] for record in seen]
    assert max(len(event["records"]["orders"]) for event in batches(logs, "of-redis")) <= 5
    mayfly.until(lambda: client.xpending("orders", group)["pending"] == 0)
    assert result(functions, made["UUID"]) == "OK"

    functions.update_event_source_mapping(UUID=made["UUID"], Enabled=False)
    enabled(functions, made["UUID"], "Disabled")
    client.xadd("orders", {"n": "12", "detail": json.dumps({"price": 9})})
    functions.update_event_source_mapping(UUID=made["UUID"], Enabled=True)
    mayfly.until(lambda: len(records(logs, "of-redis")["orders"]) == 14)
    functions.delete_event_source_mapping(UUID=made["UUID"])
    mayfly.until(lambda: client.xinfo_groups("orders") == [])


def test_an_idle_mapping_asks_its_broker_for_next_to_nothing(functions, redis_server):
    keeps(functions, "of-nothing")
    outside(functions, "of-nothing", ("REDIS_SERVERS", redis_server.address), {"Topics": ["silent"]}, StartingPosition="LATEST")
    client = redis_server.client()
    mayfly.until(lambda: client.exists("silent") and client.xinfo_groups("silent"))
    calls = lambda: client.info("commandstats").get("cmdstat_xreadgroup", {"calls": 0})["calls"]
    before, began = calls(), time.monotonic()
    # What is measured is that nothing happens, so time must pass.
    time.sleep(5)
    more, passed = calls() - before, time.monotonic() - began
    assert more <= 4 + passed / 2, f"{more} reads in {passed:.1f} s"


POISON = """
import base64, json

def handler(event, context):
    bodies = [base64.b64decode(r["fields"]["n"]).decode() for some in event["records"].values() for r in some]
    print("BATCH " + json.dumps(event))
    if "poison" in bodies:
        raise ValueError("poison")
"""


def test_a_poisonous_record_is_found_and_kept_and_the_others_are_done(cloud, functions, logs, redis_server):
    queues, client = cloud.client("sqs"), redis_server.client()
    url = queues.create_queue(QueueName="of-poison")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mayfly.create(functions, "of-poison", {"app.py": POISON}, Timeout=30)
    for body in ["0", "1", "2", "poison", "4", "5"]:
        client.xadd("poisoned", {"n": body})
    made = outside(functions, "of-poison", ("REDIS_SERVERS", redis_server.address), {"Topics": ["poisoned"]},
                   StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=1, BisectBatchOnFunctionError=True,
                   DestinationConfig={"OnFailure": {"Destination": arn}})
    [message] = mayfly.until(lambda: queues.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages"))
    told = json.loads(message["Body"])
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 2 and told["responseContext"]["functionError"] == "Unhandled"
    assert told["RecordBatchInfo"]["batchSize"] == 1
    [lost] = told["payload"]["records"]["poisoned"]
    assert text(lost["fields"]["n"]) == "poison"
    group = made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
    mayfly.until(lambda: client.xpending("poisoned", group)["pending"] == 0)

    def done():
        some = [[text(record["fields"]["n"]) for record in event["records"]["poisoned"]] for event in batches(logs, "of-poison")]
        return [body for bodies in some if "poison" not in bodies for body in bodies]

    # A log comes a moment after what it tells of.
    mayfly.until(lambda: done() == ["0", "1", "2", "4", "5"])
    functions.delete_event_source_mapping(UUID=made["UUID"])


# Is at work with a record that says slow until there is a message in a queue; meanwhile its broker may come to harm.
WAITS = COPIES[: COPIES.index("def handler")] + """
import base64

def data(record):
    return base64.b64decode(record["fields"]["n"] if "fields" in record else record.get("value") or record["data"])

def handler(event, context):
    print("BATCH " + json.dumps(event), flush=True)
    records = [r for some in (event.get("records") or event["rmqMessagesByQueue"]).values() for r in some]
    gate = {"QueueUrl": os.environ["GATE"], "WaitTimeSeconds": 20, "VisibilityTimeout": 0}
    if any(data(r).startswith(b"slow") for r in records):
        while not call("ReceiveMessage", gate).get("Messages"):
            pass
"""


class Gate:
    """What functions wait at until it is opened."""

    def __init__(self, cloud, name):
        self.queues = cloud.client("sqs")
        self.url, _ = queue(self.queues, name)
        self.more = {"Environment": {"Variables": {"GATE": self.url}}, "Timeout": 300}

    def open(self):
        self.queues.send_message(QueueUrl=self.url, MessageBody="open")


def test_a_broker_that_is_down_is_told_and_waited_for(cloud, functions, logs):
    with brokers.running(brokers.Redis) as broker:
        gate = Gate(cloud, "of-downtime")
        mayfly.create(functions, "of-downtime", {"app.py": WAITS}, **gate.more)
        made = outside(functions, "of-downtime", ("REDIS_SERVERS", broker.address), {"Topics": ["s"]}, StartingPosition="TRIM_HORIZON")
        uuid, group = made["UUID"], made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]

        def seen():
            return [text(record["fields"]["n"]) for record in records(logs, "of-downtime").get("s", [])]

        def all_done():
            return broker.client().xpending("s", group)["pending"] == 0

        broker.client().xadd("s", {"n": "before"})
        mayfly.until(lambda: seen() == ["before"] and all_done())
        broker.kill()
        mayfly.until(lambda: result(functions, uuid).startswith("PROBLEM: Cannot reach"))
        broker.start()
        mayfly.until(lambda: result(functions, uuid) == "OK")
        # It dies while the function works, so what that has done cannot be acknowledged, and comes again.
        broker.client().xadd("s", {"n": "slow"})
        mayfly.until(lambda: seen() == ["before", "slow"])
        broker.kill()
        gate.open()
        mayfly.until(lambda: result(functions, uuid).startswith("PROBLEM: "))
        broker.start()
        broker.client().xadd("s", {"n": "after"})
        mayfly.until(lambda: seen() == ["before", "slow", "slow", "after"] and all_done())
        # Paused and deleted while its broker is down: nothing waits for it.
        broker.kill()
        functions.update_event_source_mapping(UUID=uuid, Enabled=False)
        enabled(functions, uuid, "Disabled")
        functions.delete_event_source_mapping(UUID=uuid)
        mayfly.until(lambda: functions.list_event_source_mappings(FunctionName="of-downtime")["EventSourceMappings"] == [])


REPORTS = """
import base64, json

seen = set()

def handler(event, context):
    print("BATCH " + json.dumps(event))
    records = [(r["id"], base64.b64decode(r["fields"]["n"]).decode()) for some in event["records"].values() for r in some]
    failed = [id for id, n in records if n == "3" and n not in seen]
    seen.update(n for _, n in records)
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
"""


def test_batches_wait_for_their_window_and_begin_again_at_what_failed(functions, logs, redis_server):
    client = redis_server.client()
    for number in range(1, 6):
        client.xadd("windowed", {"n": str(number)})
    mayfly.create(functions, "of-window", {"app.py": REPORTS}, Timeout=30)
    made = outside(functions, "of-window", ("REDIS_SERVERS", redis_server.address), {"Topics": ["windowed"]}, BatchSize=5,
                   StartingPosition="TRIM_HORIZON", MaximumBatchingWindowInSeconds=300, FunctionResponseTypes=["ReportBatchItemFailures"])
    uuid, group = made["UUID"], made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]

    def seen():
        return [[text(r["fields"]["n"]) for r in event["records"]["windowed"]] for event in batches(logs, "of-window")]

    mayfly.until(lambda: seen() == [["1", "2", "3", "4", "5"], ["3", "4", "5"]])
    mayfly.until(lambda: client.xpending("windowed", group)["pending"] == 0)
    # These come one after another, and are one batch all the same, as soon as that is full.
    for number in range(6, 11):
        client.xadd("windowed", {"n": str(number)})
        mayfly.until(lambda: number == 10 or client.xpending("windowed", group)["pending"] == number - 5)
    mayfly.until(lambda: seen()[2:] == [["6", "7", "8", "9", "10"]])
    # One that is not full is brought at the end of its window.
    functions.update_event_source_mapping(UUID=uuid, MaximumBatchingWindowInSeconds=1)
    client.xadd("windowed", {"n": "11"})
    mayfly.until(lambda: seen()[3:] == [["11"]])
    functions.delete_event_source_mapping(UUID=uuid)


@pytest.mark.parametrize("wrong, why", [
    ({"SelfManagedEventSource": {"Endpoints": {"PULSAR": ["a:1"]}}}, "selfManagedEventSource.endpoints"),
    ({"SelfManagedEventSource": {"Endpoints": {"REDIS_SERVERS": ["redis://me:hunter2@a:1"]}}}, "credentials"),
    ({"StartingPosition": "EARLIEST"}, "startingPosition"),
    ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp"),
    ({"Queues": ["q"]}, "Queues"),
    ({"ScalingConfig": {"MaximumConcurrency": 2}}, "ScalingConfig"),
    ({"SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "hunter2"}]}, "ARN of a secret"),
    ({"MaximumRecordAgeInSeconds": 10}, "MaximumRecordAgeInSeconds"),
    ({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:f"}}}, "destination"),
    ({"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}, "exclude"),
])
def test_what_no_source_is_like_is_refused(functions, wrong, why):
    try:
        keeps(functions, "of-nobody")
    except functions.exceptions.ResourceConflictException:
        pass
    good = {"SelfManagedEventSource": {"Endpoints": {"REDIS_SERVERS": ["127.0.0.1:1"]}}, "Topics": ["s"], "StartingPosition": "LATEST"}
    with pytest.raises(ClientError) as refused:
        functions.create_event_source_mapping(FunctionName="of-nobody", **{**good, **wrong})
    error = refused.value.response["Error"]
    assert error["Code"] in ("InvalidParameterValueException", "ValidationException") and why in error["Message"]
    assert "hunter2" not in error["Message"] or wrong.get("SourceAccessConfigurations")


def test_a_subject_of_jetstream_is_brought_to_its_function(functions, logs, nats_server):
    with nats_server.client() as jetstream:
        jetstream.add_stream(name="SHOP", subjects=["shop.>"])
        jetstream.publish("shop.orders.eu", b'{"total": 3}', headers={"Kind": "test"})
        jetstream.publish("shop.news", b"no order")
        keeps(functions, "of-nats")
        made = outside(functions, "of-nats", ("NATS_SERVERS", nats_server.address), {"Topics": ["shop.orders.*"]},
                       StartingPosition="TRIM_HORIZON", BatchSize=4, FunctionResponseTypes=["ReportBatchItemFailures"])
        [event] = mayfly.until(lambda: batches(logs, "of-nats"))
        assert event["eventSource"] == "mayfly:nats"
        [record] = event["records"]["shop.orders.*"]
        assert record["stream"] == "SHOP" and record["subject"] == "shop.orders.eu" and record["id"] == "1"
        assert record["headers"] == {"Kind": ["test"]} and text(record["data"]) == '{"total": 3}'
        for number in range(10):
            jetstream.publish("shop.orders.us", str(number).encode())
        seen = mayfly.until(lambda: len(found := records(logs, "of-nats")["shop.orders.*"]) == 11 and found)
        assert [text(one["data"]) for one in seen[1:]] == [str(n) for n in range(10)]
        assert max(len(event["records"]["shop.orders.*"]) for event in batches(logs, "of-nats")) <= 4
        group = made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
        mayfly.until(lambda: jetstream.consumer_info("SHOP", group).num_ack_pending == 0)
        functions.delete_event_source_mapping(UUID=made["UUID"])
        mayfly.until(lambda: jetstream.consumers_info("SHOP") == [])


def test_a_queue_of_rabbitmq_is_brought_to_its_function(functions, logs, rabbit_server):
    import pika
    connection = rabbit_server.client()
    channel = connection.channel()
    channel.queue_declare("orders", durable=True)
    channel.confirm_delivery()
    properties = pika.BasicProperties(content_type="text/plain", headers={"one": "value", "two": 10}, delivery_mode=2,
                                      priority=3, timestamp=2021, message_id="m-1", app_id="tests")
    channel.basic_publish("", "orders", b"hello", properties)
    keeps(functions, "of-rabbit")
    made = outside(functions, "of-rabbit", ("RABBITMQ_SERVERS", rabbit_server.address), {"Queues": ["orders"]}, BatchSize=4)
    assert made["Queues"] == ["orders"] and "StartingPosition" not in made
    [event] = mayfly.until(lambda: batches(logs, "of-rabbit"))
    assert event["eventSource"] == "aws:rmq"
    [record] = event["rmqMessagesByQueue"]["orders::/"]
    assert record == {
        "basicProperties": {
            "contentType": "text/plain", "contentEncoding": None, "deliveryMode": 2, "priority": 3, "correlationId": None,
            "headers": {"one": {"bytes": list(b"value")}, "two": 10}, "replyTo": None, "expiration": None,
            "messageId": "m-1", "timestamp": "Jan 1, 1970, 12:33:41 AM", "type": None, "userId": None, "appId": "tests",
            "clusterId": None, "bodySize": 5,
        },
        "redelivered": False,
        "data": base64.b64encode(b"hello").decode(),
    }
    for number in range(20):
        channel.basic_publish("", "orders", str(number).encode())
    seen = mayfly.until(lambda: len(found := records(logs, "of-rabbit")["orders::/"]) == 21 and found)
    assert [text(one["data"]) for one in seen[1:]] == [str(n) for n in range(20)]
    assert max(len(event["rmqMessagesByQueue"]["orders::/"]) for event in batches(logs, "of-rabbit")) <= 4
    functions.update_event_source_mapping(UUID=made["UUID"], Enabled=False)
    enabled(functions, made["UUID"], "Disabled")
    mayfly.until(lambda: channel.queue_declare("orders", passive=True).method.consumer_count == 0)
    assert channel.queue_declare("orders", passive=True).method.message_count == 0, "all were acknowledged"
    connection.close()


def test_a_topic_of_kafka_is_brought_to_its_function(functions, logs, kafka_server):
    from kafka import KafkaProducer
    kafka_server.create_topic("orders", partitions=3)
    producer = KafkaProducer(bootstrap_servers=kafka_server.address, acks="all", compression_type="gzip")
    producer.send("orders", key=b"k", value=b'{"total": 3}', headers=[("h", b"\xffok")], partition=1, timestamp_ms=1545084650987).get(120)
    keeps(functions, "of-kafka")
    made = outside(functions, "of-kafka", ("KAFKA_BOOTSTRAP_SERVERS", kafka_server.address), {"Topics": ["orders"]},
                   StartingPosition="TRIM_HORIZON", SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "mine"})
    assert made["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "mine"} and made["BatchSize"] == 100
    [event] = mayfly.until(lambda: batches(logs, "of-kafka"))
    assert event == {
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": kafka_server.address,
        "records": {"orders-1": [{
            "topic": "orders", "partition": 1, "offset": 0, "timestamp": 1545084650987, "timestampType": "CREATE_TIME",
            "key": base64.b64encode(b"k").decode(), "value": base64.b64encode(b'{"total": 3}').decode(),
            "headers": [{"h": [-1, 111, 107]}],
        }]},
    }
    for number in range(30):
        producer.send("orders", value=str(number).encode(), partition=number % 3)
    producer.flush()
    mayfly.until(lambda: sum(map(len, records(logs, "of-kafka").values())) == 31)
    seen = records(logs, "of-kafka")
    for partition in range(3):
        some = [int(text(one["value"])) for one in seen[f"orders-{partition}"] if one["key"] is None]
        assert some == list(range(partition, 30, 3)), "each partition in its order"
    # A later mapping that begins with what is new, and one that begins at a time.
    keeps(functions, "of-kafka-late")
    late = outside(functions, "of-kafka-late", ("KAFKA_BOOTSTRAP_SERVERS", kafka_server.address), {"Topics": ["orders"]},
                   StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=1600000000)
    mayfly.until(lambda: sum(map(len, records(logs, "of-kafka-late").values())) == 30)
    # A partition that comes later is read from its beginning, even by who wants only what is new.
    keeps(functions, "of-kafka-new")
    new = outside(functions, "of-kafka-new", ("KAFKA_BOOTSTRAP_SERVERS", kafka_server.address), {"Topics": ["orders"]},
                  StartingPosition="LATEST", BatchSize=1)
    mayfly.until(lambda: (producer.send("orders", value=b"new", partition=0).get(120), records(logs, "of-kafka-new"))[1], every=0.3)
    functions.update_event_source_mapping(UUID=new["UUID"], Enabled=False)
    enabled(functions, new["UUID"], "Disabled")
    kafka_server.add_partitions("orders", 4)
    producer.close()
    # Asked again soon: the broker may hear of the partition only after it was said to be made.
    producer = KafkaProducer(bootstrap_servers=kafka_server.address, acks="all", metadata_max_age_ms=1000)
    mayfly.until(lambda: 3 in producer.partitions_for("orders"))
    producer.send("orders", value=b"later", partition=3).get(120)
    functions.update_event_source_mapping(UUID=new["UUID"], Enabled=True)
    mayfly.until(lambda: "orders-3" in records(logs, "of-kafka-new"))
    producer.close()
    for one in (made, late, new):
        functions.delete_event_source_mapping(UUID=one["UUID"])


def test_changes_of_postgresql_are_brought_to_their_function(postgres_server):
    secret = postgres_server.directory / "secret.json"
    secret.write_text(json.dumps({"username": "mayfly", "password": "pencil"}))
    with mayfly.server(f'[secrets]\npostgres = "{secret}"\n') as cloud, postgres_server.client() as database:
        functions, logs = cloud.client("lambda"), cloud.client("logs")
        database.execute("CREATE TABLE orders (id int PRIMARY KEY, total numeric, paid bool, extra jsonb)")
        database.execute("ALTER TABLE orders REPLICA IDENTITY FULL")
        database.execute("CREATE PUBLICATION shop FOR TABLE orders")
        keeps(functions, "of-postgres")
        secret_arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:postgres"
        made = outside(functions, "of-postgres", ("POSTGRESQL_SERVERS", f"postgresql://{postgres_server.address}/postgres"),
                       {"Topics": ["shop"]}, StartingPosition="LATEST", BatchSize=10,
                       SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": secret_arn}])
        assert made["SourceAccessConfigurations"] == [{"Type": "BASIC_AUTH", "URI": secret_arn}]
        slot = made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]

        def active():
            return database.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [slot]).fetchall() == [(True,)]

        mayfly.until(active)
        with database.transaction():
            database.execute("INSERT INTO orders VALUES (1, 12.50, false, %s)", ['{"a": [1]}'])
            database.execute("UPDATE orders SET paid = true WHERE id = 1")
        database.execute("DELETE FROM orders")
        seen = mayfly.until(lambda: len(found := records(logs, "of-postgres").get("shop", [])) == 3 and found)
        inserted, updated, deleted = seen
        row = {"id": 1, "total": "12.50", "paid": False, "extra": {"a": [1]}}
        assert (inserted["operation"], inserted["new"], inserted["old"]) == ("INSERT", row, None)
        assert (updated["operation"], updated["old"], updated["new"]) == ("UPDATE", row, {**row, "paid": True})
        assert (deleted["operation"], deleted["old"], deleted["new"]) == ("DELETE", {**row, "paid": True}, None)
        assert inserted["schema"] == "public" and inserted["table"] == "orders"
        assert inserted["types"] == {"id": "int4", "total": "numeric", "paid": "bool", "extra": "jsonb"}
        assert inserted["transaction"]["id"] == updated["transaction"]["id"] != deleted["transaction"]["id"]
        database.execute("INSERT INTO orders SELECT n, n, true FROM generate_series(1, 3000) AS n")
        seen = mayfly.until(
            lambda: len(found := records(logs, "of-postgres")["shop"]) == 3003 and found, seconds=600, every=0.5)
        assert [one["new"]["id"] for one in seen[3:]] == list(range(1, 3001)), "in order, once"

        def confirmed():
            lag = "SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s"
            return database.execute(lag, [slot]).fetchone()[0] < 1000

        mayfly.until(confirmed)
        # A password that is wrong is told, and is no use to anybody who reads that.
        secret.write_text(json.dumps({"username": "mayfly", "password": "hunter2"}))
        functions.update_event_source_mapping(UUID=made["UUID"], BatchSize=9)
        told = trouble(lambda: result(functions, made["UUID"]), "password authentication failed")
        assert "hunter2" not in told
        secret.write_text(json.dumps({"username": "mayfly", "password": "pencil"}))
        mayfly.until(active)
        functions.delete_event_source_mapping(UUID=made["UUID"])
        mayfly.until(lambda: database.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,))


def test_messages_of_mqtt_are_brought_to_their_function(functions, logs, mqtt_server):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    keeps(functions, "of-mqtt")
    with mqtt_server.client() as client:
        brokers.send(client, "shop/orders/eu", b"kept", retain=True)
        made = outside(functions, "of-mqtt", ("MQTT_BROKERS", f"mqtt://{mqtt_server.address}"), {"Topics": ["shop/orders/+"]},
                       BatchSize=4, FilterCriteria={"Filters": [{"Pattern": json.dumps({"data": [{"anything-but": "cheap"}]})}]})
        assert made["Topics"] == ["shop/orders/+"] and "StartingPosition" not in made
        uuid, group = made["UUID"], made["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]

        def seen():
            return [text(one["data"]) for one in records(logs, "of-mqtt").get("shop/orders/+", [])]

        mayfly.until(lambda: seen() == ["kept"])
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType, properties.UserProperty, properties.CorrelationData = "text/plain", ("k", "v"), b"\xff"
        brokers.send(client, "shop/orders/us", b"7", properties=properties)
        mayfly.until(lambda: seen() == ["kept", "7"])
        event = batches(logs, "of-mqtt")[1]
        assert event["eventSource"] == "mayfly:mqtt" and event["servers"] == mqtt_server.address
        assert event["records"]["shop/orders/+"] == [{
            "id": "2", "topic": "shop/orders/us", "qos": 1, "duplicate": False, "retained": False, "contentType": "text/plain",
            "responseTopic": None, "correlationData": "/w==", "messageExpiryInterval": None,
            "userProperties": [{"name": "k", "value": "v"}], "data": base64.b64encode(b"7").decode()}]
        for number in range(300):
            brokers.send(client, "shop/orders/us", "cheap" if number % 3 else str(number))
        expected = ["kept", "7"] + [str(number) for number in range(0, 300, 3)]
        assert mayfly.until(lambda: len(found := seen()) == len(expected) and found) == expected, "in order, once"
        assert max(len(event["records"]["shop/orders/+"]) for event in batches(logs, "of-mqtt")) <= 4

        # What is sent while the mapping is paused waits for it, and what is retained does not come a second time.
        functions.update_event_source_mapping(UUID=uuid, Enabled=False)
        enabled(functions, uuid, "Disabled")
        brokers.send(client, "shop/orders/us", b"paused")
        functions.update_event_source_mapping(UUID=uuid, Enabled=True)
        expected += ["paused"]
        mayfly.until(lambda: seen() == expected)
        assert result(functions, uuid) == "OK"

        # A broker that begins anew knows no session any more, and the mapping makes another.
        mqtt_server.kill()
        mayfly.until(lambda: result(functions, uuid).startswith("PROBLEM: "))
        mqtt_server.start()
        mayfly.until(lambda: result(functions, uuid) == "OK" and client.is_connected())
        brokers.send(client, "shop/orders/eu", b"again")
        expected += ["again"]
        mayfly.until(lambda: seen() == expected)

        # Mappings that share a subscription have each message once together; without, each has every message.
        keeps(functions, "of-mqtt-too")
        shared = [outside(functions, function, ("MQTT_BROKERS", mqtt_server.address), {"Topics": ["$share/g/work"]})
                  for function in ("of-mqtt", "of-mqtt-too")]
        mayfly.until(lambda: (brokers.send(client, "work", b"warm"), all(
            "$share/g/work" in records(logs, function) for function in ("of-mqtt", "of-mqtt-too")))[1])
        for number in range(20):
            brokers.send(client, "work", f"n{number}")

        def shares():
            both = [records(logs, function)["$share/g/work"] for function in ("of-mqtt", "of-mqtt-too")]
            return [text(one["data"]) for some in both for one in some if text(one["data"]).startswith("n")]

        mayfly.until(lambda: sorted(shares()) == sorted(f"n{number}" for number in range(20)))
        for one in [made, *shared]:
            functions.delete_event_source_mapping(UUID=one["UUID"])
        mayfly.until(lambda: not any(one in json.dumps(functions.list_event_source_mappings(), default=str) for one in [uuid]))
        assert not mqtt_server.has_session(group)
        brokers.send(client, "shop/orders/eu", b"", retain=True)


def test_brokers_over_tls_are_checked_and_logged_in_to(tmp_path, rabbit_server, kafka_server, postgres_server):
    from kafka import KafkaProducer
    authority, believed = authorities.Authority(tmp_path), tmp_path / "believed.pem"
    believed.write_text("".join(one.pem.read_text() for one in [
        authority, rabbit_server.authority, kafka_server.authority, postgres_server.authority]))
    secrets, first, topics = {}, {"StartingPosition": "TRIM_HORIZON"}, {"Topics": ["s"]}

    def login(name, user, password, kind="BASIC_AUTH"):
        secrets[name] = (user, password)
        arn = f"arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}"
        return {"SourceAccessConfigurations": [{"Type": kind, "URI": arn}]}

    def keep(password=None):
        """What the servers are told; another password than the one that is right, if there is one."""
        for name, (user, right) in secrets.items():
            (tmp_path / name).write_text(json.dumps({"username": user, "password": password or right}))

    with (brokers.running(brokers.Redis, authority) as redis, brokers.running(brokers.Nats, authority) as nats,
          brokers.running(brokers.Mosquitto, authority) as mqtt, nats.client() as jetstream, mqtt.client() as publisher,
          contextlib.closing(rabbit_server.client()) as connection, postgres_server.client() as database):
        redis.client().xadd("s", {"n": "1"})
        jetstream.add_stream(name="S", subjects=["s"])
        jetstream.publish("s", b"1")
        brokers.send(publisher, "s", b"1", retain=True)
        channel = connection.channel()
        channel.queue_declare("s", durable=True)
        channel.confirm_delivery()
        with contextlib.closing(KafkaProducer(bootstrap_servers=kafka_server.address, acks="all")) as producer:
            for topic in ("s", "scram"):
                kafka_server.create_topic(topic, partitions=1)
                producer.send(topic, b"1").get(120)
        channel.basic_publish("", "s", b"1")
        database.execute("CREATE TABLE s (id int)")
        database.execute("CREATE PUBLICATION s FOR TABLE s")

        def change():
            """A slot tells of what comes after it."""
            mayfly.until(lambda: database.execute("SELECT bool_or(active) FROM pg_replication_slots").fetchone() == (True,))
            database.execute("INSERT INTO s VALUES (1)")

        kafka = ("KAFKA_BOOTSTRAP_SERVERS", f"kafkas://localhost:{kafka_server.tls_port}")
        sources = [
            (("REDIS_SERVERS", f"rediss://localhost:{redis.tls_port}"), {**login("redis", "default", "pencil"), **topics, **first}),
            (("NATS_SERVERS", f"tls://localhost:{nats.port}"), {**login("nats", "mayfly", "pencil"), **topics, **first}),
            (("MQTT_BROKERS", f"mqtts://localhost:{mqtt.port}"), {**login("mqtt", "mayfly", "pencil"), **topics}),
            (("RABBITMQ_SERVERS", f"amqps://localhost:{rabbit_server.tls_port}"), {**login("rabbit", "guest", "guest"), "Queues": ["s"]}),
            (kafka, {**login("plain", "mayfly", "pencil"), **topics, **first}),
            (kafka, {**login("scram", "mayfly", "pencil", "SASL_SCRAM_512_AUTH"), "Topics": ["scram"], **first}),
            (("POSTGRESQL_SERVERS", f"localhost:{postgres_server.port}?sslmode=require"),
             {**login("postgres", "mayfly", "pencil"), **topics}),
        ]
        config = "[secrets]\n" + "".join(f'{name} = "{tmp_path / name}"\n' for name in secrets)

        def mapped(functions, function):
            keeps(functions, function)
            return [outside(functions, function, servers, source)["UUID"] for servers, source in sources]

        def troubles(functions, function, pattern):
            for uuid in mapped(functions, function):
                yield trouble(lambda: result(functions, uuid), pattern)

        with mayfly.server(f'certificate_authorities = "{believed}"\n' + config) as cloud:
            functions, logs = cloud.client("lambda"), cloud.client("logs")
            keep()
            uuids = mapped(functions, "of-tls")
            change()
            mayfly.until(lambda: len(batches(logs, "of-tls")) == len(sources))
            for one in uuids:
                deleted(functions, one)
            # A password that is wrong is told, and is no use to anybody who reads that.
            keep("hunter2")
            refused = "authentication ?failed|authorization violation|not authorized|bad user|ACCESS.REFUSED"
            for told in troubles(functions, "of-nobody", refused):
                assert "hunter2" not in told, told
        with mayfly.server(config) as cloud:
            functions = cloud.client("lambda")
            for told in troubles(functions, "of-tls", "certificate"):
                assert "localhost" in told, told


def deleted(functions, uuid):
    functions.delete_event_source_mapping(UUID=uuid)
    mayfly.until(lambda: uuid not in json.dumps(functions.list_event_source_mappings(), default=str))


# Copies what a batch holds to a queue, before its answer.
COPIES_RECORDS = COPIES[: COPIES.index("def handler")] + """
import base64

def body(record):
    if "new" in record:
        return str(record["new"]["id"])
    data = record["fields"]["n"] if "fields" in record else record.get("value") or record["data"]
    return base64.b64decode(data).decode()

def handler(event, context):
    records = [r for some in (event.get("records") or event["rmqMessagesByQueue"]).values() for r in some]
    entries = [{"Id": str(n), "MessageBody": body(r), "MessageGroupId": "g"} for n, r in enumerate(records)]
    sent = call("SendMessageBatch", {"QueueUrl": os.environ["SEEN"], "Entries": entries})
    assert not sent.get("Failed"), sent
"""


@contextlib.contextmanager
def senders(redis_server, nats_server, rabbit_server, kafka_server, postgres_server, mqtt_server):
    """For each broker: its endpoint, what a mapping of it says, and what sends it one message and returns once it is there."""
    from kafka import KafkaProducer
    with contextlib.ExitStack() as stack:
        client = redis_server.client()
        jetstream = stack.enter_context(nats_server.client())
        jetstream.add_stream(name="KILLS", subjects=["kills"])
        connection = rabbit_server.client()
        stack.callback(connection.close)
        channel = connection.channel()
        channel.queue_declare("kills", durable=True)
        channel.confirm_delivery()
        piped = stack.enter_context(contextlib.closing(rabbit_server.client())).channel()
        piped.queue_declare("kills-piped", durable=True)
        piped.confirm_delivery()
        for topic in ("kills", "kills-piped"):
            kafka_server.create_topic(topic, partitions=1)
        producer = KafkaProducer(bootstrap_servers=kafka_server.address, acks="all")
        stack.callback(producer.close)
        database = stack.enter_context(postgres_server.client())
        database.execute("CREATE TABLE kills (id int)")
        database.execute("CREATE PUBLICATION kills FOR TABLE kills")
        publisher = stack.enter_context(mqtt_server.client())
        older = stack.enter_context(contextlib.closing(brokers.OlderMqtt(mqtt_server)))
        first, topic = {"StartingPosition": "TRIM_HORIZON"}, {"Topics": ["kills"]}
        login = {"SourceAccessConfigurations": [
            {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:postgres-AbCdEf"}]}
        yield {
            "redis": (("REDIS_SERVERS", redis_server.address), {**topic, **first}, lambda n: client.xadd("kills", {"n": n})),
            "nats": (("NATS_SERVERS", nats_server.address), {**topic, **first}, lambda n: jetstream.publish("kills", n.encode())),
            "rabbit": (("RABBITMQ_SERVERS", rabbit_server.address), {"Queues": ["kills"]},
                       lambda n: channel.basic_publish("", "kills", n.encode())),
            "kafka": (("KAFKA_BOOTSTRAP_SERVERS", kafka_server.address), {**topic, **first},
                      lambda n: producer.send("kills", n.encode()).get(120)),
            "postgres": (("POSTGRESQL_SERVERS", postgres_server.address), {**topic, **login},
                         lambda n: database.execute(f"INSERT INTO kills VALUES ({n})")),
            "mqtt": (("MQTT_BROKERS", mqtt_server.address), topic, lambda n: brokers.send(publisher, "kills", n)),
            "mqtt-3": (("MQTT_BROKERS", older.address), {"Topics": ["kills/older"]},
                       lambda n: brokers.send(publisher, "kills/older", n)),
            "kafka-pipe": (f"smk://{kafka_server.address}", {"SelfManagedKafkaParameters": {"TopicName": "kills-piped"}},
                           lambda n: producer.send("kills-piped", n.encode()).get(120)),
            "rabbit-pipe": (f"amqp://{rabbit_server.address}", {"RabbitMQBrokerParameters": {
                "QueueName": "kills-piped", "Credentials": {"BasicAuth": RABBIT}}},
                            lambda n: piped.basic_publish("", "kills-piped", n.encode())),
        }


def test_kill_9_under_load_of_every_source_loses_nothing(
        tmp_path, redis_server, nats_server, rabbit_server, kafka_server, postgres_server, mqtt_server):
    """Publishers work while the server is killed that brings what they send to functions. Each function copies what it
    was given to a queue of its own before its answer, so that queue tells what was handed over, and in which order first.
    Pipes bring it to queues of theirs: from Kafka exactly once, since its cursor is written in the same commit."""
    secret = postgres_server.directory / "secret.json"
    secret.write_text(json.dumps({"username": "mayfly", "password": "pencil"}))
    all_brokers = (redis_server, nats_server, rabbit_server, kafka_server, postgres_server, mqtt_server)
    config = f'[secrets]\npostgres = "{secret}"\n' + rabbit_secret(tmp_path)
    with mayfly.server(config) as running, senders(*all_brokers) as sources:
        aws, functions = running.client("sqs"), running.client("lambda")
        seen = {}
        for name, (servers, source, send) in sources.items():
            if name == "kafka-pipe":
                # Nothing is deduplicated here.
                seen[name], arn = queue(aws, f"seen-{name}")
                piped(running, name, servers, arn, source, {"InputTemplate": "<$.value>"})
            elif name == "rabbit-pipe":
                seen[name], arn = queue(aws, f"seen-{name}.fifo", **FIFO, ContentBasedDeduplication="true")
                piped(running, name, servers, arn, source, {
                    "InputTemplate": "<$.data>", "SqsQueueParameters": {"MessageGroupId": "g"}})
            else:
                seen[name], _ = queue(aws, f"seen-{name}.fifo", **FIFO, ContentBasedDeduplication="true")
                copies = {"Environment": {"Variables": {"SEEN": seen[name]}}, "Timeout": 60}
                mayfly.create(functions, name, {"app.py": COPIES_RECORDS}, **copies)
                outside(functions, name, servers, source, BatchSize=10)
            # A slot begins when the mapping does: what comes before is not its own.
            mayfly.until(lambda: (send("0"), left(aws, seen[name]))[1], every=0.3)

        def publish(send, numbers):
            for number in numbers:
                send(str(number))
                time.sleep(0.01)

        rounds, each = 2, 100
        for round in range(rounds):
            before = {name: left(aws, url) for name, url in seen.items()}
            numbers = range(round * each + 1, (round + 1) * each + 1)
            with futures.ThreadPoolExecutor(len(sources)) as publishers:
                work = [publishers.submit(publish, send, numbers) for _, _, send in sources.values()]
                mayfly.until(lambda: all(left(aws, seen[name]) > before[name] for name in seen))
                running.kill()
            for one in work:
                one.result()
            running.start()
        sent, got = set(range(1, rounds * each + 1)), {name: [] for name in seen}

        def all_of_it():
            for name, url in seen.items():
                while some := aws.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                    got[name] += [int(message["Body"]) for message in some]
                    entries = [{"Id": one["MessageId"], "ReceiptHandle": one["ReceiptHandle"]} for one in some]
                    assert not aws.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")
            return all(sent <= set(some) for some in got.values())

        # The bound is for what is lost alone.
        deadline = time.monotonic() + 300
        while not all_of_it() and time.monotonic() < deadline:
            time.sleep(0.1)
        missing = {name: sorted(sent - set(some)) for name, some in got.items() if not sent <= set(some)}
        assert not missing, f"lost by source: {missing}"
        # A queue that is not FIFO has no order.
        unordered = [name for name, some in got.items() if name not in ("nats", "kafka-pipe") and some != sorted(some)]
        assert not unordered, f"out of order: {unordered}"
        once = sorted(n for n in got["kafka-pipe"] if n > 0)
        assert once == sorted(sent), "each exactly once"


def test_a_template_maps_brokers(cloud, functions, logs, redis_server, tmp_path):
    (tmp_path / "app.py").write_text(KEEPS)
    template = tmp_path / "template.yaml"
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "FunctionName": "of-template", "Handler": "app.handler", "Runtime": "python3.11", "CodeUri": ".",
            "Events": {
                "Kafka": {"Type": "SelfManagedKafka", "Properties": {
                    "KafkaBootstrapServers": ["127.0.0.1:1"], "Topics": ["t"], "StartingPosition": "LATEST", "ConsumerGroupId": "g"}},
                "Rabbit": {"Type": "MQ", "Properties": {"Broker": "amqp://127.0.0.1:1", "Queues": ["q"], "Enabled": False}},
            },
        },
    }
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": {"Ref": "F"}, "Topics": ["templated"], "StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 2,
            "SelfManagedEventSource": {"Endpoints": {"REDIS_SERVERS": [redis_server.address]}},
        },
    }
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function, "M": mapping}}))
    cloud.run("deploy", tmp_path, "--stack", "brokers")
    made = functions.list_event_source_mappings(FunctionName="of-template")["EventSourceMappings"]
    kinds = {next(iter(one["SelfManagedEventSource"]["Endpoints"])): one for one in made}
    assert kinds["KAFKA_BOOTSTRAP_SERVERS"]["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"] == "g"
    assert kinds["RABBITMQ_SERVERS"]["State"] == "Disabled" and kinds["RABBITMQ_SERVERS"]["Queues"] == ["q"]
    assert kinds["REDIS_SERVERS"]["MaximumRetryAttempts"] == 2 and kinds["REDIS_SERVERS"]["BatchSize"] == 100
    redis_server.client().xadd("templated", {"n": "1"})
    mayfly.until(lambda: records(logs, "of-template"))
    mayfly.until(lambda: result(functions, kinds["KAFKA_BOOTSTRAP_SERVERS"]["UUID"]).startswith("PROBLEM: Cannot reach 127.0.0.1:1"))
    mapping["Properties"]["MaximumRetryAttempts"] = 5
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function, "M": mapping}}))
    cloud.run("deploy", tmp_path, "--stack", "brokers")
    assert functions.get_event_source_mapping(UUID=kinds["REDIS_SERVERS"]["UUID"])["MaximumRetryAttempts"] == 5
    cloud.run("delete", "--stack", "brokers", "--yes")
    assert functions.list_event_source_mappings()["EventSourceMappings"] == [] or "of-template" not in json.dumps(
        functions.list_event_source_mappings()["EventSourceMappings"], default=str)
