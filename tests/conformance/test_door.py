"""The gateway's door for functions: routes that are never stale, signatures, addresses, limits, and odd clients."""

import http.client
import json
import socket
import subprocess
import types
import urllib.parse

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import mayfly
from mayfly import create

MIRROR = """
import json, time
def handler(event, context):
    time.sleep(float((event.get("queryStringParameters") or {}).get("sleep", "0")))
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""
# Signature Version 4 by hand: the sandbox has no SDK of its own.
SIGNING = r"""
import datetime, hashlib, hmac, os, urllib.request
def handler(event, context):
    url = os.environ["AWS_ENDPOINT_URL"] + event
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    host, token = url.split("/")[2], os.environ["AWS_SESSION_TOKEN"]
    names = "host;x-amz-date;x-amz-security-token"
    empty = hashlib.sha256(b"").hexdigest()
    canonical = f"GET\n{event}\n\nhost:{host}\nx-amz-date:{now}\nx-amz-security-token:{token}\n\n{names}\n{empty}"
    scope = f"{now[:8]}/us-east-1/lambda/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (now[:8], "us-east-1", "lambda", "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers = {"x-amz-date": now, "x-amz-security-token": token,
               "authorization": f"{credential}, SignedHeaders={names}, Signature={key.hex()}"}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read().decode()
