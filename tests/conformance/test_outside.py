"""Topics and those outside: signed messages, web endpoints with TLS, mail, text messages and push messages."""

import base64
import json
import re
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import mayfly
import tls
from endpoints import Endpoint, Mailbox, confirm
from test_mappings import batches, keeps, queue
from test_topics import mail, received, sns, subscribed  # noqa: F401 (fixtures)

SETUP = """
certificate_authorities = "{authority}"

[limits]
async_retry_seconds = 0
sns_retry_seconds = 0

[smtp]
host = "localhost"
port = {smtp}
username = "mayfly"
password_file = "{folder}/password"
from = "Mayfly <mayfly@example.com>"

[sms]
url = "{sms}"
header_file = "{folder}/header"

[push]
url = "{push}"
"""


class Outside:
    """A server with everything set up, and what it is set up with."""

    def __init__(self, folder):
        self.authority = tls.Authority(folder)
        (folder / "password").write_text("secret\n")
        (folder / "header").write_text("Authorization: Bearer of-sms\n")
        self.web = Endpoint(self.authority.context())
        self.mailbox = Mailbox(self.authority.context())
        self.phones, self.apps = Endpoint(), Endpoint()
        self.config = SETUP.format(authority=self.authority.file, folder=folder, smtp=self.mailbox.port,
                                   sms=self.phones.url(), push=self.apps.url())

    def stop(self):
        for one in (self.web, self.mailbox, self.phones, self.apps):
            one.stop()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    made = Outside(tmp_path_factory.mktemp("outside"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def open_cloud(outside):
    with mayfly.server(outside.config) as running:
        yield running


@pytest.fixture(scope="module")
def topics(open_cloud):
    return open_cloud.client("sns")


@pytest.fixture(scope="module")
def queues(open_cloud):
    return open_cloud.client("sqs")


SIGNED = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    "UnsubscribeConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


def verified(document, version):
    """Checks a document's signature as its reader would, and that a changed one is noticed."""
    assert document["SignatureVersion"] == version
    with urllib.request.urlopen(document["SigningCertURL"]) as answer:
        certificate = x509.load_pem_x509_certificate(answer.read())
    certificate.verify_directly_issued_by(certificate)
    digest = {"1": hashes.SHA1(), "2": hashes.SHA256()}[version]
    signature = base64.b64decode(document["Signature"])

    def check(document):
        names = [name for name in SIGNED[document["Type"]] if name in document]
        text = "".join(f"{name}\n{document[name]}\n" for name in names)
        certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), digest)

    check(document)
    with pytest.raises(InvalidSignature):
        check({**document, "Message": document["Message"] + " "})
    return document


