"""The whole first path, with unmodified clients: deploy, call, upload, react, read the logs, lose nothing."""

import json
import subprocess
import urllib.error
import urllib.request

import boto3
import botocore
import pytest

import mayfly
from mayfly import create, invoke, until

PYTHON = """
import json, os
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("hello from", context.function_name)
    if event and event.get("fail"):
        raise ValueError("asked to fail")
    return {"event": event, "calls": calls, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis()}
"""


def test_a_python_function_is_created_invoked_and_deleted(functions, logs):
    made = create(functions, "py", {"app.py": PYTHON}, Environment={"Variables": {"GREETING": "hi"}}, Timeout=60)
    assert made["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:py"
    answer, result = invoke(functions, "py", {"x": 1}, LogType="Tail")
    assert (answer["StatusCode"], result["event"], result["calls"]) == (200, {"x": 1}, 1)
    assert 0 < result["left"] <= 60_000
    _, again = invoke(functions, "py", {"x": 2})
    assert again["calls"] == 2, "the instance is warm"

    answer, error = invoke(functions, "py", {"fail": True})
    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "asked to fail")
    assert any("handler" in line for line in error["stackTrace"])

    def lines():
        text = "\n".join(mayfly.logged(logs, "py"))
        return text if text.count("REPORT") >= 3 else None

    text = until(lines)
    assert "START RequestId: " + result["id"] in text and "END RequestId: " + result["id"] in text
    assert "hello from py" in text and "Init Duration" in text and "Max Memory Used" in text
    functions.delete_function(FunctionName="py")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        invoke(functions, "py")


def test_a_node_function_runs(functions):
    create(
        functions,
        "node",
        {"index.mjs": "export const handler = async (event, context) => ({ got: event, id: context.awsRequestId })"},
        runtime="nodejs20.x",
        handler="index.handler",
    )
    _, result = invoke(functions, "node", {"a": [1, "ü"]})
    assert result["got"] == {"a": [1, "ü"]} and result["id"]


def test_a_bootstrap_of_any_kind_runs_and_one_that_exits_is_told(functions):
    speaks = """#!/bin/sh
exec python3 - <<'CODE'
import http.client, os
while True:
    c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse(); body = r.read()
    c.request("POST", "/2018-06-01/runtime/invocation/%s/response" % r.headers["Lambda-Runtime-Aws-Request-Id"], b'"own: ' + body[1:])
    c.getresponse().read()
CODE
"""
    create(functions, "own", {"bootstrap*": speaks}, runtime="provided.al2023", handler="x", Timeout=60)
    _, result = invoke(functions, "own", "me")
    assert result == "own: me"
    create(functions, "quits", {"bootstrap*": "#!/bin/sh\nexit 3\n"}, runtime="provided.al2023", handler="x")
    answer, error = invoke(functions, "quits")
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.ExitError" and "exit status 3" in error["errorMessage"]


