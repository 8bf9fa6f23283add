"""Cold starts: from nothing to the first event, beside the bare interpreter doing the same imports.

Two servers are asked in turns, one of which keeps interpreters waiting. A change of the configuration retires the
instance before every call. What counts is the Init Duration of the REPORT line, in which the sandbox is included.

Forked are instances of a version with SnapStart: each ends before the next call, whose Restore Duration counts. The
first figures are those of calls one after the other, which find a fork that waits; the last that of calls at once.
"""

import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sysconfig
import tempfile
import time

import mayfly
from table import ms, p50, p99

ROUNDS = 15
# Of forks, so that their p99 is not simply the slowest.
FORKS = 105
SITE = pathlib.Path(sysconfig.get_path("purelib"))
SDK = pathlib.Path(__file__).parent.parent / ".cache/node/node_modules"
BOTO3 = ["boto3", "botocore", "jmespath", "s3transfer", "urllib3", "dateutil", "six.py"]
# Of the descriptions of all services, those that the function uses.
DATA = ["endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json", "s3"]
PYTHON = {
    "nothing": "",
    "boto3": "import boto3\nboto3.client('s3', region_name='us-east-1')\n",
}
FORKED = {**PYTHON, "numpy": "import numpy\n"}
NUMPY = pathlib.Path(__file__).parent.parent / ".cache/numpy"
AT_ONCE = 4
KINDS = {
    "plain": "[limits]\nprewarmed_instances = 0\n",
    "pre-warmed": "",
}
CONNECT = {
    "python": "import _socket\ns = _socket.socket(); s.connect(('127.0.0.1', %d)); s.send(b'x'); s.recv(1)\n",
    "nodejs": "const s = require('net').connect(%d, '127.0.0.1', () => s.write('x'))",
}


def measure(table):
    with contextlib.ExitStack() as stack:
        servers = {kind: stack.enter_context(mayfly.server(config)) for kind, config in KINDS.items()}
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = interpreters(next(iter(servers.values())))
        for name, imports in PYTHON.items():
            code = {"app.py": imports + "def handler(event, context):\n    return 1\n"}
            if imports:
                code |= library()
            row(table, servers, f"Python, {name}", "python3.11", code, bare_python(found, folder, imports, code), 25)
        for name, imports in FORKED.items():
            forked_rows(table, servers["pre-warmed"], found, folder, name, imports)
        code = {"app.js": "exports.handler = async () => 1;\n"}
        bare = [found["nodejs"], "-e", CONNECT["nodejs"]]
        row(table, servers, "Node.js, nothing", "nodejs20.x", code, bare, 40)
        imports = "const { S3Client } = require('@aws-sdk/client-s3');\nnew S3Client({ region: 'us-east-1' });\n"
        modules = {f"node_modules/{path.relative_to(SDK)}": path.read_bytes() for path in sdk_files()}
        code = {"app.js": imports + code["app.js"], **modules}
        bare = [found["nodejs"], "--no-warnings", "-e", imports.replace("@aws-sdk", f"{SDK}/@aws-sdk") + CONNECT["nodejs"]]
        row(table, servers, "Node.js, AWS SDK v3 for S3", "nodejs20.x", code, bare, 40)


def row(table, servers, what, runtime, files, bare, target):
    name = re.sub(r"\W+", "-", what)
    functions = {kind: server.client("lambda") for kind, server in servers.items()}
    for client in functions.values():
        mayfly.create(client, name, files, runtime=runtime, MemorySize=512, Timeout=60)
    took = {kind: [] for kind in [*servers, "bare"]}
    for number in range(-2, ROUNDS):
        for kind, server in servers.items():
            one = cold(server, functions[kind], name, number, waits=kind == "pre-warmed" and number > -2)
            # The first rounds make what is made once: bytecode, snapshots, and the first that waits.
            took[kind] += [one] if number >= 0 else []
        took["bare"].append(start(bare))
    for client in functions.values():
        # Forks are counted by all instances that there are.
        client.delete_function(FunctionName=name)
    floor = p50(took["bare"])
    for kind in servers:
        middle = p50(took[kind])
        limit = {"plain": target, "pre-warmed": 3}[kind]
        goal = {"target": f"{limit} ms", "met": middle <= limit} if "nothing" in what else {}
        text = f"bare interpreter {ms(floor)}"
        table.row(f"{what}, {kind}, p50", ms(middle), floor=text, ratio=middle / floor, **goal)


