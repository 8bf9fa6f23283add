"""Signs requests with botocore, an implementation that is not ours, into botocore/*.http.

Run in this folder when a case is added: python3 generate.py
"""

import datetime
import io
from unittest import mock

import boto3
from botocore.config import Config
from botocore.httpsession import URLLib3Session

NOW = datetime.datetime(2015, 8, 30, 12, 36, tzinfo=datetime.timezone.utc)
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CONFIG = {"s3": {"addressing_style": "path"}, "signature_version": "s3v4"}


class Recorded(Exception):
    pass


def client(service, token=None, scheme="http", **config):
    return boto3.client(
        service, region_name="eu-west-1", endpoint_url=f"{scheme}://127.0.0.1:4566", aws_access_key_id=KEY,
        aws_secret_access_key=SECRET, aws_session_token=token, config=Config(retries={"total_max_attempts": 1}, **config),
    )


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def write(name, method, url, headers, body):
    target = url.split("4566", 1)[1]
    lines = [f"{method} {target} HTTP/1.1", "Host:127.0.0.1:4566"]
    # What differs from machine to machine is never signed.
    kept = [(key, value) for key, value in headers.items() if key.lower() != "user-agent" and "sdk-" not in key[:8]]
    lines += [f"{key}:{text(value)}" for key, value in kept]
    with open(f"botocore/{name}.http", "wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode() + body)


def record(name, service, operation, token=None, config=None, **arguments):
    def send(self, request):
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        write(name, request.method, request.url, request.headers, body.encode() if isinstance(body, str) else body)
        raise Recorded

    with mock.patch.object(URLLib3Session, "send", send), mock.patch("botocore.auth.get_current_datetime", lambda: NOW):
        try:
            getattr(client(service, token, **(config or {})), operation)(**arguments)
        except Recorded:
            pass


def presign(name, operation, token=None, headers=(), **arguments):
    with mock.patch("botocore.auth.get_current_datetime", lambda: NOW):
        url = client("s3", token, **CONFIG).generate_presigned_url(operation, Params=arguments, ExpiresIn=900)
    write(name, "PUT" if operation == "put_object" else "GET", url, dict(headers), b"")


ARN = "arn:aws:lambda:eu-west-1:000000000000:function:thumbnail"
record("lambda-arn", "lambda", "get_function", FunctionName=ARN, Qualifier="$LATEST")
record("lambda-token", "lambda", "list_functions", token="a/token+with=signs", MaxItems=3)
record("lambda-invoke", "lambda", "invoke", FunctionName="thumbnail", Payload=b'{"n": 1}', InvocationType="Event")
record("gateway-tags", "apigatewayv2", "get_tags", ResourceArn="arn:aws:apigateway:eu-west-1::/apis/a1b2c3")
record("logs-json", "logs", "describe_log_groups", logGroupNamePrefix="/aws/lambda/")
record("stack-query", "cloudformation", "describe_stacks", StackName="photos & more")
for word, key in [("plain", "a.txt"), ("dots", "a/../b/./c//d/"), ("signs", "ü (1)+~*'!&=$@:,;?#%.txt")]:
    record(f"s3-get-{word}", "s3", "get_object", config=CONFIG, Bucket="photos", Key=key, Range="bytes=0-9")
    presign(f"s3-presigned-{word}", "get_object", Bucket="photos", Key=key)
record("s3-list", "s3", "list_objects_v2", config=CONFIG, Bucket="photos", Prefix="a b/+", Delimiter="/", MaxKeys=2)
record("s3-put", "s3", "put_object", config=CONFIG, Bucket="photos", Key="k", Body=b"hello", Metadata={"two": "a  b"})
record("s3-put-token", "s3", "put_object", token="t", config=CONFIG, Bucket="photos", Key="k", Body=b"")
# Over TLS the payload goes unsigned, in chunks with a trailer.
TLS = CONFIG | {"scheme": "https"}
record("s3-put-trailer", "s3", "put_object", config=TLS, Bucket="photos", Key="k", Body=io.BytesIO(b"hello" * 1000))
presign("s3-presigned-put", "put_object", token="a/t+=", headers={"Content-Type": "image/png"}, Bucket="photos", Key="k",
        ContentType="image/png")
