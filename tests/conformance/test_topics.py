"""Topics and their subscribers, through an SDK."""

import json
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

import mayfly
from endpoints import confirm
from test_mappings import FIFO, KEEPS, arn_of, batches, keeps, mapped, queue


@pytest.fixture(scope="session")
def sns(cloud):
    return cloud.client("sns")


@pytest.fixture(scope="session")
def mail(cloud):
    return cloud.client("sqs")


def subscribed(sns, topic, endpoint, protocol="sqs", **attributes):
    return sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=attributes,
                         ReturnSubscriptionArn=True)["SubscriptionArn"]


def received(mail, url, count, wait=10):
    """So many messages, which are then deleted."""
    got = []

    def enough():
        answer = mail.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait,
                                      AttributeNames=["All"], MessageAttributeNames=["All"])
        for message in answer.get("Messages", []):
            mail.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            got.append(message)
        return len(got) >= count

    mayfly.until(enough)
    assert len(got) == count
    return got


def test_a_message_reaches_queues_and_functions(sns, mail, functions, logs):
    topic = sns.create_topic(Name="news", Tags=[{"Key": "team", "Value": "a"}])["TopicArn"]
    assert sns.create_topic(Name="news")["TopicArn"] == topic
    url, arn = queue(mail, "news-all")
    raw_url, raw_arn = queue(mail, "news-raw")
    whole = subscribed(sns, topic, arn)
    assert sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"] == whole, "the same one"
    subscribed(sns, topic, raw_arn, RawMessageDelivery="true")
    function = keeps(functions, "news")
    functions.add_permission(FunctionName="news", StatementId="sns", Action="lambda:InvokeFunction",
                             Principal="sns.amazonaws.com", SourceArn=topic)
    to_function = subscribed(sns, topic, function, "lambda")
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}, "bytes": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    sent = sns.publish(TopicArn=topic, Message="für alle", Subject="hello", MessageAttributes=attributes)
    [message] = received(mail, url, 1)
    envelope = json.loads(message["Body"])
    assert envelope["Type"] == "Notification" and envelope["MessageId"] == sent["MessageId"]
    assert (envelope["Message"], envelope["Subject"], envelope["TopicArn"]) == ("für alle", "hello", topic)
    assert envelope["MessageAttributes"] == {"kind": {"Type": "String", "Value": "x"}, "bytes": {"Type": "Binary", "Value": "AA=="}}
    assert "MessageAttributes" not in message
    [message] = received(mail, raw_url, 1)
    assert message["Body"] == "für alle"
    assert message["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00"
    [event] = mayfly.until(lambda: batches(logs, "news"))
    [record] = event["Records"]
    assert record["EventSource"] == "aws:sns" and record["EventSubscriptionArn"] == to_function
    assert record["Sns"]["Message"] == "für alle" and record["Sns"]["MessageId"] == sent["MessageId"]
    for_each = json.dumps({"default": "others", "sqs": "queues"})
    sns.publish(TopicArn=topic, Message=for_each, MessageStructure="json")
    assert received(mail, raw_url, 1)[0]["Body"] == "queues"
    assert json.loads(received(mail, url, 1)[0]["Body"])["Message"] == "queues"
    mayfly.until(lambda: [e["Records"][0]["Sns"]["Message"] for e in batches(logs, "news")][1:] == ["others"])
    figures = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert figures["SubscriptionsConfirmed"] == "3" and figures["Owner"] == "000000000000"
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {one["Protocol"] for one in listed} == {"sqs", "lambda"} and len(listed) == 3
    assert topic in [one["TopicArn"] for one in sns.list_topics()["Topics"]]
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "team", "Value": "a"}]
    sns.unsubscribe(SubscriptionArn=whole)
    sns.publish(TopicArn=topic, Message="last")
    received(mail, raw_url, 1)
    assert "Messages" not in mail.receive_message(QueueUrl=url)
    sns.delete_topic(TopicArn=topic)
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish(TopicArn=topic, Message="nobody")
    assert topic not in [one["TopicArn"] for one in sns.list_subscriptions()["Subscriptions"]]


