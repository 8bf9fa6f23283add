"""Buses and schedules through the SDK and the AWS CLI, and through kill -9."""

import base64
import contextlib
import itertools
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

import mayfly
from mayfly import create, until

ROUNDS = int(os.environ.get("MAYFLY_KILL_ROUNDS", "10"))
PRINT = {"app.py": "import json\n\ndef handler(event, context):\n    print('EVENT', json.dumps(event))\n"}


@pytest.fixture(scope="module")
def buses(cloud):
    return cloud.client("events")


def queue_of(cloud, name):
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def take_all(sqs, url, wait=0):
    """Receives and deletes until the queue is empty; the bodies."""
    bodies = []
    while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait).get("Messages"):
        bodies += [message["Body"] for message in got]
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
        assert not sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")
    return bodies


def events_of(logs, function):
    return [json.loads(line.split("EVENT ", 1)[1]) for line in mayfly.logged(logs, function, '"EVENT {"')]


def rule_for(buses, name, pattern, arn, bus="default", **target):
    made = buses.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
    done = buses.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "t", "Arn": arn, **target}])
    assert done["FailedEntryCount"] == 0
    return made


def entry(source, detail, **more):
    return {"Source": source, "DetailType": "Order", "Detail": json.dumps(detail), **more}


def test_a_rule_calls_a_function_that_lets_it_in(cloud, buses, functions, logs):
    made = create(functions, "ordered", PRINT, Timeout=30)
    rule = rule_for(buses, "ordered", {"source": ["shop"], "detail": {"total": [{"numeric": [">", 5]}]}},
                    made["FunctionArn"])
    buses.put_events(Entries=[entry("shop", {"total": 6, "who": "nobody"})])
    functions.add_permission(FunctionName="ordered", StatementId="bus", Action="lambda:InvokeFunction",
                             Principal="events.amazonaws.com", SourceArn=rule)
    command = [os.path.join(os.path.dirname(sys.executable), "aws"), "events", "put-events", "--entries",
               json.dumps([entry("shop", {"total": 7}), entry("shop", {"total": 5})])]
    done = subprocess.run(command, env=cloud.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["FailedEntryCount"] == 0
    until(lambda: events_of(logs, "ordered"))
    [event] = events_of(logs, "ordered")
    assert event["detail"] == {"total": 7} and event["id"] == answer["Entries"][0]["EventId"]
    kept = cloud.run("deliveries").stdout
    assert "ordered" in kept, "what no permission lets in is kept for an operator"


def test_buses_pass_events_on_in_the_form_that_targets_want(cloud, buses):
    own = buses.create_event_bus(Name="passed-on")["EventBusArn"]
    url, arn = queue_of(cloud, "passed-on")
    rule_for(buses, "passing", {"source": ["passing"]}, own)
    rule_for(buses, "passed", {"detail": {"n": [{"exists": True}]}}, arn, bus="passed-on", InputTransformer={
        "InputPathsMap": {"n": "$.detail.n", "kind": "$.detail-type"},
        "InputTemplate": '{"n": <n>, "text": "<kind> of <aws.events.rule-name>"}'})
    buses.put_events(Entries=[entry("passing", {"n": n}) for n in range(3)])
    got = sorted(take_all(cloud.client("sqs"), url))
    assert [json.loads(body) for body in got] == [{"n": n, "text": "Order of passed"} for n in range(3)]
    with pytest.raises(buses.exceptions.InvalidEventPatternException) as refused:
        buses.put_rule(Name="bad", EventPattern='{"source": "shop"}')
    assert refused.value.response["Error"]["Message"] == (
        'Event pattern is not valid. Reason: "source" must be an object or an array\n'
        ' at [Source: (String)"{"source": "shop"}"; line: 1, column: 13]')


def test_objects_are_told_of_on_the_default_bus(cloud, buses, objects):
    url, arn = queue_of(cloud, "object-events")
    rule_for(buses, "objects", {"source": ["aws.s3"], "detail": {"bucket": {"name": ["told-on-the-bus"]}}}, arn)
    objects.create_bucket(Bucket="told-on-the-bus")
    objects.put_object(Bucket="told-on-the-bus", Key="before", Body=b"x")
    objects.put_bucket_notification_configuration(
        Bucket="told-on-the-bus", NotificationConfiguration={"EventBridgeConfiguration": {}})
    shown = objects.get_bucket_notification_configuration(Bucket="told-on-the-bus")
    assert shown["EventBridgeConfiguration"] == {}
    put = objects.put_object(Bucket="told-on-the-bus", Key="a b", Body=b"xyz")
    objects.delete_object(Bucket="told-on-the-bus", Key="a b")
    created, deleted = sorted(map(json.loads, take_all(cloud.client("sqs"), url)), key=lambda e: e["detail-type"])
    assert (created["detail-type"], deleted["detail-type"]) == ("Object Created", "Object Deleted")
    assert created["resources"] == ["arn:aws:s3:::told-on-the-bus"]
    detail = created["detail"]
    assert (detail["object"]["key"], detail["object"]["size"], detail["reason"]) == ("a b", 3, "PutObject")
    assert detail["object"]["etag"] == put["ETag"].strip('"')
    assert deleted["detail"]["deletion-type"] == "Permanently Deleted"


def test_a_schedule_runs_a_function_and_goes(cloud, functions, logs):
    made = create(functions, "scheduled", PRINT, Timeout=30)
    scheduler = cloud.client("scheduler")
    target = {"Arn": made["FunctionArn"], "RoleArn": "arn:aws:iam::000000000000:role/any",
              "Input": json.dumps({"at": "<aws.scheduler.scheduled-time>"})}
    # A time that is over when it comes to the server is refused.
    soon = mayfly.in_seconds(5)
    scheduler.create_schedule(
        Name="soon", ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})", Target=target,
        FlexibleTimeWindow={"Mode": "OFF"}, ActionAfterCompletion="DELETE")
    scheduler.create_schedule(
        Name="later", ScheduleExpression="cron(0 9 ? * MON-FRI *)", Target=target, StartDate=soon,
        ScheduleExpressionTimezone="Europe/Berlin", FlexibleTimeWindow={"Mode": "OFF"})
    until(lambda: events_of(logs, "scheduled"))
    assert events_of(logs, "scheduled") == [{"at": f"{soon:%Y-%m-%dT%H:%M:%SZ}"}]
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.get_schedule(Name="soon")
    later = scheduler.get_schedule(Name="later")
    assert later["StartDate"].timestamp() == int(soon.timestamp())
    assert [s["Name"] for s in scheduler.list_schedules(NamePrefix="l")["Schedules"]] == ["later"]
    scheduler.delete_schedule(Name="later")