def forked_rows(table, server, found, folder, what, imports):
    ends = "import os\n\ndef handler(event, context):\n    if event == 'end': os._exit(0)\n    return 1\n"
    files = {"numpy": numpy, "boto3": library}.get(what, dict)()
    bare = bare_python(found, folder, imports, files)
    functions, name = server.client("lambda"), f"forked-{what}"
    mayfly.create(functions, name, {"app.py": imports + ends, **files}, runtime="python3.12", MemorySize=512, Timeout=60,
                  SnapStart={"ApplyOn": "PublishedVersions"})
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 1})
    took = {"waiting": [], "at once": [], "bare": []}

    def one(_):
        return duration(functions.invoke(FunctionName=name, Qualifier=version, LogType="Tail"), "Restore")

    def end():
        """Ends every instance, those that were made for an event that another served too."""
        while any(count for what, count in server.metrics().items() if what.startswith("mayfly_instances{")):
            functions.invoke(FunctionName=name, Qualifier=version, Payload=json.dumps("end"))

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(FORKS):
            mayfly.until(lambda: server.metrics()["mayfly_waiting_forks"] >= 1, every=0.02)
            took["waiting"].append(one(number))
            end()
            if number % (FORKS // ROUNDS) == 0:
                took["at once"] += [ms for ms in pool.map(one, range(AT_ONCE)) if ms]
                end()
                took["bare"].append(start(bare))
    floor, middle = p50(took["bare"]), p50(took["waiting"])
    text = f"bare interpreter {ms(floor)}"
    table.row(f"Python, {what}, forked, p50", ms(middle), floor=text, ratio=middle / floor, target="3 ms", met=middle <= 3)
    last = p99(took["waiting"])
    many = f"p99 of {FORKS}"
    table.row(f"Python, {what}, forked, {many}", ms(last), floor=text, ratio=last / floor, target="10 ms", met=last <= 10)
    middle = p50(took["at once"])
    both = f"{ms(middle)}, slowest of {len(took['at once'])} {ms(max(took['at once']))}"
    table.row(f"Python, {what}, forked, {AT_ONCE} at once, p50", both, floor=text, ratio=middle / floor)


def duration(answer, kind):
    """Milliseconds that the REPORT line has under a name; nothing if the instance was warm."""
    assert "FunctionError" not in answer, answer["Payload"].read()
    log = base64.b64decode(answer["LogResult"]).decode()
    found = re.search(rf"{kind} Duration: ([\d.]+) ms", log)
    return found and float(found[1])


def cold(server, functions, name, number, waits):
    """Milliseconds of initialisation of a new instance."""
    if waits:
        mayfly.until(lambda: server.metrics()["mayfly_prewarmed_interpreters"] >= 1, every=0.02)
    variables = {"Variables": {"ROUND": str(number)}}
    functions.update_function_configuration(FunctionName=name, Environment=variables)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return duration(functions.invoke(FunctionName=name, LogType="Tail"), "Init")


def interpreters(server):
    """The programs that functions run on."""
    done = subprocess.run([server.binary, "doctor", "--json"], capture_output=True, check=True)
    checks = json.loads(done.stdout)["checks"]
    found = {check["name"].removeprefix("runtime "): check["found"] for check in checks}
    return {language: re.search(r"\((.*)\)", found[language])[1] for language in CONNECT}


def bare_python(found, folder, imports, files):
    """The interpreter alone with the same imports, whose bytecode is there."""
    code = imports + CONNECT["python"]
    if imports:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        subprocess.run([found["python"], "-m", "compileall", "-q", folder], check=True)
        code = f"import sys\nsys.path.insert(0, {str(folder)!r})\n" + code
    return [found["python"], "-S", "-c", code]


def start(command):
    """Milliseconds from the start of a process to the first byte that it sends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        port = listener.getsockname()[1]
        # Other signs of percent are in no command.
        command = [part % port if "%d" in part else part for part in command]
        began = time.perf_counter()
        process = subprocess.Popen(command, env={"PATH": os.defpath}, stderr=subprocess.DEVNULL)
        connection, _ = listener.accept()
        connection.recv(1)
        took = (time.perf_counter() - began) * 1000
        process.kill()
        process.wait()
        connection.close()
    return took


def library():
    """boto3 and what it needs, as a package would carry it, without bytecode."""
    files = {}
    for name in BOTO3:
        top = SITE / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            inside = path.relative_to(SITE)
            data = inside.parts[:2] == ("botocore", "data") and inside.parts[2:3]
            if path.is_file() and "__pycache__" not in inside.parts and (not data or data[0] in DATA):
                files[str(inside)] = path.read_bytes()
    return files


def numpy():
    """NumPy as a package would carry it, without its tests."""
    kept = [path for path in sorted(NUMPY.rglob("*")) if path.is_file() and not {"tests", "__pycache__"} & set(path.parts)]
    return {str(path.relative_to(NUMPY)): path.read_bytes() for path in kept}


def sdk_files():
    """The JavaScript SDK's modules as a package would carry them: what CommonJS loads."""
    kept = [path for path in sorted(SDK.rglob("*")) if path.suffix in (".js", ".cjs", ".json") and path.is_file()]
    return [path for path in kept if not {"dist-es", "dist-types", ".package-lock.json"} & set(path.parts)]
