"""Tenant isolation: who must name a tenant, what a function is told, and that no tenant meets another's traces."""

import concurrent.futures
import json
import random

import pytest

import mayfly
from mayfly import create, invoke, until

# Leaves traces wherever a function can, and tells what it finds of earlier ones.
CODE = """
import json, logging, os, pathlib, time
SEEN, TRACE = [], pathlib.Path("/tmp/trace")
logging.getLogger().setLevel("INFO")
def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked to fail")
    found = {
        "tenant": context.tenant_id,
        "memory": list(SEEN),
        "file": TRACE.read_text().splitlines() if TRACE.exists() else [],
        "environment": os.environ.get("TRACE", ""),
        "instance": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
    }
    SEEN.append(context.tenant_id)
    TRACE.write_text("\\n".join(found["file"] + [context.tenant_id]))
    os.environ["TRACE"] = context.tenant_id
    logging.getLogger().info("for %s", context.tenant_id)
    time.sleep(event.get("for", 0))
    return found
"""

PER_TENANT = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}


def refusal(call, *arguments, **named):
    with pytest.raises(Exception) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def foreign(found):
    """Traces of others that an invocation has met."""
    traces = set(found["memory"]) | set(found["file"]) | ({found["environment"]} - {""})
    return traces - {found["tenant"]}


def test_a_tenant_is_required_or_refused(cloud, functions):
    made = create(functions, "tenancy", {"app.py": CODE}, Timeout=60, **PER_TENANT)
    assert made["TenancyConfig"] == {"TenantIsolationMode": "PER_TENANT"}
    assert functions.get_function_configuration(FunctionName="tenancy")["TenancyConfig"] == made["TenancyConfig"]
    create(functions, "no-tenancy", {"app.py": "def handler(event, context): return context.tenant_id"})
    assert "TenancyConfig" not in functions.get_function_configuration(FunctionName="no-tenancy")
    assert invoke(functions, "no-tenancy", {})[1] is None
    missing = (
        "InvalidParameterValueException",
        "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.",
    )
    calls = [
        (functions.invoke, {}), (functions.invoke, {"InvocationType": "Event"}), (functions.invoke, {"InvocationType": "DryRun"}),
        (functions.invoke_with_response_stream, {}), (functions.invoke_async, {"InvokeArgs": b"{}"}),
    ]
    for call, more in calls:
        assert refusal(call, FunctionName="tenancy", **more) == missing
    for call, more in calls[:4]:
        code, text = refusal(call, FunctionName="no-tenancy", TenantId="blue", **more)
        assert code == missing[0] and "not enabled with tenancy configuration" in text
    for bad in ["a,b", "a|b", "x" * 257]:
        assert refusal(functions.invoke, FunctionName="tenancy", TenantId=bad)[0] == "ValidationException"
    odd = "A z._:/=+-@ 9"
    assert invoke(functions, "tenancy", {}, TenantId=odd)[1]["tenant"] == odd
    answer = functions.invoke_with_response_stream(FunctionName="tenancy", TenantId="blue", Payload=b"{}")
    chunks = [event["PayloadChunk"]["Payload"] for event in answer["EventStream"] if "PayloadChunk" in event]
    assert json.loads(b"".join(chunks))["tenant"] == "blue"
    assert functions.invoke(FunctionName="tenancy", TenantId="blue", InvocationType="DryRun")["StatusCode"] == 204
    # The mode is for the function's life, and comes with its versions.
    assert functions.publish_version(FunctionName="tenancy")["TenancyConfig"] == made["TenancyConfig"]
    assert refusal(functions.invoke, FunctionName="tenancy", Qualifier="1") == missing
    assert refusal(
        functions.create_function, FunctionName="tenancy-2", Runtime="python3.11", Handler="app.handler", Role=mayfly.ROLE,
        Code={"ZipFile": b"x"}, TenancyConfig={"TenantIsolationMode": "PER_FLOOR"},
    )[0] == "ValidationException"


def test_what_tenants_exclude_is_refused(cloud, functions):
    create(functions, "tenancy-alone", {"app.py": CODE}, **PER_TENANT)
    functions.publish_version(FunctionName="tenancy-alone")
    queue = cloud.client("sqs").create_queue(QueueName="tenancy-alone")["QueueUrl"]
    arn = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for call, more in [
        (functions.create_function_url_config, {"AuthType": "NONE"}),
        (functions.put_provisioned_concurrency_config, {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1}),
        (functions.create_event_source_mapping, {"EventSourceArn": arn}),
    ]:
        code, text = refusal(call, FunctionName="tenancy-alone", **more)
        assert code == "InvalidParameterValueException" and "tenant isolation mode" in text


