"""Extensions: programs of layers beside the function, what they are told, and the telemetry that they subscribe to."""

import json
import re

import mayfly
from guests import WAIT, Gate
from mayfly import create, invoke, until

# An extension that prints what it hears. Its settings are the function's environment.
EXTENSION = "#!/usr/bin/python3" + WAIT + """
import http.server, json, os, sys, threading, time, urllib.error, urllib.request
API, NAME = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"], os.path.basename(sys.argv[0])
MODE = os.environ.get("EXTENSION_MODE", "")
def call(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as answer:
        return answer.status, answer.headers, json.loads(answer.read() or b"null")
def say(*words):
    print("EXT", NAME, *words, flush=True)
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["content-length"]))):
            # Its own lines would come back as events for ever.
            if event["type"] != "extension" or "EXT" not in event["record"]:
                say("HEARD", json.dumps(event))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
if MODE == "crash":
    sys.exit(7)
if MODE == "late":
    time.sleep(0.5)
open("/tmp/registers", "w").close()
status, headers, about = call("POST", "/2020-01-01/extension/register", {"events": ["INVOKE", "SHUTDOWN"]},
                              Lambda_Extension_Name=NAME, Lambda_Extension_Accept_Feature="accountId")
me = {"Lambda_Extension_Identifier": headers["Lambda-Extension-Identifier"]}
say("REGISTERED", status, json.dumps(about), "_HANDLER" in os.environ)
say("AGAIN", call("POST", "/2020-01-01/extension/register", {"events": []}, Lambda_Extension_Name=NAME)[2]["errorType"])
say("STRANGER", call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier="x")[2]["errorType"])
if MODE == "init-error":
    call("POST", "/2020-01-01/extension/init/error", {"errorMessage": "no key", "errorType": "Extension.NoKey"}, **me)
    sys.exit(1)
if MODE == "tcp":
    import socket
    listener = socket.create_server(("0.0.0.0", 8091))
    def read():
        while True:
            with listener.accept()[0].makefile() as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["type"] != "extension":
                        say("HEARD", json.dumps(event))
    threading.Thread(target=read, daemon=True).start()
    wanted = {"schemaVersion": "2022-12-13", "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
              "destination": {"protocol": "TCP", "port": 8091}}
    say("SUBSCRIBED", *call("PUT", "/2022-07-01/telemetry", wanted, **me)[::2])
if MODE in ("telemetry", "logs"):
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8090), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path, version = ("/2022-07-01/telemetry", "2022-12-13") if MODE == "telemetry" else ("/2020-08-15/logs", "2021-03-18")
    # The longer one is longer than an instance is idle before it stands still.
    buffering = {"timeoutMs": 3000 if MODE == "logs" else 25}
    wanted = {"schemaVersion": version, "types": ["platform", "function", "extension"],
              "buffering": buffering, "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8090"}}
    say("SUBSCRIBED", *call("PUT", path, wanted, **me)[::2])
    print("a line of the extension's own", flush=True)
say("READY")
while True:
    status, headers, event = call("GET", "/2020-01-01/extension/event/next", **me)
    say("EVENT", json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        break
    if MODE == "die-at-invoke":
        os._exit(3)
    if MODE == "exit-error":
        call("POST", "/2020-01-01/extension/exit/error", {"errorMessage": "tired", "errorType": "Extension.Tired"}, **me)
        os._exit(2)
    if MODE == "exit-error-in-silence":
        call("POST", "/2020-01-01/extension/exit/error", **me)
        os._exit(2)
    if MODE == "linger":
        while not os.path.exists("/tmp/answered"):
            time.sleep(0.01)
        wait(os.environ["RELEASE"])
        time.sleep(0.2)
        say("DONE LATE", event["requestId"])
"""

HANDLER = """
import json, os, time
print("handler loaded")
registered = os.path.exists("/tmp/registers")
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("handler runs")
    if event and event.get("sleep"):
        time.sleep(event["sleep"])
    open("/tmp/answered", "w")
    return {"calls": calls, "id": context.aws_request_id, "registered": registered}
"""


