"""Event source mappings: queues whose messages are brought to functions."""

import json

import pytest
from botocore.exceptions import ClientError

import mayfly
from endpoints import confirm

FIFO = {"FifoQueue": "true"}
# Prints what it was given, for the log.
KEEPS = """
import json

def handler(event, context):
    print("BATCH " + json.dumps(event))
"""


@pytest.fixture(scope="session")
def sqs(cloud):
    return cloud.client("sqs")


def keeps(functions, name, **more):
    """A function that prints what it is given. If it ran out of time, it would be given the same again."""
    return mayfly.create(functions, name, {"app.py": KEEPS}, Timeout=30, **more)["FunctionArn"]


def queue(sqs, name, **attributes):
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, arn_of(sqs, url)


def arn_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def enabled(functions, uuid, state="Enabled"):
    return mayfly.until(lambda: (m := functions.get_event_source_mapping(UUID=uuid))["State"] == state and m)


def mapped(functions, function, source, **settings):
    uuid = functions.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **settings)["UUID"]
    enabled(functions, uuid)
    return uuid


def batches(logs, function):
    """The events that a function has printed, in the order of printing."""
    return [json.loads(line.split("BATCH ", 1)[1]) for line in mayfly.logged(logs, function) if "BATCH " in line]


def bodies(logs, function):
    return [record["body"] for batch in batches(logs, function) for record in batch["Records"]]


def left(sqs, url):
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(shown["ApproximateNumberOfMessages"]) + int(shown["ApproximateNumberOfMessagesNotVisible"])