def test_filters_choose_by_attributes_and_by_body(sns, mail):
    topic = sns.create_topic(Name="filtered")["TopicArn"]
    wants = {
        "cheap": {"FilterPolicy": json.dumps({"price": [{"numeric": ["<", 10]}]})},
        "shops": {"FilterPolicy": json.dumps({"store": ["a", {"prefix": "b"}], "event": [{"anything-but": "cancelled"}]})},
        "tagged": {"FilterPolicy": json.dumps({"tags": ["red"]})},
        "bodies": {"FilterPolicy": json.dumps({"order": {"total": [{"numeric": [">=", 100]}]}}), "FilterPolicyScope": "MessageBody"},
    }
    urls = {}
    for name, attributes in wants.items():
        urls[name], arn = queue(mail, f"filtered-{name}")
        subscription = subscribed(sns, topic, arn, RawMessageDelivery="true", **attributes)
        shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
        assert shown["FilterPolicy"] == attributes["FilterPolicy"]

    def text(value, kind="String"):
        return {"DataType": kind, "StringValue": value}

    published = {
        "1": {"price": text("9.5", "Number")},
        "2": {"price": text("10", "Number"), "store": text("bee"), "event": text("placed")},
        "3": {"store": text("a"), "event": text("cancelled")},
        "4": {"tags": text('["blue","red"]', "String.Array")},
    }
    for body, attributes in published.items():
        sns.publish(TopicArn=topic, Message=body, MessageAttributes=attributes)
    large = json.dumps({"order": {"total": 100}})
    sns.publish(TopicArn=topic, Message=large)
    sns.publish(TopicArn=topic, Message=json.dumps({"order": {"total": 99}}))
    got = {name: [message["Body"] for message in received(mail, url, 1)] for name, url in urls.items()}
    assert got == {"cheap": ["1"], "shops": ["2"], "tagged": ["4"], "bodies": [large]}
    for url in urls.values():
        assert "Messages" not in mail.receive_message(QueueUrl=url), "and nothing else"


def test_fifo_topics_keep_order_and_send_once(sns, mail):
    topic = sns.create_topic(Name="exact.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"})["TopicArn"]
    url, arn = queue(mail, "exact-news.fifo", **FIFO)
    plain_url, plain_arn = queue(mail, "exact-plain")
    subscribed(sns, topic, arn, RawMessageDelivery="true")
    subscribed(sns, topic, plain_arn, RawMessageDelivery="true")
    numbers = []
    for number in range(20):
        answers = [sns.publish(TopicArn=topic, Message=str(number), MessageGroupId=f"g{number % 2}") for _ in range(2)]
        assert answers[0]["MessageId"] == answers[1]["MessageId"], "the second is the first"
        numbers.append(answers[0]["SequenceNumber"])
    assert numbers == sorted(set(numbers))
    got = received(mail, url, 20)
    for group in ("g0", "g1"):
        own = [int(m["Body"]) for m in got if m["Attributes"]["MessageGroupId"] == group]
        assert own == sorted(own) and len(own) == 10
    received(mail, plain_url, 20)


def test_batches_and_dead_letters(sns, mail):
    topic = sns.create_topic(Name="batched")["TopicArn"]
    url, arn = queue(mail, "batched")
    dead_url, dead_arn = queue(mail, "batched-dead")
    subscribed(sns, topic, arn, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}))
    entries = [{"Id": str(n), "Message": f"m{n}"} for n in range(9)] + [{"Id": "bad", "Message": "x", "Subject": "a\nb"}]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [one["Id"] for one in answer["Successful"]] == [str(n) for n in range(9)]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]] == [("bad", "InvalidParameter", True)]
    bodies = [json.loads(message["Body"])["Message"] for message in received(mail, url, 9)]
    assert sorted(bodies) == [f"m{n}" for n in range(9)]
    mail.delete_queue(QueueUrl=url)
    sns.publish(TopicArn=topic, Message="orphan")
    [letter] = received(mail, dead_url, 1)
    assert json.loads(letter["Body"])["Message"] == "orphan"
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "the queue does not exist"


