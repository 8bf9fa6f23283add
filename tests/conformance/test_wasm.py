"""WebAssembly components of JavaScript and Python, and what guests reach: hosts, keys and values, objects."""

import concurrent.futures
import contextlib
import http.server
import json
import shutil
import threading
import urllib.error
import urllib.parse
import urllib.request

import boto3
import mayfly
import pytest
from mayfly import until

import guests

EXAMPLES = mayfly.ROOT / "examples"


def open_url(running, name):
    """A function URL that anyone may call."""
    functions = running.client("lambda")
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    allowed = {"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"}
    functions.add_permission(FunctionName=name, StatementId="anyone", **allowed)
    return f"{running.endpoint}/_url/{made.split('//')[1].split('.')[0]}/"


def ask(address, data=None, method=None):
    """The status and the text of an answer."""
    try:
        request = urllib.request.Request(address, data, method=method)
        with urllib.request.urlopen(request, timeout=mayfly.PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def deployed(running, example, built, tmp_path, **changes):
    """An example as its reader deploys it, but with more time: its API's root, by path."""
    folder = tmp_path / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("build", "node_modules"))
    (folder / "build").mkdir()
    (folder / "build" / "app.wasm").write_bytes(built["app.wasm"])
    template = folder / "template.yaml"
    for old, new in {"Runtime: wasm\n": "Runtime: wasm\n      Timeout: 30\n", **changes}.items():
        template.write_text(template.read_text().replace(old, new))
    done = running.run("deploy", folder, "--stack", example, "--json")
    url = urllib.parse.urlsplit(json.loads(done.stdout)["Outputs"]["Url"])
    return f"{running.endpoint}/_api/{url.hostname.split('.')[0]}/"


class Upstream(http.server.BaseHTTPRequestHandler):
    """Another server: says where it was asked, or nothing until its client has gone."""

    left = threading.Event()

    def do_GET(self):
        if self.path == "/slow":
            while self.connection.recv(1):
                pass
            self.left.set()
            self.close_connection = True
            return
        self.send_response(203)
        self.end_headers()
        self.wfile.write(f"asked for {self.path}".encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def ours():
    """A server that lets functions reach one port of this machine, and that port."""
    with upstream() as port, mayfly.server(f'outgoing_http = ["*", "127.0.0.1:{port}"]') as running:
        yield running, port


def lines(running, name):
    return "\n".join(mayfly.logged(running.client("logs"), name))


def test_a_javascript_component_greets_counts_and_calls_whom_it_may(ours, tmp_path):
    running, port = ours
    allowed = f"127.0.0.1:{port}, localhost:{port}, localhost:1, {running.listen}, platform"
    address = deployed(
        running, "wasm-js", guests.javascript(EXAMPLES / "wasm-js"), tmp_path, **{"example.com": f'"{allowed}"'}
    )
    names = [function["FunctionName"] for function in running.client("lambda").list_functions()["Functions"]]
    [name] = [name for name in names if name.startswith("wasm-js")]
    own = open_url(running, name)
    assert ask(own + "?name=you") == (200, "Hello, you!\n")
    assert [ask(address + "visits")[1] for _ in range(3)] == ["1\n", "2\n", "3\n"]
    assert ask(own + "none") == (404, "not found\n")

    def fetched(target):
        return ask(own + "fetch?" + urllib.parse.urlencode({"url": target}))

    assert fetched(f"http://127.0.0.1:{port}/a?b=c") == (203, "asked for /a?b=c")
    assert fetched(f"http://localhost:{port}/named") == (203, "asked for /named")
    assert fetched("http://localhost:1/")[0] == 502, "it leads to an address that the operator does not name"
    assert fetched("http://example.com/")[0] == 502
    until(lambda: "localhost:1 was denied: " in lines(running, name))
    until(lambda: "MAYFLY_OUTGOING_HTTP does not name it" in lines(running, name))

    # The way to Mayfly's own APIs: a link that the root key signed, opened from within.
    objects = running.client("s3", signature_version="s3v4")
    objects.create_bucket(Bucket="seen-by-guests")
    objects.put_object(Bucket="seen-by-guests", Key="k", Body=b"an object")
    key = running.key
    inside = boto3.Session(key["access_key_id"], key["secret_access_key"], region_name="us-east-1").client(
        "s3", endpoint_url="http://127.0.0.1:4566"
    )
    link = inside.generate_presigned_url("get_object", {"Bucket": "seen-by-guests", "Key": "k"})
    assert fetched(link) == (200, "an object")
    assert fetched(running.endpoint + "/_mayfly/health")[0] == 502, "the server's own port is no way in"

    functions = running.client("lambda")
    functions.update_function_configuration(FunctionName=name, Timeout=5)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert fetched(f"http://127.0.0.1:{port}/slow")[0] == 504
    assert Upstream.left.wait(mayfly.PATIENCE), "its connection is closed"


def test_a_python_component_keeps_notes_in_a_bucket(ours, tmp_path):
    running, _ = ours
    address = deployed(running, "wasm-python", guests.python(EXAMPLES / "wasm-python"), tmp_path)
    long = "a long note " * 20_000
    assert ask(address + "first", b"a note", "PUT") == (201, "kept\n")
    assert ask(address + "long", long.encode(), "PUT") == (201, "kept\n")
    assert ask(address + "first") == (200, "a note")
    assert ask(address + "long") == (200, long)
    assert ask(address) == (200, "first\nlong\n")
    assert ask(address + "first", method="DELETE") == (200, "gone\n")
    assert ask(address + "first") == (404, "there is no such note\n")
    objects = running.client("s3")
    [bucket] = [b["Name"] for b in objects.list_buckets()["Buckets"] if b["Name"].startswith("wasm-python")]
    assert objects.get_object(Bucket=bucket, Key="long")["Body"].read().decode() == long


@pytest.fixture(scope="module")
def component():
    return guests.python(guests.SOURCES / "component")


def make(running, component, name, **variables):
    functions = running.client("lambda")
    functions.create_function(
        FunctionName=name, Runtime="wasm", Handler="app.wasm", Role=mayfly.ROLE, MemorySize=256, Timeout=120,
        Code={"ZipFile": mayfly.package(component)}, Environment={"Variables": variables},
    )  # fmt: skip
    # Compiling a whole interpreter takes a while on a machine with other work.
    functions.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 240}
    )
    address = open_url(running, name)

    def do(*operations):
        status, text = ask(address, json.dumps(operations).encode())
        assert status == 200, (text, lines(running, name)[-2000:])
        return json.loads(text)

    return do


