"""Functions that misbehave, and a disk that is full: each gets its fault, and nobody else notices."""

import json
import os
import subprocess
import tempfile
import threading

import botocore.exceptions
import pytest

import mayfly
from mayfly import create, invoke, until

HOSTILE = """
import os, socket, subprocess, sys, threading, time
def handler(event, context):
    return globals()[event["do"]](event)
def nothing(event):
    return "fine"
def sleep(event):
    time.sleep(event["seconds"]); return "slept"
def leave(event):
    os._exit(event["status"])
def eat(event):
    held = []
    while True: held.append(bytearray(b"x" * (8 << 20)))
def fork(event):
    children = []
    try:
        while True:
            pid = os.fork()
            if pid == 0: time.sleep(600); os._exit(0)
            children.append(pid)
    except OSError as error:
        for pid in children: os.kill(pid, 9)
        return [len(children), error.errno]
def fill(event):
    written = 0
    try:
        with open("/tmp/big", "wb") as out:
            while written < 10 << 30: written += out.write(b"x" * (1 << 20))
    except OSError as error:
        return [written >> 20, error.errno]
def big(event):
    return "x" * event["bytes"]
def look(event):
    seen = {"pids": [p for p in os.listdir("/proc") if p.isdigit()], "uid": os.getuid()}
    def attempt(name, what):
        try: what(); seen[name] = "allowed"
        except Exception as error: seen[name] = type(error).__name__
    attempt("write_root", lambda: open("/evil", "w"))
    attempt("write_code", lambda: open("/var/task/app.py", "a"))
    attempt("write_usr", lambda: open("/usr/evil", "w"))
    attempt("shadow", lambda: open("/etc/shadow").read())
    attempt("host_data", lambda: os.listdir(event["data"]))
    attempt("raw_socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt("outside", lambda: socket.create_connection(("192.0.2.1", 80), timeout=1))
    attempt("metadata", lambda: socket.create_connection(("169.254.169.254", 80), timeout=1))
    attempt("server_port", lambda: socket.create_connection(("127.0.0.1", event["port"]), timeout=1))
    attempt("setuid", lambda: os.setuid(0))
    attempt("sysctl", lambda: open("/proc/sys/kernel/hostname", "w").write("x"))
    attempt("mount", lambda: subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True))
    attempt("unshare", lambda: subprocess.run(["unshare", "-U", "true"], check=True, capture_output=True))
    return seen
"""


@pytest.fixture(scope="module")
def hostile(functions):
    create(functions, "hostile", {"app.py": HOSTILE}, Timeout=120, MemorySize=128)
    return lambda do, **more: invoke(functions, "hostile", {"do": do, **more}, LogType="Tail")


