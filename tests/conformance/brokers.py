"""Real brokers for tests of external sources: each in a directory of its own, on loopback, ended with the session."""

import asyncio
import contextlib
import glob
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

import authorities
import mayfly

CACHE = mayfly.ROOT / ".cache"
NEEDED = "not installed; tests/setup.sh would"
# Ports that some broker has, whether it runs or not.
GIVEN = set()


def free_port():
    """A port that is free and stays so: from below those that the kernel gives to whoever asks for any."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(first - 12_000, first) if first > 14_000 else range(61_000, 65_536)
    while True:
        port = random.choice(ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in GIVEN:
                GIVEN.add(port)
                return port


def program(*names):
    """The first of these programs that is there."""
    for name in names:
        found = sorted(glob.glob(name)) or [path for path in [shutil.which(name)] if path]
        if found:
            return found[-1]
    pytest.skip(f"{names[0]}: {NEEDED}")


class Broker:
    """A server on `port` that is started with `command` and can be killed and started again."""

    env = {}
    user = None

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mayfly-broker-"))
        self.port = free_port()
        self.process = None
        self.prepare()

    def prepare(self):
        pass

    def start(self):
        flags = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.directory, env={**os.environ, **self.env},
                start_new_session=True, **flags)
        mayfly.until(self.answers, seconds=300)
        return self

    def answers(self):
        assert self.process.poll() is None, (self.directory / "broker.log").read_text(errors="replace")[-3000:]
        try:
            return self.ready()
        except Exception:
            return False

    def ready(self):
        socket.create_connection(("127.0.0.1", self.port), timeout=mayfly.PATIENCE).close()
        return True

    @contextlib.contextmanager
    def frozen(self):
        """Its connections stay, and nothing answers."""
        # Each by itself: those of PostgreSQL have process groups of their own.
        stopped = mayfly.family(self.process.pid)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)

    def kill(self):
        """kill -9, with whatever it has started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"