def test_keys_and_values_are_durable_and_atomic(ours, component):
    running, _ = ours
    do = make(running, component, "keys", MAYFLY_KEYVALUE="counters, texts", COLOUR="green")
    assert do(["config", "COLOUR"], ["config", "NONE"]) == ["green", None]
    refused = do(["open", "others"], ["open", "counters"])
    assert refused[0]["refused"] == "Error_AccessDenied" and refused[1] is None, refused
    said = do(
        ["open", "counters"], ["get", "k"], ["set", "k", "v"], ["get", "k"], ["exists", "k"], ["delete", "k"],
        ["exists", "k"], ["set_many", [["b", "2"], ["a", "1"]]], ["get_many", ["a", "none", "b"]], ["keys"],
        ["delete_many", ["a"]], ["keys"], ["add", "n", 5], ["add", "n", -7], ["add", "b", 1],
    )  # fmt: skip
    assert said == [
        None, None, None, "v", True, None, False, None, [["a", "1"], ["none", None], ["b", "2"]],
        [["a", "b"], None], None, [["b"], None], 5, -2, 3,
    ]  # fmt: skip
    assert "no number" in do(["open", "counters"], ["set", "t", "x"], ["add", "t", 1])[2]["refused"]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        adds = [clients.submit(do, ["open", "counters"], ["add", "many", 1]) for _ in range(40)]
        appends = [clients.submit(do, ["open", "texts"], ["append", "text", "x"]) for _ in range(40)]
        assert sorted(add.result()[1] for add in adds) == list(range(1, 41)), "none is lost and none is twice"
        assert all(isinstance(append.result()[1], int) for append in appends)
    do(["open", "texts"], ["set", "last", "word"])
    running.kill()
    running.start()
    assert do(["open", "counters"], ["get", "many"], ["get", "n"]) == [None, "40", "-2"]
    assert do(["open", "texts"], ["get", "text"], ["get", "last"]) == [None, "x" * 40, "word"]
    # Another function of the account shares the bucket if it names it, and otherwise does not.
    shares = make(running, component, "shares", MAYFLY_KEYVALUE="texts")
    assert shares(["open", "texts"], ["get", "last"], ["open", "counters"])[1:] == [
        "word",
        {"refused": "Error_AccessDenied"},
    ]