def test_a_handler_that_never_returns_times_out(functions):
    create(functions, "never-returns", {"app.py": HOSTILE}, Timeout=4)
    answer, error = invoke(functions, "never-returns", {"do": "sleep", "seconds": 600})
    assert answer["FunctionError"] == "Unhandled" and error["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 4.00 seconds" in error["errorMessage"]
    assert invoke(functions, "never-returns", {"do": "nothing"})[1] == "fine", "the next one gets a new instance"


def test_an_exit_is_told(hostile):
    _, error = hostile("leave", status=7)
    assert error["errorType"] == "Runtime.ExitError" and "exit status 7" in error["errorMessage"]


def test_memory_is_bounded(hostile):
    _, error = hostile("eat")
    assert error["errorType"] == "Runtime.ExitError" and "signal: killed" in error["errorMessage"], error


def test_processes_are_bounded(functions):
    create(functions, "forks", {"app.py": HOSTILE}, Timeout=240, MemorySize=1024)
    _, result = invoke(functions, "forks", {"do": "fork"})
    if isinstance(result, list):
        assert result[0] <= 1024 and result[1] == 11
    else:
        assert "signal: killed" in result["errorMessage"]
    assert invoke(functions, "forks", {"do": "nothing"})[1] == "fine"


def test_tmp_is_bounded(functions):
    create(functions, "fills", {"app.py": HOSTILE}, Timeout=240, MemorySize=512)
    _, result = invoke(functions, "fills", {"do": "fill"})
    assert result == [512, 28] or result[0] in range(500, 513) and result[1] == 28


def test_answers_and_events_are_bounded(functions, hostile):
    answer, error = hostile("big", bytes=7 << 20)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.invoke(FunctionName="hostile", Payload=b'"' + b"x" * (7 << 20) + b'"')
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_the_sandbox_has_walls(cloud, hostile):
    port = int(cloud.endpoint.rsplit(":", 1)[1])
    _, seen = hostile("look", data=str(cloud.data), port=port)
    assert len(seen.pop("pids")) <= 3 and seen.pop("uid") != 0
    allowed = [name for name, outcome in seen.items() if outcome == "allowed"]
    assert allowed == [], seen


def test_concurrency_is_bounded_and_told(cloud, functions):
    create(functions, "narrow", {"app.py": HOSTILE}, Timeout=60)
    functions.put_function_concurrency(FunctionName="narrow", ReservedConcurrentExecutions=1)
    refused = threading.Event()

    def occupy():
        other = cloud.client("lambda")
        while not refused.is_set():
            attempt(other, {"do": "sleep", "seconds": 1})

    def attempt(aws, event):
        try:
            return invoke(aws, "narrow", event), None
        except aws.exceptions.TooManyRequestsException as error:
            return None, error

    first = threading.Thread(target=occupy)
    first.start()
    try:
        error = until(lambda: attempt(functions, {"do": "nothing"})[1])
    finally:
        refused.set()
        first.join()
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_an_asynchronous_invocation_is_retried_and_its_failure_delivered(cloud, functions, logs):
    create(functions, "told", {"app.py": "import json\ndef handler(e, c):\n    print('TOLD', json.dumps(e))\n"})
    create(functions, "fails", {"app.py": "def handler(e, c):\n    raise KeyError('no')\n"})
    functions.put_function_event_invoke_config(
        FunctionName="fails", MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:told"}})
    accepted = functions.invoke(FunctionName="fails", InvocationType="Event", Payload=b'{"n": 1}')
    assert accepted["StatusCode"] == 202
    told = until(lambda: mayfly.logged(logs, "told", "TOLD"))
    record = json.loads(told[0].split("TOLD ", 1)[1])
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestPayload"] == {"n": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_is_a_fault_and_recovers():
    with tempfile.TemporaryDirectory(prefix="mayfly-full-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
        running = mayfly.Server(folder)
        running.log = open(os.devnull, "wb")
        try:
            running.start()
            aws = running.client("s3")
            aws.create_bucket(Bucket="full")
            kept, refused = [], None
            for number in range(200):
                try:
                    aws.put_object(Bucket="full", Key=f"{number}", Body=os.urandom(1 << 20))
                    kept.append(f"{number}")
                except botocore.exceptions.ClientError as error:
                    refused = error.response["ResponseMetadata"]["HTTPStatusCode"]
                    break
            assert refused and refused >= 500 and kept
            for key in kept:
                assert aws.head_object(Bucket="full", Key=key)["ContentLength"] == 1 << 20
            for key in kept[: len(kept) // 2]:
                until(lambda: deleted(aws, key))
            until(lambda: put(aws, "after"))
            running.kill()
            running.start()
            aws = running.client("s3")
            for key in [*kept[len(kept) // 2 :], "after"]:
                assert aws.head_object(Bucket="full", Key=key)
        finally:
            running.kill()
            subprocess.run(["umount", "-l", folder], check=True)


def deleted(aws, key):
    try:
        return aws.delete_object(Bucket="full", Key=key)
    except botocore.exceptions.ClientError:
        return None


def put(aws, key):
    try:
        return aws.put_object(Bucket="full", Key=key, Body=b"x" * (1 << 20))
    except botocore.exceptions.ClientError:
        return None
