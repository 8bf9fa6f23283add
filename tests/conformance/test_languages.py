"""Functions of every language, compiled by real toolchains, in real sandboxes; and the layers that they share."""

import base64
import os
import urllib.error
import urllib.request

import guests
import mayfly
from mayfly import create, invoke, until


def test_a_java_function_runs_with_its_layers_and_its_faults_are_told(functions, logs):
    layer = publish(functions, "jars", {"java/lib/readme.txt": "jars go here"})
    files = {**guests.java(), "shop/words.txt": "beside the classes"}
    create(functions, "java", files, runtime="java17", handler="shop.Hello", MemorySize=512, Timeout=30, Layers=[layer])
    _, first = invoke(functions, "java", {"name": "tea", "count": 21})
    told = {"name": "tea", "total": 42, "calls": 1, "java": first["java"], "shadow": False, "layer": True,
            "resource": "file:/var/task/shop/words.txt"}
    assert first == {**told, "archived": first["archived"]}
    assert invoke(functions, "java", {"name": "tea", "count": 1})[1]["calls"] == 2, "the instance is warm"
    answer, error = invoke(functions, "java", {"name": "x", "count": -1})
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "java.lang.IllegalArgumentException", error
    assert error["errorMessage"] == "count must not be negative"
    assert any("shop.Hello.handleRequest" in line for line in error["stackTrace"]), error
    until(lambda: "java takes an order of tea" in text(logs, "java"))
    # The classes are archived in the background; instances that come after it start from the archive.
    archived = until(lambda: (answer := fresh(functions, "java", {"name": "tea", "count": 21}))["archived"] and answer)
    assert archived == {**told, "archived": True}
    own_flags = fresh(functions, "java", {"name": "tea", "count": 21}, JAVA_TOOL_OPTIONS="-Dx=y")
    assert own_flags == {**told, "archived": False}
    create(functions, "java-absent", guests.java(), runtime="java17", handler="shop.Nobody", MemorySize=512, Timeout=30)
    _, error = invoke(functions, "java-absent", {})
    assert "shop.Nobody" in error["errorMessage"], error


