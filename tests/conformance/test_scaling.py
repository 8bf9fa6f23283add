"""Scaling as callers see it: deploys under load, bursts, a full node, and instances that are ready ahead of demand."""

import base64
import concurrent.futures
import json
import threading
import urllib.error
import urllib.request

import pytest

import mayfly
from guests import WAIT, Gate
from mayfly import create, invoke, package, until

CODE = "import os, time\nVALUE = {value!r}\ndef handler(event, context):\n    time.sleep(event.get('for', 0))\n    return VALUE\n"


def app(value):
    return package({"app.py": CODE.format(value=value)})


def test_a_deploy_under_load_fails_nothing(cloud, functions):
    """Eight callers, through the API, an alias and a URL, while the code changes under them."""
    create(functions, "under-load", {"app.py": CODE.format(value=0)}, Timeout=60)
    functions.publish_version(FunctionName="under-load")
    functions.create_alias(FunctionName="under-load", Name="live", FunctionVersion="1")
    url = functions.create_function_url_config(FunctionName="under-load", AuthType="NONE")["FunctionUrl"]
    functions.add_permission(
        FunctionName="under-load", StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE",
    )
    path = f"{cloud.endpoint}/_url/{url.split('//')[1].split('.')[0]}/"
    seen, done = [], threading.Event()

    def by_api(qualifier):
        aws = cloud.client("lambda")
        while not done.is_set():
            answer = aws.invoke(FunctionName="under-load", Qualifier=qualifier, Payload=b"{}")
            body = answer["Payload"].read()
            assert answer["StatusCode"] == 200 and "FunctionError" not in answer, body
            seen.append((qualifier, json.loads(body)))

    def by_url():
        while not done.is_set():
            with urllib.request.urlopen(path, timeout=mayfly.PATIENCE) as answer:
                assert answer.status == 200
                seen.append(("url", json.loads(answer.read())))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(by_api, "$LATEST") for _ in range(3)]
        callers += [pool.submit(by_api, "live") for _ in range(3)]
        callers += [pool.submit(by_url) for _ in range(2)]
        try:
            for value in range(1, 7):
                before = len(seen)
                until(lambda: len(seen) >= before + 40 or any(one.done() for one in callers))
                functions.update_function_code(FunctionName="under-load", ZipFile=app(value))
                made = functions.publish_version(FunctionName="under-load")["Version"]
                functions.update_alias(FunctionName="under-load", Name="live", FunctionVersion=made)
            last = {("$LATEST", 6), ("live", 6), ("url", 6)}
            until(lambda: last <= set(seen) or any(one.done() for one in callers))
        finally:
            done.set()
        for caller in callers:
            caller.result()
    for kind in ["$LATEST", "live", "url"]:
        values = {value for name, value in seen if name == kind}
        assert 6 in values and values <= set(range(7)), (kind, values)
    assert len(seen) > 200


def standing(aws, name, qualifier):
    answer = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    return tuple(
        answer[f"{what}ProvisionedConcurrentExecutions"] for what in ["Requested", "Allocated", "Available"]
    ) + (answer["Status"],)