def extended(functions, name, mode="", programs=None, release="", **more):
    layer = functions.publish_layer_version(
        LayerName=f"layer-{name}", Content={"ZipFile": mayfly.package(programs or {"extensions/watch*": EXTENSION})})
    create(functions, name, {"app.py": HANDLER}, Layers=[layer["LayerVersionArn"]], MemorySize=256,
           Environment={"Variables": {"EXTENSION_MODE": mode, "RELEASE": release}}, **{"Timeout": 60, **more})


def invoked(functions, name):
    """An answer of the function's one instance, or none while its extensions are not done yet."""
    try:
        return invoke(functions, name)[1]
    except functions.exceptions.TooManyRequestsException:
        return None


def twice(functions, name):
    """Two invocations on one instance, which is free again only once its extensions are done too."""
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    return invoke(functions, name)[1], until(lambda: invoked(functions, name))


def ext_told(logs, name, word):
    """What the extension printed after this word."""
    prefix = f"EXT watch {word} "
    return [line.removeprefix(prefix) for line in mayfly.logged(logs, name) if line.startswith(prefix)]


def test_an_extension_registers_hears_of_invocations_and_of_the_end(functions, logs):
    extended(functions, "ext-life", "late")
    first, second = twice(functions, "ext-life")
    assert (first["calls"], second["calls"]) == (1, 2)
    assert first["registered"], "the runtime starts when extensions have registered"
    events = until(lambda: len(ext_told(logs, "ext-life", "EVENT")) == 2 and ext_told(logs, "ext-life", "EVENT"))
    events = [json.loads(event) for event in events]
    assert [event["requestId"] for event in events] == [first["id"], second["id"]]
    assert all(event["eventType"] == "INVOKE" and event["deadlineMs"] > 0 for event in events)
    assert events[0]["invokedFunctionArn"].endswith(":function:ext-life")
    status, about = ext_told(logs, "ext-life", "REGISTERED")[0].split(" ", 1)
    assert status == "200" and about.endswith(" False"), "the handler's name is withheld"
    about = json.loads(about.removesuffix(" False"))
    assert about == {"functionName": "ext-life", "functionVersion": "$LATEST", "handler": "app.handler",
                     "accountId": "000000000000"}
    assert ext_told(logs, "ext-life", "AGAIN") == ["Extension.AlreadyRegistered"]
    assert ext_told(logs, "ext-life", "STRANGER") == ["Extension.UnknownExtensionIdentifier"]
    lines = mayfly.logged(logs, "ext-life")
    ready = next(at for at, line in enumerate(lines) if line == "EXT watch READY")
    assert ready < lines.index("handler runs"), "the first event waits for the extension"
    functions.update_function_configuration(FunctionName="ext-life", Description="changed")
    last = until(lambda: [event for event in ext_told(logs, "ext-life", "EVENT") if "SHUTDOWN" in event])
    assert json.loads(last[0])["shutdownReason"] == "spindown"


def test_an_instance_is_free_when_its_extensions_are_done_and_the_answer_does_not_wait(cloud, functions, logs):
    with Gate(cloud, "ext-linger") as gate:
        extended(functions, "ext-linger", "linger", release=gate.link)
        first = invoke(functions, "ext-linger")[1]
        assert not ext_told(logs, "ext-linger", "DONE LATE"), "the answer is there before the extension is done"
    assert until(lambda: ext_told(logs, "ext-linger", "DONE LATE")) == [first["id"]]
    until(lambda: any(line.startswith("REPORT") for line in mayfly.logged(logs, "ext-linger")))
    lines = mayfly.logged(logs, "ext-linger")
    late = next(at for at, line in enumerate(lines) if "DONE LATE" in line)
    report = next(at for at, line in enumerate(lines) if line.startswith("REPORT"))
    assert late < report and float(re.search(r"\tDuration: (\S+) ms", lines[report])[1]) >= 200


