"""API destinations and connections: events that go to web endpoints of the test, over HTTP and HTTPS."""

import json
import time

import pytest

import web
import mayfly
from web import document
from mayfly import until
from test_buses import entry, queue_of, rule_for, take_all


@pytest.fixture(scope="module")
def outside():
    with web.endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def events(cloud):
    return cloud.client("events")


def connection(events, name, kind="BASIC", **parameters):
    basic = {"BasicAuthParameters": {"Username": "me", "Password": "s3cret"}}
    made = events.create_connection(Name=name, AuthorizationType=kind, AuthParameters=parameters or basic)
    return made["ConnectionArn"]


def destination(events, name, url, connected=None, method="POST", **more):
    connected = connected or connection(events, name)
    made = events.create_api_destination(Name=name, ConnectionArn=connected, InvocationEndpoint=url, HttpMethod=method,
                                         **more)
    return made["ApiDestinationArn"]


def bus_to(events, name, arn, **target):
    """A bus whose every event goes to a target."""
    events.create_event_bus(Name=name)
    rule_for(events, "all", {"detail-type": ["Order"]}, arn, bus=name, **target)
    return lambda *details: events.put_events(
        Entries=[entry("shop", detail, EventBusName=name) for detail in details])


def test_an_event_goes_out_with_who_sends_it_and_is_tried_again(cloud, events, outside):
    own = {"HeaderParameters": [{"Key": "x-own", "Value": "hidden", "IsValueSecret": True}],
           "QueryStringParameters": [{"Key": "q", "Value": "1 2"}], "BodyParameters": [{"Key": "who", "Value": "us"}]}
    connected = connection(events, "keyed", "API_KEY", InvocationHttpParameters=own,
                           ApiKeyAuthParameters={"ApiKeyName": "x-key", "ApiKeyValue": "k3y"})
    shown = events.describe_connection(Name="keyed")
    assert shown["AuthParameters"]["ApiKeyAuthParameters"] == {"ApiKeyName": "x-key"}
    assert "k3y" not in str(shown) and "hidden" not in str(shown)
    arn = destination(events, "keyed", outside.url("/orders/*"), connected)
    outside.answers["/orders/7"] = lambda nth: (503 if nth == 0 else 200, {}, b"")
    put = bus_to(events, "keyed", arn, HttpParameters={
        "PathParameterValues": ["$.detail.id"], "HeaderParameters": {"x-kind": "$.detail-type", "x-own": "not this"}})
    put({"id": 7})
    (method, target, headers, body), again = outside.wait("/orders/7", 2)
    assert (method, target) == ("POST", "/orders/7?q=1%202") and again[3] == body
    assert (headers["x-key"], headers["x-own"], headers["x-kind"]) == ("k3y", "hidden", "Order")
    assert headers["content-type"] == "application/json; charset=utf-8"
    event = json.loads(body)
    assert (event["detail"], event["who"]) == ({"id": 7}, "us")


def test_a_token_is_got_once_kept_and_got_anew_when_it_is_refused(cloud, events, outside):
    outside.answers["/token"] = lambda nth: document(200, {"access_token": f"t{nth}", "token_type": "bearer", "expires_in": 3600})
    # The second token is the one that the endpoint takes from its third request on.
    outside.answers["/guarded"] = lambda nth: (401 if nth == 2 else 200, {}, b"")
    oauth = {"ClientParameters": {"ClientID": "me", "ClientSecret": "s&"}, "AuthorizationEndpoint": outside.url("/token"),
             "HttpMethod": "POST", "OAuthHttpParameters": {"BodyParameters": [{"Key": "scope", "Value": "all"}]}}
    connected = connection(events, "oauth", "OAUTH_CLIENT_CREDENTIALS", OAuthParameters=oauth)
    state = lambda name: events.describe_connection(Name=name)["ConnectionState"]
    until(lambda: state("oauth") == "AUTHORIZED")
    put = bus_to(events, "oauth", destination(events, "oauth", outside.url("/guarded"), connected))
    for number in range(3):
        put({"n": number})
        outside.wait("/guarded", number + 1)
    shown = [headers["authorization"] for _, _, headers, _ in outside.wait("/guarded", 4)]
    assert shown == ["Bearer t0", "Bearer t0", "Bearer t0", "Bearer t1"], "one that is refused is got anew at once"
    [first, _] = outside.of("/token")
    assert first[3] == b"client_id=me&client_secret=s%26&grant_type=client_credentials&scope=all"
    outside.answers["/no-token"] = lambda nth: (400, {}, b"")
    connection(events, "refused", "OAUTH_CLIENT_CREDENTIALS",
               OAuthParameters={**oauth, "AuthorizationEndpoint": outside.url("/no-token")})
    until(lambda: state("refused") == "DEAUTHORIZED")
    assert events.describe_connection(Name="refused")["StateReason"] == "The authorization endpoint answered with status 400."


