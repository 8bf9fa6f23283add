"""Queues through the SDK, through forms as older SDKs write them, and through kill -9."""

import concurrent.futures
import hashlib
import json
import os
import socket
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

import mayfly

ROUNDS = int(os.environ.get("MAYFLY_KILL_ROUNDS", "10"))
BROKEN = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
FIFO = {"FifoQueue": "true"}


@pytest.fixture(scope="module")
def queues(cloud):
    return cloud.client("sqs")


def create(sqs, name, **attributes):
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def drain(sqs, url, wait=0):
    """Receives and deletes until the queue is empty; the bodies in order."""
    bodies = []
    while True:
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait).get("Messages", [])
        if not got:
            return bodies
        bodies += [message["Body"] for message in got]
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
        assert not sqs.delete_message_batch(QueueUrl=url, Entries=entries).get("Failed")


def test_a_message_makes_its_whole_way(queues):
    """The SDK checks the MD5 of every body and of every attribute by itself."""
    url = create(queues, "way", VisibilityTimeout="1")
    attributes = {
        "number": {"DataType": "Number", "StringValue": "7"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "text": {"DataType": "String.de", "StringValue": "für"},
    }
    sent = queues.send_message(QueueUrl=url, MessageBody="für dich \U0001f600", MessageAttributes=attributes)
    got = queues.receive_message(QueueUrl=url, MessageAttributeNames=["All"], AttributeNames=["All"])["Messages"][0]
    assert got["MessageId"] == sent["MessageId"] and got["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert got["MessageAttributes"]["bytes"]["BinaryValue"] == b"\x00\xff"
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    began = time.monotonic()
    again = queues.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]
    assert again["Body"] == got["Body"] and time.monotonic() - began < 15, "woken by the end of its visibility"
    queues.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    large = "x" * (1024 * 1024)
    queues.send_message(QueueUrl=url, MessageBody=large)
    assert drain(queues, url) == [large]


def test_whoever_waits_is_woken_by_what_is_sent(cloud, queues):
    url = create(queues, "woken")
    clients = [cloud.client("sqs") for _ in range(20)]
    numbers = [[str(10 * ten + one) for one in range(10)] for ten in range(2)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        began = time.monotonic()
        waiting = [pool.submit(client.receive_message, QueueUrl=url, WaitTimeSeconds=20) for client in clients]
        for ten in numbers:
            entries = [{"Id": number, "MessageBody": number} for number in ten]
            assert not queues.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")
        bodies = [future.result()["Messages"][0]["Body"] for future in waiting]
    assert sorted(map(int, bodies)) == list(range(20)), "each got one, and no two the same"
    assert time.monotonic() - began < 18, "woken, not timed out"
    began = time.monotonic()
    assert "Messages" not in queues.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert time.monotonic() - began >= 1


def test_a_client_that_hangs_up_takes_nothing(cloud, queues):
    url = create(queues, "hangs-up")
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20})
    request = AWSRequest("POST", cloud.endpoint + "/", data=body, headers={
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ReceiveMessage"})
    key = cloud.key
    SigV4Auth(Credentials(key["access_key_id"], key["secret_access_key"]), "sqs", "us-east-1").add_auth(request)
    host, port = cloud.endpoint.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        client.sendall(f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n{head}\r\n{body}".encode())
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            client.recv(1)
    # The other end is told by the closed connection, which it may hear a moment after us.
    def taken_by_us():
        queues.send_message(QueueUrl=url, MessageBody="x")
        return queues.receive_message(QueueUrl=url).get("Messages")

    mayfly.until(taken_by_us)


def test_fifo_keeps_order_and_sends_once(queues):
    url = create(queues, "order.fifo", **FIFO, ContentBasedDeduplication="true")
    for number in range(30):
        for _ in range(2):
            queues.send_message(QueueUrl=url, MessageBody=f"{number % 3}-{number}", MessageGroupId=str(number % 3))
    bodies = drain(queues, url)
    assert len(bodies) == 30
    for group in "012":
        own = [int(body.split("-")[1]) for body in bodies if body.startswith(group)]
        assert own == sorted(own)


def test_poison_goes_to_the_dead_letters_and_comes_back(queues):
    dead = create(queues, "poison-dead")
    arn = queues.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    url = create(queues, "poison", VisibilityTimeout="0",
                 RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2}))
    queues.send_message(QueueUrl=url, MessageBody="bad")
    assert [len(queues.receive_message(QueueUrl=url).get("Messages", [])) for _ in range(3)] == [1, 1, 0]
    assert queues.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    queues.start_message_move_task(SourceArn=arn)
    mayfly.until(lambda: queues.list_message_move_tasks(SourceArn=arn)["Results"][0]["Status"] == "COMPLETED")
    assert queues.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "bad"


def test_queues_hear_of_objects_and_of_failed_invocations(cloud, queues, objects, functions):
    url = create(queues, "heard")
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    objects.create_bucket(Bucket="heard")
    objects.put_bucket_notification_configuration(Bucket="heard", NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]})
    shown = objects.get_bucket_notification_configuration(Bucket="heard")
    assert shown["QueueConfigurations"][0]["QueueArn"] == arn
    [test] = map(json.loads, drain(queues, url))
    assert (test["Service"], test["Event"], test["Bucket"]) == ("Amazon S3", "s3:TestEvent", "heard")
    assert set(test) == {"Service", "Event", "Time", "Bucket", "RequestId", "HostId"}
    objects.put_bucket_notification_configuration(
        Bucket="heard", NotificationConfiguration={"QueueConfigurations": shown["QueueConfigurations"]},
        SkipDestinationValidation=True)
    objects.put_object(Bucket="heard", Key="a key", Body=b"x")
    [event] = drain(queues, url)
    assert json.loads(event)["Records"][0]["s3"]["object"]["key"] == "a+key"

    mayfly.create(functions, "breaks", {"app.py": "def handler(e, c):\n    raise ValueError(e['n'])\n"},
                  DeadLetterConfig={"TargetArn": arn})
    functions.put_function_event_invoke_config(FunctionName="breaks", MaximumRetryAttempts=0,
                                               DestinationConfig={"OnFailure": {"Destination": arn}})
    functions.invoke(FunctionName="breaks", InvocationType="Event", Payload=json.dumps({"n": 7}))
    bodies = []
    mayfly.until(lambda: bodies.extend(drain(queues, url, wait=5)) or len(bodies) == 2)
    record = next(body for body in map(json.loads, bodies) if "requestContext" in body)
    assert record["requestContext"]["condition"] == "RetriesExhausted" and record["requestPayload"] == {"n": 7}
    assert {"n": 7} in list(map(json.loads, bodies))