def test_kill_9_under_load_loses_no_event_and_runs_each_schedule_once():
    """Events go to two targets in one commit, schedules fall due while the server is killed again and again."""
    with mayfly.server() as running:
        buses = running.client("events")
        urls = []
        for name in ("one", "two", "runs"):
            url, arn = queue_of(running, name)
            urls.append(url)
            if name != "runs":
                rule_for(buses, name, {"source": ["load"]}, arn, InputPath="$.detail.key")
        target = {"Arn": arn, "RoleArn": "arn:aws:iam::000000000000:role/any"}
        scheduler = running.client("scheduler")

        def put(key, number):
            assert buses.put_events(Entries=[entry("load", {"key": key})])["FailedEntryCount"] == 0

        def plan(key, number):
            # A time that is over when it comes to the server is refused.
            for ahead in itertools.count(3 + number % 3, 3):
                at = mayfly.in_seconds(ahead)
                with contextlib.suppress(scheduler.exceptions.ValidationException):
                    return scheduler.create_schedule(
                        Name=key, ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})", Target={**target, "Input": key},
                        FlexibleTimeWindow={"Mode": "OFF"}, ActionAfterCompletion="DELETE")

        acknowledged = mayfly.kill_rounds(running, ROUNDS, {"events": put, "schedules": plan})
        sqs = running.client("sqs")
        until(lambda: not scheduler.list_schedules()["Schedules"])
        one, two, runs = (take_all(sqs, url, wait=1) for url in urls)
        assert sorted(one) == sorted(two), "an event and its deliveries are one commit"
        assert len(set(one)) == len(one) and {json.dumps(key) for key in acknowledged["events"]} <= set(one)
        assert len(set(runs)) == len(runs), "no schedule ran twice"
        assert set(acknowledged["schedules"]) <= set(runs), "no schedule was lost"


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Orders:
    Type: AWS::Events::EventBus
    Properties: {Name: deployed-orders}
  Inbox: {Type: AWS::SQS::Queue}
  Big:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref Orders
      EventPattern: {detail: {total: [{numeric: [">", LEAST]}]}}
      Targets: [{Id: inbox, Arn: !GetAtt Inbox.Arn}]
  Work:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deployed-work
      Runtime: python3.11
      Handler: app.handler
      CodeUri: src/
      Events:
        Ordered: {Type: EventBridgeRule, Properties: {EventBusName: !Ref Orders, Pattern: {source: [shop]}}}
        Yearly: {Type: Schedule, Properties: {Schedule: cron(0 0 1 1 ? *)}}
        Monthly: {Type: ScheduleV2, Properties: {ScheduleExpression: cron(0 0 1 * ? *)}}
