"""Answers that stream: through InvokeWithResponseStream, function URLs, the Node.js runtime and a runtime of one's own."""

import base64
import http.client
import json
import re
import subprocess
import urllib.parse

import botocore.exceptions
import pytest

import guests
import mayfly
from mayfly import create, invoke, until

NODE = """
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
const page = awslambda.streamifyResponse(async (event, stream, context) => {
  stream = awslambda.HttpResponseStream.from(stream, {
    statusCode: 201, headers: { 'Content-Type': 'text/html', 'X-Made-By': 'node' }, cookies: ['a=1', 'b=2'],
  })
  stream.write(`<p>${event.rawPath ?? 'direct'}</p>`)
  stream.end()
})
const words = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType('text/plain')
  console.log(`words for ${context.awsRequestId}`)
  await pipeline(Readable.from(['one ', 'two ', 'three']), stream)
})
// Writes, and then never ends.
const hanging = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('first')
  await new Promise(() => setInterval(() => {}, 1000))
})
const broken = awslambda.streamifyResponse(async (event, stream) => {
  if (event.after) await new Promise((resolve) => stream.write('half', resolve))
  throw new RangeError('asked to fail')
})
const forgetful = awslambda.streamifyResponse(async (event, stream) => { stream.write('never ended') })
const large = awslambda.streamifyResponse(async (event, stream) => {
  const chunk = Buffer.alloc(65536, 'x')
  for (let n = 0; n < event.mebibytes * 16; n++) {
    if (!stream.write(chunk)) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  console.log(`wrote all ${event.mebibytes}`)
})
const whole = async (event) => ({ whole: true })
Object.assign(exports, { page, words, hanging, broken, forgetful, large, whole })
"""


def streaming(functions, name, handler, **more):
    create(functions, name, {"index.js": NODE}, runtime="nodejs20.x", handler=f"index.{handler}", **more)


def streamed(functions, name, event=None, **more):
    """The payload and the last event of a streamed invocation."""
    answer = functions.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event or {}), **more)
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    events = list(answer["EventStream"])
    assert all("PayloadChunk" in event for event in events[:-1])
    return b"".join(event["PayloadChunk"]["Payload"] for event in events[:-1]), events[-1]["InvokeComplete"]


def stream_url(functions, name, mode="RESPONSE_STREAM"):
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode=mode)
    functions.add_permission(FunctionName=name, StatementId="u", Action="lambda:InvokeFunctionUrl", Principal="*",
                             FunctionUrlAuthType="NONE")
    return "/_url/" + made["FunctionUrl"].split("//")[1].split(".")[0]


def ask(cloud, path):
    host = urllib.parse.urlsplit(cloud.endpoint).netloc
    connection = http.client.HTTPConnection(host, timeout=mayfly.PATIENCE)
    connection.request("GET", path)
    return connection.getresponse()


def printed(logs, name):
    return "\n".join(mayfly.logged(logs, name))