def test_objects_are_those_of_s3(ours, component):
    running, _ = ours
    objects = running.client("s3")
    objects.create_bucket(Bucket="of-guests")
    objects.create_bucket(Bucket="not-of-guests")
    do = make(running, component, "objects", MAYFLY_BLOBSTORE="of-guests made-by-guests none")
    said = do(["container", "not-of-guests"], ["container", "none"], ["there", "none"], ["there", "of-guests"])
    assert said[0]["refused"].startswith("access denied: the variable MAYFLY_BLOBSTORE"), said
    assert said[1:] == [{"refused": "there is no container none"}, False, True]

    length = 3 * 1024 * 1024
    here = ["container", "of-guests"]
    assert do(here, ["put", "large", "a", length], ["put", "small", "b", 10], ["put_late", "late", 1000]) == [None] * 4
    assert objects.get_object(Bucket="of-guests", Key="large")["Body"].read() == b"a" * length
    assert objects.head_object(Bucket="of-guests", Key="late")["ContentLength"] == 1000
    assert "write-data" in str(do(here, ["put_late", "too-late", 1_000_000])[1])
    do(here, ["put", "unfinished", "c", 100_000, False])
    objects.put_object(Bucket="of-guests", Key="from outside/ä?", Body=b"0123456789")
    objects.put_object(Bucket="of-guests", Key="empty", Body=b"")
    said = do(
        here, ["read", "from outside/ä?"], ["read", "from outside/ä?", 2, 4], ["read", "empty"], ["read", "empty", 0, 9],
        ["measure", "large"], ["has", "none"], ["has", "small"], ["info", "small"], ["names", 3], ["names", 100],
    )  # fmt: skip
    names = ["empty", "from outside/ä?", "large", "late", "small"]
    assert said[1:5] == ["0123456789", "234", "", ""], said
    assert said[5:9] == [[length, length], False, True, ["small", "of-guests", 10, True]], said
    assert said[9:] == [[names[:3], False], [names, True]], "what was not finished is no object"

    said = do(
        ["create", "made-by-guests"], ["copy", ["of-guests", "from outside/ä?"], ["made-by-guests", "copy %41+"]],
        ["move", ["of-guests", "small"], ["made-by-guests", "moved"]], ["names", 10],
        ["copy", ["not-of-guests", "k"], ["made-by-guests", "k"]],
    )  # fmt: skip
    assert said[:4] == [None, None, None, [["copy %41+", "moved"], True]], said
    assert "does not name the container not-of-guests" in said[4]["refused"]
    assert objects.get_object(Bucket="made-by-guests", Key="copy %41+")["Body"].read() == b"0123456789"
    assert do(here, ["has", "small"], ["drop", ["late", "none"]], ["has", "late"], ["clear"], ["names", 9])[1:] == [
        False, None, False, None, [[], True],
    ]  # fmt: skip
    assert do(["remove", "made-by-guests"], ["there", "made-by-guests"]) == [None, False]


def test_a_guests_credentials_are_its_functions(ours, component):
    running, _ = ours
    do = make(running, component, "credentials", MAYFLY_OUTGOING_HTTP="platform")
    names = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    endpoint, key, secret, token = do(*[["environment", name] for name in names])
    assert endpoint == "http://127.0.0.1:4566"
    session = boto3.Session(key, secret, token, region_name="us-east-1")
    identity = session.client("sts", endpoint_url=running.endpoint).get_caller_identity()
    assert identity["Arn"].endswith("credentials"), identity
    without = make(running, component, "without", MAYFLY_OUTGOING_HTTP="example.com")
    assert without(["environment", "AWS_SESSION_TOKEN"]) == [None]


# Prints `m` for each MiB that its memory grows by until it may not, `t` for each thousand elements of a table, and
# `p` for each page of 64 KiB that is left then.
GROWER = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $table 0 funcref)
  (data (i32.const 64) "mtp")
  (func $print (param $letter i32)
    (i32.store (i32.const 0) (local.get $letter))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (block $full (loop $more
      (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
      (call $print (i32.const 64))
      (br $more)))
    (block $full (loop $more
      (br_if $full (i32.eq (table.grow $table (ref.null func) (i32.const 1000)) (i32.const -1)))
      (call $print (i32.const 65))
      (br $more)))
    (block $full (loop $more
      (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
      (call $print (i32.const 66))
      (br $more)))))
"""


def test_a_wasm_guest_grows_up_to_its_functions_size(ours):
    """Memory and tables together: beyond that the guest is refused, and goes on."""
    running, _ = ours
    functions = running.client("lambda")
    mayfly.create(functions, "grower", {"grower.wat": GROWER}, runtime="wasm", handler="grower.wat", MemorySize=128,
                  Timeout=60)
    address = open_url(running, "grower")
    # A page is there at the beginning; a table ends at 100,000 elements of 8 bytes, which take 12.2 pages of the last 15.
    assert ask(address) == (200, "m" * 127 + "t" * 100 + "p" * 2)
    functions.update_function_configuration(FunctionName="grower", MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName="grower")
    assert ask(address) == (200, "m" * 255 + "t" * 100 + "p" * 2)
    until(lambda: "Max Memory Used: 256 MB" in lines(running, "grower"))


def test_a_list_of_hosts_that_is_none_is_refused_at_the_deploy(ours):
    running, _ = ours
    functions = running.client("lambda")
    hello = (EXAMPLES / "wasm-hello" / "hello.wat").read_bytes()
    functions.create_function(
        FunctionName="bad-list", Runtime="wasm", Handler="hello.wat", Role=mayfly.ROLE,
        Code={"ZipFile": mayfly.package({"hello.wat": hello})},
        Environment={"Variables": {"MAYFLY_OUTGOING_HTTP": "ftp://example.com"}},
    )  # fmt: skip
    state = until(lambda: (found := functions.get_function(FunctionName="bad-list")["Configuration"])["State"] != "Pending" and found)
    assert state["State"] == "Failed" and "`ftp://example.com` names no hosts" in state["StateReason"], state