def test_an_upload_triggers_a_function_that_writes_back_with_boto_style_calls(functions, objects):
    code = """
import os, sys, json
sys.path.insert(0, os.path.dirname(__file__))
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    record = event["Records"][0]["s3"]
    body = s3.get_object(Bucket=record["bucket"]["name"], Key=record["object"]["key"])["Body"].read()
    s3.put_object(Bucket=record["bucket"]["name"], Key="out/" + record["object"]["key"].split("/")[-1], Body=body.upper())
"""
    made = create(functions, "upper", {"app.py": code, **boto3_files()}, Timeout=120, MemorySize=512)
    objects.create_bucket(Bucket="inbox")
    functions.add_permission(
        FunctionName="upper", StatementId="s3", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::inbox",
    )
    rule = {"LambdaFunctionArn": made["FunctionArn"], "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}}
    objects.put_bucket_notification_configuration(
        Bucket="inbox", NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )
    objects.put_object(Bucket="inbox", Key="in/a.txt", Body=b"shout")

    def written():
        found = objects.list_objects_v2(Bucket="inbox", Prefix="out/").get("Contents")
        return found and objects.get_object(Bucket="inbox", Key="out/a.txt")["Body"].read()

    assert until(written) == b"SHOUT"


def boto3_files():
    """boto3 as a user would vendor it."""
    import pathlib
    import dateutil, jmespath, s3transfer, urllib3, six

    files = {"six.py": pathlib.Path(six.__file__).read_bytes()}
    for module in (boto3, botocore, dateutil, jmespath, s3transfer, urllib3):
        root = pathlib.Path(module.__file__).parent
        for path in root.rglob("*"):
            inside = path.relative_to(root.parent)
            models = inside.parts[:2] == ("botocore", "data") and len(inside.parts) > 3 and inside.parts[2] != "s3"
            keep = not models
            if path.is_file() and path.suffix != ".pyc" and keep:
                files[str(inside)] = path.read_bytes()
    return files


def test_http_apis_and_function_urls_call_functions(cloud, functions):
    code = """
import json
def handler(event, context):
    if event["rawPath"].endswith("/teapot"):
        return {"statusCode": 418, "headers": {"x-pot": "tea"}, "cookies": ["a=1", "b=2"], "body": "short and stout"}
    return {"method": event["requestContext"]["http"]["method"], "body": event.get("body"), "params": event.get("pathParameters")}
"""
    made = create(functions, "web", {"app.py": code})
    api = cloud.client("apigatewayv2")
    created = api.create_api(Name="pets", ProtocolType="HTTP", Target=made["FunctionArn"])
    functions.add_permission(FunctionName="web", StatementId="api", Action="lambda:InvokeFunction",
                             Principal="apigateway.amazonaws.com")
    base = f"{cloud.endpoint}/_api/{created['ApiId']}"
    request = urllib.request.Request(base + "/pets/7", data=b"text", headers={"content-type": "text/plain"})
    with urllib.request.urlopen(request) as response:
        assert json.load(response) == {"method": "POST", "body": "text", "params": None}
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(base + "/teapot")
    error = caught.value
    assert (error.code, error.headers["x-pot"], error.read()) == (418, "tea", b"short and stout")
    assert error.headers.get_all("set-cookie") == ["a=1", "b=2"]
    host = created["ApiEndpoint"].removeprefix("http://")
    by_host = urllib.request.Request(cloud.endpoint + "/x", headers={"Host": host})
    assert json.load(urllib.request.urlopen(by_host))["method"] == "GET"

    url = functions.create_function_url_config(FunctionName="web", AuthType="NONE")["FunctionUrl"]
    functions.add_permission(FunctionName="web", StatementId="url", Action="lambda:InvokeFunctionUrl",
                             Principal="*", FunctionUrlAuthType="NONE")
    host = url.removeprefix("http://").rstrip("/")
    by_host = urllib.request.Request(cloud.endpoint + "/y", headers={"Host": host})
    assert json.load(urllib.request.urlopen(by_host))["method"] == "GET"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{cloud.endpoint}/_api/nosuchapi/")
    assert caught.value.code == 404


def test_a_web_function_and_a_wasm_function_are_passed_the_request_itself(cloud, functions):
    server = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(201)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""
    create(functions, "server", {"server.py": server}, runtime="web", handler="python3 /var/task/server.py",
           MemorySize=256)
    wat = (mayfly.ROOT / "examples/wasm-hello/hello.wat").read_bytes()
    create(functions, "guest", {"hello.wat": wat}, runtime="wasm", handler="hello.wat")

    def url(name):
        made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        functions.add_permission(FunctionName=name, StatementId="u", Action="lambda:InvokeFunctionUrl",
                                 Principal="*", FunctionUrlAuthType="NONE")
        return f"{cloud.endpoint}/_url/{made.split('//')[1].split('.')[0]}/"

    address = url("server")
    for body in (b"abc", bytes(range(256)) * 40_000):
        with urllib.request.urlopen(urllib.request.Request(address, data=body)) as response:
            assert (response.status, response.read()) == (201, body[::-1])
    with urllib.request.urlopen(url("guest")) as response:
        assert response.status == 200 and response.read()
    event = functions.invoke(FunctionName="server", Payload=b"[1, 2]")
    assert event["Payload"].read() == b"]2 ,1[", "an event is the body of a request"


def test_the_aws_cli_works_unmodified(cloud, tmp_path):
    def aws(*arguments):
        command = [str(mayfly.ROOT / ".cache/venv/bin/aws"), *arguments]
        done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "app.zip").write_bytes(mayfly.package({"app.py": PYTHON}))
    aws("lambda", "create-function", "--function-name", "cli", "--runtime", "python3.11", "--handler", "app.handler",
        "--role", mayfly.ROLE, "--zip-file", f"fileb://{tmp_path}/app.zip")
    aws("lambda", "wait", "function-active-v2", "--function-name", "cli")
    aws("lambda", "invoke", "--function-name", "cli", "--payload", '{"a": 1}', str(tmp_path / "out.json"))
    assert json.loads((tmp_path / "out.json").read_text())["event"] == {"a": 1}
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 4 * 1024 * 20)
    aws("s3", "mb", "s3://cli-bucket")
    aws("s3", "cp", "--quiet", str(big), "s3://cli-bucket/dir/big.bin")
    assert "big.bin" in aws("s3", "ls", "s3://cli-bucket/dir/")
    aws("s3", "cp", "--quiet", "s3://cli-bucket/dir/big.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    assert json.loads(aws("sts", "get-caller-identity"))["Account"] == "000000000000"


def test_the_javascript_sdk_works_unmodified(cloud, tmp_path):
    script = """
import { S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand } from "@aws-sdk/client-s3"
import { LambdaClient, ListFunctionsCommand } from "@aws-sdk/client-lambda"
const s3 = new S3Client({ forcePathStyle: true })
await s3.send(new CreateBucketCommand({ Bucket: "js-bucket" }))
await s3.send(new PutObjectCommand({ Bucket: "js-bucket", Key: "a b/ü", Body: "from js", Metadata: { who: "me" } }))
const got = await s3.send(new GetObjectCommand({ Bucket: "js-bucket", Key: "a b/ü" }))
const listed = await new LambdaClient({}).send(new ListFunctionsCommand({}))
console.log(JSON.stringify({ body: await got.Body.transformToString(), who: got.Metadata.who, functions: Array.isArray(listed.Functions) }))
"""
    folder = mayfly.ROOT / ".cache/node"
    path = folder / "story.mjs"
    path.write_text(script)
    done = subprocess.run(["node", path], env=cloud.env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"body": "from js", "who": "me", "functions": True}


def test_bad_signatures_and_bad_input_get_the_documented_faults(cloud, functions, objects):
    forged = boto3.client("s3", endpoint_url=cloud.endpoint, region_name="us-east-1",
                          aws_access_key_id=cloud.key["access_key_id"], aws_secret_access_key="x" * 40)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        forged.list_buckets()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.create_function(FunctionName="bad", Runtime="python3.11", Handler="a.b", Role=mayfly.ROLE,
                                  Code={"ZipFile": b"not a zip"})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.create_function(FunctionName="bad", Runtime="python3.11", Handler="a.b", Role=mayfly.ROLE,
                                  Code={"ZipFile": mayfly.package({"../../etc/evil": "x"})})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    signer = cloud.client("s3", signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": "none", "Key": "k"}, ExpiresIn=60)
    objects.create_bucket(Bucket="presigned")
    put = signer.generate_presigned_url("put_object", Params={"Bucket": "presigned", "Key": "k"}, ExpiresIn=60)
    urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT"))
    get = signer.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "k"}, ExpiresIn=60)
    assert urllib.request.urlopen(get).read() == b"by url"
    with pytest.raises(urllib.error.HTTPError) as caught:
        at = url.index("X-Amz-Signature=") + len("X-Amz-Signature=")
        urllib.request.urlopen(url[:at] + ("0" if url[at] != "0" else "1") + url[at + 1 :])
    assert caught.value.code == 403
    absent = cloud.client("dynamodb")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        absent.list_tables()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
