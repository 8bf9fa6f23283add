"""LoggingConfig: which group a function's log goes to, in which form, and how much of it."""

import base64
import json

import mayfly
from mayfly import create, invoke, until

PYTHON = """
import logging
log = logging.getLogger()
def handler(event, context):
    log.debug("quiet %s", event["n"])
    log.warning("loud %s", event["n"])
    print("plain")
    return context.log_group_name
"""
NODE = """
exports.handler = async (event, context) => {
  console.debug("quiet", event.n)
  console.warn("loud", event.n)
  return context.logGroupName
}
"""


def tail(functions, name):
    answer = functions.invoke(FunctionName=name, Payload=b'{"n": 7}', LogType="Tail")
    return json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode().splitlines()


def test_a_log_is_json_in_a_group_of_its_own(cloud, functions, logs):
    for name, runtime, code in (("says-py", "python3.11", {"app.py": PYTHON}), ("says-js", "nodejs20.x", {"app.js": NODE})):
        config = {"LogFormat": "JSON", "LogGroup": f"/own/{name}", "ApplicationLogLevel": "WARN"}
        create(functions, name, code, runtime=runtime, LoggingConfig=config)
        group, lines = tail(functions, name)
        assert group == f"/own/{name}"
        objects = [json.loads(line) for line in lines if line != "plain"]
        kinds = [line.get("type", line.get("level")) for line in objects]
        assert [kind.replace("WARNING", "WARN") for kind in kinds] == ["platform.start", "WARN", "platform.report"], lines
        start, said, report = objects
        assert said["message"] == "loud 7" and said["requestId"] == start["record"]["requestId"]
        assert report["record"]["metrics"]["billedDurationMs"] >= 1
        assert report["record"]["metrics"]["initDurationMs"] > 0 and report["time"].endswith("Z")

        def reports(name=name):
            group, pattern = f"/own/{name}", '{ $.type = "platform.report" }'
            if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                return []
            return logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]

        until(reports)
        assert "platform.report" in cloud.run("logs", name).stdout
        functions.update_function_configuration(
            FunctionName=name, LoggingConfig={"ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN"}
        )
        functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        _, lines = tail(functions, name)
        assert not any("platform." in line for line in lines) and any("quiet 7" in line for line in lines), lines
        functions.update_function_configuration(FunctionName=name, LoggingConfig={"LogFormat": "Text"})
        functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        assert tail(functions, name)[1][0].startswith("START RequestId: ")


def test_what_goes_wrong_is_told_in_the_same_form(functions):
    hangs = {"app.py": "import time\ndef handler(event, context): time.sleep(9)\n"}
    create(functions, "says-late", hangs, Timeout=1, LoggingConfig={"LogFormat": "JSON"})
    _, lines = tail(functions, "says-late")
    fault = [json.loads(line) for line in lines if json.loads(line)["type"] == "platform.fault"]
    assert len(fault) == 1 and "Task timed out after 1.00 seconds" in fault[0]["record"], lines