def test_messages_are_signed_by_a_key_that_anyone_can_check(sns, mail, functions, logs, endpoint):
    made = {}
    for version in ("1", "2"):
        topic = sns.create_topic(Name=f"signed-{version}", Attributes={"SignatureVersion": version})["TopicArn"]
        url, arn = queue(mail, f"signed-{version}")
        raw_url, raw_arn = queue(mail, f"signed-raw-{version}")
        subscribed(sns, topic, arn)
        subscribed(sns, topic, raw_arn, RawMessageDelivery="true")
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(f"/{version}"))
        asked, _ = confirm(endpoint, f"/{version}")
        verified(asked, version)
        sns.publish(TopicArn=topic, Message="zwei\nZeilen: für alle", Subject="hello")
        of_queue = verified(json.loads(received(mail, url, 1)[0]["Body"]), version)
        [(_, body)] = mayfly.until(lambda: endpoint.of("Notification", f"/{version}"))
        of_web = verified(json.loads(body), version)
        assert of_web["Signature"] == of_queue["Signature"], "it is signed once for all who read the same"
        assert received(mail, raw_url, 1)[0]["Body"] == "zwei\nZeilen: für alle"
        texts = {"default": "for most", "http": "for the web"}
        sns.publish(TopicArn=topic, Message=json.dumps(texts), MessageStructure="json")
        assert verified(json.loads(received(mail, url, 1)[0]["Body"]), version)["Message"] == "for most"
        _, body = mayfly.until(lambda: endpoint.of("Notification", f"/{version}")[1:])[0]
        assert verified(json.loads(body), version)["Message"] == "for the web"
        made[version] = topic, of_web
    topic, document = made["2"]
    function = keeps(functions, "signs")
    functions.add_permission(FunctionName="signs", StatementId="sns", Action="lambda:InvokeFunction",
                             Principal="sns.amazonaws.com", SourceArn=topic)
    subscribed(sns, topic, function, "lambda")
    sns.publish(TopicArn=topic, Message="for a function")
    [event] = mayfly.until(lambda: batches(logs, "signs"))
    told = event["Records"][0]["Sns"]
    mayfly.until(lambda: len(endpoint.of("Notification", "/2")) == 3)
    verified({**{k: v for k, v in told.items() if v is not None}, "SigningCertURL": told["SigningCertUrl"]}, "2")
    with urllib.request.urlopen(document["UnsubscribeURL"]):
        [(headers, body)] = mayfly.until(lambda: endpoint.of("UnsubscribeConfirmation", "/2"))
    farewell = verified(json.loads(body), "2")
    assert headers["x-amz-sns-subscription-arn"] in document["UnsubscribeURL"]
    with urllib.request.urlopen(farewell["SubscribeURL"]) as answer:
        assert headers["x-amz-sns-subscription-arn"] in answer.read().decode(), "the same subscription as before"
    sns.publish(TopicArn=topic, Message="back again")
    mayfly.until(lambda: len(endpoint.of("Notification", "/2")) == 4)
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(sns.meta.endpoint_url + "/SimpleNotificationService-none.pem")
    assert missing.value.code == 404
    fifo = sns.create_topic(Name="signed.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    url, arn = queue(mail, "signed-fifo.fifo", FifoQueue="true")
    subscribed(sns, fifo, arn)
    sns.publish(TopicArn=fifo, Message="x", MessageGroupId="g", MessageDeduplicationId="d")
    assert "Signature" not in json.loads(received(mail, url, 1)[0]["Body"]), "as at AWS"


def test_a_subscription_may_be_locked_against_links(sns, endpoint):
    topic = sns.create_topic(Name="locked")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url())
    [(_, body)] = mayfly.until(lambda: endpoint.of("SubscriptionConfirmation"))
    asked = json.loads(body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked["SubscribeURL"] + "&AuthenticateOnUnsubscribe=true")
    assert refused.value.code == 400
    arn = sns.confirm_subscription(TopicArn=topic, Token=asked["Token"], AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["ConfirmationWasAuthenticated"] == "true"
    sns.publish(TopicArn=topic, Message="x")
    [(_, body)] = mayfly.until(lambda: endpoint.of("Notification"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(json.loads(body)["UnsubscribeURL"])
    assert refused.value.code == 403
    sns.unsubscribe(SubscriptionArn=arn)
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_an_https_endpoint_is_told_if_its_certificate_is_believed(open_cloud, topics, queues, outside, tmp_path):
    topic = topics.create_topic(Name="over-tls")["TopicArn"]
    topics.subscribe(TopicArn=topic, Protocol="https", Endpoint=outside.web.url())
    confirm(outside.web)
    topics.publish(TopicArn=topic, Message="in secret")
    [(_, body)] = mayfly.until(lambda: outside.web.of("Notification"))
    assert json.loads(body)["Message"] == "in secret"
    dead_url, dead_arn = queue(queues, "over-tls-dead")
    subscription = topics.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]["SubscriptionArn"]
    for name, value in {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn}),
                        "DeliveryPolicy": json.dumps({"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 1}})}.items():
        topics.set_subscription_attributes(SubscriptionArn=subscription, AttributeName=name, AttributeValue=value)
    outside.web.answers = [500, 500]
    topics.publish(TopicArn=topic, Message="in vain")
    [letter] = received(queues, dead_url, 1)
    assert json.loads(letter["Body"])["Message"] == "in vain"
    stranger = Endpoint(tls.Authority(tmp_path).context())
    try:
        once = json.dumps({"healthyRetryPolicy": {"numRetries": 0}})
        topics.subscribe(TopicArn=topic, Protocol="https", Endpoint=stranger.url(), Attributes={"DeliveryPolicy": once})

        def dead():
            return [line for line in open_cloud.run("deliveries").stdout.splitlines() if "certificate" in line]

        mayfly.until(dead)
        assert not stranger.got
    finally:
        stranger.stop()


def test_a_delivery_policy_acts(sns, endpoint):
    def policy(**parts):
        return {"DeliveryPolicy": json.dumps(parts)}

    topic = sns.create_topic(Name="paced")["TopicArn"]
    arn = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url(), ReturnSubscriptionArn=True, Attributes=policy(
        throttlePolicy={"maxReceivesPerSecond": 10}, requestPolicy={"headerContentType": "application/json"}))["SubscriptionArn"]
    confirm(endpoint)
    began = time.monotonic()
    for number in range(8):
        sns.publish(TopicArn=topic, Message=str(number))
    got = mayfly.until(lambda: len(endpoint.of("Notification")) == 8 and endpoint.of("Notification"))
    assert {headers["content-type"] for headers, _ in got} == {"application/json"}
    # Seven pauses of a tenth of a second, and whatever is late comes later.
    assert endpoint.times[-1] - began > 0.69
    holds = json.loads(sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["EffectiveDeliveryPolicy"])
    assert holds["throttlePolicy"] == {"maxReceivesPerSecond": 10} and holds["healthyRetryPolicy"]["numRetries"] == 3
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(
        {"http": {"disableSubscriptionOverrides": True, "defaultRequestPolicy": {"headerContentType": "text/plain"}}}))
    sns.publish(TopicArn=topic, Message="as the topic says")
    assert mayfly.until(lambda: endpoint.of("Notification")[8:])[0][0]["content-type"] == "text/plain"
    for parts, why in [
        ({"healthyRetryPolicy": {"numRetries": 101}}, "numRetries must be less than or equal to 100"),
        ({"healthyRetryPolicy": {"minDelayTarget": 30, "maxDelayTarget": 20}}, "minDelayTarget must be less than or equal to"),
        ({"healthyRetryPolicy": {"numRetries": 3, "minDelayTarget": 3600, "maxDelayTarget": 3600}}, "total retry time"),
        ({"healthyRetryPolicy": {"backoffFunction": "random"}}, "unknown variant `random`"),
        ({"throttlePolicy": {"maxReceivesPerSecond": 0}}, "maxReceivesPerSecond"),
        ({"requestPolicy": {"headerContentType": "text/html"}}, "headerContentType"),
        ({"oddPolicy": {}}, "unknown field `oddPolicy`"),
    ]:
        with pytest.raises(ClientError, match="DeliveryPolicy.*" + re.escape(why)) as refused:
            sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="DeliveryPolicy", AttributeValue=json.dumps(parts))
        assert refused.value.response["Error"]["Code"] == "InvalidParameter"