def test_no_tenant_meets_anothers_traces_even_after_kill_9():
    # A loaded machine may take its time to start so many instances.
    with mayfly.server("[limits]\nnode_queue_ms = 120000\n") as server:
        aws = server.client("lambda", max_pool_connections=16)
        create(aws, "walls", {"app.py": CODE}, Timeout=60, **PER_TENANT)
        tenants = ["blue", "green", "red", "blue green", "blue:green"]
        seen = {tenant: set() for tenant in tenants}

        def call(tenant):
            found = invoke(aws, "walls", {"for": random.choice([0, 0.01])}, TenantId=tenant)[1]
            assert found["tenant"] == tenant and not foreign(found), found
            seen[tenant].add(found["instance"])
            return bool(found["memory"])

        def round_of_calls():
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                return list(pool.map(call, [random.choice(tenants) for _ in range(120)]))

        assert any(round_of_calls()), "a tenant's own instances are used again"
        server.kill()
        server.start()
        round_of_calls()
        for one in tenants:
            others = set().union(*(seen[other] for other in tenants if other != one))
            assert seen[one] and not seen[one] & others, "no instance has served two"


def test_an_event_keeps_its_tenant_through_retries_kill_9_and_dead_letters():
    with mayfly.server("[limits]\nasync_retry_seconds = 0\n") as server:
        aws, queues = server.client("lambda"), server.client("sqs")
        queue = queues.create_queue(QueueName="dead")["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        create(aws, "later", {"app.py": CODE}, DeadLetterConfig={"TargetArn": arn}, LoggingConfig={"LogFormat": "JSON"},
               **PER_TENANT)
        aws.invoke(FunctionName="later", InvocationType="Event", TenantId="green", Payload=b'{"fail": true}')
        # What was accepted before the power went still belongs to its tenant.
        server.kill()
        server.start()
        letters = until(
            lambda: queues.receive_message(QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=1).get("Messages")
        )
        assert letters[0]["MessageAttributes"]["TenantId"]["StringValue"] == "green"
        assert letters[0]["MessageAttributes"]["ErrorMessage"]["StringValue"] == "asked to fail"
        logs = server.client("logs")

        def started():
            return [line for line in json_lines(logs, "later") if line.get("type") == "platform.start"]

        # What was logged just before the kill may be gone.
        assert {line["record"]["tenantId"] for line in until(started)} == {"green"}
        # An event that names no tenant cannot run, and is not lost.
        topics = server.client("sns")
        topic = topics.create_topic(Name="to-later")["TopicArn"]
        aws.add_permission(FunctionName="later", StatementId="sns", Action="lambda:InvokeFunction",
                           Principal="sns.amazonaws.com", SourceArn=topic)
        topics.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=aws.get_function(FunctionName="later")["Configuration"]["FunctionArn"])
        topics.publish(TopicArn=topic, Message="for nobody")
        message = until(lambda: queues.receive_message(QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=1).get("Messages"))[0]
        while "for nobody" not in message["Body"]:
            message = until(lambda: queues.receive_message(QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=1).get("Messages"))[0]
        assert "tenancy configuration" in message["MessageAttributes"]["ErrorMessage"]["StringValue"]
        assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "400"


def json_lines(logs, name):
    return [json.loads(line) for line in mayfly.logged(logs, name) if line.startswith("{")]


def test_logs_say_whose_an_invocation_is(functions, logs):
    create(functions, "tenant-logs", {"app.py": CODE}, LoggingConfig={"LogFormat": "JSON"}, **PER_TENANT)
    node = "exports.handler = async (event, context) => { console.log('hello'); return context.tenantId }"
    create(functions, "tenant-node", {"index.js": node}, runtime="nodejs20.x", handler="index.handler",
           LoggingConfig={"LogFormat": "JSON"}, **PER_TENANT)
    assert invoke(functions, "tenant-logs", {}, TenantId="blue")[1]["tenant"] == "blue"
    assert invoke(functions, "tenant-node", {}, TenantId="red")[1] == "red"
    for name, tenant, said in [("tenant-logs", "blue", "for blue"), ("tenant-node", "red", "hello")]:
        lines = until(lambda: [line for line in json_lines(logs, name) if line.get("type") == "platform.report"] and json_lines(logs, name))
        own = next(line for line in lines if line.get("message") == said)
        assert own["tenantId"] == tenant
        for kind in ["platform.start", "platform.report"]:
            record = next(line["record"] for line in lines if line.get("type") == kind)
            assert record["tenantId"] == tenant and record["requestId"] == own["requestId"]


def test_a_template_makes_a_function_that_keeps_tenants_apart(cloud, functions, tmp_path):
    template = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Apart:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: tenants-by-template
      Runtime: python3.11
      Handler: index.handler
      InlineCode: "def handler(event, context): return context.tenant_id"
      TenancyConfig: {TenantIsolationMode: PER_TENANT}
"""
    (tmp_path / "template.yaml").write_text(template)
    cloud.run("deploy", tmp_path, "--stack", "tenants")
    done = cloud.run("invoke", "tenants-by-template", "--tenant", "blue")
    assert json.loads(done.stdout) == "blue"
    assert "Add a valid tenant ID" in cloud.run("invoke", "tenants-by-template", check=False).stderr
