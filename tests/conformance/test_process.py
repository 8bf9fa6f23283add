"""The server as a process of its machine: what it costs when nothing happens, and what its README promises."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import time

import mayfly
from mayfly import create, family, invoke, until

TICK = os.sysconf("SC_CLK_TCK")


def owners(pid):
    """The host's users to whom a process and its descendants belong."""
    found = set()
    for one in family(pid):
        with contextlib.suppress(OSError):
            found.add(int(re.search(r"^Uid:\s+(\d+)", pathlib.Path(f"/proc/{one}/status").read_text(), re.MULTILINE)[1]))
    return found


def ticks(pid):
    """What a process and each of its descendants have used so far; one that ends meanwhile is none."""
    found = {}
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            found[one] = int(fields[11]) + int(fields[12])
    return found


def used(pid, seconds):
    before = ticks(pid)
    time.sleep(seconds)
    return sum(now - before.get(one, 0) for one, now in ticks(pid).items())


def test_an_idle_server_with_functions_and_warm_instances_uses_no_processor_time():
    with mayfly.server() as cloud:
        functions = cloud.client("lambda")
        for number in range(20):
            functions.create_function(
                FunctionName=f"idle-{number}", Runtime="python3.11", Handler="app.handler", Role=mayfly.ROLE,
                Code={"ZipFile": mayfly.package({"app.py": f"def handler(e, c): return {number}\n"})})
        wat = (mayfly.ROOT / "examples/wasm-hello/hello.wat").read_bytes()
        create(functions, "idle-wasm", {"hello.wat": wat}, runtime="wasm", handler="hello.wat")
        create(functions, "idle-node", {"index.mjs": "export const handler = async () => 1"}, runtime="nodejs20.x",
               handler="index.handler")
        for name in ("idle-0", "idle-1", "idle-node"):
            invoke(functions, name)
        functions.invoke(FunctionName="idle-wasm", Payload=b"{}")
        # What the last calls left to do (garbage, log batches, the language's own start) is over first.
        until(lambda: used(cloud.process.pid, 1) <= 1)
        # One of three may see what is done once a minute, which takes a slow machine longer.
        seconds = 5
        seen = sorted(used(cloud.process.pid, seconds) for _ in range(3))
        assert seen[1] / TICK / seconds < 0.01, f"{seen} ticks of {TICK} a second in {seconds} s"


def test_sandboxes_of_two_servers_share_no_user():
    """What the kernel counts by user, such as processes and open watches, is then counted for one sandbox alone."""
    with mayfly.server() as one, mayfly.server() as other:
        users = []
        for running in (one, other):
            functions = running.client("lambda")
            create(functions, "mine", {"app.py": "def handler(event, context): return 1\n"})
            invoke(functions, "mine")
            users.append(owners(running.process.pid))
        # An ordinary user has no other users to give.
        own = {os.geteuid()}
        assert all((len(seen) > 1) == (own == {0}) for seen in users) and users[0] & users[1] == own


def test_the_readme_s_commands_work_as_they_are_written(tmp_path):
    """Only the port and the home folder differ, so that it can run beside others."""
    readme = (mayfly.ROOT / "README.md").read_text()
    block = re.search(r"## Use it\n+```console\n(.*?)```", readme, re.DOTALL)[1]
    commands = [line[2:].split("  #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]
    assert len(commands) >= 8
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mayfly").symlink_to(mayfly.BINARY)
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAYFLY"))}
    env |= {"HOME": str(tmp_path), "NO_COLOR": "1", "AWS_PAGER": "",
            "PATH": f"{programs}:{mayfly.ROOT / '.cache/venv/bin'}:{os.environ['PATH']}"}
    (tmp_path / "examples").symlink_to(mayfly.ROOT / "examples")
    server, said, facts = None, {}, {}

    def shell(command):
        setup = 'eval "$(mayfly env)" && ' if server else ""
        done = subprocess.run(["bash", "-c", setup + command], cwd=tmp_path, env=env, capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    try:
        for command in commands:
            if command.startswith("cargo build") or command.startswith("mayfly dev"):
                continue  # The suite has built it, and `test_builds.py` is about `dev`.
            if command == "mayfly up &":
                server = subprocess.Popen(["mayfly", "up", "--listen", "127.0.0.1:0"], cwd=tmp_path, env=env,
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                assert server.stdout.readline().startswith("mayfly is ready at http://127.0.0.1:")
                continue
            for word, value in facts.items():
                command = re.sub(rf"\b{word}\b", value, command)
            said[command] = shell(command.removesuffix(" --follow"))
            if command == "mayfly functions":
                facts["FUNCTION"] = said[command].splitlines()[1].split()[0]
            if command.startswith("mayfly deploy"):
                facts["URL"] = re.search(r"http://\S+", said[command])[0]
        invoked = next(text for command, text in said.items() if command.startswith("mayfly invoke"))
        assert "you" in invoked, said
        assert json.loads(shell("aws s3api list-objects-v2 --bucket photos"))["Contents"][0]["Key"] == "cat.png"
        assert any(command.startswith("curl http") for command in said) and "FUNCTION" in facts
    finally:
        if server:
            server.terminate()
            assert server.wait(timeout=mayfly.PATIENCE) == 0