TEMPLATE = """
Resources:
  Dead: {Type: AWS::SQS::Queue}
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: deployed-work
      VisibilityTimeout: VISIBILITY
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 1}
      Tags: [{Key: team, Value: TEAM}]
  Ordered:
    Type: AWS::SQS::Queue
    Properties: {FifoQueue: true, ContentBasedDeduplication: true}
  Policy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Work]
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: "*", Action: "sqs:SendMessage", Resource: !GetAtt Work.Arn}]
Outputs:
  Url: {Value: !Ref Work}
"""


def test_queues_are_deployed_and_the_command_line_uses_them(cloud, queues, tmp_path):
    template = tmp_path / "template.yaml"

    def deploy(visibility, team):
        template.write_text(TEMPLATE.replace("VISIBILITY", visibility).replace("TEAM", team))
        return cloud.run("deploy", template, "--stack", "queued", "--yes")

    deploy("0", "a")
    url = queues.get_queue_url(QueueName="deployed-work")["QueueUrl"]
    shown = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert shown["VisibilityTimeout"] == "0" and "Policy" in shown
    assert json.loads(shown["RedrivePolicy"])["maxReceiveCount"] == 1
    assert queues.get_queue_url(QueueName="queued-Ordered.fifo")["QueueUrl"].endswith(".fifo")

    cloud.run("send", "deployed-work", "by hand")
    assert [len(queues.receive_message(QueueUrl=url).get("Messages", [])) for _ in range(2)] == [1, 0]
    listed = json.loads(cloud.run("queues", "queued-Dead", "--json").stdout)["Queues"]
    assert [queue["ApproximateNumberOfMessages"] for queue in listed] == ["1"]
    cloud.run("redrive", "queued-Dead")
    assert queues.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "by hand"

    deploy("7", "b")
    shown = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert shown["VisibilityTimeout"] == "7"
    assert queues.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "b"}
    cloud.run("delete", "--stack", "queued", "--yes")
    with pytest.raises(queues.exceptions.QueueDoesNotExist):
        queues.get_queue_url(QueueName="deployed-work")


