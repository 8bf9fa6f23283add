"""Resource policies between two accounts of one server: who is let in, who is kept out, and what becomes of what is
denied on its way."""

import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import mayfly
from mayfly import create, invoke, until

OURS, THEIRS = "000000000000", "111122223333"
ROOT = f"arn:aws:iam::{THEIRS}:root"
ECHO = {"app.py": "def handler(event, context):\n    return {'got': event, 'by': context.invoked_function_arn}\n"}


@pytest.fixture(scope="module")
def two():
    """A server with two accounts, whose rules and topics retry at once."""
    with mayfly.server(f'accounts = ["{THEIRS}"]\n[limits]\nasync_retry_seconds = 0\n') as running:
        yield running


class Side:
    """The clients of one account."""

    def __init__(self, server, account=None):
        self.account = account or OURS
        for service in ("sqs", "sns", "events", "lambda", "s3", "pipes", "sts"):
            setattr(self, "functions" if service == "lambda" else service, server.client(service, account))

    def queue(self, name, **attributes):
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, f"arn:aws:sqs:us-east-1:{self.account}:{name}"

    def bodies(self, url, count, wait=5):
        """So many messages, which are then deleted: their bodies and attributes."""
        got = []

        def enough():
            answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait,
                                              MessageAttributeNames=["All"])
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                texts = message.get("MessageAttributes", {}).items()
                got.append((message["Body"], {name: value["StringValue"] for name, value in texts}))
            return len(got) >= count

        until(enough)
        assert len(got) == count
        return got

    def is_empty(self, url):
        return "Messages" not in self.sqs.receive_message(QueueUrl=url)


@pytest.fixture(scope="module")
def us(two):
    return Side(two)


@pytest.fixture(scope="module")
def them(two):
    return Side(two, THEIRS)


def refusal(call, **members):
    """Code, text and status of a call that is refused."""
    with pytest.raises(ClientError) as told:
        call(**members)
    answer = told.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def statement(effect, principal, action, resource, **more):
    return {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def set_policy(side, url, *statements):
    document = policy(*statements) if statements else ""
    side.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})


def test_accounts_are_apart(us, them):
    assert them.sts.get_caller_identity()["Account"] == THEIRS
    us.queue("apart")
    assert not them.sqs.list_queues().get("QueueUrls"), "another account's names are free"
    us.s3.create_bucket(Bucket="apart")
    us.s3.put_object(Bucket="apart", Key="k", Body=b"x")
    assert refusal(them.s3.get_object, Bucket="apart", Key="k")[2] == 403
    create(us.functions, "apart", ECHO)
    assert refusal(them.functions.get_function, FunctionName=f"arn:aws:lambda:us-east-1:{OURS}:function:apart")[2] == 403
    arn = f"arn:aws:sqs:us-east-1:{OURS}:apart"
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    told = refusal(them.sqs.create_queue, QueueName="d", Attributes={"RedrivePolicy": redrive})[1]
    assert "Dead-letter target owner should be same as the source." in told
    _, target = them.queue("thief")
    told = refusal(them.pipes.create_pipe, Name="thief", Source=arn, Target=target, RoleArn=f"arn:aws:iam::{THEIRS}:role/r")
    assert "belongs to another account" in told[1]


