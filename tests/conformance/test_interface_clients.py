"""AWS's own runtime interface clients, unmodified, in container images: PyPI's `awslambdaric`, and Go's in an image of
one static file. And what an image brings besides: extensions, and settings that its function goes before."""

import functools
import importlib.util
import json
import pathlib

import guests
import images
import mayfly
import pytest
import test_extensions
from images import Image, tar
from mayfly import invoke, until

APP = """
import logging, os, sys
print("loaded", flush=True)
calls = 0
def handler(event, context):
    global calls
    calls += 1
    if event == "raise":
        raise KeyError("no such word")
    if event == "leave":
        sys.exit(3)
    logging.getLogger().warning("heard %s", event)
    client = context.client_context
    return {"event": event, "calls": calls, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb,
            "version": context.function_version, "group": context.log_group_name, "custom": client and client.custom,
            "directory": os.getcwd(), "arguments": sys.argv[1:], "tag": os.environ.get("TAG")}
def other(event, context):
    return "other " + str(event)
"""


@functools.cache
def awslambdaric():
    """What `pip install --target` lays down, and the libraries that its compiled part wants."""
    files = {}
    for name in ("awslambdaric", "snapshot_restore_py", "simplejson", "runtime_client"):
        origin = pathlib.Path(importlib.util.find_spec(name).origin)
        inside = [origin] if origin.stem != "__init__" else origin.parent.rglob("*")
        root = origin.parent if origin.stem != "__init__" else origin.parent.parent
        found = [path for path in inside if path.is_file() and path.suffix in (".py", ".so")]
        files |= {f"var/task/{path.relative_to(root)}": path.read_bytes() for path in found}
        files |= images.copied(images.libraries([str(path) for path in found if path.suffix == ".so"]))
    return tar(files)


def ric_image(**config):
    """As the documentation's Dockerfile makes one."""
    settings = {"Entrypoint": ["python3", "-m", "awslambdaric"], "Cmd": ["app.handler"], "WorkingDir": "/var/task",
                "Env": ["PATH=/usr/bin:/bin", "TAG=image"], **config}
    return Image(images.python(), awslambdaric(), tar({"var/task/app.py": APP}), **settings)


def lines(running, name):
    return mayfly.logged(running.client("logs"), name)


@pytest.mark.parametrize("who", ["cloud", "ordinary"])
def test_the_python_client_of_aws_runs_unmodified(request, who):
    running = request.getfixturevalue(who)
    aws, name = running.client("lambda"), f"ric-{who}"
    arn = images.create(running, name, ric_image(), Timeout=20, MemorySize=256)["FunctionArn"]
    client = "eyJjdXN0b20iOiB7ImEiOiAiYiJ9fQ=="
    answer, first = invoke(aws, name, {"word": "größe"}, ClientContext=client)
    expected = {"event": {"word": "größe"}, "calls": 1, "id": answer["ResponseMetadata"]["RequestId"], "arn": arn,
                "memory": "256", "version": "$LATEST", "group": f"/aws/lambda/{name}", "custom": {"a": "b"},
                "directory": "/var/task", "arguments": ["app.handler"], "tag": "image"}
    assert {key: first[key] for key in expected} == expected and 0 < first["left"] <= 20_000
    answer, error = invoke(aws, name, "raise")
    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'no such word'")
    assert error["requestId"] == answer["ResponseMetadata"]["RequestId"] and "app.py" in error["stackTrace"][0]
    assert invoke(aws, name, "x" * 1_000_000)[1]["calls"] == 3, "the same instance, and a long event"
    answer, error = invoke(aws, name, "leave")
    assert answer["FunctionError"] == "Unhandled" and error["errorType"] == "Runtime.ExitError", error
    assert invoke(aws, name, 1)[1]["calls"] == 1, "a new instance after the end of the old one"
    until(lambda: any("heard 1" in line and line.startswith("[WARNING]") for line in lines(running, name)))
    assert lines(running, name).count("loaded") == 2

    # What the function says goes before what the image says, each by itself.
    waiter = aws.get_waiter("function_updated_v2")
    for config, expected in [
        ({"Command": ["app.other"]}, "other 1"),
        ({"EntryPoint": ["/usr/bin/python3", "-c", "import awslambdaric.__main__ as m; m.main(['x', 'app.other'])"]}, "other 1"),
        ({"WorkingDirectory": "/usr"}, None),
    ]:
        aws.update_function_configuration(FunctionName=name, ImageConfig=config)
        waiter.wait(FunctionName=name, WaiterConfig={"Delay": 1})
        shown = aws.get_function_configuration(FunctionName=name)
        assert shown["ImageConfigResponse"]["ImageConfig"] == config
        answer, result = invoke(aws, name, 1)
        if expected:
            assert result == expected
        else:
            # Started elsewhere, the client's module is not found.
            assert answer["FunctionError"] == "Unhandled" and result["errorType"] == "Runtime.ExitError", result
            until(lambda: any("No module named awslambdaric" in line for line in lines(running, name)))


def test_the_python_client_of_aws_says_why_it_cannot_begin(cloud, functions):
    images.create(cloud, "ric-broken", ric_image(Cmd=["app.nobody"]), Timeout=20)
    answer, error = invoke(functions, "ric-broken", 1)
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.HandlerNotFound" and "nobody" in error["errorMessage"], error


def test_an_image_of_one_static_file_runs(cloud, functions):
    program = tar({f"{name}*": content for name, content in guests.go().items()})
    images.create(cloud, "scratch", Image(program, Entrypoint=["/bootstrap"]), Timeout=20)
    answer, result = invoke(functions, "scratch", {"name": "gopher"})
    assert result["hello"] == "gopher" and result["request"] == answer["ResponseMetadata"]["RequestId"]
    answer, error = invoke(functions, "scratch", {"name": "x", "fail": True})
    assert (error["errorType"], error["errorMessage"]) == ("errorString", "asked to fail")


@pytest.mark.parametrize("who", ["cloud", "ordinary"])
def test_extensions_of_an_image_run(request, who):
    running = request.getfixturevalue(who)
    aws, name = running.client("lambda"), f"image-extended-{who}"
    extension = tar({"opt/extensions/watch*": test_extensions.EXTENSION})
    image = Image(images.python(), tar({"var/task/app.py": test_extensions.HANDLER}), extension,
                  Entrypoint=["python3", "-u", "/client.py"], Cmd=["app.handler"])
    images.create(running, name, image, Timeout=20, MemorySize=256)
    first = invoke(aws, name)[1]
    logs = running.client("logs")
    events = until(lambda: test_extensions.ext_told(logs, name, "EVENT"))
    assert [json.loads(event)["requestId"] for event in events] == [first["id"]]
    told = mayfly.logged(logs, name)
    assert told.index("EXT watch READY") < told.index("handler runs")
    aws.update_function_configuration(FunctionName=name, Description="changed")
    last = until(lambda: [event for event in test_extensions.ext_told(logs, name, "EVENT") if "SHUTDOWN" in event])
    assert json.loads(last[0])["shutdownReason"] == "spindown"