def test_topics_say_what_is_wrong(cloud, sns, mail):
    topic = sns.create_topic(Name="picky")["TopicArn"]
    fifo = sns.create_topic(Name="picky.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    _, arn = queue(mail, "picky")
    _, fifo_arn = queue(mail, "picky.fifo", **FIFO)
    subscription = subscribed(sns, topic, arn)

    def refused(code, message, call, **input):
        with pytest.raises(ClientError) as caught:
            call(**input)
        error = caught.value.response["Error"]
        assert (error["Code"], message in error["Message"]) == (code, True), error

    bad = "InvalidParameter"
    refused(bad, "Topic Name", sns.create_topic, Name="a b")
    refused(bad, "must end with .fifo", sns.create_topic, Name="a", Attributes={"FifoTopic": "true"})
    refused(bad, "Empty message", sns.publish, TopicArn=topic, Message="")
    refused(bad, "Message too long", sns.publish, TopicArn=topic, Message="x" * (256 * 1024 + 1))
    refused(bad, "Subject", sns.publish, TopicArn=topic, Message="x", Subject="a\nb")
    refused(bad, "No default entry in JSON message body", sns.publish, TopicArn=topic, Message="{}", MessageStructure="json")
    refused(bad, "JSON message body failed to parse", sns.publish, TopicArn=topic, Message="x", MessageStructure="json")
    refused(bad, "no value for required parameter", sns.publish, Message="x")
    refused(bad, "MessageGroupId parameter is required for FIFO topics", sns.publish, TopicArn=fifo, Message="x")
    refused(bad, "ContentBasedDeduplication", sns.publish, TopicArn=fifo, Message="x", MessageGroupId="g")
    refused(bad, "not valid for this topic type", sns.publish, TopicArn=topic, Message="x", MessageDeduplicationId="d")
    refused("NotFound", "Topic does not exist", sns.publish, TopicArn=topic + "x", Message="x")
    refused("NotFound", "Topic does not exist", sns.get_topic_attributes, TopicArn=topic + "x")
    refused("NotFound", "Subscription does not exist", sns.get_subscription_attributes, SubscriptionArn=subscription[:-4] + "0000")
    refused("ParameterValueInvalid", "set of supported type prefixes", sns.publish, TopicArn=topic, Message="x",
            MessageAttributes={"a": {"DataType": "Odd", "StringValue": "x"}})
    refused(bad, "FIFO SQS Queues can not be subscribed", sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=fifo_arn)
    refused(bad, "does not support this protocol string: pigeon", sns.subscribe, TopicArn=topic, Protocol="pigeon", Endpoint="x")
    refused(bad, "FilterPolicy", sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": "no"})
    refused(bad, "FilterPolicy", sns.set_subscription_attributes, SubscriptionArn=subscription, AttributeName="FilterPolicy",
            AttributeValue=json.dumps({"a": [{"odd": 1}]}))
    refused(bad, "AttributeName", sns.set_subscription_attributes, SubscriptionArn=subscription, AttributeName="Odd", AttributeValue="x")
    refused(bad, "different attributes", sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    refused(bad, "no section [sms]", sns.subscribe, TopicArn=topic, Protocol="sms", Endpoint="+49")
    refused("EmptyBatchRequest", "", sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=[])
    entries = [{"Id": "same", "Message": "x"}] * 2
    refused("BatchEntryIdsNotDistinct", "same Id", sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries)
    entries = [{"Id": str(n), "Message": "x" * 30_000} for n in range(10)]
    refused("BatchRequestTooLong", "", sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=entries)

    sns.add_permission(TopicArn=topic, Label="l", AWSAccountId=["111111111111"], ActionName=["Publish"])
    policy = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["__default_statement_ID", "l"]
    sns.remove_permission(TopicArn=topic, Label="l")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="Picky")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == "Picky"


def test_topics_hear_of_objects_and_invocations(cloud, sns, mail, objects, functions):
    topic = sns.create_topic(Name="heard-news")["TopicArn"]
    url, arn = queue(mail, "heard-news")
    subscribed(sns, topic, arn)
    objects.create_bucket(Bucket="heard-news")
    wanted = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
    objects.put_bucket_notification_configuration(Bucket="heard-news", NotificationConfiguration=wanted)
    shown = objects.get_bucket_notification_configuration(Bucket="heard-news")
    assert shown["TopicConfigurations"][0]["TopicArn"] == topic
    [test] = received(mail, url, 1)
    assert json.loads(json.loads(test["Body"])["Message"])["Event"] == "s3:TestEvent"
    objects.put_object(Bucket="heard-news", Key="k", Body=b"x")
    envelope = json.loads(received(mail, url, 1)[0]["Body"])
    assert envelope["Subject"] == "Amazon S3 Notification"
    assert json.loads(envelope["Message"])["Records"][0]["s3"]["object"]["key"] == "k"
    mayfly.create(functions, "heard-news", {"app.py": "def handler(e, c):\n    raise ValueError('no')\n"},
                  DeadLetterConfig={"TargetArn": topic})
    functions.put_function_event_invoke_config(FunctionName="heard-news", MaximumRetryAttempts=0,
                                               DestinationConfig={"OnFailure": {"Destination": topic}})
    functions.invoke(FunctionName="heard-news", InvocationType="Event", Payload=json.dumps({"n": 7}))
    bodies = [json.loads(json.loads(message["Body"])["Message"]) for message in received(mail, url, 2)]
    assert {"n": 7} in bodies
    assert next(b for b in bodies if "requestContext" in b)["requestContext"]["condition"] == "RetriesExhausted"


def test_rules_and_schedules_publish(cloud, sns, mail):
    topic = sns.create_topic(Name="targeted")["TopicArn"]
    url, arn = queue(mail, "targeted")
    subscribed(sns, topic, arn, RawMessageDelivery="true")
    events, scheduler = cloud.client("events"), cloud.client("scheduler")
    events.put_rule(Name="targeted", EventPattern=json.dumps({"source": ["topics.test"]}))
    events.put_targets(Rule="targeted", Targets=[{"Id": "1", "Arn": topic, "InputPath": "$.detail"}])
    events.put_events(Entries=[{"Source": "topics.test", "DetailType": "t", "Detail": json.dumps({"from": "rule"})}])
    assert json.loads(received(mail, url, 1)[0]["Body"]) == {"from": "rule"}
    target = {"Arn": topic, "RoleArn": mayfly.ROLE, "Input": "from a schedule"}
    # A time that is over when it comes to the server is refused.
    soon = mayfly.in_seconds(5)
    scheduler.create_schedule(Name="targeted", ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})", Target=target,
                              FlexibleTimeWindow={"Mode": "OFF"}, ActionAfterCompletion="DELETE")
    assert received(mail, url, 1)[0]["Body"] == "from a schedule"


