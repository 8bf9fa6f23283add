"""Deploys by steps as callers see them: shares, hooks, alarms, roll-back, kill -9, and figures of functions."""

import concurrent.futures
import datetime
import json
import os
import subprocess
import sys
import threading

import pytest

import mayfly
from mayfly import ROLE, create, package, until

CODE = "def handler(event, context):\n    {body}\n"


def app(body):
    return package({"app.py": CODE.format(body=body)})


def two_versions(functions, name, second):
    """A function with a version 1 that answers 1, the alias `live` for it, and another version 2."""
    create(functions, name, {"app.py": CODE.format(body="return 1")}, Timeout=60)
    assert functions.publish_version(FunctionName=name)["Version"] == "1"
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    functions.update_function_code(FunctionName=name, ZipFile=app(second))
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert functions.publish_version(FunctionName=name)["Version"] == "2"


def appspec(name, hooks=()):
    properties = {"Name": name, "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2"}
    resource = {name: {"Type": "AWS::Lambda::Function", "Properties": properties}}
    spec = {"version": 0.0, "Resources": [resource], "Hooks": list(hooks)}
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}}


def group(deploys, name, config, **more):
    deploys.create_application(applicationName=name, computePlatform="Lambda")
    deploys.create_deployment_group(
        applicationName=name, deploymentGroupName="g", serviceRoleArn=ROLE, deploymentConfigName=config,
        autoRollbackConfiguration={
            "enabled": True, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"],
        },
        **more,
    )


def begin(deploys, name, hooks=()):
    made = deploys.create_deployment(applicationName=name, deploymentGroupName="g", revision=appspec(name, hooks))
    return made["deploymentId"]


def live(functions, name):
    alias = functions.get_alias(FunctionName=name, Name="live")
    return alias["FunctionVersion"], alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def test_a_bad_version_under_load_is_taken_back_by_its_alarm(cloud, functions):
    deploys, metrics = cloud.client("codedeploy"), cloud.client("cloudwatch")
    two_versions(functions, "rolling", "raise ValueError('broken')")
    dimensions = [
        {"Name": "FunctionName", "Value": "rolling"}, {"Name": "Resource", "Value": "rolling:live"},
        {"Name": "ExecutedVersion", "Value": "2"},
    ]
    metrics.put_metric_alarm(
        AlarmName="rolling-errors", Namespace="AWS/Lambda", MetricName="Errors", Dimensions=dimensions,
        Statistic="Sum", Period=10, EvaluationPeriods=1, Threshold=3, ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    deploys.create_deployment_config(
        deploymentConfigName="a-quarter", computePlatform="Lambda",
        trafficRoutingConfig={
            "type": "TimeBasedCanary", "timeBasedCanary": {"canaryPercentage": 25, "canaryInterval": 10},
        },
    )
    alarms = {"enabled": True, "alarms": [{"name": "rolling-errors"}]}
    group(deploys, "rolling", "a-quarter", alarmConfiguration=alarms)
    seen, done = [], threading.Event()

    def call():
        aws = cloud.client("lambda")
        while not done.is_set():
            answer = aws.invoke(FunctionName="rolling", Qualifier="live", Payload=b"{}")
            body = json.loads(answer["Payload"].read())
            seen.append((answer["ExecutedVersion"], "FunctionError" in answer))
            assert answer["ExecutedVersion"] == "2" or body == 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call) for _ in range(4)]
        try:
            until(lambda: len(seen) > 50 or any(one.done() for one in callers))
            before = len(seen)
            assert set(seen) == {("1", False)}
            deployment = begin(deploys, "rolling")
            status = lambda: deploys.get_deployment(deploymentId=deployment)["deploymentInfo"]["status"]
            until(lambda: status() not in ("Created", "InProgress") or any(one.done() for one in callers))
            assert live(functions, "rolling") == ("1", {})
            after = len(seen)
            until(lambda: len(seen) > after + 100 or any(one.done() for one in callers))
        finally:
            done.set()
        for caller in callers:
            caller.result()
    during, last = seen[before:after], seen[after + 20:]
    assert set(during) == {("1", False), ("2", True)}, "a version answers as it is, and no call fails otherwise"
    # How long the steps before the first and after the last of them take is another matter, as is how many there are.
    ones = [at for at, one in enumerate(during) if one == ("2", True)]
    others = ones[-1] - ones[0]
    share, deviation = (len(ones) - 1) / others, (0.25 * 0.75 / others) ** 0.5
    assert abs(share - 0.25) < max(0.15, 5 * deviation), f"{share} of {others}"
    assert set(last) == {("1", False)}
    info = deploys.get_deployment(deploymentId=deployment)["deploymentInfo"]
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "ALARM_ACTIVE")
    undone = deploys.get_deployment(deploymentId=info["rollbackInfo"]["rollbackDeploymentId"])["deploymentInfo"]
    assert (undone["creator"], undone["status"]) == ("codeDeployRollback", "Succeeded")
    # The figures say the same: of each version under its name, and of both together.
    now = datetime.datetime.now(datetime.timezone.utc)

    def total(metric, dimensions):
        points = metrics.get_metric_statistics(
            Namespace="AWS/Lambda", MetricName=metric, Dimensions=dimensions, Period=3600, Statistics=["Sum"],
            StartTime=now - datetime.timedelta(hours=2), EndTime=now + datetime.timedelta(hours=1),
        )["Datapoints"]
        return sum(point["Sum"] for point in points)

    until(lambda: total("Invocations", dimensions[:1]) == len(seen))
    assert total("Errors", dimensions) == seen.count(("2", True)) == total("Errors", dimensions[:1])
    assert total("Invocations", dimensions[:2]) == len(seen)
    names = {metric["MetricName"] for metric in metrics.list_metrics(Dimensions=dimensions)["Metrics"]}
    assert {"Invocations", "Errors", "Duration", "Throttles"} <= names


