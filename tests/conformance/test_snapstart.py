"""SnapStart: a published version's module code runs once, and instances are forked from the process in which it ran."""

import base64
import concurrent.futures
import contextlib
import os
import signal

import botocore
import mayfly
import pytest
from guests import WAIT, Gate
from mayfly import create, invoke, until

ON = {"ApplyOn": "PublishedVersions"}
FORKED = 'mayfly_cold_starts_total{kind="forked"}'
UNIQUE = WAIT + """
import os, random, secrets, socket, ssl, sys, tempfile, urllib.request, uuid
from snapshot_restore_py import register_after_restore, register_before_snapshot

print("module code runs")
ORDER = []
WHEN = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
DATA = open("/var/task/data.txt")
FIRST = DATA.readline()
SOCKET = socket.create_connection(("127.0.0.1", 4566))
random.random(), uuid.uuid4(), ssl.RAND_bytes(8)  # What is drawn from before must not go on alike.

@register_before_snapshot
def one():
    ORDER.append("before one")

@register_before_snapshot
def two():
    ORDER.append("before two")

def after(what, more=""):
    ORDER.append("after " + what + more)

register_after_restore(after, "one", more="!")
register_after_restore(after, "two")

def handler(event, context):
    left = sorted(os.listdir("/tmp"))
    open("/tmp/" + event["leave"], "w").close()
    if "gate" in event:
        wait(event["gate"])
    try:
        SOCKET.settimeout(5)
        dead = SOCKET.recv(1)
    except OSError as error:
        dead = type(error).__name__
    return {
        "order": ORDER, "left": left, "next": DATA.readline(), "first": FIRST, "dead": repr(dead),
        "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "argv": sys.argv[1:], "here": os.getcwd(),
        "own": [str(uuid.uuid4()), random.random(), secrets.token_hex(8), ssl.RAND_bytes(8).hex(),
                tempfile.mktemp(), context.log_stream_name],
        "was": WHEN,
        "numbers": [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())],
        "platform": urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_mayfly/health").status,
        "caps": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
    }
"""


def publish(aws, name, code, status="On", **more):
    """A published version with SnapStart, once it is ready."""
    files = code if isinstance(code, dict) else {"app.py": code}
    create(aws, name, files, runtime="python3.12", SnapStart=ON, **{"Timeout": 120, **more})
    made = aws.publish_version(FunctionName=name)
    assert (made["State"], made["SnapStart"]) == ("Pending", {**ON, "OptimizationStatus": "Off"})
    return settled(aws, name, made["Version"], status)


def settled(aws, name, version, status="On"):
    until(lambda: configuration(aws, name, version)["State"] != "Pending")
    ready = configuration(aws, name, version)
    assert (ready["State"], ready["SnapStart"]["OptimizationStatus"]) == ("Active", status), ready
    return version


def configuration(aws, name, version):
    return aws.get_function_configuration(FunctionName=name, Qualifier=version)


def lines(cloud, name):
    return mayfly.logged(cloud.client("logs"), name)


def all_run(running, count):
    """Whether so many events have an instance each, and none waits for one."""
    seen = running.metrics()
    return (seen['mayfly_instances{state="busy"}'], seen["mayfly_invocations_waiting"]) == (count, 0)


def report(answer):
    return base64.b64decode(answer["LogResult"]).decode()


@pytest.fixture(scope="module", params=["root", "ordinary"])
def forks(request):
    """A server that can fork instances."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("the tests do not run as root")
    with contextlib.ExitStack() as stack:
        user = mayfly.ORDINARY if request.param == "ordinary" and os.geteuid() == 0 else None
        cloud = stack.enter_context(mayfly.server(user=user))
        if "fork from a template" not in cloud.allows():
            pytest.skip("this machine cannot fork instances")
        yield cloud


def test_module_code_runs_once_and_no_two_instances_are_alike(forks):
    aws = forks.client("lambda")
    version = publish(aws, "unique", {"app.py": UNIQUE, "data.txt": "first\nsecond\nthird\n"})
    before = forks.metrics()[FORKED]
    with concurrent.futures.ThreadPoolExecutor(4) as pool, Gate(forks, "unique") as gate:
        ask = lambda name: invoke(aws, "unique", {"leave": name, "gate": gate.link}, Qualifier=version, LogType="Tail")
        asked = [pool.submit(ask, name) for name in "abcd"]
        until(lambda: all_run(forks, 4) or any(one.done() for one in asked))
        gate.open()
        answers = [one.result() for one in asked]
    results = [result for _, result in answers]
    for result in results:
        assert result["order"] == ["before two", "before one", "after one!", "after two"]
        assert (result["left"], result["numbers"], result["argv"]) == ([], [], [])
        assert set(result["caps"]) == {"0" * 16}, "no set has any left, the bounding set included"
        assert (result["type"], result["here"], result["platform"]) == ("snap-start", "/var/task", 200)
        assert (result["first"], result["next"]) == ("first\n", "second\n"), "an open file is each one's own"
        assert result["dead"] == "b''", "what was connected is not any more"
    for values in zip(*(result["own"] for result in results)):
        assert len(set(values)) == 4, values
    assert all(result["was"] not in result["own"] for result in results)
    assert forks.metrics()[FORKED] == before + 4
    for answer, _ in answers:
        assert "Restore Duration: " in report(answer) and "Init Duration" not in report(answer)
    restored = "RESTORE_REPORT Restore Duration: "
    until(lambda: sum(line.startswith(restored) for line in lines(forks, "unique")) == 4)
    said = lines(forks, "unique")
    assert said.count("module code runs") == 1
    assert sum(line.startswith("INIT_REPORT Init Duration: ") for line in said) == 1
    answer, again = invoke(aws, "unique", {"leave": "e"}, Qualifier=version, LogType="Tail")
    assert "Restore" not in report(answer) and len(again["left"]) == 1, "a warm one is not restored again"


def test_what_one_fork_does_to_itself_harms_no_other(forks):
    code = WAIT + """