def test_a_web_endpoint_confirms_and_is_told(sns, endpoint):
    topic = sns.create_topic(Name="hooked")["TopicArn"]
    answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    assert answer["SubscriptionArn"] == "pending confirmation"
    sns.publish(TopicArn=topic, Message="too early")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "1"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{sns.meta.endpoint_url}/?Action=ConfirmSubscription&TopicArn={topic}&Token=guess")
    assert refused.value.code == 400
    asked, answer = confirm(endpoint)
    assert asked["Type"] == "SubscriptionConfirmation" and asked["TopicArn"] == topic and asked["Token"] in asked["SubscribeURL"]
    [subscription] = [one["SubscriptionArn"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]
    assert subscription in answer
    sent = sns.publish(TopicArn=topic, Message="now", Subject="s")
    [(headers, body)] = mayfly.until(lambda: endpoint.of("Notification"))
    assert headers["x-amz-sns-topic-arn"] == topic and headers["x-amz-sns-subscription-arn"] == subscription
    assert headers["x-amz-sns-message-id"] == sent["MessageId"] == json.loads(body)["MessageId"]
    assert (json.loads(body)["Message"], json.loads(body)["Subject"]) == ("now", "s")
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true")
    sns.publish(TopicArn=topic, Message="as it is")
    headers, body = mayfly.until(lambda: endpoint.of("Notification")[1:])[0]
    assert headers["x-amz-sns-rawdelivery"] == "true" and body == "as it is"
    urllib.request.urlopen(json.loads(endpoint.of("Notification")[0][1])["UnsubscribeURL"]).read()
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_a_web_endpoint_that_fails_is_asked_again_and_then_left(sns, mail, endpoint):
    topic = sns.create_topic(Name="unlucky")["TopicArn"]
    dead_url, dead_arn = queue(mail, "unlucky-dead")
    retries = {"numRetries": 2, "numNoDelayRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(), Attributes={
        "DeliveryPolicy": json.dumps({"healthyRetryPolicy": retries}),
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn})})
    confirm(endpoint)
    endpoint.answers = [500, 503]
    sns.publish(TopicArn=topic, Message="third time lucky")
    mayfly.until(lambda: len(endpoint.of("Notification")) == 3)
    endpoint.answers = [500, 500, 500]
    sns.publish(TopicArn=topic, Message="never")
    [letter] = received(mail, dead_url, 1)
    assert json.loads(letter["Body"])["Message"] == "never"
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"].startswith("500")
    endpoint.answers = [403]
    sns.publish(TopicArn=topic, Message="not wanted")
    [letter] = received(mail, dead_url, 1)
    assert json.loads(letter["Body"])["Message"] == "not wanted" and len(endpoint.of("Notification")) == 7