def test_provisioned_instances_are_ready_survive_kill_9_and_follow_their_alias():
    with mayfly.server() as server:
        aws = server.client("lambda")
        kind = "import os\ndef how(event, context):\n    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
        create(aws, "told", {"app.py": kind}, handler="app.how")
        assert json.loads(aws.invoke(FunctionName="told")["Payload"].read()) == "on-demand"
        version = aws.publish_version(FunctionName="told")["Version"]
        config = {"FunctionName": "told", "Qualifier": version}
        aws.put_provisioned_concurrency_config(**config, ProvisionedConcurrentExecutions=1)
        until(lambda: standing(aws, "told", version) == (1, 1, 1, "READY"))
        assert json.loads(aws.invoke(**config)["Payload"].read()) == "provisioned-concurrency"
        create(aws, "ready", {"app.py": CODE.format(value=1)})
        assert aws.publish_version(FunctionName="ready")["Version"] == "1"
        aws.create_alias(FunctionName="ready", Name="live", FunctionVersion="1")
        put = aws.put_provisioned_concurrency_config(
            FunctionName="ready", Qualifier="live", ProvisionedConcurrentExecutions=2
        )
        assert put["Status"] == "IN_PROGRESS" and put["RequestedProvisionedConcurrentExecutions"] == 2
        until(lambda: standing(aws, "ready", "live") == (2, 2, 2, "READY"))
        answer = aws.invoke(FunctionName="ready", Qualifier="live", Payload=b"{}", LogType="Tail")
        assert "Init Duration" not in base64.b64decode(answer["LogResult"]).decode()
        # They are the process's: a new one makes them again before anyone asks.
        server.kill()
        server.start()
        aws = server.client("lambda")
        until(lambda: standing(aws, "ready", "live") == (2, 2, 2, "READY"))
        # The alias moves, and its instances with it.
        aws.update_function_code(FunctionName="ready", ZipFile=app(2))
        aws.get_waiter("function_updated_v2").wait(FunctionName="ready", WaiterConfig={"Delay": 1})
        assert aws.publish_version(FunctionName="ready")["Version"] == "2"
        aws.update_alias(FunctionName="ready", Name="live", FunctionVersion="2")
        until(lambda: standing(aws, "ready", "live") == (2, 2, 2, "READY"))
        answer = aws.invoke(FunctionName="ready", Qualifier="live", Payload=b"{}", LogType="Tail")
        assert json.loads(answer["Payload"].read()) == 2
        assert "Init Duration" not in base64.b64decode(answer["LogResult"]).decode()
        # What does not initialise says so.
        broken = package({"app.py": "import no_such_module"})
        aws.update_function_code(FunctionName="ready", ZipFile=broken)
        aws.get_waiter("function_updated_v2").wait(FunctionName="ready", WaiterConfig={"Delay": 1})
        assert aws.publish_version(FunctionName="ready")["Version"] == "3"
        aws.put_provisioned_concurrency_config(
            FunctionName="ready", Qualifier="3", ProvisionedConcurrentExecutions=1
        )
        until(lambda: standing(aws, "ready", "3")[3] == "FAILED")
        listed = aws.list_provisioned_concurrency_configs(FunctionName="ready")["ProvisionedConcurrencyConfigs"]
        assert [one["FunctionArn"].rsplit(":", 1)[1] for one in listed] == ["3", "live"]
        aws.delete_provisioned_concurrency_config(FunctionName="ready", Qualifier="live")
        with pytest.raises(aws.exceptions.ProvisionedConcurrencyConfigNotFoundException):
            standing(aws, "ready", "live")


def test_events_wait_for_a_full_node():
    with mayfly.server("[limits]\nnode_instances = 4\nnode_queue_ms = 60000\n") as server:
        aws = server.client("lambda", max_pool_connections=64)
        create(aws, "burst", {"app.py": CODE.format(value=1)}, Timeout=60)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            quick = [pool.submit(invoke, aws, "burst", {"for": 0.01}) for _ in range(24)]
            assert all(one.result()[0]["StatusCode"] == 200 for one in quick)


def test_events_that_wait_too_long_are_turned_away_and_told_when_to_come_again():
    with mayfly.server("[limits]\nnode_instances = 1\nnode_queue_ms = 100\n") as server:
        aws, logs = server.client("lambda"), server.client("logs")
        create(aws, "long", {"app.py": WAIT + "def handler(event, context):\n    wait(event)\n"}, Timeout=900)
        create(aws, "other", {"app.py": CODE.format(value=1)}, Timeout=60)

        with concurrent.futures.ThreadPoolExecutor(1) as pool, Gate(server) as gate:
            long = pool.submit(aws.invoke, FunctionName="long", Payload=json.dumps(gate.link))
            until(lambda: mayfly.logged(logs, "long", "START"))
            with pytest.raises(aws.exceptions.TooManyRequestsException) as refused:
                aws.invoke(FunctionName="other", Payload=b"{}")
            assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
            gate.open()
            answer = long.result()
            assert answer["StatusCode"] == 200 and "FunctionError" not in answer
        # An idle instance makes room.
        assert invoke(aws, "other", {})[1] == 1


def throttled(aws, name):
    with pytest.raises(aws.exceptions.TooManyRequestsException) as refused:
        aws.invoke(FunctionName=name, Payload=b"{}")
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    return answer["Reason"]