import os, time
HELD = []
def handler(event, context):
    if event == "exit": os._exit(3)
    if event == "abort": os.abort()
    if event == "group": os.kill(0, 9)
    if event == "all": os.kill(-1, 9)
    if event == "memory":
        while True: HELD.append(b"x" * (8 << 20))
    if event == "time": time.sleep(600)
    if event and event.startswith("http"): wait(event)
    return os.getpid()
"""
    aws = forks.client("lambda")
    version = publish(aws, "harm", code)
    has_limit = "memory-cgroup" in forks.allows()
    with concurrent.futures.ThreadPoolExecutor(1) as pool, Gate(forks, "harm") as gate:
        other = pool.submit(invoke, aws, "harm", gate.link, Qualifier=version)
        until(lambda: any(line.startswith("START") for line in lines(forks, "harm")))
        errors = {event: invoke(aws, "harm", event, Qualifier=version)[1]
                  for event in ("exit", "abort", "group", "memory")}
        gate.open()
        assert other.result()[1] > 1
    kinds = {event: error["errorType"] for event, error in errors.items()}
    memory = "Runtime.ExitError" if has_limit else "MemoryError"
    assert kinds == {"exit": "Runtime.ExitError", "abort": "Runtime.ExitError", "group": "Runtime.ExitError",
                     "memory": memory}
    assert "exit status 3" in errors["exit"]["errorMessage"] and "aborted" in errors["abort"]["errorMessage"].replace(
        "signal: 6", "aborted"), errors
    assert invoke(aws, "harm", "all", Qualifier=version)[1] is not None
    assert invoke(aws, "harm", None, Qualifier=version)[1] > 1
    until(lambda: sum("INIT_REPORT" in line for line in lines(forks, "harm")) == 1)
    version = publish(aws, "harm-time", code, Timeout=4)
    assert invoke(aws, "harm-time", "time", Qualifier=version)[1]["errorType"] == "Sandbox.Timedout"
    assert invoke(aws, "harm-time", None, Qualifier=version)[1] > 1
    until(lambda: sum("INIT_REPORT" in line for line in lines(forks, "harm-time")) == 1)


def slow_to_restore(aws, hook):
    slow = publish(aws, "slow-hook", hook.format("time.sleep(60)"))
    with pytest.raises(aws.exceptions.SnapStartTimeoutException) as caught:
        invoke(aws, "slow-hook", Qualifier=slow)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 408


def test_hooks_that_fail_and_code_that_does_not_initialise_are_told_as_aws_does(forks):
    aws = forks.client("lambda")
    hook = """
from snapshot_restore_py import register_after_restore
import time
@register_after_restore
def hook():
    {}
def handler(event, context): return 1
"""
    broken = publish(aws, "broken", hook.format("raise KeyError('lost')"))
    with pytest.raises(aws.exceptions.SnapStartException) as caught:
        invoke(aws, "broken", Qualifier=broken)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    until(lambda: any("KeyError: 'lost'" in line for line in lines(forks, "broken")))
    if forks.user is None:
        slow_to_restore(aws, hook)
    create(aws, "no-start", {"app.py": "raise RuntimeError('not today')"}, runtime="python3.12", SnapStart=ON)
    version = aws.publish_version(FunctionName="no-start")["Version"]
    until(lambda: configuration(aws, "no-start", version)["State"] == "Failed")
    failed = configuration(aws, "no-start", version)
    assert failed["StateReasonCode"] == "FunctionError.RuntimeInitError" and "not today" in failed["StateReason"]
    with pytest.raises(aws.exceptions.ResourceConflictException):
        invoke(aws, "no-start", Qualifier=version)
    with Gate(forks, "late") as gate:
        code = WAIT + f"wait({gate.link!r})\ndef handler(event, context): return 1"
        create(aws, "late", {"app.py": code}, runtime="python3.12", SnapStart=ON)
        version = aws.publish_version(FunctionName="late")["Version"]
        with pytest.raises(aws.exceptions.SnapStartNotReadyException):
            invoke(aws, "late", Qualifier=version)
    settled(aws, "late", version)
    assert invoke(aws, "late", Qualifier=version)[1] == 1


@pytest.mark.parametrize("what, code, why", [
    ("thread", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True, name='mine').start()",
     "threads: mine"),
    ("file", "open('/tmp/cache', 'w').close()", "files in /tmp"),
    ("pipe", "import os\nPIPE = os.pipe()", "pipe:"),
    ("process", "import subprocess\nCHILD = subprocess.Popen(['sleep', '1000'])", "other processes"),
    ("memory", "import mmap\nSHARED = mmap.mmap(-1, 4096)", "shared"),
])
def test_what_a_fork_cannot_copy_is_not_forked(forks, what, code, why):
    aws = forks.client("lambda")
    version = publish(aws, "unfit-" + what, code + """