def test_a_stuck_endpoint_makes_no_other_wait(sns, endpoint):
    topic = sns.create_topic(Name="stuck")["TopicArn"]
    for path in ("/quick", "/other"):
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(path))
        confirm(endpoint, path)
    stuck = sns.create_topic(Name="stuck-too")["TopicArn"]
    sns.subscribe(TopicArn=stuck, Protocol="http", Endpoint=endpoint.url("/stuck"))
    for number in range(100):
        sns.publish(TopicArn=topic, Message=str(number))
    for path in ("/quick", "/other"):
        mayfly.until(lambda: {json.loads(body)["Message"] for _, body in endpoint.of("Notification", path)} == set(map(str, range(100))))
    assert not endpoint.of("SubscriptionConfirmation", "/stuck")


def test_a_mapping_filters_and_deletes_what_nobody_wants(mail, functions, logs):
    url, arn = queue(mail, "sieve")
    keeps(functions, "sieve")
    criteria = {"Filters": [{"Pattern": json.dumps({"body": {"n": [{"numeric": [">", 5]}]}})}]}
    uuid = mapped(functions, "sieve", arn, FilterCriteria=criteria)
    assert functions.get_event_source_mapping(UUID=uuid)["FilterCriteria"] == criteria
    for number in range(10):
        mail.send_message(QueueUrl=url, MessageBody=json.dumps({"n": number}))
    mail.send_message(QueueUrl=url, MessageBody="no JSON")

    def seen():
        return sorted(json.loads(record["body"])["n"] for batch in batches(logs, "sieve") for record in batch["Records"])

    mayfly.until(lambda: seen() == [6, 7, 8, 9])
    figures = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    mayfly.until(lambda: set(mail.get_queue_attributes(QueueUrl=url, AttributeNames=figures)["Attributes"].values()) == {"0"})
    with pytest.raises(functions.exceptions.InvalidParameterValueException, match="Invalid filter pattern definition"):
        functions.update_event_source_mapping(UUID=uuid, FilterCriteria={"Filters": [{"Pattern": "{"}]})
    functions.delete_event_source_mapping(UUID=uuid)


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  News: {Type: AWS::SNS::Topic, Properties: {TopicName: deployed-news, DisplayName: NAME, Tags: [{Key: team, Value: a}]}}
  Order: {Type: AWS::SNS::Topic, Properties: {FifoTopic: true}}
  Inbox: {Type: AWS::SQS::Queue, Properties: {QueueName: deployed-inbox}}
  Wants:
    Type: AWS::SNS::Subscription
    Properties:
      TopicArn: !Ref News
      Protocol: sqs
      Endpoint: !GetAtt Inbox.Arn
      RawMessageDelivery: true
      FilterPolicy: {kind: [KIND]}
  Reader:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deployed-reader
      Runtime: python3.11
      Handler: app.handler
      CodeUri: ./code
      Events:
        News: {Type: SNS, Properties: {Topic: !Ref News}}
  Detoured:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deployed-detoured
      Runtime: python3.11
      Handler: app.handler
      CodeUri: ./code
      Events:
        News: {Type: SNS, Properties: {Topic: !Ref News, SqsSubscription: true, FilterPolicy: {kind: [a]}}}
        Own:
          Type: SNS
          Properties:
            Topic: !Ref News
            FilterPolicy: {kind: [c]}
            SqsSubscription: {QueueArn: !GetAtt Between.Arn, QueueUrl: !Ref Between, BatchSize: 1}
  Between: {Type: AWS::SQS::Queue, Properties: {QueueName: deployed-between}}
  Photos:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: deployed-news-photos
      NotificationConfiguration:
        TopicConfigurations:
          - {Event: "s3:ObjectCreated:*", Topic: !Ref News, Filter: {S3Key: {Rules: [{Name: suffix, Value: .jpg}]}}}
        QueueConfigurations:
          - {Event: "s3:ObjectCreated:*", Queue: !GetAtt Inbox.Arn, Filter: {S3Key: {Rules: [{Name: suffix, Value: .txt}]}}}
