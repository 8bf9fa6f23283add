"""`mayfly deploy` and `mayfly dev` as their users meet them: real dependencies, real mistakes, a real terminal."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import urllib.error
import urllib.request

import mayfly
import pytest
from mayfly import invoke, until

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Python:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: STACK-python
      Runtime: python3.11
      Handler: app.handler
      CodeUri: python/
  Node:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: STACK-node
      Runtime: nodejs20.x
      Handler: index.handler
      CodeUri: node/
"""
PYTHON = "import peppercorn\ndef handler(event, context):\n    print('WORD says python')\n    return ['WORD', peppercorn.__name__]\n"
NODE = "const ms = require('ms')\nexports.handler = async () => { console.log('node logs'); return ['WORD', ms('2 days')] }\n"


def project(folder, stack, word="first"):
    for name in ("python", "node"):
        (folder / name).mkdir()
    (folder / "template.yaml").write_text(TEMPLATE.replace("STACK", stack))
    (folder / "python/app.py").write_text(PYTHON.replace("WORD", word))
    (folder / "python/requirements.txt").write_text("peppercorn==0.6\n")
    (folder / "node/index.js").write_text(NODE.replace("WORD", word))
    (folder / "node/package.json").write_text(json.dumps({"name": "n", "private": True, "dependencies": {"ms": "2.1.3"}}))
    return folder


def actions(done):
    return {one["LogicalId"]: one["Action"] for one in json.loads(done.stdout)["Resources"]}


def test_dependencies_are_installed_by_the_languages_own_clients(cloud, functions, tmp_path):
    folder = project(tmp_path, "built")
    first = actions(cloud.run("deploy", folder, "--stack", "built", "--json"))
    assert set(first.values()) == {"created"} or "unchanged" not in first.values(), first
    assert invoke(functions, "built-python")[1] == ["first", "peppercorn"]
    assert invoke(functions, "built-node")[1] == ["first", 172800000]
    assert not (folder / "node/node_modules").exists() and not (folder / "python/peppercorn").exists()
    assert set(actions(cloud.run("deploy", folder, "--stack", "built", "--json")).values()) == {"unchanged"}
    (folder / "python/app.py").write_text(PYTHON.replace("WORD", "second"))
    changed = actions(cloud.run("deploy", folder, "--stack", "built", "--json"))
    assert changed["Node"] == "unchanged" and changed["Python"] != "unchanged", changed
    assert invoke(functions, "built-python")[1][0] == "second"

    bare = cloud.run("deploy", folder, "--stack", "built", "--no-build", "--json")
    assert actions(bare)["Python"] != "unchanged"
    _, error = invoke(functions, "built-python")
    assert "peppercorn" in error["errorMessage"] and error["errorType"] == "Runtime.ImportModuleError", error
    cloud.run("delete", "--stack", "built", "--yes")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        invoke(functions, "built-python")


def test_a_build_that_fails_changes_nothing_and_says_where(cloud, functions, tmp_path):
    folder = project(tmp_path, "unbuilt")
    cloud.run("deploy", folder, "--stack", "unbuilt", "--no-build")
    (folder / "python/requirements.txt").write_text("peppercorn==0.0.0.1\n")
    (folder / "node/index.js").write_text("exports.handler = async () => 'changed'\n")
    failed = cloud.run("deploy", folder, "--stack", "unbuilt", check=False)
    line = 1 + TEMPLATE.splitlines().index("  Python:")
    assert failed.returncode == 1
    assert "peppercorn==0.0.0.1" in failed.stderr, failed.stderr
    found = re.search(r"template\.yaml:(\d+)", failed.stderr)
    assert found and line <= int(found[1]) <= line + 6, failed.stderr
    assert "changed" not in json.dumps(invoke(functions, "unbuilt-node")[1]), "nothing is deployed of what is half built"