"""


def test_a_template_makes_buses_rules_and_schedules(cloud, buses, logs, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(PRINT["app.py"])
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace('LEAST', '5'))
    cloud.run("deploy", tmp_path, "--stack", "buses")
    scheduler = cloud.client("scheduler")
    assert [s["Name"] for s in scheduler.list_schedules(NamePrefix="Work")["Schedules"]] == ["WorkMonthly"]
    buses.put_events(Entries=[entry("shop", {"total": total}, EventBusName="deployed-orders") for total in (1, 7)])
    until(lambda: len(events_of(logs, "deployed-work")) == 2)
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="buses-Inbox")["QueueUrl"]
    assert [json.loads(body)["detail"] for body in take_all(sqs, url)] == [{"total": 7}]
    (tmp_path / "template.yaml").write_text(TEMPLATE.replace('LEAST', '50'))
    cloud.run("deploy", tmp_path, "--stack", "buses")
    buses.put_events(Entries=[entry("shop", {"total": total}, EventBusName="deployed-orders") for total in (7, 70)])
    assert [json.loads(body)["detail"] for body in take_all(sqs, url)] == [{"total": 70}]
    cloud.run("delete", "--stack", "buses", "--yes")
    assert [bus["Name"] for bus in buses.list_event_buses(NamePrefix="deployed")["EventBuses"]] == []
    assert scheduler.list_schedules(NamePrefix="Work")["Schedules"] == []


def post(cloud, bus, body, **headers):
    """Posts to a bus's CloudEvents endpoint; the status and the answer."""
    key = cloud.key
    pair = base64.b64encode(f"{key['access_key_id']}:{key['secret_access_key']}".encode()).decode()
    headers = {"authorization": f"Basic {pair}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(f"{key['endpoint']}/_mayfly/events/{bus}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=mayfly.PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def test_cloudevents_come_onto_a_bus_in_every_mode(cloud, buses):
    buses.create_event_bus(Name="cloudevents")
    url, arn = queue_of(cloud, "cloudevents")
    rule_for(buses, "all", {"cloudevent": {"specversion": ["1.0"]}}, arn, bus="cloudevents")
    sqs = cloud.client("sqs")

    def taken():
        return sorted(map(json.loads, take_all(sqs, url)), key=lambda event: event["id"])

    attributes = {"ce_specversion": "1.0", "ce_id": "b1", "ce_source": "/shop", "ce_type": "order.made"}
    made = post(cloud, "cloudevents", b'{"total": 7}', content_type="application/json", ce_subject="o%20%C3%BC",
                ce_time="2026-01-01T01:00:00+01:00", ce_tenant="t", **attributes)
    assert made == (202, b"")
    [event] = taken()
    assert (event["id"], event["source"], event["detail-type"]) == ("b1", "/shop", "order.made")
    assert (event["detail"], event["resources"]) == ({"total": 7}, ["o \u00fc"])
    assert (event["time"], event["cloudevent"]["tenant"]) == ("2026-01-01T00:00:00Z", "t")
    assert post(cloud, "cloudevents", b"\xff\x00", content_type="image/png", **attributes)[0] == 202
    assert taken()[0]["detail"] == {"data_base64": base64.b64encode(b"\xff\x00").decode()}

    one = {"specversion": "1.0", "id": "s1", "source": "/shop", "type": "order.made", "data": [1, "two"]}
    structured = "application/cloudevents+json; charset=utf-8"
    assert post(cloud, "cloudevents", json.dumps(one).encode(), content_type=structured)[0] == 202
    assert taken()[0]["detail"] == {"data": [1, "two"]}
    batched = "application/cloudevents-batch+json"
    batch = [{**one, "id": f"n{n}"} for n in range(3)]
    assert post(cloud, "cloudevents", json.dumps(batch).encode(), content_type=batched)[0] == 202
    assert [event["id"] for event in taken()] == ["n0", "n1", "n2"]

    bad = [{**one, "id": ""}, {**one, "specversion": "0.3"}, {**one, "time": "noon"}, {**one, "source": "aws.s3"}, 7]
    for event in bad:
        status, _ = post(cloud, "cloudevents", json.dumps([one, event]).encode(), content_type=batched)
        assert status in (400, 403), event
    assert taken() == [], "a batch is taken whole or not at all"
    assert post(cloud, "cloudevents", b"{", content_type=structured)[0] == 400
    assert post(cloud, "cloudevents", b"{}", content_type="application/json")[0] == 400
    assert post(cloud, "nowhere", json.dumps(one).encode(), content_type=structured)[0] == 400
    assert post(cloud, "cloudevents", b"{}", authorization="Basic eDp5")[0] == 401


def test_the_tail_of_a_bus_is_live_and_leaves_nothing_behind(cloud, buses):
    command = [mayfly.BINARY, "events", "tail", "--pattern", json.dumps({"source": ["tailed"]})]
    tail = subprocess.Popen(command, env=cloud.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "listening" in tail.stderr.readline()
        buses.put_events(Entries=[entry("other", {}), entry("tailed", {"n": 1})])
        assert json.loads(tail.stdout.readline())["detail"] == {"n": 1}
    finally:
        tail.terminate()
        assert tail.wait(mayfly.PATIENCE) == 0
    assert buses.list_rules(NamePrefix="mayfly-tail")["Rules"] == []
    assert not cloud.client("sqs").list_queues(QueueNamePrefix="mayfly-tail").get("QueueUrls")