def test_events_go_out_as_cloudevents_in_the_mode_that_is_asked_for(cloud, events, outside):
    arn = destination(events, "cloudevents-out", outside.url("/cloudevents"))
    put = bus_to(events, "cloudevents-out", arn, HttpParameters={
        "HeaderParameters": {"Content-Type": "application/cloudevents+json"}})
    put({"n": 1})
    [(_, _, headers, body)] = outside.wait("/cloudevents")
    event = json.loads(body)
    assert headers["content-type"] == "application/cloudevents+json"
    assert (event["specversion"], event["source"], event["type"], event["data"]) == ("1.0", "shop", "Order", {"n": 1})
    events.put_targets(Rule="all", EventBusName="cloudevents-out", Targets=[{
        "Id": "t", "Arn": arn, "HttpParameters": {"HeaderParameters": {"ce-specversion": "1.0", "ce-tenant": "$.detail.n"}}}])
    put({"n": 2})
    _, (_, _, headers, body) = outside.wait("/cloudevents", 2)
    assert json.loads(body) == {"n": 2} and headers["content-type"] == "application/json; charset=utf-8"
    assert (headers["ce-type"], headers["ce-tenant"], headers["ce-source"]) == ("Order", "2", "shop")
    assert headers["ce-id"] and headers["ce-time"].endswith("Z")


def test_a_stuck_destination_makes_no_other_wait_and_ends_with_a_dead_letter(cloud, events, outside):
    outside.held.clear()
    url, letters = queue_of(cloud, "destination-letters")
    stuck = bus_to(events, "stuck", destination(events, "stuck", outside.url("/stuck")),
                   DeadLetterConfig={"Arn": letters}, RetryPolicy={"MaximumRetryAttempts": 0})
    quick = bus_to(events, "quick", destination(events, "quick", outside.url("/quick")))
    stuck({"n": 0})
    quick(*({"n": number} for number in range(10)))
    outside.wait("/quick", 10)
    sqs = cloud.client("sqs")
    got = until(lambda: sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=10).get("Messages"))
    outside.held.set()
    said = {name: value["StringValue"] for name, value in got[0]["MessageAttributes"].items()}
    assert said["ERROR_MESSAGE"] == "no answer within 5 s" and said["RETRY_ATTEMPTS"] == "0"
    assert said["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts" and "api-destination/stuck/" in said["TARGET_ARN"]


def test_a_destination_is_called_no_faster_than_it_allows(cloud, events, outside):
    arn = destination(events, "paced", outside.url("/paced"), InvocationRateLimitPerSecond=10)
    put = bus_to(events, "paced", arn)
    began = time.monotonic()
    for _ in range(3):
        put(*({"n": number} for number in range(10)))
    outside.wait("/paced", 30)
    # Thirty calls are twenty-nine tenths of a second apart, however fast the machine is.
    assert time.monotonic() - began > 2.8


def test_https_is_believed_only_where_the_operator_says_so(tmp_path):
    pair = web.certificate(tmp_path)
    with web.endpoint(pair) as secure, mayfly.server(f'certificate_authorities = "{pair[0]}"\n') as trusting:
        events = trusting.client("events")
        bus_to(events, "secure", destination(events, "secure", secure.url("/in")))({"n": 1})
        assert json.loads(secure.wait("/in")[0][3])["detail"] == {"n": 1}
    with web.endpoint(pair) as secure, mayfly.server() as doubting:
        events = doubting.client("events")
        url, letters = queue_of(doubting, "letters")
        bus_to(events, "secure", destination(events, "secure", secure.url("/in")), DeadLetterConfig={"Arn": letters},
               RetryPolicy={"MaximumRetryAttempts": 0})({"n": 1})
        [letter] = until(lambda: take_all(doubting.client("sqs"), url, wait=1))
        assert json.loads(letter)["detail"] == {"n": 1} and not secure.of("/in")


TEMPLATE = """
Resources:
  Key:
    Type: AWS::Events::Connection
    Properties:
      AuthorizationType: API_KEY
      AuthParameters: {ApiKeyAuthParameters: {ApiKeyName: x-key, ApiKeyValue: VALUE}}
  Shop:
    Type: AWS::Events::ApiDestination
    Properties: {ConnectionArn: !GetAtt Key.Arn, HttpMethod: POST, InvocationEndpoint: URL}
  Bus: {Type: AWS::Events::EventBus, Properties: {Name: deployed-outside}}
  All:
    Type: AWS::Events::Rule
    Properties:
      EventBusName: !Ref Bus
      EventPattern: {detail-type: [Order]}
      Targets: [{Id: shop, Arn: !GetAtt Shop.Arn, HttpParameters: {HeaderParameters: {x-n: $.detail.n}}}]
"""


def test_a_template_makes_connections_and_destinations(cloud, events, outside, tmp_path):
    def deploy(value):
        text = TEMPLATE.replace("VALUE", value).replace("URL", outside.url("/deployed"))
        (tmp_path / "template.yaml").write_text(text)
        cloud.run("deploy", tmp_path, "--stack", "outside")

    for number, value in enumerate(["one", "two"]):
        deploy(value)
        events.put_events(Entries=[entry("shop", {"n": number}, EventBusName="deployed-outside")])
        headers = outside.wait("/deployed", number + 1)[-1][2]
        assert (headers["x-key"], headers["x-n"]) == (value, str(number))
    cloud.run("delete", "--stack", "outside", "--yes")
    assert events.list_connections(NamePrefix="outside-")["Connections"] == []
    assert events.list_api_destinations(NamePrefix="outside-")["ApiDestinations"] == []