class Redis(Broker):
    login, flags, tls_port = {}, [], None

    def secure(self, authority):
        """Over TLS too, and with a password; before it starts."""
        self.tls_port, self.login = free_port(), {"password": "pencil"}
        certificate, key = authority.certificate("DNS:localhost", "IP:127.0.0.1")
        self.flags = ["--tls-port", str(self.tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
                      "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority.pem), "--requirepass", "pencil"]

    def command(self):
        return [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
                "--save", "", "--appendonly", "yes", "--appendfsync", "always", *self.flags]

    def client(self):
        import redis
        # By itself it gives up after five seconds, and sends again what may have been done.
        patience = {"socket_timeout": mayfly.PATIENCE, "socket_connect_timeout": mayfly.PATIENCE}
        return redis.Redis(port=self.port, **patience, **self.login)

    def ready(self):
        return self.client().ping()


class Nats(Broker):
    flags, options = [], {}

    def secure(self, authority):
        """Over TLS alone, and with a password; before it starts."""
        certificate, key = authority.certificate("DNS:localhost", "IP:127.0.0.1")
        self.flags = ["--tls", "--tlscert", str(certificate), "--tlskey", str(key), "--user", "mayfly", "--pass", "pencil"]
        self.options = {"tls": ssl.create_default_context(cafile=authority.pem), "user": "mayfly", "password": "pencil"}

    def command(self):
        return [program("nats-server"), "-js", "-sd", str(self.directory), "-a", "127.0.0.1", "-p", str(self.port), *self.flags]

    @contextlib.contextmanager
    def client(self):
        """JetStream, whose client is asynchronous, for code that is not."""
        import nats
        loop = asyncio.new_event_loop()
        options = {"connect_timeout": 60, **self.options}
        connection = loop.run_until_complete(nats.connect(f"nats://localhost:{self.port}", **options))
        jetstream = connection.jetstream(timeout=120)

        class Blocking:
            def __getattr__(self, name):
                return lambda *args, **more: loop.run_until_complete(getattr(jetstream, name)(*args, **more))

        try:
            yield Blocking()
        finally:
            loop.run_until_complete(connection.close())
            loop.close()


class Mosquitto(Broker):
    """Of MQTT. What it keeps for those who are away has no bound but the disk's."""

    settings, login, tls = "allow_anonymous true\n", None, None

    def secure(self, authority):
        """Over TLS alone, and with a password; before it starts."""
        certificate, key = authority.certificate("DNS:localhost", "IP:127.0.0.1")
        passwords = self.directory / "passwords"
        passwords.touch(mode=0o600)
        self.login = ("mayfly", "pencil")
        subprocess.run([program("mosquitto_passwd", "/usr/bin/mosquitto_passwd"), "-b", passwords, *self.login], check=True)
        self.settings = f"certfile {certificate}\nkeyfile {key}\nallow_anonymous false\npassword_file {passwords}\n"
        self.tls = ssl.create_default_context(cafile=authority.pem)

    def command(self):
        conf = self.directory / "mosquitto.conf"
        # As root it would give up being so, and read neither keys nor passwords.
        conf.write_text(f"user root\nmax_queued_messages 0\nlistener {self.port} 127.0.0.1\n{self.settings}")
        return [program("/usr/sbin/mosquitto", "mosquitto"), "-c", str(conf)]

    @contextlib.contextmanager
    def client(self, name="", **options):
        """Connected, and once it is not needed, gone with its session."""
        from paho.mqtt import client as mqtt
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv5)
        if self.login:
            client.username_pw_set(*self.login)
        if self.tls:
            client.tls_set_context(self.tls)
        greetings = []
        client.on_connect = lambda client, data, flags, reason, properties: greetings.append((flags, reason))
        # By itself it waits longer each time, up to two minutes.
        client.reconnect_delay_set(1, 1)
        client.connect("localhost", self.port, **options)
        client.loop_start()
        try:
            mayfly.until(lambda: greetings)
            client.session_present = greetings[0][0].session_present
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def ready(self):
        with self.client():
            return True

    def has_session(self, name):
        with self.client(name, clean_start=False) as client:
            return client.session_present


def send(client, topic, payload, **options):
    """Publishes to an MQTT broker, and returns once that has it."""
    message = client.publish(topic, payload, qos=1, **options)
    message.wait_for_publish(120)
    assert message.is_published()


class OlderMqtt:
    """Before an MQTT broker: what refuses version 5, as brokers did that knew 3.1.1 alone."""

    def __init__(self, broker):
        self.broker, self.listener = broker, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.answer, args=self.listener.accept()[:1], daemon=True).start()

    def answer(self, client):
        with client, contextlib.suppress(OSError):
            hello = client.recv(1024)
            # The version is behind the packet's head and the protocol's name.
            if hello[8] != 4:
                client.sendall(b"\x20\x02\x00\x01")
                return
            with socket.create_connection(("127.0.0.1", self.broker.port)) as broker:
                broker.sendall(hello)
                threading.Thread(target=self.copy, args=(broker, client), daemon=True).start()
                self.copy(client, broker)

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        # Whoever waits in accept wakes up.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class RabbitMq(Broker):
    """Over TLS too, with a certificate of its own authority."""

    def prepare(self):
        home, epmd = str(self.directory), free_port()
        self.authority, self.tls_port = authorities.Authority(self.directory), free_port()
        certificate, key = self.authority.certificate("DNS:localhost")
        conf = self.directory / "rabbitmq.conf"
        conf.write_text(f"listeners.ssl.default = 127.0.0.1:{self.tls_port}\nssl_options.certfile = {certificate}\n"
                        f"ssl_options.keyfile = {key}\nssl_options.cacertfile = {self.authority.pem}\n"
                        "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n")
        (self.directory / "plugins").write_text("[].")
        self.env = {
            "HOME": home, "ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"mayfly{self.port}@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": home, "RABBITMQ_LOG_BASE": home, "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins", "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_CONFIG_FILE": str(conf), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        # Its own port mapper, as a child of ours: the one that a node starts outlives it.
        self.mapper = subprocess.Popen([program("epmd"), "-port", str(epmd), "-address", "127.0.0.1"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def command(self):
        return [program("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")]

    def client(self):
        import pika
        # No heartbeats: a blocking connection gives them only while it is used.
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, heartbeat=0, socket_timeout=mayfly.PATIENCE, stack_timeout=mayfly.PATIENCE))

    def ready(self):
        super().ready()
        self.client().close()
        return True

    def close(self):
        super().close()
        self.mapper.kill()
        self.mapper.wait()


class PostgreSql(Broker):
    """Its user has a password, which is asked for, and it speaks TLS to who wants that."""

    def prepare(self):
        self.bin = pathlib.Path(program("/usr/lib/postgresql/*/bin/postgres", "postgres")).parent
        self.user = mayfly.ORDINARY if os.geteuid() == 0 else None
        flags = {}
        if self.user:
            os.chown(self.directory, self.user, self.user)
            flags = {"user": self.user, "group": self.user, "extra_groups": []}
        (self.directory / "password").write_text("pencil")
        os.chmod(self.directory / "password", 0o644)
        self.authority = authorities.Authority(self.directory)
        self.certificate, self.key = self.authority.certificate("DNS:localhost")
        if self.user:
            os.chown(self.key, self.user, self.user)
        subprocess.run([self.bin / "initdb", "-D", self.directory / "data", "-U", "mayfly", "--auth=scram-sha-256",
                        "--pwfile", self.directory / "password", "--no-sync", "-E", "UTF8"],
                       check=True, capture_output=True, cwd=self.directory, **flags)

    def command(self):
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
                    "wal_level": "logical", "shared_buffers": "16MB", "wal_sender_timeout": "30s",
                    "ssl": "on", "ssl_cert_file": self.certificate, "ssl_key_file": self.key}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self.bin / "postgres", "-D", self.directory / "data", *flags]

    def client(self):
        import psycopg
        return psycopg.connect(host="127.0.0.1", port=self.port, user="mayfly", password="pencil", dbname="postgres",
                               autocommit=True)

    def ready(self):
        self.client().close()
        return True