"""


def test_topics_are_deployed_and_published_to_by_hand(cloud, sns, mail, functions, logs, objects, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(KEEPS)

    def deploy(name, kind):
        (tmp_path / "template.yaml").write_text(TEMPLATE.replace("NAME", name).replace("KIND", kind))
        cloud.run("deploy", tmp_path / "template.yaml", "--stack", "newsy", "--yes")

    deploy("One", "a")
    url = mail.get_queue_url(QueueName="deployed-inbox")["QueueUrl"]
    [test] = received(mail, url, 1)
    assert json.loads(test["Body"])["Event"] == "s3:TestEvent"
    cloud.run("publish", "deployed-news", "for b", "--attribute", "kind=b")
    answer = json.loads(cloud.run("publish", "deployed-news", "for a", "--attribute", "kind=a", "--subject", "s").stdout)
    assert [message["Body"] for message in received(mail, url, 1)] == ["for a"]
    mayfly.until(lambda: answer["MessageId"] in [e["Records"][0]["Sns"]["MessageId"] for e in batches(logs, "deployed-reader")])
    topic = next(one["TopicArn"] for one in sns.list_topics()["Topics"] if one["TopicArn"].endswith(":deployed-news"))

    def detoured():
        records = [record for batch in batches(logs, "deployed-detoured") for record in batch["Records"]]
        return sorted(json.loads(record["body"])["Message"] for record in records)

    cloud.run("publish", "deployed-news", "for c", "--attribute", "kind=c")
    mayfly.until(lambda: detoured() == ["for a", "for c"])
    objects.put_object(Bucket="deployed-news-photos", Key="a.txt", Body=b"x")
    [told] = received(mail, url, 1)
    assert json.loads(told["Body"])["Records"][0]["s3"]["object"]["key"] == "a.txt"
    objects.put_object(Bucket="deployed-news-photos", Key="a.jpg", Body=b"x")
    mayfly.until(lambda: any("a.jpg" in e["Records"][0]["Sns"]["Message"] for e in batches(logs, "deployed-reader")))
    deploy("Two", "b")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == "Two"
    cloud.run("publish", topic, "for b", "--attribute", "kind=b")
    assert [message["Body"] for message in received(mail, url, 1)] == ["for b"]
    cloud.run("delete", "--stack", "newsy", "--yes", "--force")
    assert "newsy" not in json.dumps(sns.list_topics()["Topics"])