def test_a_queue_is_brought_to_its_function(functions, sqs, logs):
    url, arn = queue(sqs, "mapped")
    function = keeps(functions, "mapped")
    made = functions.create_event_source_mapping(FunctionName="mapped", EventSourceArn=arn, BatchSize=5)
    assert made["State"] == "Creating" and made["FunctionArn"] == function and made["BatchSize"] == 5
    assert made["MaximumBatchingWindowInSeconds"] == 0 and made["FunctionResponseTypes"] == []
    assert made["EventSourceMappingArn"].endswith(":event-source-mapping:" + made["UUID"])
    enabled(functions, made["UUID"])
    value = {"StringValue": "7", "DataType": "Number"}
    sent = sqs.send_message(QueueUrl=url, MessageBody="hello", MessageAttributes={
        "n": value, "b": {"BinaryValue": b"\x00", "DataType": "Binary"}})
    [event] = mayfly.until(lambda: batches(logs, "mapped"))
    [record] = event["Records"]
    assert record["messageId"] == sent["MessageId"] and record["body"] == "hello"
    assert record["md5OfBody"] == sent["MD5OfMessageBody"]
    assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert record["eventSource"] == "aws:sqs" and record["eventSourceARN"] == arn and record["awsRegion"] == "us-east-1"
    assert record["attributes"].keys() == {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
    assert record["attributes"]["ApproximateReceiveCount"] == "1" and record["receiptHandle"]
    lists = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "n": {"stringValue": "7", "dataType": "Number", **lists}, "b": {"binaryValue": "AA==", "dataType": "Binary", **lists}}
    mayfly.until(lambda: left(sqs, url) == 0)
    for start in range(0, 40, 10):
        entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(start, start + 10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    mayfly.until(lambda: len(bodies(logs, "mapped")) == 41)
    assert max(len(batch["Records"]) for batch in batches(logs, "mapped")) <= 5
    mayfly.until(lambda: left(sqs, url) == 0)
    assert len(set(bodies(logs, "mapped"))) == 41, "each once"
    assert functions.delete_event_source_mapping(UUID=made["UUID"])["State"] == "Deleting"

    def gone():
        try:
            functions.get_event_source_mapping(UUID=made["UUID"])
        except functions.exceptions.ResourceNotFoundException:
            return True

    mayfly.until(gone)


REPORTS = """
import json

def handler(event, context):
    print("BATCH " + json.dumps(event))
    bad = [r["messageId"] for r in event["Records"] if r["body"].startswith("bad")]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""


def test_only_what_was_reported_comes_back_and_poison_dies(functions, sqs, logs):
    dead, dead_arn = queue(sqs, "reported-dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    # What fails comes back after this time; so does what is in hand, if the machine stands still for so long.
    url, arn = queue(sqs, "reported", VisibilityTimeout="6", RedrivePolicy=redrive)
    mayfly.create(functions, "reported", {"app.py": REPORTS}, Timeout=6)
    mapped(functions, "reported", arn, BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"])
    entries = [{"Id": str(n), "MessageBody": "bad" if n == 3 else f"good{n}"} for n in range(10)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    got = mayfly.until(lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=10, AttributeNames=["All"]).get("Messages"))
    assert [message["Body"] for message in got] == ["bad"]
    assert got[0]["Attributes"]["DeadLetterQueueSourceArn"] == arn
    seen = mayfly.until(lambda: len(found := bodies(logs, "reported")) == 11 and found)
    assert seen.count("bad") == 2 and len(set(seen)) == 10, "the rest was not seen again"
    assert left(sqs, url) == 0


SLOW = """
import json, time

def handler(event, context):
    print("BATCH " + json.dumps({"Records": event["Records"], "at": time.time()}))
    time.sleep(0.3)
    print("BATCH " + json.dumps({"Records": [], "of": context.aws_request_id, "at": time.time(),
                                 "groups": [r["attributes"]["MessageGroupId"] for r in event["Records"]]}))
"""


def test_fifo_groups_keep_their_order_and_never_run_twice_at_once(functions, sqs, logs):
    url, arn = queue(sqs, "ordered-map.fifo", **FIFO, ContentBasedDeduplication="true")
    mayfly.create(functions, "ordered-map", {"app.py": SLOW}, Timeout=30)
    uuid = mapped(functions, "ordered-map", arn, BatchSize=2)
    for number in range(24):
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId=f"g{number % 3}")
    mayfly.until(lambda: len(bodies(logs, "ordered-map")) == 24)
    mayfly.until(lambda: left(sqs, url) == 0)
    spans = {}
    events = mayfly.until(lambda: len(found := batches(logs, "ordered-map")) % 2 == 0 and found)
    for event in events:
        for record in event["Records"]:
            group = spans.setdefault(record["attributes"]["MessageGroupId"], [])
            group.append((event["at"], int(record["body"])))
    ends = {}
    for event in events:
        for group in set(event.get("groups", [])):
            ends.setdefault(group, []).append(event["at"])
    for group, began in spans.items():
        began.sort(key=lambda pair: pair[0])
        assert [number for _, number in began] == sorted(number for _, number in began), group
        starts = sorted({at for at, _ in began})
        for start, end in zip(starts[1:], sorted(ends[group])):
            assert end <= start, "the next began when the one before had ended"
    record = events[0]["Records"][0]
    assert {"MessageGroupId", "MessageDeduplicationId", "SequenceNumber"} <= record["attributes"].keys()
    functions.delete_event_source_mapping(UUID=uuid)


def test_a_window_gathers_and_a_pause_holds_back(functions, sqs, logs):
    # A window ends after half of the visibility timeout at the latest.
    url, arn = queue(sqs, "gathered", VisibilityTimeout="900")
    keeps(functions, "gathered")
    uuid = mapped(functions, "gathered", arn, BatchSize=30, MaximumBatchingWindowInSeconds=300,
                  ScalingConfig={"MaximumConcurrency": 2})
    for number in range(30):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    mayfly.until(lambda: len(bodies(logs, "gathered")) == 30)
    assert len(batches(logs, "gathered")) == 1, "gathered until it was full, however long that took"
    changed = functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    assert changed["State"] == "Disabling" and changed["ScalingConfig"] == {"MaximumConcurrency": 2}
    enabled(functions, uuid, "Disabled")
    sqs.send_message(QueueUrl=url, MessageBody="later")
    assert left(sqs, url) == 1
    assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"][0]["Body"] == "later", "nobody took it"
    changed = functions.update_event_source_mapping(UUID=uuid, Enabled=True, MaximumBatchingWindowInSeconds=2)
    assert changed["State"] == "Enabling"
    mayfly.until(lambda: "later" in bodies(logs, "gathered"))
    enabled(functions, uuid)
    changed = functions.update_event_source_mapping(UUID=uuid, MaximumBatchingWindowInSeconds=0, BatchSize=1)
    assert (changed["MaximumBatchingWindowInSeconds"], changed["BatchSize"]) == (0, 1)
    enabled(functions, uuid)
    sqs.send_message(QueueUrl=url, MessageBody="alone")
    mayfly.until(lambda: "alone" in bodies(logs, "gathered"))
    functions.delete_event_source_mapping(UUID=uuid)


def test_a_throttled_function_loses_nothing_and_a_deleted_one_takes_nothing(functions, sqs, logs):
    url, arn = queue(sqs, "throttled", VisibilityTimeout="4")
    mayfly.create(functions, "throttled", {"app.py": KEEPS})
    functions.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    uuid = mapped(functions, "throttled", arn)
    sqs.send_message(QueueUrl=url, MessageBody="patient")
    mayfly.until(lambda: left(sqs, url) == 1 and "Messages" not in sqs.receive_message(QueueUrl=url, VisibilityTimeout=0))
    functions.delete_function_concurrency(FunctionName="throttled")
    mayfly.until(lambda: bodies(logs, "throttled") == ["patient"])
    mayfly.until(lambda: left(sqs, url) == 0)

    functions.delete_function(FunctionName="throttled")
    sqs.send_message(QueueUrl=url, MessageBody="orphan")
    got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, VisibilityTimeout=0, AttributeNames=["All"])["Messages"][0]
    assert got["Attributes"]["ApproximateReceiveCount"] == "1", "no receive was wasted on a function that is not there"
    assert functions.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    mayfly.create(functions, "throttled", {"app.py": KEEPS})
    mayfly.until(lambda: "orphan" in bodies(logs, "throttled"))
    functions.delete_event_source_mapping(UUID=uuid)


def test_mappings_are_checked_listed_and_tagged(cloud, functions, sqs):
    unchecked = cloud.client("lambda", parameter_validation=False)
    url, arn = queue(sqs, "checked")
    fifo, fifo_arn = queue(sqs, "checked.fifo", **FIFO)
    mayfly.create(functions, "checked", {"app.py": KEEPS})
    mayfly.create(functions, "checked-slow", {"app.py": KEEPS}, Timeout=60)

    def refused(code, message, **input):
        input = {"FunctionName": "checked", "EventSourceArn": arn, **input}
        with pytest.raises(ClientError) as caught:
            unchecked.create_event_source_mapping(**{name: value for name, value in input.items() if value is not None})
        error = caught.value.response["Error"]
        assert (error["Code"], message in error["Message"]) == (code, True), error

    bad = "InvalidParameterValueException"
    refused(bad, "Function does not exist", FunctionName="ghost")
    refused(bad, "Function does not exist", FunctionName="checked:ghost")
    refused(bad, "AWS.SimpleQueueService.NonExistentQueue", EventSourceArn=arn.replace("checked", "ghost"))
    refused(bad, "Unrecognized event source", EventSourceArn=None)
    refused(bad, "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds", FunctionName="checked-slow")
    refused(bad, "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10", BatchSize=11)
    refused(bad, "FIFO", EventSourceArn=fifo_arn, MaximumBatchingWindowInSeconds=1)
    refused(bad, "FIFO", EventSourceArn=fifo_arn, BatchSize=11)
    refused(bad, "StartingPosition is not valid for SQS event sources.", StartingPosition="LATEST")
    refused("ValidationException", "greater than or equal to 2", ScalingConfig={"MaximumConcurrency": 1})
    refused("ValidationException", "less than or equal to 10000", BatchSize=10_001)
    refused("ValidationException", "less than or equal to 300", MaximumBatchingWindowInSeconds=301)
    refused("NotImplemented", "kinesis", EventSourceArn="arn:aws:kinesis:us-east-1:000000000000:stream/s")

    made = functions.create_event_source_mapping(FunctionName="checked", EventSourceArn=arn, Enabled=False, Tags={"a": "1"})
    uuid = made["UUID"]
    enabled(functions, uuid, "Disabled")
    refused("ResourceConflictException", f"already exists. Please update or delete the existing mapping with UUID {uuid}")
    other = functions.create_event_source_mapping(FunctionName="checked", EventSourceArn=fifo_arn, Enabled=False)["UUID"]
    listed = functions.list_event_source_mappings(FunctionName="checked")["EventSourceMappings"]
    assert {mapping["UUID"] for mapping in listed} == {uuid, other}
    listed = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
    assert [mapping["UUID"] for mapping in listed] == [uuid]
    first = functions.list_event_source_mappings(FunctionName="checked", MaxItems=1)
    second = functions.list_event_source_mappings(FunctionName="checked", MaxItems=1, Marker=first["NextMarker"])
    assert {page["EventSourceMappings"][0]["UUID"] for page in (first, second)} == {uuid, other}
    functions.tag_resource(Resource=made["EventSourceMappingArn"], Tags={"b": "2"})
    assert functions.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"a": "1", "b": "2"}
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.update_event_source_mapping(UUID=uuid[:-4] + "0000", BatchSize=1)
    for one in (uuid, other):
        functions.delete_event_source_mapping(UUID=one)


TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: deployed-jobs}}
  More: {Type: AWS::SQS::Queue, Properties: {QueueName: deployed-more}}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: deployed-worker
      Runtime: python3.11
      Handler: app.handler
      CodeUri: ./code
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: BATCH, FunctionResponseTypes: [ReportBatchItemFailures]}
  Plain:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Worker
      EventSourceArn: !GetAtt More.Arn
      ScalingConfig: {MaximumConcurrency: 3}
Outputs:
  Mapping: {Value: !GetAtt Plain.Id}
"""


def test_mappings_are_deployed(cloud, functions, sqs, logs, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text(KEEPS)

    def deploy(batch):
        (tmp_path / "template.yaml").write_text(TEMPLATE.replace("BATCH", batch))
        cloud.run("deploy", tmp_path / "template.yaml", "--stack", "mapped", "--yes")

    deploy("3")
    for name in ("deployed-jobs", "deployed-more"):
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody=name)
    mayfly.until(lambda: sorted(bodies(logs, "deployed-worker")) == ["deployed-jobs", "deployed-more"])
    deploy("4")
    listed = functions.list_event_source_mappings(FunctionName="deployed-worker")["EventSourceMappings"]
    shown = {mapping["EventSourceArn"].split(":")[-1]: mapping for mapping in listed}
    assert shown["deployed-jobs"]["BatchSize"] == 4
    assert shown["deployed-jobs"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert shown["deployed-more"]["ScalingConfig"] == {"MaximumConcurrency": 3}
    cloud.run("delete", "--stack", "mapped", "--yes")
    mayfly.until(lambda: not functions.list_event_source_mappings(FunctionName="deployed-worker")["EventSourceMappings"])


# Sends what it was given to another queue, by the credentials and the endpoint of its environment; without an SDK.
COPIES = """
import datetime, hashlib, hmac, http.client, json, os, socket, urllib.parse

def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

def call(target, body):
    env = os.environ
    url = urllib.parse.urlsplit(env["AWS_ENDPOINT_URL"])
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    day, region, body = now[:8], env["AWS_REGION"], json.dumps(body)
    headers = {"host": url.netloc, "x-amz-date": now, "x-amz-security-token": env["AWS_SESSION_TOKEN"],
               "x-amz-target": "AmazonSQS." + target}
    names = ";".join(sorted(headers))
    canonical = "POST\\n/\\n\\n" + "".join(f"{n}:{headers[n]}\\n" for n in sorted(headers))
    canonical += "\\n" + names + "\\n" + hashlib.sha256(body.encode()).hexdigest()
    scope = f"{day}/{region}/sqs/aws4_request"
    text = f"AWS4-HMAC-SHA256\\n{now}\\n{scope}\\n" + hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + env["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (day, region, "sqs", "aws4_request"):
        key = sign(key, part)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={env['AWS_ACCESS_KEY_ID']}/{scope}, "
                                f"SignedHeaders={names}, Signature={signature}")
    headers["content-type"] = "application/x-amz-json-1.0"
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return json.loads(text)

def handler(event, context):
    entries = [{"Id": str(n), "MessageBody": r["body"], "MessageGroupId": "g"} for n, r in enumerate(event["Records"])]
    call("SendMessageBatch", {"QueueUrl": os.environ["SEEN"], "Entries": entries})
"""


def test_kill_9_under_mixed_load_loses_no_message(endpoint):
    """Publishers and senders work while the server is killed again and again, which brings what they send to queues,
    functions and a web endpoint. Each function copies what it was given to a queue of its own before its answer, so that
    queue tells what was handed over, whatever became of the answer."""
    with mayfly.server() as running:
        aws, lambdas, topics = running.client("sqs"), running.client("lambda"), running.client("sns")
        topic = topics.create_topic(Name="kills")["TopicArn"]
        topic_fifo = topics.create_topic(Name="kills.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
        urls, seen_urls = {}, {}
        for name, attributes in {"direct": {}, "direct.fifo": FIFO, "told": {}, "told.fifo": FIFO}.items():
            function = name.replace(".", "-")
            urls[name], arn = queue(aws, name, VisibilityTimeout="3", **attributes)
            seen_urls[name], _ = queue(aws, f"seen-{function}.fifo", **FIFO, ContentBasedDeduplication="true")
            if name.startswith("told"):
                topics.subscribe(TopicArn=topic_fifo if "fifo" in name else topic, Protocol="sqs", Endpoint=arn,
                                 Attributes={"RawMessageDelivery": "true"})
            mayfly.create(lambdas, function, {"app.py": COPIES}, Environment={"Variables": {"SEEN": seen_urls[name]}})
            mapped(lambdas, function, arn)
        topics.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(), Attributes={"RawMessageDelivery": "true"})
        confirm(endpoint)

        def way(name):
            client = topics if name.startswith("told") else aws

            def send(key, number):
                fifo = {"MessageGroupId": "g", "MessageDeduplicationId": key} if name.endswith("fifo") else {}
                if client is topics:
                    client.publish(TopicArn=topic_fifo if fifo else topic, Message=key, **fifo)
                else:
                    client.send_message(QueueUrl=urls[name], MessageBody=key, **fifo)

            return send

        ways = {name: way(name) for name in urls}
        acknowledged = mayfly.kill_rounds(running, 3, ways, workers=1, at_least=20)
        for name, url in urls.items():
            mayfly.until(lambda: left(aws, url) == 0, seconds=300)
            seen = []
            while got := aws.receive_message(QueueUrl=seen_urls[name], MaxNumberOfMessages=10).get("Messages"):
                seen += [message["Body"] for message in got]
                entries = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(got)]
                aws.delete_message_batch(QueueUrl=seen_urls[name], Entries=entries)
            assert set(acknowledged[name]) <= set(seen), f"{name}: lost"
            if name.endswith("fifo"):
                numbers = [tuple(map(int, key.split("-"))) for key in seen]
                assert numbers == sorted(numbers), f"{name}: out of order"
        mayfly.until(lambda: set(acknowledged["told"]) <= {body for _, body in endpoint.of("Notification")})