def test_a_failure_in_the_middle_puts_the_old_code_back(cloud, functions, tmp_path):
    folder = project(tmp_path, "middle")
    cloud.run("deploy", folder, "--stack", "middle")
    (folder / "python/app.py").write_text(PYTHON.replace("WORD", "never"))
    broken = TEMPLATE.replace("STACK", "middle") + """
  Clash:
    Type: AWS::S3::Bucket
    DependsOn: Python
    Properties: {BucketName: "Not A Bucket"}
"""
    (folder / "template.yaml").write_text(broken)
    failed = cloud.run("deploy", folder, "--stack", "middle", check=False)
    assert failed.returncode == 1 and "Clash" in failed.stderr and "template.yaml:" in failed.stderr, failed.stderr
    assert invoke(functions, "middle-python")[1][0] == "first"
    (folder / "template.yaml").write_text(TEMPLATE.replace("STACK", "middle"))
    again = actions(cloud.run("deploy", folder, "--stack", "middle", "--json"))
    assert again["Node"] == "unchanged", again
    assert invoke(functions, "middle-python")[1][0] == "never"


class Terminal:
    """A program in a terminal of its own, and what it has written."""

    def __init__(self, command, env):
        ours, theirs = pty.openpty()
        self.master = ours
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.text = ""
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        while True:
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                return

    def says(self, pattern):
        try:
            return until(lambda: re.search(pattern, self.text))
        except AssertionError:
            raise AssertionError(f"no {pattern!r} in {self.text}") from None


def test_dev_follows_the_sources_colours_the_logs_and_ends_with_ctrl_c(tmp_path):
    folder = project(tmp_path, "dev")
    (folder / "python/requirements.txt").unlink()
    (folder / "python/app.py").write_text(PYTHON.replace("WORD", "first").replace("import peppercorn\n", "")
                                          .replace("peppercorn.__name__", "1"))
    data = tmp_path / "data"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "NO_COLOR"}
    dev = Terminal([mayfly.BINARY, "dev", folder, "--data", data, "--listen", "127.0.0.1:0"], {**env, "TERM": "xterm"})
    try:
        dev.says(r"ready\S* \d+ ms")
        running = mayfly.Server(tmp_path)
        running.log.close()
        running.endpoint = json.loads((data / "root-key.json").read_text())["endpoint"]
        functions = running.client("lambda")
        assert invoke(functions, "dev-python")[1][0] == "first"
        assert invoke(functions, "dev-node")[1][0] == "first"
        colours = {name: dev.says(rf"(\x1b\[\d+m)dev-{name}\x1b\[0m [^\n]*{said}")[1]
                   for name, said in (("python", "first says python"), ("node", "node logs"))}
        assert colours["python"] != colours["node"]
        for round in ("second", "third"):
            source = folder / "python/app.py"
            source.write_text(re.sub(r"first|second", round, source.read_text()))
            # A source may be taken up while it is being written; what is broken then is mended by the rest.
            until(lambda: invoke(functions, "dev-python")[1] == [round, 1])
            assert invoke(functions, "dev-node")[1][0] == "first", "what did not change is not touched"
            dev.says(rf"dev-python\x1b\[0m [^\n]*{round} says python")
        # A mistake is told and does not end it; the old code goes on serving.
        good = (folder / "template.yaml").read_text()
        (folder / "template.yaml").write_text(good.replace("AWS::Serverless::Function", "AWS::Nonsense::Thing"))
        dev.says(r"error:\S* [\s\S]*AWS::Nonsense::Thing")
        assert invoke(functions, "dev-python")[1][0] == "third"
        (folder / "template.yaml").write_text(good)
        source.write_text(source.read_text().replace("third", "fourth"))
        until(lambda: invoke(functions, "dev-python")[1] == ["fourth", 1])
        os.write(dev.master, b"\x03")
        assert dev.process.wait(timeout=mayfly.PATIENCE) == 0, dev.text
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(running.endpoint + "/_mayfly/health", timeout=60)
        with mayfly.server() as again:
            # The data directory was let go of in order.
            again.stop()
            again.data = data
            assert again.start().stop() == 0
    finally:
        if dev.process.poll() is None:
            os.killpg(dev.process.pid, signal.SIGKILL)
            dev.process.wait()
        # Its number is another file's soon, and that is not the listener's to read.
        dev.listener.join(mayfly.PATIENCE)
        os.close(dev.master)
