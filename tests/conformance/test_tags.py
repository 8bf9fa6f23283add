"""Tags, which every service takes and shows in a spelling of its own."""

import pytest
from botocore.exceptions import ClientError

import mayfly

ACCOUNT = "000000000000"
PREFIX = f"us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def own():
    with mayfly.server() as running:
        yield running


def pairs(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def unpaired(tags):
    return {tag["Key"]: tag["Value"] for tag in tags}


def alarm(client):
    client.put_metric_alarm(AlarmName="tagged", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Threshold=1,
                            MetricName="m", Namespace="n", Period=60, Statistic="Sum")
    return f"arn:aws:cloudwatch:{PREFIX}:alarm:tagged"


def rule(client):
    return client.put_rule(Name="tagged", ScheduleExpression="rate(1 day)", State="DISABLED")["RuleArn"]


def application(client):
    client.create_application(applicationName="tagged", computePlatform="Lambda")
    return f"arn:aws:codedeploy:{PREFIX}:application:tagged"


def target(cloud):
    functions = cloud.client("lambda")
    mayfly.create(functions, "tagged", {"app.py": "def handler(event, context):\n    return 1\n"})
    version = functions.publish_version(FunctionName="tagged")["Version"]
    functions.create_alias(FunctionName="tagged", Name="live", FunctionVersion=version)
    return cloud.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="lambda", ResourceId="function:tagged:live", MinCapacity=0, MaxCapacity=1,
        ScalableDimension="lambda:function:ProvisionedConcurrency")["ScalableTargetARN"]


def pipe(cloud):
    queues = cloud.client("sqs")
    for name in ("tagged-source", "tagged-target"):
        queues.create_queue(QueueName=name)
    return cloud.client("pipes").create_pipe(
        Name="tagged", Source=f"arn:aws:sqs:{PREFIX}:tagged-source", Target=f"arn:aws:sqs:{PREFIX}:tagged-target",
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", DesiredState="STOPPED")["Arn"]


# The service, what makes something that has tags, the name of its ARN, of the keys and of the tags, and how they look.
SERVICES = {
    "cloudwatch": (lambda cloud: alarm(cloud.client("cloudwatch")), "ResourceARN", "TagKeys", "Tags", pairs, unpaired),
    "events": (lambda cloud: rule(cloud.client("events")), "ResourceARN", "TagKeys", "Tags", pairs, unpaired),
    "application-autoscaling": (target, "ResourceARN", "TagKeys", "Tags", dict, dict),
    "codedeploy": (lambda cloud: application(cloud.client("codedeploy")), "ResourceArn", "TagKeys", "Tags", pairs, unpaired),
    "scheduler": (lambda cloud: cloud.client("scheduler").create_schedule_group(Name="tagged")["ScheduleGroupArn"],
                  "ResourceArn", "TagKeys", "Tags", pairs, unpaired),
    "sns": (lambda cloud: cloud.client("sns").create_topic(Name="tagged")["TopicArn"],
            "ResourceArn", "TagKeys", "Tags", pairs, unpaired),
    "pipes": (pipe, "resourceArn", "tagKeys", "tags", dict, dict),
    "ecr": (lambda cloud: cloud.client("ecr").create_repository(repositoryName="tagged")["repository"]["repositoryArn"],
            "resourceArn", "tagKeys", "tags", pairs, unpaired),
}


@pytest.mark.parametrize("service", SERVICES)
def test_tags_of_every_service_are_added_shown_and_removed(own, service):
    make, resource, keys, tags, form, read = SERVICES[service]
    client, named = own.client(service), {resource: make(own)}

    def shown():
        return read(client.list_tags_for_resource(**named)[tags])

    assert shown() == {}
    client.tag_resource(**named, **{tags: form({"team": "a", "cost": "1"})})
    client.tag_resource(**named, **{tags: form({"team": "b", "more": "2"})})
    assert shown() == {"team": "b", "cost": "1", "more": "2"}
    many = {f"key-{number}": "v" for number in range(48)}
    for wrong in ({"aws:team": "a"}, {"k" * 129: "a"}, {"key": "v" * 257}, many):
        with pytest.raises(ClientError) as refused:
            client.tag_resource(**named, **{tags: form(wrong)})
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    client.untag_resource(**named, **{keys: ["team", "nothing"]})
    assert shown() == {"cost": "1", "more": "2"}
