"""A small S3 client: put, get and list on path-style addresses, signed with Signature Version 4.

Standard library only, so that the example needs nothing installed. boto3 would do as well, and takes 150 ms
to import.
"""

import hashlib
import hmac
import http.client
import os
import time
from urllib.parse import quote, urlsplit

_connection = None


class Missing(Exception):
    """There is no such object."""


def put(bucket, key, body, content_type):
    _call("PUT", "/%s/%s" % (bucket, key), body, {"content-type": content_type})


def get(bucket, key):
    """The object's bytes and its content type."""
    body, headers = _call("GET", "/%s/%s" % (bucket, key))
    return body, headers.get("content-type", "application/octet-stream")


def _call(method, path, body=b"", headers=None):
    global _connection
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    target = quote(path, safe="/-_.~")
    signed = sign(method, endpoint.netloc, target, "", body, time.time(), _credentials())
    signed.update(headers or {})
    for attempt in (1, 2):
        kind = http.client.HTTPSConnection if endpoint.scheme == "https" else http.client.HTTPConnection
        fresh = _connection is None
        _connection = _connection or kind(endpoint.netloc, timeout=20)
        try:
            _connection.request(method, target, body, signed)
            answer = _connection.getresponse()
            content = answer.read()
            break
        except (ConnectionError, http.client.HTTPException):
            # A connection kept from an earlier invocation may be closed by now. Put and get repeat well.
            _connection = None
            if fresh or attempt == 2:
                raise
    if answer.status == 404:
        raise Missing(path)
    if answer.status >= 300:
        raise OSError(
            "%s %s: %d %s" % (method, path, answer.status, content[:500].decode("utf-8", "replace"))
        )
    return content, answer.headers


def _credentials():
    """Read at each call: the platform may renew them."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
    return [os.environ.get(name, "") for name in names]


def sign(method, host, path, query, body, seconds, credentials):
    """The headers that sign a request. `path` and `query` are encoded already, the query sorted."""
    access_key, secret, token, region = credentials
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if token:
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = "".join("%s:%s\n" % (name, headers[name]) for name in sorted(headers))
    request = "\n".join((method, path, query, lines, names, digest))
    scope = "%s/%s/s3/aws4_request" % (stamp[:8], region)
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        access_key,
        scope,
        names,
        signature,
    )
    return headers