def test_a_reservation_is_a_guarantee_and_changes_act_at_once():
    """A function that fills what the others share never makes one that reserves wait, however often it tries."""
    # A loaded machine may take its time to start them all: what is full here is never the node.
    limits = "[limits]\naccount_concurrency = 6\nunreserved_concurrency_min = 1\nnode_queue_ms = 60000\n"
    with mayfly.server(limits) as server:
        aws = server.client("lambda", max_pool_connections=32)
        for name in ["noisy", "quiet", "own"]:
            create(aws, name, {"app.py": CODE.format(value=name)}, Timeout=900)
        url = aws.create_function_url_config(FunctionName="own", AuthType="NONE")["FunctionUrl"]
        aws.add_permission(FunctionName="own", StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
                           FunctionUrlAuthType="NONE")
        path = f"{server.endpoint}/_url/{url.split('//')[1].split('.')[0]}/"
        aws.put_function_concurrency(FunctionName="own", ReservedConcurrentExecutions=2)
        assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 4

        def by_url():
            try:
                with urllib.request.urlopen(path, timeout=mayfly.PATIENCE) as answer:
                    return answer.status
            except urllib.error.HTTPError as answer:
                assert answer.headers["retry-after"] == "1"
                return answer.code

        running = lambda count: until(lambda: server.metrics()["mayfly_invocations_in_flight"] == count)
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            crowd = [pool.submit(invoke, aws, "noisy", {"for": 300}) for _ in range(4)]
            running(4)
            assert throttled(aws, "noisy") == throttled(aws, "quiet") == "ConcurrentInvocationLimitExceeded"
            # Two at a time, always let in, while the noisy one goes on trying.
            done = threading.Event()

            def press():
                while not done.is_set():
                    throttled(aws, "noisy")

            def calls(_):
                return [invoke(aws, "own", {"for": 0.01})[1] for _ in range(40)]

            pressing = [pool.submit(press) for _ in range(3)]
            try:
                assert list(pool.map(calls, range(2))) == [["own"] * 40] * 2
            finally:
                done.set()
            [one.result() for one in pressing]
            assert by_url() == 200
            both = [pool.submit(invoke, aws, "own", {"for": 300}) for _ in range(2)]
            running(6)
            assert throttled(aws, "own") == "ReservedFunctionConcurrentInvocationLimitExceeded"
            assert by_url() == 429
            # Each change is met by the next call, through the API and through the URL.
            aws.put_function_concurrency(FunctionName="own", ReservedConcurrentExecutions=3)
            assert by_url() == 200 and invoke(aws, "own", {})[1] == "own"
            aws.put_function_concurrency(FunctionName="own", ReservedConcurrentExecutions=0)
            assert by_url() == 429 and throttled(aws, "own").startswith("Reserved")
            # Without a reservation it shares: what runs already was let in under the old one.
            aws.delete_function_concurrency(FunctionName="own")
            assert by_url() == 200 and invoke(aws, "noisy", {})[1] == "noisy"
            more = [pool.submit(invoke, aws, "noisy", {"for": 300}) for _ in range(2)]
            running(8)
            assert throttled(aws, "own") == throttled(aws, "noisy") == "ConcurrentInvocationLimitExceeded"
            assert by_url() == 429
            server.kill()
            for one in crowd + both + more:
                assert one.exception()


def test_provisioned_instances_are_their_version_s_own():
    with mayfly.server("[limits]\naccount_concurrency = 3\nunreserved_concurrency_min = 1\n") as server:
        aws = server.client("lambda", max_pool_connections=32)
        for name in ["noisy", "ready"]:
            create(aws, name, {"app.py": CODE.format(value=name)}, Timeout=900)
        aws.publish_version(FunctionName="ready")
        with pytest.raises(aws.exceptions.InvalidParameterValueException):
            aws.put_provisioned_concurrency_config(
                FunctionName="ready", Qualifier="1", ProvisionedConcurrentExecutions=3
            )
        aws.put_provisioned_concurrency_config(FunctionName="ready", Qualifier="1", ProvisionedConcurrentExecutions=2)
        until(lambda: standing(aws, "ready", "1") == (2, 2, 2, "READY"))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            crowd = [pool.submit(invoke, aws, "noisy", {"for": 300})]
            until(lambda: server.metrics()["mayfly_invocations_in_flight"] == 1)
            assert throttled(aws, "noisy") == throttled(aws, "ready") == "ConcurrentInvocationLimitExceeded"
            both = list(pool.map(lambda _: invoke(aws, "ready", {"for": 1}, Qualifier="1")[1], range(2)))
            assert both == ["ready"] * 2
            aws.delete_provisioned_concurrency_config(FunctionName="ready", Qualifier="1")
            until(lambda: invoke_or_none(aws, "noisy") == "noisy")
            server.kill()
            assert crowd[0].exception()


def invoke_or_none(aws, name):
    try:
        return invoke(aws, name, {})[1]
    except aws.exceptions.TooManyRequestsException:
        return None
