"""The gateway: requests for each second of the server's processor time.

The same hello world from our own bare door, from a function in WebAssembly with a fresh instance for each
request, from `workerd`, which keeps its isolate, and from plain Node.js. Two floors explain what a request to
WebAssembly costs: our bare answer, and a bare instance of the same module in a loop of Wasmtime alone.
Components that carry a whole engine, JavaScript's and Python's, stand beside the small one.
"""

import contextlib
import pathlib
import socket
import subprocess
import tempfile

import clients
import guests
import mayfly
import tools
import machine
from table import rate, us

EXAMPLE = mayfly.ROOT / "examples" / "wasm-hello" / "hello.wat"
NODE = """
const answer = (request, response) => response.end("Hello, world!\\n");
require("node:http").createServer(answer).listen(+process.argv[1], "127.0.0.1");
"""
WORKER = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]
);
const hello :Workerd.Worker = (
  modules = [(name = "hello.js",
    esModule = "export default { fetch() { return new Response('Hello, world!\\\\n') } }")],
  compatibilityDate = "2026-01-01"
);
"""


def measure(table):
    with mayfly.server() as running, other(node) as plain, other(workerd) as worker:
        url = deploy(running)
        instance = tools.bare_instance(EXAMPLE)
        servers = [
            ("bare answer of the gateway", f"{running.endpoint}/_mayfly/health", running.process.pid),
            ("fresh Wasm instance by function URL", url, running.process.pid),
            ("workerd", *worker),
            ("Node.js http", *plain),
        ]
        for connections in (1, 64):
            loads = {}
            for name, address, pid in servers:
                clients.wrk(address, connections, pid, seconds=1)
                loads[name] = clients.wrk(address, connections, pid)
            report(table, connections, loads, instance)
    engines(table)


def engines(table):
    """A fresh instance for each request of components that carry an engine, as the examples are."""
    examples = mayfly.ROOT / "examples"
    builds = [
        ("JavaScript, a greeting", guests.javascript, "wasm-js", ""),
        ("Python, an object of 14 bytes", guests.python, "wasm-python", "hello"),
    ]
    for what, build, sources, path in builds:
        # A server of its own, so that its memory is this component's.
        with mayfly.server() as running:
            objects = running.client("s3")
            objects.create_bucket(Bucket="notes")
            objects.put_object(Bucket="notes", Key="hello", Body=b"Hello, world!\n")
            variables = {"NOTES": "notes", "MAYFLY_BLOBSTORE": "notes"}
            component = build(examples / sources)["app.wasm"]
            environment = {"Variables": variables}
            url = deploy(running, "app.wasm", component, MemorySize=256, Environment=environment) + path
            clients.wrk(url, 1, running.process.pid, seconds=1)
            load = clients.wrk(url, 8, running.process.pid)
            failed = f", {load.failed} failed" if load.failed else ""
            figures = f"{rate(load.per_cpu_second)[:-3]} /cpu-s, {rate(load.per_second)}, p50 {us(load.p50)}{failed}"
            table.row(f"fresh component of {what}, 8 connections", figures)
            memory = machine.resident_mib(running.process.pid)
            table.row(f"memory of the server after that, {what}", f"{memory:.0f} MiB")


def report(table, connections, loads, instance):
    bare, guest, worker, plain = loads.values()
    for name, load in loads.items():
        failed = f", {load.failed} failed" if load.failed else ""
        table.row(
            f"{name}, {connections} connections",
            f"{rate(load.per_cpu_second)[:-3]} /cpu-s, {rate(load.per_second)}, p50 {us(load.p50)}{failed}",
            floor=f"bare answer {rate(bare.per_cpu_second)[:-3]} /cpu-s",
            ratio=load.per_cpu_second / bare.per_cpu_second,
        )
    ours = guest.per_cpu_second
    table.row(
        f"Wasm to the bare answer, {connections} connections",
        f"{ours / bare.per_cpu_second:.2f}",
        target="a third",
        met=ours * 3 >= bare.per_cpu_second,
    )
    floor = 1e6 / bare.per_cpu_second + instance
    table.row(
        f"Wasm to the sum of its floors, {connections} connections",
        us(1e6 / ours),
        floor=f"bare answer {us(1e6 / bare.per_cpu_second)} + bare instance {instance:.1f} us",
        ratio=1e6 / ours / floor,
    )
    table.row(
        f"Wasm to workerd, {connections} connections",
        f"{ours / worker.per_cpu_second:.2f}",
        target="2",
        met=ours >= 2 * worker.per_cpu_second,
    )
    table.row(f"Wasm to Node.js http, {connections} connections", f"{ours / plain.per_cpu_second:.2f}")


def deploy(running, name="hello.wat", text=EXAMPLE.read_bytes(), **more):
    """The URL of a function in WebAssembly, open to anyone."""
    functions = running.client("lambda")
    mayfly.create(functions, "wasm", {name: text}, runtime="wasm", handler=name, Timeout=60, **more)
    url = functions.create_function_url_config(FunctionName="wasm", AuthType="NONE")["FunctionUrl"]
    functions.add_permission(
        FunctionName="wasm",
        StatementId="u",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    return f"{running.endpoint}/_url/{url.split('//')[1].split('.')[0]}/"


def node(port, _folder):
    return ["node", "-e", NODE, str(port)]


def workerd(port, folder):
    config = pathlib.Path(folder) / "config.capnp"
    config.write_text(WORKER % port)
    return [tools.workerd(), "serve", str(config)]


@contextlib.contextmanager
def other(command):
    """Another server on a free port: its URL and its process id."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        process = subprocess.Popen(command(port, folder), stdout=subprocess.DEVNULL)
        try:
            mayfly.until(lambda: answers(port), 30)
            yield f"http://127.0.0.1:{port}/", process.pid
        finally:
            process.kill()
            process.wait()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False
