"""Where instances come from: counted for whoever watches, and ahead of need where an interpreter waits."""

import json
import time
import urllib.request

import mayfly
import pytest

LOOK = {
    "python3.11": {
        "app.py": """
import os, sys, time
AHEAD = "datetime" in sys.modules
START = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
def handler(event, context):
    return {"began": START, "ahead": AHEAD, "round": os.environ["ROUND"]}
"""
    },
    "nodejs20.x": {
        "app.js": """
const ahead = process.moduleLoadList.includes("NativeModule assert");
const stat = require("fs").readFileSync("/proc/self/stat", "utf8");
const began = Number(stat.split(") ").pop().split(" ")[19]) / 100;
exports.handler = async () => ({ began, ahead, round: process.env.ROUND });
"""
    },
}


def starts(running):
    found = running.metrics()
    return tuple(found[f'mayfly_cold_starts_total{{kind="{kind}"}}'] for kind in ("fresh", "prewarmed"))


def configure(functions, name, number):
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {"ROUND": str(number)}})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def call(functions, name):
    answer = functions.invoke(FunctionName=name)
    assert "FunctionError" not in answer
    return json.load(answer["Payload"])


@pytest.mark.parametrize("runtime", LOOK)
def test_a_changed_function_starts_in_an_interpreter_that_waited(runtime):
    """The process that serves a changed function had begun before the change, and it is the changed function."""
    with mayfly.server() as running:
        if "memory-cgroup" not in running.allows():
            pytest.skip("without it a limit on memory cannot be set later, so nothing waits")
        functions = running.client("lambda")
        mayfly.create(functions, "waits", LOOK[runtime], runtime=runtime, Timeout=60,
                      Environment={"Variables": {"ROUND": "0"}})
        assert running.metrics()["mayfly_prewarmed_interpreters"] == 0, "nothing waits where nothing runs"
        assert not call(functions, "waits")["ahead"]
        assert starts(running) == (1, 0)
        for number in (1, 2):
            mayfly.until(lambda: running.metrics()["mayfly_prewarmed_interpreters"] == 1)
            before = time.clock_gettime(time.CLOCK_BOOTTIME)
            configure(functions, "waits", number)
            seen = call(functions, "waits")
            assert seen["round"] == str(number)
            # The kernel tells the start in hundredths of a second.
            assert seen["began"] <= before + 0.01, "booted ahead"
            assert seen["ahead"], "what most functions import was there already, or the first of it"
            assert starts(running) == (1, number)


def test_metrics_are_for_clients_and_not_for_functions():
    code = """
import os, urllib.request, urllib.error
def handler(event, context):
    try:
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_mayfly/metrics").read().decode()
    except urllib.error.HTTPError as error:
        return error.code
"""
    with mayfly.server() as running:
        functions = running.client("lambda")
        mayfly.create(functions, "curious", {"app.py": code}, Timeout=60)
        assert call(functions, "curious") == 403
        assert call(functions, "curious") == 403
        with urllib.request.urlopen(running.endpoint + "/_mayfly/metrics", timeout=mayfly.PATIENCE) as page:
            assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
            lines = page.read().decode().splitlines()
        seen = running.metrics()
        told = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        assert {name.split("{")[0] for name in seen} == set(told), "each figure is declared"
        assert seen["mayfly_invocations_total"] == 2
        assert seen['mayfly_instances{state="busy"}'] == 0
        assert starts(running) == (1, 0)


def test_a_large_python_package_is_compiled_once_and_not_on_every_start():
    """What is compiled is told by the interpreter itself; a module that does not compile keeps nobody up."""
    code = """
import sys
compiled = []
sys.addaudithook(lambda name, about: compiled.append(str(about[1])) if name == "compile" else None)
import big, layered
def handler(event, context):
    return {"compiled": compiled, "values": [big.last, layered.last], "big": big.__file__}
"""
    large = "".join(f"value{number} = '\\d {number}'\n" for number in range(4000)) + "last = value3999\n"
    with mayfly.server() as running:
        functions = running.client("lambda")
        layer = functions.publish_layer_version(
            LayerName="library", Content={"ZipFile": mayfly.package({"python/layered.py": large})}
        )
        files = {"app.py": code, "big.py": large, "broken.py": "def oops(:\n", "notes/big.txt": "no code"}
        mayfly.create(functions, "large", files, Layers=[layer["LayerVersionArn"]], Timeout=60)

        def anew():
            configure(functions, "large", time.monotonic_ns())
            seen = call(functions, "large")
            assert seen["values"] == ["\\d 3999"] * 2 and seen["big"] == "/var/task/big.py"
            return not any(name.endswith(("/big.py", "/layered.py", "/app.py")) for name in seen["compiled"])

        mayfly.until(anew, every=0.2)
        running.stop()
        running.start()
        assert anew(), "and it stays compiled"


def test_node_starts_from_a_snapshot_that_was_made_at_the_deploy():
    code = """
const command = require("fs").readFileSync("/proc/self/cmdline", "utf8").split("\\0");
const collects = typeof gc === "function";
exports.handler = async () => ({ command, collects, flags: process.execArgv, random: Math.random() });
"""
    with mayfly.server("[limits]\nprewarmed_instances = 0\n") as running:
        functions = running.client("lambda")
        mayfly.create(functions, "snapped", {"app.js": code}, runtime="nodejs20.x", MemorySize=192, Timeout=60)
        drawn = set()
        for number in range(2):
            configure(functions, "snapped", number)
            seen = call(functions, "snapped")
            assert "--snapshot-blob" in seen["command"], seen
            assert seen["flags"] == ["--max-old-space-size=172"], "the processes that it forks start as usual"
            drawn.add(seen["random"])
        assert len(drawn) == 2, "each start draws its own"
        flags = {"NODE_OPTIONS": "--expose-gc --max-old-space-size=100"}
        functions.update_function_configuration(FunctionName="snapped", Environment={"Variables": flags})
        functions.get_waiter("function_updated_v2").wait(FunctionName="snapped", WaiterConfig={"Delay": 1})
        seen = call(functions, "snapped")
        assert seen["collects"] and "--snapshot-blob" not in seen["command"], "flags of the function's own"
        configure(functions, "snapped", 3)
        running.stop()
        running.start()
        assert "--snapshot-blob" in call(functions, "snapped")["command"], "and it stays"