from snapshot_restore_py import register_after_restore
DONE = []
register_after_restore(DONE.append, 1)
def handler(event, context): return DONE
""", status="Off")
    assert why in configuration(aws, "unfit-" + what, version)["StateReason"]
    before = forks.metrics()[FORKED]
    answer, done = invoke(aws, "unfit-" + what, Qualifier=version, LogType="Tail")
    assert done == [1], "hooks run all the same"
    assert "Init Duration" in report(answer) and forks.metrics()[FORKED] == before


def test_only_some_runtimes_have_it_and_latest_never(cloud, functions):
    refused = {"python3.11": "InvalidParameterValueException", "nodejs20.x": "InvalidParameterValueException",
               "provided.al2023": "InvalidParameterValueException", "java21": "NotImplemented"}
    for runtime, code in refused.items():
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            create(functions, "no-snap", {"app.py": "x"}, runtime=runtime, SnapStart=ON)
        error = caught.value.response["Error"]
        assert error["Code"] == code, error
        if code == "InvalidParameterValueException":
            assert error["Message"] == f"{runtime} is not supported for SnapStart enabled functions."
    create(functions, "snap-latest", {"app.py": "import os\ndef handler(e, c): return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']"},
           runtime="python3.12", SnapStart=ON)
    assert functions.get_function_configuration(FunctionName="snap-latest")["SnapStart"] == {**ON, "OptimizationStatus": "Off"}
    assert invoke(functions, "snap-latest")[1] == "on-demand"
    version = functions.publish_version(FunctionName="snap-latest")["Version"]
    with pytest.raises(functions.exceptions.InvalidParameterValueException) as caught:
        functions.put_provisioned_concurrency_config(
            FunctionName="snap-latest", Qualifier=version, ProvisionedConcurrentExecutions=1)
    assert "ProvisionedConcurrency is not supported for SnapStart enabled" in caught.value.response["Error"]["Message"]
    functions.get_waiter("published_version_active").wait(FunctionName="snap-latest", Qualifier=version)
    functions.update_function_configuration(FunctionName="snap-latest", SnapStart={"ApplyOn": "None"})
    assert functions.publish_version(FunctionName="snap-latest")["State"] == "Active"


def of_templates(cloud):
    """This server's templates and what was forked from them, which has the same command line: their ids in all their
    name spaces, of which a fork has one more."""
    found, below = [], {cloud.process.pid}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            if int(stat[1]) in below:
                below.add(pid)
                if b"--template" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0"):
                    status = open(f"/proc/{pid}/status").read()
                    found.append(status.split("NSpid:")[1].splitlines()[0].split())
    return found


def test_a_template_that_is_gone_is_made_again_and_nobody_fails():
    code = WAIT + """
import os
print("module code runs")
def handler(event, context):
    if event: wait(event)
    return os.getpid()
"""
    with mayfly.server() as running:
        if "fork from a template" not in running.allows():
            pytest.skip("this machine cannot fork instances")
        aws = running.client("lambda")
        version = publish(aws, "again", code)
        assert invoke(aws, "again", Qualifier=version)[1] > 0
        running.kill()
        running.start()
        assert running.metrics()["mayfly_templates"] == 0, "a restart costs nothing until there is an event"
        answer, pid = invoke(aws, "again", Qualifier=version, LogType="Tail")
        assert pid > 0 and "Init Duration" in report(answer)
        until(lambda: running.metrics()["mayfly_templates"] == 1)

        def at_once(count, meanwhile=lambda: None):
            """The processes that serve so many events, none of which ends before the last has come."""
            with concurrent.futures.ThreadPoolExecutor(count) as pool, Gate(running, f"again-{count}") as gate:
                asked = [pool.submit(invoke, aws, "again", gate.link, Qualifier=version) for _ in range(count)]
                until(lambda: all_run(running, count) or any(one.done() for one in asked))
                meanwhile()
                gate.open()
                return [one.result()[1] for one in asked]

        def kill_template():
            template = min(of_templates(running), key=len)
            os.kill(int(template[0]), signal.SIGKILL)

        assert all(isinstance(pid, int) for pid in at_once(3))
        assert running.metrics()[FORKED] >= 1
        # Those that run go on without it, and those that come are served.
        assert all(isinstance(pid, int) for pid in at_once(1, kill_template))
        assert all(isinstance(pid, int) for pid in at_once(4))
        until(lambda: running.metrics()["mayfly_templates"] == 1)
        aws.delete_function(FunctionName="again")
        until(lambda: running.metrics()["mayfly_templates"] == 0)
        until(lambda: not of_templates(running))
