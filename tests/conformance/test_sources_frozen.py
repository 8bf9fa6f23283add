"""Brokers that stop in the middle, as a machine does that swaps or a virtual one that is moved: their connections stay and
nothing answers. That is told, what functions have in hand is done, and all goes on by itself afterwards."""

import base64
import contextlib
import json

import brokers
import mayfly
from mayfly import create, until
from test_sources import WAITS, Gate, deleted, outside, records, result, trouble

SILENT = "does not answer|no heartbeat"


def test_redis_rabbitmq_and_kafka_go_on(cloud, functions, logs, redis_server, rabbit_server, kafka_server):
    from kafka import KafkaProducer
    gate, name, topics = Gate(cloud, "of-frozen"), "of-frozen", {"Topics": ["frozen"], "StartingPosition": "TRIM_HORIZON"}
    create(functions, name, {"app.py": WAITS}, **gate.more)
    kafka_server.create_topic("frozen", partitions=1)
    with (contextlib.closing(KafkaProducer(bootstrap_servers=kafka_server.address, acks="all")) as producer,
          contextlib.closing(rabbit_server.client()) as connection):
        channel, client = connection.channel(), redis_server.client()
        channel.queue_declare("frozen", durable=True)
        channel.confirm_delivery()
        sources = {
            "frozen": (("REDIS_SERVERS", redis_server.address), topics, lambda data: client.xadd("frozen", {"n": data})),
            "frozen::/": (("RABBITMQ_SERVERS", rabbit_server.address), {"Queues": ["frozen"]},
                          lambda data: channel.basic_publish("", "frozen", data)),
            "frozen-0": (("KAFKA_BOOTSTRAP_SERVERS", kafka_server.address), topics,
                         lambda data: producer.send("frozen", data).get(120)),
        }
        made = [outside(functions, name, servers, source) for servers, source, _ in sources.values()]
        uuids = [one["UUID"] for one in made]

        def seen(data):
            bodies = {line: [one.get("fields", {}).get("n") or one.get("value") or one.get("data") for one in some]
                      for line, some in records(logs, name).items()}
            return all(base64.b64encode(data).decode() in bodies.get(line, []) for line in sources)

        for _, _, send in sources.values():
            send(b"slow")
        until(lambda: seen(b"slow"))
        # What the functions have in hand is done while nobody can be told.
        with redis_server.frozen(), rabbit_server.frozen(), kafka_server.frozen():
            gate.open()
            for one in uuids:
                trouble(lambda: result(functions, one), SILENT)
        until(lambda: all(result(functions, one) == "OK" for one in uuids))
        for _, _, send in sources.values():
            send(b"after")
        until(lambda: seen(b"after"))
        group = made[0]["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
        until(lambda: client.xpending("frozen", group)["pending"] == 0)
        for one in uuids:
            deleted(functions, one)
        assert channel.queue_declare("frozen", passive=True).method.message_count == 0, "all were acknowledged"


PRINTS = """
import base64, json

def data(record):
    return str(record["new"]["n"]) if "new" in record else base64.b64decode(record["data"]).decode()

def handler(event, context):
    print("GOT", json.dumps([data(r) for some in event["records"].values() for r in some]), flush=True)
"""


def test_nats_mqtt_and_postgresql_go_on(tmp_path, nats_server, mqtt_server, postgres_server):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"username": "mayfly", "password": "pencil"}))
    config = f'[secrets]\nfrozen-postgres = "{secret}"\n'
    login = {"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:frozen-postgres-AbCdEf"}
    topics = {"Topics": ["frozen"]}
    with (mayfly.server(config) as running, nats_server.client() as jetstream, mqtt_server.client() as publisher,
          postgres_server.client() as database):
        functions, logs = running.client("lambda"), running.client("logs")
        jetstream.add_stream(name="FROZEN", subjects=["frozen"])
        database.execute("CREATE TABLE frozen (n int)")
        database.execute("CREATE PUBLICATION frozen FOR TABLE frozen")
        sources = {
            "nats": (("NATS_SERVERS", nats_server.address), {**topics, "StartingPosition": "TRIM_HORIZON"},
                     lambda n: jetstream.publish("frozen", str(n).encode())),
            "mqtt": (("MQTT_BROKERS", mqtt_server.address), topics, lambda n: brokers.send(publisher, "frozen", str(n))),
            "postgres": (("POSTGRESQL_SERVERS", postgres_server.address), {**topics, "SourceAccessConfigurations": [login]},
                         lambda n: database.execute(f"INSERT INTO frozen VALUES ({n})")),
        }

        def got(name, n):
            lines = mayfly.logged(logs, name, "GOT")
            return str(n) in [one for line in lines for one in json.loads(line.split("GOT ", 1)[1])]

        uuids = {}
        for name, (servers, source, send) in sources.items():
            create(functions, name, {"app.py": PRINTS}, Timeout=60)
            uuids[name] = outside(functions, name, servers, source)["UUID"]
            # A slot begins when the mapping does: what comes before is not its own.
            until(lambda: (send(0), got(name, 0))[1], every=0.3)
        with nats_server.frozen(), mqtt_server.frozen(), postgres_server.frozen():
            for uuid in uuids.values():
                trouble(lambda: result(functions, uuid), SILENT)
        for name, (_, _, send) in sources.items():
            until(lambda: result(functions, uuids[name]) == "OK")
            send(1)
            until(lambda: got(name, 1))
            deleted(functions, uuids[name])
