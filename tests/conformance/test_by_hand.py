"""Requests that no SDK writes, or that it writes in a way of its own: buckets by host name, bodies that break off,
methods that a resource does not have, and answers without a body."""

import base64
import http.client
import socket
import struct
import time
import urllib.parse
import zlib

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from mayfly import create
from test_door import public_url

WEB = """
import http.server, os, time, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        if self.path.endswith("/hang"):
            time.sleep(600)
        body = f"{self.command} {self.path}".encode()
        self.send_response(200)
        self.send_header("x-method", self.command)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_OPTIONS = do_DELETE = answer
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def by_hand(objects):
    objects.create_bucket(Bucket="by-hand")
    objects.put_object(Bucket="by-hand", Key="dir/known", Body=b"12345")
    return "by-hand"


def send(cloud, method, target, headers=None, body=None):
    """The status, the headers and the body of an answer, whatever the host header says."""
    connection = http.client.HTTPConnection(*cloud.listen.split(":"), timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def presigned(cloud, operation, endpoint=None, style="path", **params):
    key = cloud.key
    client = boto3.client(
        "s3", endpoint_url=endpoint or cloud.endpoint, region_name="us-east-1",
        aws_access_key_id=key["access_key_id"], aws_secret_access_key=key["secret_access_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )
    return client.generate_presigned_url(operation, Params=params)


def test_a_bucket_is_reached_by_its_host_name(cloud, by_hand):
    port = cloud.listen.split(":")[1]
    for domain in ("s3.localhost", "s3.us-east-1.localhost", "s3.amazonaws.com"):
        def link(operation, domain=domain, **params):
            url = presigned(cloud, operation, f"http://{domain}:{port}", "virtual", Bucket=by_hand, **params)
            parts = urllib.parse.urlsplit(url)
            assert parts.netloc == f"{by_hand}.{domain}:{port}"
            return f"{parts.path}?{parts.query}", {"host": parts.netloc}

        target, headers = link("put_object", Key="by name/ü")
        assert send(cloud, "PUT", target, headers, b"hello")[0] == 200
        target, headers = link("get_object", Key="by name/ü")
        assert send(cloud, "GET", target, headers)[::2] == (200, b"hello")
        assert send(cloud, "GET", target, {"host": f"other.{domain}:{port}"})[0] == 403
        target, headers = link("list_objects_v2")
        assert b"<Key>by" in send(cloud, "GET", target, headers)[2]
        target, headers = link("delete_object", Key="by name/ü")
        assert send(cloud, "DELETE", target, headers)[0] == 204


def chunked(cloud, bucket, body, length=None):
    """Puts a body in AWS's chunks with a checksum behind it; what is missing of `length` never comes."""
    url = f"{cloud.endpoint}/{bucket}/torn"
    headers = {
        "content-encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": "10",
    }
    request = AWSRequest("PUT", url, headers=headers, data=b"")
    request.context["checksum"] = {"request_algorithm": {"in": "trailer", "algorithm": "crc32", "name": "crc32"}}
    key = cloud.key
    S3SigV4Auth(Credentials(key["access_key_id"], key["secret_access_key"]), "s3", "us-east-1").add_auth(request)
    signed = {
        **dict(request.headers), "host": cloud.listen, "connection": "close", "content-length": str(length or len(body)),
    }
    head = f"PUT /{bucket}/torn HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in signed.items()) + "\r\n"
    host, port = cloud.listen.split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        if length:
            connection.shutdown(socket.SHUT_WR)
        try:
            while more := connection.recv(65536):
                got += more
        except ConnectionResetError:
            pass
    return got