def test_a_function_streams_its_answer_to_boto3(functions):
    streaming(functions, "stream-words", "words")
    payload, complete = streamed(functions, "stream-words", LogType="Tail")
    assert payload == b"one two three" and "ErrorCode" not in complete
    assert "words for " in base64.b64decode(complete["LogResult"]).decode()
    assert "LogResult" not in streamed(functions, "stream-words")[1]
    streaming(functions, "stream-whole", "whole")
    assert json.loads(streamed(functions, "stream-whole")[0]) == {"whole": True}, "one that does not stream is streamed"
    answer = functions.invoke(FunctionName="stream-words", Payload=b"{}")
    assert answer["Payload"].read() == b"one two three", "one that streams is gathered for who wants it whole"
    dry = functions.invoke_with_response_stream(FunctionName="stream-words", InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        functions.invoke_with_response_stream(FunctionName="stream-words", Payload=b"not json")
    assert caught.value.response["Error"]["Code"] == "InvalidRequestContentException"
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.invoke_with_response_stream(FunctionName="stream-nobody")


def test_a_function_streams_its_answer_to_the_javascript_sdk(cloud, functions):
    streaming(functions, "stream-js", "words")
    script = """
import { LambdaClient, InvokeWithResponseStreamCommand } from "@aws-sdk/client-lambda"
const answer = await new LambdaClient({}).send(
  new InvokeWithResponseStreamCommand({ FunctionName: "stream-js", Payload: "{}", LogType: "Tail" }))
let text = "", complete
for await (const event of answer.EventStream) {
  if (event.PayloadChunk) text += new TextDecoder().decode(event.PayloadChunk.Payload)
  if (event.InvokeComplete) complete = event.InvokeComplete
}
console.log(JSON.stringify({ text, version: answer.ExecutedVersion, log: complete.LogResult.length > 0 }))
"""
    path = mayfly.ROOT / ".cache/node/streaming.mjs"
    path.write_text(script)
    done = subprocess.run(["node", path], env=cloud.env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"text": "one two three", "version": "$LATEST", "log": True}


def test_a_stream_arrives_while_the_function_runs_and_its_timeout_ends_it(functions, logs):
    streaming(functions, "stream-hanging", "hanging", Timeout=8)
    functions.put_function_concurrency(FunctionName="stream-hanging", ReservedConcurrentExecutions=1)
    answer = functions.invoke_with_response_stream(FunctionName="stream-hanging", Payload=b"{}")
    events = iter(answer["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
    with pytest.raises(functions.exceptions.TooManyRequestsException):
        functions.invoke_with_response_stream(FunctionName="stream-hanging", Payload=b"{}")
    complete = next(events)["InvokeComplete"]
    assert complete["ErrorCode"] == "Sandbox.Timedout" and "timed out after 8.00" in complete["ErrorDetails"]
    assert next(events, None) is None
    report = until(lambda: re.search(r"REPORT .*\tDuration: (\S+) ms\tBilled Duration: (\d+) ms",
                                     printed(logs, "stream-hanging")))
    assert float(report[1]) >= 8000 and int(report[2]) >= 8000, "the whole of the stream is counted"


def test_a_stream_that_fails_says_so_at_its_end(functions):
    streaming(functions, "stream-broken", "broken")
    for event, expected in (({}, b""), ({"after": True}, b"half")):
        payload, complete = streamed(functions, "stream-broken", event)
        details = json.loads(complete["ErrorDetails"])
        assert payload == expected and complete["ErrorCode"] == "RangeError"
        assert details["errorMessage"] == "asked to fail" and details["trace"]
        answer, error = invoke(functions, "stream-broken", event)
        assert answer["FunctionError"] == "Unhandled" and error["errorType"] == "RangeError"
    streaming(functions, "stream-forgetful", "forgetful")
    payload, complete = streamed(functions, "stream-forgetful")
    assert payload == b"never ended" and complete["ErrorCode"] == "Runtime.NodeJsExit"


def test_a_function_url_streams(cloud, functions):
    streaming(functions, "stream-page", "page")
    path = stream_url(functions, "stream-page")
    for number in range(2):
        answer = ask(cloud, f"{path}/a/{number}")
        assert (answer.status, answer.headers["content-type"], answer.headers["x-made-by"]) == (201, "text/html", "node")
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        assert answer.read() == f"<p>/a/{number}</p>".encode()
    streaming(functions, "stream-plain", "words")
    answer = ask(cloud, stream_url(functions, "stream-plain"))
    assert (answer.status, answer.headers["content-type"], answer.read()) == (200, "text/plain", b"one two three")
    streaming(functions, "stream-url-broken", "broken")
    assert ask(cloud, stream_url(functions, "stream-url-broken")).status == 502
    streaming(functions, "stream-url-hanging", "hanging", Timeout=6)
    answer = ask(cloud, stream_url(functions, "stream-url-hanging"))
    assert answer.status == 200 and answer.read(5) == b"first"
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    with_curl = subprocess.run(["curl", "-sN", f"{cloud.endpoint}{path}/curl"], capture_output=True, timeout=600)
    assert with_curl.stdout == b"<p>/curl</p>"


def test_a_slow_reader_holds_no_memory_and_one_who_leaves_stops_nothing(cloud, functions, logs):
    streaming(functions, "stream-large", "large", MemorySize=256, Timeout=600)
    path = stream_url(functions, "stream-large")
    before = resident(cloud)
    answer = functions.invoke_with_response_stream(FunctionName="stream-large", Payload=b'{"mebibytes": 96}')
    events = iter(answer["EventStream"])
    size = len(next(events)["PayloadChunk"]["Payload"])
    functions.invoke(FunctionName="stream-large", Payload=b'{"mebibytes": 1}')
    assert "wrote all 96" not in printed(logs, "stream-large"), "a function waits for its reader"
    assert resident(cloud) < before + 40, "and the server keeps none of it"
    for event in events:
        size += len(event.get("PayloadChunk", {}).get("Payload", b""))
    assert size == 96 << 20
    until(lambda: "wrote all 96" in printed(logs, "stream-large"))
    leaving = functions.invoke_with_response_stream(FunctionName="stream-large", Payload=b'{"mebibytes": 48}')
    next(iter(leaving["EventStream"]))
    leaving["EventStream"].close()
    until(lambda: "wrote all 48" in printed(logs, "stream-large"))
    assert ask(cloud, path).status == 200


def resident(cloud):
    """Mebibytes of the server itself."""
    status = open(f"/proc/{cloud.process.pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def test_a_stream_has_its_limit():
    with mayfly.server("[limits]\nstream_response_bytes = 1048576\n") as small:
        functions = small.client("lambda")
        streaming(functions, "stream-limit", "large", MemorySize=256, Timeout=60)
        payload, complete = streamed(functions, "stream-limit", {"mebibytes": 1})
        assert len(payload) == 1 << 20 and "ErrorCode" not in complete
        payload, complete = streamed(functions, "stream-limit", {"mebibytes": 2})
        assert len(payload) <= 1 << 20 and complete["ErrorCode"] == "Function.ResponseSizeTooLarge"


BOOTSTRAP = """#!/usr/bin/python3
import base64, http.client, json, os, socket
def exchange(method, path, head="", body=b"", wait=True):
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    with socket.create_connection((host, int(port))) as link:
        link.sendall(f"{method} /2018-06-01/runtime/{path} HTTP/1.1\\r\\nHost: x\\r\\n{head}\\r\\n".encode() + body)
        if not wait:
            return
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer, answer.read()
while True:
    answer, event = exchange("GET", "invocation/next")
    event, mode = json.loads(event), json.loads(event).get("mode", "streaming")
    path = f"invocation/{answer.headers['lambda-runtime-aws-request-id']}/response"
    head = (f"Lambda-Runtime-Function-Response-Mode: {mode}\\r\\nContent-Type: application/x-own\\r\\n"
            "Transfer-Encoding: chunked\\r\\n"
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\\r\\n")
    trailers = ""
    if event.get("fail"):
        text = base64.b64encode(b'{"errorMessage": "in the middle"}').decode()
        trailers = f"Lambda-Runtime-Function-Error-Type: Own.Error\\r\\nLambda-Runtime-Function-Error-Body: {text}\\r\\n"
    end = "" if event.get("torn") else f"0\\r\\n{trailers}\\r\\n"
    exchange("POST", path, head, ("5\\r\\nhello\\r\\n" + end).encode(), wait=not event.get("torn"))
"""


def test_a_runtime_of_ones_own_streams_and_tells_its_errors_in_trailers(functions, cloud):
    create(functions, "stream-own", {"bootstrap*": BOOTSTRAP}, runtime="provided.al2023", handler="h", Timeout=60)
    assert streamed(functions, "stream-own") == (b"hello", {})
    payload, complete = streamed(functions, "stream-own", {"fail": True})
    assert payload == b"hello" and complete["ErrorCode"] == "Own.Error"
    assert json.loads(complete["ErrorDetails"]) == {"errorMessage": "in the middle"}
    answer, error = invoke(functions, "stream-own", {"fail": True})
    assert answer["FunctionError"] == "Unhandled" and error == {"errorMessage": "in the middle"}
    payload, complete = streamed(functions, "stream-own", {"torn": True})
    assert payload == b"hello" and complete["ErrorCode"] == "Runtime.TruncatedResponse"
    _, complete = streamed(functions, "stream-own", {"mode": "sideways"})
    assert complete["ErrorCode"] == "Runtime.InvalidResponseModeHeader"
    assert ask(cloud, stream_url(functions, "stream-own")).headers["content-type"] == "application/x-own"


WEB = """
import http.server, os, time
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        hangs = "hang" in self.path or b"hang" in self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\\r\\nfirst\\r\\n")
        while hangs:
            time.sleep(1)
        self.wfile.write(b"7\\r\\n second\\r\\n0\\r\\n\\r\\n")
    do_POST = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.mark.parametrize("kind", ["web", "wasm"])
def test_functions_that_speak_http_stream(cloud, functions, logs, kind):
    """What is written arrives while the function still runs; one that does not end is cut off by its timeout."""
    name = f"stream-{kind}"
    if kind == "web":
        create(functions, name, {"page.py": WEB}, runtime="web", handler="python3 /var/task/page.py", MemorySize=256,
               Timeout=6)
    else:
        create(functions, name, guests.wasm("stream"), runtime="wasm", handler="stream.wasm", Timeout=6)
    assert streamed(functions, name) == (b"first second", {})
    assert functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read() == b"first second"
    events = iter(functions.invoke_with_response_stream(FunctionName=name, Payload=b'"hang"')["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"first"}}, "before the function is done"
    complete = next(events)["InvokeComplete"]
    assert complete["ErrorCode"] == "Sandbox.Timedout", complete
    assert next(events, None) is None
    path = stream_url(functions, name)
    answer = ask(cloud, path)
    assert (answer.status, answer.headers["content-type"], answer.read()) == (200, "text/plain", b"first second")
    answer = ask(cloud, path + "/?hang")
    assert answer.status == 200 and answer.read(5) == b"first"
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    assert ask(cloud, path).read() == b"first second", "and the next is served"