def link(text):
    return re.search(r"http://\S+", text)[0]


def test_a_mailbox_confirms_is_told_and_leaves(topics, queues, outside):
    box = outside.mailbox
    topic = topics.create_topic(Name="letters", Attributes={"DisplayName": "Die Läden"})["TopicArn"]
    people, machine = "people@example.com", "machine@example.com"
    assert topics.subscribe(TopicArn=topic, Protocol="email", Endpoint=people)["SubscriptionArn"] == "pending confirmation"
    topics.subscribe(TopicArn=topic, Protocol="email-json", Endpoint=machine)
    topics.publish(TopicArn=topic, Message="too early")
    [asked] = mayfly.until(lambda: box.to(people))
    assert "Subscription Confirmation" in asked["subject"]
    urllib.request.urlopen(link(asked.get_content())).read()
    [asked] = mayfly.until(lambda: box.to(machine))
    urllib.request.urlopen(verified(json.loads(asked.get_content()), "1")["SubscribeURL"]).read()
    sent = topics.publish(TopicArn=topic, Message="Schöne Grüße", Subject="Für alle")
    letter = mayfly.until(lambda: box.to(people)[1:])[0]
    assert letter["subject"] == "Für alle" and letter["from"].addresses[0].addr_spec == "mayfly@example.com"
    assert letter["from"].addresses[0].display_name == "Die Läden"
    assert sent["MessageId"] in letter["message-id"] and letter.get_content().startswith("Schöne Grüße")
    document = verified(json.loads(mayfly.until(lambda: box.to(machine)[1:])[0].get_content()), "1")
    assert (document["Message"], document["MessageId"]) == ("Schöne Grüße", sent["MessageId"])
    assert box.logins and set(box.logins) == {("mayfly", "secret")} and all(secret for *_, secret in box.got)

    # A server that has no time is asked again, one that refuses is not.
    dead_url, dead_arn = queue(queues, "letters-dead")
    [subscription] = [one["SubscriptionArn"] for one in topics.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
                      if one["Protocol"] == "email"]
    topics.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="RedrivePolicy",
                                       AttributeValue=json.dumps({"deadLetterTargetArn": dead_arn}))
    topics.unsubscribe(SubscriptionArn=next(one["SubscriptionArn"] for one in topics.list_subscriptions_by_topic(
        TopicArn=topic)["Subscriptions"] if one["Protocol"] == "email-json"))
    box.answers = ["451 busy", "451 still busy"]
    topics.publish(TopicArn=topic, Message="third time lucky")
    assert mayfly.until(lambda: box.to(people)[2:])[0].get_content().startswith("third time lucky")
    box.answers = ["550 no such mailbox"]
    topics.publish(TopicArn=topic, Message="returned")
    [returned] = received(queues, dead_url, 1)
    assert json.loads(returned["Body"])["Message"] == "returned"
    assert "550" in returned["MessageAttributes"]["ErrorMessage"]["StringValue"] or \
        "no such mailbox" in returned["MessageAttributes"]["ErrorMessage"]["StringValue"]

    urllib.request.urlopen(link(letter["list-unsubscribe"]).rstrip(">")).read()
    farewell = mayfly.until(lambda: box.to(people)[3:])[0]
    topics.publish(TopicArn=topic, Message="nobody reads this")
    urllib.request.urlopen(link(farewell.get_content())).read()
    topics.publish(TopicArn=topic, Message="back again")
    assert mayfly.until(lambda: box.to(people)[4:])[0].get_content().startswith("back again")


