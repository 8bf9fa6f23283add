"""Links and forms that were signed beforehand, as unmodified boto3 makes them, opened by plain HTTP clients."""

import base64
import contextlib
import datetime
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from unittest import mock

import pytest

import mayfly


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(Stay)


def fetch(url, data=None, method=None, headers=None):
    try:
        with OPENER.open(urllib.request.Request(url, data, headers or {}, method=method)) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def post(form, content, filename="x.txt", **changed):
    """What a browser sends for a form of `generate_presigned_post`."""
    boundary = uuid.uuid4().hex
    fields = {**form["fields"], **changed}
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in fields.items() if value is not None]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n' \
           "Content-Type: text/plain\r\n\r\n"
    body = b"".join(lines) + head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return fetch(form["url"], body, "POST", {"Content-Type": f"multipart/form-data; boundary={boundary}"})


@contextlib.contextmanager
def freeze_an_hour_ago():
    """botocore's clocks, one for each version of signature."""
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    with mock.patch("botocore.auth.get_current_datetime", lambda *_, **__: then.replace(tzinfo=None)), \
            mock.patch("botocore.auth.time.time", then.timestamp):
        yield


@pytest.fixture(scope="module", params=["s3v4", None], ids=["version 4", "as boto3 does"])
def signer(cloud, request):
    settings = {"signature_version": request.param} if request.param else {}
    return cloud.client("s3", **settings)


@pytest.fixture(scope="module")
def bucket(objects):
    objects.create_bucket(Bucket="links")
    objects.put_object(Bucket="links", Key="dir/a b+ü.txt", Body=b"read me")
    return "links"


def test_a_link_opens_until_it_expires_and_only_as_it_was_signed(signer, bucket, objects):
    params = {"Bucket": bucket, "Key": "dir/a b+ü.txt", "ResponseContentType": "text/x-own"}
    url = signer.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    status, headers, body = fetch(url)
    assert (status, headers["content-type"], body) == (200, "text/x-own", b"read me")

    for other in (url.replace("text%2Fx-own", "text%2Fhtml"), url.replace("dir/", "div/")):
        status, _, body = fetch(other)
        assert status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in body, body
    assert fetch(url, method="DELETE")[0] == 403
    with freeze_an_hour_ago():
        expired = signer.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    status, _, body = fetch(expired)
    assert status == 403 and b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in body, body


def test_a_link_may_carry_what_else_would_be_a_header(signer, bucket, objects):
    params = {"Bucket": bucket, "Key": "put", "ContentType": "text/x-own", "Metadata": {"who": "me"}}
    url = signer.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    status, _, body = fetch(url, b"by link", "PUT", {"Content-Type": "text/x-own", "x-amz-meta-who": "me"})
    assert status == 200, body
    found = objects.get_object(Bucket=bucket, Key="put")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"by link", "text/x-own", {"who": "me"})
    assert fetch(url, b"x", "PUT", {"Content-Type": "text/html", "x-amz-meta-who": "me"})[0] == 403


def test_version_2_is_for_links_alone(cloud, bucket):
    status, _, body = fetch(f"{cloud.endpoint}/{bucket}?AWSAccessKeyId=A&Signature=b")
    assert status == 403 and b"Query-string authentication requires the Signature, Expires" in body
    status, _, body = fetch(f"{cloud.endpoint}/{bucket}?AWSAccessKeyId=A&Signature=b&Expires=soon")
    assert status == 403 and b"Invalid date (should be seconds since epoch): soon" in body
    status, _, body = fetch(f"{cloud.endpoint}/{bucket}?AWSAccessKeyId=A&Signature=b&Expires=9999999999")
    assert status == 403 and b"<Code>InvalidAccessKeyId</Code>" in body
    headers = {"Authorization": "AWS A:b", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    status, _, body = fetch(f"{cloud.endpoint}/{bucket}", headers=headers)
    assert status == 400 and b"Please use AWS4-HMAC-SHA256" in body


def test_a_form_uploads_what_its_policy_allows(signer, bucket, objects):
    form = signer.generate_presigned_post(
        bucket, "forms/${filename}", Fields={"Content-Type": "text/x-own", "x-amz-meta-who": "me"},
        Conditions=[{"Content-Type": "text/x-own"}, {"x-amz-meta-who": "me"}, ["content-length-range", 2, 300000]],
    )
    content = b"\r\n--almost\r\n" + bytes(range(256)) * 400
    status, headers, body = post(form, content, "ü.txt")
    assert status == 204 and headers["location"].endswith("/links/forms/%C3%BC%2Etxt"), body
    found = objects.get_object(Bucket=bucket, Key="forms/ü.txt")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (content, "text/x-own", {"who": "me"})

    def refused(code, content=b"text", **changed):
        status, _, body = post(form, content, "no.txt", **changed)
        assert 400 <= status < 500 and f"<Code>{code}</Code>".encode() in body, body

    refused("AccessDenied", **{"Content-Type": "text/html"})
    refused("AccessDenied", extra="field")
    refused("EntityTooLarge", b"x" * 300001)
    refused("EntityTooSmall", b"x")
    refused("InvalidArgument", key=None)
    other = json.loads(base64.b64decode(form["fields"]["policy"]))
    other["conditions"].append({"extra": "field"})
    refused("SignatureDoesNotMatch", policy=base64.b64encode(json.dumps(other).encode()).decode())
    late = signer.generate_presigned_post(bucket, "late", ExpiresIn=-1)
    status, _, body = post(late, b"x")
    assert status == 403 and b"Policy expired." in body
    assert "Contents" not in objects.list_objects_v2(Bucket=bucket, Prefix="forms/no")
    status, _, body = fetch(form["url"], b"--b\r\nno form", "POST", {"Content-Type": "multipart/form-data; boundary=b"})
    assert status == 400, body


def test_a_form_says_how_it_is_answered(signer, bucket):
    fields = {"success_action_status": "201"}
    form = signer.generate_presigned_post(bucket, "told", Fields=fields, Conditions=[fields])
    status, _, body = post(form, b"x")
    assert status == 201 and b"<Bucket>links</Bucket><Key>told</Key><ETag>" in body
    fields = {"success_action_redirect": "http://127.0.0.1:1/next?a=1"}
    form = signer.generate_presigned_post(bucket, "told", Fields=fields, Conditions=[fields])
    status, headers, _ = post(form, b"x")
    assert status == 303 and headers["location"].startswith("http://127.0.0.1:1/next?a=1&bucket=links&key=told&etag=%22")


def test_a_form_may_carry_tags(signer, bucket, objects):
    tags = {"tagging": "<Tagging><TagSet><Tag><Key>a b</Key><Value>c&amp;d</Value></Tag></TagSet></Tagging>"}
    form = signer.generate_presigned_post(bucket, "tagged", Fields=tags, Conditions=[tags])
    assert post(form, b"x")[0] == 204
    assert objects.get_object_tagging(Bucket=bucket, Key="tagged")["TagSet"] == [{"Key": "a b", "Value": "c&d"}]
    status, _, body = post(form, b"x", tagging="<Tagging>")
    assert status == 403, body