class Forms:
    """A client of the query protocol that knows nothing of JSON."""

    def __init__(self, cloud):
        self.cloud, self.http = cloud, URLLib3Session()

    def __call__(self, action, url=None, **params):
        data = urllib.parse.urlencode({"Action": action, "Version": "2012-11-05", **params})
        request = AWSRequest("POST", url or self.cloud.endpoint + "/", data=data, headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
        key = self.cloud.key
        SigV4Auth(Credentials(key["access_key_id"], key["secret_access_key"]), "sqs", "us-east-1").add_auth(request)
        answer = self.http.send(request.prepare())
        root = ElementTree.fromstring(answer.content)
        for element in root.iter():
            element.tag = element.tag.split("}")[-1]
        return answer.status_code, root


def test_older_sdks_write_forms(cloud):
    forms = Forms(cloud)
    status, made = forms("CreateQueue", QueueName="form", **{"Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "0"})
    url = made.findtext("CreateQueueResult/QueueUrl")
    assert status == 200 and url.endswith("/form") and made.findtext("ResponseMetadata/RequestId")
    status, sent = forms("SendMessage", url, MessageBody="a & b")
    assert sent.findtext("SendMessageResult/MD5OfMessageBody") == hashlib.md5(b"a & b").hexdigest()
    status, got = forms("ReceiveMessage", url, **{"AttributeName.1": "All"})
    message = got.find("ReceiveMessageResult/Message")
    assert message.findtext("Body") == "a & b"
    assert "SentTimestamp" in [attribute.findtext("Name") for attribute in message.findall("Attribute")]
    status, _ = forms("DeleteMessage", url, ReceiptHandle=message.findtext("ReceiptHandle"))
    assert status == 200
    status, fault = forms("SendMessage", url.replace("form", "none"), MessageBody="x")
    assert status == 400
    assert fault.findtext("Error/Code") == "AWS.SimpleQueueService.NonExistentQueue"
    assert fault.findtext("Error/Type") == "Sender"


def test_a_fault_has_both_its_names(queues):
    with pytest.raises(queues.exceptions.QueueDoesNotExist) as caught:
        queues.send_message(QueueUrl=create(queues, "gone").replace("gone", "never"), MessageBody="x")
    error = caught.value.response["Error"]
    assert error["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert error["QueryErrorCode"] == "QueueDoesNotExist"


def test_kill_9_under_load_loses_no_message_and_keeps_fifo_exact():
    """Senders and receivers work while the server is killed again and again."""
    with mayfly.server() as running:
        sqs = running.client("sqs")
        urls = {"plain": create(sqs, "plain", VisibilityTimeout="2"), "exact": create(sqs, "exact.fifo", **FIFO, VisibilityTimeout="2")}
        acknowledged, received = {name: [] for name in urls}, {name: [] for name in urls}
        # Whose deletion was under way when the server died: it may have happened though nobody was told.
        deleting, untold = {}, {name: set() for name in urls}

        def send(name, group, round, stop, flowing):
            aws = running.client("sqs")
            for number in range(100_000):
                body = f"{group}-{round * 100_000 + number}"
                fifo = {"MessageGroupId": group, "MessageDeduplicationId": body} if name == "exact" else {}
                try:
                    aws.send_message(QueueUrl=urls[name], MessageBody=body, **fifo)
                except BROKEN:
                    return
                acknowledged[name].append(body)
                if number >= 5:
                    flowing.set()
                if stop.is_set():
                    return

        def receive(name, stop):
            aws = running.client("sqs")
            while not stop.is_set():
                try:
                    take(aws, name)
                except BROKEN:
                    return

        def take(aws, name, wait=0):
            got = aws.receive_message(QueueUrl=urls[name], MaxNumberOfMessages=10, WaitTimeSeconds=wait).get("Messages", [])
            for message in got:
                deleting[name] = message["Body"]
                try:
                    aws.delete_message(QueueUrl=urls[name], ReceiptHandle=message["ReceiptHandle"])
                except aws.exceptions.ClientError as error:
                    # The receipt ran out on a slow machine: the message will come again.
                    assert error.response["Error"]["Code"] == "InvalidParameterValue"
                    continue
                received[name].append(message["Body"])
                deleting[name] = None
            return got

        for round in range(ROUNDS):
            stop, flowing = threading.Event(), {name: threading.Event() for name in urls}
            workers = [threading.Thread(target=send, args=(name, f"{name}{n}", round, stop, flowing[name])) for name in urls for n in range(2)]
            workers += [threading.Thread(target=receive, args=(name, stop)) for name in urls]
            for worker in workers:
                worker.start()
            assert all(event.wait(60) for event in flowing.values()), running.tail()
            running.kill()
            stop.set()
            for worker in workers:
                worker.join()
            for name in urls:
                untold[name].add(deleting.get(name))
            running.start()
        for name in urls:
            while take(sqs, name, wait=3):
                pass
            assert set(acknowledged[name]) - set(received[name]) <= untold[name], name
        exact = received["exact"]
        assert len(exact) == len(set(exact)), "deleted twice"
        for n in range(2):
            own = [int(body.split("-")[1]) for body in exact if body.startswith(f"exact{n}-")]
            assert own == sorted(own)
        counts = sqs.get_queue_attributes(QueueUrl=urls["exact"], AttributeNames=["All"])["Attributes"]
        assert counts["ApproximateNumberOfMessages"] == counts["ApproximateNumberOfMessagesNotVisible"] == "0"