def test_node_uses_the_compiled_code_of_a_packages_modules(tmp_path):
    """Node.js since 22 keeps it by itself; here it is made once, in a sandbox without the function's variables."""
    (tmp_path / "node24").symlink_to(guests.node("24"))
    module = "\n".join(f"exports.f{number} = () => {number};" for number in range(2000))
    code = {"lib.js": module, "app.js": """
const lib = require('./lib.js');
const cache = () => require('module').getCompileCacheDir() ?? '';
exports.handler = async () => [lib.f7(), process.versions.node.split('.')[0], cache()];
if (!process.env.LIVE) throw new Error('only with its variables');
"""}
    with mayfly.server() as running:
        running.stop()
        running.start({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        functions, logs = running.client("lambda"), running.client("logs")
        live = {"LIVE": "1", "NODE_DEBUG_NATIVE": "COMPILE_CACHE"}
        create(functions, "compiled", code, runtime="nodejs24.x", Environment={"Variables": live})
        ours = "/var/task/.compiled/"
        made = until(lambda: (answer := fresh(functions, "compiled", {}, **live))[2].startswith(ours) and answer)
        assert made[:2] == [7, "24"]
        until(lambda: "lib.js was accepted, keeping the in-memory entry" in text(logs, "compiled"))
        assert fresh(functions, "compiled", {}, **live, NODE_COMPILE_CACHE="/tmp/own")[2].startswith("/tmp/own/")
        # An interpreter that waited finds it as well. It waits for functions that change nothing about Node.js itself.
        until(lambda: fresh(functions, "compiled", {}, LIVE="2")[2].startswith(ours))
        until(lambda: running.metrics()["mayfly_prewarmed_interpreters"] >= 1)
        warmed = 'mayfly_cold_starts_total{kind="prewarmed"}'
        before = running.metrics()[warmed]
        assert fresh(functions, "compiled", {}, LIVE="2")[2].startswith(ours)
        assert running.metrics()[warmed] == before + 1


def test_a_go_function_of_the_public_library_runs(functions, logs):
    layer = publish(functions, "words", {"word.txt": "from a layer"})
    create(functions, "go", guests.executable(guests.go()), runtime="provided.al2023", handler="unused",
           Layers=[layer], Timeout=60)
    answer, result = invoke(functions, "go", {"name": "gopher"})
    assert result["hello"] == "gopher" and result["deadline"] and result["layer"] == "from a layer"
    assert result["request"] == answer["ResponseMetadata"]["RequestId"], "the context is the invocation's"
    answer, error = invoke(functions, "go", {"name": "x", "fail": True})
    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("errorString", "asked to fail")
    until(lambda: "go says hello to gopher" in text(logs, "go"))


def test_a_c_function_without_any_library_runs(functions, logs):
    create(functions, "c", guests.executable(guests.c("bootstrap")), runtime="provided.al2", handler="some.handler")
    assert invoke(functions, "c", {"n": 1})[1] == {"event": {"n": 1}, "calls": 1, "handler": "some.handler"}
    assert invoke(functions, "c", [])[1]["calls"] == 2
    until(lambda: 'C got {"n": 1}' in text(logs, "c"))


def test_a_bootstrap_may_come_from_a_layer(functions):
    layer = publish(functions, "runtime", guests.executable(guests.c("bootstrap")))
    create(functions, "from-layer", {"readme": "no bootstrap here"}, runtime="provided.al2023", handler="h",
           Layers=[layer])
    assert invoke(functions, "from-layer", 5)[1]["event"] == 5


def test_layers_lie_over_one_another_in_their_order_and_languages_find_their_modules(functions):
    """The last named wins a file that several have, as AWS documents; each language's own folder is on its path."""
    shared = {"python/shared.py": "who = 'lower'\n", "python/lower_only.py": "here = True\n", "same.txt": "lower",
              "bin/tool*": "#!/bin/sh\necho tool of the lower layer\n"}
    lower = publish(functions, "lower", shared)
    upper = publish(functions, "upper", {"python/shared.py": "who = 'upper'\n", "same.txt": "upper",
                                         "nodejs/node_modules/greet/index.js": "exports.word = 'from a layer'\n"})
    third = publish(functions, "third", {"python/lib/python3.11/site-packages/deep.py": "found = True\n"})
    python = """
import os, subprocess
import deep, lower_only, shared
def handler(event, context):
    tool = subprocess.run(["tool"], capture_output=True, text=True).stdout.strip()
    try:
        open("/opt/new", "w")
        written = True
    except OSError:
        written = False
    return [shared.who, lower_only.here, deep.found, open("/opt/same.txt").read(), tool, written]
"""
    create(functions, "layered", {"app.py": python}, Layers=[lower, upper, third], Timeout=60)
    expected = ["upper", True, True, "upper", "tool of the lower layer", False]
    assert invoke(functions, "layered")[1] == expected
    functions.update_function_configuration(FunctionName="layered", Layers=[upper, lower, third])
    functions.get_waiter("function_updated_v2").wait(FunctionName="layered", WaiterConfig={"Delay": 1})
    assert invoke(functions, "layered")[1] == ["lower", True, True, "lower", *expected[4:]], "the order is the caller's"
    node = "exports.handler = async () => [require('greet').word, require('fs').readFileSync('/opt/same.txt', 'utf8')]"
    create(functions, "layered-node", {"index.js": node}, runtime="nodejs20.x", handler="index.handler",
           Layers=[lower, upper])
    assert invoke(functions, "layered-node")[1] == ["from a layer", "upper"]
    functions.delete_layer_version(LayerName="upper", VersionNumber=int(upper.rsplit(":", 1)[1]))
    assert invoke(functions, "layered-node")[1] == ["from a layer", "upper"], "a function keeps what it was given"


def log_tail(functions, name):
    answer = functions.invoke(FunctionName=name, Payload=b"{}", LogType="Tail")
    return base64.b64decode(answer["LogResult"]).decode().splitlines()


def test_a_wasm_command_of_a_real_toolchain_answers_through_a_url(cloud, functions, logs):
    create(functions, "wasm-c", guests.wasm("command"), runtime="wasm", handler="command.wasm")
    address = url(cloud, functions, "wasm-c")
    for number in range(2):
        request = urllib.request.Request(f"{address}?n={number}", data=b"a body", headers={"content-type": "text/plain"})
        with urllib.request.urlopen(request) as response:
            said = response.read().decode().strip()
            assert response.status == 201 and response.headers["content-type"] == "text/plain"
        assert said.startswith(f"POST n={number} [a body] host="), said
        assert "host=open" not in said and said.endswith("clock=yes memory=7"), said
    until(lambda: "the guest read 6 bytes" in text(logs, "wasm-c"))
    tail = log_tail(functions, "wasm-c")
    assert tail[0].startswith("START") and "the guest read" in "".join(tail) and tail[-1].startswith("REPORT"), tail


def test_web_functions_serve_http_in_any_language(cloud, functions):
    node = """
const http = require("http")
http.createServer((request, response) => {
  if (request.headers["ce-id"]) console.log("an event came")
  if (request.url === "/stream") {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write("first\\n")
    setTimeout(() => response.end("second\\n"), 300)
    return
  }
  response.writeHead(203, { "x-made-by": "node", "set-cookie": ["a=1", "b=2"] })
  response.end(`${request.method} ${request.url} ${request.headers["x-asked"]}`)
}).listen(process.env.PORT)
"""
    create(functions, "web-node", {"server.js": node}, runtime="web", handler="node server.js", MemorySize=256)
    tail = log_tail(functions, "web-node")
    assert tail[0].startswith("START") and "an event came" in tail and "Max Memory Used: 0" not in tail[-1], tail
    address = url(cloud, functions, "web-node")
    asked = urllib.request.Request(address + "a/b%20c?q=1", headers={"x-asked": "yes"}, method="DELETE")
    with urllib.request.urlopen(asked) as response:
        assert response.status == 203 and response.headers["x-made-by"] == "node"
        assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert response.read() == b"DELETE /a/b%20c?q=1 yes"
    with urllib.request.urlopen(address + "stream") as response:
        assert response.read(6) == b"first\n", "what is written is passed on before the end"
        assert response.read() == b"second\n"
    quits = {"run.sh*": "#!/bin/sh\necho going >&2\nexit 9\n"}
    create(functions, "web-quits", quits, runtime="web", handler="unused")
    try:
        urllib.request.urlopen(url(cloud, functions, "web-quits"))
        raise AssertionError("a server that exits cannot answer")
    except urllib.error.HTTPError as error:
        assert error.code == 502, error.code


def test_a_version_that_is_not_installed_is_replaced_with_a_warning(functions):
    create(functions, "older", {"app.py": "def handler(e, c): return 1\n"}, runtime="python3.8")
    functions.get_waiter("function_updated_v2").wait(FunctionName="older", WaiterConfig={"Delay": 1})
    about = functions.get_function_configuration(FunctionName="older")
    assert "Python 3.8 is not installed" in about.get("StateReason", ""), about
    assert invoke(functions, "older")[1] == 1


def publish(functions, name, files):
    made = functions.publish_layer_version(LayerName=name, Content={"ZipFile": mayfly.package(files)})
    return made["LayerVersionArn"]


def url(cloud, functions, name):
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    functions.add_permission(FunctionName=name, StatementId="u", Action="lambda:InvokeFunctionUrl",
                             Principal="*", FunctionUrlAuthType="NONE")
    return f"{cloud.endpoint}/_url/{made.split('//')[1].split('.')[0]}/"


def text(logs, name):
    return "\n".join(mayfly.logged(logs, name))


def fresh(functions, name, event, **variables):
    """What a new instance answers."""
    variables["FRESH"] = os.urandom(4).hex()
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return invoke(functions, name, event)[1]