"""
NAME = 'def handler(event, context):\n    return {"statusCode": 200, "body": "%s"}\n'


def ask(url, method="GET", body=None, headers=None):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, path, body, headers or {})
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was sent whole: the answer is there all the same
        answer = connection.getresponse()
        text = answer.read().decode()
        return types.SimpleNamespace(status=answer.status, text=text, json=lambda: json.loads(text))
    finally:
        connection.close()


def public_url(functions, name, qualifier=None, auth="NONE", **more):
    where = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
    url = functions.create_function_url_config(AuthType=auth, **where, **more)["FunctionUrl"]
    if auth == "NONE":
        functions.add_permission(
            StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE", **where
        )
    return url.split("//")[1].split(".")[0]


@pytest.fixture(scope="module")
def mirror(cloud, functions):
    create(functions, "mirror", {"app.py": MIRROR}, Timeout=5)
    return f"{cloud.endpoint}/_url/{public_url(functions, 'mirror')}"


@pytest.fixture(scope="module")
def api(cloud, functions, mirror):
    """An HTTP API with a short timeout before the mirror."""
    arn = functions.get_function(FunctionName="mirror")["Configuration"]["FunctionArn"]
    gateway = cloud.client("apigatewayv2")
    made = gateway.create_api(Name="door", ProtocolType="HTTP", Target=arn)
    integration = gateway.get_integrations(ApiId=made["ApiId"])["Items"][0]["IntegrationId"]
    gateway.update_integration(ApiId=made["ApiId"], IntegrationId=integration, TimeoutInMillis=1000)
    functions.add_permission(FunctionName="mirror", StatementId="api", Action="lambda:InvokeFunction",
                             Principal="apigateway.amazonaws.com")
    return f"{cloud.endpoint}/_api/{made['ApiId']}"


def raw(cloud, data, until_close=True):
    """What a client gets that writes these bytes and then only listens."""
    host, port = cloud.listen.split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(data)
        got = b""
        while True:
            more = connection.recv(65536)
            if not more:
                return got
            got += more
            if not until_close and b"\r\n\r\n" in got:
                return got


def test_a_change_is_seen_by_the_next_request(cloud, functions):
    create(functions, "fresh", {"app.py": NAME % 0})
    functions.publish_version(FunctionName="fresh")
    functions.create_alias(FunctionName="fresh", Name="live", FunctionVersion="1")
    url = f"{cloud.endpoint}/_url/{public_url(functions, 'fresh', 'live')}/"
    gateway = cloud.client("apigatewayv2")
    arn = functions.get_alias(FunctionName="fresh", Name="live")["AliasArn"]
    functions.add_permission(FunctionName="fresh", Qualifier="live", StatementId="api",
                             Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com")
    made = gateway.create_api(Name="fresh", ProtocolType="HTTP", Target=arn)["ApiId"]
    by_api = f"{cloud.endpoint}/_api/{made}/"
    for number in range(1, 6):
        assert (ask(url).text, ask(by_api).text) == (str(number - 1), str(number - 1))
        functions.update_function_code(FunctionName="fresh", ZipFile=mayfly.package({"app.py": NAME % number}))
        functions.get_waiter("function_updated_v2").wait(FunctionName="fresh", WaiterConfig={"Delay": 1})
        version = functions.publish_version(FunctionName="fresh")["Version"]
        functions.update_alias(FunctionName="fresh", Name="live", FunctionVersion=version)
        assert (ask(url).text, ask(by_api).text) == (str(number), str(number))
    route = gateway.get_routes(ApiId=made)["Items"][0]
    gateway.update_route(ApiId=made, RouteId=route["RouteId"], RouteKey="GET /only")
    assert (ask(by_api).status, ask(by_api + "only").status) == (404, 200)
    functions.remove_permission(FunctionName="fresh", Qualifier="live", StatementId="api")
    assert ask(by_api + "only").status == 500
    functions.remove_permission(FunctionName="fresh", Qualifier="live", StatementId="url")
    assert ask(url).status == 403
    functions.delete_function_url_config(FunctionName="fresh", Qualifier="live")
    assert ask(url).status == 403
    gateway.delete_api(ApiId=made)
    assert ask(by_api + "only").status == 404


def signed(cloud, method, url, body=b"", service="lambda", key=None):
    key = key or cloud.key
    credentials = Credentials(key["access_key_id"], key["secret_access_key"], key.get("token"))
    request = AWSRequest(method=method, url=url, data=body, headers={"content-type": "application/json"})
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    return ask(url, method, body, dict(request.headers))


def test_a_function_url_with_iam_admits_who_signs(cloud, functions):
    create(functions, "signed", {"app.py": MIRROR})
    url = f"{cloud.endpoint}/_url/{public_url(functions, 'signed', auth='AWS_IAM')}/some/path?a=b"
    answer = signed(cloud, "POST", url, b'{"x": 1}')
    assert answer.status == 200, answer.text
    context = answer.json()["requestContext"]
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:root"
    assert context["authorizer"]["iam"]["accessKey"] == cloud.key["access_key_id"]
    assert (context["accountId"], answer.json()["body"]) == ("000000000000", '{"x": 1}')
    wrong = {**cloud.key, "secret_access_key": "x" * 40}
    for refused in (ask(url, "POST"), signed(cloud, "POST", url, service="s3"),
                    signed(cloud, "POST", url, key=wrong)):
        assert refused.status == 403, refused.text


def test_a_function_calls_a_signed_url_as_itself(cloud, functions):
    create(functions, "target", {"app.py": MIRROR})
    path = f"/_url/{public_url(functions, 'target', auth='AWS_IAM')}/"
    create(functions, "caller", {"app.py": SIGNING}, Timeout=60)
    _, event = mayfly.invoke(functions, "caller", path)
    user = json.loads(event)["requestContext"]["authorizer"]["iam"]["userArn"]
    assert user == "arn:aws:sts::000000000000:assumed-role/caller/caller"


def test_the_source_is_the_peer_unless_a_trusted_proxy_says_otherwise(mirror):
    forged = {"x-forwarded-for": "203.0.113.9"}
    assert ask(mirror, headers=forged).json()["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    with mayfly.server('trusted_proxies = ["127.0.0.0/8"]\n') as behind:
        functions = behind.client("lambda")
        create(functions, "mirror", {"app.py": MIRROR})
        url = f"{behind.endpoint}/_url/{public_url(functions, 'mirror')}/"
        asked = ask(url, headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9, 127.0.0.1"}).json()
        assert asked["requestContext"]["http"]["sourceIp"] == "203.0.113.9"


def test_limits_and_failures_have_the_documented_status(mirror, api):
    assert ask(mirror, "POST", b"x" * (6 * 2**20 + 1)).status == 413
    assert ask(api, "POST", b"x" * (10 * 2**20 + 1)).status == 413
    assert ask(f"{api}?sleep=3").status == 503
    assert ask(f"{mirror}?sleep=9").status == 502
    assert ask(f"{mirror}?sleep=0").status == 200


def test_pipelined_requests_are_answered_in_order(cloud, mirror):
    path = urllib.parse.urlsplit(mirror).path
    one = "GET {}/{} HTTP/1.1\r\nhost: x\r\n{}\r\n"
    data = one.format(path, "first", "") + one.format(path, "second", "") + one.format(path, "third", "connection: close\r\n")
    got = raw(cloud, data.encode())
    assert got.count(b"HTTP/1.1 200") == 3
    assert got.index(b"/first") < got.index(b"/second") < got.index(b"/third")


def test_expect_continue_is_answered_before_the_body_is_sent(cloud, mirror):
    path = urllib.parse.urlsplit(mirror).path
    host, port = cloud.listen.split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        head = f"POST {path}/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hi")
        got = b""
        while more := connection.recv(65536):
            got += more
    assert got.startswith(b"HTTP/1.1 200"), got
    assert json.loads(got.split(b"\r\n\r\n", 1)[1])["body"] == "hi"


def test_broken_and_slow_clients_hurt_nobody(mirror):
    # Longer than a waiter rests, whose connection would be closed just as it is used again.
    config = "[limits]\nrequest_head_seconds = 4\nrequest_rest_seconds = 4\n"
    with mayfly.server(config) as cloud:
        functions = cloud.client("lambda")
        create(functions, "mirror", {"app.py": MIRROR})
        path = f"/_url/{public_url(functions, 'mirror')}/"
        slow_head = raw(cloud, f"GET {path} HTTP/1.1\r\nhost: x\r\n".encode())
        assert slow_head == b"" or slow_head.startswith(b"HTTP/1.1 408"), "cut off"
        slow_body = raw(cloud, f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc".encode())
        assert slow_body.startswith(b"HTTP/1.1 408"), slow_body
        torn = f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\nZZ\r\n"
        assert raw(cloud, torn.encode()).startswith(b"HTTP/1.1 400")
        for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
                         b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: nine\r\n\r\n",
                         b"GET / HTTP/1.1\r\n" + b"a: " + b"b" * 2**20 + b"\r\n\r\n"):
            answer = raw(cloud, nonsense)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), nonsense[:40]
        assert ask(f"{cloud.endpoint}{path}").status == 200, "and the rest goes on"


def test_thousands_of_waiting_guests_are_all_answered(tmp_path):
    """Each connection gets a guest that waits a second: none is lost, none refused, and they wait together."""
    many = 2000
    burst = tmp_path / "burst"
    subprocess.run(["cc", "-O2", "-o", burst, mayfly.ROOT / "bench" / "burst.c"], check=True)
    # Each connection rests until all have been made.
    limits = (f"[limits]\naccount_concurrency = {many + 100}\nnode_instances = {many}\n"
              "request_head_seconds = 300\n")
    with mayfly.server(limits) as cloud:
        functions = cloud.client("lambda")
        wat = (mayfly.ROOT / "bench" / "wait.wat").read_bytes()
        create(functions, "wait", {"wait.wat": wat}, runtime="wasm", handler="wait.wat", Timeout=300)
        path = f"/_url/{public_url(functions, 'wait')}/"
        assert ask(f"{cloud.endpoint}{path}").text == "waited\n"
        host, port = cloud.listen.split(":")
        done = subprocess.run([burst, host, port, path, str(many), "300"], check=True, capture_output=True, text=True)
        told = json.loads(done.stdout)
        assert (told["ok"], told["failed"], told["lost"]) == (many, 0, 0), told
