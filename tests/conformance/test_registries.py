"""Images of other registries: over TLS, with passwords and with tokens, by way of redirects, broken off and gone on with."""

import base64
import contextlib
import http.server
import json
import random
import re
import threading
import types
import urllib.parse

import botocore.exceptions
import images
import mayfly
import pytest
from authorities import Authority
from images import MANIFEST, Image, python_image, skopeo, tar
from mayfly import invoke, until

USER, PASSWORD = "puller", "a secret word"
#: Of the password above, as Apache's htpasswd writes it.
HTPASSWD = USER + ":$2b$05$yK8UIEOFC3oM9qJiWKnTdeRdUc4CBsLnMPom1RFCPgr3HkJa5rdCy\n"
REFRESH = "an identity token"
APP = "def handler(event, context):\n    return ['APP', event]\n"


class Front:
    """A registry in memory that wants tokens, and a network of caches to which it redirects for blobs.

    What each was asked is noted. `quirks` says how it goes wrong."""

    def __init__(self, authority, names):
        self.manifests, self.blobs, self.tokens = {}, {}, {}
        self.quirks, self.asked, self.granted, self.fetched = {}, [], [], []
        self.lock = threading.Lock()
        self.servers = []
        self.cache = self.serve(authority, names, self.of_cache)
        self.host = self.serve(authority, names, self.of_registry)

    def serve(self, authority, names, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                answer(self, body.decode())

            do_POST = do_GET

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        server = Quiet(("127.0.0.1", 0), Handler)
        if authority:
            authority.over_tls(server, *names)
        self.servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"localhost:{server.server_address[1]}"

    def add(self, repository, image, tag="v1"):
        self.manifests[f"{repository}/manifests/{tag}"] = image.manifest
        self.blobs.update(image.blobs)
        return f"{self.host}/{repository}:{tag}"

    def of_registry(self, request, body):
        path, _, query = request.path.partition("?")
        if path == "/token":
            return self.token(request, body or query, bool(body))
        repository = path.removeprefix("/v2/").split("/manifests/")[0].split("/blobs/")[0]
        self.asked.append(path)
        if request.headers["Authorization"] != f"Bearer token-of-{repository}":
            realm = f'Bearer realm="https://{self.host}/token",service="front, of house",scope="repository:{repository}:pull,push"'
            return request.answer(401, WWW_Authenticate=realm)
        if (found := self.manifests.get(path.removeprefix("/v2/"))) is not None:
            return request.answer(200, found, Content_Type=MANIFEST)
        digest = path.rpartition("/")[2]
        quirk = self.quirks.get(digest)
        if quirk in (403, 404, 500):
            return request.answer(quirk)
        if digest not in self.blobs:
            return request.answer(404)
        scheme = "http" if quirk == "downgrade" else "https"
        return request.answer(307, Location=f"{scheme}://{self.cache}/cached/{digest}?signature=private")

    def token(self, request, query, posted):
        asked = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
        header = request.headers["Authorization"] or ""
        basic = base64.b64decode(header.removeprefix("Basic ")).decode() if header else None
        self.granted.append((asked, basic))
        good = asked.get("refresh_token") == REFRESH if posted else basic == f"{USER}:{PASSWORD}"
        repository = asked["scope"].split(":")[1]
        if not good or asked["service"] != "front, of house" or repository == "forbidden":
            return request.answer(401)
        return request.answer(200, json.dumps({"token": f"token-of-{repository}"}).encode())

    def of_cache(self, request, _):
        digest = request.path.partition("?")[0].rpartition("/")[2]
        data, quirk = self.blobs[digest], self.quirks.get(digest)
        began = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "")
        start = int(began[1]) if began and quirk != "whole" else 0
        with self.lock:
            tries = sum(one == digest for one, *_ in self.fetched)
            self.fetched.append((digest, request.headers["Range"], request.headers["Authorization"]))
        if quirk == "other":
            data = data[::-1]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        if quirk in ("breaks", "whole") and tries < 3:
            # Some of it, and the end of the connection.
            request.wfile.write(data[start : (tries + 1) * len(data) // 4])
            request.close_connection = True
            return
        request.wfile.write(data[start:])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server that believes our authority, with what it may be let in by; a stock registry and two of our own."""
    folder = tmp_path_factory.mktemp("tls")
    ours = Authority(folder)
    certificate, key = ours.certificate("DNS:localhost", "IP:127.0.0.1")
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "password").write_text(PASSWORD + "\n")
    front, stranger = Front(ours, ["DNS:localhost"]), Front(Authority(folder, "stranger"), ["DNS:localhost"])
    docker = folder / "config.json"
    login(docker, front, auth=base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    auth = {"htpasswd": {"realm": "here", "path": str(folder / "htpasswd")}}
    tls = {"tls": {"certificate": str(certificate), "key": str(key)}}
    with images.stock_registry(folder, tls, auth) as (address, _):
        stock = address.replace("127.0.0.1", "localhost")
        config = f"""
certificate_authorities = "{ours.pem}"
docker_config = "{docker}"
[registries."{stock}"]
tls = true
username = "{USER}"
password_file = "{folder / 'password'}"
"""
        for host in (address, front.host, front.host.replace("localhost", "127.0.0.1"), stranger.host):
            config += f'[registries."{host}"]\ntls = true\n'
        with mayfly.server(config) as server:
            yield types.SimpleNamespace(server=server, stock=stock, address=address, front=front, stranger=stranger,
                                        folder=folder, docker=docker, ours=ours)
    for server in front.servers + stranger.servers:
        server.shutdown()


def login(file, front, **entry):
    file.write_text(json.dumps({"auths": {front.host: entry}, "credsStore": "none-of-ours"}))


def push(world, image, name, *more):
    layout = image.layout(world.folder / name.replace(":", "-"))
    skopeo("copy", *more, "--dest-cert-dir", world.ours.believed, "--dest-creds", f"{USER}:{PASSWORD}",
           f"oci:{layout}:v1", f"docker://{world.stock}/{name}")
    return f"{world.stock}/{name}"


def refused(world, uri, match):
    """The fault of a function whose image cannot be had, and that nothing secret is in it."""
    with pytest.raises(botocore.exceptions.ClientError, match=match) as caught:
        images.create(world.server, "refused", None, uri)
    assert PASSWORD not in str(caught.value) and "private" not in str(caught.value)
    return caught.value.response["Error"]["Code"]


def test_a_registry_over_tls_with_a_password(world):
    uri = push(world, python_image({"app.py": APP.replace("APP", "secured")}), "team/app:v1")
    functions = world.server.client("lambda")
    images.create(world.server, "secured", None, uri, Timeout=20)
    assert invoke(functions, "secured", 1)[1] == ["secured", 1]
    assert refused(world, f"{world.stock}/team/app:none", "does not exist") == "InvalidParameterValueException"
    # The same registry by its address, for which nothing is configured.
    open_uri = uri.replace(world.stock, world.address)
    assert refused(world, open_uri, "may not be pulled without credentials") == "AccessDeniedException"
    (world.folder / "password").write_text("a wrong word")
    assert refused(world, uri, "with the credentials that are configured") == "AccessDeniedException"
    (world.folder / "password").unlink()
    assert refused(world, uri, "cannot be read") == "AccessDeniedException"
    # No restart is needed for it to be right again.
    (world.folder / "password").write_text(PASSWORD)
    other = push(world, Image(tar({"a": "a"}), Cmd=["/a"]), "team/other:v1")
    images.create(world.server, "other", None, other)
    shown = json.dumps([functions.get_function(FunctionName="secured"), functions.list_functions()], default=str)
    assert PASSWORD not in shown + world.server.tail()


def test_layers_of_zstd_run(world):
    image = python_image({"app.py": APP.replace("APP", "zstd")}, packed=False)
    uri = push(world, image, "team/zstd:v1", "--dest-compress-format", "zstd")
    raw = json.loads(skopeo("inspect", "--raw", "--cert-dir", world.ours.believed, "--creds", f"{USER}:{PASSWORD}", f"docker://{uri}"))
    assert {layer["mediaType"] for layer in raw["layers"]} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    images.create(world.server, "zstd", None, uri, Timeout=20)
    assert invoke(world.server.client("lambda"), "zstd", 1)[1] == ["zstd", 1]


def test_tokens_are_fetched_and_go_to_their_registry_alone(world):
    front, functions = world.front, world.server.client("lambda")
    settings = {"Entrypoint": ["python3", "/client.py"], "Cmd": ["app.handler"]}
    filler, app = tar({"filler": random.randbytes(5_000_000)}), tar({"var/task/app.py": APP.replace("APP", "tokens")})
    image = Image(images.python(), filler, app, **settings)
    uri = front.add("tokens", image)
    _, layer, own = (one["digest"] for one in image.layers)
    front.quirks |= {layer: "breaks", own: "whole"}
    images.create(world.server, "tokens", None, uri, Timeout=20)
    assert invoke(functions, "tokens", 1)[1] == ["tokens", 1]
    asked = {"service": "front, of house", "scope": "repository:tokens:pull"}
    assert front.granted[0] == (asked, f"{USER}:{PASSWORD}")
    # The caches were sent no token, and asked for the rest of what broke off.
    assert {authorization for *_, authorization in front.fetched} == {None}
    size = len(front.blobs[layer])
    ranges = [range for digest, range, _ in front.fetched if digest == layer]
    assert ranges == [None, *(f"bytes={number * size // 4}-" for number in (1, 2, 3))], ranges
    assert len([1 for digest, *_ in front.fetched if digest == own]) == 4

    # An identity token, as docker keeps it for some registries, and then none that is good.
    login(world.docker, front, auth=base64.b64encode(b"0000:").decode(), identitytoken=REFRESH)
    small = Image(tar({"b": "b"}), Cmd=["/b"])
    images.create(world.server, "refreshed", None, front.add("refreshed", small))
    assert front.granted[-1][0]["refresh_token"] == REFRESH and front.granted[-1][1] is None
    login(world.docker, front, identitytoken="an old one")
    assert refused(world, front.add("stale", small), "with the credentials") == "AccessDeniedException"
    login(world.docker, front)
    assert refused(world, front.add("kept", small), "without credentials") == "AccessDeniedException"
    login(world.docker, front, username=USER, password=PASSWORD)
    assert refused(world, front.add("forbidden", small), "with the credentials") == "AccessDeniedException"
    assert REFRESH not in world.server.tail()


def test_a_layer_that_does_not_come_says_why(world):
    functions, front = world.server.client("lambda"), world.front
    login(world.docker, front, username=USER, password=PASSWORD)
    expected = {
        403: ("ImageAccessDenied", "may not be pulled"),
        404: ("ImageDeleted", "does not exist"),
        "other": ("InvalidImage", "not what its digest says"),
        "downgrade": ("InternalError", "leads out of TLS"),
        500: ("InternalError", "the registry answers 500"),
    }
    for number, (quirk, (code, text)) in enumerate(expected.items()):
        image = Image(tar({"quirk": f"{quirk}"}), Cmd=["/a"])
        front.quirks[image.layers[0]["digest"]] = quirk
        images.create(world.server, f"quirk-{number}", None, front.add(f"quirk-{number}", image), wait=False)
    for number, (quirk, (code, text)) in enumerate(expected.items()):
        now = until(lambda: (now := functions.get_function_configuration(FunctionName=f"quirk-{number}"))["State"] != "Pending" and now)
        assert (now["State"], now["StateReasonCode"]) == ("Failed", code), now
        assert text in now["StateReason"] and "private" not in now["StateReason"], now
    # What the manifest says of a layer's size bounds what is taken in.
    lying = Image(tar({"lying": "x" * 100_000}), Cmd=["/a"])
    manifest = json.loads(lying.manifest)
    manifest["layers"][0]["size"] = 64
    lying.manifest = json.dumps(manifest).encode()
    images.create(world.server, "quirk-size", None, front.add("quirk-size", lying), wait=False)
    now = until(lambda: (now := functions.get_function_configuration(FunctionName="quirk-size"))["State"] != "Pending" and now)
    assert now["StateReasonCode"] == "InvalidImage" and "more came" in now["StateReason"], now


def test_nobody_is_believed_without_a_certificate(world):
    small = Image(tar({"c": "c"}), Cmd=["/c"])
    refused(world, world.stranger.add("app", small), "invalid peer certificate.*certificate_authorities")
    assert world.stranger.asked == [] and world.stranger.granted == []
    # A good certificate of another name is none.
    refused(world, world.front.add("named", small).replace("localhost", "127.0.0.1"), "invalid peer certificate")
    # A registry of this machine is plain unless the configuration says otherwise, and one that is not does not fall back.
    with contextlib.closing(Plain()) as plain:
        world_config = f'[registries."{plain.host}"]\ntls = true\n'
        with mayfly.server(world_config) as server, pytest.raises(botocore.exceptions.ClientError, match="cannot be pulled"):
            images.create(server, "plain", None, plain.add("app", small))
        assert plain.asked == []


class Plain(Front):
    """The same without TLS."""

    def __init__(self):
        super().__init__(None, [])

    def close(self):
        for server in self.servers:
            server.shutdown()


def test_half_of_a_registrys_credentials_is_refused():
    with pytest.raises(RuntimeError, match="username and password_file go together"):
        with mayfly.server('[registries."ghcr.io"]\nusername = "me"\n'):
            pass
