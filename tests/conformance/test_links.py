"""Links to what is too large for an answer, and what the deprecated and the listing calls refuse."""

import base64
import hashlib
import time
import urllib.error
import urllib.request

import botocore
import pytest

import mayfly
from mayfly import create


def digest(content):
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def refusal(url, method="GET"):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, method=method))
    return caught.value.code, caught.value.read().decode()


def test_a_function_and_a_layer_can_be_downloaded_as_they_were_sent(functions):
    made = create(functions, "download", {"app.py": "def handler(e, c): return 1\n"})
    found = functions.get_function(FunctionName="download")
    assert found["Code"]["RepositoryType"] == "S3"
    with urllib.request.urlopen(found["Code"]["Location"]) as answer:
        content = answer.read()
        assert answer.headers["content-type"] == "application/zip"
    assert digest(content) == made["CodeSha256"] and len(content) == made["CodeSize"]

    archive = mayfly.package({"python/lib.py": "x = 1\n"})
    published = functions.publish_layer_version(LayerName="download", Content={"ZipFile": archive})
    for content in (published["Content"], functions.get_layer_version(LayerName="download", VersionNumber=1)["Content"]):
        with urllib.request.urlopen(content["Location"]) as answer:
            assert answer.read() == archive and digest(archive) == content["CodeSha256"]

    link = found["Code"]["Location"]
    assert refusal(link.replace("expires=", "expires=9"))[1].count("SignatureDoesNotMatch")
    assert refusal(link.split("&signature")[0])[0] == 403
    assert refusal(link, "DELETE")[0] == 403
    other = content["Location"].split("?")[0] + "?" + link.split("?")[1]
    assert refusal(other)[0] == 403, "a link opens its own package alone"
    until = int(link.split("expires=")[1].split("&")[0])
    assert 500 < until - time.time() <= 600


def test_several_layers_lie_over_each_other_in_their_order(functions):
    first = functions.publish_layer_version(LayerName="first", Content={"ZipFile": mayfly.package(
        {"python/both.py": "NAME = 'first'\n", "python/only_first.py": "", "data/a.txt": "a"})})
    second = functions.publish_layer_version(LayerName="second", Content={"ZipFile": mayfly.package(
        {"python/both.py": "NAME = 'second'\n", "data/b.txt": "b"})})
    code = """
import both, only_first, os
def handler(event, context):
    return [both.NAME, sorted(os.listdir("/opt/data"))]
"""
    arns = [first["LayerVersionArn"], second["LayerVersionArn"]]
    create(functions, "laid-over", {"app.py": code}, Layers=arns)
    assert mayfly.invoke(functions, "laid-over")[1] == ["second", ["a.txt", "b.txt"]]
    functions.update_function_configuration(FunctionName="laid-over", Layers=arns[::-1])
    functions.get_waiter("function_updated_v2").wait(FunctionName="laid-over", WaiterConfig={"Delay": 1})
    assert mayfly.invoke(functions, "laid-over")[1] == ["first", ["a.txt", "b.txt"]]


def test_the_deprecated_invocation_wants_an_event(functions):
    create(functions, "old", {"app.py": "def handler(e, c): return e\n"})
    assert functions.invoke_async(FunctionName="old", InvokeArgs=b"{}")["Status"] == 202
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.invoke_async(FunctionName="old", InvokeArgs=b"")
    assert caught.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_events_are_searched_for_by_their_members_and_columns(logs):
    logs.create_log_group(logGroupName="patterns")
    logs.create_log_stream(logGroupName="patterns", logStreamName="s")
    messages = ['{"level": "error", "ms": 7}', '{"level": "info", "ms": 9}', "10.0.0.1 frank 404 12", "plain error"]
    now = int(time.time() * 1000)
    events = [{"timestamp": now + place, "message": message} for place, message in enumerate(messages)]
    logs.put_log_events(logGroupName="patterns", logStreamName="s", logEvents=events)

    def found(pattern):
        return [event["message"] for event in logs.filter_log_events(logGroupName="patterns", filterPattern=pattern)["events"]]

    assert found('{ $.level = "error" && $.ms > 5 }') == messages[:1]
    assert found("{ $.ms >= 7 }") == messages[:2]
    assert found("[ip = 10.*, user, status = 4*, bytes]") == messages[2:3]
    assert found("%[0-9]{3}%") == messages[2:3]
    tried = logs.test_metric_filter(filterPattern="[ip, ..., bytes > 10]", logEventMessages=messages)["matches"]
    assert [(match["eventNumber"], match["extractedValues"]) for match in tried] == [
        (3, {"$ip": "10.0.0.1", "$bytes": "12"})]
    for bad in ("{ $.level }", "[a, b", "foo:bar"):
        with pytest.raises(logs.exceptions.InvalidParameterException):
            found(bad)
