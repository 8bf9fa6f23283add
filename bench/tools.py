"""Programs that the bench compares with or measures by, brought in when they are missing."""

import json
import os
import pathlib
import shutil
import subprocess

CACHE = pathlib.Path(__file__).resolve().parents[1] / ".cache" / "bench"
WORKERD = "1.20261117.1"


def need(program, package):
    """A program of Debian's, installed if this user can. A server that comes with it is not started."""
    if shutil.which(program):
        return
    if os.geteuid() != 0:
        raise SystemExit(f"make bench needs `{program}`: apt-get install {package}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)


def workerd():
    """The path of the `workerd` program, from npm."""
    folder = CACHE / f"workerd-{WORKERD}"
    program = folder / "node_modules" / "workerd" / "bin" / "workerd"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", f"workerd@{WORKERD}"]
        subprocess.run(command, cwd=folder, check=True)
    # The package's own command is a script that starts the program of this platform; the program itself is
    # wanted.
    native = [
        path for path in folder.glob("node_modules/@cloudflare/workerd-*/bin/workerd") if path.is_file()
    ]
    return str(native[0] if native else program)


def compiled(name, *more):
    """The program of a C file beside this one."""
    source, program = pathlib.Path(__file__).with_name(f"{name}.c"), CACHE / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, source, *more], check=True)
    return program


def burst(listen, path, connections):
    """Sends a request on each of many connections at once; what `burst.c` says of the answers."""
    command = [compiled("burst"), *listen.split(":"), path, str(connections), "60"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def queues(*arguments):
    """Load on a queue; what `queues.c` says of it."""
    command = [compiled("queues", "-l:libcrypto.so.3"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def bare_instance(module, count=20_000):
    """Microseconds of processor time of an instance of a module without Mayfly: made, called and dropped."""
    root = CACHE.parents[1]
    build = ["cargo", "build", "--release", "--locked", "--workspace", "--example", "instances", "--quiet"]
    subprocess.run(build, cwd=root, check=True)
    command = [root / "target" / "release" / "examples" / "instances", module, str(count)]
    runs = [int(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
    return sorted(runs)[1] / 1000
