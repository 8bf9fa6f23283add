"""Builds container images without Docker, as OCI layouts, and pushes them as stock clients do."""

import base64
import contextlib
import functools
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request

import pytest

import mayfly

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name, **more):
    """A header of a tar archive, with the fields that a test wants to be strange."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    for field, value in more.items():
        setattr(info, field, value)
    return info


def tar(files, entries=()):
    """An archive of name -> text or bytes (a name that ends in * is executable), then of (header, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            archive.addfile(entry(name.rstrip("*"), size=len(data), mode=0o755 if name.endswith("*") else 0o644), io.BytesIO(data))
        for info, data in entries:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


@functools.cache
def compressed(layer):
    return gzip.compress(layer, compresslevel=1, mtime=0)


class Image:
    """Layers from the lowest, and how the image is started."""

    def __init__(self, *layers, architecture="amd64", diff_ids=None, packed=True, **config):
        self.blobs = {}
        descriptors = []
        for layer in layers:
            data = compressed(layer) if packed else layer
            descriptors.append(self.add(data, LAYER if packed else LAYER.removesuffix("+gzip")))
        self.layers = descriptors
        document = {
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [sha256(layer) for layer in layers]},
        }
        self.config = self.add(json.dumps(document).encode(), CONFIG)
        self.manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.config, "layers": descriptors}
        ).encode()
        self.digest = sha256(self.manifest)

    def add(self, data, media_type):
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def layout(self, folder, tag="v1"):
        """The image as skopeo reads it."""
        folder = pathlib.Path(folder)
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for digest, data in [*self.blobs.items(), (self.digest, self.manifest)]:
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        named = {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest),
                 "annotations": {"org.opencontainers.image.ref.name": tag}}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return folder


class Registry:
    """The distribution protocol by hand, for what no stock client would send."""

    def __init__(self, endpoint, token=None):
        self.endpoint = endpoint
        self.authorization = f"Basic {token}" if token else None

    @classmethod
    def of(cls, server):
        data = server.client("ecr").get_authorization_token()["authorizationData"][0]
        return cls(server.endpoint, data["authorizationToken"])

    @property
    def password(self):
        return base64.b64decode(self.authorization.split()[1]).decode().removeprefix("AWS:")

    def call(self, method, path, body=None, **headers):
        """Status, headers and body; `path` may be a whole URL, as a location is allowed to be."""
        url = path if path.startswith("http") else self.endpoint + path
        request = urllib.request.Request(url, data=body, method=method)
        if self.authorization:
            request.add_header("Authorization", self.authorization)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=mayfly.PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.headers, refused.read()

    def code(self, *arguments, **more):
        """Status and code of a refusal."""
        status, _, body = self.call(*arguments, **more)
        return status, json.loads(body)["errors"][0]["code"] if body else None

    def blob(self, name, data, digest=None):
        """In one request."""
        digest = digest or sha256(data)
        return self.call("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data,
                         Content_Type="application/octet-stream")

    def push(self, name, image, tag="v1"):
        for data in image.blobs.values():
            status, _, body = self.blob(name, data)
            assert status == 201, body
        status, _, body = self.call("PUT", f"/v2/{name}/manifests/{tag}", image.manifest, Content_Type=MANIFEST)
        assert status == 201, body
        return f"{self.endpoint.removeprefix('http://')}/{name}:{tag}"