def test_mail_goes_by_tls_from_the_first_byte(tmp_path):
    authority = tls.Authority(tmp_path)
    box = Mailbox(authority.context(), wrapped=True)
    (tmp_path / "password").write_text("secret\n")
    config = (f'certificate_authorities = "{authority.file}"\n[smtp]\nhost = "localhost"\nport = {box.port}\ntls = "tls"\n'
              f'username = "mayfly"\npassword_file = "{tmp_path / "password"}"\nfrom = "a@example.com"\n')
    try:
        with mayfly.server(config) as running:
            topic = running.client("sns").create_topic(Name="wrapped")["TopicArn"]
            running.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="b@example.com")
            mayfly.until(lambda: box.got)
            assert box.got[0][2] and box.logins == [("mayfly", "secret")]
    finally:
        box.stop()


def test_mail_goes_without_tls_where_that_is_said():
    box = Mailbox()
    try:
        config = f'[smtp]\nhost = "127.0.0.1"\nport = {box.port}\ntls = "none"\nfrom = "a@example.com"\n'
        with mayfly.server(config) as running:
            topic = running.client("sns").create_topic(Name="plain")["TopicArn"]
            running.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="b@example.com")
            mayfly.until(lambda: box.to("b@example.com"))
    finally:
        box.stop()