class Kafka(Broker):
    """One node that is broker and controller; its classes come from Maven Central (make .cache/kafka/.ready).

    Who comes over TLS, which has a certificate of its own authority, has to log in."""

    def prepare(self):
        if not (CACHE / "kafka" / "lib").is_dir():
            pytest.skip("Kafka: not there; `make .cache/kafka/.ready` fetches it with mvn")
        controller, self.tls_port = free_port(), free_port()
        self.authority, chain = authorities.Authority(self.directory), self.directory / "chain.pem"
        certificate, key = self.authority.certificate("DNS:localhost")
        chain.write_text(key.read_text() + certificate.read_text())
        login = "org.apache.kafka.common.security"
        self.conf = self.directory / "server.properties"
        self.conf.write_text(
            f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n"
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_SSL://127.0.0.1:{self.tls_port},CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_SSL://localhost:{self.tls_port}\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n"
            f"controller.listener.names=CONTROLLER\nssl.keystore.type=PEM\nssl.keystore.location={chain}\n"
            "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n"
            f'listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_mayfly="pencil";\n'
            f"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;\n"
            f"log.dirs={self.directory}/logs\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n"
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
            "group.initial.rebalance.delay.ms=0\n")
        subprocess.run([*self.java(), "kafka.tools.StorageTool", "format", "-t", "bWF5Zmx5LW1heWZseS1tYQ", "-c", self.conf,
                        "--add-scram", "SCRAM-SHA-512=[name=mayfly,password=pencil]"], check=True, capture_output=True)

    def java(self):
        return [program("java"), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{CACHE}/kafka/lib/*"]

    def command(self):
        return [*self.java(), "kafka.Kafka", str(self.conf)]

    def ready(self):
        super().ready()
        from kafka.admin import KafkaAdminClient
        KafkaAdminClient(bootstrap_servers=self.address).close()
        return True

    def create_topic(self, name, partitions):
        from kafka.admin import KafkaAdminClient, NewTopic
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
        admin.close()

    def add_partitions(self, name, partitions):
        from kafka.admin import KafkaAdminClient, NewPartitions
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.create_partitions({name: NewPartitions(total_count=partitions)})
        admin.close()


@contextlib.contextmanager
def running(kind, authority=None):
    broker = kind()
    try:
        if authority:
            broker.secure(authority)
        yield broker.start()
    finally:
        broker.close()


RABBIT = "arn:aws:secretsmanager:us-east-1:000000000000:secret:rabbit"


def piped(cloud, name, source, target, parameters, target_parameters=None, **settings):
    """A pipe, once it runs."""
    pipes = cloud.client("pipes")
    pipes.create_pipe(Name=name, Source=source, Target=target, RoleArn=mayfly.ROLE, SourceParameters=parameters,
                      TargetParameters=target_parameters or {}, **settings)
    return mayfly.until(lambda: (pipe := pipes.describe_pipe(Name=name))["CurrentState"] == "RUNNING" and pipe)


def rabbit_secret(folder):
    """The configuration of the secret of RabbitMQ's own user."""
    secret = folder / "rabbit.json"
    secret.write_text(json.dumps({"username": "guest", "password": "guest"}))
    return f'rabbit = "{secret}"\n'