def test_another_account_sends_where_the_policy_lets_it(us, them):
    url, arn = us.queue("inbox")
    send = dict(QueueUrl=url, MessageBody="hello")
    code, text, status = refusal(them.sqs.send_message, **send)
    assert (code, status) == ("AccessDenied", 403)
    assert text == (f"User: {ROOT} is not authorized to perform: sqs:sendmessage on resource: {arn} because no "
                    "resource-based policy allows the sqs:sendmessage action")
    assert refusal(them.sqs.get_queue_url, QueueName="inbox", QueueOwnerAWSAccountId=OURS)[0] in (
        "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), "nor is it told of it"
    us.sqs.add_permission(QueueUrl=url, Label="them", AWSAccountIds=[THEIRS], Actions=["SendMessage", "GetQueueUrl"])
    assert them.sqs.get_queue_url(QueueName="inbox", QueueOwnerAWSAccountId=OURS)["QueueUrl"] == url
    them.sqs.send_message(**send)
    them.sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "batch"}])
    assert refusal(them.sqs.receive_message, QueueUrl=url)[0] == "AccessDenied", "what is not allowed is denied"
    us.sqs.remove_permission(QueueUrl=url, Label="them")
    assert refusal(them.sqs.send_message, **send)[0] == "AccessDenied", "at once"

    # A whole policy: for one principal, from one address, and never what only an owner may do.
    anywhere = {"IpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1"]}, "ArnEquals": {"aws:PrincipalArn": ROOT}}
    set_policy(us, url, statement("Allow", "*", "sqs:*", arn, Condition=anywhere))
    them.sqs.send_message(**send)
    assert refusal(them.sqs.delete_queue, QueueUrl=url)[0] == "AccessDenied"
    assert refusal(them.sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": ""})[0] == "AccessDenied"
    elsewhere = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    set_policy(us, url, statement("Allow", "*", "sqs:*", arn, Condition=elsewhere))
    assert refusal(them.sqs.send_message, **send)[0] == "AccessDenied"
    assert [body for body, _ in us.bodies(url, 3)] == ["hello", "batch", "hello"]


def test_a_denial_holds_for_the_queue_s_own_account(us, them):
    url, arn = us.queue("closed")
    allow, deny = (statement(effect, "*", "sqs:SendMessage", arn) for effect in ("Allow", "Deny"))
    set_policy(us, url, allow, deny)
    code, text, _ = refusal(us.sqs.send_message, QueueUrl=url, MessageBody="x")
    assert code == "AccessDenied" and text.endswith("with an explicit deny in a resource-based policy")
    assert refusal(them.sqs.send_message, QueueUrl=url, MessageBody="x")[0] == "AccessDenied"
    assert us.is_empty(url), "what is not denied is allowed"
    set_policy(us, url, statement("Deny", "*", "sqs:*", arn))
    assert refusal(us.sqs.receive_message, QueueUrl=url)[0] == "AccessDenied"
    set_policy(us, url)
    us.sqs.send_message(QueueUrl=url, MessageBody="an account is never locked out")


def test_malformed_policies_are_refused_when_they_are_set(us):
    url, arn = us.queue("strict")
    topic = us.sns.create_topic(Name="strict")["TopicArn"]
    us.events.create_event_bus(Name="strict")
    good = statement("Allow", {"AWS": THEIRS}, "sqs:SendMessage", arn)
    broken = ["{", json.dumps({}), policy({**good, "Effect": "Perhaps"}), policy({**good, "Principal": {"AWS": "nobody"}}),
              policy({**good, "Principle": "*"}), policy({**good, "Condition": {"StringIs": {"aws:SourceArn": "x"}}}),
              policy({**good, "Action": "sns:Publish"}), policy()]
    for document in broken:
        told = refusal(us.sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": document})
        assert told[:2] == ("InvalidAttributeValue", "Invalid value for the parameter Policy."), document
    for document in broken[:-2]:
        document = document.replace("sqs:SendMessage", "sns:Publish")
        told = refusal(us.sns.set_topic_attributes, TopicArn=topic, AttributeName="Policy", AttributeValue=document)
        assert told[:2] == ("InvalidParameter", "Invalid parameter: Policy Error: null"), document
    for action in ("sns:CreateTopic", "sns:*", "*", "sqs:SendMessage"):
        document = policy(statement("Allow", {"AWS": THEIRS}, action, topic))
        told = refusal(us.sns.set_topic_attributes, TopicArn=topic, AttributeName="Policy", AttributeValue=document)
        assert told[1] == "Invalid parameter: Policy statement action out of service scope!"
    for document in broken:
        told = refusal(us.events.put_permission, EventBusName="strict", Policy=document)
        assert told[0] == "ValidationException" and told[1].startswith("Invalid policy document: "), document
    long = policy(*(statement("Allow", {"AWS": THEIRS}, "events:PutEvents", "*", Sid=f"s{n}") for n in range(200)))
    assert refusal(us.events.put_permission, EventBusName="strict", Policy=long)[0] == "PolicyLengthExceededException"
    assert "Policy" not in us.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def test_another_account_publishes_and_subscribes_by_leave(us, them):
    topic = us.sns.create_topic(Name="feed")["TopicArn"]
    url, arn = them.queue("feed")
    code, text, status = refusal(them.sns.publish, TopicArn=topic, Message="x")
    assert (code, status) == ("AuthorizationError", 403)
    assert text == (f"User: {ROOT} is not authorized to perform: SNS:Publish on resource: {topic} because no "
                    "resource-based policy allows the SNS:Publish action")
    subscribe = dict(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True,
                     Attributes={"RawMessageDelivery": "true"})
    assert refusal(them.sns.subscribe, **subscribe)[0] == "AuthorizationError"
    us.sns.add_permission(TopicArn=topic, Label="them", AWSAccountId=[THEIRS], ActionName=["Publish"])
    only_queues = {"StringEquals": {"sns:Protocol": "sqs"}, "StringLike": {"sns:Endpoint": f"arn:aws:sqs:*:{THEIRS}:*"}}
    document = json.loads(us.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    document["Statement"].append(statement("Allow", {"AWS": ROOT}, "sns:Subscribe", topic, Condition=only_queues))
    us.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(document))
    assert refusal(them.sns.subscribe, TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:9/")[2] == 403
    subscription = them.sns.subscribe(**subscribe)["SubscriptionArn"]
    shown = them.sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (shown["Owner"], shown["PendingConfirmation"]) == (THEIRS, "false")

    # Their queue must let the topic in, too; until it does, messages go to the subscription's dead letters.
    dead_url, dead_arn = us.queue("feed-dead")
    us.sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RedrivePolicy",
                                       AttributeValue=json.dumps({"deadLetterTargetArn": dead_arn}))
    them.sns.publish(TopicArn=topic, Message="one")
    assert [body for body, _ in us.bodies(dead_url, 1)] == ["one"]
    source = {"ArnLike": {"aws:SourceArn": f"arn:aws:sns:*:{OURS}:other"}}
    sns = {"Service": "sns.amazonaws.com"}
    set_policy(them, url, statement("Allow", sns, "sqs:SendMessage", arn, Condition=source))
    us.sns.publish(TopicArn=topic, Message="two")
    assert [body for body, _ in us.bodies(dead_url, 1)] == ["two"], "from another topic alone"
    source = {"ArnEquals": {"aws:SourceArn": topic}, "StringEquals": {"aws:SourceAccount": OURS}}
    set_policy(them, url, statement("Allow", sns, "sqs:SendMessage", arn, Condition=source))
    them.sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": "three"}])
    assert [body for body, _ in them.bodies(url, 1)] == ["three"]
    us.sns.remove_permission(TopicArn=topic, Label="them")
    assert refusal(them.sns.publish, TopicArn=topic, Message="x")[0] == "AuthorizationError"
    them.sns.unsubscribe(SubscriptionArn=subscription)
    assert not us.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]


def test_a_queue_of_another_account_is_asked_first(us, them):
    topic = us.sns.create_topic(Name="asking")["TopicArn"]
    url, arn = them.queue("asked")
    set_policy(them, url, statement("Allow", {"Service": "sns.amazonaws.com"}, "sqs:SendMessage", arn,
                                    Condition={"ArnEquals": {"aws:SourceArn": topic}}))
    made = us.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    assert made == "pending confirmation"
    us.sns.publish(TopicArn=topic, Message="to nobody yet")
    (question, _), = them.bodies(url, 1)
    question = json.loads(question)
    assert question["Type"] == "SubscriptionConfirmation"
    confirmed = them.sns.confirm_subscription(TopicArn=topic, Token=question["Token"])["SubscriptionArn"]
    assert confirmed.startswith(topic + ":")
    us.sns.publish(TopicArn=topic, Message="to them")
    (body, _), = them.bodies(url, 1)
    assert json.loads(body)["Message"] == "to them"


def put(side, bus, source="shop"):
    return side.events.put_events(Entries=[{"Source": source, "DetailType": "Order", "Detail": "{}", "EventBusName": bus}])


def test_another_account_puts_events_by_leave(us, them):
    bus = us.events.create_event_bus(Name="ours")["EventBusArn"]
    url, arn = us.queue("orders")
    us.events.put_rule(Name="all", EventBusName="ours", EventPattern=json.dumps({"detail-type": ["Order"]}))
    us.events.put_targets(Rule="all", EventBusName="ours", Targets=[{"Id": "q", "Arn": arn}])
    code, text, _ = refusal(put, side=them, bus=bus)
    assert code == "AccessDeniedException"
    assert text == (f"User: {ROOT} is not authorized to perform: events:PutEvents on resource: {bus} because no "
                    "resource-based policy allows the events:PutEvents action")
    us.events.put_permission(EventBusName="ours", Action="events:PutEvents", Principal=THEIRS, StatementId="them")
    assert put(them, bus)["FailedEntryCount"] == 0
    (event, _), = us.bodies(url, 1)
    assert json.loads(event)["account"] == THEIRS, "it says whose it is"
    us.events.remove_permission(EventBusName="ours", StatementId="them")
    assert refusal(put, side=them, bus=bus)[0] == "AccessDeniedException"
    only_shop = {"StringEquals": {"events:source": "shop"}}
    document = policy(statement("Allow", {"AWS": THEIRS}, "events:PutEvents", bus, Condition=only_shop),
                      statement("Deny", {"AWS": OURS}, "events:PutEvents", bus))
    us.events.put_permission(EventBusName="ours", Policy=document)
    put(them, bus)
    assert refusal(put, side=them, bus=bus, source="other")[0] == "AccessDeniedException"
    assert refusal(put, side=us, bus="ours")[1].endswith("with an explicit deny in a resource-based policy")
    us.bodies(url, 1)


def rule_to(side, name, target, dead, pattern=None):
    pattern = json.dumps(pattern or {"source": [name]})
    arn = side.events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    side.events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": target, "DeadLetterConfig": {"Arn": dead}}])
    return arn


def test_what_is_denied_on_its_way_goes_to_the_dead_letters(us, them):
    dead_url, dead = us.queue("rules-dead")
    url, queue = them.queue("from-rules")
    bus = them.events.create_event_bus(Name="theirs")["EventBusArn"]
    topic = them.sns.create_topic(Name="from-rules")["TopicArn"]
    function = create(them.functions, "from-rules", ECHO)["FunctionArn"]
    log_group = f"arn:aws:logs:us-east-1:{THEIRS}:log-group:/aws/lambda/from-rules"
    targets = {"to-queue": queue, "to-bus": bus, "to-topic": topic, "to-function": function, "to-log": log_group}
    rules = {name: rule_to(us, name, target, dead) for name, target in targets.items()}
    for name, target in targets.items():
        put(us, "default", name)
        (event, why), = us.bodies(dead_url, 1)
        assert json.loads(event)["source"] == name
        assert (why["ERROR_CODE"], why["RULE_ARN"], why["TARGET_ARN"]) == ("NO_PERMISSIONS", rules[name], target)
        assert why["ERROR_MESSAGE"].startswith("User: events.amazonaws.com is not authorized to perform: ")

    # Each lets the rule in that sends to it.
    def let_in(action, resource, name):
        return statement("Allow", {"Service": "events.amazonaws.com"}, action, resource,
                         Condition={"ArnEquals": {"aws:SourceArn": rules[name]}})

    set_policy(them, url, let_in("sqs:SendMessage", queue, "to-queue"))
    them.events.put_permission(EventBusName="theirs", Policy=policy(
        statement("Allow", {"AWS": OURS}, "events:PutEvents", bus)))
    them.events.put_rule(Name="on", EventBusName="theirs", EventPattern=json.dumps({"account": [OURS]}))
    them.events.put_targets(Rule="on", EventBusName="theirs", Targets=[{"Id": "q", "Arn": queue}])
    document = policy(let_in("sns:Publish", topic, "to-topic"))
    them.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=document)
    them.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
    them.functions.add_permission(FunctionName="from-rules", StatementId="rule", Action="lambda:InvokeFunction",
                                  Principal="events.amazonaws.com", SourceArn=rules["to-function"])
    them.functions.put_function_event_invoke_config(
        FunctionName="from-rules", DestinationConfig={"OnSuccess": {"Destination": queue}})
    for name in ("to-queue", "to-bus", "to-topic", "to-function"):
        put(us, "default", name)
        (body, _), = them.bodies(url, 1)
        body = json.loads(body)
        assert (body.get("requestPayload") or body)["source"] == name
    assert us.is_empty(dead_url)

    # In one account nothing has to let a rule in, and what denies keeps it out.
    ours_url, ours = us.queue("from-own-rule")
    rule = rule_to(us, "own", ours, dead)
    put(us, "default", "own")
    us.bodies(ours_url, 1)
    set_policy(us, ours_url, statement("Deny", "*", "sqs:SendMessage", ours, Condition={"ArnEquals": {"aws:SourceArn": rule}}))
    put(us, "default", "own")
    (_, why), = us.bodies(dead_url, 1)
    assert why["ERROR_MESSAGE"].endswith("with an explicit deny in a resource-based policy")
    us.sqs.send_message(QueueUrl=ours_url, MessageBody="others are not meant")