@contextlib.contextmanager
def stock_registry(folder, http=None, auth=None):
    """Debian's registry on a port of its own choice, which its log tells; its address and its process."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed: there is no other registry to pull from")
    config, log = folder / "config.yml", folder / "registry.log"
    config.write_text(json.dumps({
        "version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", **(http or {})}, "log": {"level": "info"}, **({"auth": auth} if auth else {})}))
    with open(log, "wb") as out:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=out, stderr=out)

    def listening():
        assert process.poll() is None, log.read_text()
        return re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())

    try:
        yield mayfly.until(listening)[1], process
    finally:
        process.kill()
        process.wait()


def skopeo(*arguments):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed: no stock client of registries to test with")
    done = subprocess.run(["skopeo", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CLIENT = '''
import http.client, importlib, json, os, sys, types
sys.path.insert(0, os.environ.get("LAMBDA_TASK_ROOT", "/var/task"))
door = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def ask(method, path, document=None):
    door.request(method, "/2018-06-01/runtime/" + path, None if document is None else json.dumps(document))
    answer = door.getresponse()
    return answer.headers, answer.read()
def described(error):
    return {"errorType": type(error).__name__, "errorMessage": str(error)}
try:
    module, name = sys.argv[1].rsplit(".", 1)
    handler = getattr(importlib.import_module(module), name)
except Exception as error:
    ask("POST", "init/error", described(error))
    sys.exit(1)
while True:
    headers, payload = ask("GET", "invocation/next")
    id = headers["Lambda-Runtime-Aws-Request-Id"]
    context = types.SimpleNamespace(aws_request_id=id)
    try:
        answer = handler(json.loads(payload), context)
    except Exception as error:
        ask("POST", f"invocation/{id}/error", described(error))
    else:
        ask("POST", f"invocation/{id}/response", answer)
'''


def libraries(paths):
    """What the loader finds for these programs and modules on this machine."""
    found = set()
    for path in paths:
        printed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        found |= {word for line in printed.splitlines() for word in line.split() if word.startswith("/")}
    return found


def copied(paths):
    """Name -> bytes of files of this machine, at their own places."""
    return {path.lstrip("/") + "*": pathlib.Path(path).read_bytes() for path in sorted(paths)}


@functools.cache
def python():
    """A layer with this machine's Python, a shell and a few programs: what a base image brings."""
    ask = "import sys, sysconfig; print(sys.executable); print(sysconfig.get_path('stdlib'))"
    program, library = subprocess.run(["python3", "-I", "-c", ask], capture_output=True, text=True).stdout.split()
    library = pathlib.Path(library)
    left_out = {"test", "tests", "idlelib", "dist-packages", "site-packages", "__pycache__", "ensurepip", "tkinter",
                "lib2to3", "pydoc_data", "distutils", "unittest", "asyncio", "sqlite3"}
    unused = ("_test", "_tkinter", "_curses", "_sqlite", "_dbm", "_gdbm", "_codecs_", "readline")
    files, modules = {}, []
    for path in sorted(library.rglob("*")):
        inside = path.relative_to(library).parts
        left = left_out & set(inside) or inside[0].startswith("config-") or path.name.startswith(unused)
        if path.is_file() and not left:
            files[str(path).lstrip("/")] = path.read_bytes()
            if path.suffix == ".so":
                modules.append(str(path))
    programs = [shutil.which(name) for name in ("sh", "rm", "su")]
    files |= copied(libraries([program, *programs, *modules]) | {path for path in programs if path})
    files["usr/bin/python3*"] = pathlib.Path(program).resolve().read_bytes()
    files["client.py"] = CLIENT
    # With another user's rights, as it would be on a machine.
    rights = [(entry("usr/bin/su", mode=0o6755), files.get("usr/bin/su*", b""))]
    return tar(files, [(entry("bin", type=tarfile.SYMTYPE, linkname="usr/bin"), b""), *rights])


def python_image(files, **config):
    """An image whose functions are called by a client of its own, as `awslambdaric` does."""
    settings = {"Entrypoint": ["python3", "/client.py"], "Cmd": ["app.handler"], **config}
    return Image(python(), tar({f"var/task/{name}": content for name, content in files.items()}), **settings)


def create(cloud, name, image, uri=None, wait=True, **more):
    """A function of an image that is pushed to a repository of the function's name."""
    aws = cloud.client("lambda")
    if uri is None:
        ecr = cloud.client("ecr")
        with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=name)
        uri = Registry.of(cloud).push(name, image)
    made = aws.create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": uri}, Role=mayfly.ROLE, **more
    )
    if wait:
        aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 600})
    return made