def test_a_body_in_chunks_that_breaks_off_is_no_object(cloud, by_hand, objects):
    sum_of = lambda data: base64.b64encode(struct.pack(">I", zlib.crc32(data))).decode()  # noqa: E731
    whole = f"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:{sum_of(b'0123456789')}\r\n\r\n".encode()
    refused = {
        "in a chunk": (whole[:8], len(whole)),
        "before the end": (whole[:15], len(whole)),
        "a chunk too short": (b"a\r\n01234\r\n0\r\n\r\n", None),
        "fewer bytes than said": (f"5\r\n01234\r\n0\r\nx-amz-checksum-crc32:{sum_of(b'01234')}\r\n\r\n".encode(), None),
        "another checksum": (whole.replace(sum_of(b"0123456789").encode(), sum_of(b"x").encode()), None),
        "no end": (b"a\r\n0123456789\r\n", None),
        "no number": (b"zz\r\n0123456789\r\n0\r\n\r\n", None),
    }
    for what, (body, length) in refused.items():
        answer = chunked(cloud, by_hand, body, length)
        # Whoever hangs up is not owed an answer.
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), (what, answer)
        assert objects.list_objects_v2(Bucket=by_hand, Prefix="torn")["KeyCount"] == 0, what
    assert chunked(cloud, by_hand, whole).startswith(b"HTTP/1.1 200")
    assert objects.get_object(Bucket=by_hand, Key="torn")["Body"].read() == b"0123456789"


def test_a_method_that_a_resource_does_not_have(cloud, by_hand):
    for method, path in (("DELETE", "/"), ("PUT", "/"), ("PATCH", f"/{by_hand}"), ("POST", f"/{by_hand}/dir/known")):
        status, _, body = send(cloud, method, path)
        assert status == 405 and b"<Code>MethodNotAllowed</Code>" in body, (method, path, status, body)


def test_answers_to_head_have_a_length_and_no_body(cloud, by_hand):
    path = urllib.parse.urlsplit(presigned(cloud, "head_object", Bucket=by_hand, Key="dir/known"))
    status, headers, body = send(cloud, "HEAD", f"{path.path}?{path.query}")
    assert (status, headers["content-length"], body) == (200, "5", b"")
    status, headers, body = send(cloud, "HEAD", f"{path.path}?{path.query}", {"range": "bytes=1-2"})
    assert (status, headers["content-length"], headers["content-range"], body) == (206, "2", "bytes 1-2/5", b"")
    etag = headers["etag"]
    assert send(cloud, "HEAD", f"{path.path}?{path.query}", {"if-none-match": etag})[0] == 304
    path = urllib.parse.urlsplit(presigned(cloud, "head_object", Bucket=by_hand, Key="unknown"))
    status, _, body = send(cloud, "HEAD", f"{path.path}?{path.query}")
    assert (status, body) == (404, b"")
    assert send(cloud, "HEAD", f"/{by_hand}")[::2] == (403, b""), "nobody in particular"


def test_options_are_answered_by_the_rules_of_a_bucket_alone(cloud, by_hand, objects):
    ask = {"origin": "http://app.test", "access-control-request-method": "PUT"}
    status, _, body = send(cloud, "OPTIONS", f"/{by_hand}/dir/known", ask)
    assert status == 403 and b"CORS is not enabled for this bucket" in body
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["http://app.test"], "MaxAgeSeconds": 60}
    objects.put_bucket_cors(Bucket=by_hand, CORSConfiguration={"CORSRules": [rule]})
    assert send(cloud, "OPTIONS", f"/{by_hand}/dir/known", ask)[0] == 403, "another method"
    status, headers, _ = send(cloud, "OPTIONS", f"/{by_hand}/dir/known", {**ask, "access-control-request-method": "GET"})
    assert status == 200 and headers["access-control-allow-origin"] == "http://app.test"
    assert headers["access-control-max-age"] == "60"


def test_a_web_function_gets_every_method_and_its_time(cloud, functions):
    create(functions, "by-hand-web", {"app.py": WEB}, runtime="web", handler="python3 app.py", Timeout=6)
    path = f"/_url/{public_url(functions, 'by-hand-web')}"
    for method in ("GET", "OPTIONS", "DELETE"):
        assert send(cloud, method, f"{path}/a")[::2] == (200, f"{method} /a".encode()), method
    status, headers, body = send(cloud, "HEAD", f"{path}/a")
    assert (status, headers["x-method"], body) == (200, "HEAD", b"")
    began = time.monotonic()
    assert send(cloud, "GET", f"{path}/hang")[0] == 504, "the head has not come in time"
    assert time.monotonic() - began > 6
    assert send(cloud, "GET", f"{path}/b")[0] == 200