def test_a_deployment_that_waits_survives_kill_9():
    with mayfly.server() as server:
        functions, deploys, logs = (server.client(name) for name in ["lambda", "codedeploy", "logs"])
        two_versions(functions, "slowly", "return 2")
        create(functions, "check", {"app.py": CODE.format(body="print('CALLED', __import__('json').dumps(event))")})
        group(deploys, "slowly", "CodeDeployDefault.LambdaLinear10PercentEvery1Minute")
        deployment = begin(deploys, "slowly", [{"BeforeAllowTraffic": "check"}])

        [called] = until(lambda: mayfly.logged(logs, "check", "CALLED"))
        event = json.loads(called.split("CALLED ")[1])
        assert event["DeploymentId"] == deployment
        server.kill()
        server.start()
        functions, deploys = server.client("lambda"), server.client("codedeploy")
        assert live(functions, "slowly") == ("1", {})
        deploys.put_lifecycle_event_hook_execution_status(
            deploymentId=deployment, status="Succeeded",
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        )
        assert live(functions, "slowly") == ("1", {"2": 0.1})
        server.kill()
        server.start()
        functions, deploys = server.client("lambda"), server.client("codedeploy")
        info = deploys.get_deployment(deploymentId=deployment)["deploymentInfo"]
        assert (info["status"], live(functions, "slowly")) == ("InProgress", ("1", {"2": 0.1}))
        deploys.stop_deployment(deploymentId=deployment, autoRollbackEnabled=True)
        assert live(functions, "slowly") == ("1", {})


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Pace: {Type: String, Default: AllAtOnce}
  Word: {Type: String, Default: one}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: gradual-hello
      Runtime: python3.11
      Handler: index.handler
      InlineCode: |
        import os
        def handler(event, context):
            return os.environ['WORD']
      Environment: {Variables: {WORD: !Ref Word}}
      AutoPublishAlias: live
      DeploymentPreference:
        Type: !Ref Pace
        Alarms: [!Ref Errors]
  Errors:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: gradual-hello-errors
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions:
        - {Name: FunctionName, Value: !Ref Hello}
        - {Name: Resource, Value: !Sub "${Hello}:live"}
        - {Name: ExecutedVersion, Value: !GetAtt Hello.Version.Version}
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: ignore
"""


def test_a_template_says_how_its_alias_moves(cloud, functions, tmp_path):
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    metrics = cloud.client("cloudwatch")
    deploy = ["deploy", tmp_path, "--stack", "gradual"]

    def answer():
        return json.loads(functions.invoke(FunctionName="gradual-hello", Qualifier="live")["Payload"].read())

    cloud.run(*deploy)
    assert answer() == "one"
    changed = cloud.run(*deploy, "-p", "Word=two").stderr
    assert "version 2 has 100% of gradual-hello:live" in changed
    assert answer() == "two"
    alarm = metrics.describe_alarms(AlarmNames=["gradual-hello-errors"])["MetricAlarms"][0]
    assert {"Name": "ExecutedVersion", "Value": "2"} in alarm["Dimensions"]
    # While it goes by steps, the alarm fires: the alias is back, and the deployment says so.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cloud.run, *deploy, "-p", "Word=three", "-p", "Pace=Canary10Percent5Minutes", check=False)
        weights = lambda: functions.get_alias(FunctionName="gradual-hello", Name="live").get("RoutingConfig")
        until(lambda: weights() or slow.done())
        metrics.set_alarm_state(AlarmName="gradual-hello-errors", StateValue="ALARM", StateReason="by hand")
        failed = slow.result()
    assert failed.returncode != 0
    assert "was rolled back: ALARM_ACTIVE" in failed.stderr, failed.stderr
    assert not weights() and answer() == "two"
    metrics.set_alarm_state(AlarmName="gradual-hello-errors", StateValue="OK", StateReason="by hand")
    cloud.run(*deploy, "-p", "Word=four")
    assert answer() == "four"
    cloud.run("delete", "--stack", "gradual", "--yes")
    assert metrics.describe_alarms(AlarmNames=["gradual-hello-errors"])["MetricAlarms"] == []


def test_figures_of_applications_come_back_by_every_client(cloud):
    metrics = cloud.client("cloudwatch")
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    # Enough that the SDK compresses it.
    data = [
        {"MetricName": f"sold-{number}", "Value": number, "Timestamp": now, "Unit": "Count",
         "Dimensions": [{"Name": "shop", "Value": "a" * 200}]}
        for number in range(100)
    ]
    metrics.put_metric_data(Namespace="mine", MetricData=data)
    query = {
        "Id": "sold", "MetricStat": {
            "Metric": {"Namespace": "mine", "MetricName": "sold-7", "Dimensions": data[0]["Dimensions"]},
            "Period": 60, "Stat": "Sum",
        },
    }
    hour = datetime.timedelta(hours=1)
    found = metrics.get_metric_data(
        MetricDataQueries=[query, {"Id": "twice", "Expression": "sold * 2"}], StartTime=now - hour, EndTime=now + hour
    )["MetricDataResults"]
    assert [result["Values"] for result in found] == [[7.0], [14.0]]
    assert found[0]["Timestamps"] == [now.replace(second=0)]
    command = [os.path.join(os.path.dirname(sys.executable), "aws"), "cloudwatch", "list-metrics", "--namespace",
               "mine", "--metric-name", "sold-3"]
    told = subprocess.run(command, env=cloud.env, capture_output=True, text=True, check=True)
    assert [metric["MetricName"] for metric in json.loads(told.stdout)["Metrics"]] == ["sold-3"]
    with pytest.raises(metrics.exceptions.InvalidParameterValueException):
        metrics.put_metric_data(Namespace="AWS/mine", MetricData=data[:1])
    with pytest.raises(metrics.exceptions.ResourceNotFound):
        metrics.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="")


def test_a_schedule_opens_a_window_of_provisioned_concurrency(cloud, functions):
    scaling = cloud.client("application-autoscaling")
    create(functions, "windowed", {"app.py": CODE.format(body="return 1")})
    functions.publish_version(FunctionName="windowed")
    functions.create_alias(FunctionName="windowed", Name="live", FunctionVersion="1")
    place = {
        "ServiceNamespace": "lambda", "ResourceId": "function:windowed:live",
        "ScalableDimension": "lambda:function:ProvisionedConcurrency",
    }
    scaling.register_scalable_target(**place, MinCapacity=0, MaxCapacity=4)

    def available():
        config = {"FunctionName": "windowed", "Qualifier": "live"}
        try:
            return functions.get_provisioned_concurrency_config(**config)["AvailableProvisionedConcurrentExecutions"]
        except functions.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return 0

    def at(seconds):
        """Far enough ahead that it is not over by the time that it is asked for."""
        when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        return f"at({when:%Y-%m-%dT%H:%M:%S})"

    assert available() == 0
    window = {"MinCapacity": 2, "MaxCapacity": 4}
    scaling.put_scheduled_action(
        **place, ScheduledActionName="open", Schedule=at(6), ScalableTargetAction=window,
    )
    until(lambda: available() == 2)
    scaling.put_scheduled_action(
        **place, ScheduledActionName="close", Schedule=at(6),
        ScalableTargetAction={"MinCapacity": 0, "MaxCapacity": 0},
    )
    until(lambda: available() == 0)
    causes = [activity["Cause"] for activity in scaling.describe_scaling_activities(**place)["ScalingActivities"]]
    assert causes == ["maximum capacity was set to 0", "minimum capacity was set to 2"]
    scaling.deregister_scalable_target(**place)