def test_another_account_calls_a_function_by_leave(us, them):
    ours = create(us.functions, "shared", ECHO)["FunctionArn"]
    code, text, status = refusal(them.functions.invoke, FunctionName=ours)
    assert (code, status) == ("AccessDeniedException", 403)
    assert text == (f"User: {ROOT} is not authorized to perform: lambda:InvokeFunction on resource: {ours} because no "
                    "resource-based policy allows the lambda:InvokeFunction action")
    us.functions.add_permission(FunctionName="shared", StatementId="them", Action="lambda:InvokeFunction", Principal=THEIRS)
    assert invoke(them.functions, ours, {"n": 1})[1] == {"got": {"n": 1}, "by": ours}
    url, queue = us.queue("shared-done")
    us.functions.put_function_event_invoke_config(
        FunctionName="shared", DestinationConfig={"OnSuccess": {"Destination": queue}})
    assert invoke(them.functions, ours, {"n": 2}, InvocationType="Event")[0]["StatusCode"] == 202
    (record, _), = us.bodies(url, 1)
    assert json.loads(record)["requestPayload"] == {"n": 2}, "what follows is the function's own"
    assert refusal(them.functions.get_function, FunctionName=ours)[2] == 403
    assert refusal(them.functions.delete_function, FunctionName=ours)[2] == 403
    us.functions.remove_permission(FunctionName="shared", StatementId="them")
    assert refusal(them.functions.invoke, FunctionName=ours)[0] == "AccessDeniedException"

    # A topic of ours calls a function of theirs once that lets it in, and they subscribe it.
    topic = us.sns.create_topic(Name="calls")["TopicArn"]
    us.sns.add_permission(TopicArn=topic, Label="them", AWSAccountId=[THEIRS], ActionName=["Subscribe"])
    theirs = create(them.functions, "called", ECHO)["FunctionArn"]
    done_url, done = them.queue("called-done")
    them.functions.put_function_event_invoke_config(
        FunctionName="called", DestinationConfig={"OnSuccess": {"Destination": done}})
    them.functions.add_permission(FunctionName="called", StatementId="topic", Action="lambda:InvokeFunction",
                                  Principal="sns.amazonaws.com", SourceArn=topic)
    them.sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=theirs)
    us.sns.publish(TopicArn=topic, Message="ring")
    (record, _), = them.bodies(done_url, 1)
    assert json.loads(record)["requestPayload"]["Records"][0]["Sns"]["Message"] == "ring"


