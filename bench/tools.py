"""Programs that the bench compares with or measures by, brought in when they are missing."""

import json
import os
import pathlib
import shutil
import subprocess

CACHE = pathlib.Path(__file__).resolve().parents[1] / ".cache" / "bench"
WORKERD = "1.20261117.1"


def need_wrk():
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0:
        raise SystemExit("make bench needs `wrk`: apt-get install wrk")
    subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], check=True, stdout=subprocess.DEVNULL)


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


def burst(listen, path, connections):
    """Sends a request on each of many connections at once; what `burst.c` says of the answers."""
    source = pathlib.Path(__file__).with_name("burst.c")
    program = CACHE / "burst"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    command = [program, *listen.split(":"), path, str(connections), "60"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