def test_what_is_not_set_up_is_refused(sns):
    topic = sns.create_topic(Name="closed")["TopicArn"]
    for protocol, endpoint, section in [("email", "a@example.com", "smtp"), ("sms", "+4930901820", "sms"),
                                        ("application", "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/a/b", "push")]:
        with pytest.raises(ClientError, match=rf"no section \[{section}\]") as refused:
            sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)
        assert refused.value.response["Error"]["Code"] == "InvalidParameter"
    with pytest.raises(ClientError, match=r"no section \[sms\]"):
        sns.publish(PhoneNumber="+4930901820", Message="x")
    with pytest.raises(ClientError, match=r"no section \[push\]"):
        sns.create_platform_application(Name="a", Platform="GCM", Attributes={"PlatformCredential": "k"})


def bodies(endpoint):
    return [json.loads(body) for _, _, body in list(endpoint.got)]


def test_text_messages_go_through_the_gateway(topics, queues, outside):
    phones, number = outside.phones, "+4930901820"
    topics.set_sms_attributes(attributes={"DefaultSenderID": "Mayfly"})
    assert topics.get_sms_attributes()["attributes"] == {"DefaultSenderID": "Mayfly"}
    sent = topics.publish(PhoneNumber=number, Message="hello", MessageAttributes={
        "AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": "Transactional"}})
    [told] = mayfly.until(lambda: bodies(phones))
    assert told == {"type": "sms", "messageId": sent["MessageId"], "phoneNumber": number, "message": "hello",
                    "messageType": "Transactional", "senderId": "Mayfly", "timestamp": told["timestamp"]}
    assert phones.got[0][1]["authorization"] == "Bearer of-sms"

    topic = topics.create_topic(Name="texts")["TopicArn"]
    dead_url, dead_arn = queue(queues, "texts-dead")
    subscription = subscribed(topics, topic, number, "sms", RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn}))
    phones.answers = [503]
    topics.publish(TopicArn=topic, Message=json.dumps({"default": "long", "sms": "short"}), MessageStructure="json")
    told = mayfly.until(lambda: bodies(phones)[2:])[0]
    assert (told["message"], told["messageType"], told["subscriptionArn"]) == ("short", "Promotional", subscription)

    # Whoever wants no more gets no more, until they do again.
    phones.answers = [410]
    topics.publish(TopicArn=topic, Message="unwanted")
    assert json.loads(received(queues, dead_url, 1)[0]["Body"])["message"] == "unwanted"
    assert topics.check_if_phone_number_is_opted_out(phoneNumber=number)["isOptedOut"]
    assert topics.list_phone_numbers_opted_out()["phoneNumbers"] == [number]
    topics.publish(TopicArn=topic, Message="still unwanted")
    assert "opted out" in received(queues, dead_url, 1)[0]["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert len(phones.got) == 4
    topics.opt_in_phone_number(phoneNumber=number)
    assert topics.list_phone_numbers_opted_out()["phoneNumbers"] == []
    topics.publish(PhoneNumber=number, Message="welcome back")
    mayfly.until(lambda: bodies(phones)[4:])
    phones.answers = [410]
    topics.publish(PhoneNumber=number, Message="no")
    mayfly.until(lambda: topics.check_if_phone_number_is_opted_out(phoneNumber=number)["isOptedOut"])
    with pytest.raises(topics.exceptions.InvalidParameterException, match="once every 30 days"):
        topics.opt_in_phone_number(phoneNumber=number)
    with pytest.raises(topics.exceptions.InvalidParameterException, match="is not valid to publish to"):
        topics.publish(PhoneNumber="030901820", Message="x")
    with pytest.raises(ClientError, match="MonthlySpendLimit"):
        topics.set_sms_attributes(attributes={"MonthlySpendLimit": "1"})


def test_push_messages_go_through_the_gateway(topics, queues, outside):
    apps = outside.apps
    events = topics.create_topic(Name="app-events")["TopicArn"]
    url, arn = queue(queues, "app-events")
    subscribed(topics, events, arn, RawMessageDelivery="true")
    setup = {"PlatformCredential": "key", "EventEndpointCreated": events, "EventDeliveryFailure": events}
    app = topics.create_platform_application(Name="shop", Platform="GCM", Attributes=setup)["PlatformApplicationArn"]
    assert app.endswith(":app/GCM/shop")
    assert topics.create_platform_application(Name="shop", Platform="GCM", Attributes=setup)["PlatformApplicationArn"] == app
    shown = topics.get_platform_application_attributes(PlatformApplicationArn=app)["Attributes"]
    assert shown == {"Enabled": "true", "EventEndpointCreated": events, "EventDeliveryFailure": events}
    assert [one["PlatformApplicationArn"] for one in topics.list_platform_applications()["PlatformApplications"]] == [app]
    device = topics.create_platform_endpoint(PlatformApplicationArn=app, Token="t1", CustomUserData="u")["EndpointArn"]
    assert json.loads(received(queues, url, 1)[0]["Body"])["EventType"] == "EndpointCreated"
    assert topics.create_platform_endpoint(PlatformApplicationArn=app, Token="t1", CustomUserData="u")["EndpointArn"] == device
    with pytest.raises(topics.exceptions.InvalidParameterException, match="already exists with the same Token"):
        topics.create_platform_endpoint(PlatformApplicationArn=app, Token="t1", CustomUserData="other")

    sent = topics.publish(TargetArn=device, Message=json.dumps({"default": "d", "GCM": "{\"n\": 1}"}), MessageStructure="json",
                          MessageAttributes={"AWS.SNS.MOBILE.GCM.TTL": {"DataType": "String", "StringValue": "60"}})
    [told] = mayfly.until(lambda: bodies(apps))
    assert told == {"type": "push", "messageId": sent["MessageId"], "platform": "GCM", "message": "{\"n\": 1}",
                    "attributes": {"AWS.SNS.MOBILE.GCM.TTL": "60"}, "timestamp": told["timestamp"], "endpointArn": device,
                    "token": "t1", "customUserData": "u",
                    "application": {"arn": app, "attributes": {"PlatformCredential": "key"}}}
    topic = topics.create_topic(Name="to-apps")["TopicArn"]
    subscribed(topics, topic, device, "application")
    topics.set_endpoint_attributes(EndpointArn=device, Attributes={"Token": "t2"})
    topics.publish(TopicArn=topic, Message="for all", Subject="s")
    told = mayfly.until(lambda: bodies(apps)[1:])[0]
    assert (told["message"], told["subject"], told["token"], told["topicArn"]) == ("for all", "s", "t2", topic)

    apps.answers = [500, 410]
    topics.publish(TargetArn=device, Message="too late")
    failure = json.loads(received(queues, url, 1)[0]["Body"])
    assert (failure["EventType"], failure["FailureType"], failure["DeliveryAttempts"]) == (
        "DeliveryFailure", "InvalidPlatformToken", 2)
    shown = topics.get_endpoint_attributes(EndpointArn=device)["Attributes"]
    assert shown == {"Enabled": "false", "Token": "t2", "CustomUserData": "u"}
    with pytest.raises(topics.exceptions.EndpointDisabledException):
        topics.publish(TargetArn=device, Message="x")
    topics.set_endpoint_attributes(EndpointArn=device, Attributes={"Enabled": "true", "Token": "t3"})
    listed = topics.list_endpoints_by_platform_application(PlatformApplicationArn=app)["Endpoints"]
    assert [(one["EndpointArn"], one["Attributes"]["Token"]) for one in listed] == [(device, "t3")]
    topics.publish(TargetArn=device, Message="again")
    mayfly.until(lambda: [told for told in bodies(apps) if told["message"] == "again"])
    topics.delete_endpoint(EndpointArn=device)
    with pytest.raises(topics.exceptions.InvalidParameterException, match="No endpoint found for the target arn"):
        topics.publish(TargetArn=device, Message="x")
    topics.delete_platform_application(PlatformApplicationArn=app)
    assert topics.list_platform_applications()["PlatformApplications"] == []
    with pytest.raises(topics.exceptions.NotFoundException):
        topics.get_platform_application_attributes(PlatformApplicationArn=app)