def test_an_extension_hears_of_a_timeout(functions, logs):
    extended(functions, "ext-timeout", Timeout=1)
    answer, error = invoke(functions, "ext-timeout", {"sleep": 30})
    assert error["errorType"] == "Sandbox.Timedout", error
    last = until(lambda: [event for event in ext_told(logs, "ext-timeout", "EVENT") if "SHUTDOWN" in event])
    assert json.loads(last[0])["shutdownReason"] == "timeout"


def test_extensions_that_fail_fail_the_function(functions, logs):
    expected = {"crash": "Extension.Crash", "init-error": "Extension.NoKey", "die-at-invoke": "Extension.Crash",
                "exit-error": "Extension.Tired", "exit-error-in-silence": "Extension.ExitError"}
    for mode, kind in expected.items():
        extended(functions, f"ext-{mode}", mode, Timeout=30)
        # Long enough for the extension to be first.
        answer, error = invoke(functions, f"ext-{mode}", {"sleep": 20})
        assert answer["FunctionError"] == "Unhandled" and error["errorType"] == kind, (mode, error)
    told = until(lambda: ext_told(logs, "ext-die-at-invoke", "EVENT"))
    assert json.loads(told[0])["eventType"] == "INVOKE"
    extended(functions, "ext-plain", programs={"extensions/not-a-program": "text"})
    assert invoke(functions, "ext-plain")[1]["errorType"] == "Extension.LaunchError"


def test_an_extension_gets_telemetry(functions, logs):
    extended(functions, "ext-telemetry", "telemetry")
    first = invoke(functions, "ext-telemetry")[1]

    def heard():
        found = [json.loads(line) for line in ext_told(logs, "ext-telemetry", "HEARD")]
        kinds = {event["type"] for event in found}
        return found if {"platform.report", "function", "extension"} <= kinds else None

    found = until(heard)
    kinds = [event["type"] for event in found]
    for kind in ("platform.initStart", "platform.extension", "platform.telemetrySubscription", "platform.initRuntimeDone",
                 "platform.initReport", "platform.start", "platform.runtimeDone"):
        assert kind in kinds, kinds
    assert kinds.index("platform.initStart") < kinds.index("platform.start") < kinds.index("platform.runtimeDone")
    records = {event["type"]: event["record"] for event in found if event["type"].startswith("platform.")}
    assert records["platform.start"] == {"requestId": first["id"], "version": "$LATEST"}
    assert records["platform.runtimeDone"]["status"] == "success"
    metrics = records["platform.report"]["metrics"]
    assert metrics["memorySizeMB"] == 256 and metrics["initDurationMs"] > 0 and metrics["durationMs"] > 0
    assert {"handler loaded", "handler runs"} <= {event["record"] for event in found if event["type"] == "function"}
    assert [event["record"] for event in found if event["type"] == "extension"] == ["a line of the extension's own"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in found)


def test_an_extension_gets_telemetry_as_lines_over_tcp(functions, logs):
    extended(functions, "ext-tcp", "tcp")
    first, second = twice(functions, "ext-tcp")

    def heard():
        # The instance may stand still before it has read what lies in its connection, and reads on when it works.
        invoked(functions, "ext-tcp")
        found = [json.loads(line) for line in ext_told(logs, "ext-tcp", "HEARD")]
        ends = [event["record"]["requestId"] for event in found if event["type"] == "platform.report"]
        return found if {first["id"], second["id"]} <= set(ends) else None

    found = until(heard)
    kinds = [event["type"] for event in found]
    assert kinds.index("platform.initStart") < kinds.index("platform.start") < kinds.index("platform.report")
    assert "handler runs" in [event["record"] for event in found if event["type"] == "function"]
    assert found[kinds.index("platform.start")]["record"]["requestId"] == first["id"]