def test_a_second_account_has_all_of_it_and_its_urls_open_by_leave(two, us, them):
    web = {"app.py": "def handler(event, context):\n    return {'statusCode': 200, 'body': 'theirs'}\n"}
    arn = create(them.functions, "whole", web)["FunctionArn"]
    version = them.functions.publish_version(FunctionName="whole")["Version"]
    them.functions.get_waiter("published_version_active").wait(FunctionName="whole", Qualifier=version)
    named = dict(FunctionName="whole", Qualifier=version)
    them.functions.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    until(lambda: them.functions.get_provisioned_concurrency_config(**named)["Status"] == "READY")

    api = two.client("apigatewayv2", THEIRS).create_api(Name="whole", ProtocolType="HTTP", Target=arn)
    them.functions.add_permission(
        FunctionName="whole", StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:us-east-1:{THEIRS}:{api['ApiId']}/*")
    host = {"host": api["ApiEndpoint"].split("//")[1]}
    assert urllib.request.urlopen(urllib.request.Request(two.endpoint + "/", headers=host)).read() == b"theirs"

    url = them.functions.create_function_url_config(FunctionName="whole", AuthType="AWS_IAM")["FunctionUrl"]

    def status(account):
        key = two.key_of(account)
        request = AWSRequest("GET", two.endpoint + "/", headers={"host": url.split("//")[1].strip("/")})
        credentials = Credentials(key["access_key_id"], key["secret_access_key"])
        SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
        try:
            return urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers))).status
        except urllib.error.HTTPError as refused:
            return refused.code

    assert (status(THEIRS), status(None)) == (200, 403)
    them.functions.add_permission(FunctionName="whole", StatementId="us", Action="lambda:InvokeFunctionUrl", Principal=OURS,
                                  FunctionUrlAuthType="AWS_IAM")
    assert (status(THEIRS), status(None)) == (200, 200)

    work, arn_of_work = them.queue("whole-work")
    them.functions.create_event_source_mapping(FunctionName="whole", EventSourceArn=arn_of_work)
    them.sqs.send_message(QueueUrl=work, MessageBody="m")
    figures = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    until(lambda: set(them.sqs.get_queue_attributes(
        QueueUrl=work, AttributeNames=figures)["Attributes"].values()) == {"0"})
    ticks, arn_of_ticks = them.queue("whole-ticks")
    two.client("scheduler", THEIRS).create_schedule(
        Name="whole", ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": arn_of_ticks, "RoleArn": f"arn:aws:iam::{THEIRS}:role/r", "Input": "tick"})
    assert them.bodies(ticks, 1)[0][0] == "tick"
    assert "whole" not in [one["FunctionName"] for one in us.functions.list_functions()["Functions"]]
    assert "whole" in two.run("functions", "--data", two.data, "--account", THEIRS).stdout


def test_a_layer_is_shared_by_leave(us, them):
    layer = us.functions.publish_layer_version(
        LayerName="shared", Content={"ZipFile": mayfly.package({"python/shared.py": "WORD = 'ours'\n"})})["LayerVersionArn"]
    uses = {"app.py": "import shared\n\ndef handler(event, context):\n    return shared.WORD\n"}
    with pytest.raises(ClientError) as told:
        create(them.functions, "layered", uses, Layers=[layer])
    assert told.value.response["Error"]["Code"] == "AccessDeniedException"
    us.functions.add_layer_version_permission(LayerName="shared", VersionNumber=1, StatementId="them",
                                              Action="lambda:GetLayerVersion", Principal=THEIRS)
    create(them.functions, "layered", uses, Layers=[layer])
    assert invoke(them.functions, "layered")[1] == "ours"


def test_a_bucket_tells_queues_that_let_it(us, them):
    us.s3.create_bucket(Bucket="telling")
    url, arn = them.queue("told")
    wanted = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    put_config = us.s3.put_bucket_notification_configuration
    told = refusal(put_config, Bucket="telling", NotificationConfiguration=wanted)
    assert "Unable to validate the following destination configurations" in told[1]
    set_policy(them, url, statement("Allow", {"Service": "s3.amazonaws.com"}, "sqs:SendMessage", arn, Condition={
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:telling"}, "StringEquals": {"aws:SourceAccount": OURS}}))
    put_config(Bucket="telling", NotificationConfiguration=wanted)
    us.s3.put_object(Bucket="telling", Key="k", Body=b"x")
    (test, _), (body, _) = sorted(them.bodies(url, 2), key=lambda one: "Records" in one[0])
    assert json.loads(test)["Event"] == "s3:TestEvent"
    assert json.loads(body)["Records"][0]["s3"]["object"]["key"] == "k"


TEMPLATE = """
Resources:
  Inbox: {Type: AWS::SQS::Queue, Properties: {QueueName: tpl-inbox}}
  Other: {Type: AWS::SQS::Queue, Properties: {QueueName: tpl-other}}
  News: {Type: AWS::SNS::Topic, Properties: {TopicName: tpl-news}}
  Feed: {Type: AWS::SNS::Topic, Properties: {TopicName: tpl-feed}}
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: tpl-bus}}
  InboxPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Inbox]
      PolicyDocument: {Statement: [{Effect: Allow, Principal: {AWS: "THEM"}, Action: "sqs:SendMessage", Resource: !GetAtt Inbox.Arn}]}
  OtherPolicy:
    Type: AWS::SQS::QueueInlinePolicy
    Properties:
      Queue: !Ref Other
      PolicyDocument: {Statement: [{Effect: Allow, Principal: {AWS: "THEM"}, Action: "sqs:*", Resource: !GetAtt Other.Arn}]}
  NewsPolicy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref News]
      PolicyDocument: {Statement: [{Effect: Allow, Principal: {AWS: "THEM"}, Action: "sns:Publish", Resource: !Ref News}]}
  FeedPolicy:
    Type: AWS::SNS::TopicInlinePolicy
    Properties:
      TopicArn: !Ref Feed
      PolicyDocument: {Statement: [{Effect: Allow, Principal: {AWS: "THEM"}, Action: "sns:Publish", Resource: !Ref Feed}]}
  Short:
    Type: AWS::Events::EventBusPolicy
    Properties: {EventBusName: !Ref Bus, StatementId: short, Action: "events:PutEvents", Principal: "333333333333"}
  Whole:
    Type: AWS::Events::EventBusPolicy
    DependsOn: Short
    Properties:
      EventBusName: !Ref Bus
      StatementId: whole
      Statement: {Effect: Allow, Principal: {AWS: "THEM"}, Action: "events:PutEvents", Resource: !GetAtt Bus.Arn}
  Uploads:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: tpl-uploads
      NotificationConfiguration: {EventBridgeConfiguration: {EventBridgeEnabled: true}}
"""


def test_templates_let_accounts_in_and_the_bus_is_told_of_the_stack(two, us, them, tmp_path):
    url, arn = us.queue("stack-events.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    us.events.put_rule(Name="stacks", EventPattern=json.dumps(
        {"source": ["aws.cloudformation", "aws.s3"], "detail-type": ["CloudFormation Stack Status Change",
         "CloudFormation Resource Status Change", "Object Created"]}))
    us.events.put_targets(Rule="stacks", Targets=[{"Id": "q", "Arn": arn, "SqsParameters": {"MessageGroupId": "g"}}])

    def told():
        """What the bus was told: of resources by their names, of the stack itself by none."""
        events, got = [], True
        while got:
            got = us.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            for message in got:
                us.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                detail = json.loads(message["Body"])["detail"]
                name = detail.get("logical-resource-id") or detail.get("object", {}).get("key")
                events.append((name, detail.get("status-details", {}).get("status")))
        return events

    file = tmp_path / "template.yaml"
    file.write_text(TEMPLATE.replace("THEM", THEIRS))
    two.run("deploy", tmp_path, "--stack", "policies")
    events = told()
    made = [(name, status) for name, status in events if name in ("Inbox", "Whole", None)]
    assert made == [(None, "CREATE_IN_PROGRESS"), ("Inbox", "CREATE_IN_PROGRESS"), ("Inbox", "CREATE_COMPLETE"),
                    ("Whole", "CREATE_IN_PROGRESS"), ("Whole", "CREATE_COMPLETE"), (None, "CREATE_COMPLETE")]

    queues = [us.sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("tpl-inbox", "tpl-other")]
    topics = [f"arn:aws:sns:us-east-1:{OURS}:{name}" for name in ("tpl-news", "tpl-feed")]
    bus = f"arn:aws:events:us-east-1:{OURS}:event-bus/tpl-bus"
    for queue in queues:
        them.sqs.send_message(QueueUrl=queue, MessageBody="x")
    for topic in topics:
        them.sns.publish(TopicArn=topic, Message="x")
    put(them, bus)
    sids = [one["Sid"] for one in json.loads(us.events.describe_event_bus(Name="tpl-bus")["Policy"])["Statement"]]
    assert sids == ["short", "whole"]
    us.s3.put_object(Bucket="tpl-uploads", Key="k", Body=b"x")
    assert told() == [("k", None)]
    us.s3.delete_object(Bucket="tpl-uploads", Key="k")

    two.run("deploy", tmp_path, "--stack", "policies")
    assert told() == [], "nothing was done"
    parts = file.read_text().split("  InboxPolicy:")
    file.write_text(parts[0] + "  Uploads:" + parts[1].split("  Uploads:")[1])
    two.run("deploy", tmp_path, "--stack", "policies")
    events = told()
    assert events[0] == (None, "UPDATE_IN_PROGRESS") and events[-1] == (None, "UPDATE_COMPLETE")
    assert ("NewsPolicy", "DELETE_COMPLETE") in events
    for queue in queues:
        assert refusal(them.sqs.send_message, QueueUrl=queue, MessageBody="x")[0] == "AccessDenied"
    for topic in topics:
        assert refusal(them.sns.publish, TopicArn=topic, Message="x")[0] == "AuthorizationError"
    assert refusal(put, side=them, bus=bus)[0] == "AccessDeniedException"

    # What cannot be made is told of, and how it went back.
    broken = "  Broken: {Type: AWS::SQS::Queue, Properties: {QueueName: tpl-broken, DelaySeconds: 99999}}\n"
    file.write_text(file.read_text() + broken)
    assert two.run("deploy", tmp_path, "--stack", "policies", check=False).returncode != 0
    assert told() == [(None, "UPDATE_IN_PROGRESS"), ("Broken", "CREATE_IN_PROGRESS"), (None, "UPDATE_ROLLBACK_IN_PROGRESS"),
                      ("Broken", "CREATE_FAILED"), (None, "UPDATE_ROLLBACK_COMPLETE")]
    two.run("delete", "--stack", "policies", "--yes", "--force")
    events = told()
    assert events[0] == (None, "DELETE_IN_PROGRESS") and events[-1] == (None, "DELETE_COMPLETE")


def test_accounts_and_policies_survive_a_restart(two, us, them):
    url, _ = us.queue("lasting")
    us.sqs.add_permission(QueueUrl=url, Label="them", AWSAccountIds=[THEIRS], Actions=["SendMessage"])
    before = two.key_of(THEIRS)["access_key_id"]
    two.kill()
    two.start()
    assert two.key_of(THEIRS)["access_key_id"] == before
    them.sqs.send_message(QueueUrl=url, MessageBody="as before")
    assert us.bodies(url, 1)[0][0] == "as before"
    printed = two.run("env", "--data", two.data, "--account", THEIRS).stdout
    assert before in printed


GIVES_ITS_KEYS = {"app.py": """import os

def handler(event, context):
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
"""}


def test_a_function_is_kept_out_by_its_name(two, us):
    create(us.functions, "kept-out", GIVES_ITS_KEYS)
    keys = invoke(us.functions, "kept-out")[1]
    own = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_SESSION_TOKEN"], "us-east-1")
    sqs, sns = (own.client(service, endpoint_url=two.endpoint) for service in ("sqs", "sns"))
    session, role = f"arn:aws:sts::{OURS}:assumed-role/kept-out/kept-out", f"arn:aws:iam::{OURS}:role/kept-out"
    url, arn = us.queue("keeps-one-out")
    topic = us.sns.create_topic(Name="keeps-one-out")["TopicArn"]
    send = dict(QueueUrl=url, MessageBody="x")
    sqs.send_message(**send)
    sns.publish(TopicArn=topic, Message="x")
    for principal in (session, role):
        set_policy(us, url, statement("Deny", {"AWS": principal}, "sqs:SendMessage", arn))
        denied = (f"User: {session} is not authorized to perform: sqs:sendmessage on resource: {arn} "
                  "with an explicit deny in a resource-based policy")
        assert refusal(sqs.send_message, **send) == ("AccessDenied", denied, 403)
        us.sqs.send_message(**send)
        us.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy(
            statement("Deny", {"AWS": principal}, "sns:Publish", topic)))
        assert refusal(sns.publish, TopicArn=topic, Message="x")[0] == "AuthorizationError"
        us.sns.publish(TopicArn=topic, Message="x")
    only = {"ArnNotEquals": {"aws:PrincipalArn": role}}
    set_policy(us, url, statement("Deny", "*", "sqs:SendMessage", arn, Condition=only))
    assert refusal(us.sqs.send_message, **send)[0] == "AccessDenied", "everyone but the function"
    sqs.send_message(**send)
    assert len(us.bodies(url, 4)) == 4

    # What a function's destination denies is on record, with the reason.
    done_url, done = us.queue("keeps-results-out")
    us.functions.put_function_event_invoke_config(
        FunctionName="kept-out", DestinationConfig={"OnSuccess": {"Destination": done}})
    source = {"ArnLike": {"aws:SourceArn": f"arn:aws:lambda:*:{OURS}:function:kept-out"}}
    set_policy(us, done_url, statement("Deny", "*", "sqs:SendMessage", done, Condition=source))
    invoke(us.functions, "kept-out", InvocationType="Event")
    dead, = until(lambda: json.loads(two.run("deliveries", "--json").stdout)["Deliveries"])
    assert dead["State"] == "Dead" and dead["Reason"].endswith("with an explicit deny in a resource-based policy"), dead
    two.run("deliveries", "drop", dead["Id"])
    assert us.is_empty(done_url)


def test_a_bucket_tells_nobody_who_keeps_it_out(us):
    us.s3.create_bucket(Bucket="kept-out")
    bucket = "arn:aws:s3:::kept-out"
    url, queue = us.queue("keeps-a-bucket-out")
    topic = us.sns.create_topic(Name="keeps-a-bucket-out")["TopicArn"]
    heard_url, heard = us.queue("hears-of-a-bucket")
    us.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard, Attributes={"RawMessageDelivery": "true"})
    function = create(us.functions, "keeps-a-bucket-out", ECHO)["FunctionArn"]
    done_url, done = us.queue("called-by-a-bucket")
    us.functions.put_function_event_invoke_config(
        FunctionName="keeps-a-bucket-out", DestinationConfig={"OnSuccess": {"Destination": done}})

    def let_in(yes):
        denied = [] if yes else [{"Service": "s3.amazonaws.com"}]
        source = {"ArnEquals": {"aws:SourceArn": bucket}, "StringEquals": {"aws:SourceAccount": OURS}}
        set_policy(us, url, *(statement("Deny", one, "sqs:SendMessage", queue, Condition=source) for one in denied))
        effect = "Allow" if yes else "Deny"
        us.sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy(
            statement(effect, {"Service": "s3.amazonaws.com"}, "sns:Publish", topic, Condition=source)))
        named = dict(FunctionName="keeps-a-bucket-out", StatementId="bucket")
        if yes:
            us.functions.add_permission(**named, Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
                                        SourceArn=bucket, SourceAccount=OURS)
        elif "bucket" in sids():
            us.functions.remove_permission(**named)

    def sids():
        try:
            document = us.functions.get_policy(FunctionName="keeps-a-bucket-out")["Policy"]
        except us.functions.exceptions.ResourceNotFoundException:
            return []
        return [one["Sid"] for one in json.loads(document)["Statement"]]

    def wanted(prefix, **target):
        rule = {"Name": "prefix", "Value": prefix}
        return [{**target, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [rule]}}}]

    all_of_it = {"QueueConfigurations": wanted("q", QueueArn=queue), "TopicConfigurations": wanted("t", TopicArn=topic),
                 "LambdaFunctionConfigurations": wanted("f", LambdaFunctionArn=function)}
    put_config = us.s3.put_bucket_notification_configuration
    let_in(False)
    for kind, configured in all_of_it.items():
        code, text, status = refusal(put_config, Bucket="kept-out", NotificationConfiguration={kind: configured})
        assert (code, status) == ("InvalidArgument", 400)
        assert text.startswith("Unable to validate the following destination configurations"), text
    told = us.s3.get_bucket_notification_configuration(Bucket="kept-out")
    assert not set(told) & set(all_of_it), "nothing of it was kept"

    # Whoever lets the bucket in only afterwards hears of nothing before, and the object is there all the same.
    put_config(Bucket="kept-out", NotificationConfiguration=all_of_it, SkipDestinationValidation=True)
    for number, yes in enumerate((False, True, False, True)):
        let_in(yes)
        for prefix in "qtf":
            us.s3.put_object(Bucket="kept-out", Key=f"{prefix}{number}", Body=b"x")
    assert us.s3.list_objects_v2(Bucket="kept-out")["KeyCount"] == 12

    def keys(bodies):
        documents = [json.loads(body) for body, _ in bodies]
        events = [document.get("requestPayload", document) for document in documents]
        return sorted(event["Records"][0]["s3"]["object"]["key"] for event in events)

    assert keys(us.bodies(url, 2)) == ["q1", "q3"]
    assert keys(us.bodies(heard_url, 2)) == ["t1", "t3"]
    assert keys(us.bodies(done_url, 2)) == ["f1", "f3"]
    assert us.is_empty(url) and us.is_empty(heard_url) and us.is_empty(done_url)


def test_a_topic_is_kept_out_by_its_subscribers(us):
    topic = us.sns.create_topic(Name="kept-out")["TopicArn"]
    (url, queue), (other_url, other), (dead_url, dead) = map(us.queue, ("shut", "open", "shut-dead"))
    raw = {"RawMessageDelivery": "true"}

    def subscribe(**subscriber):
        return us.sns.subscribe(TopicArn=topic, **subscriber, ReturnSubscriptionArn=True)["SubscriptionArn"]

    def redrive(subscription):
        us.sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RedrivePolicy",
                                           AttributeValue=json.dumps({"deadLetterTargetArn": dead}))

    def publish(text):
        us.sns.publish(TopicArn=topic, Message=text)
        assert us.bodies(other_url, 1)[0][0] == text, "others are told whatever becomes of it elsewhere"

    subscription = subscribe(Protocol="sqs", Endpoint=queue, Attributes=raw)
    subscribe(Protocol="sqs", Endpoint=other, Attributes=raw)
    source = {"ArnEquals": {"aws:SourceArn": topic}}
    set_policy(us, url, statement("Deny", {"Service": "sns.amazonaws.com"}, "sqs:SendMessage", queue, Condition=source))
    publish("lost")
    redrive(subscription)
    publish("kept")
    assert [body for body, _ in us.bodies(dead_url, 1)] == ["kept"], "at once, and without what was before the policy"
    us.sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="false")
    publish("explained")
    (body, why), = us.bodies(dead_url, 1)
    assert json.loads(body)["Message"] == "explained"
    assert why["ErrorMessage"].endswith("with an explicit deny in a resource-based policy")

    set_policy(us, dead_url, statement("Deny", "*", "sqs:SendMessage", dead))
    publish("nowhere")
    set_policy(us, dead_url)
    set_policy(us, url)
    publish("let in")
    assert json.loads(us.bodies(url, 1)[0][0])["Message"] == "let in"
    assert us.is_empty(dead_url) and us.is_empty(url)

    # A function wants a statement, without which its messages are as undeliverable.
    function = create(us.functions, "keeps-a-topic-out", ECHO)["FunctionArn"]
    redrive(subscribe(Protocol="lambda", Endpoint=function))
    publish("to a function")
    (body, why), = us.bodies(dead_url, 1)
    assert json.loads(body)["Message"] == "to a function"
    assert "lambda:InvokeFunction" in why["ErrorMessage"]
