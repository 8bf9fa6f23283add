"""Other brokers, from Debian's packages, each with its data in a folder of its own, on a free port of this machine.

All sync what they have confirmed: that is what is compared. NATS alone cannot in Debian's version, so a newer one is
built from its Go module if Go is there; with Debian's it is measured as it is, and the table says so."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import tools

NATS = "v2.10.29"
UP_WITHIN = 240


class Broker:
    """A running one: what `queues.c` calls its protocol, its port, the process whose time it costs, and what it is."""

    def __init__(self, protocol, port, pid, name):
        self.protocol, self.port, self.pid, self.name = protocol, port, pid, name


def free_ports(count):
    with contextlib.ExitStack() as taken:
        sockets = [taken.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def started(command, port, folder, env=None):
    """A program that is to listen on a port. It is ended with all that it started."""
    with open(folder / "output", "ab") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env={**os.environ, **(env or {})}, stdout=output, stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + UP_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    text = (folder / "output").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{command[0]} did not start: {text}") from None
                time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def redis(folder):
    tools.need("redis-server", "redis-server")
    (port,) = free_ports(1)
    command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", folder, "--appendonly", "yes",
               "--appendfsync", "always", "--save", ""]
    with started(command, port, folder) as process:
        yield Broker("redis", port, process.pid, "Redis stream, appendfsync always")


@contextlib.contextmanager
def rabbitmq(folder):
    tools.need("rabbitmq-server", "rabbitmq-server")
    port, dist, epmd = free_ports(3)
    (folder / "plugins").write_text("[].")
    env = {"HOME": folder, "RABBITMQ_NODENAME": f"bench{port}@localhost", "RABBITMQ_MNESIA_BASE": folder / "mnesia",
           "RABBITMQ_LOG_BASE": folder / "log", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": port,
           "RABBITMQ_DIST_PORT": dist, "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
           "RABBITMQ_CONFIG_FILE": folder / "none", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
           "RABBITMQ_PID_FILE": folder / "pid", "ERL_EPMD_PORT": epmd, "ERL_EPMD_ADDRESS": "127.0.0.1",
           "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false"}
    # The name service of Erlang, which would be left behind if the broker started it.
    port_mapper = subprocess.Popen(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], stdout=subprocess.DEVNULL)
    try:
        env = {name: str(value) for name, value in env.items()}
        with started(["/usr/lib/rabbitmq/bin/rabbitmq-server"], port, folder, env):
            pid = int((folder / "pid").read_text())
            yield Broker("amqp", port, pid, "RabbitMQ, durable queue, persistent, confirmed")
    finally:
        port_mapper.terminate()
        port_mapper.wait()


@contextlib.contextmanager
def nats(folder):
    (port,) = free_ports(1)
    program, syncs = nats_server()
    sync = ", sync_interval: always" if syncs else ""
    (folder / "nats.conf").write_text(f'jetstream {{ store_dir: "{folder}"{sync} }}\n')
    with started([program, "-c", folder / "nats.conf", "-a", "127.0.0.1", "-p", port], port, folder) as process:
        name = "NATS JetStream, sync always" if syncs else "NATS JetStream, **not synced**"
        yield Broker("nats", port, process.pid, name)


def nats_server():
    """The program, and whether it can sync."""
    built = tools.CACHE / f"nats-{NATS}" / "nats-server"
    if not built.exists() and shutil.which("go"):
        env = {**os.environ, "GOBIN": str(built.parent), "GOFLAGS": "-modcacherw",
               "GOMODCACHE": str(tools.CACHE.parent / "go" / "mod"), "GOCACHE": str(tools.CACHE.parent / "go" / "build")}
        built.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "install", f"github.com/nats-io/nats-server/v2@{NATS}"], env=env, capture_output=True)
    if built.exists():
        return built, True
    tools.need("nats-server", "nats-server")
    return pathlib.Path(shutil.which("nats-server")), False


def load(target, what, clients, batch, seconds=3, count=0, bytes=300, more=()):
    """What `queues.c` did and saw."""
    return tools.queues(target.protocol, "127.0.0.1", target.port, what, clients, batch, bytes, seconds, count, *more)