def test_telemetry_says_that_an_instance_was_made_ahead(functions, logs):
    extended(functions, "ext-ahead", "telemetry", Publish=True)
    functions.put_provisioned_concurrency_config(FunctionName="ext-ahead", Qualifier="1", ProvisionedConcurrentExecutions=1)

    def made():
        found = [json.loads(line) for line in ext_told(logs, "ext-ahead", "HEARD")]
        kinds = {event["type"]: event["record"].get("initializationType") for event in found if event["type"].startswith("platform.init")}
        return kinds if len(kinds) == 3 else None

    assert set(until(made).values()) == {"provisioned-concurrency"}
    functions.delete_provisioned_concurrency_config(FunctionName="ext-ahead", Qualifier="1")


def test_extensions_run_beside_functions_of_an_ordinary_users_server(ordinary):
    functions, logs = ordinary.client("lambda"), ordinary.client("logs")
    extended(functions, "ext-ordinary", "telemetry")
    first, second = twice(functions, "ext-ordinary")
    assert (first["calls"], second["calls"]) == (1, 2)
    until(lambda: any("platform.report" in line for line in ext_told(logs, "ext-ordinary", "HEARD")))
    events = until(lambda: len(ext_told(logs, "ext-ordinary", "EVENT")) == 2 and ext_told(logs, "ext-ordinary", "EVENT"))
    assert [json.loads(event)["requestId"] for event in events] == [first["id"], second["id"]]
    functions.update_function_configuration(FunctionName="ext-ordinary", Description="changed")
    until(lambda: any("SHUTDOWN" in event for event in ext_told(logs, "ext-ordinary", "EVENT")))
    extended(functions, "ext-ordinary-exit", "exit-error", Timeout=30)
    assert invoke(functions, "ext-ordinary-exit", {"sleep": 20})[1]["errorType"] == "Extension.Tired"


def test_an_extension_gets_logs_in_the_older_form(functions, logs):
    extended(functions, "ext-logs", "logs")
    first = invoke(functions, "ext-logs")[1]

    def heard():
        found = [json.loads(line) for line in ext_told(logs, "ext-logs", "HEARD")]
        return found if any(event["type"] == "platform.report" for event in found) else None

    found = until(heard)
    kinds = {event["type"] for event in found}
    assert "platform.logsSubscription" in kinds and "platform.initStart" not in kinds
    assert {"type": "platform.end", "record": {"requestId": first["id"]}}.items() <= next(
        event for event in found if event["type"] == "platform.end").items()


def test_an_internal_extension_lets_the_runtime_end_in_peace(functions, logs):
    code = """
import json, os, signal, sys, threading, urllib.request
API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"
def bye(*_):
    print("asked to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
def register(events):
    request = urllib.request.Request(API + "register", json.dumps({"events": events}).encode(),
                                     {"Lambda-Extension-Name": "inside"})
    return urllib.request.urlopen(request)
try:
    register(["SHUTDOWN"])
except urllib.error.HTTPError as error:
    refused = error.code
me = register([]).headers["Lambda-Extension-Identifier"]
def next_event():
    request = urllib.request.Request(API + "event/next", headers={"Lambda-Extension-Identifier": me})
    urllib.request.urlopen(request)
threading.Thread(target=next_event, daemon=True).start()
def handler(event, context):
    return refused
"""
    create(functions, "ext-internal", {"app.py": code}, Timeout=60)
    numbers = iter(range(1000))

    def asked():
        # Half a second is all that it has, which is little on a machine that is short of memory.
        assert invoke(functions, "ext-internal")[1] == 403
        functions.update_function_configuration(FunctionName="ext-internal", Description=f"changed {next(numbers)}")
        functions.get_waiter("function_updated_v2").wait(FunctionName="ext-internal")
        return "asked to end" in mayfly.logged(logs, "ext-internal")

    until(asked, every=1)


def test_a_polite_stop_lets_extensions_finish():
    with mayfly.server() as running:
        functions, data = running.client("lambda"), running.client("logs")
        extended(functions, "ext-stop")
        invoke(functions, "ext-stop")
        assert running.stop() == 0
        running.start()
        events = ext_told(data, "ext-stop", "EVENT")
        assert "SHUTDOWN" in events[-1], events
